/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rootfs/entry.h"

static struct entry_path path;
static struct err e;

static int parse(const char *text)
{
	memset(&path, 'x', sizeof(path));
	e = (struct err){ 0 };
	return entry_path_parse(text, &path, &e);
}

static void assert_path(const char *text, const char *parent, const char *name)
{
	if (parse(text) != 0)
		fail_msg("\"%s\": %s", text, e.msg);
	assert_string_equal(path.parent, parent);
	assert_string_equal(path.name, name);
}

static void paths_are_relative_to_the_root_however_they_are_written(void **state)
{
	(void)state;
	assert_path("a", ".", "a");
	assert_path("a/b/c", "a/b", "c");
	assert_path("/a", ".", "a");
	assert_path("///a//b///", "a", "b");
	assert_path("./a", ".", "a");
	assert_path("a/./b/.", "a", "b");
	assert_path(".../..a/a..", ".../..a", "a..");
	assert_path("a\nb/\xff", "a\nb", "\xff");
}

static void the_root_itself_has_no_name(void **state)
{
	(void)state;
	assert_path("", ".", "");
	assert_path(".", ".", "");
	assert_path("/", ".", "");
	assert_path("././/", ".", "");
}

static void dotdot_is_refused_wherever_it_stands(void **state)
{
	static const char *const bad[] = {
		"..", "../a", "a/..", "a/../b", "/..", "./../a"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(bad[i]), -EINVAL);
		assert_non_null(strstr(e.msg, "has \"..\" in it"));
	}
}

static void names_and_paths_have_the_length_that_the_kernel_takes(void **state)
{
	char text[3 * ENTRY_PATH_MAX];

	(void)state;
	memset(text, 'n', sizeof(text));
	text[255] = '\0';
	assert_path(text, ".", text);
	text[255] = 'n';
	text[256] = '\0';
	assert_int_equal(parse(text), -ENAMETOOLONG);
	/* 20 parts of 204 bytes with their slashes, and one that makes it 4095. */
	memset(text, 'n', sizeof(text));
	for (size_t i = 0; i < 20; i++)
		text[i * 205 + 204] = '/';
	text[4095] = '\0';
	assert_int_equal(parse(text), 0);
	text[4095] = 'n';
	text[4096] = '\0';
	assert_int_equal(parse(text), -ENAMETOOLONG);
	/* What does not count is not counted. */
	memset(text, '/', sizeof(text));
	text[sizeof(text) - 2] = 'a';
	text[sizeof(text) - 1] = '\0';
	assert_path(text, ".", "a");
}

static void depth_is_limited(void **state)
{
	char text[2 * ENTRY_DEPTH_MAX + 4];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '/' : 'd';
	text[2 * ENTRY_DEPTH_MAX - 1] = '\0';
	assert_int_equal(parse(text), 0);
	text[2 * ENTRY_DEPTH_MAX - 1] = '/';
	text[2 * ENTRY_DEPTH_MAX + 1] = '\0';
	assert_int_equal(parse(text), -E2BIG);
}

static enum entry_whiteout whiteout(const char *text)
{
	enum entry_whiteout what = ENTRY_WHITEOUT_MAX;

	assert_int_equal(parse(text), 0);
	assert_int_equal(entry_whiteout(&path, &what, &e), 0);
	return what;
}

static void whiteouts_are_told_from_files(void **state)
{
	(void)state;
	assert_int_equal(whiteout("a/b"), ENTRY_PLAIN);
	assert_int_equal(whiteout("wh.a"), ENTRY_PLAIN);
	assert_int_equal(whiteout(".wh"), ENTRY_PLAIN);
	assert_int_equal(whiteout(".wh.d/a"), ENTRY_PLAIN);
	assert_int_equal(whiteout("/"), ENTRY_PLAIN);
	assert_int_equal(whiteout("a/.wh..wh..opq"), ENTRY_OPAQUE);
	assert_string_equal(path.parent, "a");
	assert_int_equal(whiteout(".wh..wh.plnk"), ENTRY_IGNORED);
	assert_int_equal(whiteout("a/.wh.b"), ENTRY_WHITEOUT);
	assert_string_equal(path.parent, "a");
	assert_string_equal(path.name, "b");
	assert_int_equal(whiteout(".wh....."), ENTRY_WHITEOUT);
	assert_string_equal(path.name, "....");
}

static void a_whiteout_of_no_name_is_refused(void **state)
{
	static const char *const bad[] = { ".wh.", ".wh..", ".wh...", "a/.wh.." };
	enum entry_whiteout what = ENTRY_PLAIN;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(bad[i]), 0);
		assert_int_equal(entry_whiteout(&path, &what, &e), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_relative_to_the_root_however_they_are_written),
		cmocka_unit_test(the_root_itself_has_no_name),
		cmocka_unit_test(dotdot_is_refused_wherever_it_stands),
		cmocka_unit_test(names_and_paths_have_the_length_that_the_kernel_takes),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(whiteouts_are_told_from_files),
		cmocka_unit_test(a_whiteout_of_no_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
