/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/num.h"
#include "tools/facts.h"

static const char *text_of(void (*format)(struct str *s, uint64_t value), uint64_t value)
{
	static char text[64];
	struct str s = str_over(text, sizeof(text));

	format(&s, value);
	return text;
}

static void values_are_as_the_configuration_has_them(void **state)
{
	(void)state;
	assert_string_equal(text_of(facts_size_text, 0), "unlimited");
	assert_string_equal(text_of(facts_size_text, 1), "1b");
	assert_string_equal(text_of(facts_size_text, 512ull << 20), "512m");
	assert_string_equal(text_of(facts_size_text, 4096ull << 20), "4g");
	assert_string_equal(text_of(facts_size_text, 1536ull << 20), "1536m");
	assert_string_equal(text_of(facts_time_text, 0), "never");
	assert_string_equal(text_of(facts_time_text, 90000), "90s");
	assert_string_equal(text_of(facts_time_text, 300000), "5m");
	assert_string_equal(text_of(facts_time_text, 86400000), "24h");
	assert_string_equal(text_of(facts_time_text, 1500), "1500ms");
	assert_string_equal(text_of(facts_cpus_text, 1000), "1");
	assert_string_equal(text_of(facts_cpus_text, 1500), "1.5");
	assert_string_equal(text_of(facts_cpus_text, 10), "0.01");
	assert_string_equal(text_of(facts_cpus_text, 2125), "2.125");
	assert_string_equal(text_of(facts_cpus_text, 1005), "1.005");
	assert_string_equal(text_of(facts_count_text, 0), "unlimited");
}

static void what_is_printed_can_be_read_again(void **state)
{
	static const uint64_t values[] = {
		1, 10, 999, 1000, 1024, 60000, 1048576, 3600001
	};
	uint64_t read;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_int_equal(
			num_parse_size(text_of(facts_size_text, values[i]), &read), 0);
		assert_int_equal(read, values[i]);
		assert_int_equal(
			num_parse_duration(text_of(facts_time_text, values[i]), &read),
			0);
		assert_int_equal(read, values[i]);
		assert_int_equal(
			num_parse_milli(text_of(facts_cpus_text, values[i]), &read), 0);
		assert_int_equal(read, values[i]);
	}
}

/* A set of ranges by their text, through the program's own parser. */
static struct ip_ranges ranges_of(int family, const char *const *networks)
{
	struct ip_ranges r = { .family = family };
	struct err e;

	for (; *networks; networks++) {
		struct cidr c;

		assert_int_equal(cidr_parse(*networks, &c, &e), 0);
		assert_int_equal(ip_ranges_add(&r, &c, &e), 0);
	}
	ip_ranges_merge(&r);
	return r;
}

static const char *item(const struct facts *f, const char *key, size_t i)
{
	const json_t *fact = json_object_get(f->settings, key);

	return json_string_value(json_array_get(json_object_get(fact, "value"), i));
}

static void ranges_are_networks_where_they_are_some(void **state)
{
	static const char *const four[] = { "10.0.0.0/8", "1.2.3.4", "1.2.3.8/31",
					    "1.2.3.10", NULL };
	static const char *const six[] = { "::/3", "2001:db8::1", "fe00::/7", NULL };
	static const char *const all[] = { "0.0.0.0/0", NULL };
	struct facts f = facts_begin();
	struct ip_ranges v4 = ranges_of(AF_INET, four), v6 = ranges_of(AF_INET6, six),
			 whole = ranges_of(AF_INET, all), none = { .family = AF_INET6 };

	(void)state;
	facts_add_ranges(&f, "some", &v4, &v6);
	assert_string_equal(item(&f, "some", 0), "1.2.3.4/32");
	assert_string_equal(item(&f, "some", 1), "1.2.3.8-1.2.3.10");
	assert_string_equal(item(&f, "some", 2), "10.0.0.0/8");
	assert_string_equal(item(&f, "some", 3), "::/3");
	assert_string_equal(item(&f, "some", 4), "2001:db8::1/128");
	assert_string_equal(item(&f, "some", 5), "fe00::/7");
	facts_add_ranges(&f, "all", &whole, &none);
	assert_string_equal(item(&f, "all", 0), "0.0.0.0/0");
	assert_false(f.failed);
	ip_ranges_free(&v4);
	ip_ranges_free(&v6);
	ip_ranges_free(&whole);
	facts_free(&f);
}

static void long_lists_are_cut_for_people_alone(void **state)
{
	char *texts[] = { "a", "b", "c", "d", "e", "f", "g", NULL }, *none[] = { NULL };
	struct facts f = facts_begin();
	char *table = NULL;
	struct err e;

	(void)state;
	facts_add_texts(&f, "long", texts);
	facts_add_texts(&f, "short", texts + 1);
	f.from = FACTS_FIXED;
	facts_add_texts(&f, "empty", none);
	assert_string_equal(item(&f, "long", 6), "g");
	assert_int_equal(table_text(&f.table, false, &table, &e), 0);
	assert_non_null(strstr(table, "a, b, c, d, e, f, ... (7)   default\n"));
	assert_non_null(strstr(table, "b, c, d, e, f, g            default\n"));
	assert_non_null(strstr(table, "none                        always\n"));
	free(table);
	facts_free(&f);
}

static void exceptions_are_as_they_are_written(void **state)
{
	static const char *const texts[] = { "10.1.0.0/16:443", "[2001:db8::/32]:53",
					     "2001:db8::/32", "1.2.3.4/32" };
	struct cidr_port list[4];
	struct facts f = facts_begin();
	struct err e;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(cidr_port_parse(texts[i], &list[i], &e), 0);
	facts_add_exceptions(&f, "allowed", list, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(item(&f, "allowed", i), texts[i]);
	facts_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_as_the_configuration_has_them),
		cmocka_unit_test(what_is_printed_can_be_read_again),
		cmocka_unit_test(ranges_are_networks_where_they_are_some),
		cmocka_unit_test(long_lists_are_cut_for_people_alone),
		cmocka_unit_test(exceptions_are_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
