/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup.h" /* lint: where groups can be made is not behind the door */
#include "tools/daemon_cgroup.h"

#define OWN_GROUP "daemon"

static int join(int dir, struct err *e)
{
	int r = fd_write_at(dir, "cgroup.procs", "0");

	return r < 0 ? err_set(e, -r, "join the daemon's cgroup") : 0;
}

/* Only where v2 has controllers of ours does it matter who sits where. */
static int step_aside(int dir, struct err *e)
{
	char controllers[256];
	auto_fd own = -1;

	if (fd_read_at(dir, "cgroup.controllers", controllers, sizeof(controllers)) <=
		    0 ||
	    (!strstr(controllers, "memory") && !strstr(controllers, "pids")))
		return 0;
	/* The root group is the one that may have both. */
	if (faccessat(dir, "cgroup.type", F_OK, 0) < 0)
		return 0;
	if (mkdirat(dir, OWN_GROUP, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "make the daemon's cgroup");
	own = openat(dir, OWN_GROUP, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (own < 0)
		return err_set(e, errno, "open the daemon's cgroup");
	return join(own, e);
}

int daemon_cgroup_enter(struct err *e)
{
	const struct cgroup_limits none = { 0 };
	struct cgroup_host host;
	int r = cgroup_host_open(&none, &host, e);

	if (r < 0)
		return r;
	r = step_aside(host.trees[0].dir, e);
	cgroup_host_close(&host);
	return r;
}
