/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/aborts.h"

static_assert(sizeof(struct err) == 256, "the size that the style guide promises");
static_assert(sizeof(struct err) <= PIPE_BUF, "crosses a pipe in one atomic write");

static const char LONG[] =
	"0123456789012345678901234567890123456789012345678901234567890123"
	"0123456789012345678901234567890123456789012345678901234567890123"
	"0123456789012345678901234567890123456789012345678901234567890123"
	"0123456789012345678901234567890123456789012345678901234567890123";

static void set_joins_the_attempt_and_the_reason(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, ENOENT, "open %s", "/x");
	assert_string_equal(e.msg, "open /x: No such file or directory");
}

static void set_returns_and_stores_the_negative_code(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, EPERM, "x"), -EPERM);
	assert_int_equal(e.code, -EPERM);
}

static void set_keeps_errno(void **state)
{
	struct err e;

	(void)state;
	errno = EXDEV;
	assert_int_equal(err_set(&e, errno, "%s", "x"), -EXDEV);
	assert_int_equal(errno, EXDEV);
	/* Text that cannot be formatted makes vsnprintf() set errno. */
	err_set(&e, ENOENT, "%lc", (wint_t)0x7fffffff);
	assert_int_equal(errno, EXDEV);
	assert_string_equal(e.msg, ": No such file or directory");
}

static void set_replaces_what_was_there(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, EPERM, "a rather long first sentence");
	err_set(&e, ENOENT, "b");
	assert_int_equal(e.code, -ENOENT);
	assert_string_equal(e.msg, "b: No such file or directory");
}

static void set_names_numbers_without_description_unknown(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, 4095, "x"), -4095);
	assert_string_equal(e.msg, "x: unknown error");
}

static void set_cuts_a_long_text_and_keeps_the_reason(void **state)
{
	struct err e;

	(void)state;
	memset(&e, '#', sizeof(e));
	assert_int_equal(err_set(&e, EIO, "%s", LONG), -EIO);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_memory_equal(e.msg, LONG,
			    sizeof(e.msg) - 1 - strlen(": Input/output error"));
	assert_non_null(strstr(e.msg, ": Input/output error"));
	assert_int_equal(e.code, -EIO);
}

static void set_takes_no_directive_from_an_argument(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, EIO, "open %s", "%n%s");
	assert_string_equal(e.msg, "open %n%s: Input/output error");
}

static void set_without_failure(void)
{
	struct err e;

	err_set(&e, 0, "x");
}

static void set_with_negative_number(void)
{
	struct err e;

	err_set(&e, -EIO, "x");
}

static void set_refuses_a_number_that_is_no_failure(void **state)
{
	(void)state;
	assert_true(aborts(set_without_failure));
	assert_true(aborts(set_with_negative_number));
}

static void say_lets_the_text_stand_alone(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_say(&e, EINVAL, "%d is not a port", 70000), -EINVAL);
	assert_int_equal(e.code, -EINVAL);
	assert_string_equal(e.msg, "70000 is not a port");
}

static void say_keeps_errno(void **state)
{
	struct err e;

	(void)state;
	errno = EXDEV;
	err_say(&e, EINVAL, "%lc", (wint_t)0x7fffffff);
	assert_int_equal(errno, EXDEV);
}

static void say_cuts_a_long_text(void **state)
{
	struct err e;

	(void)state;
	memset(&e, '#', sizeof(e));
	err_say(&e, EINVAL, "%s", LONG);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

static void say_without_failure(void)
{
	struct err e;

	err_say(&e, 0, "x");
}

static void say_refuses_a_number_that_is_no_failure(void **state)
{
	(void)state;
	assert_true(aborts(say_without_failure));
}

static void wrap_puts_context_in_front(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, ENOSPC, "write %s", "x");
	assert_int_equal(err_wrap(&e, "import %s", "debian"), -ENOSPC);
	assert_int_equal(e.code, -ENOSPC);
	assert_string_equal(e.msg, "import debian: write x: No space left on device");
}

static void wrap_nests(void **state)
{
	struct err e;

	(void)state;
	err_say(&e, EINVAL, "c");
	err_wrap(&e, "b");
	err_wrap(&e, "a");
	assert_string_equal(e.msg, "a: b: c");
}

static void wrap_cuts_the_inner_text_first(void **state)
{
	struct err e;

	(void)state;
	err_say(&e, EINVAL, "%s", LONG);
	assert_int_equal(err_wrap(&e, "context"), -EINVAL);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_memory_equal(e.msg, "context: 0123456789", 19);
}

static void wrap_cuts_context_that_fills_the_message(void **state)
{
	struct err e;

	(void)state;
	err_say(&e, EINVAL, "x");
	assert_int_equal(err_wrap(&e, "%s", LONG), -EINVAL);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_memory_equal(e.msg, LONG, sizeof(e.msg) - 1);
}

must_check static int failing(int *calls)
{
	(*calls)++;
	return -EIO;
}

static void ignore_calls_once(void **state)
{
	int calls = 0;

	(void)state;
	err_ignore(failing(&calls));
	assert_int_equal(calls, 1);
}

static void bug_on_truth(void)
{
	bug_on(1);
}

static void bug_on_aborts_only_when_true(void **state)
{
	int calls = 0;

	(void)state;
	bug_on(failing(&calls) == 0);
	assert_int_equal(calls, 1);
	assert_true(aborts(bug_on_truth));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_joins_the_attempt_and_the_reason),
		cmocka_unit_test(set_returns_and_stores_the_negative_code),
		cmocka_unit_test(set_keeps_errno),
		cmocka_unit_test(set_replaces_what_was_there),
		cmocka_unit_test(set_names_numbers_without_description_unknown),
		cmocka_unit_test(set_cuts_a_long_text_and_keeps_the_reason),
		cmocka_unit_test(set_takes_no_directive_from_an_argument),
		cmocka_unit_test(set_refuses_a_number_that_is_no_failure),
		cmocka_unit_test(say_lets_the_text_stand_alone),
		cmocka_unit_test(say_keeps_errno),
		cmocka_unit_test(say_cuts_a_long_text),
		cmocka_unit_test(say_refuses_a_number_that_is_no_failure),
		cmocka_unit_test(wrap_puts_context_in_front),
		cmocka_unit_test(wrap_nests),
		cmocka_unit_test(wrap_cuts_the_inner_text_first),
		cmocka_unit_test(wrap_cuts_context_that_fills_the_message),
		cmocka_unit_test(ignore_calls_once),
		cmocka_unit_test(bug_on_aborts_only_when_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
