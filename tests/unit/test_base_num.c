/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/num.h"

/* What a result holds before the call, and must still hold after a failure. */
#define UNTOUCHED 0xdeadbeefull

typedef int (*parser)(const char *text, uint64_t *ret);

static int parse_any(const char *text, uint64_t *ret)
{
	return num_parse(text, 0, UINT64_MAX, ret);
}

static void assert_value(parser parse, const char *text, uint64_t expected)
{
	uint64_t value = UNTOUCHED;
	int r = parse(text, &value);

	if (r != 0)
		fail_msg("\"%s\" is refused with %d", text, r);
	if (value != expected)
		fail_msg("\"%s\" is read as %ju", text, (uintmax_t)value);
}

static void assert_refused(parser parse, const char *text, int error)
{
	uint64_t value = UNTOUCHED;
	int r = parse(text, &value);

	if (r != error)
		fail_msg("\"%s\" gives %d instead of %d", text, r, error);
	if (value != UNTOUCHED)
		fail_msg("\"%s\" changes the result of a failure", text);
}

/* The mistakes that no kind of number may forgive. */
static void assert_strict(parser parse)
{
	static const char *const malformed[] = {
		"",    "-",   "+",    "-1",  "+1",   "-0",       " 1",        "1 ",
		"\t1", "1\n", "0x10", "0b1", "1e3",  "1,5",      "1_000",     "00",
		"01",  "007", "abc",  "1a",  "a1",   "\xd9\xa1", "1\xc2\xa0", "nan",
		"inf", "--1", "1-",   "1..", "1.1.", ".5",       ".",         "1.",
	};

	for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++)
		assert_refused(parse, malformed[i], -EINVAL);
	assert_refused(parse, "18446744073709551616", -ERANGE);
	assert_refused(parse, "99999999999999999999", -ERANGE);
	assert_refused(parse, "184467440737095516150", -ERANGE);
	assert_refused(parse, "100000000000000000000000000000000000000", -ERANGE);
}

static void parse_reads_decimal_digits(void **state)
{
	(void)state;
	assert_value(parse_any, "0", 0);
	assert_value(parse_any, "7", 7);
	assert_value(parse_any, "10", 10);
	assert_value(parse_any, "1234567890", 1234567890);
	assert_value(parse_any, "18446744073709551615", UINT64_MAX);
}

static void parse_refuses_malformed_numbers(void **state)
{
	(void)state;
	assert_strict(parse_any);
	assert_refused(parse_any, "1k", -EINVAL);
	assert_refused(parse_any, "1.5", -EINVAL);
}

static void parse_includes_both_ends_of_the_range(void **state)
{
	uint64_t value = UNTOUCHED;

	(void)state;
	assert_int_equal(num_parse("5", 5, 7, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(num_parse("7", 5, 7, &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(num_parse("0", 0, 0, &value), 0);
	assert_int_equal(value, 0);
}

static void parse_refuses_what_is_out_of_range(void **state)
{
	uint64_t value = UNTOUCHED;

	(void)state;
	assert_int_equal(num_parse("4", 5, 7, &value), -ERANGE);
	assert_int_equal(num_parse("8", 5, 7, &value), -ERANGE);
	assert_int_equal(num_parse("4294967296", 0, UINT32_MAX, &value), -ERANGE);
	assert_int_equal(num_parse("6", 7, 5, &value), -ERANGE);
	assert_int_equal(value, UNTOUCHED);
}

static void parse_calls_a_malformed_number_so_whatever_the_range(void **state)
{
	uint64_t value = UNTOUCHED;

	(void)state;
	assert_int_equal(num_parse("9x", 0, 5, &value), -EINVAL);
	assert_int_equal(num_parse("-1", 0, 5, &value), -EINVAL);
	assert_int_equal(value, UNTOUCHED);
}

static void size_reads_every_unit(void **state)
{
	(void)state;
	assert_value(num_parse_size, "0", 0);
	assert_value(num_parse_size, "1", 1);
	assert_value(num_parse_size, "3b", 3);
	assert_value(num_parse_size, "3k", 3 * 1024);
	assert_value(num_parse_size, "512m", 512ull << 20);
	assert_value(num_parse_size, "2g", 2ull << 30);
	assert_value(num_parse_size, "0g", 0);
}

static void size_reads_units_of_any_case(void **state)
{
	(void)state;
	assert_value(num_parse_size, "3B", 3);
	assert_value(num_parse_size, "3K", 3 * 1024);
	assert_value(num_parse_size, "512M", 512ull << 20);
	assert_value(num_parse_size, "2G", 2ull << 30);
}

static void size_refuses_a_sign(void **state)
{
	(void)state;
	assert_refused(num_parse_size, "-1m", -EINVAL);
	assert_refused(num_parse_size, "+1m", -EINVAL);
}

static void size_refuses_malformed_numbers(void **state)
{
	(void)state;
	assert_strict(num_parse_size);
	assert_refused(num_parse_size, "1.5m", -EINVAL);
	assert_refused(num_parse_size, "08k", -EINVAL);
}

static void size_refuses_other_units(void **state)
{
	static const char *const texts[] = {
		"1t", "1kb", "1kib", "1mb", "1 m", "m", "1mm", "1bk", "1s", "1k ", "1%",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_refused(num_parse_size, texts[i], -EINVAL);
}

static void size_refuses_what_overflows_with_its_unit(void **state)
{
	(void)state;
	assert_value(num_parse_size, "17179869183g", 17179869183ull << 30);
	assert_refused(num_parse_size, "17179869184g", -ERANGE);
	assert_value(num_parse_size, "17592186044415m", 17592186044415ull << 20);
	assert_refused(num_parse_size, "17592186044416m", -ERANGE);
	assert_value(num_parse_size, "18014398509481983k", 18014398509481983ull << 10);
	assert_refused(num_parse_size, "18014398509481984k", -ERANGE);
	assert_value(num_parse_size, "18446744073709551615b", UINT64_MAX);
	assert_refused(num_parse_size, "18446744073709551616b", -ERANGE);
}

static void duration_reads_every_unit(void **state)
{
	(void)state;
	assert_value(num_parse_duration, "0", 0);
	assert_value(num_parse_duration, "30", 30000);
	assert_value(num_parse_duration, "30s", 30000);
	assert_value(num_parse_duration, "250ms", 250);
	assert_value(num_parse_duration, "5m", 300000);
	assert_value(num_parse_duration, "1h", 3600000);
	assert_value(num_parse_duration, "0ms", 0);
}

static void duration_refuses_malformed_numbers(void **state)
{
	(void)state;
	assert_strict(num_parse_duration);
	assert_refused(num_parse_duration, "1.5s", -EINVAL);
	assert_refused(num_parse_duration, "-30s", -EINVAL);
}

static void duration_refuses_other_units(void **state)
{
	static const char *const texts[] = {
		"1d", "1us",   "1ns", "1min", "1sec", "s",
		"ms", "1h30m", "1 s", "1sm",  "1k",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_refused(num_parse_duration, texts[i], -EINVAL);
}

static void duration_refuses_what_overflows_in_milliseconds(void **state)
{
	(void)state;
	assert_value(num_parse_duration, "18446744073709551", 18446744073709551000ull);
	assert_refused(num_parse_duration, "18446744073709552", -ERANGE);
	assert_refused(num_parse_duration, "18446744073709552s", -ERANGE);
	assert_value(num_parse_duration, "18446744073709551615ms", UINT64_MAX);
	assert_value(num_parse_duration, "307445734561825m", 18446744073709500000ull);
	assert_refused(num_parse_duration, "307445734561826m", -ERANGE);
	assert_value(num_parse_duration, "5124095576030h", 18446744073708000000ull);
	assert_refused(num_parse_duration, "5124095576031h", -ERANGE);
}

static void milli_reads_whole_numbers_and_fractions(void **state)
{
	(void)state;
	assert_value(num_parse_milli, "0", 0);
	assert_value(num_parse_milli, "2", 2000);
	assert_value(num_parse_milli, "1.5", 1500);
	assert_value(num_parse_milli, "0.25", 250);
	assert_value(num_parse_milli, "0.001", 1);
	assert_value(num_parse_milli, "0.010", 10);
	assert_value(num_parse_milli, "12.345", 12345);
	assert_value(num_parse_milli, "1.000", 1000);
	assert_value(num_parse_milli, "0.0", 0);
}

static void milli_refuses_malformed_numbers(void **state)
{
	(void)state;
	assert_strict(num_parse_milli);
	assert_refused(num_parse_milli, "00.5", -EINVAL);
	assert_refused(num_parse_milli, "1.-5", -EINVAL);
	assert_refused(num_parse_milli, "1. 5", -EINVAL);
	assert_refused(num_parse_milli, "1.5k", -EINVAL);
	assert_refused(num_parse_milli, "1.5.5", -EINVAL);
	assert_refused(num_parse_milli, "-1.5", -EINVAL);
}

static void milli_refuses_a_fourth_place(void **state)
{
	(void)state;
	assert_refused(num_parse_milli, "1.2345", -EINVAL);
	assert_refused(num_parse_milli, "1.0000", -EINVAL);
}

static void milli_refuses_what_overflows_in_thousandths(void **state)
{
	(void)state;
	assert_value(num_parse_milli, "18446744073709551", 18446744073709551000ull);
	assert_value(num_parse_milli, "18446744073709551.615", UINT64_MAX);
	assert_refused(num_parse_milli, "18446744073709551.616", -ERANGE);
	assert_refused(num_parse_milli, "18446744073709551.7", -ERANGE);
	assert_refused(num_parse_milli, "18446744073709551.999", -ERANGE);
	assert_refused(num_parse_milli, "18446744073709552", -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_reads_decimal_digits),
		cmocka_unit_test(parse_refuses_malformed_numbers),
		cmocka_unit_test(parse_includes_both_ends_of_the_range),
		cmocka_unit_test(parse_refuses_what_is_out_of_range),
		cmocka_unit_test(parse_calls_a_malformed_number_so_whatever_the_range),
		cmocka_unit_test(size_reads_every_unit),
		cmocka_unit_test(size_reads_units_of_any_case),
		cmocka_unit_test(size_refuses_a_sign),
		cmocka_unit_test(size_refuses_malformed_numbers),
		cmocka_unit_test(size_refuses_other_units),
		cmocka_unit_test(size_refuses_what_overflows_with_its_unit),
		cmocka_unit_test(duration_reads_every_unit),
		cmocka_unit_test(duration_refuses_malformed_numbers),
		cmocka_unit_test(duration_refuses_other_units),
		cmocka_unit_test(duration_refuses_what_overflows_in_milliseconds),
		cmocka_unit_test(milli_reads_whole_numbers_and_fractions),
		cmocka_unit_test(milli_refuses_malformed_numbers),
		cmocka_unit_test(milli_refuses_a_fourth_place),
		cmocka_unit_test(milli_refuses_what_overflows_in_thousandths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
