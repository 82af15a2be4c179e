/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/sample.h"

static struct samples read_all(const char *text, const struct samples *before,
			       int64_t now_us)
{
	json_t *reply = json_loads(text, 0, NULL);
	struct samples s = { 0 };
	struct err e;

	assert_non_null(reply);
	assert_int_equal(samples_read(reply, before, now_us, &s, &e), 0);
	json_decref(reply);
	return s;
}

static void the_share_of_a_processor_is_between_two_looks(void **state)
{
	struct samples before =
		read_all("{\"stats\":[{\"name\":\"a\",\"cpu_usage_us\":1000},"
			 "{\"name\":\"anew\",\"cpu_usage_us\":9000}]}",
			 NULL, 5000000);
	struct samples now =
		read_all("{\"stats\":[{\"name\":\"anew\",\"cpu_usage_us\":10},"
			 "{\"name\":\"a\",\"cpu_usage_us\":501000},"
			 "{\"name\":\"new\",\"cpu_usage_us\":10}]}",
			 &before, 7000000);

	(void)state;
	assert_int_equal(before.list[0].cpu_milli_percent, 0);
	assert_int_equal(now.count, 3);
	assert_int_equal(now.list[0].cpu_milli_percent, 0);
	assert_int_equal(now.list[1].cpu_milli_percent, 25000);
	assert_int_equal(now.list[2].cpu_milli_percent, 0);
	samples_free(&before);
	samples_free(&now);
}

static void a_reply_without_stats_is_empty(void **state)
{
	struct samples s = read_all("{}", NULL, 0);

	(void)state;
	assert_int_equal(s.count, 0);
	samples_free(&s);
	s = read_all("{\"stats\":[7,{\"memory\":-1}]}", NULL, 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.list[1].memory, 0);
	samples_free(&s);
}

static void texts_are_as_people_read_them(void **state)
{
	struct sample one = { .cpu_milli_percent = 12399,
			      .memory = 1ull << 20,
			      .memory_limit = 3ull << 20,
			      .rx_bytes = 1536,
			      .pids = 7 };
	struct sample_text text;

	(void)state;
	sample_format(&one, &text);
	assert_string_equal(text.cpu, "12.3%");
	assert_string_equal(text.memory, "1MiB / 3MiB");
	assert_string_equal(text.memory_percent, "33.3%");
	assert_string_equal(text.network, "1.5KiB / 0B");
	assert_string_equal(text.pids, "7");
	one.memory_limit = 0;
	sample_format(&one, &text);
	assert_string_equal(text.memory_percent, "0.0%");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_share_of_a_processor_is_between_two_looks),
		cmocka_unit_test(a_reply_without_stats_is_empty),
		cmocka_unit_test(texts_are_as_people_read_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
