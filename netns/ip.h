/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, networks and sets of addresses: text in, numbers out, no system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { IP_TEXT_MAX = 48, CIDR_TEXT_MAX = 56 }; /* with the NUL */

/* One address. Not to be met with <netinet/ip.h>, whose struct ip is a header. */
struct ip {
	int family; /* AF_INET or AF_INET6 */
	uint8_t addr[16]; /* network order; IPv4 in the first 4, then zeros */
};

/* Bytes of an address of that family: 4 or 16. */
size_t ip_size(int family);

/* IPv4 is four decimal numbers without leading zeros: what others read as octal, as
 * hexadecimal or as fewer parts is refused. No zone ("%eth0"), no brackets, no space.
 * −EINVAL. */
must_check int ip_parse(const char *text, struct ip *ret);

/* Writes the text as inet_ntop(3) does into buf, of IP_TEXT_MAX bytes. Returns buf. */
const char *ip_format(char *buf, const struct ip *ip);

/* A network. The bits below the prefix are zero. */
struct cidr {
	struct ip ip;
	unsigned prefix; /* at most 32 or 128 */
};

/* "10.0.0.0/8"; a bare address is a network of one. Bits that are set below the prefix
 * are refused, and so is a part of ::ffff:0:0/96 ("::ffff:10.0.0.0/104"): the kernel
 * sends to such addresses by IPv4, where a rule for IPv6 never sees it. −EINVAL. */
must_check int cidr_parse(const char *text, struct cidr *ret, struct err *e);

/* Writes "ADDRESS/PREFIX" into buf, of CIDR_TEXT_MAX bytes. Returns buf. */
const char *cidr_format(char *buf, const struct cidr *c);

/* Is the address in the network? One of the other family is not. */
bool cidr_contains(const struct cidr *c, const struct ip *ip);

/* Do the networks share an address? Those of different families do not. */
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);

/* A network and a port of its addresses. */
struct cidr_port {
	struct cidr cidr;
	uint16_t port; /* 0: every port */
};

/* "CIDR[:PORT]" with a port from 1 to 65535. An IPv6 network that has a port stands in
 * brackets, "[2001:db8::/32]:443"; without a port it may. −EINVAL. */
must_check int cidr_port_parse(const char *text, struct cidr_port *ret, struct err *e);

/* Neighbouring addresses of one family, stored like struct ip's. */
struct ip_range {
	uint8_t first[16], last[16]; /* both included */
};

/* A set of addresses. `{ .family = AF_INET }` is empty and owns nothing. It is filled by
 * adding, then merged once, then asked. */
struct ip_ranges {
	int family; /* of everything in it */
	struct ip_range *list; /* owned */
	size_t count, room;
};

/* Adds a network, which must be of the set's family. −ENOMEM leaves the set as it was. */
must_check int ip_ranges_add(struct ip_ranges *r, const struct cidr *c, struct err *e);

/* Adds a copy of `count` ranges, which must be of the set's family and have their first
 * address before their last or equal to it. −ENOMEM leaves the set as it was. */
must_check int ip_ranges_add_all(struct ip_ranges *r, const struct ip_range *list,
				 size_t count, struct err *e);

/* Sorts the set, and makes one range of those that overlap or touch: between two ranges
 * that are left, there is an address that is in neither. */
void ip_ranges_merge(struct ip_ranges *r);

/* Is the address in the set? One of the other family is not. The set must be merged. */
bool ip_ranges_contains(const struct ip_ranges *r, const struct ip *ip);

/* Is any address of the network in the set? Those of the other family are not. The set
 * must be merged. */
bool ip_ranges_overlap(const struct ip_ranges *r, const struct cidr *c);

/* Frees the list; the set is empty then, and keeps its family. */
void ip_ranges_free(struct ip_ranges *r);
