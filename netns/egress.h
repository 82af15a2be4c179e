/* SPDX-License-Identifier: Apache-2.0 */
/* One sandbox's way out. */
#pragma once

#include "netns/host.h"
#include "netns/netns.h"

/* What is known before the namespace is there. */
struct egress {
	const struct netns_settings *settings;
	const struct netns_plan *plan;
	const struct netns_place *place;
	struct host host;
	int host_netns;
	int lock; /* of the host's side */
	/* For IPv4 and IPv6: what nobody may lift, and what exceptions open. */
	struct ip_ranges never[2], deny[2];
};

/* Looks at the host, sets its side up if it is not, and gathers the lists. *ret is for
 * egress_close(), also on failure. */
must_check int egress_open(const struct netns_settings *settings,
			   const struct netns_plan *plan, const struct netns_place *place,
			   struct egress *ret, struct err *e);
void egress_close(struct egress *eg);

/* In the new namespace: rules, then the veth, down. Fills all of *ns but its fd. */
must_check int egress_make_inside(const struct egress *eg, struct netns *ns,
				  struct err *e);

/* Back on the host: addresses, and both ends up. */
must_check int egress_connect(const struct egress *eg, const struct netns *ns,
			      struct err *e);
