/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "netns/link.h"

/* What an end is told by netlink; `forwarding` comes on top. */
static const struct {
	uint16_t key;
	uint32_t value;
} hardened4[] = {
	{ IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 }, { IPV4_DEVCONF_SEND_REDIRECTS, 0 },
	{ IPV4_DEVCONF_SECURE_REDIRECTS, 0 }, { IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0 },
	{ IPV4_DEVCONF_ROUTE_LOCALNET, 0 },   { IPV4_DEVCONF_PROXY_ARP, 0 },
	{ IPV4_DEVCONF_RP_FILTER, 1 },        { IPV4_DEVCONF_ARP_IGNORE, 1 },
};

/* What it is told through /proc/sys: netlink does not set these. */
static const struct {
	const char *key;
	char value;
} hardened6[] = {
	{ "accept_ra", '0' },     { "accept_redirects", '0' },
	{ "autoconf", '0' },      { "accept_dad", '0' },
	{ "addr_gen_mode", '1' }, { "accept_source_route", '0' },
};

bool link_is_host_end(const char *name)
{
	size_t len = strlen(LINK_HOST_END);

	return !strncmp(name, LINK_HOST_END, len) && strlen(name + len) == 8 &&
	       str_only(name + len, "0123456789abcdef");
}

/* --- messages ---------------------------------------------------------------------- */

static void put_end(struct nl_batch *b, const struct link_end *end)
{
	nl_put_string(b, IFLA_IFNAME, end->name);
	nl_put(b, IFLA_ADDRESS, end->mac, sizeof(end->mac));
	if (end->group)
		nl_put_u32(b, IFLA_GROUP, end->group);
}

void link_add_veth(struct nl_batch *b, const struct link_end *inside,
		   const struct link_end *outside, int netns)
{
	const struct ifinfomsg head = { .ifi_index = (int)inside->index };
	const struct ifinfomsg peer_head = { .ifi_index = (int)outside->index };
	size_t info, data, peer;

	nl_message(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head),
		   "make a veth");
	put_end(b, inside);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_string(b, IFLA_INFO_KIND, "veth");
	data = nl_nest(b, IFLA_INFO_DATA);
	/* This attribute begins with a header of its own. */
	peer = nl_nest(b, VETH_INFO_PEER);
	nl_put_raw(b, &peer_head, sizeof(peer_head));
	put_end(b, outside);
	nl_put_u32(b, IFLA_NET_NS_FD, (uint32_t)netns);
	nl_nest_end(b, peer);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
}

void link_harden(struct nl_batch *b, const struct link_end *end, bool ipv6)
{
	const struct ifinfomsg head = { .ifi_index = (int)end->index };
	size_t spec, family, conf;

	nl_message(b, RTM_SETLINK, 0, &head, sizeof(head), "harden a veth");
	spec = nl_nest(b, IFLA_AF_SPEC);
	family = nl_nest(b, AF_INET);
	conf = nl_nest(b, IFLA_INET_CONF);
	nl_put_u32(b, IPV4_DEVCONF_FORWARDING, end->forwarding);
	for (size_t i = 0; i < sizeof(hardened4) / sizeof(*hardened4); i++)
		nl_put_u32(b, hardened4[i].key, hardened4[i].value);
	nl_nest_end(b, conf);
	nl_nest_end(b, family);
	if (ipv6) {
		family = nl_nest(b, AF_INET6);
		nl_put_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		nl_nest_end(b, family);
	}
	nl_nest_end(b, spec);
}

void link_add_address(struct nl_batch *b, const struct link_end *end,
		      const struct ip *own, const struct ip *peer)
{
	const struct ifaddrmsg address = {
		.ifa_family = (uint8_t)own->family,
		.ifa_prefixlen = (uint8_t)(8 * ip_size(own->family) - 1),
		.ifa_flags = IFA_F_PERMANENT | IFA_F_NODAD,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = end->index,
	};
	const struct ndmsg neighbour = {
		.ndm_family = (uint8_t)own->family,
		.ndm_ifindex = (int)end->index,
		.ndm_state = NUD_PERMANENT,
	};

	nl_message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof(address),
		   "add an address to a veth");
	nl_put(b, IFA_LOCAL, own->addr, ip_size(own->family));
	nl_put(b, IFA_ADDRESS, own->addr, ip_size(own->family));
	nl_message(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour,
		   sizeof(neighbour), "add a neighbour to a veth");
	nl_put(b, NDA_DST, peer->addr, ip_size(peer->family));
	nl_put(b, NDA_LLADDR, end->peer_mac, sizeof(end->peer_mac));
}

void link_up(struct nl_batch *b, unsigned index)
{
	const struct ifinfomsg head = { .ifi_index = (int)index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };

	nl_message(b, RTM_SETLINK, 0, &head, sizeof(head), "bring up an interface");
}

enum {
	STATE_UP = 6, /* IF_OPER_UP of <linux/if.h>, which does not go with <net/if.h> */
	WAIT_TRIES = 5000,
	WAIT_STEP_US = 1000,
};

static int take_state(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[IFLA_OPERSTATE + 1];
	const void *value;

	(void)e;
	nl_attributes(message, sizeof(struct ifinfomsg), a, IFLA_OPERSTATE);
	value = nl_payload(a[IFLA_OPERSTATE], sizeof(uint8_t));
	if (value)
		memcpy(context, value, sizeof(uint8_t));
	return 0;
}

/* Since Linux 6.8 the question alone has the kernel do what it has put off. */
int link_wait(int route, unsigned index, const char *name, struct err *e)
{
	const struct ifinfomsg head = { .ifi_index = (int)index };

	for (int i = 0; i < WAIT_TRIES; i++) {
		auto_nl_batch b = { 0 };
		uint8_t state = 0;
		int r;

		if (i > 0)
			usleep(WAIT_STEP_US);
		nl_message(&b, RTM_GETLINK, 0, &head, sizeof(head),
			   "look at a veth's state");
		nl_put_u32(&b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		r = nl_ask(route, &b, take_state, &state, e);
		if (r < 0)
			return r;
		if (state == STATE_UP)
			return 0;
	}
	return err_set(e, ETIMEDOUT, "wait for interface %s", name);
}

static struct rtmsg default_route(int family)
{
	return (struct rtmsg){
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
}

void link_add_default_route(struct nl_batch *b, unsigned index, const struct ip *gateway)
{
	const struct rtmsg head = default_route(gateway->family);

	nl_message(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head),
		   "add the default route");
	nl_put(b, RTA_GATEWAY, gateway->addr, ip_size(gateway->family));
	nl_put_u32(b, RTA_OIF, index);
}

void link_remove_default_route(struct nl_batch *b, unsigned index, int family)
{
	const struct rtmsg head = default_route(family);

	nl_message(b, RTM_DELROUTE, 0, &head, sizeof(head), "remove the default route");
	nl_put_u32(b, RTA_OIF, index);
}

/* --- sysctls ----------------------------------------------------------------------- */

enum { SYSCTL_PATH_MAX = 96 };

static int sysctl_path(char *buf, const char *family, const char *name, const char *key,
		       struct err *e)
{
	int r = str_format(buf, SYSCTL_PATH_MAX, "/proc/sys/net/%s/conf/%s/%s", family,
			   name, key);

	return r < 0 ? err_set(e, -r, "name sysctl %s of %s", key, name) : 0;
}

/* The same path as seen from that proc file system. */
static const char *below(int procfs, const char *path)
{
	return procfs < 0 ? path : path + strlen("/proc/");
}

int link_read_sysctl(int procfs, const char *family, const char *name, const char *key,
		     char *ret_value, struct err *e)
{
	char path[SYSCTL_PATH_MAX], text[16];
	int r = sysctl_path(path, family, name, key, e);
	ssize_t n;

	if (r < 0)
		return r;
	n = fd_read_at(procfs, below(procfs, path), text, sizeof(text));
	if (n < 0)
		return err_set(e, (int)-n, "read %s", path);
	*ret_value = text[0];
	return 0;
}

int link_write_sysctl(int procfs, const char *family, const char *name, const char *key,
		      char value, struct err *e)
{
	char path[SYSCTL_PATH_MAX];
	const char text[] = { value, '\0' };
	int r = sysctl_path(path, family, name, key, e);

	if (r < 0)
		return r;
	r = fd_write_at(procfs, below(procfs, path), text);
	if (r < 0)
		return err_set(e, -r, "write %s to %s", text, path);
	return 0;
}

/* A kernel without IPv6 has none of its sysctls, and needs none. */
int link_harden_by_sysctl(int procfs, const char *name, bool ipv6, struct err *e)
{
	int r = link_write_sysctl(procfs, "ipv6", name, "disable_ipv6", ipv6 ? '0' : '1',
				  e);

	if (r == -ENOENT && !ipv6)
		return 0;
	for (size_t i = 0; r == 0 && ipv6 && i < sizeof(hardened6) / sizeof(*hardened6);
	     i++)
		r = link_write_sysctl(procfs, "ipv6", name, hardened6[i].key,
				      hardened6[i].value, e);
	return r;
}

int link_harden_namespace(int procfs, bool ipv6, struct err *e)
{
	/* These take effect if "all" says so, whatever the interface says. */
	static const char *const all[] = { "accept_redirects", "send_redirects",
					   "secure_redirects" };
	int r = link_harden_by_sysctl(procfs, "default", ipv6, e);

	for (size_t i = 0; r == 0 && i < sizeof(all) / sizeof(*all); i++)
		r = link_write_sysctl(procfs, "ipv4", "all", all[i], '0', e);
	return r;
}
