/* SPDX-License-Identifier: Apache-2.0 */
/* The lists that both rulesets are filled from. */
#pragma once

#include "netns/netns.h"

/* Adds what the set's family is denied for everybody: the blocklist; for IPv6, also all
 * that is not 2000::/3. */
must_check int lists_add_denied(struct ip_ranges *set, struct err *e);

/* Adds what no exception opens: platform addresses, and the sandboxes' own pool. */
must_check int lists_add_never(struct ip_ranges *set,
			       const struct netns_settings *settings, struct err *e);
