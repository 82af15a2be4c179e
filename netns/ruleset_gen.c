/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: encodes the rulesets as netlink messages, for ruleset.c to send as they
 * are. What differs from sandbox to sandbox is in sets that it fills itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>

#include "netns/ruleset.h"
#include "netns/ruleset_rules.h"

enum { BYTES_MAX = 1 << 17, MESSAGES_MAX = 256, WHAT_MAX = 128 };

struct ruleset {
	char bytes[BYTES_MAX];
	size_t len;
	size_t offsets[MESSAGES_MAX + 1];
	char names[MESSAGES_MAX][WHAT_MAX];
	unsigned count;
};

void ruleset_die(const char *what)
{
	fprintf(stderr, "ruleset_gen: %s\n", what);
	exit(1);
}

static void *must(void *p)
{
	if (!p)
		ruleset_die("out of memory");
	return p;
}

/* --- messages ---------------------------------------------------------------------- */

static struct nlmsghdr *begin(struct ruleset *rs, uint16_t type, uint16_t flags,
			      const char *kind, const char *name)
{
	if (rs->count == MESSAGES_MAX || rs->len + 8192 > BYTES_MAX)
		ruleset_die("a ruleset is larger than its buffer");
	rs->offsets[rs->count] = rs->len;
	snprintf(rs->names[rs->count++], WHAT_MAX, "nftables %s %s", kind, name);
	return nftnl_nlmsg_build_hdr(rs->bytes + rs->len, type, NFPROTO_INET, flags, 0);
}

static void end(struct ruleset *rs, const struct nlmsghdr *m)
{
	rs->len += MNL_ALIGN(m->nlmsg_len);
	rs->offsets[rs->count] = rs->len;
}

void add_table(struct ruleset *rs)
{
	struct nftnl_table *t = must(nftnl_table_alloc());
	struct nlmsghdr *m =
		begin(rs, NFT_MSG_NEWTABLE, NLM_F_CREATE, "table", RULESET_TABLE);

	nftnl_table_set_str(t, NFTNL_TABLE_NAME, RULESET_TABLE);
	nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, RULESET_MARK, sizeof(RULESET_MARK));
	nftnl_table_nlmsg_build_payload(m, t);
	end(rs, m);
	nftnl_table_free(t);
}

/* Parts of keys: nft's number of the type, so that it can show elements, and bytes. */
static const struct {
	const char *name;
	uint32_t type;
	uint8_t size;
} fields_known[] = {
	{ "ipv4", 7, 4 },     { "ipv6", 8, 16 }, { "proto", 12, 1 }, { "port", 13, 2 },
	{ "ifname", 41, 16 }, { "mark", 19, 4 }, { "family", 2, 1 },
};

/* A part takes up whole registers of four bytes. */
static uint32_t padded(uint8_t size)
{
	return (size + 3u) & ~3u;
}

static unsigned find_field(const char *name)
{
	for (unsigned i = 0; i < sizeof(fields_known) / sizeof(*fields_known); i++) {
		if (!strcmp(name, fields_known[i].name))
			return i;
	}
	ruleset_die("a set has a key of an unknown type");
	return 0;
}

/* Only for nft, which would show the elements of such a set byte by byte reversed. */
static void mark_host_order(struct nftnl_set *s)
{
	enum { HOST_ORDER = 1 }; /* nft's enum byteorder */
	struct nftnl_udata_buf *u = must(nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN));

	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, HOST_ORDER);
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
			   nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

void add_set(struct ruleset *rs, const char *name, enum set_kind kind,
	     const char *const *fields)
{
	struct nftnl_set *s = must(nftnl_set_alloc());
	struct nlmsghdr *m = begin(rs, NFT_MSG_NEWSET, NLM_F_CREATE, "set", name);
	uint32_t flags = 0, type = 0, size = 0;
	uint8_t sizes[4];
	unsigned n = 0;

	for (; fields[n]; n++) {
		unsigned f = find_field(fields[n]);

		type = type << 6 | fields_known[f].type;
		sizes[n] = fields_known[f].size;
		size += fields[1] ? padded(sizes[n]) : sizes[n];
	}
	if (kind == SET_RANGES)
		flags |= NFT_SET_INTERVAL;
	if (n > 1)
		flags |= NFT_SET_CONCAT;
	if (kind == SET_BY_PACKETS) {
		flags |= NFT_SET_EVAL;
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, RULESET_DENIED_MAX);
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RULESET_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	nftnl_set_set_u32(s, NFTNL_SET_ID, rs->count);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, size);
	if (n > 1)
		nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, sizes, n);
	if (n == 1 && (!strcmp(fields[0], "ifname") || !strcmp(fields[0], "mark")))
		mark_host_order(s);
	nftnl_set_nlmsg_build_payload(m, s);
	end(rs, m);
	nftnl_set_free(s);
}

void add_counter(struct ruleset *rs, const char *name)
{
	struct nftnl_obj *o = must(nftnl_obj_alloc());
	struct nlmsghdr *m = begin(rs, NFT_MSG_NEWOBJ, NLM_F_CREATE, "counter", name);

	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, RULESET_TABLE);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
	nftnl_obj_nlmsg_build_payload(m, o);
	end(rs, m);
	nftnl_obj_free(o);
}

void add_base_chain(struct ruleset *rs, const char *name, const char *type, int hook,
		    int priority, bool drop)
{
	struct nftnl_chain *c = must(nftnl_chain_alloc());
	struct nlmsghdr *m = begin(rs, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "chain", name);

	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, RULESET_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (hook >= 0) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, drop ? NF_DROP : NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(m, c);
	end(rs, m);
	nftnl_chain_free(c);
}

void add_chain(struct ruleset *rs, const char *name)
{
	add_base_chain(rs, name, NULL, -1, 0, false);
}

void clear_rules(struct ruleset *rs)
{
	struct nlmsghdr *m =
		begin(rs, NFT_MSG_DELRULE, 0, "rules of table", RULESET_TABLE);

	mnl_attr_put_strz(m, NFTA_RULE_TABLE, RULESET_TABLE);
	end(rs, m);
}

/* --- rules ------------------------------------------------------------------------- */

struct nftnl_rule *rule(const char *chain, const char *comment)
{
	struct nftnl_rule *r = must(nftnl_rule_alloc());
	struct nftnl_udata_buf *u = must(nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN));

	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, RULESET_TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
			    nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
	return r;
}

void add_rule(struct ruleset *rs, struct nftnl_rule *r)
{
	const struct nftnl_udata *comment = nftnl_rule_get(r, NFTNL_RULE_USERDATA);
	char name[WHAT_MAX];
	struct nlmsghdr *m;

	snprintf(name, sizeof(name), "\"%s\" in chain %s",
		 (const char *)nftnl_udata_get(comment),
		 nftnl_rule_get_str(r, NFTNL_RULE_CHAIN));
	m = begin(rs, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "rule", name);
	nftnl_rule_nlmsg_build_payload(m, r);
	end(rs, m);
	nftnl_rule_free(r);
}

/* --- output ------------------------------------------------------------------------ */

static void print_messages(FILE *f, const char *name, const struct ruleset *rs)
{
	fprintf(f, "\nstatic const struct ruleset_message %s_messages[] = {\n", name);
	for (unsigned i = 0; i < rs->count; i++) {
		fprintf(f, "\t{ %zu, %zu, \"", rs->offsets[i],
			rs->offsets[i + 1] - rs->offsets[i]);
		for (const char *p = rs->names[i]; *p; p++)
			fprintf(f, *p == '"' ? "\\%c" : "%c", *p);
		fprintf(f, "\" },\n");
	}
	fprintf(f, "};\n");
}

/* Where the one occurrence of a placeholder is, which ruleset.c puts a value in. */
static void print_place(FILE *f, const char *name, const char *what,
			const struct ruleset *rs, const void *value, size_t size)
{
	const char *found = memmem(rs->bytes, rs->len, value, size);

	if (!found ||
	    memmem(found + 1, rs->len - (size_t)(found + 1 - rs->bytes), value, size))
		ruleset_die("a placeholder is not there exactly once");
	fprintf(f, "enum { %s_%s = %zu };\n", name, what, (size_t)(found - rs->bytes));
}

static void print(FILE *f, const char *name, const struct ruleset *rs)
{
	fprintf(f, "\nstatic const uint8_t %s_bytes[] __attribute__((aligned(4))) = {",
		name);
	for (size_t i = 0; i < rs->len; i++)
		fprintf(f, "%s%u,", i % 24 ? "" : "\n\t", (uint8_t)rs->bytes[i]);
	fprintf(f, "\n};\n");
	print_messages(f, name, rs);
}

static void print_inside(FILE *f, const char *name, bool ipv6)
{
	static struct ruleset rs;
	uint32_t flows = htonl(RULESET_FLOWS), burst = htonl(RULESET_BURST);
	uint32_t rate[2] = { 0, htonl(RULESET_RATE) };

	memset(&rs, 0, sizeof(rs));
	rules_inside(&rs, ipv6);
	print(f, name, &rs);
	print_place(f, name, "flows", &rs, &flows, sizeof(flows));
	print_place(f, name, "rate", &rs, rate, sizeof(rate));
	print_place(f, name, "burst", &rs, &burst, sizeof(burst));
}

/* FNV-1a: tells one ruleset from another. */
static uint64_t hash_of(const struct ruleset *rs)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < rs->len; i++)
		hash = (hash ^ (uint8_t)rs->bytes[i]) * 0x100000001b3;
	return hash;
}

int main(int argc, char **argv)
{
	static struct ruleset host;
	FILE *f = argc == 2 ? fopen(argv[1], "we") : NULL;

	if (!f)
		ruleset_die("usage: ruleset_gen HEADER");
	fprintf(f, "/* Made by ruleset_gen. */\n#include \"netns/ruleset.h\"\n");
	print_inside(f, "inside4", false);
	print_inside(f, "inside46", true);
	rules_host(&host);
	print(f, "host", &host);
	fprintf(f, "#define HOST_VERSION UINT64_C(%#" PRIx64 ")\n", hash_of(&host));
	if (fclose(f))
		ruleset_die(strerror(errno));
	return 0;
}
