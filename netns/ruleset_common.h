/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: what both rulesets are written with. */
#pragma once

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
enum { INVALID = 1, ESTABLISHED = 2, RELATED = 4, NEW = 8 };

enum { DNS = 53, DNS_OVER_TLS = 853 };

#define KEY(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* What differs between the families. */
struct family {
	int number;
	const char *address;
	uint8_t icmp, unreachable, time_exceeded, too_big;
	/* Sets. */
	const char *self, *dns, *never, *allow, *deny, *denied;
	const char *dns_of, *allow_of, *deny_of, *pool;
	/* Chains: all packets of the family; those that have ports; what is refused. */
	const char *all, *ports, *special, *refuse, *refuse_other, *errors;
};

/* IPv4, then IPv6. */
extern const struct family families[2];

/* Begins a rule for packets of that family. */
struct nftnl_rule *rule_for(const struct family *f, const char *chain,
			    const char *comment);

/* Rules without conditions, at the end of a chain. */
void finally_go_to(struct ruleset *rs, const char *chain, const char *comment,
		   const char *next);
void finally_accept(struct ruleset *rs, const char *chain, const char *comment);

/* Packets with ports go one way, everything else another. */
void split_by_protocol(struct ruleset *rs, const char *chain, const char *ports,
		       const char *other);

/* A rule about destinations. */
void go_if_destination_in(struct ruleset *rs, const struct family *f, const char *chain,
			  const char *set, const char *comment, const char *next);

/* Names are asked of the resolvers, and of nobody else (N-14). */
void close_name_ports(struct ruleset *rs, const char *chain, const char *refuse);

/* Whoever sent a packet that is refused is told at once (N-12). */
void add_answer(struct ruleset *rs, const char *chain);

/* ICMP errors that end or shrink a flow; a redirect is none of them. */
void accept_errors(struct ruleset *rs, const struct family *f);

/* Test builds leave one of the two rulesets without effect, to see that the other one
 * suffices. */
void let_pass(struct ruleset *rs, const char *chain);
