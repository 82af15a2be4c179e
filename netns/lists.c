/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>

#include "netns/lists.h"

/* All but 2000::/3, where every public address is (RFC 4291). */
static const struct ip_range outside6[] = {
	{ { 0 },
	  { 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff } },
	{ { 0x40 },
	  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff } },
};

int lists_add_denied(struct ip_ranges *set, struct err *e)
{
	const struct blocklist *list =
		set->family == AF_INET ? &blocklist_deny4 : &blocklist_except6;
	int r = ip_ranges_add_all(set, list->list, list->count, e);

	if (r == 0 && set->family == AF_INET6)
		r = ip_ranges_add_all(set, outside6, 2, e);
	return r;
}

int lists_add_never(struct ip_ranges *set, const struct netns_settings *settings,
		    struct err *e)
{
	bool v4 = set->family == AF_INET;
	const struct blocklist *list = v4 ? &blocklist_platform4 : &blocklist_platform6;
	int r = ip_ranges_add_all(set, list->list, list->count, e);

	if (r == 0)
		r = ip_ranges_add(set, v4 ? &settings->pool4 : &settings->pool6, e);
	return r;
}
