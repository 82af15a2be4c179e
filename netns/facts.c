/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/str.h"
#include "netns/facts.h"
#include "netns/link.h"
#include "netns/nl.h"

enum { TRIES_MAX = 32 }; /* to read a list that others change meanwhile */

/* Sends a request for a list until nobody has changed the list while it was read. */
static int ask_again(int route, void (*build)(struct nl_batch *b, void *argument),
		     void *argument,
		     int (*each)(const struct nlmsghdr *, void *, struct err *),
		     void *context, struct err *e)
{
	auto_nl_batch b = { 0 };
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < TRIES_MAX; i++) {
		build(&b, argument);
		r = nl_ask(route, &b, each, context, e);
	}
	return r;
}

/* --- addresses --------------------------------------------------------------------- */

struct addresses {
	const struct cidr *skip;
	struct ip_ranges *set;
};

static void ask_for_addresses(struct nl_batch *b, void *argument)
{
	const struct ip_ranges *set = argument;
	const struct rtmsg head = { .rtm_family = (uint8_t)set->family,
				    .rtm_table = RT_TABLE_LOCAL };

	nl_message(b, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head),
		   "list the host's addresses");
}

/* The table of what the host takes for itself: its addresses, the broadcasts of its
 * networks, anycast, and whole networks that somebody has made local. */
static int add_address(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct rtmsg *head = NLMSG_DATA(message);
	const struct nlattr *a[RTA_OIF + 1];
	struct addresses *list = context;
	struct cidr one = { .ip = { .family = list->set->family },
			    .prefix = head->rtm_dst_len };
	size_t size = ip_size(one.ip.family);
	const void *address;

	if (message->nlmsg_type != RTM_NEWROUTE || head->rtm_table != RT_TABLE_LOCAL)
		return 0;
	nl_attributes(message, sizeof(*head), a, RTA_OIF);
	address = nl_payload(a[RTA_DST], size);
	if (!address)
		return 0;
	memcpy(one.ip.addr, address, size);
	/* One that only begins there is wider, and has to be in the set. */
	if (one.prefix >= list->skip->prefix && cidr_contains(list->skip, &one.ip))
		return 0;
	return ip_ranges_add(list->set, &one, e);
}

int facts_add_addresses(int route, const struct cidr *skip, struct ip_ranges *set,
			struct err *e)
{
	struct addresses list = { .skip = skip, .set = set };
	int r = ask_again(route, ask_for_addresses, set, add_address, &list, e);

	/* There is no such table before the first address. */
	return r == -ENOENT ? 0 : r;
}

/* --- interfaces -------------------------------------------------------------------- */

unsigned facts_index_of(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	if (str_format(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name) < 0 ||
	    ioctl(sock, SIOCGIFINDEX, &ifr) < 0)
		return 0;
	return (unsigned)ifr.ifr_ifindex;
}

static int take_interface(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[RTA_OIF + 1];
	unsigned *index = context;
	const void *value;

	(void)e;
	nl_attributes(message, sizeof(struct rtmsg), a, RTA_OIF);
	value = nl_payload(a[RTA_OIF], sizeof(*index));
	if (value)
		memcpy(index, value, sizeof(*index));
	return 0;
}

int facts_find_way(int route, const struct ip *ip, char *ret_name, struct err *e)
{
	const struct rtmsg head = { .rtm_family = (uint8_t)ip->family,
				    .rtm_dst_len = (uint8_t)(8 * ip_size(ip->family)) };
	struct ifreq ifr = { 0 };
	auto_nl_batch b = { 0 };
	unsigned index = 0;
	int r;

	nl_message(&b, RTM_GETROUTE, 0, &head, sizeof(head),
		   "find the way to an address");
	nl_put(&b, RTA_DST, ip->addr, ip_size(ip->family));
	r = nl_ask(route, &b, take_interface, &index, e);
	if (r < 0 && r != -ENETUNREACH && r != -EHOSTUNREACH && r != -EACCES)
		return r;
	ifr.ifr_ifindex = (int)index;
	/* The loopback interface is where our own addresses lead, and unreachable ones.
	 */
	if (index <= 1 || ioctl(route, SIOCGIFNAME, &ifr) < 0)
		ifr.ifr_name[0] = '\0';
	memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

int facts_find_uplink(int route, int family, char *ret_name, struct err *e)
{
	/* Nothing is sent there. Both are Google's resolver. */
	static const struct ip public4 = { AF_INET, { 8, 8, 8, 8 } };
	static const struct ip public6 = {
		AF_INET6, { 0x20, 0x01, 0x48, 0x60, 0x48, 0x60, [14] = 0x88, [15] = 0x88 }
	};
	int r = facts_find_way(route, family == AF_INET ? &public4 : &public6, ret_name,
			       e);

	if (r == 0 && !*ret_name)
		return err_say(e, ENETUNREACH,
			       "no uplink: this host has no default route for IPv%d",
			       family == AF_INET ? 4 : 6);
	return r;
}

struct group_count {
	uint32_t first, last;
	unsigned count;
};

/* Counting begins anew whenever the list does. */
static void ask_for_links(struct nl_batch *b, void *argument)
{
	const struct ifinfomsg head = { 0 };
	struct group_count *c = argument;

	c->count = 0;
	nl_message(b, RTM_GETLINK, NLM_F_DUMP, &head, sizeof(head),
		   "list the host's interfaces");
	nl_put_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

static int count_link(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[IFLA_GROUP + 1];
	struct group_count *c = context;
	const void *value;
	uint32_t group;

	(void)e;
	nl_attributes(message, sizeof(struct ifinfomsg), a, IFLA_GROUP);
	value = nl_payload(a[IFLA_GROUP], sizeof(group));
	if (!value)
		return 0;
	memcpy(&group, value, sizeof(group));
	c->count += group >= c->first && group <= c->last;
	return 0;
}

int facts_count_group(int route, uint32_t first, uint32_t last, unsigned *ret_count,
		      struct err *e)
{
	struct group_count c = { .first = first, .last = last };
	int r = ask_again(route, ask_for_links, &c, count_link, &c, e);

	if (r == 0)
		*ret_count = c.count;
	return r;
}

/* --- routes ------------------------------------------------------------------------ */

struct route_check {
	int sock;
	const struct cidr *network;
};

static void ask_for_routes(struct nl_batch *b, void *argument)
{
	const struct route_check *check = argument;
	const struct rtmsg head = {
		.rtm_family = (uint8_t)check->network->ip.family,
	};

	nl_message(b, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head),
		   "list the host's routes");
}

static bool is_ours(int sock, const struct nlattr *oif)
{
	const void *value = nl_payload(oif, sizeof(uint32_t));
	struct ifreq ifr = { 0 };

	if (!value)
		return false;
	memcpy(&ifr.ifr_ifindex, value, sizeof(uint32_t));
	return ioctl(sock, SIOCGIFNAME, &ifr) < 0 || link_is_host_end(ifr.ifr_name);
}

static int check_route(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct rtmsg *head = NLMSG_DATA(message);
	const struct route_check *check = context;
	struct cidr other = { .ip = { .family = check->network->ip.family },
			      .prefix = head->rtm_dst_len };
	const struct nlattr *a[RTA_OIF + 1];
	char text[CIDR_TEXT_MAX], pool[CIDR_TEXT_MAX];
	const void *destination;

	nl_attributes(message, sizeof(*head), a, RTA_OIF);
	destination = nl_payload(a[RTA_DST], ip_size(other.ip.family));
	if (head->rtm_type != RTN_UNICAST || !destination)
		return 0;
	memcpy(other.ip.addr, destination, ip_size(other.ip.family));
	if (!cidr_overlaps(&other, check->network) || is_ours(check->sock, a[RTA_OIF]))
		return 0;
	/* A wide route, such as 10.0.0.0/8 to a VPN, is narrowed and not shadowed. */
	if (other.prefix < check->network->prefix)
		return 0;
	return err_say(e, EEXIST, "this host has a route to %s, within the pool %s",
		       cidr_format(text, &other), cidr_format(pool, check->network));
}

int facts_check_unused(int route, const struct cidr *network, struct err *e)
{
	struct route_check check = { .sock = route, .network = network };

	return ask_again(route, ask_for_routes, &check, check_route, &check, e);
}
