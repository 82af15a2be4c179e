/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "netns/disjoint.h"
#include "netns/ruleset.h"
#include "netns/special.h"

/* A key of these sets: a name, an address, and in some a port; each padded. */
struct key {
	uint8_t bytes[IFNAMSIZ + 16 + 4];
	size_t size;
};

static void key_begin(struct key *k, const char *host_end)
{
	*k = (struct key){ .size = IFNAMSIZ };
	memcpy(k->bytes, host_end, strnlen(host_end, IFNAMSIZ - 1));
}

static void key_add(struct key *k, const void *data, size_t size)
{
	memcpy(k->bytes + k->size, data, size);
	k->size += (size + 3) & ~(size_t)3;
}

bool special_is_needed(const struct netns_plan *plan)
{
	return plan->dns_count || plan->allow_count || plan->deny4.count ||
	       plan->deny6.count;
}

static void add_dns(struct nl_batch *b, const struct ip *ip, const char *host_end)
{
	struct key k;

	key_begin(&k, host_end);
	key_add(&k, ip->addr, ip_size(ip->family));
	ruleset_add(b, ip->family == AF_INET ? "dns_of4" : "dns_of6",
		    &(struct ruleset_element){ .key = k.bytes, .size = k.size });
}

static void add_denied(struct nl_batch *b, const struct ip_ranges *ranges,
		       const char *host_end)
{
	for (size_t i = 0; i < ranges->count; i++) {
		struct key first, last;

		key_begin(&first, host_end);
		key_begin(&last, host_end);
		key_add(&first, ranges->list[i].first, ip_size(ranges->family));
		key_add(&last, ranges->list[i].last, ip_size(ranges->family));
		ruleset_add(b, ranges->family == AF_INET ? "deny_of4" : "deny_of6",
			    &(struct ruleset_element){ .key = first.bytes,
						       .key_end = last.bytes,
						       .size = first.size });
	}
}

static void add_allowed(struct nl_batch *b, const struct ruleset_exception *x, int family,
			const char *host_end)
{
	struct key first, last;

	key_begin(&first, host_end);
	key_begin(&last, host_end);
	key_add(&first, x->first, x->size);
	key_add(&last, x->last, x->size);
	ruleset_add(b, family == AF_INET ? "allow_of4" : "allow_of6",
		    &(struct ruleset_element){ .key = first.bytes,
					       .key_end = last.bytes,
					       .size = first.size });
}

static int add_exceptions(struct nl_batch *b, const struct netns_plan *plan, int family,
			  const char *host_end, struct err *e)
{
	struct disjoint d;
	int r = disjoint_exceptions(plan->allow, plan->allow_count, family, &d, e);

	for (size_t i = 0; i < d.count; i++)
		add_allowed(b, &d.list[i], family, host_end);
	disjoint_free(&d);
	return r;
}

int special_add(int rules, const struct netns_settings *settings,
		const struct netns_plan *plan, const char *host_end, struct err *e)
{
	auto_nl_batch b = { 0 };
	const struct ip *dns;
	unsigned dns_count = netns_resolvers(settings, plan, &dns);
	int r;

	ruleset_begin(&b);
	for (unsigned i = 0; i < dns_count; i++)
		add_dns(&b, &dns[i], host_end);
	r = add_exceptions(&b, plan, AF_INET, host_end, e);
	if (r == 0)
		r = add_exceptions(&b, plan, AF_INET6, host_end, e);
	if (r < 0)
		return r;
	add_denied(&b, &plan->deny4, host_end);
	add_denied(&b, &plan->deny6, host_end);
	ruleset_end(&b);
	return nl_send(rules, &b, e);
}

/* --- removing ---------------------------------------------------------------------- */

static const char *const sets[] = { "dns_of4",   "dns_of6",  "allow_of4",
				    "allow_of6", "deny_of4", "deny_of6" };

struct removal {
	const char *host_end, *set;
	struct nl_batch batch;
	unsigned count;
};

static int remove_one(const struct ruleset_found *found, void *context, struct err *e)
{
	struct removal *rm = context;
	char name[IFNAMSIZ] = { 0 };

	(void)e;
	memcpy(name, rm->host_end, strnlen(rm->host_end, IFNAMSIZ - 1));
	if (found->element.size < IFNAMSIZ || memcmp(found->element.key, name, IFNAMSIZ))
		return 0;
	ruleset_delete(&rm->batch, rm->set, &found->element);
	rm->count++;
	return 0;
}

int special_remove(int rules, const char *host_end, struct err *e)
{
	struct removal rm = { .host_end = host_end };
	int r = 0;

	ruleset_begin(&rm.batch);
	for (size_t i = 0; r == 0 && i < sizeof(sets) / sizeof(*sets); i++) {
		rm.set = sets[i];
		r = ruleset_read(rules, sets[i], remove_one, &rm, e);
	}
	ruleset_end(&rm.batch);
	if (r == 0 && rm.count)
		r = nl_send(rules, &rm.batch, e);
	nl_free(&rm.batch);
	/* The table has gone, and with it everything in it. */
	return r == -ENOENT ? 0 : r;
}
