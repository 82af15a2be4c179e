/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces behind which the internet is, and the forwarding that they need. */
#pragma once

#include "netns/netns.h"
#include "netns/nl.h"

enum { UPLINKS_MAX = 2 }; /* one a family */

struct uplinks {
	char names[UPLINKS_MAX][IFNAMSIZ];
	unsigned count;
};

/* Sysctls as they were before us; '-': not changed. */
struct uplink_note {
	char forwarding; /* of the uplink */
	char forwarding6; /* of all: IPv6 knows no other */
	char accept_ra; /* of the uplink: it would end with forwarding6 */
};

/* What the host's table says: the uplinks, each with its note. Kept there because it is
 * gone when the table is, and not before. */
struct uplink_record {
	struct uplinks uplinks;
	struct uplink_note notes[UPLINKS_MAX];
};

/* Finds those that the settings name, or that the default routes lead to. −ENODEV,
 * −ENETUNREACH: there is none. */
must_check int uplink_find(int route, const struct netns_settings *settings, bool ipv6,
			   struct uplinks *ret, struct err *e);

/* Reads the record; it is empty where the table has none. */
must_check int uplink_read_record(int rules, struct uplink_record *ret, struct err *e);

/* Has IPv6 been set up? */
bool uplink_has_ipv6(const struct uplink_record *record);

/* Puts the record of `wanted` into the transaction. It must have taken effect before
 * uplink_set_forwarding(), so that a kill in between loses nothing. What `old` says of an
 * uplink is older, and right. */
must_check int uplink_write_record(struct nl_batch *b, const struct uplinks *wanted,
				   const struct uplink_record *old, bool ipv6,
				   struct err *e);

/* Has the host forward what comes back for sandboxes, and, with IPv6, everything. */
must_check int uplink_set_forwarding(const struct uplinks *u, bool ipv6, struct err *e);

/* Lets answers from that address come back, if it is behind another interface than an
 * uplink: a resolver or an exception in a network of the site's own. What the interface's
 * forwarding was before is noted in the host's table, as for uplinks. */
must_check int uplink_open_way(int route, int rules, const struct ip *ip, struct err *e);

/* Puts back what was before us on all interfaces that are no uplinks. */
must_check int uplink_close_ways(int rules, struct err *e);

/* Puts back what was before us, for uplinks that are not in `kept` (NULL: all). */
must_check int uplink_restore(const struct uplink_record *record,
			      const struct uplinks *kept, struct err *e);
