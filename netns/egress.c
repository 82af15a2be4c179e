/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "netns/disjoint.h"
#include "netns/egress.h"
#include "netns/facts.h"
#include "netns/link.h"
#include "netns/lists.h"
#include "netns/ruleset.h"
#include "netns/special.h"
#include "netns/uplink.h"

enum { FAMILY4, FAMILY6 }; /* indexes of struct egress's lists */

/* --- lists ------------------------------------------------------------------------- */

static int gather_one(struct egress *eg, int i, struct err *e)
{
	const struct netns_settings *s = eg->settings;
	const struct ip_ranges *operators = i == FAMILY4 ? &s->deny4 : &s->deny6;
	const struct ip_ranges *own = i == FAMILY4 ? &eg->plan->deny4 : &eg->plan->deny6;
	int r = lists_add_never(&eg->never[i], s, e);

	if (r == 0)
		r = facts_add_addresses(eg->host.route,
					i == FAMILY4 ? &s->pool4 : &s->pool6,
					&eg->never[i], e);
	if (r == 0)
		r = lists_add_denied(&eg->deny[i], e);
	if (r == 0)
		r = ip_ranges_add_all(&eg->deny[i], operators->list, operators->count, e);
	if (r == 0)
		r = ip_ranges_add_all(&eg->deny[i], own->list, own->count, e);
	ip_ranges_merge(&eg->never[i]);
	ip_ranges_merge(&eg->deny[i]);
	return r;
}

int egress_open(const struct netns_settings *settings, const struct netns_plan *plan,
		const struct netns_place *place, struct egress *ret, struct err *e)
{
	int r;

	*ret = (struct egress){
		.settings = settings,
		.plan = plan,
		.place = place,
		.host = HOST_NONE,
		.host_netns = -1,
		.lock = -1,
		.never = { { .family = AF_INET }, { .family = AF_INET6 } },
		.deny = { { .family = AF_INET }, { .family = AF_INET6 } },
	};
	ret->host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ret->host_netns < 0)
		return err_set(e, errno, "open our network namespace");
	r = host_open(&ret->host, e);
	ret->host.procfs = place->procfs;
	if (r == 0)
		r = host_open_lock(&ret->lock, e);
	if (r == 0)
		r = host_ensure(&ret->host, ret->lock, settings, plan->ipv6, e);
	if (r == 0)
		r = gather_one(ret, FAMILY4, e);
	if (r == 0 && plan->ipv6)
		r = gather_one(ret, FAMILY6, e);
	return r;
}

void egress_close(struct egress *eg)
{
	host_close(&eg->host);
	fd_close(&eg->host_netns);
	fd_close(&eg->lock);
	for (int i = 0; i < 2; i++) {
		ip_ranges_free(&eg->never[i]);
		ip_ranges_free(&eg->deny[i]);
	}
}

/* --- rules ------------------------------------------------------------------------- */

static void add_keys(struct nl_batch *b, const char *set, const struct ip *list,
		     unsigned count, int family)
{
	for (unsigned i = 0; i < count; i++) {
		if (list[i].family == family)
			ruleset_add(b, set,
				    &(struct ruleset_element){ .key = list[i].addr,
							       .size = ip_size(family) });
	}
}

static int add_exceptions(struct nl_batch *b, const struct netns_plan *plan, int family,
			  struct err *e)
{
	struct disjoint d;
	int r = disjoint_exceptions(plan->allow, plan->allow_count, family, &d, e);

	for (size_t i = 0; i < d.count; i++)
		ruleset_add(b, family == AF_INET ? "allow4" : "allow6",
			    &(struct ruleset_element){ .key = d.list[i].first,
						       .key_end = d.list[i].last,
						       .size = d.list[i].size });
	disjoint_free(&d);
	return r;
}

static int load_rules(const struct egress *eg, const struct netns *ns, struct err *e)
{
	const struct ruleset_limits limits = { .flows = eg->settings->flows,
					       .rate = eg->settings->rate };
	auto_nl_batch b = { 0 };
	const struct ip *dns;
	unsigned dns_count = netns_resolvers(eg->settings, eg->plan, &dns);
	int r = 0;

	ruleset_begin(&b);
	ruleset_add_inside(&b, eg->plan->ipv6, &limits);
	for (int i = FAMILY4; r == 0 && i <= (eg->plan->ipv6 ? FAMILY6 : FAMILY4); i++) {
		int family = eg->never[i].family;
		const struct ip *own = i == FAMILY4 ? &ns->address4 : &ns->address6;

		add_keys(&b, i == FAMILY4 ? "self4" : "self6", own, 1, family);
		add_keys(&b, i == FAMILY4 ? "dns4" : "dns6", dns, dns_count, family);
		ruleset_add_ranges(&b, i == FAMILY4 ? "never4" : "never6",
				   eg->never[i].list, eg->never[i].count, family);
		ruleset_add_ranges(&b, i == FAMILY4 ? "deny4" : "deny6", eg->deny[i].list,
				   eg->deny[i].count, family);
		r = add_exceptions(&b, eg->plan, family, e);
	}
	if (r < 0)
		return r;
	ruleset_end(&b);
	return nl_send(ns->rules, &b, e);
}

/* --- addresses and ends ------------------------------------------------------------ */

/* How many networks of two the pool has. */
static unsigned capacity_of(const struct cidr *pool)
{
	unsigned bits = pool->ip.family == AF_INET ? 31 : 127;

	if (pool->prefix > bits)
		return 0;
	return bits - pool->prefix > 20 ? 1u << 20 : 1u << (bits - pool->prefix);
}

/* The address at an offset of at most 2^21 from the pool's first. */
static struct ip address_at(const struct cidr *pool, unsigned offset)
{
	struct ip ip = pool->ip;
	size_t i = ip_size(ip.family);

	while (i--) {
		offset += ip.addr[i];
		ip.addr[i] = (uint8_t)offset;
		offset >>= 8;
	}
	return ip;
}

/* Both ends with names and hardware addresses that follow from the sandbox's address. */
struct ends {
	struct link_end inside, host;
	struct ip host4, host6;
};

static void name_ends(const struct egress *eg, const struct netns *ns, unsigned index,
		      struct ends *ret)
{
	const uint8_t *a = ns->address4.addr;
	/* Locally administered; the second byte tells the ends apart. */
	const uint8_t inside[6] = { 0x02, 0x01, a[0], a[1], a[2], a[3] };
	const uint8_t host[6] = { 0x02, 0x00, a[0], a[1], a[2], a[3] };

	*ret = (struct ends){
		.inside = { .index = LINK_INSIDE, .name = "eth0" },
		.host = { .name = ns->host_end,
			  .group = ns->special ? RULESET_GROUP_SPECIAL : RULESET_GROUP,
			  .forwarding = true },
		.host4 = address_at(&eg->settings->pool4, 2 * index),
		.host6 = address_at(&eg->settings->pool6, 2 * index),
	};
	memcpy(ret->inside.mac, inside, sizeof(inside));
	memcpy(ret->inside.peer_mac, host, sizeof(host));
	memcpy(ret->host.mac, host, sizeof(host));
	memcpy(ret->host.peer_mac, inside, sizeof(inside));
}

/* The sandbox's addresses are the odd ones; the host end is named after the first. */
static void take_address(const struct egress *eg, unsigned index, struct netns *ns)
{
	const uint8_t *a = ns->address4.addr;

	ns->address4 = address_at(&eg->settings->pool4, 2 * index + 1);
	if (eg->plan->ipv6)
		ns->address6 = address_at(&eg->settings->pool6, 2 * index + 1);
	bug_on(str_format(ns->host_end, sizeof(ns->host_end),
			  LINK_HOST_END "%02x%02x%02x%02x", a[0], a[1], a[2], a[3]) < 0);
}

static int make_veth(const struct egress *eg, const struct netns *ns, unsigned index,
		     struct err *e)
{
	auto_nl_batch b = { 0 };
	struct ends ends;

	name_ends(eg, ns, index, &ends);
	link_add_veth(&b, &ends.inside, &ends.host, eg->host_netns);
	return nl_send(ns->route, &b, e);
}

/* The first address whose host end nobody has. Whoever makes the veth has the address:
 * the kernel is the judge of a race, and until it has let go of an end, nobody gets its
 * address again. */
static int find_address(const struct egress *eg, struct netns *ns, struct err *e)
{
	unsigned capacity = capacity_of(&eg->settings->pool4);
	char text[CIDR_TEXT_MAX];

	if (eg->plan->ipv6 && capacity > capacity_of(&eg->settings->pool6))
		capacity = capacity_of(&eg->settings->pool6);
	for (unsigned i = 0; i < capacity; i++) {
		unsigned index = (eg->place->first + i) % capacity;
		int r;

		take_address(eg, index, ns);
		if (facts_index_of(eg->host.route, ns->host_end))
			continue;
		r = make_veth(eg, ns, index, e);
		if (r != -EEXIST)
			return r;
	}
	ns->host_end[0] = '\0';
	return err_say(e, EADDRNOTAVAIL, "all %u addresses of the pool %s are in use",
		       capacity, cidr_format(text, &eg->settings->pool4));
}

/* No packet before the rules (N-02): the ends are still down when this returns. */
int egress_make_inside(const struct egress *eg, struct netns *ns, struct err *e)
{
	int r = nl_open(NETLINK_ROUTE, &ns->route, e);

	if (r == 0)
		r = nl_open(NETLINK_NETFILTER, &ns->rules, e);
	if (r == 0)
		r = link_harden_namespace(eg->place->procfs, eg->plan->ipv6, e);
	ns->special = special_is_needed(eg->plan);
	if (r == 0)
		r = find_address(eg, ns, e);
	/* From here on, our interface speaks for us. */
	host_release(eg->lock);
	if (r == 0)
		r = load_rules(eg, ns, e);
	return r;
}

static unsigned index_of_address(const struct egress *eg, const struct netns *ns)
{
	unsigned base = 0, own = 0;

	for (int i = 0; i < 4; i++) {
		base = base << 8 | eg->settings->pool4.ip.addr[i];
		own = own << 8 | ns->address4.addr[i];
	}
	return (own - base) / 2;
}

static int connect_host(const struct egress *eg, const struct netns *ns,
			struct ends *ends, struct err *e)
{
	auto_nl_batch b = { 0 };
	int r = link_harden_by_sysctl(eg->place->procfs, ns->host_end, eg->plan->ipv6, e);

	if (r < 0)
		return r;
	ends->host.index = facts_index_of(eg->host.route, ns->host_end);
	if (!ends->host.index)
		return err_say(e, ENODEV, "interface %s has gone", ns->host_end);
	link_harden(&b, &ends->host, eg->plan->ipv6);
	link_add_address(&b, &ends->host, &ends->host4, &ns->address4);
	if (eg->plan->ipv6)
		link_add_address(&b, &ends->host, &ends->host6, &ns->address6);
	link_up(&b, ends->host.index);
	return nl_send(eg->host.route, &b, e);
}

static int connect_inside(const struct egress *eg, const struct netns *ns,
			  const struct ends *ends, struct err *e)
{
	auto_nl_batch b = { 0 };

	link_up(&b, LINK_LOOPBACK);
	link_harden(&b, &ends->inside, eg->plan->ipv6);
	link_add_address(&b, &ends->inside, &ns->address4, &ends->host4);
	if (eg->plan->ipv6)
		link_add_address(&b, &ends->inside, &ns->address6, &ends->host6);
	link_up(&b, LINK_INSIDE);
	link_add_default_route(&b, LINK_INSIDE, &ends->host4);
	if (eg->plan->ipv6)
		link_add_default_route(&b, LINK_INSIDE, &ends->host6);
	return nl_send(ns->route, &b, e);
}

/* To resolvers and exceptions that are not behind the uplink. */
static int open_ways(const struct egress *eg, struct err *e)
{
	const struct netns_plan *plan = eg->plan;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < plan->dns_count; i++)
		r = uplink_open_way(eg->host.route, eg->host.rules, &plan->dns[i], e);
	for (unsigned i = 0; r == 0 && i < plan->allow_count; i++)
		r = uplink_open_way(eg->host.route, eg->host.rules,
				    &plan->allow[i].cidr.ip, e);
	return r;
}

int egress_connect(const struct egress *eg, const struct netns *ns, struct err *e)
{
	struct ends ends;
	int r = 0;

	name_ends(eg, ns, index_of_address(eg, ns), &ends);
	if (ns->special)
		r = eg->place->record(eg->place->context, ns->host_end, e);
	if (r == 0 && ns->special)
		r = open_ways(eg, e);
	if (r == 0 && ns->special)
		r = special_remove(eg->host.rules, ns->host_end, e);
	if (r == 0 && ns->special)
		r = special_add(eg->host.rules, eg->settings, eg->plan, ns->host_end, e);
	if (r == 0)
		r = connect_host(eg, ns, &ends, e);
	if (r == 0)
		r = connect_inside(eg, ns, &ends, e);
	/* The end that came up last sends at once; this one had nobody to talk to. */
	if (r == 0)
		r = link_wait(eg->host.route, ends.host.index, ns->host_end, e);
	return r;
}
