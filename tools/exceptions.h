/* SPDX-License-Identifier: Apache-2.0 */
/* Which exceptions to filtered egress may be asked for, and lists with commas. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "netns/netns.h"

struct exceptions {
	bool any;
	struct cidr_port list[NETNS_ALLOW_MAX];
	unsigned count;
};

#define EXCEPTIONS_ANY ((struct exceptions){ .any = true })

/* "any", "none", or CIDR[:PORT] with commas in between; replaces what was there. */
must_check int exceptions_parse(const char *text, struct exceptions *ret, struct err *e);

/* Refuses what the plan asks for and the list does not hold; `who` does not permit it. */
must_check int exceptions_check(const struct exceptions *permitted,
				const struct netns_plan *plan, const char *who,
				struct err *e);

/* Copies what stands before the next comma, without the blanks around it; *list moves
 * behind that, or becomes NULL. What does not fit becomes an empty item. */
void list_next(const char **list, char *buf, size_t size);
