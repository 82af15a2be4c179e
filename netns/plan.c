/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox shall reach: defaults, and what cannot be had. */
#include <errno.h>
#include <sys/socket.h>

#include "netns/netns.h"

void netns_settings_init(struct netns_settings *settings)
{
	*settings = (struct netns_settings){
		.pool4 = { { AF_INET, { 10, 213 } }, 19 },
		.pool6 = { { AF_INET6, { 0xfd, 0x63, 0x61, 0x72, 0x72, 0x65, 0x6c } },
			   64 },
		.deny4 = { .family = AF_INET },
		.deny6 = { .family = AF_INET6 },
		.flows = NETNS_FLOWS_DEFAULT,
		.rate = NETNS_RATE_DEFAULT,
	};
}

void netns_settings_free(struct netns_settings *settings)
{
	ip_ranges_free(&settings->deny4);
	ip_ranges_free(&settings->deny6);
}

void netns_plan_init(struct netns_plan *plan)
{
	*plan = (struct netns_plan){ .deny4 = { .family = AF_INET },
				     .deny6 = { .family = AF_INET6 } };
}

void netns_plan_free(struct netns_plan *plan)
{
	ip_ranges_free(&plan->deny4);
	ip_ranges_free(&plan->deny6);
}

unsigned netns_resolvers(const struct netns_settings *settings,
			 const struct netns_plan *plan, const struct ip **ret)
{
	*ret = plan->dns_count ? plan->dns : settings->dns;
	return plan->dns_count ? plan->dns_count : settings->dns_count;
}

int netns_resolv_conf(const struct netns_settings *settings,
		      const struct netns_plan *plan, char *buf, size_t size,
		      struct err *e)
{
	struct ip reachable[NETNS_DNS_MAX];
	const struct ip *all;
	unsigned n = netns_resolvers(settings, plan, &all), count = 0;
	int r;

	for (unsigned i = 0; i < n; i++) {
		if (plan->ipv6 || all[i].family == AF_INET)
			reachable[count++] = all[i];
	}
	r = resolver_format(buf, size, reachable, count);
	return r < 0 ? err_set(e, -r, "write resolv.conf") : 0;
}

/* Is any address of the network in the list? */
static bool touches(const struct blocklist *list, const struct cidr *c)
{
	const struct ip_ranges set = { .family = c->ip.family,
				       .list = (struct ip_range *)list->list,
				       .count = list->count };

	return ip_ranges_overlap(&set, c);
}

static int check_allow(const struct netns_settings *settings,
		       const struct netns_plan *plan, const struct cidr *c, struct err *e)
{
	bool v4 = c->ip.family == AF_INET;
	char text[CIDR_TEXT_MAX];

	cidr_format(text, c);
	if (!v4 && !plan->ipv6)
		return err_say(e, EINVAL, "an exception for %s, but no IPv6", text);
	if (touches(v4 ? &blocklist_platform4 : &blocklist_platform6, c))
		return err_say(e, EPERM,
			       "an exception for %s would open metadata or platform "
			       "addresses",
			       text);
	if (cidr_overlaps(c, v4 ? &settings->pool4 : &settings->pool6))
		return err_say(e, EPERM, "an exception for %s would open other sandboxes",
			       text);
	return 0;
}

int netns_plan_check(const struct netns_settings *settings, const struct netns_plan *plan,
		     struct err *e)
{
	char text[IP_TEXT_MAX];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < plan->allow_count; i++)
		r = check_allow(settings, plan, &plan->allow[i].cidr, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < plan->dns_count; i++) {
		if (plan->dns[i].family == AF_INET6 && !plan->ipv6)
			return err_say(e, EINVAL, "resolver %s, but no IPv6",
				       ip_format(text, &plan->dns[i]));
	}
	if (plan->deny4.count + plan->deny6.count > NETNS_RANGES_MAX)
		return err_say(e, E2BIG,
			       "%zu denied ranges of one sandbox: more than %d belong "
			       "into the configuration",
			       plan->deny4.count + plan->deny6.count, NETNS_RANGES_MAX);
	return 0;
}
