/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's table holds for a single sandbox: resolvers, exceptions and denials of
 * its own, as set elements that begin with the name of its host end. */
#pragma once

#include "netns/netns.h"

/* Is there anything that does not hold for all? Such a sandbox is in another interface
 * group. */
bool special_is_needed(const struct netns_plan *plan);

/* Adds the elements in one transaction, through a socket of the host's namespace. Must
 * come before the host end is up. */
must_check int special_add(int rules, const struct netns_settings *settings,
			   const struct netns_plan *plan, const char *host_end,
			   struct err *e);

/* Removes all elements of that host end; none is no error. */
must_check int special_remove(int rules, const char *host_end, struct err *e);
