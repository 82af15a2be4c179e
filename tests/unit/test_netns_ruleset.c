/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel; what ruleset.c encodes is decoded by libnftnl. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "netns/ruleset.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static int open_rules(void)
{
	struct err e = { 0 };
	int sock = -1;

	if (nl_open(NETLINK_NETFILTER, &sock, &e) != 0)
		fail_msg("%s", e.msg);
	return sock;
}

static void send_batch(int sock, struct nl_batch *b)
{
	struct err e = { 0 };

	ruleset_end(b);
	if (nl_send(sock, b, &e) != 0)
		fail_msg("%s", e.msg);
}

static void assert_refused(int sock, struct nl_batch *b, int code, const char *words)
{
	struct err e = { 0 };

	ruleset_end(b);
	assert_int_equal(nl_send(sock, b, &e), code);
	if (strncmp(e.msg, words, strlen(words)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", e.msg, words);
}

static void load_host(int sock)
{
	auto_nl_batch b = { 0 };

	ruleset_begin(&b);
	ruleset_add_host(&b);
	send_batch(sock, &b);
}

static struct ip_range range4(uint32_t first, uint32_t last)
{
	struct ip_range r = { 0 };

	first = htonl(first);
	last = htonl(last);
	memcpy(r.first, &first, 4);
	memcpy(r.last, &last, 4);
	return r;
}

/* ---- elements, as libnftnl reads them ---- */

static struct nft_elements decode(struct nl_batch *b)
{
	struct nft_elements els = { 0 };
	struct nlmsghdr *m;
	int left;

	ruleset_end(b);
	left = (int)b->len;
	for (m = (struct nlmsghdr *)b->data; mnl_nlmsg_ok(m, left) && m->nlmsg_len;
	     m = mnl_nlmsg_next(m, &left)) {
		if (m->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM))
			nft_take_elements(m, &els);
	}
	return els;
}

static void elements_are_what_libnftnl_reads(void **state)
{
	static const struct ruleset_element plain = { .key = "\1\2\3\4", .size = 4 };
	static const struct ruleset_element commented = { .key = "aaaabbbbccccdddd",
							  .size = 16,
							  .comment = "why it is there" };
	static const struct ruleset_element wide = { .key = "\1\2\3\4\0\120\0",
						     .key_end = "\1\2\3\5\0\121\0",
						     .size = 8 };
	auto_nl_batch b = { 0 };
	struct nft_elements els;

	(void)state;
	ruleset_begin(&b);
	ruleset_add(&b, "one", &plain);
	ruleset_add(&b, "two", &commented);
	ruleset_add(&b, "three", &wide);
	els = decode(&b);
	assert_int_equal(els.count, 3);
	assert_int_equal(els.list[0].size, 4);
	assert_memory_equal(els.list[0].key, "\1\2\3\4", 4);
	assert_int_equal(els.list[0].size_end, 0);
	assert_string_equal(els.list[0].comment, "");
	assert_string_equal(els.list[1].comment, "why it is there");
	assert_memory_equal(els.list[1].key, commented.key, 16);
	assert_int_equal(els.list[2].size_end, 8);
	assert_memory_equal(els.list[2].key, wide.key, 8);
	assert_memory_equal(els.list[2].key_end, wide.key_end, 8);
	nft_elements_free(&els);
}

static void long_comment_is_cut_and_stays_a_text(void **state)
{
	struct ruleset_element el = { .key = "abcd", .size = 4 };
	auto_nl_batch b = { 0 };
	struct nft_elements els;
	char text[300];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	el.comment = text;
	ruleset_begin(&b);
	ruleset_add(&b, "one", &el);
	els = decode(&b);
	assert_int_equal(strlen(els.list[0].comment), 99);
	nft_elements_free(&els);
}

/* A range is its first address and the one behind its last, which is marked. */
static void assert_pair(const struct nft_elements *els, size_t *at, const char *first,
			const char *behind)
{
	const char *const texts[] = { first, behind };

	for (int i = 0; i < 2 && texts[i]; i++) {
		const struct nft_element *el = &els->list[(*at)++];
		uint8_t key[16];
		int family = strchr(texts[i], ':') ? AF_INET6 : AF_INET;

		assert_true(*at <= els->count);
		assert_int_equal(inet_pton(family, texts[i], key), 1);
		assert_int_equal(el->size, family == AF_INET ? 4 : 16);
		assert_memory_equal(el->key, key, el->size);
		assert_int_equal(el->flags, i ? NFT_SET_ELEM_INTERVAL_END : 0);
	}
}

static void range_ends_with_the_address_behind_it(void **state)
{
	const struct ip_range list[] = {
		range4(0, 0),
		range4(0x0a000000, 0x0affffff),
		range4(0xc0a801fe, 0xc0a801ff),
		range4(0xffffff00, 0xffffffff),
	};
	auto_nl_batch b = { 0 };
	struct nft_elements els;
	size_t at = 0;

	(void)state;
	ruleset_begin(&b);
	ruleset_add_ranges(&b, "any", list, COUNT(list), AF_INET);
	els = decode(&b);
	assert_pair(&els, &at, "0.0.0.0", "0.0.0.1");
	assert_pair(&els, &at, "10.0.0.0", "11.0.0.0");
	assert_pair(&els, &at, "192.168.1.254", "192.168.2.0");
	/* Nothing is behind the last address of all. */
	assert_pair(&els, &at, "255.255.255.0", NULL);
	assert_int_equal(els.count, at);
	nft_elements_free(&els);
}

static void ipv6_range_carries_over_all_its_bytes(void **state)
{
	const struct ip_range list[] = {
		{ { 0 }, { [15] = 0xff } },
		{ { 0x20, 0x01 },
		  { 0x20, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 0xff } },
		{ { 0xfe, 0x80 },
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 0xff } },
	};
	auto_nl_batch b = { 0 };
	struct nft_elements els;
	size_t at = 0;

	(void)state;
	ruleset_begin(&b);
	ruleset_add_ranges(&b, "any", list, COUNT(list), AF_INET6);
	els = decode(&b);
	assert_pair(&els, &at, "::", "::100");
	assert_pair(&els, &at, "2001::", "2002::");
	assert_pair(&els, &at, "fe80::", NULL);
	assert_int_equal(els.count, at);
	nft_elements_free(&els);
}

static void no_ranges_are_no_message(void **state)
{
	auto_nl_batch b = { 0 };

	(void)state;
	ruleset_begin(&b);
	ruleset_add_ranges(&b, "any", NULL, 0, AF_INET);
	assert_int_equal(b.count, 1);
}

/* ---- exceptions ---- */

static const struct {
	const char *text;
	const char *first, *last;
	uint16_t first_port, last_port;
} exceptions[] = {
	{ "10.1.2.3:443", "10.1.2.3", "10.1.2.3", 443, 443 },
	{ "10.1.2.3", "10.1.2.3", "10.1.2.3", 0, 65535 },
	{ "10.1.0.0/16:65535", "10.1.0.0", "10.1.255.255", 65535, 65535 },
	{ "10.1.2.128/25:1", "10.1.2.128", "10.1.2.255", 1, 1 },
	{ "10.1.2.0/23", "10.1.2.0", "10.1.3.255", 0, 65535 },
	{ "0.0.0.0/0", "0.0.0.0", "255.255.255.255", 0, 65535 },
	{ "2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", 0,
	  65535 },
	{ "[2001:db8::1]:53", "2001:db8::1", "2001:db8::1", 53, 53 },
	{ "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, 65535 },
};

static void assert_key(const uint8_t *key, size_t size, const char *address,
		       uint16_t port)
{
	uint8_t expected[20] = { 0 };
	uint16_t wide = htons(port);

	assert_int_equal(inet_pton(size == 8 ? AF_INET : AF_INET6, address, expected), 1);
	memcpy(expected + size - 4, &wide, 2);
	assert_memory_equal(key, expected, size);
}

static void exceptions_are_addresses_and_ports(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(exceptions); i++) {
		struct ruleset_exception x;
		struct cidr_port c;
		struct err e;

		assert_int_equal(cidr_port_parse(exceptions[i].text, &c, &e), 0);
		memset(&x, 0xee, sizeof(x));
		ruleset_exception_of(&c, &x);
		assert_int_equal(x.size, strchr(exceptions[i].first, ':') ? 20 : 8);
		assert_key(x.first, x.size, exceptions[i].first,
			   exceptions[i].first_port);
		assert_key(x.last, x.size, exceptions[i].last, exceptions[i].last_port);
	}
}

/* ---- sets in the kernel ---- */

static int assert_known(const struct ruleset_found *found, void *context, struct err *e)
{
	(void)e;
	assert_int_equal(found->element.size, 16);
	assert_memory_equal(found->element.key, "up0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_string_equal(found->element.comment, "a comment");
	assert_null(found->element.key_end);
	assert_int_equal(found->packets, 0);
	++*(unsigned *)context;
	return 0;
}

static void add_read_and_delete(void)
{
	static const struct ruleset_element el = { .key = "up0\0\0\0\0\0\0\0\0\0\0\0\0",
						   .size = 16,
						   .comment = "a comment" };
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };
	unsigned count = 0;

	load_host(sock);
	assert_int_equal(ruleset_has(sock, "uplinks", el.key, 16, &e), -ENOENT);
	ruleset_begin(&b);
	ruleset_add(&b, "uplinks", &el);
	send_batch(sock, &b);
	assert_int_equal(ruleset_has(sock, "uplinks", el.key, 16, &e), 0);
	assert_int_equal(ruleset_read(sock, "uplinks", assert_known, &count, &e), 0);
	assert_int_equal(count, 1);
	ruleset_begin(&b);
	ruleset_delete(&b, "uplinks", &el);
	send_batch(sock, &b);
	assert_int_equal(ruleset_has(sock, "uplinks", el.key, 16, &e), -ENOENT);
	ruleset_begin(&b);
	ruleset_delete(&b, "uplinks", &el);
	assert_refused(sock, &b, -ENOENT, "nftables set uplinks: ");
}

static void element_is_there_from_adding_to_deleting(void **state)
{
	(void)state;
	in_netns(add_read_and_delete);
}

static void look_for_what_is_not_there(void)
{
	auto_fd sock = open_rules();
	struct err e = { 0 };
	unsigned count = 0;

	assert_int_equal(ruleset_has(sock, "uplinks", "0123456789abcdef", 16, &e),
			 -ENOENT);
	assert_string_equal(e.msg, "nftables set uplinks: No such file or directory");
	assert_int_equal(ruleset_read(sock, "dns4", assert_known, &count, &e), -ENOENT);
	assert_string_equal(e.msg, "nftables set dns4: No such file or directory");
	load_host(sock);
	assert_int_equal(ruleset_has(sock, "nosuch", "0123456789abcdef", 16, &e),
			 -ENOENT);
	assert_int_equal(ruleset_read(sock, "nosuch", assert_known, &count, &e), -ENOENT);
	assert_string_equal(e.msg, "nosuch: No such file or directory");
	assert_int_equal(ruleset_read(sock, "dns4", assert_known, &count, &e), 0);
	assert_int_equal(count, 0);
}

static void absent_tables_sets_and_keys_are_told_as_such(void **state)
{
	(void)state;
	in_netns(look_for_what_is_not_there);
}

static void flush_one_set(void)
{
	static const struct ruleset_element el = { .key = "\1\2\3\4", .size = 4 };
	const struct ip_range range = range4(0x01000000, 0x01ffffff);
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };

	load_host(sock);
	ruleset_begin(&b);
	ruleset_add(&b, "dns4", &el);
	ruleset_add_ranges(&b, "deny4", &range, 1, AF_INET);
	ruleset_flush(&b, "never4");
	send_batch(sock, &b);
	assert_int_equal(nft_count("dns4"), 1);
	ruleset_begin(&b);
	ruleset_flush(&b, "deny4");
	send_batch(sock, &b);
	assert_int_equal(nft_count("deny4"), 0);
	assert_int_equal(nft_count("dns4"), 1);
	ruleset_begin(&b);
	ruleset_flush(&b, "nosuch");
	assert_refused(sock, &b, -ENOENT, "nosuch: ");
}

static void flush_empties_the_one_set(void **state)
{
	(void)state;
	in_netns(flush_one_set);
}

static void send_one_bad_element(void)
{
	static const struct ruleset_element el = { .key = "\1\2\3\4", .size = 4 };
	static const struct ruleset_element wrong = { .key = "\1\2\3\4\5", .size = 5 };
	const struct ip_range range = range4(0x01000000, 0x01ffffff);
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };

	load_host(sock);
	ruleset_begin(&b);
	ruleset_add(&b, "dns4", &el);
	send_batch(sock, &b);
	for (int i = 0; i < 2; i++) {
		ruleset_begin(&b);
		ruleset_flush(&b, "dns4");
		ruleset_add_ranges(&b, "deny4", &range, 1, AF_INET);
		ruleset_add(&b, i ? "nosuch" : "dns4", i ? &el : &wrong);
		ruleset_add_ranges(&b, "never4", &range, 1, AF_INET);
		assert_refused(sock, &b, i ? -ENOENT : -EINVAL,
			       i ? "nosuch: " : "nftables set dns4: ");
		assert_int_equal(nft_count("dns4"), 1);
		assert_int_equal(nft_count("deny4"), 0);
		assert_int_equal(nft_count("never4"), 0);
	}
	/* A table that was to be made is not there either. */
	ruleset_begin(&b);
	ruleset_delete_table(&b);
	send_batch(sock, &b);
	ruleset_begin(&b);
	ruleset_add_host(&b);
	ruleset_add(&b, "nosuch", &el);
	assert_refused(sock, &b, -ENOENT, "nosuch: ");
	assert_false(nft_has_table("carrel"));
}

static void transaction_with_one_wrong_element_leaves_all_as_it_was(void **state)
{
	(void)state;
	in_netns(send_one_bad_element);
}

static void delete_the_table(void)
{
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };

	nft_add_table("other", NULL, 0);
	load_host(sock);
	ruleset_begin(&b);
	ruleset_delete_table(&b);
	send_batch(sock, &b);
	assert_false(nft_has_table("carrel"));
	assert_true(nft_has_table("other"));
	ruleset_begin(&b);
	ruleset_delete_table(&b);
	assert_refused(sock, &b, -ENOENT, "remove nftables table carrel: ");
}

static void only_our_table_is_deleted(void **state)
{
	(void)state;
	in_netns(delete_the_table);
}

/* ---- whose table it is ---- */

static void find_our_table(void)
{
	auto_fd sock = open_rules();
	struct err e = { 0 };

	assert_int_equal(ruleset_find_table(sock, &e), -ENOENT);
	assert_string_equal(e.msg, "nftables table carrel: No such file or directory");
	nft_add_table("other", NULL, 0);
	assert_int_equal(ruleset_find_table(sock, &e), -ENOENT);
	load_host(sock);
	assert_int_equal(ruleset_find_table(sock, &e), 0);
}

static void our_table_is_found(void **state)
{
	(void)state;
	in_netns(find_our_table);
}

/* What somebody else may have written into a table of that name. */
static const struct {
	const char *data;
	size_t size;
} foreign[] = {
	{ NULL, 0 },       { "", 1 },         { "carrel 2", 9 },
	{ "carrel 1", 8 }, { "Carrel 1", 9 }, { "\0\12a comment", 12 },
};

static void find_foreign_tables(void)
{
	auto_nl_batch b = { 0 };

	for (size_t i = 0; i < COUNT(foreign); i++) {
		auto_fd sock = open_rules();
		struct err e = { 0 };

		nft_add_table("carrel", foreign[i].data, foreign[i].size);
		assert_int_equal(ruleset_find_table(sock, &e), -EEXIST);
		assert_string_equal(e.msg, "nftables table inet carrel exists and is not "
					   "carrel's");
		fd_close(&sock);
		sock = open_rules();
		ruleset_begin(&b);
		ruleset_delete_table(&b);
		send_batch(sock, &b);
	}
}

static void table_without_our_mark_is_not_ours(void **state)
{
	(void)state;
	in_netns(find_foreign_tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_are_what_libnftnl_reads),
		cmocka_unit_test(long_comment_is_cut_and_stays_a_text),
		cmocka_unit_test(range_ends_with_the_address_behind_it),
		cmocka_unit_test(ipv6_range_carries_over_all_its_bytes),
		cmocka_unit_test(no_ranges_are_no_message),
		cmocka_unit_test(exceptions_are_addresses_and_ports),
		cmocka_unit_test(element_is_there_from_adding_to_deleting),
		cmocka_unit_test(absent_tables_sets_and_keys_are_told_as_such),
		cmocka_unit_test(flush_empties_the_one_set),
		cmocka_unit_test(transaction_with_one_wrong_element_leaves_all_as_it_was),
		cmocka_unit_test(only_our_table_is_deleted),
		cmocka_unit_test(our_table_is_found),
		cmocka_unit_test(table_without_our_mark_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
