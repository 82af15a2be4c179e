/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/resident_stats.h"

static uint64_t read_number(int dir, const char *file)
{
	char text[64];

	return fd_read_at(dir, file, text, sizeof(text)) < 0 ? 0
							     : strtoull(text, NULL, 10);
}

/* The group that counts for the controller, and whether it is a v2 one; −1: none does. */
static int group_of(const struct resident *r, const struct cgroup_host *host,
		    enum cgroup_controller controller, bool *ret_v2)
{
	for (unsigned i = 0; i < host->ntrees; i++) {
		if (!(host->trees[i].controllers & (1u << controller)))
			continue;
		*ret_v2 = i == 0;
		return i == 0 ? r->cgroup : r->v1[i];
	}
	return -1;
}

static void read_cpu(const struct resident *r, struct resident_stats *s)
{
	static const char key[] = "usage_usec ";
	char text[4096];

	if (fd_read_at(r->cgroup, "cpu.stat", text, sizeof(text)) > 0 &&
	    !strncmp(text, key, strlen(key)))
		s->cpu_us = strtoull(text + strlen(key), NULL, 10);
}

/* What the host's end has received, the sandbox has sent. */
static void read_network(const struct resident *r, struct resident_stats *s)
{
	char path[96];

	if (!*r->host_end)
		return;
	if (str_format(path, sizeof(path), "/sys/class/net/%s/statistics/tx_bytes",
		       r->host_end) == 0)
		s->rx_bytes = read_number(AT_FDCWD, path);
	if (str_format(path, sizeof(path), "/sys/class/net/%s/statistics/rx_bytes",
		       r->host_end) == 0)
		s->tx_bytes = read_number(AT_FDCWD, path);
}

int resident_stats(const struct resident *r, const struct cgroup_host *host,
		   struct resident_stats *ret, struct err *e)
{
	bool v2 = false;
	int group;

	*ret = (struct resident_stats){ 0 };
	if (r->cgroup < 0)
		return err_say(e, ESRCH, "read what a sandbox uses: there is none");
	read_cpu(r, ret);
	group = group_of(r, host, CGROUP_MEMORY, &v2);
	if (group >= 0)
		ret->memory = read_number(group, v2 ? "memory.current"
						    : "memory.usage_in_bytes");
	group = group_of(r, host, CGROUP_PIDS, &v2);
	if (group >= 0)
		ret->pids = read_number(group, "pids.current");
	if (v2 && ret->pids)
		ret->pids--; /* carrel-init */
	read_network(r, ret);
	return 0;
}
