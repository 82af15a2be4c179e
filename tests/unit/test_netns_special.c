/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of single sandboxes, as libnftnl reads them back from the kernel. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>

#include "base/fd.h"
#include "netns/ruleset.h"
#include "netns/special.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define ME    "cr0ad50001"
#define OTHER "cr0ad50003"

static const char *const sets[] = { "dns_of4",   "dns_of6",  "allow_of4",
				    "allow_of6", "deny_of4", "deny_of6" };

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

static void allow(struct netns_plan *plan, const char *text)
{
	struct err e = { 0 };

	if (cidr_port_parse(text, &plan->allow[plan->allow_count++], &e) != 0)
		fail_msg("%s", e.msg);
}

static void deny(struct ip_ranges *set, const char *text)
{
	struct cidr c;
	struct err e = { 0 };

	assert_int_equal(cidr_parse(text, &c, &e), 0);
	assert_int_equal(ip_ranges_add(set, &c, &e), 0);
}

/* One of everything that a sandbox may have of its own. */
static struct netns_plan full_plan(void)
{
	struct netns_plan plan;

	netns_plan_init(&plan);
	plan.ipv6 = true;
	plan.dns_count = 2;
	plan.dns[0] = ip("192.0.2.53");
	plan.dns[1] = ip("2001:db8::53");
	allow(&plan, "10.1.0.0/16:443");
	allow(&plan, "[fd00:1::/32]:443");
	deny(&plan.deny4, "1.2.3.0/24");
	deny(&plan.deny6, "2606:4700::/32");
	return plan;
}

static int open_rules(void)
{
	struct err e = { 0 };
	int sock = -1;

	assert_int_equal(nl_open(NETLINK_NETFILTER, &sock, &e), 0);
	return sock;
}

static int load_host(void)
{
	int sock = open_rules();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	ruleset_begin(&b);
	ruleset_add_host(&b);
	ruleset_end(&b);
	if (nl_send(sock, &b, &e) != 0)
		fail_msg("%s", e.msg);
	return sock;
}

static void add(int sock, const struct netns_plan *plan, const char *host_end)
{
	struct netns_settings settings;
	struct err e = { 0 };

	netns_settings_init(&settings);
	if (special_add(sock, &settings, plan, host_end, &e) != 0)
		fail_msg("%s", e.msg);
}

static void take_away(int sock, const char *host_end)
{
	struct err e = { 0 };

	if (special_remove(sock, host_end, &e) != 0)
		fail_msg("%s", e.msg);
}

static size_t count_all(void)
{
	size_t count = 0;

	for (size_t i = 0; i < COUNT(sets); i++)
		count += nft_count(sets[i]);
	return count;
}

/* ---- whether ---- */

static void plan_with_something_of_its_own_is_special(void **state)
{
	struct netns_plan plan;

	(void)state;
	netns_plan_init(&plan);
	plan.egress = plan.ipv6 = true;
	assert_false(special_is_needed(&plan));
	plan.dns_count = 1;
	assert_true(special_is_needed(&plan));
	plan.dns_count = 0;
	plan.allow_count = 1;
	assert_true(special_is_needed(&plan));
	plan.allow_count = 0;
	deny(&plan.deny4, "1.2.3.4");
	assert_true(special_is_needed(&plan));
	ip_ranges_free(&plan.deny4);
	deny(&plan.deny6, "2606::");
	assert_true(special_is_needed(&plan));
	netns_plan_free(&plan);
}

/* ---- adding ---- */

/* A key as bytes: the name, the address, the port (−1: none). */
static uint32_t make_key(uint8_t *buf, const char *name, const char *address, int port)
{
	bool v4 = !strchr(address, ':');
	uint16_t wide = htons((uint16_t)port);
	uint32_t size = IFNAMSIZ + (v4 ? 4 : 16);

	memset(buf, 0, 64);
	memcpy(buf, name, strlen(name));
	assert_int_equal(inet_pton(v4 ? AF_INET : AF_INET6, address, buf + IFNAMSIZ), 1);
	if (port >= 0) {
		memcpy(buf + size, &wide, 2);
		size += 4;
	}
	return size;
}

static void assert_only(const char *set, const char *first, const char *last, int port)
{
	struct nft_elements els;
	uint8_t key[64];
	uint32_t size;

	assert_int_equal(nft_read_set("carrel", set, &els), 0);
	assert_int_equal(els.count, 1);
	size = make_key(key, ME, first, port);
	assert_int_equal(els.list[0].size, size);
	assert_memory_equal(els.list[0].key, key, size);
	if (last) {
		make_key(key, ME, last, port);
		assert_int_equal(els.list[0].size_end, size);
		assert_memory_equal(els.list[0].key_end, key, size);
	}
	nft_elements_free(&els);
}

static void add_everything(void)
{
	struct netns_plan plan = full_plan();
	auto_fd sock = load_host();

	add(sock, &plan, ME);
	assert_only("dns_of4", "192.0.2.53", NULL, -1);
	assert_only("dns_of6", "2001:db8::53", NULL, -1);
	assert_only("allow_of4", "10.1.0.0", "10.1.255.255", 443);
	assert_only("allow_of6", "fd00:1::", "fd00:1:ffff:ffff:ffff:ffff:ffff:ffff", 443);
	assert_only("deny_of4", "1.2.3.0", "1.2.3.255", -1);
	assert_only("deny_of6", "2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff",
		    -1);
	netns_plan_free(&plan);
}

static void elements_begin_with_the_name_of_the_host_end(void **state)
{
	(void)state;
	in_netns(add_everything);
}

/* A special sandbox is asked for its own resolvers only: it needs those of all,
 * too. */
static void add_with_common_resolvers(void)
{
	struct netns_settings settings;
	struct netns_plan plan;
	auto_fd sock = load_host();
	struct err e = { 0 };

	netns_settings_init(&settings);
	settings.dns_count = 1;
	settings.dns[0] = ip("192.0.2.99");
	netns_plan_init(&plan);
	allow(&plan, "10.1.2.3");
	assert_int_equal(special_add(sock, &settings, &plan, ME, &e), 0);
	assert_only("dns_of4", "192.0.2.99", NULL, -1);
	assert_int_equal(count_all(), 2);
}

static void special_sandbox_keeps_the_common_resolvers(void **state)
{
	(void)state;
	in_netns(add_with_common_resolvers);
}

static void add_without_a_table(void)
{
	struct netns_settings settings;
	struct netns_plan plan = full_plan();
	auto_fd sock = open_rules();
	struct err e = { 0 };

	netns_settings_init(&settings);
	assert_int_equal(special_add(sock, &settings, &plan, ME, &e), -ENOENT);
	assert_string_equal(e.msg, "nftables set dns_of4: No such file or directory");
	netns_plan_free(&plan);
}

static void adding_needs_the_table(void **state)
{
	(void)state;
	in_netns(add_without_a_table);
}

static void add_many(void)
{
	struct netns_plan plan;
	auto_fd sock = load_host();
	struct err e = { 0 };

	netns_plan_init(&plan);
	for (uint32_t i = 0; i < NETNS_RANGES_MAX; i++) {
		const uint32_t first = htonl(0x01000000 + 512 * i);
		struct ip_range range = { 0 };

		memcpy(range.first, &first, 4);
		memcpy(range.last, &first, 4);
		assert_int_equal(ip_ranges_add_all(&plan.deny4, &range, 1, &e), 0);
	}
	for (int i = 0; i < NETNS_ALLOW_MAX; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.1.%d.0/24:%d", i, i + 1);
		allow(&plan, text);
	}
	add(sock, &plan, ME);
	assert_int_equal(nft_count("deny_of4"), NETNS_RANGES_MAX);
	assert_int_equal(nft_count("allow_of4"), NETNS_ALLOW_MAX);
	take_away(sock, ME);
	assert_int_equal(count_all(), 0);
	netns_plan_free(&plan);
}

static void as_much_as_a_sandbox_may_have_is_added_and_removed(void **state)
{
	(void)state;
	in_netns(add_many);
}

/* Exceptions that a person may well ask for in one go. */
static const char *const overlapping[][2] = {
	{ "10.1.2.3", "10.1.2.3" },
	{ "10.1.2.3:443", "10.1.2.3:443" },
	{ "10.1.2.3", "10.1.2.3:443" },
	{ "10.1.2.3:443", "10.1.2.3" },
	{ "10.1.0.0/16", "10.1.2.3" },
	{ "10.1.2.3", "10.1.0.0/16" },
	{ "10.1.0.0/16:443", "10.1.2.0/24" },
	{ "10.1.2.0/24", "10.1.0.0/16:443" },
	{ "10.1.0.0/16:443", "10.1.0.0/24:443" },
	/* Neither is within the other. */
	{ "10.1.0.0/24", "10.1.0.0/16:443" },
	{ "10.1.0.0/16:65535", "10.1.2.0/24" },
	{ "fd00::/32", "[fd00::1]:443" },
};

static void add_overlapping(void)
{
	auto_fd sock = load_host();

	for (size_t i = 0; i < COUNT(overlapping); i++) {
		struct netns_settings settings;
		struct netns_plan plan;
		struct err e = { 0 };

		netns_settings_init(&settings);
		netns_plan_init(&plan);
		plan.ipv6 = true;
		allow(&plan, overlapping[i][0]);
		allow(&plan, overlapping[i][1]);
		if (special_add(sock, &settings, &plan, ME, &e) != 0)
			fail_msg("%s and %s: %s", overlapping[i][0], overlapping[i][1],
				 e.msg);
		take_away(sock, ME);
		assert_int_equal(count_all(), 0);
	}
}

static void exceptions_may_overlap(void **state)
{
	(void)state;
	in_netns(add_overlapping);
}

static void add_many_without_a_table(void)
{
	struct netns_settings settings;
	struct netns_plan plan;
	auto_fd sock = open_rules();
	struct err e = { 0 };

	netns_settings_init(&settings);
	netns_plan_init(&plan);
	for (int i = 0; i < 1000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "1.%d.%d.1", i / 256, i % 256);
		deny(&plan.deny4, text);
	}
	assert_int_equal(special_add(sock, &settings, &plan, ME, &e), -ENOENT);
	assert_string_equal(e.msg, "nftables set deny_of4: No such file or directory");
	netns_plan_free(&plan);
}

static void first_of_many_refusals_is_told(void **state)
{
	(void)state;
	in_netns(add_many_without_a_table);
}

/* ---- removing ---- */

static void remove_one_of_two(void)
{
	struct netns_plan plan = full_plan();
	auto_fd sock = load_host();

	take_away(sock, ME);
	add(sock, &plan, ME);
	add(sock, &plan, OTHER);
	assert_int_equal(count_all(), 12);
	/* Names that the one begins with, or that begin with it. */
	take_away(sock, "cr0ad5000");
	take_away(sock, "cr0ad500011");
	take_away(sock, "");
	assert_int_equal(count_all(), 12);
	take_away(sock, OTHER);
	assert_int_equal(count_all(), 6);
	assert_only("dns_of4", "192.0.2.53", NULL, -1);
	assert_only("deny_of6", "2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff",
		    -1);
	take_away(sock, OTHER);
	take_away(sock, ME);
	assert_int_equal(count_all(), 0);
	netns_plan_free(&plan);
}

static void only_elements_of_that_host_end_are_removed(void **state)
{
	(void)state;
	in_netns(remove_one_of_two);
}

static void remove_without_a_table(void)
{
	auto_fd sock = open_rules();

	take_away(sock, ME);
	nft_add_table("carrel", NULL, 0);
	take_away(sock, ME);
	assert_true(nft_has_table("carrel"));
}

static void without_a_table_there_is_nothing_to_remove(void **state)
{
	(void)state;
	in_netns(remove_without_a_table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_with_something_of_its_own_is_special),
		cmocka_unit_test(elements_begin_with_the_name_of_the_host_end),
		cmocka_unit_test(special_sandbox_keeps_the_common_resolvers),
		cmocka_unit_test(adding_needs_the_table),
		cmocka_unit_test(as_much_as_a_sandbox_may_have_is_added_and_removed),
		cmocka_unit_test(exceptions_may_overlap),
		cmocka_unit_test(first_of_many_refusals_is_told),
		cmocka_unit_test(only_elements_of_that_host_end_are_removed),
		cmocka_unit_test(without_a_table_there_is_nothing_to_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
