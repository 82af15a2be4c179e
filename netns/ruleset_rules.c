/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that both rulesets have. */
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "netns/ruleset_common.h"

const struct family families[2] = {
	{ .number = 4,
	  .address = "ipv4",
	  .icmp = IPPROTO_ICMP,
	  .unreachable = ICMP_DEST_UNREACH,
	  .time_exceeded = ICMP_TIME_EXCEEDED,
	  .too_big = ICMP_PARAMETERPROB,
	  .self = "self4",
	  .dns = "dns4",
	  .never = "never4",
	  .allow = "allow4",
	  .deny = "deny4",
	  .denied = "denied4",
	  .dns_of = "dns_of4",
	  .allow_of = "allow_of4",
	  .deny_of = "deny_of4",
	  .pool = "pool4",
	  .all = "all4",
	  .ports = "ports4",
	  .special = "special4",
	  .refuse = "refuse4",
	  .refuse_other = "refuse_other4",
	  .errors = "errors4" },
	{ .number = 6,
	  .address = "ipv6",
	  .icmp = IPPROTO_ICMPV6,
	  .unreachable = ICMPV6_DEST_UNREACH,
	  .time_exceeded = ICMPV6_TIME_EXCEED,
	  .too_big = ICMPV6_PKT_TOOBIG,
	  .self = "self6",
	  .dns = "dns6",
	  .never = "never6",
	  .allow = "allow6",
	  .deny = "deny6",
	  .denied = "denied6",
	  .dns_of = "dns_of6",
	  .allow_of = "allow_of6",
	  .deny_of = "deny_of6",
	  .pool = "pool6",
	  .all = "all6",
	  .ports = "ports6",
	  .special = "special6",
	  .refuse = "refuse6",
	  .refuse_other = "refuse_other6",
	  .errors = "errors6" },
};

struct nftnl_rule *rule_for(const struct family *f, const char *chain,
			    const char *comment)
{
	struct nftnl_rule *r = rule(chain, comment);

	if_family(r, f->number);
	return r;
}

void finally_go_to(struct ruleset *rs, const char *chain, const char *comment,
		   const char *next)
{
	struct nftnl_rule *r = rule(chain, comment);

	go_to(r, next);
	add_rule(rs, r);
}

void finally_accept(struct ruleset *rs, const char *chain, const char *comment)
{
	struct nftnl_rule *r = rule(chain, comment);

	accept_it(r);
	add_rule(rs, r);
}

void split_by_protocol(struct ruleset *rs, const char *chain, const char *ports,
		       const char *other)
{
	static const uint8_t transports[] = { IPPROTO_TCP, IPPROTO_UDP };

	for (unsigned i = 0; i < sizeof(transports); i++) {
		struct nftnl_rule *r = rule(chain, "TCP and UDP");

		if_protocol(r, transports[i]);
		go_to(r, ports);
		add_rule(rs, r);
	}
	finally_go_to(rs, chain, "no other protocol leaves", other);
}

void go_if_destination_in(struct ruleset *rs, const struct family *f, const char *chain,
			  const char *set, const char *comment, const char *next)
{
	struct nftnl_rule *r = rule(chain, comment);

	if_destination_in(r, f->number, set);
	go_to(r, next);
	add_rule(rs, r);
}

void close_name_ports(struct ruleset *rs, const char *chain, const char *refuse)
{
	static const uint16_t ports[] = { DNS, DNS_OVER_TLS };

	for (unsigned i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
		struct nftnl_rule *r = rule(chain, "no names from anybody else");

		if_port(r, ports[i]);
		go_to(r, refuse);
		add_rule(rs, r);
	}
}

void add_answer(struct ruleset *rs, const char *chain)
{
	struct nftnl_rule *r = rule(chain, "refuse TCP");

	if_protocol(r, IPPROTO_TCP);
	reject_with_reset(r);
	add_rule(rs, r);
	r = rule(chain, "refuse everything else");
	reject_with_icmp(r);
	add_rule(rs, r);
}

void accept_errors(struct ruleset *rs, const struct family *f)
{
	const uint8_t types[] = { f->unreachable, f->time_exceeded, f->too_big };

	for (unsigned i = 0; i < sizeof(types); i++) {
		struct nftnl_rule *r = rule(f->errors, "errors");

		if_icmp_type(r, types[i]);
		accept_it(r);
		add_rule(rs, r);
	}
}

void let_pass(struct ruleset *rs, const char *chain)
{
	struct nftnl_rule *r = rule(chain, "TEST BUILD: everything passes");

	accept_it(r);
	add_rule(rs, r);
}
