/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of filtered egress, in the order in which a packet meets them. */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

#include "netns/ruleset.h"
#include "netns/ruleset_rules.h"

/*
 * Two rulesets, each of which suffices (N-03): one where a sandbox's packets begin, in
 * its own network namespace, and one where they reach the host. Both are filled from the
 * same lists. In both, what a packet meets first is what nobody may lift.
 */

/* Bits of `ct state`, NF_CT_STATE_BIT(). */
enum { ESTABLISHED = 2, RELATED = 4, NEW = 8 };

enum { DNS = 53, DNS_OVER_TLS = 853 };

#define SANDBOXES RULESET_GROUP, RULESET_GROUP_SPECIAL
#define SPECIAL   RULESET_GROUP_SPECIAL, RULESET_GROUP_SPECIAL
#define ORDINARY  RULESET_GROUP, RULESET_GROUP

#define KEY(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* What differs between the families. */
struct family {
	int number;
	const char *address;
	uint8_t icmp, unreachable, time_exceeded, too_big;
	const char *self, *dns, *never, *allow, *deny, *denied;
	const char *dns_of, *allow_of, *deny_of, *pool;
};

static const struct family families[] = {
	{ 4, "ipv4", IPPROTO_ICMP, ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED,
	  ICMP_PARAMETERPROB, "self4", "dns4", "never4", "allow4", "deny4", "denied4",
	  "dns_of4", "allow_of4", "deny_of4", "pool4" },
	{ 6, "ipv6", IPPROTO_ICMPV6, ICMPV6_DEST_UNREACH, ICMPV6_TIME_EXCEED,
	  ICMPV6_PKT_TOOBIG, "self6", "dns6", "never6", "allow6", "deny6", "denied6",
	  "dns_of6", "allow_of6", "deny_of6", "pool6" },
};

static struct nftnl_rule *rule_for(const struct family *f, const char *chain,
				   const char *comment)
{
	struct nftnl_rule *r = rule(chain, comment);

	if_family(r, f->number);
	return r;
}

/* Both transports that have ports: one rule each. */
static const uint8_t transports[] = { IPPROTO_UDP, IPPROTO_TCP };

/* Test builds leave one of the two rulesets without effect, to see that the other one
 * suffices. */
static void let_pass(struct ruleset *rs, const char *chain)
{
	struct nftnl_rule *r = rule(chain, "TEST BUILD: everything passes");

	accept_it(r);
	add_rule(rs, r);
}

#ifdef CARREL_TEST_NO_INSIDE_RULES
static const bool without_inside = true;
#else
static const bool without_inside = false;
#endif

#ifdef CARREL_TEST_NO_HOST_RULES
static const bool without_host = true;
#else
static const bool without_host = false;
#endif

/* --- in the sandbox's network namespace -------------------------------------------- */

/* What is refused is recorded first, for the result; then whoever asked is told at once
 * (N-12). A list that is full is no reason to let anything pass. */
static void add_record(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r;

	for (unsigned i = 0; i < sizeof(transports); i++) {
		r = rule_for(f, "refuse", "record the destination");
		if_protocol(r, transports[i]);
		record_destination(r, f->number, f->denied, true);
		add_rule(rs, r);
	}
	r = rule_for(f, "refuse", "record the destination");
	if_not_protocol(r, IPPROTO_TCP);
	if_not_protocol(r, IPPROTO_UDP);
	record_destination(r, f->number, f->denied, false);
	add_rule(rs, r);
}

static void add_answer(struct ruleset *rs, const char *chain)
{
	struct nftnl_rule *r = rule(chain, "refuse TCP");

	if_protocol(r, IPPROTO_TCP);
	reject_with_reset(r);
	add_rule(rs, r);
	r = rule(chain, "refuse everything else");
	reject_with_icmp(r);
	add_rule(rs, r);
}

static void add_refuse_chain(struct ruleset *rs, bool ipv6)
{
	struct nftnl_rule *r = rule("refuse", "count what is refused");

	count(r, "refused");
	add_rule(rs, r);
	for (int i = 0; i < (ipv6 ? 2 : 1); i++)
		add_record(rs, &families[i]);
	add_answer(rs, "refuse");
}

/* Everything that is decided by the destination. */
static void add_destinations(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule_for(f, "output", "no address but our own as source");

	if_source_not_in(r, f->number, f->self);
	drop_it(r);
	add_rule(rs, r);
	for (unsigned i = 0; i < sizeof(transports); i++) {
		r = rule_for(f, "output", "names are asked of the resolvers");
		if_protocol(r, transports[i]);
		if_port(r, DNS);
		if_destination_in(r, f->number, f->dns);
		jump_to(r, "limits");
		add_rule(rs, r);
	}
	r = rule_for(f, "output", "platform, host and other sandboxes");
	if_destination_in(r, f->number, f->never);
	jump_to(r, "refuse");
	add_rule(rs, r);
}

static void add_closed_ports(struct ruleset *rs, const char *chain)
{
	static const uint16_t ports[] = { DNS, DNS_OVER_TLS };

	for (unsigned i = 0; i < sizeof(transports); i++) {
		for (unsigned j = 0; j < sizeof(ports) / sizeof(*ports); j++) {
			struct nftnl_rule *r = rule(chain, "no names from anybody else");

			if_protocol(r, transports[i]);
			if_port(r, ports[j]);
			jump_to(r, "refuse");
			add_rule(rs, r);
		}
	}
}

static void add_lists(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r;

	for (unsigned i = 0; i < sizeof(transports); i++) {
		r = rule_for(f, "output", "exceptions");
		if_protocol(r, transports[i]);
		if_destination_port_in(r, f->number, f->allow);
		jump_to(r, "limits");
		add_rule(rs, r);
	}
	r = rule_for(f, "output", "blocklist");
	if_destination_in(r, f->number, f->deny);
	jump_to(r, "refuse");
	add_rule(rs, r);
	for (unsigned i = 0; i < sizeof(transports); i++) {
		r = rule_for(f, "output", "the rest of the world");
		if_protocol(r, transports[i]);
		jump_to(r, "limits");
		add_rule(rs, r);
	}
	r = rule_for(f, "output", "the rest of the world");
	if_protocol(r, f->icmp);
	jump_to(r, "limits");
	add_rule(rs, r);
}

/* One sandbox must not fill the host's table of connections (N-10). */
static void add_limits(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("limits", "a new flow too many");

	if_state(r, NEW);
	if_flows_over(r, RULESET_FLOWS);
	jump_to(r, "refuse");
	add_rule(rs, r);
	r = rule("limits", "too many new flows a second");
	if_state(r, NEW);
	if_rate_over(r, RULESET_RATE, RULESET_BURST);
	jump_to(r, "refuse");
	add_rule(rs, r);
	r = rule("limits", "within limits");
	accept_it(r);
	add_rule(rs, r);
}

static void add_inside_sets(struct ruleset *rs, const struct family *f)
{
	add_set(rs, f->self, SET_KEYS, KEY(f->address));
	add_set(rs, f->dns, SET_KEYS, KEY(f->address));
	add_set(rs, f->never, SET_RANGES, KEY(f->address));
	add_set(rs, f->allow, SET_RANGES, KEY(f->address, "port"));
	add_set(rs, f->deny, SET_RANGES, KEY(f->address));
	add_set(rs, f->denied, SET_BY_PACKETS, KEY(f->address, "proto", "port"));
}

/* Answers come in, and nothing else (N-11). */
static void add_input(struct ruleset *rs, bool ipv6)
{
	struct nftnl_rule *r = rule("input", "our own");

	if_in_loopback(r);
	accept_it(r);
	add_rule(rs, r);
	r = rule("input", "answers");
	if_state(r, ESTABLISHED);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < (ipv6 ? 2 : 1); i++) {
		r = rule_for(&families[i], "input", "errors of our own flows");
		if_state(r, RELATED);
		if_protocol(r, families[i].icmp);
		accept_it(r);
		add_rule(rs, r);
	}
}

void rules_inside(struct ruleset *rs, bool ipv6)
{
	int n = ipv6 ? 2 : 1;
	struct nftnl_rule *r;

	add_table(rs);
	for (int i = 0; i < n; i++)
		add_inside_sets(rs, &families[i]);
	add_counter(rs, "refused");
	add_chain(rs, "refuse");
	add_chain(rs, "limits");
	add_base_chain(rs, "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER, true);
	add_base_chain(rs, "input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, true);
	if (without_inside) {
		let_pass(rs, "output");
		let_pass(rs, "input");
	}
	add_refuse_chain(rs, ipv6);
	add_limits(rs);
	r = rule("output", "our own");
	if_out_loopback(r);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < n; i++)
		add_destinations(rs, &families[i]);
	add_closed_ports(rs, "output");
	for (int i = 0; i < n; i++)
		add_lists(rs, &families[i]);
	r = rule("output", "nothing else leaves");
	jump_to(r, "refuse");
	add_rule(rs, r);
	add_input(rs, ipv6);
}

/* --- on the host ------------------------------------------------------------------- */

static void add_host_sets(struct ruleset *rs, const struct family *f)
{
	add_set(rs, f->pool, SET_RANGES, KEY(f->address));
	add_set(rs, f->dns, SET_KEYS, KEY(f->address));
	add_set(rs, f->never, SET_RANGES, KEY(f->address));
	add_set(rs, f->deny, SET_RANGES, KEY(f->address));
	add_set(rs, f->dns_of, SET_KEYS, KEY("ifname", f->address));
	add_set(rs, f->allow_of, SET_RANGES, KEY("ifname", f->address, "port"));
	add_set(rs, f->deny_of, SET_RANGES, KEY("ifname", f->address));
}

/* To resolvers: the common ones, or a sandbox's own. */
static void add_dns(struct ruleset *rs, const struct family *f, const char *chain)
{
	for (unsigned i = 0; i < sizeof(transports); i++) {
		struct nftnl_rule *r = rule_for(f, chain, "resolvers");

		if_in_group(r, ORDINARY);
		if_protocol(r, transports[i]);
		if_port(r, DNS);
		if_destination_in(r, f->number, f->dns);
		accept_it(r);
		add_rule(rs, r);
		r = rule_for(f, chain, "a sandbox's own resolvers");
		if_in_group(r, SPECIAL);
		if_protocol(r, transports[i]);
		if_port(r, DNS);
		if_in_name_destination_in(r, f->number, f->dns_of);
		accept_it(r);
		add_rule(rs, r);
	}
}

static void add_exceptions(struct ruleset *rs, const struct family *f, const char *chain)
{
	for (unsigned i = 0; i < sizeof(transports); i++) {
		struct nftnl_rule *r = rule_for(f, chain, "a sandbox's exceptions");

		if_in_group(r, SPECIAL);
		if_protocol(r, transports[i]);
		if_in_name_destination_port_in(r, f->number, f->allow_of);
		accept_it(r);
		add_rule(rs, r);
	}
}

static void refuse_destinations_in(struct ruleset *rs, const struct family *f,
				   const char *set, const char *comment)
{
	struct nftnl_rule *r = rule_for(f, "prerouting", comment);

	if_destination_in(r, f->number, set);
	jump_to(r, "refuse");
	add_rule(rs, r);
}

static void add_host_lists(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r;

	add_exceptions(rs, f, "prerouting");
	refuse_destinations_in(rs, f, f->deny, "blocklist");
	r = rule_for(f, "prerouting", "a sandbox's own blocklist");
	if_in_group(r, SPECIAL);
	if_in_name_destination_in(r, f->number, f->deny_of);
	jump_to(r, "refuse");
	add_rule(rs, r);
	for (unsigned i = 0; i < sizeof(transports); i++) {
		r = rule_for(f, "prerouting", "the rest of the world");
		if_protocol(r, transports[i]);
		accept_it(r);
		add_rule(rs, r);
	}
	r = rule_for(f, "prerouting", "the rest of the world");
	if_protocol(r, f->icmp);
	accept_it(r);
	add_rule(rs, r);
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
		add_dns(rs, &families[i], "prerouting");
		refuse_destinations_in(rs, &families[i], families[i].never,
				       "platform and other sandboxes");
	}
	r = rule("prerouting", "the host's own addresses");
	if_destination_type_not_unicast(r);
	jump_to(r, "refuse");
	add_rule(rs, r);
	add_closed_ports(rs, "prerouting");
	for (int i = 0; i < 2; i++)
		add_host_lists(rs, &families[i]);
	r = rule("prerouting", "nothing else leaves");
	jump_to(r, "refuse");
	add_rule(rs, r);
}

static void add_host_input(struct ruleset *rs)
{
	struct nftnl_rule *r;

	for (int i = 0; i < 2; i++)
		add_dns(rs, &families[i], "input");
	r = rule("input", "a sandbox reaches nothing of the host");
	if_in_group(r, SANDBOXES);
	drop_it(r);
	add_rule(rs, r);
}

static void add_forward(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("forward", "not from sandbox to sandbox");

	if_in_group(r, SANDBOXES);
	if_out_group(r, SANDBOXES);
	drop_it(r);
	add_rule(rs, r);
	r = rule("forward", "to the uplink");
	if_in_group(r, SANDBOXES);
	if_out_name_in(r, "uplinks");
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		add_dns(rs, &families[i], "forward");
		add_exceptions(rs, &families[i], "forward");
	}
	r = rule("forward", "and nowhere else");
	if_in_group(r, SANDBOXES);
	drop_it(r);
	add_rule(rs, r);
	r = rule("forward", "answers");
	if_out_group(r, SANDBOXES);
	if_state(r, ESTABLISHED);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < 2; i++) {
		r = rule_for(&families[i], "forward", "errors of a sandbox's flows");
		if_out_group(r, SANDBOXES);
		if_state(r, RELATED);
		if_protocol(r, families[i].icmp);
		accept_it(r);
		add_rule(rs, r);
	}
	r = rule("forward", "nothing else comes in");
	if_out_group(r, SANDBOXES);
	drop_it(r);
	add_rule(rs, r);
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
		const struct family *f = &families[i];
		const uint8_t types[] = { f->unreachable, f->time_exceeded, f->too_big };

		for (unsigned j = 0; j < sizeof(types); j++) {
			r = rule_for(f, "output", "errors");
			if_protocol(r, f->icmp);
			if_icmp_type(r, types[j]);
			accept_it(r);
			add_rule(rs, r);
		}
	}
	add_answer(rs, "output");
}

static void add_postrouting(struct ruleset *rs)
{
	for (int i = 0; i < 2; i++) {
		struct nftnl_rule *r =
			rule_for(&families[i], "postrouting", "as the host itself");

		if_not_out_group(r, SANDBOXES);
		if_source_in(r, families[i].number, families[i].pool);
		masquerade(r);
		add_rule(rs, r);
	}
}

void rules_host(struct ruleset *rs)
{
	add_table(rs);
	add_set(rs, "settings", SET_KEYS, KEY("mark"));
	add_set(rs, "uplinks", SET_KEYS, KEY("ifname"));
	for (int i = 0; i < 2; i++)
		add_host_sets(rs, &families[i]);
	add_chain(rs, "refuse");
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
