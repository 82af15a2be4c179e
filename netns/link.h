/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces, addresses and routes as netlink messages; the sysctls that have none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netns/ip.h"
#include "netns/nl.h"

/* Names of host ends: this, and the sandbox's IPv4 address in hexadecimal. */
#define LINK_HOST_END "cr"

enum { LINK_LOOPBACK = 1, LINK_INSIDE = 2 }; /* interface indexes in a sandbox */

/* Is it the name of a host end? */
bool link_is_host_end(const char *name);

/* One end of a veth, and what its other end is to it. */
struct link_end {
	unsigned index; /* 0: not known yet */
	const char *name;
	uint8_t mac[6], peer_mac[6];
	uint32_t group; /* 0: the default one */
	bool forwarding;
};

/* Makes the veth, down: `inside` here with the index that it says, `outside` in the
 * network namespace `netns` is a descriptor of. */
void link_add_veth(struct nl_batch *b, const struct link_end *inside,
		   const struct link_end *outside, int netns);

/* Sets everything of N-08 that netlink knows: redirects, source routes, spoofing. */
void link_harden(struct nl_batch *b, const struct link_end *end, bool ipv6);

/* Gives it `own`, on a network of two with `peer`, whose hardware address is known for
 * good: nobody is ever asked for it. */
void link_add_address(struct nl_batch *b, const struct link_end *end,
		      const struct ip *own, const struct ip *peer);

/* Brings up the interface with that index. */
void link_up(struct nl_batch *b, unsigned index);

/* Waits until the kernel sends through an interface that is up and connected: what is
 * sent before it has got to that (which is work that it puts off) is lost without a word.
 * −ETIMEDOUT: not within five seconds. */
must_check int link_wait(int route, unsigned index, const char *name, struct err *e);

/* The default route, through `gateway`. */
void link_add_default_route(struct nl_batch *b, unsigned index, const struct ip *gateway);

/* Removes it again. */
void link_remove_default_route(struct nl_batch *b, unsigned index, int family);

/* The sysctls that netlink does not set, of interfaces to come in the network namespace
 * of the caller. Of all these, `procfs` is the proc file system to go through; −1: the
 * one on /proc. */
must_check int link_harden_namespace(int procfs, bool ipv6, struct err *e);

/* The same of one interface in it. */
must_check int link_harden_by_sysctl(int procfs, const char *name, bool ipv6,
				     struct err *e);

/* Reads or writes /proc/sys/net/FAMILY/conf/NAME/KEY; family is "ipv4" or "ipv6". */
must_check int link_read_sysctl(int procfs, const char *family, const char *name,
				const char *key, char *ret_value, struct err *e);
must_check int link_write_sysctl(int procfs, const char *family, const char *name,
				 const char *key, char value, struct err *e);
