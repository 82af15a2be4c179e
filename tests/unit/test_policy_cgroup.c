/* SPDX-License-Identifier: Apache-2.0 */
/* On whatever cgroup layout the machine has, below our own group, as carrel-unit-*. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void assert_value(int dir, const char *file, const char *value)
{
	char text[256];
	ssize_t n = fd_read_at(dir, file, text, sizeof(text));

	if (n < 0)
		fail_msg("read %s: %s", file, strerror((int)-n));
	assert_string_equal(text, value);
}

static bool exists(const struct fixture *f, unsigned tree)
{
	return faccessat(f->host.trees[tree].dir, f->name, F_OK, 0) == 0;
}

static void assert_gone(const struct fixture *f)
{
	for (unsigned i = 0; i < f->host.ntrees; i++)
		assert_false(exists(f, i));
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

static void create_makes_a_group_in_every_tree(void **state)
{
	struct fixture *f = fixture(state);

	create(f, &limits);
	assert_string_equal(f->cg.name, f->name);
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		assert_true(exists(f, i));
		assert_true(f->cg.dir[i] >= 0);
		assert_int_equal(f->cg.tasks[i] >= 0, !f->host.trees[i].v2);
	}
	assert_int_equal(faccessat(f->cg.dir[0], "exec", F_OK, 0), 0);
	assert_true(f->cg.exec >= 0);
}

static void descriptors_close_on_exec(void **state)
{
	struct fixture *f = fixture(state);

	create(f, &limits);
	assert_true(fcntl(f->cg.exec, F_GETFD) & FD_CLOEXEC);
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		assert_true(fcntl(f->host.trees[i].dir, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(f->cg.dir[i], F_GETFD) & FD_CLOEXEC);
		if (f->cg.tasks[i] >= 0)
			assert_true(fcntl(f->cg.tasks[i], F_GETFD) & FD_CLOEXEC);
	}
}

static void limits_can_be_read_back(void **state)
{
	struct fixture *f = fixture(state);
	int memory = tree_of(f, CGROUP_MEMORY), cpu = tree_of(f, CGROUP_CPU);

	create(f, &limits);
	/* One more for carrel-init where that is in the same group. */
	assert_value(f->cg.dir[tree_of(f, CGROUP_PIDS)], "pids.max",
		     tree_of(f, CGROUP_PIDS) == 0 ? "11" : "10");
	if (memory == 0) {
		assert_value(f->cg.dir[0], "memory.max", "33554432");
		assert_value(f->cg.dir[0], "memory.high", "32505856");
		assert_value(f->cg.dir[0], "memory.oom.group", "1");
	} else {
		assert_value(f->cg.dir[memory], "memory.limit_in_bytes", "33554432");
	}
	if (cpu == 0) {
		assert_value(f->cg.dir[0], "cpu.max", "50000 100000");
	} else {
		assert_value(f->cg.dir[cpu], "cpu.cfs_quota_us", "50000");
		assert_value(f->cg.dir[cpu], "cpu.cfs_period_us", "100000");
	}
}

static void sandbox_gets_no_swap(void **state)
{
	struct fixture *f = fixture(state);
	int dir;

	create(f, &limits);
	dir = f->cg.dir[tree_of(f, CGROUP_MEMORY)];
	if (faccessat(dir, "memory.swap.max", F_OK, 0) == 0)
		assert_value(dir, "memory.swap.max", "0");
	else if (faccessat(dir, "memory.memsw.limit_in_bytes", F_OK, 0) == 0)
		assert_value(dir, "memory.memsw.limit_in_bytes", "33554432");
	else if (tree_of(f, CGROUP_MEMORY) != 0)
		assert_value(dir, "memory.swappiness", "0");
}

static void zero_asks_for_no_limit(void **state)
{
	const struct cgroup_limits none = { 0 };
	struct fixture *f = fixture(state);
	int cpu = tree_of(f, CGROUP_CPU);

	create(f, &none);
	assert_value(f->cg.dir[tree_of(f, CGROUP_PIDS)], "pids.max", "max");
	if (cpu == 0)
		assert_value(f->cg.dir[0], "cpu.max", "max 100000");
	else
		assert_value(f->cg.dir[cpu], "cpu.cfs_quota_us", "-1");
}

static void least_share_of_a_processor_is_what_the_kernel_takes(void **state)
{
	const struct cgroup_limits least = { .cpu_milli = 1 };
	struct fixture *f = fixture(state);
	int cpu = tree_of(f, CGROUP_CPU);

	create(f, &least);
	if (cpu == 0)
		assert_value(f->cg.dir[0], "cpu.max", "1000 100000");
	else
		assert_value(f->cg.dir[cpu], "cpu.cfs_quota_us", "1000");
}

static void more_processors_than_can_be_counted_do_not_become_few(void **state)
{
	/* Times 100000 this is 2^64 and a little. */
	const struct cgroup_limits huge = { .cpu_milli = 184467440737096 };
	struct fixture *f = fixture(state);
	struct err e = { 0 };
	char text[64] = "";

	if (make_groups(&f->host, f->name, &huge, &f->cg, &e) < 0)
		return; /* an error is as good as a high limit */
	if (tree_of(f, CGROUP_CPU) == 0)
		assert_true(fd_read_at(f->cg.dir[0], "cpu.max", text, sizeof(text)) > 0);
	else
		assert_true(fd_read_at(f->cg.dir[tree_of(f, CGROUP_CPU)],
				       "cpu.cfs_quota_us", text, sizeof(text)) > 0);
	if (strtoull(text, NULL, 10) <= 100000)
		fail_msg("184467440737 processors became a quota of %s", text);
}

static void second_group_of_a_name_is_refused_and_harms_nothing(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup second;
	struct err e = { 0 };

	create(f, &limits);
	assert_int_equal(make_groups(&f->host, f->name, &limits, &second, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "create cgroup carrel-unit-"));
	assert_non_null(strstr(e.msg, ": File exists"));
	assert_non_null(strstr(e.msg, f->host.trees[0].path));
	for (unsigned i = 0; i < f->host.ntrees; i++)
		assert_true(exists(f, i));
	assert_int_equal(cgroup_destroy(&second, &e), 0);
	assert_true(exists(f, 0));
}

static void failed_create_leaves_what_destroy_removes(void **state)
{
	const struct cgroup_limits impossible = { .pids = UINT64_MAX - 8 };
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	assert_true(make_groups(&f->host, f->name, &impossible, &f->cg, &e) < 0);
	assert_non_null(strstr(e.msg, "limit pids: write 184467440737095516"));
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	assert_gone(f);
}

static void names_have_a_maximum(void **state)
{
	struct fixture *f = fixture(state);
	char name[CGROUP_NAME_MAX + 1];
	struct cgroup cg;
	struct err e = { 0 };

	memset(name, 'x', sizeof(name));
	memcpy(name, "carrel-unit-", 12);
	name[CGROUP_NAME_MAX] = '\0';
	assert_int_equal(make_groups(&f->host, name, &limits, &cg, &e), -ENAMETOOLONG);
	name[CGROUP_NAME_MAX - 1] = '\0';
	assert_int_equal(make_groups(&f->host, name, &limits, &cg, &e), 0);
	assert_int_equal(cgroup_destroy(&cg, &e), 0);
}

static void killing_a_destroyed_group_is_an_error(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	create(f, &limits);
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	assert_int_equal(cgroup_kill(&f->cg, &e), -EBADF);
	assert_non_null(strstr(e.msg, "kill cgroup carrel-unit-"));
	assert_int_equal(cgroup_kill_exec(&f->cg, &e), -EBADF);
}

static void usage_of_a_destroyed_group_is_an_error(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage usage, before;
	struct err e = { 0 };

	create(f, &limits);
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	memset(&usage, 0x5a, sizeof(usage));
	before = usage;
	assert_int_equal(cgroup_read_usage(&f->cg, &usage, &e), -EBADF);
	assert_memory_equal(&usage, &before, sizeof(usage));
}

static void destroy_removes_every_group_and_can_be_repeated(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };
	int exec;

	create(f, &limits);
	exec = f->cg.exec;
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	assert_gone(f);
	assert_int_equal(fcntl(exec, F_GETFD), -1);
	assert_int_equal(f->cg.exec, -1);
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
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

static void destroy_ends_what_still_runs(void **state)
{
	struct fixture *f = fixture(state);
	struct process init, command;
	struct err e = { 0 };

	create(f, &limits);
	init = start(f, f->cg.dir[0], sleep_for_ever);
	command = start(f, f->cg.exec, fork_a_daemon);
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	assert_gone(f);
	assert_int_equal(end_of(&command), SIGKILL);
	assert_int_equal(end_of(&init), SIGKILL);
}

static void destroy_goes_on_when_others_were_faster(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	create(f, &limits);
	assert_int_equal(unlinkat(f->cg.dir[0], "exec", AT_REMOVEDIR), 0);
	assert_int_equal(cgroup_destroy(&f->cg, &e), 0);
	assert_gone(f);
}

static void destroy_is_harmless_on_none(void **state)
{
	struct cgroup none = CGROUP_NONE;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(cgroup_destroy(&none, &e), 0);
	cgroup_close(&none);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(create_makes_a_group_in_every_tree),
		CASE(descriptors_close_on_exec),
		CASE(limits_can_be_read_back),
		CASE(sandbox_gets_no_swap),
		CASE(zero_asks_for_no_limit),
		CASE(least_share_of_a_processor_is_what_the_kernel_takes),
		CASE(more_processors_than_can_be_counted_do_not_become_few),
		CASE(second_group_of_a_name_is_refused_and_harms_nothing),
		CASE(failed_create_leaves_what_destroy_removes),
		CASE(names_have_a_maximum),
		CASE(killing_a_destroyed_group_is_an_error),
		CASE(usage_of_a_destroyed_group_is_an_error),
		CASE(destroy_removes_every_group_and_can_be_repeated),
		CASE(destroy_ends_what_still_runs),
		CASE(destroy_goes_on_when_others_were_faster),
		cmocka_unit_test(destroy_is_harmless_on_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
