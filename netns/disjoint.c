/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netns/disjoint.h"

/* First addresses at which something begins to hold, or ends to. */
struct cuts {
	uint8_t at[2 * NETNS_ALLOW_MAX][16];
	unsigned count;
};

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void add_cut(struct cuts *cuts, const uint8_t *address, size_t size)
{
	memcpy(cuts->at[cuts->count++], address, size);
}

/* Where the ranges begin, and the addresses behind them. */
static void find_cuts(const struct cidr_port *allow, unsigned count, int family,
		      struct cuts *ret)
{
	size_t size = ip_size(family);

	*ret = (struct cuts){ 0 };
	for (unsigned i = 0; i < count; i++) {
		struct ruleset_exception x;
		uint8_t behind[16];

		if (allow[i].cidr.ip.family != family)
			continue;
		ruleset_exception_of(&allow[i], &x);
		add_cut(ret, x.first, size);
		if (ruleset_next_address(behind, x.last, size))
			add_cut(ret, behind, size);
	}
	qsort(ret->at, ret->count, sizeof(ret->at[0]), by_address);
}

/* The last address before the next cut, or of all. */
static void last_before(uint8_t *last, const struct cuts *cuts, unsigned i, size_t size)
{
	memset(last, 0xff, size);
	if (i + 1 == cuts->count)
		return;
	memcpy(last, cuts->at[i + 1], size);
	while (size-- && last[size]-- == 0)
		;
}

static bool covers(const struct cidr_port *allow, const uint8_t *address)
{
	struct ip ip = { .family = allow->cidr.ip.family };

	memcpy(ip.addr, address, ip_size(ip.family));
	return cidr_contains(&allow->cidr, &ip);
}

/* Has an earlier exception, or one for every port, opened that port of this part? */
static bool is_open(const struct cidr_port *allow, unsigned count, unsigned i,
		    const uint8_t *address)
{
	for (unsigned j = 0; j < count; j++) {
		bool all = !allow[j].port && allow[i].port;
		bool earlier = j < i && allow[j].port == allow[i].port;

		if ((all || earlier) &&
		    allow[j].cidr.ip.family == allow[i].cidr.ip.family &&
		    covers(&allow[j], address))
			return true;
	}
	return false;
}

static void add_part(struct disjoint *d, const struct cidr_port *allow,
		     const struct cuts *cuts, unsigned i)
{
	struct ruleset_exception *x = &d->list[d->count++];
	size_t size = ip_size(allow->cidr.ip.family);

	ruleset_exception_of(allow, x);
	memcpy(x->first, cuts->at[i], size);
	last_before(x->last, cuts, i, size);
}

int disjoint_exceptions(const struct cidr_port *allow, unsigned count, int family,
			struct disjoint *ret, struct err *e)
{
	struct cuts cuts;

	*ret = (struct disjoint){ 0 };
	find_cuts(allow, count, family, &cuts);
	if (!cuts.count)
		return 0;
	ret->list = calloc((size_t)cuts.count * count, sizeof(*ret->list));
	if (!ret->list)
		return err_set(e, ENOMEM, "cut exceptions");
	for (unsigned c = 0; c < cuts.count; c++) {
		if (c + 1 < cuts.count &&
		    !memcmp(cuts.at[c], cuts.at[c + 1], sizeof(cuts.at[c])))
			continue;
		for (unsigned i = 0; i < count; i++) {
			if (allow[i].cidr.ip.family == family &&
			    covers(&allow[i], cuts.at[c]) &&
			    !is_open(allow, count, i, cuts.at[c]))
				add_part(ret, &allow[i], &cuts, c);
		}
	}
	return 0;
}

void disjoint_free(struct disjoint *d)
{
	free(d->list);
	*d = (struct disjoint){ 0 };
}
