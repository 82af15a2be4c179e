/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/table.h"

static const char *const heads[] = { "NAME", "N", "LAST", NULL };

static void assert_table(struct table *t, bool coloured, const char *expected)
{
	auto_free char *text = NULL;
	struct err e;

	assert_int_equal(table_text(t, coloured, &text, &e), 0);
	assert_string_equal(text, expected);
}

static void columns_are_as_wide_as_what_is_in_them(void **state)
{
	struct table t = table_over(heads);

	(void)state;
	assert_table(&t, false, "NAME   N   LAST\n");
	table_add(&t, (const char *const[]){ "longer", "1", "x" });
	table_add(&t, (const char *const[]){ "", "22", "" });
	assert_table(&t, false, "NAME     N    LAST\nlonger   1    x\n         22   \n");
	table_free(&t);
}

static void what_is_in_a_cell_cannot_reach_the_terminal(void **state)
{
	struct table t = table_over(heads);

	(void)state;
	table_add(&t, (const char *const[]){ "\033[2J\n", "\xc2\x9b", "\\" });
	assert_table(&t, false,
		     "NAME          N          LAST\n"
		     "\\x1b[2J\\x0a   \\xc2\\x9b   \\x5c\n");
	table_free(&t);
}

static void colours_change_no_width(void **state)
{
	struct table t = table_over(heads);

	(void)state;
	table_colour(&t, 0, TABLE_RED);
	table_add(&t, (const char *const[]){ "a", "b", "c" });
	table_colour(&t, 1, TABLE_GREEN);
	table_colour(&t, 3, TABLE_RED);
	assert_table(&t, true, "NAME   N   LAST\na      \033[32mb\033[0m   c\n");
	assert_table(&t, false, "NAME   N   LAST\na      b   c\n");
	table_free(&t);
}

static void a_row_without_memory_is_an_error(void **state)
{
	struct table t = table_over(heads);
	char *text = NULL;
	struct err e;

	(void)state;
	t.failed = true;
	assert_true(table_text(&t, false, &text, &e) < 0);
	assert_null(text);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_what_is_in_them),
		cmocka_unit_test(what_is_in_a_cell_cannot_reach_the_terminal),
		cmocka_unit_test(colours_change_no_width),
		cmocka_unit_test(a_row_without_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
