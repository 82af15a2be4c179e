/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "netns/ip.h"
#include "tests/unit/aborts.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

static struct cidr cidr(const char *text)
{
	struct cidr c;
	struct err e;

	if (cidr_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	return c;
}

static void add(struct ip_ranges *r, const char *text)
{
	struct cidr c = cidr(text);
	struct err e;

	assert_int_equal(ip_ranges_add(r, &c, &e), 0);
}

/* Numbers that look random and are the same in every run. */
static uint32_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

/* Merges a set of the networks and compares it with ranges written "FIRST-LAST ...". */
static void assert_merged(const char *const *networks, const char *expected)
{
	struct ip_ranges r = { .family = strchr(networks[0], ':') ? AF_INET6 : AF_INET };
	char text[512] = "", first[IP_TEXT_MAX], last[IP_TEXT_MAX];
	size_t len = 0;

	for (; *networks; networks++)
		add(&r, *networks);
	ip_ranges_merge(&r);
	for (size_t i = 0; i < r.count; i++) {
		struct ip a = { .family = r.family }, b = { .family = r.family };

		memcpy(a.addr, r.list[i].first, 16);
		memcpy(b.addr, r.list[i].last, 16);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s-%s",
					i ? " " : "", ip_format(first, &a),
					ip_format(last, &b));
	}
	assert_string_equal(text, expected);
	ip_ranges_free(&r);
}

#define MERGED(expected, ...) \
	assert_merged((const char *const[]){ __VA_ARGS__, NULL }, expected)

static void merge_joins_what_overlaps(void **state)
{
	(void)state;
	MERGED("10.0.0.0-10.255.255.255", "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8");
	MERGED("10.0.0.0-10.255.255.255", "10.1.0.0/16", "10.0.0.0/8", "10.255.255.255");
	MERGED("10.0.0.0-10.255.255.255", "10.0.0.0/16", "10.0.0.0/8", "10.0.0.0/24");
	MERGED("0.0.0.0-255.255.255.255", "1.2.3.4", "0.0.0.0/0", "255.255.255.255");
	MERGED("2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/32", "2001::/23");
}

static void merge_joins_what_touches(void **state)
{
	(void)state;
	MERGED("1.2.3.4-1.2.3.5", "1.2.3.5", "1.2.3.4");
	MERGED("1.2.3.255-1.2.4.0", "1.2.3.255", "1.2.4.0");
	MERGED("1.255.255.255-2.0.0.0", "1.255.255.255", "2.0.0.0");
	MERGED("224.0.0.0-255.255.255.255", "240.0.0.0/4", "224.0.0.0/4");
	MERGED("0.0.0.0-255.255.255.255", "0.0.0.0/1", "128.0.0.0/1");
	MERGED("2001::ffff-2001::1:0", "2001::1:0", "2001::ffff");
	MERGED("0:ffff:ffff:ffff:ffff:ffff:ffff:ffff-1::",
	       "0:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1::");
}

static void merge_keeps_what_is_apart(void **state)
{
	(void)state;
	MERGED("1.2.3.4-1.2.3.4 1.2.3.6-1.2.3.6", "1.2.3.6", "1.2.3.4");
	MERGED("1.2.3.254-1.2.3.254 1.2.4.0-1.2.4.0", "1.2.4.0", "1.2.3.254");
	MERGED("::1-::1 ::3-::3", "::3", "::1", "::3");
}

/* What comes after the highest address is nothing, and not the lowest. */
static void merge_does_not_wrap_around(void **state)
{
	(void)state;
	MERGED("0.0.0.0-0.0.0.0 255.255.255.255-255.255.255.255", "255.255.255.255",
	       "0.0.0.0");
	MERGED("255.255.255.254-255.255.255.255", "255.255.255.255", "255.255.255.254/31",
	       "255.255.255.255");
	MERGED("::-:: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff-"
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::");
}

static bool in(const struct ip_ranges *r, const char *address)
{
	struct ip a = ip(address);

	return ip_ranges_contains(r, &a);
}

static bool meets(const struct ip_ranges *r, const char *network)
{
	struct cidr c = cidr(network);

	return ip_ranges_overlap(r, &c);
}

static void empty_set_has_nothing(void **state)
{
	struct ip_ranges r = { .family = AF_INET };

	(void)state;
	ip_ranges_merge(&r);
	assert_false(in(&r, "0.0.0.0"));
	assert_false(in(&r, "255.255.255.255"));
	assert_false(meets(&r, "0.0.0.0/0"));
	ip_ranges_free(&r);
	assert_null(r.list);
}

static void set_has_what_was_added(void **state)
{
	struct ip_ranges r = { .family = AF_INET };

	(void)state;
	add(&r, "192.168.0.0/16");
	add(&r, "10.0.0.0/8");
	add(&r, "255.255.255.255");
	ip_ranges_merge(&r);
	assert_int_equal(r.count, 3);
	assert_true(in(&r, "10.0.0.0"));
	assert_true(in(&r, "10.255.255.255"));
	assert_true(in(&r, "192.168.7.7"));
	assert_true(in(&r, "255.255.255.255"));
	assert_false(in(&r, "9.255.255.255"));
	assert_false(in(&r, "11.0.0.0"));
	assert_false(in(&r, "192.169.0.0"));
	assert_false(in(&r, "255.255.255.254"));
	assert_true(meets(&r, "10.1.0.0/16"));
	assert_true(meets(&r, "8.0.0.0/6"));
	assert_true(meets(&r, "128.0.0.0/1"));
	assert_false(meets(&r, "11.0.0.0/8"));
	assert_false(meets(&r, "8.0.0.0/7"));
	ip_ranges_free(&r);
}

static void set_has_nothing_of_the_other_family(void **state)
{
	struct ip_ranges r4 = { .family = AF_INET }, r6 = { .family = AF_INET6 };

	(void)state;
	add(&r4, "0.0.0.0/0");
	add(&r6, "::/0");
	assert_false(in(&r4, "::"));
	assert_false(in(&r6, "0.0.0.0"));
	assert_false(meets(&r4, "::/0"));
	assert_false(meets(&r6, "0.0.0.0/0"));
	ip_ranges_free(&r4);
	ip_ranges_free(&r6);
}

static void free_leaves_an_empty_set(void **state)
{
	struct ip_ranges r = { .family = AF_INET6 };

	(void)state;
	add(&r, "::1");
	ip_ranges_free(&r);
	ip_ranges_free(&r);
	assert_int_equal(r.family, AF_INET6);
	assert_int_equal(r.count, 0);
	add(&r, "::2");
	assert_true(in(&r, "::2"));
	assert_false(in(&r, "::1"));
	ip_ranges_free(&r);
}

static void lists_are_copied_whole(void **state)
{
	struct ip_ranges a = { .family = AF_INET }, b = { .family = AF_INET };
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.%u.0.0/16", 2 * i);
		add(&a, text);
	}
	add(&b, "1.2.3.4");
	assert_int_equal(ip_ranges_add_all(&b, NULL, 0, &e), 0);
	assert_int_equal(ip_ranges_add_all(&b, a.list, a.count, &e), 0);
	assert_int_equal(b.count, 101);
	assert_memory_equal(b.list + 1, a.list, 100 * sizeof(*a.list));
	ip_ranges_free(&a);
	ip_ranges_merge(&b);
	assert_int_equal(b.count, 101);
	assert_true(in(&b, "10.198.255.255"));
	assert_false(in(&b, "10.199.0.0"));
	ip_ranges_free(&b);
}

static void too_much_is_an_error_that_changes_nothing(void **state)
{
	struct ip_ranges r = { .family = AF_INET }, before;
	struct err e;

	(void)state;
	add(&r, "1.2.3.4");
	before = r;
	assert_int_equal(ip_ranges_add_all(&r, r.list, SIZE_MAX, &e), -ENOMEM);
	assert_memory_equal(&r, &before, sizeof(r));
	assert_true(in(&r, "1.2.3.4"));
	ip_ranges_free(&r);
}

static void add_other_family(void)
{
	struct ip_ranges r = { .family = AF_INET };

	add(&r, "::1");
}

static void other_family_in_a_set_is_a_wrong_program(void **state)
{
	(void)state;
	assert_true(aborts(add_other_family));
}

/* ---- sets against a list of booleans ---- */

/* The addresses from `base` on that a trial plays with. */
enum { WORLD = 2048 };

static struct ip at(const struct ip *base, unsigned offset)
{
	struct ip a = *base;

	for (size_t i = a.family == AF_INET ? 4 : 16; i && offset; offset >>= 8) {
		offset += a.addr[--i];
		a.addr[i] = (uint8_t)offset;
	}
	return a;
}

static void fill_randomly(struct ip_ranges *r, const struct ip *base, bool *model)
{
	unsigned ranges = next_random() % 40;
	struct err e;

	while (ranges--) {
		unsigned first = next_random() % WORLD;
		unsigned last = first + next_random() % (1u << next_random() % 9);
		struct ip_range range;

		if (last >= WORLD)
			last = WORLD - 1;
		memcpy(range.first, at(base, first).addr, 16);
		memcpy(range.last, at(base, last).addr, 16);
		assert_int_equal(ip_ranges_add_all(r, &range, 1, &e), 0);
		for (unsigned i = first; i <= last; i++)
			model[i] = true;
	}
}

/* The set is as small as can be, and has what the model has. */
static void assert_same(const struct ip_ranges *r, const struct ip *base,
			const bool *model)
{
	size_t runs = 0;

	for (unsigned i = 0; i < WORLD; i++) {
		struct ip a = at(base, i);

		assert_int_equal(ip_ranges_contains(r, &a), model[i]);
		runs += model[i] && (!i || !model[i - 1]);
	}
	assert_int_equal(r->count, runs);
	for (size_t i = 1; i < r->count; i++)
		assert_true(memcmp(r->list[i - 1].last, r->list[i].first, 16) < 0);
}

/* Every network in a half of the world answers as the model does. */
static void assert_overlaps(const struct ip_ranges *r, const struct ip *base,
			    const bool *model)
{
	unsigned bits = base->family == AF_INET ? 32 : 128;

	for (unsigned size = 1, less = 0; size <= WORLD / 2; size *= 2, less++) {
		for (unsigned first = 0; first < WORLD; first += size) {
			struct cidr c = { at(base, first), bits - less };
			bool any = memchr(model + first, true, size);

			assert_int_equal(ip_ranges_overlap(r, &c), any);
		}
	}
}

/* At both ends of the space, and with carries in the middle or at the end. All begin
 * where a network of half a world may. */
static const char *const worlds[] = {
	"0.0.0.0",
	"10.0.248.0",
	"10.255.252.0",
	"255.255.248.0",
	"::",
	"2001:db8::f800",
	"2001:db8::ffff:fc00",
	"2001:db8:0:0:7fff:ffff:ffff:fc00",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:f800",
};

static void sets_agree_with_a_naive_model(void **state)
{
	(void)state;
	for (unsigned trial = 0; trial < 400; trial++) {
		struct ip base = ip(worlds[trial % COUNT(worlds)]);
		struct ip_ranges r = { .family = base.family };
		bool model[WORLD] = { false };

		fill_randomly(&r, &base, model);
		ip_ranges_merge(&r);
		assert_same(&r, &base, model);
		assert_overlaps(&r, &base, model);
		ip_ranges_merge(&r);
		assert_same(&r, &base, model);
		fill_randomly(&r, &base, model);
		ip_ranges_merge(&r);
		assert_same(&r, &base, model);
		ip_ranges_free(&r);
	}
}

static void hundred_thousand_networks_are_merged(void **state)
{
	struct ip_ranges r = { .family = AF_INET };
	struct err e;

	(void)state;
	/* Every second address of 10.0.0.0/14, in an order that is not theirs. */
	for (uint32_t i = 0; i < 131072; i++) {
		uint32_t n = 2 * (i * 40503 % 131072);
		struct cidr c = { { AF_INET,
				    { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				      (uint8_t)n } },
				  32 };

		assert_int_equal(ip_ranges_add(&r, &c, &e), 0);
	}
	ip_ranges_merge(&r);
	assert_int_equal(r.count, 131072);
	assert_true(in(&r, "10.0.0.0"));
	assert_true(in(&r, "10.3.255.254"));
	assert_false(in(&r, "10.3.255.255"));
	assert_false(in(&r, "10.1.0.1"));
	add(&r, "10.2.0.0/15");
	ip_ranges_merge(&r);
	assert_int_equal(r.count, 65536 + 1);
	add(&r, "10.0.0.0/15");
	ip_ranges_merge(&r);
	assert_int_equal(r.count, 1);
	ip_ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merge_joins_what_overlaps),
		cmocka_unit_test(merge_joins_what_touches),
		cmocka_unit_test(merge_keeps_what_is_apart),
		cmocka_unit_test(merge_does_not_wrap_around),
		cmocka_unit_test(empty_set_has_nothing),
		cmocka_unit_test(set_has_what_was_added),
		cmocka_unit_test(set_has_nothing_of_the_other_family),
		cmocka_unit_test(free_leaves_an_empty_set),
		cmocka_unit_test(lists_are_copied_whole),
		cmocka_unit_test(too_much_is_an_error_that_changes_nothing),
		cmocka_unit_test(other_family_in_a_set_is_a_wrong_program),
		cmocka_unit_test(sets_agree_with_a_naive_model),
		cmocka_unit_test(hundred_thousand_networks_are_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
