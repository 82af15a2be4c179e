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

#include "netns/lists.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Settings and a plan, empty before each case. */
struct fixture {
	struct netns_settings settings;
	struct netns_plan plan;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0xee, sizeof(f));
	f.e = (struct err){ 0 };
	netns_settings_init(&f.settings);
	netns_plan_init(&f.plan);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	netns_settings_free(&f->settings);
	netns_plan_free(&f->plan);
	return f->settings.deny4.count + f->plan.deny6.count ? -1 : 0;
}

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

static struct cidr_port network(const char *text)
{
	struct cidr_port c;
	struct err e;

	if (cidr_port_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	return c;
}

static void assert_contains(const struct ip_ranges *set, const char *const *addresses,
			    bool expected)
{
	for (; *addresses; addresses++) {
		struct ip a = ip(*addresses);

		if (ip_ranges_contains(set, &a) != expected)
			fail_msg("%s is %s the set", *addresses,
				 expected ? "not in" : "in");
	}
}

static void everybody_is_denied_the_special_addresses_of_ipv4(void **state)
{
	static const char *const denied[] = { "10.0.0.0",        "10.255.255.255",
					      "127.0.0.1",       "169.254.169.254",
					      "255.255.255.255", "100.64.0.1",
					      "192.168.1.1",     NULL };
	static const char *const open[] = { "1.1.1.1", "9.255.255.255",   "11.0.0.0",
					    "8.8.8.8", "223.255.255.255", NULL };
	struct ip_ranges set = { .family = AF_INET };
	struct fixture *f = *state;

	assert_int_equal(lists_add_denied(&set, &f->e), 0);
	assert_int_equal(set.count, blocklist_deny4.count);
	ip_ranges_merge(&set);
	assert_contains(&set, denied, true);
	assert_contains(&set, open, false);
	ip_ranges_free(&set);
}

static void everybody_is_denied_ipv6_outside_of_the_public_eighth(void **state)
{
	static const char *const denied[] = { "::",
					      "::1",
					      "::ffff:1.1.1.1",
					      "64:ff9b::101:101",
					      "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
					      "4000::",
					      "fd00::1",
					      "fe80::1",
					      "ff02::1",
					      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
					      "2001:db8::1",
					      "2002::1",
					      NULL };
	static const char *const open[] = { "2000::", "2606:4700:4700::1111",
					    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
					    NULL };
	struct ip_ranges set = { .family = AF_INET6 };
	struct fixture *f = *state;

	assert_int_equal(lists_add_denied(&set, &f->e), 0);
	ip_ranges_merge(&set);
	assert_contains(&set, denied, true);
	assert_contains(&set, open, false);
	ip_ranges_free(&set);
}

static void platforms_and_the_pool_are_never_reached(void **state)
{
	static const char *const never4[] = { "10.213.0.0", "10.213.31.255",
					      "169.254.169.254", "168.63.129.16", NULL };
	static const char *const open4[] = { "10.212.255.255", "10.213.32.0", "8.8.8.8",
					     NULL };
	static const char *const never6[] = { "fd63:6172:7265:6c00::",
					      "fd63:6172:7265:6c00:ffff:ffff:ffff:ffff",
					      "fd00:ec2::254", NULL };
	static const char *const open6[] = { "fd63:6172:7265:6c01::", "2606:4700::1111",
					     NULL };
	struct ip_ranges four = { .family = AF_INET }, six = { .family = AF_INET6 };
	struct fixture *f = *state;

	assert_int_equal(lists_add_never(&four, &f->settings, &f->e), 0);
	assert_int_equal(lists_add_never(&six, &f->settings, &f->e), 0);
	assert_int_equal(four.count, blocklist_platform4.count + 1);
	assert_int_equal(six.count, blocklist_platform6.count + 1);
	ip_ranges_merge(&four);
	ip_ranges_merge(&six);
	assert_contains(&four, never4, true);
	assert_contains(&four, open4, false);
	assert_contains(&six, never6, true);
	assert_contains(&six, open6, false);
	ip_ranges_free(&four);
	ip_ranges_free(&six);
}

static void lists_are_added_to_what_is_there(void **state)
{
	struct ip_ranges set = { .family = AF_INET };
	struct cidr_port one = network("1.2.3.4");
	static const char *const both[] = { "1.2.3.4", "127.0.0.1", NULL };
	struct fixture *f = *state;

	assert_int_equal(ip_ranges_add(&set, &one.cidr, &f->e), 0);
	assert_int_equal(lists_add_denied(&set, &f->e), 0);
	ip_ranges_merge(&set);
	assert_contains(&set, both, true);
	ip_ranges_free(&set);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(everybody_is_denied_the_special_addresses_of_ipv4),
		CASE(everybody_is_denied_ipv6_outside_of_the_public_eighth),
		CASE(platforms_and_the_pool_are_never_reached),
		CASE(lists_are_added_to_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
