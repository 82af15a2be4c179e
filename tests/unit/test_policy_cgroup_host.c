/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the hierarchies of the host, and cleaning up what a killed carrel left. */
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
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/sys.h"
#include "policy/cgroup.h"

static const struct cgroup_limits every_limit = { .pids = 10,
						  .memory = 64 << 20,
						  .cpu_milli = 1000 };

static void need_root(void)
{
	const char *must_run = getenv("MUST_RUN");

	if (geteuid() == 0)
		return;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs root");
	print_message("skipped: needs root\n");
	skip();
}

static struct cgroup_host open_host(const struct cgroup_limits *limits)
{
	struct cgroup_host host;
	struct err e = { 0 };

	if (cgroup_host_open(limits, &host, &e) != 0)
		fail_msg("%s", e.msg);
	return host;
}

/* Runs body where mounts can be changed and nobody else sees it. */
static void in_private_mounts(void (*body)(void))
{
	int status = 0;
	pid_t pid;

	need_root();
	pid = fork();
	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
		body();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The mount points of a type of file system whose options name `option`, if any. */
static unsigned unmount_all(const char *type, const char *option)
{
	char line[4096], points[16][256];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	unsigned count = 0;

	assert_non_null(f);
	while (count < 16 && fgets(line, sizeof(line), f)) {
		char *dash = strstr(line, " - "), has[64] = "";

		if (!dash || sscanf(line, "%*s %*s %*s %*s %255s", points[count]) != 1 ||
		    sscanf(dash, " - %63s", has) != 1 || strcmp(has, type))
			continue;
		if (!option || strstr(dash, option))
			count++;
	}
	fclose(f);
	for (unsigned i = count; i > 0; i--)
		assert_int_equal(umount2(points[i - 1], MNT_DETACH), 0);
	return count;
}

static void controllers_have_their_kernel_names(void **state)
{
	(void)state;
	assert_string_equal(cgroup_controller_name(CGROUP_PIDS), "pids");
	assert_string_equal(cgroup_controller_name(CGROUP_MEMORY), "memory");
	assert_string_equal(cgroup_controller_name(CGROUP_CPU), "cpu");
}

static void first_tree_is_v2_and_the_only_one(void **state)
{
	struct cgroup_host host;

	(void)state;
	need_root();
	host = open_host(&every_limit);
	assert_in_range(host.ntrees, 1, CGROUP_TREE_MAX);
	assert_true(host.trees[0].v2);
	for (unsigned i = 1; i < host.ntrees; i++)
		assert_false(host.trees[i].v2);
	cgroup_host_close(&host);
}

static void every_controller_is_in_exactly_one_tree(void **state)
{
	unsigned seen = 0;
	struct cgroup_host host;

	(void)state;
	need_root();
	host = open_host(&every_limit);
	for (unsigned i = 0; i < host.ntrees; i++) {
		assert_int_equal(seen & host.trees[i].controllers, 0);
		seen |= host.trees[i].controllers;
	}
	assert_int_equal(seen, (1u << CGROUP_CONTROLLER_MAX) - 1);
	cgroup_host_close(&host);
}

static void trees_are_open_directories_of_their_paths(void **state)
{
	struct cgroup_host host;

	(void)state;
	need_root();
	host = open_host(&every_limit);
	for (unsigned i = 0; i < host.ntrees; i++) {
		auto_fd again =
			open(host.trees[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(host.trees[i].path[0], '/');
		assert_true(again >= 0);
		assert_true(fd_same_file(again, host.trees[i].dir));
		assert_true(fcntl(host.trees[i].dir, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(faccessat(host.trees[i].dir, "cgroup.procs", F_OK, 0),
				 0);
	}
	cgroup_host_close(&host);
}

static void v2_parent_hands_its_controllers_down(void **state)
{
	struct cgroup_host host;
	char text[256];

	(void)state;
	need_root();
	host = open_host(&every_limit);
	assert_true(fd_read_at(host.trees[0].dir, "cgroup.subtree_control", text,
			       sizeof(text)) >= 0);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (host.trees[0].controllers & (1u << c))
			assert_non_null(strstr(text, cgroup_controller_name(c)));
	}
	cgroup_host_close(&host);
}

static void no_limits_can_be_asked_for(void **state)
{
	const struct cgroup_limits none = { 0 };
	struct cgroup_host host;

	(void)state;
	need_root();
	host = open_host(&none);
	assert_true(host.trees[0].dir >= 0);
	cgroup_host_close(&host);
}

static void close_can_be_repeated(void **state)
{
	struct cgroup_host host;
	int dir;

	(void)state;
	need_root();
	host = open_host(&every_limit);
	dir = host.trees[0].dir;
	cgroup_host_close(&host);
	assert_int_equal(fcntl(dir, F_GETFD), -1);
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		assert_int_equal(host.trees[i].dir, -1);
	cgroup_host_close(&host);
}

static void open_elsewhere(void)
{
	struct cgroup_host usual = open_host(&every_limit), moved;

	assert_int_equal(mkdir("/tmp/carrel-test-cgroup", 0700), 0);
	assert_int_equal(
		mount("/sys/fs/cgroup", "/tmp/carrel-test-cgroup", NULL, MS_MOVE, NULL),
		0);
	moved = open_host(&every_limit);
	assert_int_equal(moved.ntrees, usual.ntrees);
	for (unsigned i = 0; i < usual.ntrees; i++) {
		unsigned same = 0;

		/* The order is that of the mounts, which need not be that of the lines.
		 */
		for (unsigned j = 0; j < moved.ntrees; j++)
			same += fd_same_file(usual.trees[i].dir, moved.trees[j].dir) &&
				usual.trees[i].controllers == moved.trees[j].controllers;
		assert_int_equal(same, 1);
		assert_non_null(strstr(moved.trees[i].path, "/tmp/carrel-test-cgroup"));
	}
	cgroup_host_close(&usual);
	cgroup_host_close(&moved);
}

static void hierarchies_are_found_wherever_they_are_mounted(void **state)
{
	(void)state;
	in_private_mounts(open_elsewhere);
	rmdir("/tmp/carrel-test-cgroup");
}

static void open_without_v2(void)
{
	struct cgroup_host host;
	struct err e = { 0 };

	assert_true(unmount_all("cgroup2", NULL) > 0);
	assert_int_equal(cgroup_host_open(&every_limit, &host, &e), -ENOTSUP);
	assert_string_equal(e.msg, "no cgroup2 file system is mounted on this host");
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		assert_int_equal(host.trees[i].dir, -1);
}

static void host_without_v2_is_refused(void **state)
{
	(void)state;
	in_private_mounts(open_without_v2);
}

static void open_without_v1_memory(void)
{
	const struct cgroup_limits others = { .pids = 10, .cpu_milli = 1000 };
	struct cgroup_host host;
	struct err e = { 0 };

	/* Only where v1 has it is it gone with its mount. */
	if (unmount_all("cgroup", ",memory") == 0)
		return;
	assert_int_equal(cgroup_host_open(&every_limit, &host, &e), -ENOTSUP);
	assert_string_equal(e.msg, "cannot enforce the memory limit: this host has no "
				   "cgroup controller \"memory\"");
	assert_int_equal(cgroup_host_open(&others, &host, &e), 0);
	cgroup_host_close(&host);
}

static void limit_without_its_controller_is_refused_by_name(void **state)
{
	(void)state;
	in_private_mounts(open_without_v1_memory);
}

/* Groups that a killed carrel has left, with a process in them. */
struct leftover {
	struct cgroup_host host;
	char name[32];
	struct process process;
};

static int leave_behind(void **state)
{
	static struct leftover l;
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	struct cgroup cg;
	struct err e = { 0 };

	*state = NULL;
	if (geteuid() != 0)
		return 0;
	l = (struct leftover){ .process = PROCESS_NONE };
	snprintf(l.name, sizeof(l.name), "carrel-unit-%d", (int)getpid());
	if (cgroup_host_open(&every_limit, &l.host, &e) < 0 ||
	    (cgroup_create(&l.host, l.name, &cg, &e) < 0 ||
	     cgroup_complete(&cg, &every_limit, &e) < 0)) {
		print_error("%s\n", e.msg);
		return -1;
	}
	args.cgroup = (uint64_t)cg.exec;
	l.process.pid = sys_clone3(&args);
	if (l.process.pid == 0) {
		if (cgroup_join(&cg, &e) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	cgroup_close(&cg);
	*state = &l;
	return 0;
}

static void path_of(const struct leftover *l, unsigned tree, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", l->host.trees[tree].path, l->name);
}

static int clean_up(void **state)
{
	struct leftover *l = *state;
	char path[CGROUP_PATH_MAX + 64];
	struct err e = { 0 };
	int r = 0;

	if (!l)
		return 0;
	process_end(&l->process);
	for (unsigned i = 0; i < l->host.ntrees; i++) {
		path_of(l, i, path, sizeof(path));
		if (cgroup_reclaim(path, &e) < 0)
			r = -1;
	}
	cgroup_host_close(&l->host);
	return r;
}

static void reclaim_ends_and_removes_what_was_left(void **state)
{
	struct leftover *l = *state;
	char path[CGROUP_PATH_MAX + 64];
	struct err e = { 0 };
	int status = 0;

	need_root();
	for (unsigned i = 0; i < l->host.ntrees; i++) {
		path_of(l, i, path, sizeof(path));
		assert_int_equal(access(path, F_OK), 0);
		if (cgroup_reclaim(path, &e) != 0)
			fail_msg("%s", e.msg);
		assert_int_equal(access(path, F_OK), -1);
	}
	assert_int_equal(process_wait(&l->process, &status, NULL, &e), 0);
	assert_int_equal(status, SIGKILL);
}

static void reclaim_of_what_is_gone_is_no_error(void **state)
{
	struct leftover *l = *state;
	char path[CGROUP_PATH_MAX + 64];
	struct err e = { 0 };

	need_root();
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < l->host.ntrees; i++) {
			path_of(l, i, path, sizeof(path));
			assert_int_equal(cgroup_reclaim(path, &e), 0);
		}
	}
	assert_int_equal(cgroup_reclaim("/sys/fs/cgroup/no/such/carrel-unit", &e), 0);
}

static void reclaim_refuses_foreign_names(void **state)
{
	static const char *const paths[] = {
		"/sys/fs/cgroup/foreign",
		"/sys/fs/cgroup/carre",
		"/sys/fs/cgroup/carrel",
		"/sys/fs/cgroup/Carrel-1",
		"/sys/fs/cgroup/xcarrel-1",
		"/sys/fs/cgroup/carrel-1/",
		"/sys/fs/cgroup/carrel-1/..",
		"/sys/fs/cgroup/carrel-1/exec",
		"/sys/fs/cgroup/",
		"/",
		"",
		"carrel-1",
		"-carrel-1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct err e = { 0 };

		if (cgroup_reclaim(paths[i], &e) != -EPERM)
			fail_msg("\"%s\": %d %s", paths[i], e.code, e.msg);
		assert_non_null(strstr(e.msg, ": Operation not permitted"));
	}
}

static void reclaim_refuses_a_path_that_is_too_long(void **state)
{
	char path[CGROUP_PATH_MAX + 64];
	struct err e = { 0 };

	(void)state;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	memcpy(path + CGROUP_PATH_MAX, "/carrel-1", 10);
	assert_int_equal(cgroup_reclaim(path, &e), -ENAMETOOLONG);
}

static void reclaim_follows_no_link_and_empties_no_directory(void **state)
{
	char top[] = "/tmp/carrel-unit-XXXXXX", path[64], link[64];
	struct err e = { 0 };

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/carrel-dir", top);
	snprintf(link, sizeof(link), "%s/carrel-link", top);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(symlink("carrel-dir", link), 0);
	assert_true(cgroup_reclaim(link, &e) < 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(link), 0);
	assert_true(cgroup_reclaim(top, &e) < 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(top), 0);
}

#define LEFTOVER_CASE(name) cmocka_unit_test_setup_teardown(name, leave_behind, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controllers_have_their_kernel_names),
		cmocka_unit_test(first_tree_is_v2_and_the_only_one),
		cmocka_unit_test(every_controller_is_in_exactly_one_tree),
		cmocka_unit_test(trees_are_open_directories_of_their_paths),
		cmocka_unit_test(v2_parent_hands_its_controllers_down),
		cmocka_unit_test(no_limits_can_be_asked_for),
		cmocka_unit_test(close_can_be_repeated),
		cmocka_unit_test(hierarchies_are_found_wherever_they_are_mounted),
		cmocka_unit_test(host_without_v2_is_refused),
		cmocka_unit_test(limit_without_its_controller_is_refused_by_name),
		LEFTOVER_CASE(reclaim_ends_and_removes_what_was_left),
		LEFTOVER_CASE(reclaim_of_what_is_gone_is_no_error),
		cmocka_unit_test(reclaim_refuses_foreign_names),
		cmocka_unit_test(reclaim_refuses_a_path_that_is_too_long),
		cmocka_unit_test(reclaim_follows_no_link_and_empties_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
