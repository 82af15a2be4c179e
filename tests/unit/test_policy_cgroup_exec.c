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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/sys.h"
#include "policy/cgroup_exec.h"
#include "policy/cgroup_files.h"

static const struct cgroup_limits none = { 0 }, limits = { .pids = 20,
							   .memory = 64 << 20,
							   .cpu_milli = 500 };

/* One sandbox's groups, taken down after each case. */
struct fixture {
	struct cgroup_host host;
	struct cgroup cg;
	struct cgroup_place place;
	char name[32];
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err e = { 0 };
	int r;

	f.cg = CGROUP_NONE;
	snprintf(f.name, sizeof(f.name), "carrel-unit-%d", (int)getpid());
	*state = geteuid() == 0 ? &f : NULL; /* fixture() says so */
	if (!*state)
		return 0;
	r = cgroup_host_open(&limits, &f.host, &e);
	if (r == 0)
		r = cgroup_create(&f.host, f.name, &f.cg, &e);
	if (r == 0)
		r = cgroup_stay(&f.cg, "label", 5, &e);
	if (r == 0)
		r = cgroup_complete(&f.cg, &limits, &e);
	f.place.host = &f.host;
	memcpy(f.place.dir, f.cg.dir, sizeof(f.place.dir));
	if (r < 0)
		print_error("%s\n", e.msg);
	return r;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	int r;

	if (!f)
		return 0;
	r = cgroup_destroy(&f->cg, &e);
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		if (faccessat(f->host.trees[i].dir, f->name, F_OK, 0) == 0)
			r = -EEXIST;
	}
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

static struct cgroup_exec create(struct fixture *f, const char *id,
				 const struct cgroup_limits *l)
{
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	if (cgroup_exec_create(&f->place, id, l, false, &x, &e) < 0)
		fail_msg("%s", e.msg);
	return x;
}

static void assert_value(const struct fixture *f, const struct cgroup_exec *x,
			 enum cgroup_controller controller, const char *v2,
			 const char *v1, const char *value)
{
	int tree = cgroup_tree_of(&f->host, controller);
	char text[256];

	assert_true(fd_read_at(x->dir[tree], tree ? v1 : v2, text, sizeof(text)) > 0);
	assert_string_equal(text, value);
}

static bool is_below(const struct fixture *f, const char *id)
{
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		if (faccessat(f->place.dir[i], id, F_OK, 0) == 0)
			return true;
	}
	return false;
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

static void fork_a_daemon(void)
{
	if (fork() == 0) {
		setsid();
		sleep_for_ever();
	}
	sleep_for_ever();
}

static void take_memory(void)
{
	size_t size = 48 << 20;
	volatile char *p = malloc(size);

	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	_exit(0);
}

static struct process start(const struct cgroup_exec *x, void (*body)(void))
{
	struct process p = PROCESS_NONE;
	struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
				   .pidfd = (uintptr_t)&p.pidfd,
				   .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)x->dir[0] };

	p.pid = sys_clone3(&args);
	if (p.pid == 0) {
		struct err e = { 0 };

		alarm(30);
		if (cgroup_exec_join(x, &e) < 0)
			_exit(99);
		body();
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

static void remove_group(struct fixture *f, const char *id)
{
	struct err e = { 0 };

	for (int i = 0; i < 1000; i++) {
		if (cgroup_exec_remove(&f->place, id, &e) == 0)
			return;
		usleep(1000);
	}
	fail_msg("%s", e.msg);
}

static void owner_is_compared_whole(void **state)
{
	struct fixture *f = *state;
	struct err e;

	assert_false(cgroup_has_owner(f->cg.dir[0], ""));
	assert_int_equal(cgroup_set_owner(f->cg.dir[0], "12:34", &e), 0);
	assert_true(cgroup_has_owner(f->cg.dir[0], "12:34"));
	assert_false(cgroup_has_owner(f->cg.dir[0], "12:345"));
	assert_false(cgroup_has_owner(f->cg.dir[0], "12:3"));
	assert_false(cgroup_has_owner(f->cg.dir[0], "12:35"));
	assert_false(cgroup_has_owner(f->cg.init, "12:34"));
	assert_false(cgroup_has_owner(-1, "12:34"));
}

static void label_is_kept_by_the_kernel(void **state)
{
	struct fixture *f = fixture(state);
	auto_free void *label = NULL;
	struct err e = { 0 };
	size_t size = 0;

	assert_int_equal(cgroup_read_label(f->cg.dir[0], &label, &size, &e), 0);
	assert_int_equal(size, 5);
	assert_memory_equal(label, "label", 5);
	assert_int_equal(cgroup_read_label(f->cg.init, &label, &size, &e), -ENODATA);
}

static void sandbox_that_stays_does_not_die_as_a_whole(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec x = create(f, "a", &none);

	assert_int_equal(f->cg.exec, -1);
	if (cgroup_tree_of(&f->host, CGROUP_MEMORY) == 0) {
		assert_value(f, &(struct cgroup_exec){ .dir = { f->cg.dir[0] } },
			     CGROUP_MEMORY, "memory.oom.group", "", "0");
		assert_value(f, &x, CGROUP_MEMORY, "memory.oom.group", "", "1");
	}
	cgroup_exec_close(&x);
	remove_group(f, "a");
}

static void limits_are_read_back(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_limits seen = { 0 };
	struct err e = { 0 };

	assert_int_equal(cgroup_read_limits(&f->place, &seen, &e), 0);
	assert_memory_equal(&seen, &limits, sizeof(seen));
}

static void each_exec_has_groups_and_limits_of_its_own(void **state)
{
	const struct cgroup_limits tight = { .pids = 3,
					     .memory = 32 << 20,
					     .cpu_milli = 100 };
	struct fixture *f = fixture(state);
	struct cgroup_exec a = create(f, "a", &tight), b = create(f, "b", &none);
	bool v2 = cgroup_tree_of(&f->host, CGROUP_CPU) == 0;

	assert_value(f, &a, CGROUP_PIDS, "pids.max", "pids.max", "3");
	assert_value(f, &b, CGROUP_PIDS, "pids.max", "pids.max", "max");
	assert_value(f, &a, CGROUP_MEMORY, "memory.max", "memory.limit_in_bytes",
		     "33554432");
	assert_value(f, &a, CGROUP_CPU, "cpu.max", "cpu.cfs_quota_us",
		     v2 ? "10000 100000" : "10000");
	/* What it has no limit in, it is in its sandbox's group of. */
	if (!v2) {
		int tree = cgroup_tree_of(&f->host, CGROUP_CPU);

		assert_int_equal(b.dir[tree], -1);
		assert_true(b.tasks[tree] >= 0);
	}
	cgroup_exec_close(&a);
	cgroup_exec_close(&b);
	remove_group(f, "a");
	remove_group(f, "b");
	assert_false(is_below(f, "a") || is_below(f, "b"));
}

static void name_in_use_is_refused_and_stays(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec x = create(f, "a", &none), other = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	assert_int_equal(cgroup_exec_create(&f->place, "a", &none, false, &other, &e),
			 -EEXIST);
	assert_true(is_below(f, "a"));
	cgroup_exec_close(&x);
	remove_group(f, "a");
}

static void failed_create_leaves_nothing(void **state)
{
	const struct cgroup_limits impossible = { .pids = UINT64_MAX - 8 };
	struct fixture *f = fixture(state);
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	assert_true(cgroup_exec_create(&f->place, "a", &impossible, false, &x, &e) < 0);
	assert_false(is_below(f, "a"));
	assert_int_equal(x.dir[0], -1);
}

static struct cgroup_exec prepare(struct fixture *f, const char *id)
{
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	if (cgroup_exec_prepare(&f->place, id, &x, &e) < 0)
		fail_msg("%s", e.msg);
	return x;
}

/* The second one is what a create without anything prepared has made. */
static void assert_same_groups(const struct cgroup_exec *x,
			       const struct cgroup_exec *other)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		assert_int_equal(x->dir[i] >= 0, other->dir[i] >= 0);
		assert_int_equal(x->tasks[i] >= 0, other->tasks[i] >= 0);
	}
}

static void prepared_groups_are_taken_as_if_they_had_been_made(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec before = prepare(f, "a"), x = CGROUP_EXEC_NONE;
	struct cgroup_exec plain = create(f, "plain", &none);
	struct cgroup_usage usage = { 0 };
	struct process big, small;
	struct err e = { 0 };

	assert_same_groups(&before, &plain);
	assert_int_equal(cgroup_exec_create(&f->place, "a", &none, true, &x, &e), 0);
	assert_same_groups(&x, &plain);
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		assert_true(x.dir[i] < 0 || fd_same_file(x.dir[i], before.dir[i]));
		assert_true(x.tasks[i] < 0 || fd_same_file(x.tasks[i], before.tasks[i]));
	}
	/* What runs in one counts there, and ends with it. */
	big = start(&x, take_memory);
	assert_int_equal(end_of(&big), 0);
	assert_int_equal(cgroup_exec_read_usage(&f->place, &x, &usage, &e), 0);
	assert_true(usage.memory_peak >= 48 << 20);
	small = start(&x, fork_a_daemon);
	assert_int_equal(cgroup_kill_all(x.dir[0], &e), 0);
	assert_int_equal(end_of(&small), SIGKILL);
	cgroup_exec_close(&before);
	cgroup_exec_close(&plain);
	cgroup_exec_close(&x);
	remove_group(f, "a");
	remove_group(f, "plain");
	assert_false(is_below(f, "a"));
}

static void prepared_groups_get_the_limits_of_their_command(void **state)
{
	const struct cgroup_limits tight = { .pids = 3,
					     .memory = 32 << 20,
					     .cpu_milli = 100 };
	struct fixture *f = fixture(state);
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	struct err e = { 0 };
	bool v2 = cgroup_tree_of(&f->host, CGROUP_CPU) == 0;
	struct cgroup_exec before = prepare(f, "a");

	assert_int_equal(cgroup_exec_create(&f->place, "a", &tight, true, &x, &e), 0);
	cgroup_exec_close(&before);
	assert_value(f, &x, CGROUP_PIDS, "pids.max", "pids.max", "3");
	assert_value(f, &x, CGROUP_MEMORY, "memory.max", "memory.limit_in_bytes",
		     "33554432");
	assert_value(f, &x, CGROUP_CPU, "cpu.max", "cpu.cfs_quota_us",
		     v2 ? "10000 100000" : "10000");
	cgroup_exec_close(&x);
	remove_group(f, "a");
}

/* The command comes while they are being prepared: some are there, the last is not. */
static void half_prepared_groups_are_completed(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec plain = create(f, "plain", &none), x = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	assert_int_equal(mkdirat(f->place.dir[0], "a", 0755), 0);
	assert_int_equal(cgroup_exec_create(&f->place, "a", &none, true, &x, &e), 0);
	assert_same_groups(&x, &plain);
	cgroup_exec_close(&x);
	/* And the other way round: it is late, and finds what the command has made. */
	assert_int_equal(cgroup_exec_prepare(&f->place, "plain", &x, &e), -EEXIST);
	assert_int_equal(x.dir[0], -1);
	assert_true(is_below(f, "plain"));
	cgroup_exec_close(&plain);
	remove_group(f, "a");
	remove_group(f, "plain");
	/* Or it has not begun at all. */
	assert_int_equal(cgroup_exec_create(&f->place, "b", &none, true, &x, &e), 0);
	assert_true(x.dir[0] >= 0);
	cgroup_exec_close(&x);
	remove_group(f, "b");
}

static void prepared_groups_are_a_commands_that_says_so(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec before = prepare(f, "a"), x = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	assert_int_equal(cgroup_exec_create(&f->place, "a", &none, false, &x, &e),
			 -EEXIST);
	cgroup_exec_close(&before);
	assert_int_equal(x.dir[0], -1);
	assert_true(is_below(f, "a"));
	remove_group(f, "a");
	assert_false(is_below(f, "a"));
	/* One that nobody ever took goes with its sandbox. */
	before = prepare(f, "left");
	cgroup_exec_close(&before);
	assert_int_equal(cgroup_exec_sweep(&f->place, &e), 0);
	assert_false(is_below(f, "left"));
}

static void open_finds_what_create_made(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec made = create(f, "a", &none), found = CGROUP_EXEC_NONE;
	struct err e = { 0 };

	assert_int_equal(cgroup_exec_open(&f->place, "b", &found, &e), -ENOENT);
	assert_int_equal(cgroup_exec_open(&f->place, "a", &found, &e), 0);
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		assert_int_equal(found.dir[i] >= 0, made.dir[i] >= 0);
		assert_true(made.dir[i] < 0 || fd_same_file(found.dir[i], made.dir[i]));
	}
	cgroup_exec_close(&made);
	cgroup_exec_close(&found);
	remove_group(f, "a");
}

static void usage_is_that_of_one_exec(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec a = create(f, "a", &none), b = create(f, "b", &none);
	struct process big = start(&a, take_memory), small = start(&b, sleep_for_ever);
	struct cgroup_usage usage = { 0 };
	struct err e = { 0 };

	assert_int_equal(end_of(&big), 0);
	assert_int_equal(cgroup_exec_read_usage(&f->place, &a, &usage, &e), 0);
	assert_true(usage.memory_peak >= 48 << 20);
	assert_true(usage.cpu_user_us + usage.cpu_sys_us > 0);
	assert_true(usage.pids_peak <= 1);
	assert_int_equal(cgroup_exec_read_usage(&f->place, &b, &usage, &e), 0);
	assert_true(usage.memory_peak < 16 << 20);
	assert_int_equal(usage.oom_kills, 0);
	process_end(&small);
	cgroup_exec_close(&a);
	cgroup_exec_close(&b);
	remove_group(f, "a");
	remove_group(f, "b");
}

static void busy_group_is_not_removed(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec x = create(f, "a", &none);
	struct process p = start(&x, sleep_for_ever);
	struct err e = { 0 };

	assert_int_equal(cgroup_exec_remove(&f->place, "a", &e), -EBUSY);
	assert_true(is_below(f, "a"));
	process_end(&p);
	cgroup_exec_close(&x);
	remove_group(f, "a");
	assert_int_equal(cgroup_exec_remove(&f->place, "a", &e), 0);
}

static void sweep_ends_every_exec_and_spares_pid_1(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec a = create(f, "a", &none), b = create(f, "b", &none);
	struct process init =
		start(&(struct cgroup_exec){ .dir = { f->cg.init, -1, -1, -1 },
					     .tasks = { -1, -1, -1, -1 } },
		      sleep_for_ever);
	struct process one = start(&a, fork_a_daemon), two = start(&b, sleep_for_ever);
	struct err e = { 0 };
	int r = -EBUSY;

	cgroup_exec_close(&a);
	cgroup_exec_close(&b);
	/* What somebody began, and came no further. */
	assert_int_equal(mkdirat(f->place.dir[f->host.ntrees - 1], "half", 0755), 0);
	for (int i = 0; r == -EBUSY && i < 2000; i++) {
		r = cgroup_exec_sweep(&f->place, &e);
		usleep(1000);
	}
	assert_int_equal(r, 0);
	assert_int_equal(end_of(&one), SIGKILL);
	assert_int_equal(end_of(&two), SIGKILL);
	assert_false(is_below(f, "a") || is_below(f, "b") || is_below(f, "half"));
	assert_int_equal(waitpid(init.pid, NULL, WNOHANG), 0);
	process_end(&init);
}

/* FI-23 */
static void frozen_group_thaws_and_dies(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec x = create(f, "a", &none);
	struct process p = start(&x, fork_a_daemon);
	struct err e = { 0 };
	bool frozen = false;

	assert_int_equal(cgroup_freeze(f->cg.dir[0], true, &e), 0);
	assert_int_equal(cgroup_is_frozen(f->cg.dir[0], &frozen, &e), 0);
	assert_true(frozen);
	assert_int_equal(cgroup_freeze(f->cg.dir[0], false, &e), 0);
	assert_int_equal(cgroup_is_frozen(f->cg.dir[0], &frozen, &e), 0);
	assert_false(frozen);
	assert_int_equal(cgroup_freeze(f->cg.dir[0], true, &e), 0);
	assert_int_equal(cgroup_kill_all(x.dir[0], &e), 0);
	assert_int_equal(end_of(&p), SIGKILL);
	cgroup_exec_close(&x);
	remove_group(f, "a");
}

static void memory_is_taken_back(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	if (cgroup_reclaim_memory(f->place.dir, &e) < 0)
		fail_msg("%s", e.msg);
}

static void reclaim_takes_what_is_below_along(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_exec x = create(f, "a", &none);
	struct process p = start(&x, fork_a_daemon);
	struct err e = { 0 };
	char path[CGROUP_PATH_MAX + CGROUP_NAME_MAX];

	cgroup_exec_close(&x);
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		snprintf(path, sizeof(path), "%s/%s", f->host.trees[i].path, f->name);
		if (cgroup_reclaim(path, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	assert_int_equal(end_of(&p), SIGKILL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(owner_is_compared_whole),
		CASE(label_is_kept_by_the_kernel),
		CASE(sandbox_that_stays_does_not_die_as_a_whole),
		CASE(limits_are_read_back),
		CASE(each_exec_has_groups_and_limits_of_its_own),
		CASE(name_in_use_is_refused_and_stays),
		CASE(failed_create_leaves_nothing),
		CASE(prepared_groups_are_taken_as_if_they_had_been_made),
		CASE(prepared_groups_get_the_limits_of_their_command),
		CASE(half_prepared_groups_are_completed),
		CASE(prepared_groups_are_a_commands_that_says_so),
		CASE(open_finds_what_create_made),
		CASE(usage_is_that_of_one_exec),
		CASE(busy_group_is_not_removed),
		CASE(sweep_ends_every_exec_and_spares_pid_1),
		CASE(frozen_group_thaws_and_dies),
		CASE(memory_is_taken_back),
		CASE(reclaim_takes_what_is_below_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
