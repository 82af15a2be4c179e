/* SPDX-License-Identifier: Apache-2.0 */
/* Whole processes, from spawn to exit, and the kernel's floor, in a child each time. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/pool_bench.h"

enum { ENVIRONMENT_SIZE = 192 };

/* Spawns it, waits, and tells how long that took. */
static int time_process(struct pool_bench *b, char *const *argv, uint64_t *ret_ns,
			struct err *e)
{
	char host[ENVIRONMENT_SIZE], *const envp[] = { host, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int status = 0, r;
	uint64_t start;
	pid_t pid;

	bug_on(str_format(host, sizeof(host), "CARREL_HOST=%s", b->host) < 0);
	posix_spawn_file_actions_init(&files);
	for (int fd = 0; fd < 2; fd++)
		posix_spawn_file_actions_adddup2(&files, b->null, fd);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &b->inherited);
	start = pool_bench_now();
	r = posix_spawn(&pid, argv[0], &files, &attr, argv, envp);
	if (r == 0 && waitpid(pid, &status, 0) < 0)
		r = errno;
	*ret_ns = pool_bench_now() - start;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (r)
		return err_set(e, r, "start %s", argv[0]);
	return status ? err_say(e, ECHILD, "%s failed", argv[0]) : 0;
}

int pool_bench_plain(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	char *const argv[] = { "/bin/true", NULL };

	return time_process(b, argv, ret_ns, e);
}

int pool_bench_carrel_exec(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	char *const argv[] = { (char *)b->carrel, "exec",      "-w", "/",
			       POOL_BENCH_KEPT,   "/bin/true", NULL };

	return time_process(b, argv, ret_ns, e);
}

int pool_bench_carrel_alone(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	char *const argv[] = { (char *)b->carrel, "version", NULL };

	return time_process(b, argv, ret_ns, e);
}

/* --- the floor --------------------------------------------------------------------- */

int pool_bench_floor_open(struct pool_bench *b, const char *state_dir, struct err *e)
{
	struct runtime_config defaults = runtime_config_defaults();
	char name[32];

	/* The last range of the block, which the daemon's configuration leaves free. */
	b->config = (struct runtime_config){
		.state_dir = state_dir,
		.id_first = defaults.id_first +
			    (defaults.id_ranges - 1) * (uint32_t)SPEC_ID_RANGE,
		.id_ranges = 1,
		.network = defaults.network,
	};
	bug_on(str_format(name, sizeof(name), "carrel-bench-%d", (int)getpid()) < 0);
	return floor_open(&b->config, name, &b->floor, e);
}

/* What an interrupted run has left goes too. */
void pool_bench_floor_close(struct pool_bench *b)
{
	for (unsigned i = 0; i < b->floor.host.ntrees; i++) {
		char path[CGROUP_PATH_MAX + CGROUP_NAME_MAX];
		struct err e;

		if (str_format(path, sizeof(path), "%s/%s", b->floor.host.trees[i].path,
			       b->floor.cgroup) == 0 &&
		    cgroup_reclaim(path, &e) < 0)
			fprintf(stderr, "pool-bench: %s\n", e.msg);
	}
	if (b->floor.host.ntrees)
		floor_close(&b->floor);
}

/* Without what it costs to make the child, which a carreld would not have to do either.
 */
static void time_floor(const struct pool_bench *b, const struct netns_settings *network,
		       int out)
{
	uint64_t start = pool_bench_now(), ns;

	sigprocmask(SIG_SETMASK, &b->inherited, NULL);
	floor_run(&b->floor, network, "/bin/true");
	ns = pool_bench_now() - start;
	_exit(fd_write_all(out, &ns, sizeof(ns)) < 0);
}

static int run_floor(const struct pool_bench *b, const struct netns_settings *network,
		     uint64_t *ret_ns, struct err *e)
{
	int fds[2], status = 0;
	auto_fd in = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	in = fds[0];
	pid = fork();
	if (pid == 0)
		time_floor(b, network, fds[1]);
	close(fds[1]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(e, errno, "measure in a child");
	if (status || read(in, ret_ns, sizeof(*ret_ns)) != sizeof(*ret_ns))
		return err_say(e, ECHILD, "the measuring child failed");
	return 0;
}

int pool_bench_floor(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return run_floor(b, NULL, ret_ns, e);
}

int pool_bench_floor_egress(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return run_floor(b, &b->config.network, ret_ns, e);
}
