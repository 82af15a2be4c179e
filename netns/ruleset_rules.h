/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: a ruleset as a list of objects, which ruleset_gen.c encodes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include <libnftnl/rule.h>

/* Collects the messages of one ruleset. */
struct ruleset;

/* Stops the build. */
noreturn void ruleset_die(const char *what);

/* --- objects ----------------------------------------------------------------------- */

/* The table that everything else is in. */
void add_table(struct ruleset *rs);

enum set_kind { SET_KEYS, SET_RANGES, SET_BY_PACKETS };

/* A set of single keys, of ranges, or of keys that packets add. `fields` names the key's
 * parts, NULL-terminated: "ipv4", "ipv6", "proto", "port", "ifname", "mark", "family". */
void add_set(struct ruleset *rs, const char *name, enum set_kind kind,
	     const char *const *fields);

/* A counter of packets and bytes. */
void add_counter(struct ruleset *rs, const char *name);

/* A chain that is jumped to (hook −1), or one at a netfilter hook. What falls off the end
 * of the latter is dropped or accepted. */
void add_chain(struct ruleset *rs, const char *name);
void add_base_chain(struct ruleset *rs, const char *name, const char *type, int hook,
		    int priority, bool drop);

/* Removes every rule that an earlier ruleset left. */
void clear_rules(struct ruleset *rs);

/* --- rules ------------------------------------------------------------------------- */

/* A rule is begun, gets its conditions and ends with what to do. `comment` says what it
 * is for, to `nft list ruleset` and in errors. */
struct nftnl_rule *rule(const char *chain, const char *comment);
void add_rule(struct ruleset *rs, struct nftnl_rule *r);

/* Conditions. `family` is 4 or 6; of a group only those bits are compared. */
void if_family(struct nftnl_rule *r, int family);
void if_out_loopback(struct nftnl_rule *r);
void if_in_loopback(struct nftnl_rule *r);
void if_in_group(struct nftnl_rule *r, uint32_t group, uint32_t bits);
void if_not_in_group(struct nftnl_rule *r, uint32_t group, uint32_t bits);
void if_out_group(struct nftnl_rule *r, uint32_t group, uint32_t bits);
void if_not_out_group(struct nftnl_rule *r, uint32_t group, uint32_t bits);
void if_family_in(struct nftnl_rule *r, const char *set);
void if_in_name_in(struct nftnl_rule *r, const char *set);
void if_out_name_in(struct nftnl_rule *r, const char *set);
void if_not_translated(struct nftnl_rule *r);
void if_protocol(struct nftnl_rule *r, uint8_t protocol);
void if_port(struct nftnl_rule *r, uint16_t port);
void if_icmp_type(struct nftnl_rule *r, uint8_t type);
void if_tcp_reset(struct nftnl_rule *r);
void if_source_in(struct nftnl_rule *r, int family, const char *set);
void if_source_not_in(struct nftnl_rule *r, int family, const char *set);
void if_destination_in(struct nftnl_rule *r, int family, const char *set);
void if_destination_port_in(struct nftnl_rule *r, int family, const char *set);
void if_in_name_destination_in(struct nftnl_rule *r, int family, const char *set);
void if_in_name_destination_port_in(struct nftnl_rule *r, int family, const char *set);
void if_source_not_routed_back(struct nftnl_rule *r);
void if_destination_type_not_unicast(struct nftnl_rule *r);
void if_state(struct nftnl_rule *r, uint32_t bits);
void if_flows_over(struct nftnl_rule *r, uint32_t count);
void if_rate_over(struct nftnl_rule *r, uint64_t a_second, uint32_t burst);

/* Side effects. */
void count(struct nftnl_rule *r, const char *counter);
void record_destination(struct nftnl_rule *r, int family, const char *set,
			bool with_port);

/* What to do. */
void accept_it(struct nftnl_rule *r);
void drop_it(struct nftnl_rule *r);
void jump_to(struct nftnl_rule *r, const char *chain);
void go_to(struct nftnl_rule *r, const char *chain);
void reject_with_reset(struct nftnl_rule *r);
void reject_with_icmp(struct nftnl_rule *r);
void masquerade(struct nftnl_rule *r);

/* --- the rulesets ------------------------------------------------------------------ */

/* In a sandbox's own network namespace; with IPv6 or with all of it rejected. */
void rules_inside(struct ruleset *rs, bool ipv6);

/* In the host's. */
void rules_host(struct ruleset *rs);
