/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace without a process inside: made, and let go. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "base/fd.h"
#include "base/sys.h"
#include "netns/egress.h"
#include "netns/leave.h"
#include "netns/loopback.h"
#include "netns/netns.h"
#include "netns/nl.h"
#include "netns/special.h"

/* Not /proc/thread-self: single-threaded, and it would be the same. */
static int open_current(int *ret_fd, struct err *e)
{
	*ret_fd = sys_openat2(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0);
	if (*ret_fd < 0)
		return err_set(e, errno, "open our network namespace");
	return 0;
}

static int make_inside(const struct egress *eg, struct netns *ns, struct err *e)
{
	int r = eg ? egress_make_inside(eg, ns, e) : netns_loopback_up(e);

	return r == 0 ? open_current(&ns->fd, e) : r;
}

/* Makes the namespace and what is in it, and comes back. */
static int pass_through(const struct egress *eg, struct netns *ns, struct err *e)
{
	auto_fd own = -1;
	int r = open_current(&own, e);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(e, errno, "make a network namespace");
	r = make_inside(eg, ns, e);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(e, errno, "return to our network namespace");
	return r;
}

static int create_with_egress(const struct netns_settings *settings,
			      const struct netns_plan *plan,
			      const struct netns_place *place, struct netns *ns,
			      struct err *e)
{
	struct egress eg;
	int r = egress_open(settings, plan, place, &eg, e);

	if (r == 0)
		r = pass_through(&eg, ns, e);
	if (r == 0)
		r = egress_connect(&eg, ns, e);
	egress_close(&eg);
	return r < 0 ? err_wrap(e, "set up the network") : 0;
}

int netns_create(const struct netns_settings *settings, const struct netns_plan *plan,
		 const struct netns_place *place, struct netns *ret, struct err *e)
{
	struct netns ns = NETNS_NONE;
	struct err ignored;
	int r;

	if (plan->egress)
		r = create_with_egress(settings, plan, place, &ns, e);
	else
		r = pass_through(NULL, &ns, e);
	if (r < 0) {
		err_ignore(netns_destroy(&ns, &ignored) < 0);
		return r;
	}
	*ret = ns;
	return 0;
}

int netns_open(struct netns *ns, struct err *e)
{
	auto_fd own = -1;
	int r;

	/* Without egress nothing of it is on the host, and nothing can be asked. */
	if (!*ns->host_end)
		return 0;
	r = open_current(&own, e);
	if (r < 0)
		return r;
	if (setns(ns->fd, CLONE_NEWNET) < 0)
		return err_set(e, errno, "enter a network namespace");
	r = nl_open(NETLINK_ROUTE, &ns->route, e);
	if (r == 0)
		r = nl_open(NETLINK_NETFILTER, &ns->rules, e);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(e, errno, "return to our network namespace");
	return r;
}

void netns_close(struct netns *ns)
{
	fd_close(&ns->route);
	fd_close(&ns->rules);
	fd_close(&ns->fd);
	*ns = NETNS_NONE;
}

int netns_destroy(struct netns *ns, struct err *e)
{
	struct err one;
	int r = 0, left;

	/* A half-built one has no veth that could be taken down. */
	if (ns->fd >= 0 && ns->route >= 0)
		r = leave_network(ns, e);
	left = ns->special && *ns->host_end ? netns_reclaim(ns->host_end, &one) : 0;
	if (left < 0 && r == 0) {
		r = left;
		*e = one;
	}
	netns_close(ns);
	return r;
}

int netns_reclaim(const char *host_end, struct err *e)
{
	struct host host = HOST_NONE;
	int r = host_open(&host, e);

	if (r == 0)
		r = special_remove(host.rules, host_end, e);
	host_close(&host);
	return r;
}
