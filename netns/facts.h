/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's network looks like at the moment. */
#pragma once

#include <net/if.h>

#include "netns/ip.h"

/* Adds every address of the host's own to the set of its family; those within `skip` are
 * passed over. `route` is a netlink socket for routes in the host's namespace. */
must_check int facts_add_addresses(int route, const struct cidr *skip,
				   struct ip_ranges *set, struct err *e);

/* Finds the interface that the kernel would send a packet to the address by; "" if it is
 * an address of the host's own, or nowhere. */
must_check int facts_find_way(int route, const struct ip *ip, char *ret_name,
			      struct err *e);

/* Finds the interface behind which the internet is: where the kernel would send a packet
 * to some public address of that family. −ENETUNREACH: nowhere. */
must_check int facts_find_uplink(int route, int family, char *ret_name, struct err *e);

/* Counts the interfaces whose group is in [first, last]. */
must_check int facts_count_group(int route, uint32_t first, uint32_t last,
				 unsigned *ret_count, struct err *e);

/* Finds a route into the network that does not lead to such an interface: somebody else
 * uses it. −EEXIST, and the error says which. */
must_check int facts_check_unused(int route, const struct cidr *network, struct err *e);

/* The index of the interface called `name` in the namespace of the socket; 0: none. */
unsigned facts_index_of(int sock, const char *name);
