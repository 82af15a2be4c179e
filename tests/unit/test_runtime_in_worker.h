/* SPDX-License-Identifier: Apache-2.0 */
/* Residents on the real kernel: this process is the broker, and forks workers. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/resident.h"

enum { ENDED_MAX = 4096 };

/* What a worker says; shared with it. */
struct said {
	int code;
	int status;
	uint32_t slot;
	pid_t pid, pids[16];
	bool taken; /* groups that had been prepared */
	struct err err;
};

struct fixture {
	char top[32], state_dir[64];
	struct runtime_config config;
	struct spec spec;
	struct cgroup_host host;
	struct resident resident; /* if opened */
	struct said *said;
	struct ended {
		pid_t pid;
		int status;
	} ended[ENDED_MAX]; /* children that were waited for by the way */
	unsigned ended_count, mounts;
};

static inline unsigned count_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned count = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		count += c == '\n';
	fclose(f);
	return count;
}

static inline int set_up(void **state)
{
	static struct fixture f;
	const struct cgroup_limits none = { 0 };
	struct err e = { 0 };

	*state = NULL;
	if (geteuid() != 0)
		return 0; /* fixture() says so */
	memset(&f, 0, sizeof(f));
	snprintf(f.top, sizeof(f.top), "/run/carrel-unit-XXXXXX");
	if (!mkdtemp(f.top))
		return -1;
	snprintf(f.state_dir, sizeof(f.state_dir), "%s/state", f.top);
	f.config = runtime_config_defaults();
	f.config.state_dir = f.state_dir;
	f.config.id_first = 0x71000000;
	f.config.id_ranges = 64;
	spec_init(&f.spec);
	f.resident = RESIDENT_NONE;
	f.mounts = count_lines("/proc/self/mountinfo");
	f.said = mmap(NULL, sizeof(*f.said), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f.said == MAP_FAILED || rootfs_plan_finish(&f.spec.files, &e) < 0 ||
	    cgroup_host_open(&none, &f.host, &e) < 0) {
		print_error("%s\n", e.msg);
		return -1;
	}
	*state = &f;
	return 0;
}

static inline struct fixture *fixture(void **state)
{
	const char *must_run = getenv("MUST_RUN");

	if (*state)
		return *state;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs root");
	print_message("skipped: needs root\n");
	skip();
	abort(); /* not reached */
}

/* Waits for this child, and keeps what it hears of others. −1: not within the time. */
static inline int wait_for(struct fixture *f, pid_t pid, int timeout_ms)
{
	for (int waited = 0;; waited++) {
		int status;
		pid_t got;

		for (unsigned i = 0; i < f->ended_count; i++) {
			if (f->ended[i].pid == pid) {
				f->ended[i].pid = 0;
				return f->ended[i].status;
			}
		}
		got = waitpid(-1, &status, WNOHANG);
		if (got > 0) {
			assert_true(f->ended_count < ENDED_MAX);
			f->ended[f->ended_count++] = (struct ended){ got, status };
			continue;
		}
		if (waited >= timeout_ms)
			return -1;
		usleep(1000);
	}
}

/* Forks a worker that runs body(), which ends in `said`. */
static inline pid_t start_worker(struct fixture *f,
				 int (*body)(struct fixture *f, struct err *e))
{
	pid_t pid;

	memset(f->said, 0, sizeof(*f->said));
	f->said->code = -ECHILD;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		alarm(60);
		f->said->code = body(f, &f->said->err);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static inline int in_worker(struct fixture *f,
			    int (*body)(struct fixture *f, struct err *e))
{
	assert_int_equal(wait_for(f, start_worker(f, body), 30000), 0);
	return f->said->code;
}

static inline void must(struct fixture *f, int (*body)(struct fixture *f, struct err *e))
{
	if (in_worker(f, body) < 0)
		fail_msg("%s", f->said->err.msg);
}

/* Microseconds that it takes in a worker, and a little more: for delays within it. */
static inline unsigned time_of(struct fixture *f,
			       int (*body)(struct fixture *f, struct err *e))
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	must(f, body);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (unsigned)((to.tv_sec - from.tv_sec) * 1000000 +
			  (to.tv_nsec - from.tv_nsec) / 1000) +
	       500;
}

static inline int build_one(struct fixture *f, struct err *e)
{
	return resident_build(&f->config, &f->spec, "label", 5, &f->said->slot, e);
}

static inline int remove_one_slot(struct fixture *f, struct err *e)
{
	return resident_remove(&f->config, f->resident.slot, NULL, e);
}

static inline void open_slot(struct fixture *f, uint32_t slot)
{
	struct err e = { 0 };
	void *label = NULL;
	size_t size = 0;

	resident_close(&f->resident);
	if (resident_open(&f->config, &f->host, slot, &f->resident, &label, &size, &e) <
	    0)
		fail_msg("%s", e.msg);
	free(label);
}

/* A living one in f->resident. */
static inline void build(struct fixture *f)
{
	must(f, build_one);
	open_slot(f, f->said->slot);
}

static inline int remove_found(void *context, uint32_t slot, struct err *e)
{
	struct fixture *f = context;

	return resident_remove(&f->config, slot, NULL, e);
}

static inline int remove_all(struct fixture *f, struct err *e)
{
	return resident_each(&f->config, remove_found, f, e);
}

static inline bool group_is_there(const struct fixture *f, unsigned tree,
				  const char *name)
{
	return faccessat(f->host.trees[tree].dir, name, F_OK, 0) == 0;
}

static inline bool is_file(const struct fixture *f, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->state_dir, name);
	return access(path, F_OK) == 0;
}

/* FI-00, as far as one process can see it. */
static inline void assert_nothing_left(struct fixture *f)
{
	char name[16];

	for (unsigned i = 0; i < f->config.id_ranges; i++) {
		snprintf(name, sizeof(name), "run/%x",
			 f->config.id_first + i * SPEC_ID_RANGE);
		assert_false(is_file(f, name));
	}
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		if (*f->resident.id)
			assert_false(group_is_there(f, i, f->resident.id));
	}
	assert_int_equal(count_lines("/proc/self/mountinfo"), f->mounts);
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;
	int status = -1;
	pid_t pid;

	if (!f)
		return 0;
	/* What a failed case left. */
	wait_for(f, start_worker(f, remove_all), 30000);
	if (f->said->code < 0)
		print_error("%s\n", f->said->err.msg);
	status = f->said->code;
	resident_close(&f->resident);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	cgroup_host_close(&f->host);
	munmap(f->said, sizeof(*f->said));
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--one-file-system", f->top, NULL);
		_exit(9);
	}
	waitpid(pid, NULL, 0);
	return status;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
