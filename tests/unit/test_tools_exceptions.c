/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/exceptions.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void parse(const char *text, struct exceptions *ret)
{
	struct err e = { 0 };

	if (exceptions_parse(text, ret, &e) != 0)
		fail_msg("\"%s\": %s", text, e.msg);
}

/* Adds what is asked for to a plan. */
static void ask(struct netns_plan *plan, const char *text)
{
	struct err e = { 0 };

	assert_int_equal(cidr_port_parse(text, &plan->allow[plan->allow_count++], &e), 0);
}

/* ---- lists ---- */

/* A list, and its items between bars. */
static const struct {
	const char *list, *items;
} lists[] = {
	{ "", "||" },           { "a", "|a|" },
	{ "a,b", "|a|b|" },     { " a ,\tb\t, c", "|a|b|c|" },
	{ "a b,c", "|a b|c|" }, { ",", "|||" },
	{ "a,", "|a||" },       { ",a", "||a|" },
	{ " , ", "|||" },       { "1234567,12345678,1", "|1234567||1|" },
};

static void list_is_cut_at_its_commas(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++) {
		const char *rest = lists[i].list;
		char found[64] = "|", item[8];

		while (rest) {
			size_t len = strlen(found);

			memset(item, 'x', sizeof(item));
			list_next(&rest, item, sizeof(item));
			snprintf(found + len, sizeof(found) - len, "%s|", item);
		}
		assert_string_equal(found, lists[i].items);
	}
}

/* ---- parsing ---- */

static void each_text_replaces_what_was_there(void **state)
{
	struct exceptions x = EXCEPTIONS_ANY;

	(void)state;
	assert_true(x.any);
	assert_int_equal(x.count, 0);
	parse("10.1.2.3, 10.2.0.0/16:443", &x);
	assert_false(x.any);
	assert_int_equal(x.count, 2);
	assert_int_equal(x.list[1].port, 443);
	parse("any", &x);
	assert_true(x.any);
	assert_int_equal(x.count, 0);
	parse("none", &x);
	assert_false(x.any);
	assert_int_equal(x.count, 0);
}

static void what_is_no_exception_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",           "any, 10.1.2.3",   "none,",      "Any",
		"all",        "10.1.2.3,",       ",10.1.2.3",  "10.1.2.3/8",
		"10.1.2.3:0", "10.1.2.3:",       "fd00::/8:1", "10.1.2.3 any",
		"443",        "example.com:443",
	};
	struct exceptions x, before;

	(void)state;
	parse("10.1.2.3:7", &x);
	before = x;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct err e = { 0 };

		if (exceptions_parse(wrong[i], &x, &e) != -EINVAL)
			fail_msg("\"%s\": %d", wrong[i], e.code);
		assert_memory_equal(&x, &before, sizeof(x));
	}
}

static void there_are_no_more_than_64(void **state)
{
	char text[1024] = "10.0.0.0";
	struct exceptions x;
	struct err e = { 0 };

	(void)state;
	for (int i = 1; i < 64; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, ",10.0.0.%d", i);
	}
	parse(text, &x);
	assert_int_equal(x.count, 64);
	memcpy(text + strlen(text), ",10.0.1.0", 10);
	assert_int_equal(exceptions_parse(text, &x, &e), -E2BIG);
	assert_string_equal(e.msg, "more than 64 exceptions");
}

/* ---- checking ---- */

/* What is permitted, what is asked for, and whether it is had. */
static const struct {
	const char *permitted, *asked;
	bool granted;
} rows[] = {
	{ "any", "10.1.2.3:1", true },
	{ "any", "[fd00::1]:443", true },
	{ "none", "10.1.2.3:1", false },
	/* Networks. */
	{ "10.1.0.0/16", "10.1.0.0/16", true },
	{ "10.1.0.0/16", "10.1.255.255", true },
	{ "10.1.0.0/16", "10.1.128.0/17", true },
	{ "10.1.0.0/16", "10.0.0.0/15", false },
	{ "10.1.0.0/16", "10.2.0.0", false },
	{ "10.1.0.0/16", "10.0.255.255", false },
	{ "0.0.0.0/0", "10.2.0.0/16", true },
	{ "0.0.0.0/0", "fd00::1", false },
	{ "::/0", "10.1.2.3", false },
	{ "fd00::/8", "fdff::/16", true },
	{ "fd00::/8", "fe00::/16", false },
	/* Two that together would do do not. */
	{ "10.0.0.0/16, 10.1.0.0/16", "10.0.0.0/15", false },
	{ "10.0.0.0/16 ,10.1.0.0/16", "10.1.7.0/24", true },
	/* Ports. */
	{ "10.1.0.0/16:443", "10.1.2.3:443", true },
	{ "10.1.0.0/16:443", "10.1.2.3:444", false },
	{ "10.1.0.0/16:443", "10.1.2.3", false },
	{ "10.1.0.0/16", "10.1.2.3:65535", true },
	{ "[fd00::/8]:443, 10.1.2.3:80", "[fd00::1]:443", true },
	{ "[fd00::/8]:443, 10.1.2.3:80", "10.1.2.3:443", false },
};

static void exception_must_be_within_a_permitted_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct exceptions x;
		struct netns_plan plan;
		struct err e = { 0 };
		int r;

		parse(rows[i].permitted, &x);
		netns_plan_init(&plan);
		assert_int_equal(exceptions_check(&x, &plan, "nobody", &e), 0);
		ask(&plan, rows[i].asked);
		r = exceptions_check(&x, &plan, "nobody", &e);
		if (r != (rows[i].granted ? 0 : -EPERM))
			fail_msg("%s for %s: %d", rows[i].permitted, rows[i].asked, r);
	}
}

static void each_exception_is_checked(void **state)
{
	struct netns_plan plan;
	struct exceptions x;
	struct err e = { 0 };

	(void)state;
	parse("10.1.0.0/16", &x);
	netns_plan_init(&plan);
	ask(&plan, "10.1.2.3");
	ask(&plan, "10.2.0.0/16:80");
	assert_int_equal(exceptions_check(&x, &plan, "the configuration", &e), -EPERM);
	assert_string_equal(e.msg, "--allow: the configuration does not permit an "
				   "exception for 10.2.0.0/16");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_is_cut_at_its_commas),
		cmocka_unit_test(each_text_replaces_what_was_there),
		cmocka_unit_test(what_is_no_exception_is_refused),
		cmocka_unit_test(there_are_no_more_than_64),
		cmocka_unit_test(exception_must_be_within_a_permitted_one),
		cmocka_unit_test(each_exception_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
