/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netns/facts.h"
#include "netns/nl.h"
#include "tests/unit/in_netns.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static int open_route(void)
{
	struct err e = { 0 };
	int sock = -1;

	if (nl_open(NETLINK_ROUTE, &sock, &e) != 0)
		fail_msg("%s", e.msg);
	return sock;
}

/* ---- addresses ---- */

/* Those before the NULL are in the set, those behind it are not. */
static void assert_addresses(int route, const char *skip, const char *const *addresses)
{
	struct cidr skipped = cidr(skip);
	struct ip_ranges set = { .family = skipped.ip.family };
	struct err e = { 0 };
	bool inside = true;

	if (facts_add_addresses(route, &skipped, &set, &e) != 0)
		fail_msg("%s", e.msg);
	ip_ranges_merge(&set);
	for (int n = 0; n < 2; addresses++) {
		struct ip ip;

		n += !*addresses;
		inside &= n == 0;
		if (!*addresses)
			continue;
		assert_int_equal(ip_parse(*addresses, &ip), 0);
		if (ip_ranges_contains(&set, &ip) != inside)
			fail_msg("%s is %s", *addresses, inside ? "missing" : "listed");
	}
	ip_ranges_free(&set);
}

static void list_addresses(void)
{
	static const char *const none[] = { NULL, "127.0.0.1", "192.0.2.10", NULL };
	static const char *const four[] = {
		"127.0.0.1",   "192.0.2.10", "192.0.2.20",    "198.51.100.1",
		"10.213.32.0", NULL,         "203.0.113.9",   "192.0.2.11",
		"10.213.0.6",  "10.213.0.7", "10.213.31.255", NULL,
	};
	static const char *const six[] = { "::1",     "2001:db8::5", NULL,
					   "fd00::7", "2001:db8::6", NULL };
	auto_fd route = open_route();

	assert_addresses(route, "10.213.0.0/19", none);
	ip_do("link set lo up");
	ip_do("link add up0 type veth peer name far0");
	ip_do("link set up0 up");
	ip_do("address add 192.0.2.10/24 dev up0");
	ip_do("address add 192.0.2.20/24 dev up0");
	/* An interface that is down, and one with another address at its other end. */
	ip_do("address add 198.51.100.1 peer 203.0.113.9 dev far0");
	ip_do("address add 10.213.0.6/31 dev far0");
	ip_do("address add 10.213.31.255/32 dev far0");
	ip_do("address add 10.213.32.0/32 dev far0");
	ip_do("address add 2001:db8::5/64 dev up0 nodad");
	ip_do("address add fd00::7/64 dev up0 nodad");
	assert_addresses(route, "10.213.0.0/19", four);
	for (int i = 0; i < 500 && !ip_says("-6 route show table local", "fd00::7"); i++)
		usleep(1000);
	assert_addresses(route, "fd00::/64", six);
}

/* Begins where the pool does, and goes on behind it. */
static void list_a_wider_network(void)
{
	static const char *const expected[] = { "10.213.31.255",  "10.213.32.0",
						"10.213.255.255", NULL,
						"10.214.0.0",     NULL };
	auto_fd route = open_route();

	ip_do("link set lo up");
	ip_do("route add local 10.213.0.0/16 dev lo");
	assert_addresses(route, "10.213.0.0/19", expected);
}

static void networks_wider_than_the_pool_are_listed(void **state)
{
	(void)state;
	in_netns(list_a_wider_network);
}

static void all_addresses_of_the_host_are_listed_but_the_pools(void **state)
{
	(void)state;
	in_netns(list_addresses);
}

/* ---- the uplink ---- */

static void assert_no_uplink(int route, int family)
{
	char name[IFNAMSIZ];
	struct err e = { 0 };

	assert_int_equal(facts_find_uplink(route, family, name, &e), -ENETUNREACH);
	if (!strstr(e.msg, family == AF_INET ? "internet" : "IPv6") &&
	    !strstr(e.msg, "no default route for IPv"))
		fail_msg("\"%s\"", e.msg);
}

static void assert_uplink(int route, int family, const char *expected)
{
	char name[IFNAMSIZ] = "";
	struct err e = { 0 };

	if (facts_find_uplink(route, family, name, &e) != 0)
		fail_msg("%s", e.msg);
	assert_string_equal(name, expected);
}

static void look_for_uplinks(void)
{
	auto_fd route = open_route();

	assert_no_uplink(route, AF_INET);
	assert_no_uplink(route, AF_INET6);
	make_uplink();
	assert_uplink(route, AF_INET, "up0");
	assert_no_uplink(route, AF_INET6);
	make_uplink6();
	assert_uplink(route, AF_INET6, "up0");
	ip_do("link set up0 down");
	assert_no_uplink(route, AF_INET);
	assert_no_uplink(route, AF_INET6);
}

static void uplink_is_where_the_default_route_leads(void **state)
{
	(void)state;
	in_netns(look_for_uplinks);
}

static void look_for_better_uplinks(void)
{
	auto_fd route = open_route();

	make_uplink();
	ip_do("address add 198.19.0.2/24 dev far0");
	ip_do("route add default via 198.19.0.1 metric 100");
	assert_uplink(route, AF_INET, "up0");
	ip_do("route del default via 198.18.0.1");
	assert_uplink(route, AF_INET, "far0");
	/* As VPN software does it. */
	ip_do("route add 0.0.0.0/1 dev up0");
	assert_uplink(route, AF_INET, "up0");
}

static void uplink_is_the_one_that_the_kernel_would_take(void **state)
{
	(void)state;
	in_netns(look_for_better_uplinks);
}

static void look_at_the_loopback(void)
{
	auto_fd route = open_route();
	char name[IFNAMSIZ];
	struct err e = { 0 };

	ip_do("link set lo up");
	ip_do("route add default dev lo");
	assert_int_equal(facts_find_uplink(route, AF_INET, name, &e), -ENETUNREACH);
	assert_string_equal(e.msg, "no uplink: this host has no default route for IPv4");
}

static void loopback_is_no_uplink(void **state)
{
	(void)state;
	in_netns(look_at_the_loopback);
}

/* ---- groups ---- */

static unsigned count_group(int route, uint32_t first, uint32_t last)
{
	unsigned count = 77;
	struct err e = { 0 };

	if (facts_count_group(route, first, last, &count, &e) != 0)
		fail_msg("%s", e.msg);
	return count;
}

static void count_groups(void)
{
	auto_fd route = open_route();

	assert_int_equal(count_group(route, 5, 9), 0);
	assert_int_equal(count_group(route, 0, 0), 1); /* lo */
	ip_do("link add a0 type veth peer name a1");
	ip_do("link add b0 type veth peer name b1");
	ip_do("link set a0 group 5");
	ip_do("link set a1 group 6");
	ip_do("link set b0 group 9");
	ip_do("link set b1 group 2147483647");
	assert_int_equal(count_group(route, 5, 9), 3);
	assert_int_equal(count_group(route, 5, 6), 2);
	assert_int_equal(count_group(route, 6, 9), 2);
	assert_int_equal(count_group(route, 7, 8), 0);
	assert_int_equal(count_group(route, 10, UINT32_MAX), 1);
}

static void interfaces_are_counted_by_group(void **state)
{
	(void)state;
	in_netns(count_groups);
}

/* The list is read in several packets, and is then read again. */
static void come_and_go(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ip_do("link add x0 type veth peer name x1");
		ip_do("link del x0");
	}
}

static void count_while_others_come_and_go(void)
{
	enum { PAIRS = 40, TIMES = 200 };
	auto_fd route = open_route();
	char command[128];
	pid_t pid;

	for (int i = 0; i < PAIRS; i++) {
		snprintf(command, sizeof(command),
			 "link add a%d group 5 type veth peer name b%d", i, i);
		ip_do(command);
	}
	pid = fork();
	if (pid == 0)
		come_and_go();
	assert_true(pid > 0);
	for (int i = 0; i < TIMES; i++)
		assert_int_equal(count_group(route, 5, 5), PAIRS);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void count_is_right_while_other_interfaces_come_and_go(void **state)
{
	(void)state;
	in_netns(count_while_others_come_and_go);
}

/* ---- routes ---- */

/* A route, and how the complaint about it ends; NULL: there is none. */
static const struct {
	const char *route, *network, *complaint;
} routes[] = {
	{ "route add 10.213.0.0/19 dev up0", "10.213.0.0/19",
	  "this host has a route to 10.213.0.0/19, within the pool 10.213.0.0/19" },
	{ "route add 10.213.4.0/24 dev up0", "10.213.0.0/19",
	  "this host has a route to 10.213.4.0/24, within the pool 10.213.0.0/19" },
	{ "route add 10.213.31.255/32 via 198.18.0.1", "10.213.0.0/19",
	  "this host has a route to 10.213.31.255/32, within the pool "
	  "10.213.0.0/19" },
	{ "route add 10.213.4.0/24 dev up0 table 77", "10.213.0.0/19",
	  "this host has a route to 10.213.4.0/24, within the pool 10.213.0.0/19" },
	{ "route add 10.213.4.0/24 nexthop via 198.18.0.1 nexthop via 198.18.0.3",
	  "10.213.0.0/19",
	  "this host has a route to 10.213.4.0/24, within the pool 10.213.0.0/19" },
	{ "address add 10.213.8.1/24 dev up0", "10.213.0.0/19",
	  "this host has a route to 10.213.8.0/24, within the pool 10.213.0.0/19" },
	{ "route add fd00::40/122 dev up0", "fd00::/64",
	  "this host has a route to fd00::40/122, within the pool fd00::/64" },
	/* Next to it. */
	{ "route add 10.213.32.0/19 dev up0", "10.213.0.0/19", NULL },
	{ "route add 10.212.0.0/16 dev up0", "10.213.0.0/19", NULL },
	{ "route add fd00:0:0:1::/64 dev up0", "fd00::/64", NULL },
	/* Wider than it. */
	{ "route add 10.0.0.0/8 dev up0", "10.213.0.0/19", NULL },
	{ "route add 10.213.0.0/18 dev up0", "10.213.0.0/19", NULL },
	/* To nobody. */
	{ "route add blackhole 10.213.4.0/24", "10.213.0.0/19", NULL },
	{ "route add unreachable 10.213.4.0/24", "10.213.0.0/19", NULL },
	/* Of the other family. */
	{ "route add fd00::40/122 dev up0", "10.213.0.0/19", NULL },
	/* Our own. */
	{ "route add 10.213.0.0/31 dev cr0ad50001", "10.213.0.0/19", NULL },
};

static size_t route_row;

static void check_one_route(void)
{
	struct cidr network = cidr(routes[route_row].network);
	const char *complaint = routes[route_row].complaint;
	auto_fd route = open_route();
	struct err e = { 0 };
	int r;

	make_uplink();
	ip_do("link add cr0ad50001 type veth peer name eth0");
	ip_do("link set cr0ad50001 up");
	ip_do("link set eth0 up");
	r = facts_check_unused(route, &network, &e);
	if (r != 0)
		fail_msg("%s", e.msg);
	ip_do(routes[route_row].route);
	r = facts_check_unused(route, &network, &e);
	if (r != (complaint ? -EEXIST : 0))
		fail_msg("%s: %d %s", routes[route_row].route, r, e.msg);
	if (complaint)
		assert_string_equal(e.msg, complaint);
}

static void routes_of_others_into_the_network_are_found(void **state)
{
	(void)state;
	for (route_row = 0; route_row < COUNT(routes); route_row++)
		in_netns(check_one_route);
}

/* ---- names ---- */

static void look_for_indexes(void)
{
	auto_fd here = open_route();

	assert_int_equal(facts_index_of(here, "lo"), 1);
	assert_int_equal(facts_index_of(here, "a0"), 0);
	assert_int_equal(facts_index_of(here, ""), 0);
	assert_int_equal(facts_index_of(here, "a_name_too_long_"), 0);
	assert_int_equal(facts_index_of(-1, "lo"), 0);
	ip_do("link add a0 index 9 type veth peer name a1");
	assert_int_equal(facts_index_of(here, "a0"), 9);
	/* In the namespace of the socket. */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(facts_index_of(here, "a0"), 9);
}

static void interfaces_have_indexes_in_the_sockets_namespace(void **state)
{
	(void)state;
	in_netns(look_for_indexes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_addresses_of_the_host_are_listed_but_the_pools),
		cmocka_unit_test(networks_wider_than_the_pool_are_listed),
		cmocka_unit_test(uplink_is_where_the_default_route_leads),
		cmocka_unit_test(uplink_is_the_one_that_the_kernel_would_take),
		cmocka_unit_test(loopback_is_no_uplink),
		cmocka_unit_test(interfaces_are_counted_by_group),
		cmocka_unit_test(count_is_right_while_other_interfaces_come_and_go),
		cmocka_unit_test(routes_of_others_into_the_network_are_found),
		cmocka_unit_test(interfaces_have_indexes_in_the_sockets_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
