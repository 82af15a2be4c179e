/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/top_list.h"

enum { COUNT = 4 };

static struct sample list[COUNT] = {
	{ .name = "web-b", .cpu_milli_percent = 5, .memory = 1, .pids = 9, .execs = 2 },
	{ .name = "db", .cpu_milli_percent = 5, .memory = 3, .pids = 1, .tx_bytes = 8 },
	{ .name = "web-a",
	  .cpu_milli_percent = 7,
	  .memory = 2,
	  .rx_bytes = 5,
	  .execs = 1 },
	{ .name = "\033[2J", .memory = 9, .pids = 3, .execs = 3 },
};

static const struct samples all = { .list = list, .count = COUNT };

static void assert_order(const char *filter, enum top_key key, const char *expected)
{
	const struct sample *found[COUNT];
	size_t count = top_select(&all, filter, key, found);

	assert_int_equal(count, strlen(expected));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(found[i] - list, expected[i] - '0');
}

static void the_greatest_is_first_and_equal_ones_are_by_name(void **state)
{
	(void)state;
	assert_order("", TOP_CPU, "2103");
	assert_order("", TOP_MEMORY, "3120");
	assert_order("", TOP_PIDS, "0312");
	assert_order("", TOP_NETWORK, "1230");
	assert_order("", TOP_EXECS, "3021");
}

static void a_filter_is_a_part_of_the_name(void **state)
{
	(void)state;
	assert_order("b", TOP_CPU, "210");
	assert_order("eb-", TOP_MEMORY, "20");
	assert_order("nothing", TOP_CPU, "");
}

static void letters_choose_keys(void **state)
{
	(void)state;
	assert_int_equal(top_key_of('c'), TOP_CPU);
	assert_int_equal(top_key_of('m'), TOP_MEMORY);
	assert_int_equal(top_key_of('p'), TOP_PIDS);
	assert_int_equal(top_key_of('n'), TOP_NETWORK);
	assert_int_equal(top_key_of('e'), TOP_EXECS);
	assert_int_equal(top_key_of('q'), TOP_KEY_MAX);
	assert_int_equal(top_key_of(0), TOP_KEY_MAX);
}

static void lines_are_as_wide_as_the_screen_at_most(void **state)
{
	char heads[TOP_LINE_MAX], line[TOP_LINE_MAX];

	(void)state;
	for (int width = 0; width < 2 * TOP_LINE_MAX; width++) {
		assert_true(strlen(top_heads(heads, width)) <= (size_t)width);
		assert_true(strlen(top_line(line, &list[3], width)) <= (size_t)width);
	}
	top_heads(heads, 80);
	top_line(line, &list[3], 80);
	assert_true(strlen(heads) == 80 && strlen(line) == 80);
	assert_ptr_equal(strstr(line, "\\x1b[2J "), line);
	assert_string_equal(heads + 74, " EXECS");
	assert_string_equal(line + 74, "     3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_greatest_is_first_and_equal_ones_are_by_name),
		cmocka_unit_test(a_filter_is_a_part_of_the_name),
		cmocka_unit_test(letters_choose_keys),
		cmocka_unit_test(lines_are_as_wide_as_the_screen_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
