/* SPDX-License-Identifier: Apache-2.0 */
/* The rules in a sandbox's network namespace, in the order in which a packet meets them.
 */
#include "netns/ruleset_common.h"

#ifdef CARREL_TEST_NO_INSIDE_RULES
static const bool without_inside = true;
#else
static const bool without_inside = false;
#endif

/* What is refused is recorded first, for the result; then whoever asked is told at once
 * (N-12). A list that is full is no reason to let anything pass. */
static void add_refuse_chain(struct ruleset *rs, const struct family *f,
			     const char *chain, bool with_port)
{
	struct nftnl_rule *r = rule(chain, "count what is refused");

	count(r, "refused");
	add_rule(rs, r);
	r = rule(chain, "record the destination");
	record_destination(r, f->number, f->denied, with_port);
	add_rule(rs, r);
	add_answer(rs, chain);
}

/* The destination decides. */
static void add_destinations(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule(f->ports, "names from the resolvers");

	if_port(r, DNS);
	if_destination_in(r, f->number, f->dns);
	go_to(r, "limits");
	add_rule(rs, r);
	go_if_destination_in(rs, f, f->ports, f->never,
			     "platform, host and other sandboxes", f->refuse);
	close_name_ports(rs, f->ports, f->refuse);
	r = rule(f->ports, "exceptions");
	if_destination_port_in(r, f->number, f->allow);
	go_to(r, "limits");
	add_rule(rs, r);
	go_if_destination_in(rs, f, f->ports, f->deny, "blocklist", f->refuse);
	finally_go_to(rs, f->ports, "the rest of the world", "limits");
}

static void add_family(struct ruleset *rs, const struct family *f)
{
	struct nftnl_rule *r = rule(f->all, "no address but our own as source");

	if_source_not_in(r, f->number, f->self);
	drop_it(r);
	add_rule(rs, r);
	/* Their first packet went all the way, and the lists in here never change. */
	r = rule(f->all, "flows that are there already");
	if_state(r, ESTABLISHED);
	accept_it(r);
	add_rule(rs, r);
	/* The kernel answers packets that come too late; nobody asked to send that. */
	r = rule(f->all, "errors of our own kernel");
	if_protocol(r, f->icmp);
	if_state(r, RELATED);
	drop_it(r);
	add_rule(rs, r);
	split_by_protocol(rs, f->all, f->ports, f->refuse_other);
	add_destinations(rs, f);
	add_refuse_chain(rs, f, f->refuse, true);
	add_refuse_chain(rs, f, f->refuse_other, false);
}

/* One sandbox must not fill the host's table of connections (N-10). */
static void add_limits(struct ruleset *rs)
{
	struct nftnl_rule *r = rule("limits", "a new flow too many");

	if_flows_over(r, RULESET_FLOWS);
	go_to(r, "refuse");
	add_rule(rs, r);
	r = rule("limits", "too many new flows a second");
	if_rate_over(r, RULESET_RATE, RULESET_BURST);
	go_to(r, "refuse");
	add_rule(rs, r);
	finally_accept(rs, "limits", "within limits");
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
static void add_input(struct ruleset *rs, int n)
{
	struct nftnl_rule *r = rule("input", "our own");

	if_in_loopback(r);
	accept_it(r);
	add_rule(rs, r);
	r = rule("input", "answers");
	if_state(r, ESTABLISHED);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < n; i++) {
		r = rule("input", "errors of our own flows");
		if_protocol(r, families[i].icmp);
		if_state(r, RELATED);
		jump_to(r, families[i].errors);
		add_rule(rs, r);
		accept_errors(rs, &families[i]);
	}
}

static void add_output(struct ruleset *rs, int n)
{
	struct nftnl_rule *r = rule("output", "our own");

	if_out_loopback(r);
	accept_it(r);
	add_rule(rs, r);
	for (int i = 0; i < n; i++) {
		r = rule_for(&families[i], "output", "by family");
		go_to(r, families[i].all);
		add_rule(rs, r);
	}
	finally_go_to(rs, "output", "nothing else leaves", "refuse");
}

static void add_inside_chains(struct ruleset *rs, int n)
{
	add_chain(rs, "refuse");
	add_chain(rs, "limits");
	for (int i = 0; i < n; i++) {
		const struct family *f = &families[i];

		add_chain(rs, f->refuse);
		add_chain(rs, f->refuse_other);
		add_chain(rs, f->ports);
		add_chain(rs, f->all);
		add_chain(rs, f->errors);
	}
	add_base_chain(rs, "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER, true);
	add_base_chain(rs, "input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, true);
}

void rules_inside(struct ruleset *rs, bool ipv6)
{
	int n = ipv6 ? 2 : 1;
	struct nftnl_rule *r;

	add_table(rs);
	for (int i = 0; i < n; i++)
		add_inside_sets(rs, &families[i]);
	add_counter(rs, "refused");
	add_inside_chains(rs, n);
	if (without_inside) {
		let_pass(rs, "output");
		let_pass(rs, "input");
	}
	/* Of what family it is, is told by where it came from; or it does not matter. */
	r = rule("refuse", "count what is refused");
	count(r, "refused");
	add_rule(rs, r);
	add_answer(rs, "refuse");
	add_limits(rs);
	for (int i = 0; i < n; i++)
		add_family(rs, &families[i]);
	add_output(rs, n);
	add_input(rs, n);
}
