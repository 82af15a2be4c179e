/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that filtered egress never reaches, as the build derives them from the
 * tables special-purpose.csv and platform.csv. */
#pragma once

#include <stddef.h>

#include "netns/ip.h"

/* A constant set of addresses, as ip_ranges_merge() leaves one. */
struct blocklist {
	const struct ip_range *list;
	size_t count;
};

/* IPv4: every special-purpose block, also those that are globally reachable, and
 * multicast. What is not in it is accepted. */
extern const struct blocklist blocklist_deny4;

/* IPv6: what of 2000::/3 is not accepted. Everything outside of 2000::/3 must be denied
 * too, so that a range that is assigned later is closed until somebody opens it. */
extern const struct blocklist blocklist_except6;

/* Metadata services and other addresses of the platform beneath the host. They must be
 * denied before any rule that allows something is looked at. Not all of them are in the
 * lists above: one looks like any public address. */
extern const struct blocklist blocklist_platform4, blocklist_platform6;
