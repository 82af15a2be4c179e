/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>

#include "base/fd.h"
#include "netns/ruleset.h"
#include "netns/uplink.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

/* The sockets of a host with two ways out, up0 and far0, and with our table. */
struct sockets {
	int route, rules;
};

static struct sockets open_sockets(void)
{
	struct sockets s = { -1, -1 };
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	make_uplink();
	assert_int_equal(nl_open(NETLINK_ROUTE, &s.route, &e), 0);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &s.rules, &e), 0);
	ruleset_begin(&b);
	ruleset_add_host(&b);
	ruleset_end(&b);
	if (nl_send(s.rules, &b, &e) != 0)
		fail_msg("%s", e.msg);
	return s;
}

static void close_sockets(struct sockets *s)
{
	fd_close(&s->route);
	fd_close(&s->rules);
}

static struct uplinks one(const char *name)
{
	struct uplinks u = { .count = 1 };

	strncpy(u.names[0], name, IFNAMSIZ - 1);
	return u;
}

static void write_record(int rules, const struct uplinks *wanted,
			 const struct uplink_record *old, bool ipv6)
{
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	ruleset_begin(&b);
	if (uplink_write_record(&b, wanted, old, ipv6, &e) != 0)
		fail_msg("%s", e.msg);
	ruleset_end(&b);
	if (nl_send(rules, &b, &e) != 0)
		fail_msg("%s", e.msg);
}

static struct uplink_record read_record(int rules)
{
	struct uplink_record record;
	struct err e = { 0 };

	memset(&record, 0xee, sizeof(record));
	if (uplink_read_record(rules, &record, &e) != 0)
		fail_msg("%s", e.msg);
	return record;
}

/* One uplink with the three characters of its note. */
static void assert_record(int rules, const char *name, const char *note)
{
	struct uplink_record record = read_record(rules);

	for (unsigned i = 0; i < record.uplinks.count; i++) {
		const struct uplink_note *n = &record.notes[i];
		const char found[] = { n->forwarding, n->forwarding6, n->accept_ra, 0 };

		if (strcmp(record.uplinks.names[i], name) != 0)
			continue;
		assert_string_equal(found, note);
		return;
	}
	fail_msg("%s is not in the record", name);
}

/* ---- finding ---- */

static void find_uplinks(void)
{
	struct netns_settings s = { 0 };
	struct uplinks u = { 0 }, before;
	int route = -1;
	struct err e = { 0 };

	assert_int_equal(nl_open(NETLINK_ROUTE, &route, &e), 0);
	memset(&u, 0xee, sizeof(u));
	before = u;
	assert_int_equal(uplink_find(route, &s, false, &u, &e), -ENETUNREACH);
	make_uplink();
	assert_int_equal(uplink_find(route, &s, true, &u, &e), -ENETUNREACH);
	memcpy(s.uplink, "up7", 4);
	assert_int_equal(uplink_find(route, &s, false, &u, &e), -ENODEV);
	assert_string_equal(e.msg, "no uplink: this host has no interface up7");
	assert_memory_equal(&u, &before, sizeof(u));
	memcpy(s.uplink, "far0", 5);
	assert_int_equal(uplink_find(route, &s, true, &u, &e), 0);
	assert_int_equal(u.count, 1);
	assert_string_equal(u.names[0], "far0");
	s.uplink[0] = '\0';
	assert_int_equal(uplink_find(route, &s, false, &u, &e), 0);
	assert_string_equal(u.names[0], "up0");
	fd_close(&route);
}

static void uplink_is_the_settings_or_where_the_default_route_leads(void **state)
{
	(void)state;
	in_netns(find_uplinks);
}

static void find_two_uplinks(void)
{
	struct netns_settings s = { 0 };
	struct uplinks u;
	int route = -1;
	struct err e = { 0 };

	assert_int_equal(nl_open(NETLINK_ROUTE, &route, &e), 0);
	make_uplink();
	make_uplink6();
	assert_int_equal(uplink_find(route, &s, true, &u, &e), 0);
	assert_int_equal(u.count, 1);
	ip_do("-6 route del default");
	ip_do("address add 2001:db8:1::2/64 dev far0 nodad");
	ip_do("-6 route add default via 2001:db8:1::1");
	assert_int_equal(uplink_find(route, &s, true, &u, &e), 0);
	assert_int_equal(u.count, 2);
	assert_string_equal(u.names[0], "up0");
	assert_string_equal(u.names[1], "far0");
	assert_int_equal(uplink_find(route, &s, false, &u, &e), 0);
	assert_int_equal(u.count, 1);
	fd_close(&route);
}

static void families_may_have_different_uplinks(void **state)
{
	(void)state;
	in_netns(find_two_uplinks);
}

/* ---- the record ---- */

static void record_one(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0");
	struct sockets s = open_sockets();
	struct uplink_record record = read_record(s.rules);
	struct nft_elements els;

	assert_int_equal(record.uplinks.count, 0);
	assert_false(uplink_has_ipv6(&record));
	write_record(s.rules, &up0, &none, false);
	record = read_record(s.rules);
	assert_int_equal(record.uplinks.count, 1);
	assert_false(uplink_has_ipv6(&record));
	assert_record(s.rules, "up0", "0--");
	write_record(s.rules, &up0, &record, true);
	record = read_record(s.rules);
	assert_int_equal(record.uplinks.count, 1);
	assert_true(uplink_has_ipv6(&record));
	assert_record(s.rules, "up0", "001");
	assert_int_equal(nft_read_set("carrel", "uplinks", &els), 0);
	assert_int_equal(els.count, 1);
	assert_string_equal(els.list[0].comment,
			    "before carrel: forwarding 0, IPv6 forwarding 0, "
			    "accept_ra 1");
	nft_elements_free(&els);
	close_sockets(&s);
}

static void record_says_what_was_before(void **state)
{
	(void)state;
	in_netns(record_one);
}

static void record_twice(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0");
	struct sockets s = open_sockets();
	struct uplink_record record;
	struct err e = { 0 };

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		write_sysctl("ipv4/conf/up0/forwarding", '0');
		write_record(s.rules, &up0, &none, ipv6);
		assert_int_equal(uplink_set_forwarding(&up0, ipv6, &e), 0);
		for (int i = 0; i < 3; i++) {
			record = read_record(s.rules);
			write_record(s.rules, &up0, &record, ipv6);
			assert_record(s.rules, "up0", ipv6 ? "001" : "0--");
		}
	}
	/* IPv6 that comes later leaves the older note on IPv4. */
	write_sysctl("ipv6/conf/all/forwarding", '0');
	write_sysctl("ipv6/conf/up0/accept_ra", '0');
	write_sysctl("ipv4/conf/up0/forwarding", '0');
	write_record(s.rules, &up0, &none, false);
	assert_int_equal(uplink_set_forwarding(&up0, false, &e), 0);
	record = read_record(s.rules);
	write_record(s.rules, &up0, &record, true);
	assert_record(s.rules, "up0", "000");
	close_sockets(&s);
}

static void older_notes_are_kept(void **state)
{
	(void)state;
	in_netns(record_twice);
}

static void record_two(void)
{
	const struct uplink_record none = { 0 };
	struct uplinks both = one("up0"), far0 = one("far0");
	struct sockets s = open_sockets();
	struct uplink_record record;

	both.count = 2;
	memcpy(both.names[1], "far0", 5);
	write_sysctl("ipv4/conf/far0/forwarding", '1');
	write_record(s.rules, &both, &none, false);
	record = read_record(s.rules);
	assert_int_equal(record.uplinks.count, 2);
	assert_record(s.rules, "up0", "0--");
	assert_record(s.rules, "far0", "1--");
	/* What is not wanted any more is not in it any more. */
	write_sysctl("ipv4/conf/far0/forwarding", '0');
	write_record(s.rules, &far0, &record, false);
	assert_int_equal(read_record(s.rules).uplinks.count, 1);
	assert_record(s.rules, "far0", "1--");
	close_sockets(&s);
}

static void each_uplink_has_a_note_of_its_own(void **state)
{
	(void)state;
	in_netns(record_two);
}

static void record_what_is_not_there(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up7 = one("up7");
	struct sockets s = open_sockets();
	struct uplink_record record;
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	assert_int_equal(uplink_write_record(&b, &up7, &none, false, &e), -ENOENT);
	assert_string_equal(e.msg, "read /proc/sys/net/ipv4/conf/up7/forwarding: "
				   "No such file or directory");
	nl_free(&b);
	ruleset_begin(&b);
	ruleset_delete_table(&b);
	ruleset_end(&b);
	assert_int_equal(nl_send(s.rules, &b, &e), 0);
	assert_int_equal(uplink_read_record(s.rules, &record, &e), -ENOENT);
	close_sockets(&s);
}

static void interface_or_table_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	in_netns(record_what_is_not_there);
}

/* Somebody else's words in our set: nothing is restored from them. */
static const char *const strange_notes[] = {
	NULL,
	"",
	"before carrel",
	"before carrel: forwarding 0, IPv6 forwarding 0, accept_ra 1 and more",
};

static void read_strange_notes(void)
{
	struct sockets s = open_sockets();

	for (size_t i = 0; i < sizeof(strange_notes) / sizeof(*strange_notes); i++) {
		const struct uplinks up0 = one("up0");
		auto_nl_batch b = { 0 };
		struct err e = { 0 };

		ruleset_begin(&b);
		ruleset_flush(&b, "uplinks");
		ruleset_add(&b, "uplinks",
			    &(struct ruleset_element){ .key = up0.names[0],
						       .size = IFNAMSIZ,
						       .comment = strange_notes[i] });
		ruleset_end(&b);
		assert_int_equal(nl_send(s.rules, &b, &e), 0);
		assert_record(s.rules, "up0", "---");
	}
	close_sockets(&s);
}

static void note_of_others_says_nothing(void **state)
{
	(void)state;
	in_netns(read_strange_notes);
}

/* ---- forwarding ---- */

static void assert_sysctls(const char *values)
{
	const char found[] = { read_sysctl("ipv4/conf/up0/forwarding"),
			       read_sysctl("ipv6/conf/all/forwarding"),
			       read_sysctl("ipv6/conf/up0/accept_ra"), 0 };

	assert_string_equal(found, values);
}

static void set_and_restore(void)
{
	static const char *const before[] = { "001", "100", "012", "000", "112" };
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0");
	struct sockets s = open_sockets();
	struct uplink_record record;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		write_sysctl("ipv6/conf/all/forwarding", before[i][1]);
		write_sysctl("ipv4/conf/up0/forwarding", before[i][0]);
		write_sysctl("ipv6/conf/up0/accept_ra", before[i][2]);
		write_record(s.rules, &up0, &none, true);
		assert_int_equal(uplink_set_forwarding(&up0, true, &e), 0);
		/* Who took advertisements goes on doing so. */
		assert_sysctls(before[i][2] == '0' ? "110" : "112");
		record = read_record(s.rules);
		assert_int_equal(uplink_restore(&record, NULL, &e), 0);
		assert_sysctls(before[i]);
	}
	/* The other interface is no uplink. */
	assert_int_equal(read_sysctl("ipv4/conf/far0/forwarding"), '0');
	assert_int_equal(read_sysctl("ipv4/conf/all/forwarding"), '0');
	close_sockets(&s);
}

static void forwarding_is_set_and_restored(void **state)
{
	(void)state;
	in_netns(set_and_restore);
}

static void set_ipv4_only(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0");
	struct sockets s = open_sockets();
	struct uplink_record record;
	struct err e = { 0 };

	write_record(s.rules, &up0, &none, false);
	assert_int_equal(uplink_set_forwarding(&up0, false, &e), 0);
	assert_sysctls("101");
	/* What others change meanwhile is theirs. */
	write_sysctl("ipv6/conf/all/forwarding", '1');
	write_sysctl("ipv6/conf/up0/accept_ra", '0');
	record = read_record(s.rules);
	assert_int_equal(uplink_restore(&record, NULL, &e), 0);
	assert_sysctls("010");
	close_sockets(&s);
}

static void without_ipv6_nothing_of_it_is_changed(void **state)
{
	(void)state;
	in_netns(set_ipv4_only);
}

static void restore_but_one(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0"), far0 = one("far0");
	struct sockets s = open_sockets();
	struct uplink_record record;
	struct err e = { 0 };

	write_record(s.rules, &up0, &none, false);
	assert_int_equal(uplink_set_forwarding(&up0, false, &e), 0);
	record = read_record(s.rules);
	assert_int_equal(uplink_restore(&record, &up0, &e), 0);
	assert_sysctls("101");
	assert_int_equal(uplink_restore(&record, &far0, &e), 0);
	assert_sysctls("001");
	close_sockets(&s);
}

static void uplink_that_is_kept_is_not_restored(void **state)
{
	(void)state;
	in_netns(restore_but_one);
}

static void restore_what_has_gone(void)
{
	const struct uplink_record none = { 0 };
	const struct uplinks up0 = one("up0");
	struct sockets s = open_sockets();
	struct uplink_record record;
	struct err e = { 0 };

	write_record(s.rules, &up0, &none, true);
	assert_int_equal(uplink_set_forwarding(&up0, true, &e), 0);
	record = read_record(s.rules);
	ip_do("link del up0");
	assert_int_equal(uplink_restore(&record, NULL, &e), 0);
	assert_int_equal(read_sysctl("ipv6/conf/all/forwarding"), '0');
	assert_int_equal(uplink_set_forwarding(&up0, false, &e), -ENOENT);
	close_sockets(&s);
}

static void uplink_that_has_gone_has_nothing_to_restore(void **state)
{
	(void)state;
	in_netns(restore_what_has_gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uplink_is_the_settings_or_where_the_default_route_leads),
		cmocka_unit_test(families_may_have_different_uplinks),
		cmocka_unit_test(record_says_what_was_before),
		cmocka_unit_test(older_notes_are_kept),
		cmocka_unit_test(each_uplink_has_a_note_of_its_own),
		cmocka_unit_test(interface_or_table_that_is_not_there_is_an_error),
		cmocka_unit_test(note_of_others_says_nothing),
		cmocka_unit_test(forwarding_is_set_and_restored),
		cmocka_unit_test(without_ipv6_nothing_of_it_is_changed),
		cmocka_unit_test(uplink_that_is_kept_is_not_restored),
		cmocka_unit_test(uplink_that_has_gone_has_nothing_to_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
