/* SPDX-License-Identifier: Apache-2.0 */
/* Host-wide setup: one nftables table for all sandboxes, and the uplink's forwarding. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "netns/facts.h"
#include "netns/host.h"
#include "netns/link.h"
#include "netns/lists.h"
#include "netns/ruleset.h"
#include "netns/uplink.h"

/*
 * The set `settings` holds one number that stands for everything in the table: a start
 * asks the kernel whether it is there, and needs to know no more. The set `uplinks` holds
 * what uplink.c has to remember.
 *
 * Who changes the host's side has a lock that belongs to the network namespace. A start
 * shares that lock from its look at the number until its veth is there: whoever changes
 * something afterwards sees it by its interface.
 */

enum {
	SETTLE_MS = 3000, /* how long interfaces of ended sandboxes may stay */
	SETTLE_STEP_MS = 10,
};

int host_open(struct host *ret, struct err *e)
{
	struct host host = HOST_NONE;
	int r = nl_open(NETLINK_ROUTE, &host.route, e);

	if (r == 0)
		r = nl_open(NETLINK_NETFILTER, &host.rules, e);
	if (r < 0) {
		host_close(&host);
		return r;
	}
	*ret = host;
	return 0;
}

void host_close(struct host *host)
{
	fd_close(&host->route);
	fd_close(&host->rules);
}

/* --- what it should be ------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash(uint64_t so_far, const void *data, size_t size)
{
	for (const uint8_t *p = data; size--; p++)
		so_far = (so_far ^ *p) * 0x100000001b3;
	return so_far;
}

/* A number for all that the table depends on, but for IPv6's uplink, which comes when it
 * is needed. */
static uint32_t fingerprint(const struct netns_settings *s, const struct uplinks *uplinks)
{
	const struct blocklist *lists[] = { &blocklist_deny4, &blocklist_except6,
					    &blocklist_platform4, &blocklist_platform6 };
	uint64_t h = ruleset_host_version();

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		h = hash(h, lists[i]->list, lists[i]->count * sizeof(*lists[i]->list));
	h = hash(h, s->deny4.list, s->deny4.count * sizeof(*s->deny4.list));
	h = hash(h, s->deny6.list, s->deny6.count * sizeof(*s->deny6.list));
	for (unsigned i = 0; i < s->dns_count; i++)
		h = hash(h, s->dns[i].addr, sizeof(s->dns[i].addr));
	h = hash(h, s->pool4.ip.addr, sizeof(s->pool4.ip.addr));
	h = hash(h, &s->pool4.prefix, sizeof(s->pool4.prefix));
	h = hash(h, s->pool6.ip.addr, sizeof(s->pool6.ip.addr));
	h = hash(h, &s->pool6.prefix, sizeof(s->pool6.prefix));
	h = hash(h, uplinks->names[0], strlen(uplinks->names[0]));
	return (uint32_t)(h ^ h >> 32);
}

/* --- the lists --------------------------------------------------------------------- */

static void add_list(struct nl_batch *b, const char *set, struct ip_ranges *ranges)
{
	ip_ranges_merge(ranges);
	ruleset_flush(b, set);
	ruleset_add_ranges(b, set, ranges->list, ranges->count, ranges->family);
}

static int fill_never(struct nl_batch *b, int family, const struct netns_settings *s,
		      const char *set, struct err *e)
{
	struct ip_ranges ranges = { .family = family };
	int r = lists_add_never(&ranges, s, e);

	if (r == 0)
		add_list(b, set, &ranges);
	ip_ranges_free(&ranges);
	return r;
}

static int fill_pool(struct nl_batch *b, const struct cidr *pool, const char *set,
		     struct err *e)
{
	struct ip_ranges ranges = { .family = pool->ip.family };
	int r = ip_ranges_add(&ranges, pool, e);

	if (r == 0)
		add_list(b, set, &ranges);
	ip_ranges_free(&ranges);
	return r;
}

/* With what is never opened: who has no exceptions meets one list instead of two. */
static int fill_deny(struct nl_batch *b, const struct netns_settings *s,
		     const struct ip_ranges *operators, const char *set, struct err *e)
{
	struct ip_ranges ranges = { .family = operators->family };
	int r = lists_add_denied(&ranges, e);

	if (r == 0)
		r = lists_add_never(&ranges, s, e);
	if (r == 0)
		r = ip_ranges_add_all(&ranges, operators->list, operators->count, e);
	if (r == 0)
		add_list(b, set, &ranges);
	ip_ranges_free(&ranges);
	return r;
}

static void fill_dns(struct nl_batch *b, const struct netns_settings *s)
{
	ruleset_flush(b, "dns4");
	ruleset_flush(b, "dns6");
	for (unsigned i = 0; i < s->dns_count; i++) {
		bool v4 = s->dns[i].family == AF_INET;

		ruleset_add(b, v4 ? "dns4" : "dns6",
			    &(struct ruleset_element){ .key = s->dns[i].addr,
						       .size = v4 ? 4 : 16 });
	}
}

static int fill(struct nl_batch *b, const struct netns_settings *s, uint32_t number,
		struct err *e)
{
	int r = fill_pool(b, &s->pool4, "pool4", e);

	if (r == 0)
		r = fill_pool(b, &s->pool6, "pool6", e);
	if (r == 0)
		r = fill_never(b, AF_INET, s, "never4", e);
	if (r == 0)
		r = fill_never(b, AF_INET6, s, "never6", e);
	if (r == 0)
		r = fill_deny(b, s, &s->deny4, "deny4", e);
	if (r == 0)
		r = fill_deny(b, s, &s->deny6, "deny6", e);
	if (r < 0)
		return r;
	fill_dns(b, s);
	ruleset_flush(b, "settings");
	ruleset_add(b, "settings",
		    &(struct ruleset_element){ .key = &number, .size = sizeof(number) });
	return 0;
}

/* --- up and down ------------------------------------------------------------------- */

static int lock(int fd, int how, struct err *e)
{
	while (flock(fd, how) < 0) {
		if (errno != EINTR)
			return err_set(e, errno, "lock the host's network");
	}
	return 0;
}

/* One file a network namespace, which only root can open: everybody can open, and so
 * lock, the namespace itself. */
int host_open_lock(int *ret_fd, struct err *e)
{
	char path[64];
	struct stat st;

	if (stat("/proc/self/ns/net", &st) < 0)
		return err_set(e, errno, "look at our network namespace");
	bug_on(str_format(path, sizeof(path), "/run/carrel-network-%ju.lock",
			  (uintmax_t)st.st_ino) < 0);
	*ret_fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return err_set(e, errno, "open %s", path);
	return 0;
}

static int lock_host(int *ret_fd, struct err *e)
{
	auto_fd fd = -1;
	int r = host_open_lock(&fd, e);

	if (r == 0)
		r = lock(fd, LOCK_EX, e);
	if (r == 0)
		*ret_fd = fd_take(&fd);
	return r;
}

/* Without its number, nobody takes the table for current any more: starts then wait for
 * the lock too, and cannot keep it from us by sharing it all the time. */
static int announce_change(const struct host *host, struct err *e)
{
	auto_nl_batch b = { 0 };
	int r = ruleset_find_table(host->rules, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	ruleset_begin(&b);
	ruleset_flush(&b, "settings");
	ruleset_end(&b);
	r = nl_send(host->rules, &b, e);
	return r == -ENOENT ? 0 : r;
}

/* Interfaces of sandboxes that have ended go a moment later. */
static int wait_for_nobody(const struct host *host, unsigned *ret_count, struct err *e)
{
	for (int waited = 0;; waited += SETTLE_STEP_MS) {
		int r = facts_count_group(host->route, RULESET_GROUP,
					  RULESET_GROUP_SPECIAL, ret_count, e);

		if (r < 0 || !*ret_count || waited >= SETTLE_MS)
			return r;
		nanosleep(&(struct timespec){ .tv_nsec = SETTLE_STEP_MS * 1000000L },
			  NULL);
	}
}

static int change(const struct host *host, const struct netns_settings *s,
		  const struct uplinks *uplinks, const struct uplink_record *old,
		  bool ipv6, struct err *e)
{
	auto_nl_batch b = { 0 };
	int r;

	ruleset_begin(&b);
	ruleset_add_host(&b);
	r = uplink_write_record(&b, uplinks, old, ipv6, e);
	if (r == 0)
		r = fill(&b, s, fingerprint(s, uplinks), e);
	if (r < 0)
		return r;
	ruleset_end(&b);
	r = nl_send(host->rules, &b, e);
	if (r == 0)
		r = uplink_restore(old, uplinks, e);
	if (r == 0)
		r = uplink_set_forwarding(uplinks, ipv6, e);
	for (unsigned i = 0; r == 0 && i < s->dns_count; i++)
		r = uplink_open_way(host->route, host->rules, &s->dns[i], e);
	return r;
}

/* The caller has the lock. IPv6 that is up already stays. */
static int set_up(const struct host *host, const struct netns_settings *s, bool ipv6,
		  struct err *e)
{
	struct uplink_record old = { 0 };
	struct uplinks uplinks = { 0 };
	int r = ruleset_find_table(host->rules, e);

	if (r == 0)
		r = uplink_read_record(host->rules, &old, e);
	else if (r == -ENOENT)
		r = 0;
	ipv6 |= uplink_has_ipv6(&old);
	if (r == 0)
		r = uplink_find(host->route, s, ipv6, &uplinks, e);
	if (r == 0)
		r = facts_check_unused(host->route, &s->pool4, e);
	if (r == 0 && ipv6)
		r = facts_check_unused(host->route, &s->pool6, e);
	if (r == 0)
		r = change(host, s, &uplinks, &old, ipv6, e);
	return r;
}

/* −ESTALE: no table, one of somebody else's, or other settings. −EAGAIN: all but the
 * uplink's forwarding, or but IPv6. */
static int is_current(const struct host *host, const struct netns_settings *s, bool ipv6,
		      struct err *e)
{
	struct uplinks uplinks = { 0 };
	uint32_t number;
	char forwarding = '0', forwarding6 = '0';
	int r = uplink_find(host->route, s, ipv6, &uplinks, e);

	if (r < 0)
		return r;
	number = fingerprint(s, &uplinks);
	r = ruleset_has(host->rules, "settings", &number, sizeof(number), e);
	if (r == -ENOENT)
		return -ESTALE;
	if (r == 0)
		r = link_read_sysctl(host->procfs, "ipv4", uplinks.names[0], "forwarding",
				     &forwarding, e);
	/* Killed before it was set, or somebody has switched it off since. */
	if (r == 0 && forwarding != '1')
		return -EAGAIN;
	if (r < 0 || !ipv6)
		return r;
	r = link_read_sysctl(host->procfs, "ipv6", "all", "forwarding", &forwarding6, e);
	if (r == 0)
		r = ruleset_has(host->rules, "uplinks", uplinks.names[uplinks.count - 1],
				IFNAMSIZ, e);
	return r == -ENOENT || (r == 0 && forwarding6 != '1') ? -EAGAIN : r;
}

static int count_one(const struct ruleset_found *found, void *context, struct err *e)
{
	unsigned *count = context;

	(void)found;
	(void)e;
	++*count;
	return 0;
}

/* Without a number, a change was announced and did not come to its end. */
static int was_interrupted(const struct host *host, bool *ret, struct err *e)
{
	unsigned count = 0;
	int r = ruleset_read(host->rules, "settings", count_one, &count, e);

	*ret = r == 0 && !count;
	return r == -ENOENT ? 0 : r;
}

/* With the lock for ourselves. */
static int make_current(const struct host *host, const struct netns_settings *settings,
			bool ipv6, struct err *e)
{
	unsigned sandboxes = 0;
	bool interrupted = false;
	int r = is_current(host, settings, ipv6, e);

	if (r == -EAGAIN)
		return set_up(host, settings, ipv6, e);
	if (r != -ESTALE)
		return r;
	r = was_interrupted(host, &interrupted, e);
	if (r == 0 && !interrupted)
		r = wait_for_nobody(host, &sandboxes, e);
	if (r < 0)
		return r;
	if (sandboxes)
		return err_say(e, EBUSY,
			       "the host's network is set up with other settings, which "
			       "%u sandboxes rely on; `carrel network up` changes them",
			       sandboxes);
	return set_up(host, settings, ipv6, e);
}

int host_ensure(const struct host *host, int lock_fd,
		const struct netns_settings *settings, bool ipv6, struct err *e)
{
	for (;;) {
		int r = lock(lock_fd, LOCK_SH, e);

		if (r == 0)
			r = is_current(host, settings, ipv6, e);
		if (r != -ESTALE && r != -EAGAIN)
			return r;
		/* Not an upgrade in one go: whoever comes in between is seen. */
		r = lock(lock_fd, LOCK_EX, e);
		if (r == 0)
			r = make_current(host, settings, ipv6, e);
		if (r < 0)
			return r;
	}
}

void host_release(int lock_fd)
{
	err_ignore(flock(lock_fd, LOCK_UN) < 0);
}

int netns_host_up(const struct netns_settings *settings, bool ipv6, struct err *e)
{
	struct host host = HOST_NONE;
	auto_fd held = -1;
	int r = host_open(&host, e);

	if (r == 0)
		r = announce_change(&host, e);
	if (r == 0)
		r = lock_host(&held, e);
	if (r == 0)
		r = set_up(&host, settings, ipv6, e);
	host_close(&host);
	return r;
}

static int take_down(const struct host *host, struct err *e)
{
	struct uplink_record record = { 0 };
	auto_nl_batch b = { 0 };
	unsigned sandboxes = 0;
	int r = ruleset_find_table(host->rules, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = wait_for_nobody(host, &sandboxes, e);
	if (r == 0 && sandboxes)
		return err_say(e, EBUSY, "%u sandboxes use the host's network",
			       sandboxes);
	if (r == 0)
		r = uplink_read_record(host->rules, &record, e);
	/* The record goes last. */
	if (r == 0)
		r = uplink_restore(&record, NULL, e);
	if (r == 0)
		r = uplink_close_ways(host->rules, e);
	if (r < 0)
		return r;
	ruleset_begin(&b);
	ruleset_delete_table(&b);
	ruleset_end(&b);
	return nl_send(host->rules, &b, e);
}

int netns_host_down(struct err *e)
{
	struct host host = HOST_NONE;
	auto_fd held = -1;
	int r = host_open(&host, e);

	if (r == 0)
		r = lock_host(&held, e);
	if (r == 0)
		r = take_down(&host, e);
	host_close(&host);
	return r;
}

int netns_host_show(const struct netns_settings *settings, struct netns_host_state *ret,
		    struct err *e)
{
	struct uplink_record record = { 0 };
	struct host host = HOST_NONE;
	struct err ignored;
	int r = host_open(&host, e);

	*ret = (struct netns_host_state){ 0 };
	if (r == 0)
		r = ruleset_find_table(host.rules, e);
	ret->up = r == 0;
	if (r == -ENOENT)
		r = 0;
	if (r == 0 && ret->up)
		r = uplink_read_record(host.rules, &record, e);
	memcpy(ret->uplink, record.uplinks.names[0], IFNAMSIZ);
	if (r == 0)
		r = facts_count_group(host.route, RULESET_GROUP, RULESET_GROUP_SPECIAL,
				      &ret->sandboxes, e);
	ret->current = r == 0 && is_current(&host, settings, false, &ignored) == 0;
	host_close(&host);
	return r;
}
