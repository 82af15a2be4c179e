/* SPDX-License-Identifier: Apache-2.0 */
/* Whole rulesets and large sets: what was sent is what the kernel says it has. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>

#include "base/fd.h"
#include "netns/ruleset.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>

enum {
	RANGES = 100000,
	FEWER_RANGES = 5000, /* several packets of answers; the kernel is quadratic */
	RULES_MAX = 256,
};

static const struct ruleset_limits limits = { .flows = 7, .rate = 11 };

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

	if (nl_send(sock, b, &e) != 0)
		fail_msg("%s", e.msg);
}

static void build_inside4(struct nl_batch *b)
{
	ruleset_begin(b);
	ruleset_add_inside(b, false, &limits);
	ruleset_end(b);
}

static void build_inside46(struct nl_batch *b)
{
	ruleset_begin(b);
	ruleset_add_inside(b, true, &limits);
	ruleset_end(b);
}

static void build_host(struct nl_batch *b)
{
	ruleset_begin(b);
	ruleset_add_host(b);
	ruleset_end(b);
}

/* ---- rules ---- */

/* Rules as text, without what the kernel adds. */
struct rules {
	char *texts[RULES_MAX];
	char *chains[RULES_MAX];
	unsigned count;
};

static void rules_free(struct rules *rules)
{
	for (unsigned i = 0; i < rules->count; i++) {
		free(rules->texts[i]);
		free(rules->chains[i]);
	}
	rules->count = 0;
}

/* `other` is not longer than `part`. */
static void replace(char *text, const char *part, const char *other)
{
	size_t len = strlen(other);

	for (char *p = text; (p = strstr(p, part)); p += len) {
		memcpy(p, other, len);
		memmove(p + len, p + strlen(part), strlen(p + strlen(part)) + 1);
	}
}

/* The kernel also tells what has its default value, and has its own name for a register
 * of four bytes where one of sixteen begins. */
static void make_comparable(char *text)
{
	replace(text, " timeout 0ms", "");
	replace(text, "0x0 ", "");
	replace(text, "reg 12 ", "reg 2 ");
	replace(text, "reg 16 ", "reg 3 ");
}

static int take_rule(const struct nlmsghdr *m, void *context)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct rules *rules = context;
	char text[8192];

	assert_non_null(r);
	assert_true(rules->count < RULES_MAX);
	assert_int_equal(nftnl_rule_nlmsg_parse(m, r), 0);
	assert_string_equal(nftnl_rule_get_str(r, NFTNL_RULE_TABLE), "carrel");
	nftnl_rule_unset(r, NFTNL_RULE_HANDLE);
	nftnl_rule_unset(r, NFTNL_RULE_POSITION);
	assert_true(nftnl_rule_snprintf(text, sizeof(text), r, NFTNL_OUTPUT_DEFAULT, 0) >
		    0);
	make_comparable(text);
	rules->texts[rules->count] = strdup(text);
	rules->chains[rules->count++] = strdup(nftnl_rule_get_str(r, NFTNL_RULE_CHAIN));
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

static void decode_rules(const struct nl_batch *b, struct rules *ret)
{
	int left = (int)b->len;
	struct nlmsghdr *m = (struct nlmsghdr *)b->data;

	ret->count = 0;
	for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
		if (m->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
			take_rule(m, ret);
	}
}

static void read_rules(struct rules *ret)
{
	char request[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETRULE, NFPROTO_INET,
						   NLM_F_DUMP, 1);

	ret->count = 0;
	assert_int_equal(nft_ask(request, m->nlmsg_len, take_rule, ret), 0);
}

/* The order matters within a chain; the kernel lists one chain after the other. */
static void assert_same_rules(const struct rules *sent, struct rules *found)
{
	assert_int_equal(found->count, sent->count);
	for (unsigned i = 0; i < sent->count; i++) {
		unsigned j = 0;

		while (j < found->count &&
		       (!found->texts[j] || strcmp(found->chains[j], sent->chains[i])))
			j++;
		assert_true(j < found->count);
		assert_string_equal(found->texts[j], sent->texts[i]);
		free(found->texts[j]);
		found->texts[j] = NULL;
	}
}

static void send_and_compare(void (*build)(struct nl_batch *b), unsigned times)
{
	struct rules sent = { 0 }, found = { 0 };

	for (unsigned i = 0; i < times; i++) {
		auto_fd sock = open_rules();
		auto_nl_batch b = { 0 };

		build(&b);
		rules_free(&sent);
		decode_rules(&b, &sent);
		send_batch(sock, &b);
	}
	assert_true(sent.count > 20);
	read_rules(&found);
	assert_same_rules(&sent, &found);
	rules_free(&sent);
	rules_free(&found);
}

static void load_inside4(void)
{
	send_and_compare(build_inside4, 1);
}

static void load_inside46(void)
{
	send_and_compare(build_inside46, 1);
}

static void load_host_thrice(void)
{
	send_and_compare(build_host, 3);
}

static void kernel_has_the_rules_that_were_sent(void **state)
{
	(void)state;
	in_netns(load_inside4);
	in_netns(load_inside46);
}

static void host_rules_are_replaced_and_not_doubled(void **state)
{
	(void)state;
	in_netns(load_host_thrice);
}

static void load_host_over_elements(void)
{
	static const struct ruleset_element el = { .key = "\1\2\3\4", .size = 4 };
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };

	build_host(&b);
	send_batch(sock, &b);
	ruleset_begin(&b);
	ruleset_add(&b, "dns4", &el);
	ruleset_end(&b);
	send_batch(sock, &b);
	build_host(&b);
	send_batch(sock, &b);
	assert_int_equal(nft_count("dns4"), 1);
}

static void host_rules_are_replaced_and_elements_stay(void **state)
{
	(void)state;
	in_netns(load_host_over_elements);
}

static int take_policy(const struct nlmsghdr *m, void *context)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	unsigned *dropping = context;

	assert_non_null(c);
	assert_int_equal(nftnl_chain_nlmsg_parse(m, c), 0);
	if (nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP)
		*dropping |= 1u << nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);
	nftnl_chain_free(c);
	return MNL_CB_OK;
}

static void read_policies(void)
{
	char request[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETCHAIN,
						   NFPROTO_INET, NLM_F_DUMP, 1);
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };
	unsigned dropping = 0;

	build_inside4(&b);
	send_batch(sock, &b);
	assert_int_equal(nft_ask(request, m->nlmsg_len, take_policy, &dropping), 0);
	assert_int_equal(dropping, 1u << NF_INET_LOCAL_OUT | 1u << NF_INET_LOCAL_IN);
}

static void what_no_rule_knows_is_dropped_inside(void **state)
{
	(void)state;
	in_netns(read_policies);
}

/* ---- limits ---- */

/* What the expressions of rules say. */
struct limits_found {
	uint32_t flows;
	uint64_t rate;
	uint32_t burst;
	unsigned count;
};

static int take_expression(struct nftnl_expr *x, void *context)
{
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);
	struct limits_found *found = context;

	if (!strcmp(name, "connlimit")) {
		found->flows = nftnl_expr_get_u32(x, NFTNL_EXPR_CONNLIMIT_COUNT);
		assert_int_equal(nftnl_expr_get_u32(x, NFTNL_EXPR_CONNLIMIT_FLAGS),
				 NFT_LIMIT_F_INV);
		found->count++;
	} else if (!strcmp(name, "limit")) {
		found->rate = nftnl_expr_get_u64(x, NFTNL_EXPR_LIMIT_RATE);
		found->burst = nftnl_expr_get_u32(x, NFTNL_EXPR_LIMIT_BURST);
		assert_int_equal(nftnl_expr_get_u64(x, NFTNL_EXPR_LIMIT_UNIT), 1);
		assert_int_equal(nftnl_expr_get_u32(x, NFTNL_EXPR_LIMIT_FLAGS),
				 NFT_LIMIT_F_INV);
		found->count++;
	}
	return 0;
}

static int take_limits(const struct nlmsghdr *m, void *context)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	assert_non_null(r);
	assert_int_equal(nftnl_rule_nlmsg_parse(m, r), 0);
	assert_int_equal(nftnl_expr_foreach(r, take_expression, context), 0);
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

static const struct {
	struct ruleset_limits wanted;
	struct limits_found expected;
} limit_rows[] = {
	{ { 4096, 200 }, { 4096, 200, 1000, 2 } },
	{ { 1, 1 }, { 1, 1, 5, 2 } },
	{ { 1000000, 1000000 }, { 1000000, 1000000, 5000000, 2 } },
	/* None: more than there can be. */
	{ { 0, 0 }, { UINT32_MAX, INT32_MAX, INT32_MAX, 2 } },
	{ { 5, INT32_MAX / 5 + 1 }, { 5, INT32_MAX / 5 + 1, INT32_MAX, 2 } },
	{ { 0x01020304, 0x0a0b0c }, { 0x01020304, 0x0a0b0c, 5 * 0x0a0b0c, 2 } },
};

static void load_limits(void)
{
	char request[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETRULE, NFPROTO_INET,
						   NLM_F_DUMP, 1);

	for (size_t i = 0; i < 2 * sizeof(limit_rows) / sizeof(*limit_rows); i++) {
		const struct limits_found *expected = &limit_rows[i / 2].expected;
		struct limits_found found = { 0 };
		auto_fd sock = open_rules();
		auto_nl_batch b = { 0 };

		ruleset_begin(&b);
		ruleset_add_inside(&b, i % 2, &limit_rows[i / 2].wanted);
		ruleset_end(&b);
		send_batch(sock, &b);
		assert_int_equal(nft_ask(request, m->nlmsg_len, take_limits, &found), 0);
		assert_int_equal(found.count, expected->count);
		assert_int_equal(found.flows, expected->flows);
		assert_int_equal(found.rate, expected->rate);
		assert_int_equal(found.burst, expected->burst);
		ruleset_begin(&b);
		ruleset_delete_table(&b);
		ruleset_end(&b);
		send_batch(sock, &b);
	}
}

static void limits_are_those_that_were_wanted(void **state)
{
	(void)state;
	in_netns(load_limits);
}

/* ---- large sets ---- */

/* A range of five addresses in every 40000 from 1.0.0.0 on. */
static struct ip_range nth_range(uint32_t i)
{
	uint32_t first = htonl(0x01000000 + 40000 * i);
	uint32_t last = htonl(0x01000000 + 40000 * i + 4);
	struct ip_range r = { 0 };

	memcpy(r.first, &first, 4);
	memcpy(r.last, &last, 4);
	return r;
}

static uint32_t address_of(const void *key)
{
	uint32_t address;

	memcpy(&address, key, sizeof(address));
	return ntohl(address);
}

/* The kernel lists them in an order of its own: marks which have been seen. */
static void assert_nth_ranges(const struct nft_elements *els)
{
	static uint8_t seen[RANGES];
	size_t marked = 0;

	for (size_t i = 0; i < els->count; i++) {
		const struct nft_element *el = &els->list[i];
		bool is_end = el->flags & NFT_SET_ELEM_INTERVAL_END;
		uint32_t offset = address_of(el->key) - 0x01000000 - (is_end ? 5 : 0);

		/* Some kernels begin with the end of nothing. */
		if (is_end && !address_of(el->key))
			continue;
		assert_int_equal(offset % 40000, 0);
		assert_true(offset / 40000 < RANGES);
		assert_int_equal(seen[offset / 40000] & (is_end ? 2 : 1), 0);
		seen[offset / 40000] |= is_end ? 2 : 1;
		marked++;
	}
	assert_int_equal(marked, 2 * RANGES);
}

static int count_found(const struct ruleset_found *found, void *context, struct err *e)
{
	(void)e;
	if (address_of(found->element.key))
		++*(unsigned *)context;
	return 0;
}

static void load_many_ranges(void)
{
	struct ip_range *list = calloc(RANGES, sizeof(*list));
	auto_fd sock = open_rules();
	auto_nl_batch b = { 0 };
	struct nft_elements els;
	unsigned count = 0;
	struct err e = { 0 };

	assert_non_null(list);
	for (uint32_t i = 0; i < RANGES; i++)
		list[i] = nth_range(i);
	ruleset_begin(&b);
	ruleset_add_host(&b);
	ruleset_add_ranges(&b, "deny4", list, RANGES, AF_INET);
	ruleset_add_ranges(&b, "never4", list, FEWER_RANGES, AF_INET);
	ruleset_end(&b);
	assert_true(b.len > 1 << 20);
	send_batch(sock, &b);
	assert_int_equal(nft_read_set("carrel", "deny4", &els), 0);
	assert_nth_ranges(&els);
	nft_elements_free(&els);
	assert_int_equal(ruleset_read(sock, "never4", count_found, &count, &e), 0);
	assert_int_equal(count, 2 * FEWER_RANGES);
	free(list);
}

static void hundred_thousand_ranges_arrive(void **state)
{
	(void)state;
	in_netns(load_many_ranges);
}

/* ---- counters ---- */

static void count_refusals(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(9),
					     .sin_addr.s_addr = htonl(0xc6120009) };
	auto_fd sock = open_rules(), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_nl_batch b = { 0 };
	uint64_t packets = 77;
	struct err e = { 0 };

	assert_int_equal(ruleset_read_counter(sock, "refused", &packets, &e), -ENOENT);
	assert_string_equal(e.msg, "refused: No such file or directory");
	build_inside4(&b);
	send_batch(sock, &b);
	assert_int_equal(ruleset_read_counter(sock, "refused", &packets, &e), 0);
	assert_int_equal(packets, 0);
	assert_int_equal(ruleset_read_counter(sock, "nosuch", &packets, &e), -ENOENT);
	/* An interface that comes up would send some of its own. */
	write_sysctl("ipv6/conf/default/disable_ipv6", '1');
	make_uplink();
	/* Not our own source address: dropped, and no refusal. */
	err_ignore(sendto(udp, "x", 1, 0, (const void *)&address, sizeof(address)) < 0);
	assert_int_equal(ruleset_read_counter(sock, "refused", &packets, &e), 0);
	assert_int_equal(packets, 0);
	ruleset_begin(&b);
	ruleset_add(&b, "self4",
		    &(struct ruleset_element){ .key = "\xc6\x12\0\2", .size = 4 });
	ruleset_add(&b, "deny4",
		    &(struct ruleset_element){ .key = "\xc6\x12\0\0", .size = 4 });
	ruleset_end(&b);
	send_batch(sock, &b);
	for (int i = 0; i < 3; i++)
		err_ignore(sendto(udp, "x", 1, 0, (const void *)&address,
				  sizeof(address)) < 0);
	assert_int_equal(ruleset_read_counter(sock, "refused", &packets, &e), 0);
	assert_int_equal(packets, 3);
}

static void counter_counts_what_was_refused(void **state)
{
	(void)state;
	in_netns(count_refusals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_has_the_rules_that_were_sent),
		cmocka_unit_test(host_rules_are_replaced_and_not_doubled),
		cmocka_unit_test(host_rules_are_replaced_and_elements_stay),
		cmocka_unit_test(what_no_rule_knows_is_dropped_inside),
		cmocka_unit_test(limits_are_those_that_were_wanted),
		cmocka_unit_test(hundred_thousand_ranges_arrive),
		cmocka_unit_test(counter_counts_what_was_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
