/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: what a rule is made of, its conditions and what it does, as libnftnl has
 * them. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>

#include <libnftnl/expr.h>

#include "netns/ruleset_rules.h"

static struct nftnl_expr *expr(const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	if (!x)
		ruleset_die("an expression that libnftnl does not know");
	return x;
}

static void load_meta(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *x = expr("meta");

	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, reg);
	nftnl_rule_add_expr(r, x);
}

static void load_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset,
			 uint32_t len, uint32_t reg)
{
	struct nftnl_expr *x = expr("payload");

	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, reg);
	nftnl_rule_add_expr(r, x);
}

static void compare(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *x = expr("cmp");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, data, len);
	nftnl_rule_add_expr(r, x);
}

static void compare_u8(struct nftnl_rule *r, uint32_t op, uint8_t value)
{
	compare(r, op, &value, sizeof(value));
}

static void compare_u32(struct nftnl_rule *r, uint32_t op, uint32_t value)
{
	compare(r, op, &value, sizeof(value));
}

static void lookup(struct nftnl_rule *r, const char *set, bool invert)
{
	struct nftnl_expr *x = expr("lookup");

	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, set);
	if (invert)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	nftnl_rule_add_expr(r, x);
}

/* NFT_REG_1 is the same bytes as NFT_REG32_00; the parts of a key lie side by side. */
static uint32_t reg32(uint32_t bytes)
{
	return bytes ? NFT_REG32_00 + bytes / 4 : NFT_REG_1;
}

/* Offsets and sizes of struct iphdr and struct ipv6hdr. Returns the bytes. */
static uint32_t load_address(struct nftnl_rule *r, int family, bool source, uint32_t at)
{
	uint32_t offset = family == 4 ? (source ? 12 : 16) : (source ? 8 : 24);
	uint32_t size = family == 4 ? 4 : 16;

	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, size, reg32(at));
	return size;
}

/* TCP's and UDP's are in the same place. */
static void load_port(struct nftnl_rule *r, uint32_t at)
{
	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg32(at));
}

void if_family(struct nftnl_rule *r, int family)
{
	load_meta(r, NFT_META_NFPROTO, NFT_REG_1);
	compare_u8(r, NFT_CMP_EQ, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

/* The loopback interface of every network namespace is its first. */
void if_out_loopback(struct nftnl_rule *r)
{
	load_meta(r, NFT_META_OIF, NFT_REG_1);
	compare_u32(r, NFT_CMP_EQ, 1);
}

void if_in_loopback(struct nftnl_rule *r)
{
	load_meta(r, NFT_META_IIF, NFT_REG_1);
	compare_u32(r, NFT_CMP_EQ, 1);
}

/* Leaves only those bits. */
static void mask(struct nftnl_rule *r, uint32_t len, uint32_t bits)
{
	const uint32_t none = 0;
	struct nftnl_expr *x = expr("bitwise");

	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, &bits, len);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, &none, len);
	nftnl_rule_add_expr(r, x);
}

/* Are any of those bits set? */
static void compare_bits(struct nftnl_rule *r, uint32_t len, uint32_t bits, bool invert)
{
	const uint32_t none = 0;

	mask(r, len, bits);
	compare(r, invert ? NFT_CMP_EQ : NFT_CMP_NEQ, &none, len);
}

static void compare_group(struct nftnl_rule *r, uint32_t key, uint32_t group,
			  uint32_t bits, bool invert)
{
	load_meta(r, key, NFT_REG_1);
	if (bits != UINT32_MAX)
		mask(r, sizeof(bits), bits);
	compare_u32(r, invert ? NFT_CMP_NEQ : NFT_CMP_EQ, group & bits);
}

void if_in_group(struct nftnl_rule *r, uint32_t group, uint32_t bits)
{
	compare_group(r, NFT_META_IIFGROUP, group, bits, false);
}

void if_not_in_group(struct nftnl_rule *r, uint32_t group, uint32_t bits)
{
	compare_group(r, NFT_META_IIFGROUP, group, bits, true);
}

void if_out_group(struct nftnl_rule *r, uint32_t group, uint32_t bits)
{
	compare_group(r, NFT_META_OIFGROUP, group, bits, false);
}

void if_not_out_group(struct nftnl_rule *r, uint32_t group, uint32_t bits)
{
	compare_group(r, NFT_META_OIFGROUP, group, bits, true);
}

void if_family_in(struct nftnl_rule *r, const char *set)
{
	load_meta(r, NFT_META_NFPROTO, NFT_REG_1);
	lookup(r, set, false);
}

void if_in_name_in(struct nftnl_rule *r, const char *set)
{
	load_meta(r, NFT_META_IIFNAME, NFT_REG_1);
	lookup(r, set, false);
}

void if_out_name_in(struct nftnl_rule *r, const char *set)
{
	load_meta(r, NFT_META_OIFNAME, NFT_REG_1);
	lookup(r, set, false);
}

void if_protocol(struct nftnl_rule *r, uint8_t protocol)
{
	load_meta(r, NFT_META_L4PROTO, NFT_REG_1);
	compare_u8(r, NFT_CMP_EQ, protocol);
}

void if_port(struct nftnl_rule *r, uint16_t port)
{
	port = htons(port);
	load_port(r, 0);
	compare(r, NFT_CMP_EQ, &port, sizeof(port));
}

void if_icmp_type(struct nftnl_rule *r, uint8_t type)
{
	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG_1);
	compare_u8(r, NFT_CMP_EQ, type);
}

void if_tcp_reset(struct nftnl_rule *r)
{
	enum { FLAGS_OFFSET = 13, RST = 4 };

	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS_OFFSET, 1, NFT_REG_1);
	compare_bits(r, 1, RST, false);
}

void if_source_in(struct nftnl_rule *r, int family, const char *set)
{
	load_address(r, family, true, 0);
	lookup(r, set, false);
}

void if_source_not_in(struct nftnl_rule *r, int family, const char *set)
{
	load_address(r, family, true, 0);
	lookup(r, set, true);
}

void if_destination_in(struct nftnl_rule *r, int family, const char *set)
{
	load_address(r, family, false, 0);
	lookup(r, set, false);
}

void if_destination_port_in(struct nftnl_rule *r, int family, const char *set)
{
	load_port(r, load_address(r, family, false, 0));
	lookup(r, set, false);
}

void if_in_name_destination_in(struct nftnl_rule *r, int family, const char *set)
{
	load_meta(r, NFT_META_IIFNAME, NFT_REG_1);
	load_address(r, family, false, IFNAMSIZ);
	lookup(r, set, false);
}

void if_in_name_destination_port_in(struct nftnl_rule *r, int family, const char *set)
{
	load_meta(r, NFT_META_IIFNAME, NFT_REG_1);
	load_port(r, IFNAMSIZ + load_address(r, family, false, IFNAMSIZ));
	lookup(r, set, false);
}

static void load_fib(struct nftnl_rule *r, uint32_t flags, uint32_t result)
{
	struct nftnl_expr *x = expr("fib");

	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, flags);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, result);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, x);
}

void if_source_not_routed_back(struct nftnl_rule *r)
{
	load_fib(r, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF, NFT_FIB_RESULT_OIF);
	compare_u32(r, NFT_CMP_EQ, 0);
}

void if_destination_type_not_unicast(struct nftnl_rule *r)
{
	load_fib(r, NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE);
	compare_u32(r, NFT_CMP_NEQ, RTN_UNICAST);
}

static void load_ct(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *x = expr("ct");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, x);
}

void if_state(struct nftnl_rule *r, uint32_t bits)
{
	load_ct(r, NFT_CT_STATE);
	compare_bits(r, 4, bits, false);
}

void if_not_translated(struct nftnl_rule *r)
{
	load_ct(r, NFT_CT_STATUS);
	compare_bits(r, 4, IPS_DST_NAT, true);
}

void if_flows_over(struct nftnl_rule *r, uint32_t flows)
{
	struct nftnl_expr *x = expr("connlimit");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_COUNT, flows);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	nftnl_rule_add_expr(r, x);
}

void if_rate_over(struct nftnl_rule *r, uint64_t a_second, uint32_t burst)
{
	struct nftnl_expr *x = expr("limit");

	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, a_second);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, burst);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
	nftnl_rule_add_expr(r, x);
}

void count(struct nftnl_rule *r, const char *counter)
{
	struct nftnl_expr *x = expr("objref");

	nftnl_expr_set_u32(x, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(x, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
	nftnl_rule_add_expr(r, x);
}

/* Key: address, protocol, port; as struct ruleset_denied4 and 6 in ruleset.c have it. */
void record_destination(struct nftnl_rule *r, int family, const char *set, bool with_port)
{
	const uint16_t no_port = 0;
	uint32_t at = load_address(r, family, false, 0);
	struct nftnl_expr *x;

	load_meta(r, NFT_META_L4PROTO, reg32(at));
	if (with_port) {
		load_port(r, at + 4);
	} else {
		x = expr("immediate");
		nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, reg32(at + 4));
		nftnl_expr_set(x, NFTNL_EXPR_IMM_DATA, &no_port, sizeof(no_port));
		nftnl_rule_add_expr(r, x);
	}
	x = expr("dynset");
	nftnl_expr_set_str(x, NFTNL_EXPR_DYNSET_SET_NAME, set);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	nftnl_expr_add_expr(x, NFTNL_EXPR_DYNSET_EXPR, expr("counter"));
	nftnl_rule_add_expr(r, x);
}

static void verdict(struct nftnl_rule *r, uint32_t code, const char *chain)
{
	struct nftnl_expr *x = expr("immediate");

	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, code);
	if (chain)
		nftnl_expr_set_str(x, NFTNL_EXPR_IMM_CHAIN, chain);
	nftnl_rule_add_expr(r, x);
}

void accept_it(struct nftnl_rule *r)
{
	verdict(r, NF_ACCEPT, NULL);
}

void drop_it(struct nftnl_rule *r)
{
	verdict(r, NF_DROP, NULL);
}

void jump_to(struct nftnl_rule *r, const char *chain)
{
	verdict(r, (uint32_t)NFT_JUMP, chain);
}

void go_to(struct nftnl_rule *r, const char *chain)
{
	verdict(r, (uint32_t)NFT_GOTO, chain);
}

static void reject(struct nftnl_rule *r, uint32_t type, uint8_t code)
{
	struct nftnl_expr *x = expr("reject");

	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, code);
	nftnl_rule_add_expr(r, x);
}

void reject_with_reset(struct nftnl_rule *r)
{
	reject(r, NFT_REJECT_TCP_RST, 0);
}

void reject_with_icmp(struct nftnl_rule *r)
{
	reject(r, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

void masquerade(struct nftnl_rule *r)
{
	nftnl_rule_add_expr(r, expr("masq"));
}
