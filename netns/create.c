/* SPDX-License-Identifier: Apache-2.0 */
/* Making a network namespace without a process inside. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "base/fd.h"
#include "base/sys.h"
#include "netns/netns.h"

/* Not /proc/thread-self: single-threaded, and it would be the same. */
static int open_current(int *ret_fd, struct err *e)
{
	*ret_fd = sys_openat2(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0);
	if (*ret_fd < 0)
		return err_set(e, errno, "open our network namespace");
	return 0;
}

static int make_inside(int *ret_fd, struct err *e)
{
	int r = netns_loopback_up(e);

	return r == 0 ? open_current(ret_fd, e) : r;
}

int netns_create(int *ret_fd, struct err *e)
{
	auto_fd own = -1, made = -1;
	int r = open_current(&own, e);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(e, errno, "make a network namespace");
	r = make_inside(&made, e);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_set(e, errno, "return to our network namespace");
	if (r == 0)
		*ret_fd = fd_take(&made);
	return r;
}
