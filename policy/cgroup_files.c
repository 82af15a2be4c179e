/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
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
#include "policy/cgroup_files.h"

enum {
	CPU_PERIOD_US = 100000,
	CPU_QUOTA_MIN_US = 1000, /* the kernel's least, kernel/sched/core.c */
	WAIT_MS = 5000, /* how long killed processes may take to leave */
};

/* v1 has the largest number of pages there can be where nothing was asked for. */
#define NO_LIMIT (1ull << 62)

/* A group in each tree of the host. */
struct group {
	const struct cgroup_host *host;
	const int *dirs;
};

int cgroup_tree_of(const struct cgroup_host *host, enum cgroup_controller controller)
{
	for (unsigned i = 0; i < host->ntrees; i++) {
		if (host->trees[i].controllers & (1u << controller))
			return (int)i;
	}
	return -1;
}

int cgroup_make_dir(int parent, const char *name, int *ret_fd, struct err *e)
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

static int set_value(const struct group *g, enum cgroup_controller controller,
		     const char *file, uint64_t value, struct err *e)
{
	char text[32];
	int tree = cgroup_tree_of(g->host, controller), r;

	r = str_format(text, sizeof(text), "%" PRIu64, value);
	if (r == 0)
		r = fd_write_at(g->dirs[tree], file, text);
	if (r < 0)
		return err_set(e, -r, "limit %s: write %s to %s",
			       cgroup_controller_name(controller), text, file);
	return 0;
}

static int limit_memory_v2(const struct group *g, int dir, uint64_t max, struct err *e)
{
	uint64_t gap = max / 32 < (16u << 20) ? max / 32 : 16u << 20;
	int r = set_value(g, CGROUP_MEMORY, "memory.max", max, e);

	if (r == 0)
		r = set_value(g, CGROUP_MEMORY, "memory.high", max - gap, e);
	/* Absent when the kernel was built or booted without swap. */
	if (r == 0 && faccessat(dir, "memory.swap.max", F_OK, 0) == 0)
		r = set_value(g, CGROUP_MEMORY, "memory.swap.max", 0, e);
	return r;
}

static int limit_memory_v1(const struct group *g, int dir, uint64_t max, struct err *e)
{
	int r = set_value(g, CGROUP_MEMORY, "memory.limit_in_bytes", max, e);

	/* Memory and swap together no more than memory alone: swap 0. */
	if (r == 0 && faccessat(dir, "memory.memsw.limit_in_bytes", F_OK, 0) == 0)
		return set_value(g, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", max, e);
	if (r == 0)
		r = set_value(g, CGROUP_MEMORY, "memory.swappiness", 0, e);
	return r;
}

static int limit_memory(const struct group *g, uint64_t max, struct err *e)
{
	int tree = cgroup_tree_of(g->host, CGROUP_MEMORY);

	return tree == 0 ? limit_memory_v2(g, g->dirs[0], max, e)
			 : limit_memory_v1(g, g->dirs[tree], max, e);
}

static int limit_cpu(const struct group *g, uint64_t milli, struct err *e)
{
	uint64_t quota;
	char text[64];
	int r;

	if (__builtin_mul_overflow(milli, CPU_PERIOD_US / 1000, &quota))
		return err_set(e, ERANGE, "limit cpu: %" PRIu64 " processors",
			       milli / 1000);
	if (quota < CPU_QUOTA_MIN_US)
		quota = CPU_QUOTA_MIN_US;
	if (cgroup_tree_of(g->host, CGROUP_CPU) != 0)
		/* The period of a new group is CPU_PERIOD_US. */
		return set_value(g, CGROUP_CPU, "cpu.cfs_quota_us", quota, e);
	r = str_format(text, sizeof(text), "%" PRIu64 " %d", quota, CPU_PERIOD_US);
	if (r == 0)
		r = fd_write_at(g->dirs[0], "cpu.max", text);
	if (r < 0)
		return err_set(e, -r, "limit cpu: write %s to cpu.max", text);
	return 0;
}

int cgroup_set_limits(const struct cgroup_host *host, const int *dirs,
		      const struct cgroup_limits *limits, unsigned others, struct err *e)
{
	const struct group g = { host, dirs };
	int r = 0;

	if (limits->pids)
		r = set_value(&g, CGROUP_PIDS, "pids.max", limits->pids + others, e);
	if (r == 0 && limits->memory)
		r = limit_memory(&g, limits->memory, e);
	if (r == 0 && limits->cpu_milli)
		r = limit_cpu(&g, limits->cpu_milli, e);
	return r;
}

/* *ret is 0 for "max", and for what v1 has in its place. */
static int get_value(const struct group *g, enum cgroup_controller controller,
		     const char *file, uint64_t *ret, struct err *e)
{
	int tree = cgroup_tree_of(g->host, controller);
	char text[64];
	ssize_t n;

	*ret = 0;
	if (tree < 0)
		return 0;
	n = fd_read_at(g->dirs[tree], file, text, sizeof(text));
	if (n < 0)
		return err_set(e, (int)-n, "read %s", file);
	*ret = strtoull(text, NULL, 10);
	if (*ret >= NO_LIMIT || *text == '-')
		*ret = 0;
	return 0;
}

static int get_cpu(const struct group *g, uint64_t *ret_milli, struct err *e)
{
	bool v2 = cgroup_tree_of(g->host, CGROUP_CPU) == 0;
	uint64_t quota = 0;
	int r = get_value(g, CGROUP_CPU, v2 ? "cpu.max" : "cpu.cfs_quota_us", &quota, e);

	*ret_milli = quota / (CPU_PERIOD_US / 1000);
	return r;
}

int cgroup_get_limits(const struct cgroup_host *host, const int *dirs,
		      struct cgroup_limits *ret, struct err *e)
{
	const struct group g = { host, dirs };
	bool v2 = cgroup_tree_of(host, CGROUP_MEMORY) == 0;
	int r = get_value(&g, CGROUP_PIDS, "pids.max", &ret->pids, e);

	if (r == 0)
		r = get_value(&g, CGROUP_MEMORY,
			      v2 ? "memory.max" : "memory.limit_in_bytes", &ret->memory,
			      e);
	if (r == 0)
		r = get_cpu(&g, &ret->cpu_milli, e);
	return r;
}

int cgroup_die_together(const struct cgroup_host *host, const int *dirs, struct err *e)
{
	const struct group g = { host, dirs };

	if (cgroup_tree_of(host, CGROUP_MEMORY) != 0)
		return 0;
	return set_value(&g, CGROUP_MEMORY, "memory.oom.group", 1, e);
}

int cgroup_open_tasks(int dir, const char *name, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_set(e, errno, "open tasks of cgroup %s", name);
	return 0;
}

int cgroup_join_tasks(const int *tasks, const char *name, struct err *e)
{
	for (unsigned i = 0; i < CGROUP_TREE_MAX; i++) {
		if (tasks[i] >= 0 && write(tasks[i], "0", 1) != 1)
			return err_set(e, errno, "join cgroup %s", name);
	}
	return 0;
}

int cgroup_watch_oom_of(const struct cgroup_host *host, const int *dirs, const char *name,
			int *ret_fd, struct err *e)
{
	int tree = cgroup_tree_of(host, CGROUP_MEMORY), r;
	auto_fd control = -1, event = -1;
	char text[64];

	*ret_fd = -1;
	if (tree <= 0)
		return 0;
	control = openat(dirs[tree], "memory.oom_control", O_RDONLY | O_CLOEXEC);
	if (control < 0)
		return err_set(e, errno, "open memory.oom_control of %s", name);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return err_set(e, errno, "create an eventfd");
	r = str_format(text, sizeof(text), "%d %d", event, control);
	if (r == 0)
		r = fd_write_at(dirs[tree], "cgroup.event_control", text);
	if (r < 0)
		return err_set(e, -r, "watch memory.oom_control of %s", name);
	*ret_fd = fd_take(&event);
	return 0;
}

/* The number behind `key ` in the text of a flat-keyed file; 0 when the key is absent. */
static uint64_t find_key(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (!strncmp(p, key, len) && p[len] == ' ')
			return strtoull(p + len + 1, NULL, 10);
	}
	return 0;
}

/* Likewise in the file; 0 when that is absent, too. */
static uint64_t read_key(int dir, const char *file, const char *key)
{
	char text[4096];

	return fd_read_at(dir, file, text, sizeof(text)) < 0 ? 0 : find_key(text, key);
}

static uint64_t read_number(int dir, const char *file)
{
	char text[64];

	return fd_read_at(dir, file, text, sizeof(text)) < 0 ? 0
							     : strtoull(text, NULL, 10);
}

int cgroup_count(const struct cgroup_host *host, const int *dirs, int cpu,
		 struct cgroup_usage *ret, struct err *e)
{
	int memory = cgroup_tree_of(host, CGROUP_MEMORY),
	    pids = cgroup_tree_of(host, CGROUP_PIDS);
	struct cgroup_usage u = { 0 };
	char text[4096];
	ssize_t n = fd_read_at(cpu, "cpu.stat", text, sizeof(text));

	if (n < 0)
		return err_set(e, (int)-n, "read cpu.stat");
	u.cpu_user_us = find_key(text, "user_usec");
	u.cpu_sys_us = find_key(text, "system_usec");
	if (memory == 0) {
		u.memory_peak = read_number(dirs[0], "memory.peak");
		u.oom_kills = read_key(dirs[0], "memory.events", "oom_kill");
	} else if (memory > 0) {
		u.memory_peak = read_number(dirs[memory], "memory.max_usage_in_bytes");
		u.oom_kills = read_key(dirs[memory], "memory.oom_control", "oom_kill");
	}
	if (pids >= 0)
		u.pids_peak = read_number(dirs[pids], "pids.peak");
	*ret = u;
	return 0;
}

int cgroup_wait_event(int dir, const char *line, struct err *e)
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
		if (strstr(text, line))
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000 > WAIT_MS)
			return err_set(e, EBUSY, "wait for \"%s\" in cgroup.events",
				       line);
		/* The event can be lost between read and poll: look again soon. */
		poll(&pfd, 1, 20);
	}
}

int cgroup_wait_empty(int dir, struct err *e)
{
	int r = cgroup_wait_event(dir, "populated 0", e);

	return r < 0 ? err_wrap(e, "wait for killed processes to leave") : 0;
}

int cgroup_remove_dir(int parent, const char *name, struct err *e)
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

int cgroup_each_below(int dir,
		      int (*found)(void *context, int dir, const char *name,
				   struct err *e),
		      void *context, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!list) {
		fd_close(&fd);
		return err_set(e, errno, "list a cgroup");
	}
	while (r == 0 && (d = readdir(list))) {
		if (d->d_type == DT_DIR && d->d_name[0] != '.')
			r = found(context, dir, d->d_name, e);
	}
	closedir(list);
	return r;
}

/* Keeps the first failure. */
struct gathered {
	int code;
	struct err err;
};

static int remove_one(void *context, int dir, const char *name, struct err *e)
{
	struct gathered *g = context;
	int r = cgroup_remove_dir(dir, name, e);

	if (r < 0 && g->code == 0)
		*g = (struct gathered){ r, *e };
	return 0;
}

int cgroup_remove_below(int dir, struct err *e)
{
	struct gathered g = { .code = 0 };
	int r = cgroup_each_below(dir, remove_one, &g, e);

	if (r == 0 && g.code < 0) {
		*e = g.err;
		r = g.code;
	}
	return r;
}
