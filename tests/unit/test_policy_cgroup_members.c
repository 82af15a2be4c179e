/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the processes in a cgroup: joined, limited, counted and killed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/sys.h"
#include "policy/cgroup.h"

enum { MEMORY = 32 << 20, PIDS = 10 };

static const struct cgroup_limits limits = { .pids = PIDS,
					     .memory = MEMORY,
					     .cpu_milli = 500 };

/* One host and the groups of one sandbox, taken down after each case. */
struct fixture {
	struct cgroup_host host;
	struct cgroup cg;
	char name[32];
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err e = { 0 };

	f.cg = CGROUP_NONE;
	snprintf(f.name, sizeof(f.name), "carrel-unit-%d", (int)getpid());
	*state = geteuid() == 0 ? &f : NULL; /* fixture() says so */
	if (*state && cgroup_host_open(&limits, &f.host, &e) < 0) {
		print_error("%s\n", e.msg);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	int r;

	if (!f)
		return 0;
	r = cgroup_destroy(&f->cg, &e);
	cgroup_host_close(&f->host);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (r < 0)
		print_error("%s\n", e.msg);
	return r;
}

static struct fixture *fixture(void **state)
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

/* Both halves of what a sandbox goes through. */
static int make_groups(const struct cgroup_host *host, const char *name,
		       const struct cgroup_limits *l, struct cgroup *ret, struct err *e)
{
	int r = cgroup_create(host, name, ret, e);

	return r == 0 ? cgroup_complete(ret, l, e) : r;
}

static void create(struct fixture *f, const struct cgroup_limits *l)
{
	struct err e = { 0 };

	if (make_groups(&f->host, f->name, l, &f->cg, &e) != 0)
		fail_msg("%s", e.msg);
}

/* The directory that limits the controller. */
static int tree_of(const struct fixture *f, enum cgroup_controller controller)
{
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		if (f->host.trees[i].controllers & (1u << controller))
			return (int)i;
	}
	fail_msg("no tree limits %s", cgroup_controller_name(controller));
	return -1;
}

static void sleep_for_ever(const struct fixture *f)
{
	(void)f;
	for (;;)
		pause();
}

/* A process that is born into one of the v2 groups, joins the v1 ones and runs body. */
static struct process start(const struct fixture *f, int group,
			    void (*body)(const struct fixture *f))
{
	struct process p = PROCESS_NONE;
	struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
				   .pidfd = (uintptr_t)&p.pidfd,
				   .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)group };

	p.pid = sys_clone3(&args);
	if (p.pid == 0) {
		struct err e = { 0 };

		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(30);
		if (cgroup_join(&f->cg, &e) < 0)
			fail_msg("%s", e.msg);
		body(f);
		_exit(0);
	}
	assert_true(p.pid > 0);
	return p;
}

static int end_of(struct process *p)
{
	struct err e = { 0 };
	int status = -1;

	assert_int_equal(process_wait(p, &status, NULL, &e), 0);
	return status;
}

static bool is_alive(const struct process *p)
{
	return waitpid(p->pid, NULL, WNOHANG) == 0;
}

static void check_membership(const struct fixture *f)
{
	char text[8192], wanted[64];
	unsigned found = 0;
	char *at = text;

	assert_true(fd_read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) > 0);
	snprintf(wanted, sizeof(wanted), "/%s", f->name);
	while ((at = strstr(at, wanted)))
		at++, found++;
	assert_int_equal(found, f->host.ntrees);
	snprintf(wanted, sizeof(wanted), "/%s/exec\n", f->name);
	assert_true(strstr(text, wanted) || strstr(text, "/exec"));
}

static void joined_process_is_in_every_group(void **state)
{
	struct fixture *f = fixture(state);
	struct process p;

	create(f, &limits);
	p = start(f, f->cg.exec, check_membership);
	assert_int_equal(end_of(&p), 0);
}

static void fork_until_refused(const struct fixture *f)
{
	bool with_init = f->host.trees[0].controllers & (1u << CGROUP_PIDS);
	int n = 1; /* we are one of them */

	for (;;) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid == 0)
			sleep_for_ever(NULL);
		n++;
		assert_true(n <= PIDS + with_init);
	}
	assert_int_equal(errno, EAGAIN);
	/* Where carrel-init is in the same group, there is room for it. */
	assert_int_equal(n, PIDS + with_init);
}

static void processes_are_limited(void **state)
{
	struct fixture *f = fixture(state);
	struct process p;

	create(f, &limits);
	p = start(f, f->cg.exec, fork_until_refused);
	assert_int_equal(end_of(&p), 0);
}

static void fork_a_daemon(const struct fixture *f)
{
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		sleep_for_ever(f);
	}
	sleep_for_ever(f);
}

static void kill_ends_every_process(void **state)
{
	struct fixture *f = fixture(state);
	struct process init, command;
	struct err e = { 0 };

	create(f, &limits);
	init = start(f, f->cg.dir[0], sleep_for_ever);
	command = start(f, f->cg.exec, fork_a_daemon);
	assert_int_equal(cgroup_kill(&f->cg, &e), 0);
	assert_int_equal(end_of(&command), SIGKILL);
	assert_int_equal(end_of(&init), SIGKILL);
}

static void kill_exec_leaves_init_alive(void **state)
{
	struct fixture *f = fixture(state);
	struct process init, command;
	struct err e = { 0 };

	create(f, &limits);
	init = start(f, f->cg.dir[0], sleep_for_ever);
	command = start(f, f->cg.exec, fork_a_daemon);
	assert_int_equal(cgroup_kill_exec(&f->cg, &e), 0);
	assert_int_equal(end_of(&command), SIGKILL);
	assert_true(is_alive(&init));
	process_end(&init);
}

static void killing_an_empty_group_is_no_error(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	create(f, &limits);
	assert_int_equal(cgroup_kill_exec(&f->cg, &e), 0);
	assert_int_equal(cgroup_kill(&f->cg, &e), 0);
}

static void burn_60_ms_with_8_mib(const struct fixture *f)
{
	char *memory = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec used;

	(void)f;
	assert_true(memory != MAP_FAILED);
	memset(memory, 1, 8 << 20);
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	} while (used.tv_sec == 0 && used.tv_nsec < 60000000);
}

static void usage_counts_time_memory_and_processes(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage usage;
	struct process p;
	struct err e = { 0 };

	create(f, &limits);
	p = start(f, f->cg.exec, burn_60_ms_with_8_mib);
	assert_int_equal(end_of(&p), 0);
	assert_int_equal(cgroup_read_usage(&f->cg, &usage, &e), 0);
	assert_in_range(usage.cpu_user_us + usage.cpu_sys_us, 50000, 5000000);
	/* Kernels before 5.19 keep no peak in v2. */
	if (usage.memory_peak || tree_of(f, CGROUP_MEMORY) != 0)
		assert_in_range(usage.memory_peak, 8 << 20, MEMORY);
	assert_in_range(usage.pids_peak, 0, PIDS);
	assert_int_equal(usage.oom_kills, 0);
}

static void usage_of_an_unused_group_is_nothing(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage usage;
	struct err e = { 0 };

	create(f, &limits);
	memset(&usage, 0x5a, sizeof(usage));
	assert_int_equal(cgroup_read_usage(&f->cg, &usage, &e), 0);
	assert_int_equal(usage.cpu_user_us, 0);
	assert_int_equal(usage.cpu_sys_us, 0);
	assert_int_equal(usage.oom_kills, 0);
	assert_int_equal(usage.pids_peak, 0);
}

static void use_too_much_memory(const struct fixture *f)
{
	size_t size = 4 * (size_t)MEMORY;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)f;
	assert_true(memory != MAP_FAILED);
	memset(memory, 1, size);
}

static void memory_is_limited_and_its_end_is_told(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage usage;
	struct process p;
	struct err e = { 0 };
	auto_fd watch = -1;

	create(f, &limits);
	assert_int_equal(cgroup_watch_oom(&f->cg, &watch, &e), 0);
	assert_int_equal(watch >= 0, tree_of(f, CGROUP_MEMORY) != 0);
	p = start(f, f->cg.exec, use_too_much_memory);
	assert_int_equal(end_of(&p), SIGKILL);
	assert_int_equal(cgroup_read_usage(&f->cg, &usage, &e), 0);
	assert_true(usage.oom_kills > 0);
	if (watch >= 0) {
		struct pollfd pfd = { .fd = watch, .events = POLLIN };

		assert_true(fcntl(watch, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(poll(&pfd, 1, 5000), 1);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(joined_process_is_in_every_group),
		CASE(processes_are_limited),
		CASE(kill_ends_every_process),
		CASE(kill_exec_leaves_init_alive),
		CASE(killing_an_empty_group_is_no_error),
		CASE(usage_counts_time_memory_and_processes),
		CASE(usage_of_an_unused_group_is_nothing),
		CASE(memory_is_limited_and_its_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
