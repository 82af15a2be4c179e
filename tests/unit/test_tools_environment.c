/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/environment.h"

/* A fresh environment and a directory for files, removed after each case. */
struct fixture {
	struct environment env;
	char top[40], file[64], link[64];
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .top = "/tmp/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top) || environment_init(&f.env, &f.e) < 0)
		return -1;
	snprintf(f.file, sizeof(f.file), "%s/file", f.top);
	snprintf(f.link, sizeof(f.link), "%s/link", f.top);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	environment_free(&f->env);
	unlink(f->link);
	unlink(f->file);
	unsetenv("CARREL_UNIT");
	return rmdir(f->top);
}

static void set(struct fixture *f, const char *text)
{
	if (environment_set(&f->env, text, &f->e) != 0)
		fail_msg("%s: %s", text, f->e.msg);
}

/* The list is as long as its count says. */
static void assert_whole(const struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		assert_non_null(env->list[i]);
	assert_null(env->list[env->count]);
}

static bool has(const struct environment *env, const char *variable)
{
	unsigned found = 0;

	assert_whole(env);
	for (size_t i = 0; i < env->count; i++)
		found += !strcmp(env->list[i], variable);
	assert_true(found < 2);
	return found;
}

static void write_file(const struct fixture *f, const char *text, size_t size)
{
	auto_fd fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, size), 0);
}

static void read_text(struct fixture *f, const char *text)
{
	write_file(f, text, strlen(text));
	if (environment_read(&f->env, f->file, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static void environment_starts_with_path_home_and_language(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->env.count, 3);
	assert_string_equal(f->env.list[0], "PATH=/usr/local/sbin:/usr/local/bin:"
					    "/usr/sbin:/usr/bin:/sbin:/bin");
	assert_string_equal(f->env.list[1], "HOME=/home/user");
	assert_string_equal(f->env.list[2], "LANG=C.UTF-8");
	assert_whole(&f->env);
}

static void nothing_is_inherited(void **state)
{
	struct fixture *f = *state;
	struct environment env;

	assert_int_equal(setenv("CARREL_UNIT", "secret", 1), 0);
	assert_int_equal(environment_init(&env, &f->e), 0);
	assert_int_equal(env.count, 3);
	assert_false(has(&env, "CARREL_UNIT=secret"));
	environment_free(&env);
}

static void set_adds_a_variable_at_the_end(void **state)
{
	struct fixture *f = *state;

	set(f, "NEW=value with = and spaces");
	assert_int_equal(f->env.count, 4);
	assert_string_equal(f->env.list[3], "NEW=value with = and spaces");
	assert_whole(&f->env);
}

static void set_takes_a_copy(void **state)
{
	struct fixture *f = *state;
	char text[] = "NEW=value";

	set(f, text);
	memset(text, 'x', sizeof(text) - 1);
	assert_true(has(&f->env, "NEW=value"));
}

static void set_replaces_one_of_the_same_name_in_its_place(void **state)
{
	struct fixture *f = *state;

	set(f, "HOME=/elsewhere");
	set(f, "HOME=");
	assert_int_equal(f->env.count, 3);
	assert_string_equal(f->env.list[1], "HOME=");
	assert_whole(&f->env);
}

static void names_are_compared_whole(void **state)
{
	struct fixture *f = *state;

	set(f, "HOM=1");
	set(f, "HOMES=2");
	set(f, "home=3");
	assert_int_equal(f->env.count, 6);
	assert_true(has(&f->env, "HOME=/home/user"));
	set(f, "HOMES=4");
	assert_int_equal(f->env.count, 6);
	assert_false(has(&f->env, "HOMES=2"));
}

static void name_alone_takes_the_value_of_the_caller(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("CARREL_UNIT", "a=b", 1), 0);
	set(f, "CARREL_UNIT");
	assert_true(has(&f->env, "CARREL_UNIT=a=b"));
	assert_int_equal(setenv("CARREL_UNIT", "", 1), 0);
	set(f, "CARREL_UNIT");
	assert_int_equal(f->env.count, 4);
	assert_true(has(&f->env, "CARREL_UNIT="));
}

static void name_alone_that_the_caller_does_not_have_adds_nothing(void **state)
{
	struct fixture *f = *state;

	unsetenv("CARREL_UNIT");
	set(f, "CARREL_UNIT");
	assert_int_equal(f->env.count, 3);
	set(f, "CARREL_UNIT=mine");
	set(f, "CARREL_UNIT");
	assert_true(has(&f->env, "CARREL_UNIT=mine"));
}

static void variable_without_a_name_is_refused(void **state)
{
	static const char *const texts[] = { "", "=", "=value", "==" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(environment_set(&f->env, texts[i], &f->e), -EINVAL);
		assert_string_equal(f->e.msg, "an environment variable without a name");
	}
	assert_int_equal(f->env.count, 3);
	assert_whole(&f->env);
}

static void has_looks_for_whole_names(void **state)
{
	struct fixture *f = *state;

	set(f, "EMPTY=");
	assert_true(environment_has(&f->env, "PATH"));
	assert_true(environment_has(&f->env, "EMPTY"));
	assert_false(environment_has(&f->env, "PAT"));
	assert_false(environment_has(&f->env, "PATHS"));
	assert_false(environment_has(&f->env, "path"));
	assert_false(environment_has(&f->env, ""));
	/* The value belongs to no name. */
	assert_false(environment_has(&f->env, "HOME=/home/user"));
}

static void list_grows_as_needed(void **state)
{
	struct fixture *f = *state;
	char text[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "N%d=%d", i, i);
		set(f, text);
	}
	assert_int_equal(f->env.count, 1003);
	assert_whole(&f->env);
	assert_string_equal(f->env.list[1002], "N999=999");
}

static void free_can_be_repeated(void **state)
{
	struct fixture *f = *state;
	struct environment none = { 0 };

	environment_free(&f->env);
	assert_null(f->env.list);
	assert_int_equal(f->env.count, 0);
	environment_free(&f->env);
	environment_free(&none);
}

static void file_has_a_variable_a_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("CARREL_UNIT", "inherited", 1), 0);
	read_text(f, "A=1\n\n# a comment\nB=two words # no comment\n#C=3\n"
		     "CARREL_UNIT\nLANG=C\nD=last, without a newline");
	assert_int_equal(f->env.count, 7);
	assert_true(has(&f->env, "A=1"));
	assert_true(has(&f->env, "B=two words # no comment"));
	assert_true(has(&f->env, "CARREL_UNIT=inherited"));
	assert_true(has(&f->env, "LANG=C"));
	assert_true(has(&f->env, "D=last, without a newline"));
}

static void values_of_a_file_are_taken_as_they_are(void **state)
{
	struct fixture *f = *state;

	read_text(f, "A=\"quoted\"\nB='$HOME'\nC= x \nD=\xff\n");
	assert_true(has(&f->env, "A=\"quoted\""));
	assert_true(has(&f->env, "B='$HOME'"));
	assert_true(has(&f->env, "C= x "));
	assert_true(has(&f->env, "D=\xff"));
}

static void empty_file_adds_nothing(void **state)
{
	struct fixture *f = *state;

	read_text(f, "");
	read_text(f, "\n\n\n");
	assert_int_equal(f->env.count, 3);
}

static void lines_may_be_long(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(100003);

	assert_non_null(text);
	memset(text, 'x', 100002);
	memcpy(text, "L=", 2);
	text[100002] = '\0';
	read_text(f, text);
	assert_string_equal(f->env.list[3], text);
	free(text);
}

static void assert_read_fails(struct fixture *f, const char *path, int code,
			      const char *sentence)
{
	char wanted[512];

	assert_int_equal(environment_read(&f->env, path, &f->e), code);
	snprintf(wanted, sizeof(wanted), sentence[0] == ':' ? "%s%s" : "%s %s", path,
		 sentence);
	assert_string_equal(f->e.msg, wanted);
	assert_whole(&f->env);
}

static void wrong_line_is_named(void **state)
{
	struct fixture *f = *state;

	write_file(f, "A=1\n# two\n=3\nB=4\n", 17);
	assert_read_fails(f, f->file, -EINVAL,
			  ":3: an environment variable without a name");
	assert_true(has(&f->env, "A=1"));
	assert_false(has(&f->env, "B=4"));
}

static void nul_byte_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "A=1\nB=2\0C=3\n", 12);
	assert_read_fails(f, f->file, -EINVAL, ":2: a NUL byte");
	write_file(f, "\0\n", 2);
	assert_read_fails(f, f->file, -EINVAL, ":1: a NUL byte");
}

static void missing_file_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(environment_read(&f->env, f->file, &f->e), -ENOENT);
	assert_non_null(strstr(f->e.msg, f->file));
	assert_non_null(strstr(f->e.msg, ": No such file or directory"));
}

static void only_regular_files_are_read(void **state)
{
	struct fixture *f = *state;

	assert_read_fails(f, f->top, -EINVAL, "is not a regular file");
	assert_read_fails(f, "/dev/zero", -EINVAL, "is not a regular file");
	assert_int_equal(mkfifo(f->file, 0600), 0);
	assert_read_fails(f, f->file, -EINVAL, "is not a regular file");
}

static void links_are_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "A=1\n", 4);
	assert_int_equal(symlink(f->file, f->link), 0);
	assert_read_fails(f, f->link, -ELOOP, "is or passes through a symbolic link");
	assert_int_equal(f->env.count, 3);
}

static void huge_files_are_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "", 0);
	assert_int_equal(truncate(f->file, (4 << 20) + 1), 0);
	assert_read_fails(f, f->file, -EFBIG, "has more than 4194304 bytes");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(environment_starts_with_path_home_and_language),
		CASE(nothing_is_inherited),
		CASE(set_adds_a_variable_at_the_end),
		CASE(set_takes_a_copy),
		CASE(set_replaces_one_of_the_same_name_in_its_place),
		CASE(names_are_compared_whole),
		CASE(name_alone_takes_the_value_of_the_caller),
		CASE(name_alone_that_the_caller_does_not_have_adds_nothing),
		CASE(variable_without_a_name_is_refused),
		CASE(has_looks_for_whole_names),
		CASE(list_grows_as_needed),
		CASE(free_can_be_repeated),
		CASE(file_has_a_variable_a_line),
		CASE(values_of_a_file_are_taken_as_they_are),
		CASE(empty_file_adds_nothing),
		CASE(lines_may_be_long),
		CASE(wrong_line_is_named),
		CASE(nul_byte_is_refused),
		CASE(missing_file_is_named),
		CASE(only_regular_files_are_read),
		CASE(links_are_refused),
		CASE(huge_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
