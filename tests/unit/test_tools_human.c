/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/human.h"

static void sizes_have_three_digits_or_so(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} known[] = {
		{ 0, "0B" },
		{ 1023, "1023B" },
		{ 1024, "1KiB" },
		{ 1536, "1.5KiB" },
		{ 102399, "99.9KiB" },
		{ 102401, "100KiB" },
		{ 1048575, "1023KiB" },
		{ 512ull << 20, "512MiB" },
		{ 1ull << 40, "1TiB" },
		{ UINT64_MAX, "15.9EiB" },
	};
	char buf[HUMAN_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_string_equal(human_size(buf, known[i].bytes), known[i].text);
}

static void spans_are_in_their_largest_unit(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} known[] = {
		{ -5000, "Less than a second" },
		{ 999, "Less than a second" },
		{ 1000, "1 second" },
		{ 59999, "59 seconds" },
		{ 60000, "1 minute" },
		{ 7199999, "1 hour" },
		{ 7200000, "2 hours" },
		{ 86400000ll * 400, "400 days" },
	};
	char buf[HUMAN_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_string_equal(human_span(buf, known[i].ms), known[i].text);
}

static void moments_are_rfc_3339(void **state)
{
	char buf[HUMAN_MAX];

	(void)state;
	assert_string_equal(human_time(buf, 0), "");
	assert_string_equal(human_time(buf, -1), "");
	assert_string_equal(human_time(buf, 1), "1970-01-01T00:00:00.001Z");
	assert_string_equal(human_time(buf, 1709208000999), "2024-02-29T12:00:00.999Z");
	assert_string_equal(human_time(buf, INT64_MAX), "292278994-08-17T07:12:55.807Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_three_digits_or_so),
		cmocka_unit_test(spans_are_in_their_largest_unit),
		cmocka_unit_test(moments_are_rfc_3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
