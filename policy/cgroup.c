/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one sandbox's control groups: made, limited, joined, killed, removed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup.h"

enum {
	CPU_PERIOD_US = 100000,
	CPU_QUOTA_MIN_US = 1000, /* the kernel's least, kernel/sched/core.c */
	EMPTY_WAIT_MS = 5000, /* how long killed processes may take to leave */
};

/* The tree that limits the controller, or −1. */
static int tree_of(const struct cgroup_host *host, enum cgroup_controller controller)
{
	for (unsigned i = 0; i < host->ntrees; i++) {
		if (host->trees[i].controllers & (1u << controller))
			return (int)i;
	}
	return -1;
}

static int make_dir(int parent, const char *name, int *ret_fd, struct err *e)
{
	if (mkdirat(parent, name, 0755) < 0)
		return err_set(e, errno, "create cgroup %s", name);
	*ret_fd = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0) {
		err_set(e, errno, "open cgroup %s", name);
		/* Without a descriptor nobody else would remove it. */
		unlinkat(parent, name, AT_REMOVEDIR);
		return e->code;
	}
	return 0;
}

static int set_value(const struct cgroup *cg, enum cgroup_controller controller,
		     const char *file, uint64_t value, struct err *e)
{
	char text[32];
	int tree = tree_of(cg->host, controller), r;

	r = str_format(text, sizeof(text), "%" PRIu64, value);
	if (r == 0)
		r = fd_write_at(cg->dir[tree], file, text);
	if (r < 0)
		return err_set(e, -r, "limit %s: write %s to %s",
			       cgroup_controller_name(controller), text, file);
	return 0;
}

static int limit_pids(const struct cgroup *cg, uint64_t pids, struct err *e)
{
	/* Where carrel-init is one of them, it is not the payload's to pay for. */
	return set_value(cg, CGROUP_PIDS, "pids.max",
			 pids + (tree_of(cg->host, CGROUP_PIDS) == 0), e);
}

static int limit_memory_v2(const struct cgroup *cg, int dir, uint64_t max, struct err *e)
{
	uint64_t gap = max / 32 < (16u << 20) ? max / 32 : 16u << 20;
	int r = set_value(cg, CGROUP_MEMORY, "memory.max", max, e);

	if (r == 0)
		r = set_value(cg, CGROUP_MEMORY, "memory.high", max - gap, e);
	if (r == 0)
		r = set_value(cg, CGROUP_MEMORY, "memory.oom.group", 1, e);
	/* Absent when the kernel was built or booted without swap. */
	if (r == 0 && faccessat(dir, "memory.swap.max", F_OK, 0) == 0)
		r = set_value(cg, CGROUP_MEMORY, "memory.swap.max", 0, e);
	return r;
}

static int limit_memory_v1(const struct cgroup *cg, int dir, uint64_t max, struct err *e)
{
	int r = set_value(cg, CGROUP_MEMORY, "memory.limit_in_bytes", max, e);

	/* Memory and swap together no more than memory alone: swap 0. */
	if (r == 0 && faccessat(dir, "memory.memsw.limit_in_bytes", F_OK, 0) == 0)
		return set_value(cg, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", max,
				 e);
	if (r == 0)
		r = set_value(cg, CGROUP_MEMORY, "memory.swappiness", 0, e);
	return r;
}

static int limit_memory(const struct cgroup *cg, uint64_t max, struct err *e)
{
	int tree = tree_of(cg->host, CGROUP_MEMORY);

	return tree == 0 ? limit_memory_v2(cg, cg->dir[0], max, e)
			 : limit_memory_v1(cg, cg->dir[tree], max, e);
}

static int limit_cpu(const struct cgroup *cg, uint64_t milli, struct err *e)
{
	uint64_t quota;
	char text[64];
	int r;

	if (__builtin_mul_overflow(milli, CPU_PERIOD_US / 1000, &quota))
		return err_set(e, ERANGE, "limit cpu: %" PRIu64 " processors",
			       milli / 1000);
	if (quota < CPU_QUOTA_MIN_US)
		quota = CPU_QUOTA_MIN_US;
	if (tree_of(cg->host, CGROUP_CPU) != 0)
		/* The period of a new group is CPU_PERIOD_US. */
		return set_value(cg, CGROUP_CPU, "cpu.cfs_quota_us", quota, e);
	r = str_format(text, sizeof(text), "%" PRIu64 " %d", quota, CPU_PERIOD_US);
	if (r == 0)
		r = fd_write_at(cg->dir[0], "cpu.max", text);
	if (r < 0)
		return err_set(e, -r, "limit cpu: write %s to cpu.max", text);
	return 0;
}

static int set_limits(const struct cgroup *cg, const struct cgroup_limits *l,
		      struct err *e)
{
	int r = 0;

	if (l->pids)
		r = limit_pids(cg, l->pids, e);
	if (r == 0 && l->memory)
		r = limit_memory(cg, l->memory, e);
	if (r == 0 && l->cpu_milli)
		r = limit_cpu(cg, l->cpu_milli, e);
	return r;
}

static int make_v1(struct cgroup *cg, unsigned tree, struct err *e)
{
	const struct cgroup_tree *t = &cg->host->trees[tree];
	int r = make_dir(t->dir, cg->name, &cg->dir[tree], e);

	if (r < 0)
		return err_wrap(e, "%s", t->path);
	cg->tasks[tree] = openat(cg->dir[tree], "tasks", O_WRONLY | O_CLOEXEC);
	if (cg->tasks[tree] < 0)
		return err_set(e, errno, "open %s/%s/tasks", t->path, cg->name);
	return 0;
}

int cgroup_create(const struct cgroup_host *host, const char *name, struct cgroup *ret,
		  struct err *e)
{
	int r;

	*ret = CGROUP_NONE;
	ret->host = host;
	r = str_format(ret->name, sizeof(ret->name), "%s", name);
	if (r < 0)
		return err_set(e, -r, "name a cgroup %s", name);
	r = make_dir(host->trees[0].dir, name, &ret->dir[0], e);
	return r < 0 ? err_wrap(e, "%s", host->trees[0].path) : 0;
}

int cgroup_complete(struct cgroup *cg, const struct cgroup_limits *limits, struct err *e)
{
	int r = 0;

	for (unsigned i = 1; r == 0 && i < cg->host->ntrees; i++)
		r = make_v1(cg, i, e);
	if (r == 0)
		r = set_limits(cg, limits, e);
	if (r == 0)
		r = make_dir(cg->dir[0], "exec", &cg->exec, e);
	return r;
}

int cgroup_join(const struct cgroup *cg, struct err *e)
{
	for (unsigned i = 0; i < cg->host->ntrees; i++) {
		if (cg->tasks[i] >= 0 && write(cg->tasks[i], "0", 1) != 1)
			return err_set(e, errno, "join cgroup %s/%s",
				       cg->host->trees[i].path, cg->name);
	}
	return 0;
}

int cgroup_watch_oom(const struct cgroup *cg, int *ret_fd, struct err *e)
{
	int tree = tree_of(cg->host, CGROUP_MEMORY), r;
	auto_fd control = -1, event = -1;
	char text[64];

	*ret_fd = -1;
	if (tree <= 0)
		return 0;
	control = openat(cg->dir[tree], "memory.oom_control", O_RDONLY | O_CLOEXEC);
	if (control < 0)
		return err_set(e, errno, "open memory.oom_control of %s", cg->name);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return err_set(e, errno, "create an eventfd");
	r = str_format(text, sizeof(text), "%d %d", event, control);
	if (r == 0)
		r = fd_write_at(cg->dir[tree], "cgroup.event_control", text);
	if (r < 0)
		return err_set(e, -r, "watch memory.oom_control of %s", cg->name);
	*ret_fd = fd_take(&event);
	return 0;
}

int cgroup_kill(const struct cgroup *cg, struct err *e)
{
	int r = fd_write_at(cg->dir[0], "cgroup.kill", "1");

	if (r < 0)
		return err_set(e, -r, "kill cgroup %s", cg->name);
	return 0;
}

int cgroup_kill_exec(const struct cgroup *cg, struct err *e)
{
	int r = fd_write_at(cg->exec, "cgroup.kill", "1");

	if (r < 0)
		return err_set(e, -r, "kill cgroup %s/exec", cg->name);
	return 0;
}

/* The number behind `key ` in a flat-keyed file; 0 when the file or the key is absent. */
static uint64_t read_key(int dir, const char *file, const char *key)
{
	char text[4096];
	size_t len = strlen(key);

	if (fd_read_at(dir, file, text, sizeof(text)) < 0)
		return 0;
	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (!strncmp(p, key, len) && p[len] == ' ')
			return strtoull(p + len + 1, NULL, 10);
	}
	return 0;
}

static uint64_t read_number(int dir, const char *file)
{
	char text[64];

	return fd_read_at(dir, file, text, sizeof(text)) < 0 ? 0
							     : strtoull(text, NULL, 10);
}

int cgroup_read_usage(const struct cgroup *cg, struct cgroup_usage *ret, struct err *e)
{
	int memory = tree_of(cg->host, CGROUP_MEMORY),
	    pids = tree_of(cg->host, CGROUP_PIDS);
	struct cgroup_usage u = { 0 };

	if (faccessat(cg->exec, "cpu.stat", R_OK, 0) < 0)
		return err_set(e, errno, "read cpu.stat of %s/exec", cg->name);
	u.cpu_user_us = read_key(cg->exec, "cpu.stat", "user_usec");
	u.cpu_sys_us = read_key(cg->exec, "cpu.stat", "system_usec");
	if (memory == 0) {
		u.memory_peak = read_number(cg->dir[0], "memory.peak");
		u.oom_kills = read_key(cg->dir[0], "memory.events", "oom_kill");
	} else if (memory > 0) {
		u.memory_peak = read_number(cg->dir[memory], "memory.max_usage_in_bytes");
		u.oom_kills = read_key(cg->dir[memory], "memory.oom_control", "oom_kill");
	}
	if (pids >= 0)
		u.pids_peak = read_number(cg->dir[pids], "pids.peak");
	if (u.pids_peak && pids == 0)
		u.pids_peak--; /* carrel-init */
	*ret = u;
	return 0;
}

/* Waits until no process is left below the v2 directory. */
static int wait_empty(int dir, struct err *e)
{
	auto_fd events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd pfd = { .fd = events, .events = POLLPRI };
	struct timespec start, now;
	char text[256];

	if (events < 0)
		return err_set(e, errno, "open cgroup.events");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		ssize_t n = pread(events, text, sizeof(text) - 1, 0);

		if (n < 0)
			return err_set(e, errno, "read cgroup.events");
		text[n] = '\0';
		if (strstr(text, "populated 0"))
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000 > EMPTY_WAIT_MS)
			return err_set(e, EBUSY, "wait for killed processes to leave");
		/* The event can be lost between read and poll: look again soon. */
		poll(&pfd, 1, 20);
	}
}

/* Keeps the first failure. */
static void gather(int r, const struct err *one, int *first, struct err *e)
{
	if (r < 0 && *first == 0) {
		*first = r;
		*e = *one;
	}
}

static int remove_dir(int parent, const char *name, struct err *e)
{
	/* A v1 group can stay busy for a moment after its last process has gone. */
	for (int tries = 0; tries < 200; tries++) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			break;
		usleep(1000);
	}
	return err_set(e, errno, "remove cgroup %s", name);
}

/* Removes NAME/exec and NAME below an open v2 parent, ending what is still in them. */
static int remove_v2(int parent, int dir, const char *name, struct err *e)
{
	struct err one;
	int first = 0;

	/* Where everybody has left already, which is the rule, nothing has to be ended.
	 */
	if (unlinkat(dir, "exec", AT_REMOVEDIR) < 0 && errno != ENOENT) {
		if (fd_write_at(dir, "cgroup.kill", "1") == 0)
			gather(wait_empty(dir, &one), &one, &first, e);
		gather(remove_dir(dir, "exec", &one), &one, &first, e);
	}
	gather(remove_dir(parent, name, &one), &one, &first, e);
	return first;
}

void cgroup_forget_payload(const struct cgroup *cg)
{
	/* If somebody is still in there, cgroup_destroy() deals with it. */
	err_ignore(unlinkat(cg->dir[0], "exec", AT_REMOVEDIR) < 0);
	for (unsigned i = 1; i < cg->host->ntrees; i++)
		err_ignore(unlinkat(cg->host->trees[i].dir, cg->name, AT_REMOVEDIR) < 0);
}

int cgroup_destroy(struct cgroup *cg, struct err *e)
{
	struct err one;
	int first = 0, r;

	/* v2 first: it ends the processes, after which the v1 groups are empty too. */
	for (unsigned i = 0; cg->host && i < cg->host->ntrees; i++) {
		if (cg->dir[i] < 0)
			continue;
		if (i == 0)
			r = remove_v2(cg->host->trees[0].dir, cg->dir[0], cg->name, &one);
		else
			r = remove_dir(cg->host->trees[i].dir, cg->name, &one);
		gather(r, &one, &first, e);
	}
	cgroup_close(cg);
	return first;
}

void cgroup_close(struct cgroup *cg)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		fd_close(&cg->dir[i]);
		fd_close(&cg->tasks[i]);
	}
	fd_close(&cg->exec);
}

int cgroup_reclaim(const char *path, struct err *e)
{
	char parent_path[CGROUP_PATH_MAX];
	const char *slash = strrchr(path, '/');
	auto_fd parent = -1, dir = -1;

	/* The journal may have been damaged: never remove what is not ours by name. */
	if (!slash || strncmp(slash + 1, "carrel-", 7))
		return err_set(e, EPERM, "reclaim cgroup %s", path);
	if (str_format(parent_path, sizeof(parent_path), "%.*s", (int)(slash - path),
		       path) < 0)
		return err_set(e, ENAMETOOLONG, "reclaim cgroup %s", path);
	parent = open(parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 && errno == ENOENT)
		return 0;
	if (parent < 0)
		return err_set(e, errno, "open cgroup %s", parent_path);
	dir = openat(parent, slash + 1, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0)
		return err_set(e, errno, "open cgroup %s", path);
	if (faccessat(dir, "cgroup.kill", F_OK, 0) == 0)
		return remove_v2(parent, dir, slash + 1, e);
	return remove_dir(parent, slash + 1, e);
}
