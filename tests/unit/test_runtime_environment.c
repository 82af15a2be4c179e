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

#include "runtime/environment.h"

/* A fresh environment. */
struct fixture {
	struct environment env;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	*state = &f;
	return environment_init(&f.env, &f.e);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	environment_free(&f->env);
	return unsetenv("CARREL_UNIT");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
