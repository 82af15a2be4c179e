/* SPDX-License-Identifier: Apache-2.0 */
/* The rules on the host, in the order in which a packet meets them. */
#include "netns/ruleset_common.h"

#define SANDBOXES RULESET_GROUP, RULESET_GROUP_BITS
#define SPECIAL   RULESET_GROUP_SPECIAL, UINT32_MAX
#define ORDINARY  RULESET_GROUP, UINT32_MAX

_Static_assert((RULESET_GROUP & RULESET_GROUP_BITS) ==
		       (RULESET_GROUP_SPECIAL & RULESET_GROUP_BITS),
	       "SANDBOXES are those of both groups");

#ifdef CARREL_TEST_NO_HOST_RULES
static const bool without_host = true;
#else
static const bool without_host = false;
#endif

static void add_host_sets(struct ruleset *rs, const struct family *f)
{
	add_set(rs, f->pool, SET_RANGES, KEY(f->address));
	add_set(rs, f->dns, SET_KEYS, KEY(f->address));
	/* What no exception opens; and that with what all are denied. */
	add_set(rs, f->never, SET_RANGES, KEY(f->address));
	add_set(rs, f->deny, SET_RANGES, KEY(f->address));
	add_set(rs, f->dns_of, SET_KEYS, KEY("ifname", f->address));
	add_set(rs, f->allow_of, SET_RANGES, KEY("ifname", f->address, "port"));
	add_set(rs, f->deny_of, SET_RANGES, KEY("ifname", f->address));
}

/* What both kinds of sandboxes have in common once it is no question of names. */
static void refuse_host(struct ruleset *rs, const char *chain)
{
	struct nftnl_rule *r = rule(chain, "the host's own addresses");

	if_destination_type_not_unicast(r);
	go_to(r, "refuse");
	add_rule(rs, r);
	close_name_ports(rs, chain, "refuse");
}

/* Sandboxes for which only holds what holds for all. */
static void add_ordinary(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule(f->ports, "some sandboxes have facts of their own");

	if_in_group(r, SPECIAL);
	go_to(r, f->special);
	add_rule(rs, r);
	r = rule(f->ports, "resolvers");
	if_port(r, DNS);
	if_destination_in(r, f->number, f->dns);
	accept_it(r);
	add_rule(rs, r);
	refuse_host(rs, f->ports);
	go_if_destination_in(rs, f, f->ports, f->deny, "blocklist", "refuse");
	finally_accept(rs, f->ports, "the rest of the world");
}

/* Conditions of what only the sandbox that asks may reach. */
static void if_own_resolver(struct nftnl_rule *r, const struct family *f)
{
	if_port(r, DNS);
	if_in_name_destination_in(r, f->number, f->dns_of);
}

static void add_special(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule(f->special, "resolvers of its own");

	if_own_resolver(r, f);
	accept_it(r);
	add_rule(rs, r);
	go_if_destination_in(rs, f, f->special, f->never, "platform and other sandboxes",
			     "refuse");
	refuse_host(rs, f->special);
	r = rule(f->special, "exceptions");
	if_in_name_destination_port_in(r, f->number, f->allow_of);
	accept_it(r);
	add_rule(rs, r);
	go_if_destination_in(rs, f, f->special, f->deny, "blocklist", "refuse");
	r = rule(f->special, "blocklist of its own");
	if_in_name_destination_in(r, f->number, f->deny_of);
	go_to(r, "refuse");
	add_rule(rs, r);
	finally_accept(rs, f->special, "the rest of the world");
}

/* Before connection tracking and before any translation: what counts is where a packet
 * was sent to, in whatever flow it is (N-05, N-09). */
static void add_prerouting(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("prerouting", "not from a sandbox");

	if_not_in_group(r, SANDBOXES);
	accept_it(r);
	add_rule(rs, r);
	r = rule("prerouting", "no address but its own as source");
	if_source_not_routed_back(r);
	drop_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		const struct family *f = &families[i];

		r = rule_for(f, "prerouting", "by family");
		go_to(r, f->all);
		add_rule(rs, r);
		split_by_protocol(rs, f->all, f->ports, "refuse");
		add_ordinary(rs, f);
		add_special(rs, f);
	}
	finally_go_to(rs, "prerouting", "nothing else leaves", "refuse");
}

/* What has come through prerouting may also end here, or leave by another way than the
 * uplink: resolvers, and exceptions. */
static void accept_resolvers(struct ruleset *rs, const struct family *f,
			     const char *chain)
{
	struct nftnl_rule *r = rule_for(f, chain, "resolvers");

	if_in_group(r, ORDINARY);
	if_port(r, DNS);
	if_destination_in(r, f->number, f->dns);
	accept_it(r);
	add_rule(rs, r);
	r = rule_for(f, chain, "a sandbox's own resolvers");
	if_in_group(r, SPECIAL);
	if_own_resolver(r, f);
	accept_it(r);
	add_rule(rs, r);
}

static void accept_exceptions(struct ruleset *rs, const struct family *f,
			      const char *chain)
{
	struct nftnl_rule *r = rule_for(f, chain, "a sandbox's exceptions");

	if_in_group(r, SPECIAL);
	if_in_name_destination_port_in(r, f->number, f->allow_of);
	accept_it(r);
	add_rule(rs, r);
}

static void add_host_input(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("input", "not from a sandbox");

	if_not_in_group(r, SANDBOXES);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++)
		accept_resolvers(rs, &families[i], "input");
	r = rule("input", "a sandbox reaches nothing of the host");
	drop_it(r);
	add_rule(rs, r);
}

/* The host may have translated the destination since "prerouting" (N-05). */
static void refuse_translated(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule_for(f, "from_sandbox", "blocklist");

	if_destination_in(r, f->number, f->deny);
	go_to(r, "refuse");
	add_rule(rs, r);
	r = rule_for(f, "from_sandbox", "blocklist of its own");
	if_in_group(r, SPECIAL);
	if_in_name_destination_in(r, f->number, f->deny_of);
	go_to(r, "refuse");
	add_rule(rs, r);
}

static void add_forward_out(struct ruleset *rs)
{
	/* What has been denied since is refused before it gets here. No sandbox is behind
	 * an uplink. */
	struct nftnl_rule *r = rule("from_sandbox", "flows that are there already");

	if_state(r, ESTABLISHED);
	if_out_name_in(r, "uplinks");
	accept_it(r);
	add_rule(rs, r);
	r = rule("from_sandbox", "not from sandbox to sandbox");
	if_out_group(r, SANDBOXES);
	drop_it(r);
	add_rule(rs, r);
	/* What is in no flow is not translated, either. */
	r = rule("from_sandbox", "nothing that makes no sense");
	if_state(r, INVALID);
	drop_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		accept_resolvers(rs, &families[i], "from_sandbox");
		accept_exceptions(rs, &families[i], "from_sandbox");
		refuse_translated(rs, &families[i]);
	}
	r = rule("from_sandbox", "to the uplink");
	if_out_name_in(r, "uplinks");
	accept_it(r);
	add_rule(rs, r);
	r = rule("from_sandbox", "and nowhere else");
	drop_it(r);
	add_rule(rs, r);
}

static void add_forward_in(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("to_sandbox", "answers");

	if_state(r, ESTABLISHED);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		r = rule_for(&families[i], "to_sandbox", "errors of its flows");
		if_protocol(r, families[i].icmp);
		if_state(r, RELATED);
		accept_it(r);
		add_rule(rs, r);
	}
	r = rule("to_sandbox", "nothing else comes in");
	drop_it(r);
	add_rule(rs, r);
}

/* Only because of us does the host forward: then it does so for sandboxes alone, and for
 * what somebody has published by translating it. */
static void add_strangers(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("forward", "strangers do not pass, IPv4");

	if_family(r, 4);
	if_in_name_in(r, "opened");
	if_state(r, NEW | INVALID);
	if_not_translated(r);
	drop_it(r);
	add_rule(rs, r);
	r = rule("forward", "strangers do not pass, IPv6");
	if_family_in(r, "opened_families");
	if_state(r, NEW | INVALID);
	if_not_translated(r);
	drop_it(r);
	add_rule(rs, r);
}

static void add_forward(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("forward", "out");

	if_in_group(r, SANDBOXES);
	go_to(r, "from_sandbox");
	add_rule(rs, r);
	r = rule("forward", "in");
	if_out_group(r, SANDBOXES);
	go_to(r, "to_sandbox");
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		r = rule_for(&families[i], "forward", "to sandboxes that have gone");
		if_destination_in(r, families[i].number, families[i].pool);
		drop_it(r);
		add_rule(rs, r);
	}
	add_strangers(rs);
	add_forward_out(rs);
	add_forward_in(rs);
}

/* From the host itself to a sandbox: answers, and word of what was refused. */
static void add_host_output(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("output", "not to a sandbox");

	if_not_out_group(r, SANDBOXES);
	accept_it(r);
	add_rule(rs, r);
	r = rule("output", "answers");
	if_state(r, ESTABLISHED | RELATED);
	accept_it(r);
	add_rule(rs, r);
	r = rule("output", "refusals");
	if_protocol(r, IPPROTO_TCP);
	if_tcp_reset(r);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		r = rule_for(&families[i], "output", "refusals");
		if_protocol(r, families[i].icmp);
		jump_to(r, families[i].errors);
		add_rule(rs, r);
		accept_errors(rs, &families[i]);
	}
	add_answer(rs, "output");
}

static void add_postrouting(struct ruleset *rs)
{
	for (int i = 0; i < 2; i++) {
		struct nftnl_rule *r =
			rule_for(&families[i], "postrouting", "as the host itself");

		if_in_group(r, SANDBOXES);
		if_not_out_group(r, SANDBOXES);
		if_source_in(r, families[i].number, families[i].pool);
		masquerade(r);
		add_rule(rs, r);
	}
}

static void add_host_chains(struct ruleset *rs)
{
	static const char *const names[] = { "refuse", "from_sandbox", "to_sandbox" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		add_chain(rs, names[i]);
	for (int i = 0; i < 2; i++) {
		add_chain(rs, families[i].errors);
		add_chain(rs, families[i].special);
		add_chain(rs, families[i].ports);
		add_chain(rs, families[i].all);
	}
}

void rules_host(struct ruleset *rs)
{
	add_table(rs);
	add_set(rs, "settings", SET_KEYS, KEY("mark"));
	add_set(rs, "uplinks", SET_KEYS, KEY("ifname"));
	add_set(rs, "others", SET_KEYS, KEY("ifname"));
	/* Interfaces, and families, that forward because of us. */
	add_set(rs, "opened", SET_KEYS, KEY("ifname"));
	add_set(rs, "opened_families", SET_KEYS, KEY("family"));
	for (int i = 0; i < 2; i++)
		add_host_sets(rs, &families[i]);
	add_host_chains(rs);
	add_base_chain(rs, "prerouting", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW,
		       false);
	add_base_chain(rs, "input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, false);
	add_base_chain(rs, "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER, false);
	add_base_chain(rs, "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER,
		       false);
	add_base_chain(rs, "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC,
		       false);
	clear_rules(rs);
	if (without_host) {
		let_pass(rs, "prerouting");
		let_pass(rs, "input");
		let_pass(rs, "forward");
		let_pass(rs, "output");
	}
	add_answer(rs, "refuse");
	add_prerouting(rs);
	add_host_input(rs);
	add_forward(rs);
	add_host_output(rs);
	add_postrouting(rs);
}
