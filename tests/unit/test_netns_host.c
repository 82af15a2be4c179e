/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of filtered egress, in a namespace that stands for the
 * host's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>

#include "base/fd.h"
#include "netns/host.h"
#include "netns/lists.h"
#include "netns/ruleset.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

static struct netns_settings defaults(void)
{
	struct netns_settings s;

	netns_settings_init(&s);
	return s;
}

static void deny(struct ip_ranges *set, const char *text)
{
	struct cidr c = cidr(text);
	struct err e = { 0 };

	assert_int_equal(ip_ranges_add(set, &c, &e), 0);
}

static struct host open_host(void)
{
	struct host host = HOST_NONE;
	struct err e = { 0 };

	if (host_open(&host, &e) != 0)
		fail_msg("%s", e.msg);
	return host;
}

static void up(const struct netns_settings *s, bool ipv6)
{
	struct err e = { 0 };

	if (netns_host_up(s, ipv6, &e) != 0)
		fail_msg("%s", e.msg);
}

static void down(void)
{
	struct err e = { 0 };

	if (netns_host_down(&e) != 0)
		fail_msg("%s", e.msg);
}

/* As a start does, whose veth is there when it lets go. */
static int try_to_ensure(const struct netns_settings *s, bool ipv6, struct err *e)
{
	struct host host = open_host();
	auto_fd lock = -1;
	int r = host_open_lock(&lock, e);

	if (r == 0)
		r = host_ensure(&host, lock, s, ipv6, e);
	if (lock >= 0)
		host_release(lock);
	host_close(&host);
	return r;
}

static void ensure(const struct netns_settings *s, bool ipv6)
{
	struct err e = { 0 };

	if (try_to_ensure(s, ipv6, &e) != 0)
		fail_msg("%s", e.msg);
}

static struct netns_host_state show(const struct netns_settings *s)
{
	struct netns_host_state state;
	struct err e = { 0 };

	memset(&state, 0xee, sizeof(state));
	if (netns_host_show(s, &state, &e) != 0)
		fail_msg("%s", e.msg);
	return state;
}

static void assert_state(const struct netns_settings *s, bool is_up, bool is_current,
			 const char *uplink, unsigned sandboxes)
{
	struct netns_host_state state = show(s);

	assert_int_equal(state.up, is_up);
	assert_int_equal(state.current, is_current);
	assert_string_equal(state.uplink, uplink);
	assert_int_equal(state.sandboxes, sandboxes);
}

static void assert_sysctls(const char *values)
{
	const char found[] = { read_sysctl("ipv4/conf/up0/forwarding"),
			       read_sysctl("ipv6/conf/all/forwarding"),
			       read_sysctl("ipv6/conf/up0/accept_ra"), 0 };

	assert_string_equal(found, values);
}

/* ---- up and down ---- */

static void go_up_and_down(void)
{
	struct netns_settings s = defaults();

	make_uplink();
	nft_add_table("other", "x", 2);
	assert_state(&s, false, false, "", 0);
	assert_sysctls("001");
	up(&s, false);
	assert_state(&s, true, true, "up0", 0);
	assert_sysctls("101");
	assert_true(nft_count_rules() > 20);
	down();
	assert_state(&s, false, false, "", 0);
	assert_sysctls("001");
	assert_int_equal(nft_count_rules(), 0);
	assert_false(nft_has_table("carrel"));
	assert_true(nft_has_table("other"));
	netns_settings_free(&s);
}

static void what_went_up_comes_down(void **state)
{
	(void)state;
	in_netns(go_up_and_down);
}

static void go_twice(void)
{
	struct netns_settings s = defaults();
	size_t denied;
	unsigned rules;

	make_uplink();
	down();
	up(&s, false);
	rules = nft_count_rules();
	denied = nft_count("deny4");
	for (int i = 0; i < 3; i++) {
		up(&s, false);
		ensure(&s, false);
		assert_int_equal(nft_count_rules(), rules);
		assert_int_equal(nft_count("deny4"), denied);
		assert_int_equal(nft_count("settings"), 1);
		assert_int_equal(nft_count("uplinks"), 1);
	}
	down();
	assert_sysctls("001");
	down();
	assert_sysctls("001");
	netns_settings_free(&s);
}

static void twice_is_as_good_as_once(void **state)
{
	(void)state;
	in_netns(go_twice);
}

static void add_ipv6_later(void)
{
	struct netns_settings s = defaults();

	make_uplink();
	ip_do("address add 2001:db8::2/64 dev far0 nodad");
	ip_do("route add default via 2001:db8::1");
	ensure(&s, false);
	assert_sysctls("101");
	assert_int_equal(nft_count("uplinks"), 1);
	ensure(&s, true);
	assert_sysctls("112");
	assert_int_equal(read_sysctl("ipv6/conf/far0/accept_ra"), '2');
	assert_int_equal(nft_count("uplinks"), 2);
	/* What needs no IPv6 does not take it away. */
	ensure(&s, false);
	up(&s, false);
	assert_int_equal(nft_count("uplinks"), 2);
	/* Somebody did: it is put back. */
	write_sysctl("ipv6/conf/all/forwarding", '0');
	ensure(&s, true);
	assert_sysctls("112");
	down();
	assert_sysctls("001");
	assert_int_equal(read_sysctl("ipv6/conf/far0/accept_ra"), '1');
	netns_settings_free(&s);
}

static void ipv6_comes_when_it_is_needed_and_stays(void **state)
{
	(void)state;
	in_netns(add_ipv6_later);
}

/* ---- what is in it ---- */

/* Is the address the first of a range or a key of the set? */
static bool set_has(const char *set, const char *address)
{
	uint8_t key[16] = { 0 };
	struct nft_elements els;
	bool found = false;

	assert_int_equal(
		inet_pton(strchr(address, ':') ? AF_INET6 : AF_INET, address, key), 1);
	assert_int_equal(nft_read_set("carrel", set, &els), 0);
	for (size_t i = 0; i < els.count; i++)
		found |= !(els.list[i].flags & NFT_SET_ELEM_INTERVAL_END) &&
			 !memcmp(els.list[i].key, key, els.list[i].size);
	nft_elements_free(&els);
	return found;
}

static void look_into_the_sets(void)
{
	struct netns_settings s = defaults();

	make_uplink();
	s.pool4 = cidr("172.30.0.0/16");
	s.pool6 = cidr("fd12::/64");
	s.dns_count = 2;
	assert_int_equal(ip_parse("192.0.2.53", &s.dns[0]), 0);
	assert_int_equal(ip_parse("2001:db8::53", &s.dns[1]), 0);
	deny(&s.deny4, "1.2.3.0/24");
	deny(&s.deny6, "2606:4700::/32");
	up(&s, false);
	assert_true(set_has("pool4", "172.30.0.0"));
	assert_true(set_has("pool6", "fd12::"));
	assert_true(set_has("never4", "172.30.0.0"));
	assert_true(set_has("never4", "169.254.169.254"));
	assert_true(set_has("never6", "fd12::"));
	assert_true(set_has("never6", "fd00:ec2::253"));
	assert_true(set_has("deny4", "1.2.3.0"));
	assert_true(set_has("deny4", "10.0.0.0"));
	assert_true(set_has("deny6", "2606:4700::"));
	assert_true(set_has("deny6", "4000::"));
	assert_true(set_has("dns4", "192.0.2.53"));
	assert_true(set_has("dns6", "2001:db8::53"));
	/* Settings that no longer say so. */
	netns_settings_free(&s);
	s = defaults();
	up(&s, false);
	assert_false(set_has("pool4", "172.30.0.0"));
	assert_true(set_has("pool4", "10.213.0.0"));
	assert_false(set_has("deny4", "1.2.3.0"));
	assert_false(set_has("deny6", "2606:4700::"));
	assert_int_equal(nft_count("dns4") + nft_count("dns6"), 0);
	netns_settings_free(&s);
}

static void sets_hold_what_the_settings_say(void **state)
{
	(void)state;
	in_netns(look_into_the_sets);
}

static void change_pool4(struct netns_settings *s)
{
	s->pool4 = cidr("10.213.0.0/20");
}

static void change_pool6(struct netns_settings *s)
{
	s->pool6 = cidr("fd63:6172:7265:6c01::/64");
}

static void change_dns(struct netns_settings *s)
{
	s->dns_count = 1;
	assert_int_equal(ip_parse("192.0.2.53", &s->dns[0]), 0);
}

static void change_deny4(struct netns_settings *s)
{
	deny(&s->deny4, "1.2.3.4");
}

static void change_deny6(struct netns_settings *s)
{
	deny(&s->deny6, "2606::1");
}

static void change_uplink(struct netns_settings *s)
{
	memcpy(s->uplink, "far0", 5);
}

static void change_limits(struct netns_settings *s)
{
	s->flows = 1;
	s->rate = 1;
}

static void (*const changes[])(struct netns_settings *s) = {
	change_pool4, change_pool6, change_dns, change_deny4, change_deny6, change_uplink,
};

static void notice_changes(void)
{
	struct netns_settings first = defaults(), s;

	make_uplink();
	first.dns_count = 1;
	assert_int_equal(ip_parse("192.0.2.52", &first.dns[0]), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		s = defaults();
		s.dns_count = 1;
		s.dns[0] = first.dns[0];
		changes[i](&s);
		up(&first, false);
		assert_state(&first, true, true, "up0", 0);
		assert_int_equal(show(&s).current, false);
		/* Nobody relies on it. */
		ensure(&s, false);
		assert_int_equal(show(&s).current, true);
		assert_int_equal(show(&first).current, false);
		netns_settings_free(&s);
	}
	/* Of what is in sandboxes alone, the host knows nothing. */
	s = first;
	change_limits(&s);
	up(&first, false);
	assert_int_equal(show(&s).current, true);
}

static void each_setting_that_changes_is_noticed(void **state)
{
	(void)state;
	in_netns(notice_changes);
}

static void move_the_uplink(void)
{
	struct netns_settings s = defaults();

	make_uplink();
	up(&s, false);
	assert_sysctls("101");
	change_uplink(&s);
	up(&s, false);
	assert_state(&s, true, true, "far0", 0);
	assert_sysctls("001");
	assert_int_equal(read_sysctl("ipv4/conf/far0/forwarding"), '1');
	down();
	assert_int_equal(read_sysctl("ipv4/conf/far0/forwarding"), '0');
	assert_sysctls("001");
}

static void former_uplink_gets_its_forwarding_back(void **state)
{
	(void)state;
	in_netns(move_the_uplink);
}

static void move_the_uplink_with_ipv6(void)
{
	struct netns_settings s = defaults();

	make_uplink();
	make_uplink6();
	up(&s, true);
	change_uplink(&s);
	up(&s, true);
	down();
	assert_sysctls("001");
}

static void forwarding_of_ipv6_ends_though_the_uplink_changed(void **state)
{
	(void)state;
	in_netns(move_the_uplink_with_ipv6);
}

/* ---- refusals ---- */

static void assert_up_fails(const struct netns_settings *s, bool ipv6, int code,
			    const char *words)
{
	struct err e = { 0 };

	assert_int_equal(netns_host_up(s, ipv6, &e), code);
	assert_string_equal(e.msg, words);
	assert_int_equal(try_to_ensure(s, ipv6, &e), code);
	assert_string_equal(e.msg, words);
}

static void meet_a_foreign_table(void)
{
	static const char words[] = "nftables table inet carrel exists and is not "
				    "carrel's";
	struct netns_settings s = defaults();
	struct netns_host_state state;
	struct err e = { 0 };

	make_uplink();
	nft_add_table("carrel", "theirs", 7);
	assert_up_fails(&s, false, -EEXIST, words);
	assert_int_equal(netns_host_down(&e), -EEXIST);
	assert_string_equal(e.msg, words);
	assert_int_equal(netns_host_show(&s, &state, &e), -EEXIST);
	assert_false(state.up);
	assert_true(nft_has_table("carrel"));
	assert_int_equal(nft_count_rules(), 0);
	assert_sysctls("001");
}

static void table_of_somebody_else_is_left_alone(void **state)
{
	(void)state;
	in_netns(meet_a_foreign_table);
}

static void go_up_nowhere(void)
{
	struct netns_settings s = defaults();

	assert_up_fails(&s, false, -ENETUNREACH,
			"no uplink: this host has no default route for IPv4");
	memcpy(s.uplink, "up7", 4);
	assert_up_fails(&s, false, -ENODEV, "no uplink: this host has no interface up7");
	make_uplink();
	s.uplink[0] = '\0';
	ip_do("route add 10.213.7.0/24 dev up0");
	assert_up_fails(&s, false, -EEXIST,
			"this host has a route to 10.213.7.0/24, within the pool "
			"10.213.0.0/19");
	ip_do("route del 10.213.7.0/24 dev up0");
	make_uplink6();
	ip_do("route add fd63:6172:7265:6c00::/80 dev up0");
	assert_up_fails(&s, true, -EEXIST,
			"this host has a route to fd63:6172:7265:6c00::/80, within the "
			"pool fd63:6172:7265:6c00::/64");
	assert_false(nft_has_table("carrel"));
	assert_sysctls("001");
	up(&s, false);
}

static void nothing_is_changed_where_it_cannot_be(void **state)
{
	(void)state;
	in_netns(go_up_nowhere);
}

static void be_used(void)
{
	struct netns_settings s = defaults(), other = defaults();
	struct err e = { 0 };

	make_uplink();
	up(&s, false);
	ip_do("link add cr0ad50001 type veth peer name eth0");
	ip_do("link set cr0ad50001 group 13260257");
	ip_do("link add cr0ad50003 type veth peer name eth1");
	ip_do("link set cr0ad50003 group 13260258");
	ip_do("link add cr0ad50005 group 13260259 type veth peer name eth2");
	assert_state(&s, true, true, "up0", 2);
	ensure(&s, false);
	change_deny4(&other);
	assert_int_equal(try_to_ensure(&other, false, &e), -EBUSY);
	assert_string_equal(e.msg, "the host's network is set up with other settings, "
				   "which 2 sandboxes rely on; `carrel network up` "
				   "changes them");
	assert_state(&s, true, true, "up0", 2);
	/* A person may. */
	up(&other, false);
	assert_state(&other, true, true, "up0", 2);
	netns_settings_free(&other);
}

static void settings_that_sandboxes_rely_on_are_not_changed_by_a_start(void **state)
{
	(void)state;
	in_netns(be_used);
}

static void go_down_while_used(void)
{
	struct netns_settings s = defaults();
	struct err e = { 0 };
	pid_t pid;

	make_uplink();
	up(&s, false);
	ip_do("link add cr0ad50001 type veth peer name eth0");
	ip_do("link set cr0ad50001 group 13260258");
	assert_int_equal(netns_host_down(&e), -EBUSY);
	assert_string_equal(e.msg, "1 sandboxes use the host's network");
	assert_state(&s, true, true, "up0", 1);
	assert_sysctls("101");
	/* One that is about to go is waited for. */
	pid = fork();
	if (pid == 0) {
		usleep(300000);
		ip_do("link del cr0ad50001");
		_exit(0);
	}
	down();
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(nft_has_table("carrel"));
}

static void what_sandboxes_use_does_not_go_down(void **state)
{
	(void)state;
	in_netns(go_down_while_used);
}

static void race_up(void)
{
	enum { RACERS = 8 };
	struct netns_settings s = defaults();
	pid_t pids[RACERS];
	unsigned rules;
	int status;

	make_uplink();
	up(&s, false);
	rules = nft_count_rules();
	down();
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			ensure(&s, false);
			_exit(0);
		}
	}
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(nft_count_rules(), rules);
	assert_state(&s, true, true, "up0", 0);
	down();
	assert_sysctls("001");
}

static void many_at_once_set_it_up_once(void **state)
{
	(void)state;
	in_netns(race_up);
}

static void try_without_privilege(void)
{
	struct netns_settings s = defaults();
	struct err e = { 0 };

	make_uplink();
	up(&s, false);
	assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_true(netns_host_up(&s, false, &e) < 0);
	assert_true(netns_host_down(&e) < 0);
	assert_sysctls("101");
}

static void without_privilege_it_is_an_error(void **state)
{
	(void)state;
	in_netns(try_without_privilege);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_up_comes_down),
		cmocka_unit_test(twice_is_as_good_as_once),
		cmocka_unit_test(ipv6_comes_when_it_is_needed_and_stays),
		cmocka_unit_test(sets_hold_what_the_settings_say),
		cmocka_unit_test(each_setting_that_changes_is_noticed),
		cmocka_unit_test(former_uplink_gets_its_forwarding_back),
		cmocka_unit_test(forwarding_of_ipv6_ends_though_the_uplink_changed),
		cmocka_unit_test(table_of_somebody_else_is_left_alone),
		cmocka_unit_test(nothing_is_changed_where_it_cannot_be),
		cmocka_unit_test(
			settings_that_sandboxes_rely_on_are_not_changed_by_a_start),
		cmocka_unit_test(what_sandboxes_use_does_not_go_down),
		cmocka_unit_test(many_at_once_set_it_up_once),
		cmocka_unit_test(without_privilege_it_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
