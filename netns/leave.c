/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netns/leave.h"
#include "netns/link.h"
#include "netns/nl.h"

enum { FLOWS_AT_ONCE = 64 }; /* in one batch: each that is gone already is answered */

/* --- flows ------------------------------------------------------------------------- */

/* Flows of the sandbox on their way out of the host's table. */
struct removal {
	int host; /* netlink socket */
	struct nl_batch batch;
};

static uint16_t conntrack_type(uint16_t type)
{
	return (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

static void send_removals(struct removal *rm)
{
	struct err ignored;

	/* Most are there, and some have ended meanwhile: that is no failure. */
	if (rm->batch.count)
		err_ignore(nl_send(rm->host, &rm->batch, &ignored) < 0);
}

/* The host knows a flow by the same addresses and ports, as they were before it was
 * translated. */
static int remove_flow(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nfgenmsg *found = NLMSG_DATA(message);
	const struct nfgenmsg head = { .nfgen_family = found->nfgen_family,
				       .version = NFNETLINK_V0 };
	const struct nlattr *a[CTA_TUPLE_ORIG + 1];
	struct removal *rm = context;

	(void)e;
	nl_attributes(message, sizeof(*found), a, CTA_TUPLE_ORIG);
	if (!a[CTA_TUPLE_ORIG])
		return 0;
	nl_message(&rm->batch, conntrack_type(IPCTNL_MSG_CT_DELETE), 0, &head,
		   sizeof(head), "forget a flow");
	nl_put(&rm->batch, CTA_TUPLE_ORIG | NLA_F_NESTED,
	       nl_payload(a[CTA_TUPLE_ORIG], 0), nl_payload_size(a[CTA_TUPLE_ORIG]));
	if (rm->batch.count == FLOWS_AT_ONCE)
		send_removals(rm);
	return 0;
}

static int take_count(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[CTA_STATS_GLOBAL_ENTRIES + 1];
	uint32_t *count = context;
	const void *value;

	(void)e;
	nl_attributes(message, sizeof(struct nfgenmsg), a, CTA_STATS_GLOBAL_ENTRIES);
	value = nl_payload(a[CTA_STATS_GLOBAL_ENTRIES], sizeof(*count));
	if (value)
		memcpy(count, value, sizeof(*count));
	*count = ntohl(*count);
	return 0;
}

static int count_flows(const struct netns *ns, uint32_t *ret, struct err *e)
{
	const struct nfgenmsg head = { .version = NFNETLINK_V0 };
	auto_nl_batch b = { 0 };

	*ret = 0;
	nl_message(&b, conntrack_type(IPCTNL_MSG_CT_GET_STATS), 0, &head, sizeof(head),
		   "count a sandbox's flows");
	return nl_ask(ns->rules, &b, take_count, ret, e);
}

/* The list is only asked for where there is something in it: to find a sandbox's flows,
 * the kernel walks through those of everybody, which takes milliseconds. */
static int remove_flows(const struct netns *ns, struct err *e)
{
	const struct nfgenmsg head = { .version = NFNETLINK_V0 };
	struct removal rm = { .host = -1 };
	auto_nl_batch b = { 0 };
	uint32_t count = 0;
	int r = count_flows(ns, &count, e);

	if (r < 0 || !count)
		return r;
	r = nl_open(NETLINK_NETFILTER, &rm.host, e);
	if (r < 0)
		return r;
	nl_message(&b, conntrack_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, &head, sizeof(head),
		   "list a sandbox's flows");
	r = nl_ask(ns->rules, &b, remove_flow, &rm, e);
	send_removals(&rm);
	nl_free(&rm.batch);
	fd_close(&rm.host);
	return r;
}

/* --- sockets ----------------------------------------------------------------------- */

static int write_inside(const struct netns *ns, const char *path, const char *value,
			struct err *e)
{
	auto_fd own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (own < 0)
		return err_set(e, errno, "open our network namespace");
	if (setns(ns->fd, CLONE_NEWNET) < 0)
		return err_set(e, errno, "enter a network namespace");
	r = fd_write_at(AT_FDCWD, path, value);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(e, errno, "return to our network namespace");
	return r < 0 ? err_set(e, -r, "write %s to %s", value, path) : 0;
}

/* Not by taking the interface down, which waits for all processors (15 ms). */
static int remove_routes(const struct netns *ns, struct err *e)
{
	auto_nl_batch b = { 0 };

	link_remove_default_route(&b, LINK_INSIDE, AF_INET);
	if (ns->address6.family)
		link_remove_default_route(&b, LINK_INSIDE, AF_INET6);
	return nl_send(ns->route, &b, e);
}

int leave_network(const struct netns *ns, struct err *e)
{
	struct err one;
	int first = remove_routes(ns, e), r;

	/* One more try for what nobody waits for any more, and no route for that. */
	r = write_inside(ns, "/proc/sys/net/ipv4/tcp_orphan_retries", "1", &one);
	if (r < 0 && first == 0) {
		first = r;
		*e = one;
	}
	r = remove_flows(ns, &one);
	if (r < 0 && first == 0) {
		first = r;
		*e = one;
	}
	return first;
}
