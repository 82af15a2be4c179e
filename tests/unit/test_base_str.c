/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/aborts.h"

static void assert_text(const struct str *s, const char *text, bool cut)
{
	assert_string_equal(s->buf, text);
	assert_int_equal(s->len, strlen(text));
	assert_int_equal(s->cut, cut);
}

static void over_starts_with_empty_text(void **state)
{
	char buf[4] = "abc";
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	assert_ptr_equal(s.buf, buf);
	assert_int_equal(s.size, sizeof(buf));
	assert_text(&s, "", false);
}

static void over_nothing(void)
{
	char buf[1];

	str_over(buf, 0);
}

static void over_refuses_a_buffer_of_no_size(void **state)
{
	(void)state;
	assert_true(aborts(over_nothing));
}

static void add_appends_formatted_text(void **state)
{
	char buf[32];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "%s=%d", "a", 1);
	str_add(&s, ";%c%%", 'b');
	assert_text(&s, "a=1;b%", false);
}

static void add_takes_no_directive_from_an_argument(void **state)
{
	char buf[32];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "%s", "%n%s%d");
	assert_text(&s, "%n%s%d", false);
}

static void add_of_nothing_changes_nothing(void **state)
{
	char buf[4];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "%s", "");
	assert_text(&s, "", false);
	str_add(&s, "abc");
	str_add(&s, "%s", "");
	assert_text(&s, "abc", false);
}

static void add_fills_the_buffer_to_its_last_byte(void **state)
{
	char buf[4];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "ab");
	str_add(&s, "c");
	assert_text(&s, "abc", false);
}

static void add_cuts_what_does_not_fit(void **state)
{
	char buf[4];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "ab");
	str_add(&s, "cd");
	assert_text(&s, "abc", true);
}

static void add_writes_nothing_behind_the_buffer(void **state)
{
	char buf[8];
	struct str s;

	(void)state;
	memset(buf, '#', sizeof(buf));
	s = str_over(buf, 4);
	str_add(&s, "%s", "a longer text");
	assert_memory_equal(buf, "a l\0####", sizeof(buf));
}

static void add_behind_a_cut_stays_cut(void **state)
{
	char buf[4];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "abcd");
	str_add(&s, "%s", "");
	str_add(&s, "e");
	assert_text(&s, "abc", true);
}

static void add_has_no_room_in_a_single_byte(void **state)
{
	char buf[1];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "%s", "");
	assert_text(&s, "", false);
	str_add(&s, "a");
	assert_text(&s, "", true);
}

static void add_drops_what_cannot_be_formatted(void **state)
{
	char buf[16];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	str_add(&s, "ab");
	str_add(&s, "cd%lc", (wint_t)0x7fffffff);
	assert_text(&s, "ab", true);
}

static void add_accepts_text_longer_than_any_buffer(void **state)
{
	auto_free char *text = malloc(1 << 20);
	char buf[16];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	assert_non_null(text);
	memset(text, 'x', (1 << 20) - 1);
	text[(1 << 20) - 1] = '\0';
	str_add(&s, "%s%s", text, text);
	assert_text(&s, "xxxxxxxxxxxxxxx", true);
}

printf_like(2, 3) static void call_addv(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

static void addv_appends_like_add(void **state)
{
	char buf[6];
	struct str s = str_over(buf, sizeof(buf));

	(void)state;
	call_addv(&s, "%d-%s", 12, "a");
	assert_text(&s, "12-a", false);
	call_addv(&s, "%d", 34);
	assert_text(&s, "12-a3", true);
}

static void format_returns_zero_when_it_fits(void **state)
{
	char buf[5] = "zzzz";

	(void)state;
	assert_int_equal(str_format(buf, sizeof(buf), "%s/%d", "ab", 1), 0);
	assert_string_equal(buf, "ab/1");
	assert_int_equal(str_format(buf, sizeof(buf), "%s", ""), 0);
	assert_string_equal(buf, "");
}

static void format_empties_the_buffer_when_it_does_not_fit(void **state)
{
	char buf[5] = "zzzz";

	(void)state;
	assert_int_equal(str_format(buf, sizeof(buf), "%s", "abcde"), -ENAMETOOLONG);
	assert_string_equal(buf, "");
}

static void format_refuses_what_cannot_be_formatted(void **state)
{
	char buf[16] = "zzzz";
	int r = str_format(buf, sizeof(buf), "ab%lc", (wint_t)0x7fffffff);

	(void)state;
	assert_int_equal(r, -ENAMETOOLONG);
	assert_string_equal(buf, "");
}

static void only_accepts_allowed_bytes(void **state)
{
	(void)state;
	assert_true(str_only("abba", "ab"));
	assert_true(str_only("", "ab"));
	assert_true(str_only("", ""));
}

static void only_refuses_any_other_byte(void **state)
{
	(void)state;
	assert_false(str_only("abc", "ab"));
	assert_false(str_only("cab", "ab"));
	assert_false(str_only("A", "ab"));
	assert_false(str_only("a\n", "ab"));
	assert_false(str_only("a", ""));
	assert_false(str_only("\xc3\xa4", "ab"));
}

static void escape_copies_printable_text(void **state)
{
	char buf[128];
	char all[0x7f - 0x20];
	size_t n = 0;

	(void)state;
	for (char c = 0x20; c < 0x7f; c++) {
		if (c != '\\')
			all[n++] = c;
	}
	all[n] = '\0';
	assert_ptr_equal(str_escape(buf, sizeof(buf), all), buf);
	assert_string_equal(buf, all);
}

static void escape_writes_control_bytes_as_hex(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(str_escape(buf, sizeof(buf), "a\nb\rc\t"),
			    "a\\x0ab\\x0dc\\x09");
	assert_string_equal(str_escape(buf, sizeof(buf), "\033[2J"), "\\x1b[2J");
	assert_string_equal(str_escape(buf, sizeof(buf), "\x01\x1f\x7f"),
			    "\\x01\\x1f\\x7f");
}

static void escape_leaves_only_printable_bytes(void **state)
{
	char buf[5 * 256];
	char text[256];

	(void)state;
	for (int i = 1; i < 256; i++)
		text[i - 1] = (char)i;
	text[255] = '\0';
	str_escape(buf, sizeof(buf), text);
	for (const char *p = buf; *p; p++)
		assert_in_range((unsigned char)*p, 0x20, 0x7e);
	assert_non_null(strstr(buf, "\\x80\\x81"));
	assert_non_null(strstr(buf, "\\xff"));
}

static void escape_writes_a_backslash_as_hex_so_that_nothing_is_faked(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(str_escape(buf, sizeof(buf), "\\x0a"), "\\x5cx0a");
}

static void escape_of_nothing_is_empty(void **state)
{
	char buf[1] = "z";

	(void)state;
	assert_string_equal(str_escape(buf, sizeof(buf), ""), "");
}

static void escape_cuts_at_every_size(void **state)
{
	static const char whole[] = "ab\\x0acd\\xff\\x5cz";

	(void)state;
	for (size_t size = 1; size <= sizeof(whole); size++) {
		/* From the heap, so that a sanitizer sees a byte too many. */
		auto_free char *buf = malloc(size);

		assert_non_null(buf);
		str_escape(buf, size, "ab\ncd\xff\\z");
		assert_int_equal(strlen(buf), size - 1);
		assert_memory_equal(buf, whole, size - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_starts_with_empty_text),
		cmocka_unit_test(over_refuses_a_buffer_of_no_size),
		cmocka_unit_test(add_appends_formatted_text),
		cmocka_unit_test(add_takes_no_directive_from_an_argument),
		cmocka_unit_test(add_of_nothing_changes_nothing),
		cmocka_unit_test(add_fills_the_buffer_to_its_last_byte),
		cmocka_unit_test(add_cuts_what_does_not_fit),
		cmocka_unit_test(add_writes_nothing_behind_the_buffer),
		cmocka_unit_test(add_behind_a_cut_stays_cut),
		cmocka_unit_test(add_has_no_room_in_a_single_byte),
		cmocka_unit_test(add_drops_what_cannot_be_formatted),
		cmocka_unit_test(add_accepts_text_longer_than_any_buffer),
		cmocka_unit_test(addv_appends_like_add),
		cmocka_unit_test(format_returns_zero_when_it_fits),
		cmocka_unit_test(format_empties_the_buffer_when_it_does_not_fit),
		cmocka_unit_test(format_refuses_what_cannot_be_formatted),
		cmocka_unit_test(only_accepts_allowed_bytes),
		cmocka_unit_test(only_refuses_any_other_byte),
		cmocka_unit_test(escape_copies_printable_text),
		cmocka_unit_test(escape_writes_control_bytes_as_hex),
		cmocka_unit_test(escape_leaves_only_printable_bytes),
		cmocka_unit_test(
			escape_writes_a_backslash_as_hex_so_that_nothing_is_faked),
		cmocka_unit_test(escape_of_nothing_is_empty),
		cmocka_unit_test(escape_cuts_at_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
