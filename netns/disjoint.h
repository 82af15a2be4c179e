/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions as set elements: nftables takes no two that overlap. */
#pragma once

#include "netns/netns.h"
#include "netns/ruleset.h"

/* Parts of exceptions that share nothing with each other. */
struct disjoint {
	struct ruleset_exception *list; /* owned */
	size_t count;
};

/* Cuts the exceptions of one family at each other's ends, so that together they are the
 * same. *ret is for disjoint_free(). −ENOMEM. */
must_check int disjoint_exceptions(const struct cidr_port *allow, unsigned count,
				   int family, struct disjoint *ret, struct err *e);

/* Frees the list. */
void disjoint_free(struct disjoint *d);
