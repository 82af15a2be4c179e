/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of filtered egress: the same kernel objects as carrel's, with fixed addresses
 * and without a question asked. */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "netns/facts.h" /* lint: the messages are not behind the door */
#include "netns/link.h" /* lint: likewise */
#include "netns/ruleset.h" /* lint: likewise */
#include "tools/floor.h"

static const struct ip address = { AF_INET, { 10, 254, 254, 1 } };
static const struct ip gateway = { AF_INET, { 10, 254, 254, 0 } };

static const struct link_end inside = {
	.index = LINK_INSIDE, .name = "eth0", .mac = { 2, 1 }, .peer_mac = { 2, 2 }
};

int floor_network_open(int *ret_host, struct err *e)
{
	return nl_open(NETLINK_ROUTE, ret_host, e);
}

static int load_rules(const struct netns_settings *s, struct nl_batch *b, struct err *e)
{
	const struct ruleset_limits limits = { s->flows, s->rate };
	int rules, r = nl_open(NETLINK_NETFILTER, &rules, e);

	if (r < 0)
		return r;
	ruleset_begin(b);
	ruleset_add_inside(b, false, &limits);
	ruleset_add_ranges(b, "never4", blocklist_platform4.list,
			   blocklist_platform4.count, AF_INET);
	ruleset_add_ranges(b, "deny4", blocklist_deny4.list, blocklist_deny4.count,
			   AF_INET);
	ruleset_end(b);
	return nl_send(rules, b, e);
}

static int connect_ends(struct nl_batch *b, struct link_end *outside, int route, int host,
			struct err *e)
{
	int r;

	outside->index = facts_index_of(host, outside->name);
	link_harden(b, outside, false);
	link_add_address(b, outside, &gateway, &address);
	link_up(b, outside->index);
	r = nl_send(host, b, e);
	if (r < 0)
		return r;
	link_up(b, LINK_LOOPBACK);
	link_harden(b, &inside, false);
	link_add_address(b, &inside, &address, &gateway);
	link_up(b, LINK_INSIDE);
	link_add_default_route(b, LINK_INSIDE, &gateway);
	return nl_send(route, b, e);
}

int floor_network(const struct netns_settings *settings, int host, int host_netns,
		  struct err *e)
{
	struct link_end outside = { .name = "floor0",
				    .mac = { 2, 2 },
				    .peer_mac = { 2, 1 },
				    .forwarding = true };
	auto_nl_batch b = { 0 };
	int route, r = nl_open(NETLINK_ROUTE, &route, e);

	if (r < 0)
		return r;
	/* The end of an earlier run may still be there, which the kernel removes when it
	 * comes to it. */
	for (int i = 0; facts_index_of(host, outside.name); i++)
		outside.name = (const char *[]){ "floor1", "floor2", "floor3", "floor4",
						 "floor0" }[i % 5];
	link_add_veth(&b, &inside, &outside, host_netns);
	r = nl_send(route, &b, e);
	if (r == 0)
		r = load_rules(settings, &b, e);
	return r == 0 ? connect_ends(&b, &outside, route, host, e) : r;
}
