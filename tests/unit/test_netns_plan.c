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

#include "netns/netns.h"

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

/* ---- defaults ---- */

static void settings_begin_with_the_defaults(void **state)
{
	struct fixture *f = *state;
	char text[CIDR_TEXT_MAX];

	assert_string_equal(cidr_format(text, &f->settings.pool4), "10.213.0.0/19");
	assert_string_equal(cidr_format(text, &f->settings.pool6),
			    "fd63:6172:7265:6c00::/64");
	assert_string_equal(f->settings.uplink, "");
	assert_int_equal(f->settings.dns_count, 0);
	assert_int_equal(f->settings.deny4.family, AF_INET);
	assert_int_equal(f->settings.deny6.family, AF_INET6);
	assert_int_equal(f->settings.deny4.count + f->settings.deny6.count, 0);
	assert_int_equal(f->settings.flows, 4096);
	assert_int_equal(f->settings.rate, 200);
}

static void plan_begins_with_nothing(void **state)
{
	struct fixture *f = *state;

	assert_false(f->plan.egress || f->plan.ipv6);
	assert_int_equal(f->plan.dns_count + f->plan.allow_count, 0);
	assert_int_equal(f->plan.deny4.family, AF_INET);
	assert_int_equal(f->plan.deny6.family, AF_INET6);
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), 0);
}

static void resolvers_are_the_plans_or_else_the_settings(void **state)
{
	struct fixture *f = *state;
	const struct ip *list = NULL;

	assert_int_equal(netns_resolvers(&f->settings, &f->plan, &list), 0);
	f->settings.dns_count = 2;
	assert_int_equal(netns_resolvers(&f->settings, &f->plan, &list), 2);
	assert_ptr_equal(list, f->settings.dns);
	f->plan.dns_count = 1;
	assert_int_equal(netns_resolvers(&f->settings, &f->plan, &list), 1);
	assert_ptr_equal(list, f->plan.dns);
}

/* ---- checks ---- */

/* An exception, and how the complaint about it begins; NULL: there is none. */
static const struct {
	const char *text;
	bool ipv6;
	int code;
	const char *complaint;
} exceptions[] = {
	{ "10.1.2.3", false, 0, NULL },
	{ "10.212.255.255:443", false, 0, NULL },
	{ "10.213.32.0/19", false, 0, NULL },
	{ "127.0.0.1", false, 0, NULL },
	{ "fd00::1", true, 0, NULL },
	{ "fd00::1", false, -EINVAL, "an exception for fd00::1/128, but no IPv6" },
	{ "169.254.169.254", false, -EPERM,
	  "an exception for 169.254.169.254/32 would open metadata or platform "
	  "addresses" },
	{ "169.254.169.254:80", false, -EPERM,
	  "an exception for 169.254.169.254/32 would open metadata or platform "
	  "addresses" },
	{ "168.63.129.0/24:53", false, -EPERM,
	  "an exception for 168.63.129.0/24 would open metadata or platform addresses" },
	{ "0.0.0.0/0", false, -EPERM,
	  "an exception for 0.0.0.0/0 would open metadata or platform addresses" },
	{ "fd00:ec2::/32", true, -EPERM,
	  "an exception for fd00:ec2::/32 would open metadata or platform addresses" },
	{ "::/0", true, -EPERM,
	  "an exception for ::/0 would open metadata or platform addresses" },
	{ "10.213.0.0", false, -EPERM,
	  "an exception for 10.213.0.0/32 would open other sandboxes" },
	{ "10.213.31.255:1", false, -EPERM,
	  "an exception for 10.213.31.255/32 would open other sandboxes" },
	{ "10.0.0.0/8", false, -EPERM,
	  "an exception for 10.0.0.0/8 would open other sandboxes" },
	{ "fd63:6172:7265:6c00::1", true, -EPERM,
	  "an exception for fd63:6172:7265:6c00::1/128 would open other sandboxes" },
};

static void exceptions_open_neither_platforms_nor_sandboxes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(exceptions); i++) {
		int r;

		f->e = (struct err){ 0 };
		f->plan.ipv6 = exceptions[i].ipv6;
		f->plan.allow_count = 2;
		f->plan.allow[0] = network("10.1.2.3:1");
		f->plan.allow[1] = network(exceptions[i].text);
		r = netns_plan_check(&f->settings, &f->plan, &f->e);
		if (r != exceptions[i].code)
			fail_msg("%s: %d %s", exceptions[i].text, r, f->e.msg);
		assert_int_equal(f->e.code, r);
		if (exceptions[i].complaint)
			assert_string_equal(f->e.msg, exceptions[i].complaint);
	}
}

static void assert_platform(struct fixture *f, const struct blocklist *list, int family)
{
	for (size_t i = 0; i < list->count; i++) {
		struct cidr_port *c = &f->plan.allow[0];

		*c = (struct cidr_port){ .cidr = { .ip = { .family = family },
						   .prefix =
							   family == AF_INET ? 32 : 128 },
					 .port = 80 };
		memcpy(c->cidr.ip.addr, list->list[i].last, 16);
		assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), -EPERM);
	}
}

static void no_platform_address_can_be_an_exception(void **state)
{
	struct fixture *f = *state;

	f->plan.ipv6 = true;
	f->plan.allow_count = 1;
	assert_platform(f, &blocklist_platform4, AF_INET);
	assert_platform(f, &blocklist_platform6, AF_INET6);
}

static void pool_is_the_one_of_the_settings(void **state)
{
	struct fixture *f = *state;

	f->plan.allow_count = 1;
	f->plan.allow[0] = network("10.213.0.1");
	f->settings.pool4 = network("192.168.7.0/24").cidr;
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), 0);
	f->plan.allow[0] = network("192.168.7.9");
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), -EPERM);
}

static void ipv6_resolvers_need_ipv6(void **state)
{
	struct fixture *f = *state;

	f->plan.dns_count = 2;
	f->plan.dns[0] = ip("192.0.2.1");
	f->plan.dns[1] = ip("2001:db8::1");
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), -EINVAL);
	assert_string_equal(f->e.msg, "resolver 2001:db8::1, but no IPv6");
	f->plan.ipv6 = true;
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), 0);
	/* The settings' are for all: a sandbox without IPv6 just does not get it. */
	f->plan.ipv6 = false;
	f->plan.dns_count = 0;
	f->settings.dns_count = 1;
	f->settings.dns[0] = ip("2001:db8::1");
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), 0);
}

static void sandbox_has_no_more_denials_than_it_may(void **state)
{
	struct ip_range one = { { 1 }, { 1 } };
	char words[128];
	struct fixture *f = *state;

	for (int i = 0; i < NETNS_RANGES_MAX; i++)
		assert_int_equal(
			ip_ranges_add_all(i % 2 ? &f->plan.deny4 : &f->plan.deny6, &one,
					  1, &f->e),
			0);
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), 0);
	assert_int_equal(ip_ranges_add_all(&f->plan.deny6, &one, 1, &f->e), 0);
	assert_int_equal(netns_plan_check(&f->settings, &f->plan, &f->e), -E2BIG);
	snprintf(words, sizeof(words),
		 "%d denied ranges of one sandbox: more than %d belong into the "
		 "configuration",
		 NETNS_RANGES_MAX + 1, NETNS_RANGES_MAX);
	assert_string_equal(f->e.msg, words);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(settings_begin_with_the_defaults),
		CASE(plan_begins_with_nothing),
		CASE(resolvers_are_the_plans_or_else_the_settings),
		CASE(exceptions_open_neither_platforms_nor_sandboxes),
		CASE(no_platform_address_can_be_an_exception),
		CASE(pool_is_the_one_of_the_settings),
		CASE(ipv6_resolvers_need_ipv6),
		CASE(sandbox_has_no_more_denials_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
