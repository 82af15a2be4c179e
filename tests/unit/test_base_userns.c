/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/nsfs.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/userns.h"

enum { BASE = 0x70000000 };

static const struct userns_map plain = {
	.owner = BASE,
	.uid = { { 0, BASE, 65536 } },
	.gid = { { 0, BASE, 65536 } },
};

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

/* Runs body in a process of its own, in which a failed assertion aborts. */
static void in_child(void (*body)(int arg), int arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		body(arg);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int create(const struct userns_map *map)
{
	struct err e = { 0 };
	int fd = -1;

	need_root();
	if (userns_create(map, -1, &fd, &e) != 0)
		fail_msg("%s", e.msg);
	assert_true(fd >= 0);
	return fd;
}

/* The words of a file, one blank between them. */
static void assert_words(const char *path, const char *wanted)
{
	char text[1024], *rest = NULL;
	char words[1024] = "";

	if (fd_read_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		fail_msg("read %s", path);
	for (char *p = text; *p; p++) {
		if (*p == '\n')
			*p = ' ';
	}
	rest = text;
	for (char *p = words; *rest; rest++) {
		if (*rest != ' ' || (p > words && p[-1] != ' '))
			*p++ = *rest;
		*p = '\0';
	}
	assert_string_equal(words, wanted);
}

static void join(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWUSER), 0);
}

static void read_plain_maps(int ns)
{
	join(ns);
	assert_words("/proc/self/uid_map", "0 1879048192 65536");
	assert_words("/proc/self/gid_map", "0 1879048192 65536");
}

static void maps_are_as_asked(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(read_plain_maps, ns);
}

static void read_split_maps(int ns)
{
	join(ns);
	assert_words("/proc/self/uid_map", "0 1879048192 1000 1000 4711 1 "
					   "1001 1879049193 64535");
	assert_words("/proc/self/gid_map",
		     "0 1879048192 1 1 5 1 2 1879048194 1 3 1879048195 9");
}

static void maps_can_have_several_ranges(void **state)
{
	const struct userns_map map = {
		.owner = BASE,
		.uid = { { 0, BASE, 1000 },
			 { 1000, 4711, 1 },
			 { 1001, BASE + 1001, 64535 } },
		.gid = { { 0, BASE, 1 },
			 { 1, 5, 1 },
			 { 2, BASE + 2, 1 },
			 { 3, BASE + 3, 9 } },
	};
	auto_fd ns = create(&map);

	(void)state;
	in_child(read_split_maps, ns);
}

static void read_largest_ids(int ns)
{
	join(ns);
	assert_words("/proc/self/uid_map", "4294967294 4294967294 1");
}

static void maps_can_hold_the_largest_ids(void **state)
{
	const struct userns_map map = {
		.owner = BASE,
		.uid = { { UINT32_MAX - 1, UINT32_MAX - 1, 1 } },
		.gid = { { 0, BASE, 1 } },
	};
	auto_fd ns = create(&map);

	(void)state;
	in_child(read_largest_ids, ns);
}

static void ask_for_owner(int ns)
{
	uid_t uid = 0;

	assert_int_equal(ioctl(ns, NS_GET_OWNER_UID, &uid), 0);
	assert_int_equal(uid, BASE);
}

static void namespace_belongs_to_its_owner(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(ask_for_owner, ns);
}

static void try_setgroups(int ns)
{
	gid_t group = 7;

	join(ns);
	assert_words("/proc/self/setgroups", "deny");
	assert_int_equal(setgroups(1, &group), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(setgroups(0, NULL), -1);
	assert_int_equal(errno, EPERM);
}

static void setgroups_is_denied(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(try_setgroups, ns);
}

static void read_sysctls(int ns)
{
	static const char *const kinds[] = { "cgroup", "ipc",  "mnt",  "net",
					     "pid",    "time", "user", "uts" };

	join(ns);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces",
			 kinds[i]);
		assert_words(path, "0");
	}
}

static void no_namespaces_are_allowed_inside(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(read_sysctls, ns);
}

static void try_namespaces(int ns)
{
	static const int kinds[] = { CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
				     CLONE_NEWNS,     CLONE_NEWPID, CLONE_NEWUTS,
				     CLONE_NEWUSER,   CLONE_NEWTIME };

	join(ns);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (unshare(kinds[i]) == 0)
			fail_msg("made a namespace of kind %#x", (unsigned)kinds[i]);
		assert_int_equal(errno, ENOSPC);
	}
}

static void nobody_inside_can_make_a_namespace(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(try_namespaces, ns);
}

static void host_keeps_its_own_limits(void **state)
{
	char before[32], after[32];
	auto_fd ns = -1;

	(void)state;
	assert_true(fd_read_at(AT_FDCWD, "/proc/sys/user/max_user_namespaces", before,
			       sizeof(before)) > 0);
	ns = create(&plain);
	assert_true(fd_read_at(AT_FDCWD, "/proc/sys/user/max_user_namespaces", after,
			       sizeof(after)) > 0);
	assert_string_equal(before, after);
}

static void creator_keeps_its_ids_and_privilege(void **state)
{
	uid_t real, effective, saved;

	(void)state;
	close(create(&plain));
	assert_int_equal(getresuid(&real, &effective, &saved), 0);
	assert_int_equal(real, 0);
	assert_int_equal(effective, 0);
	assert_int_equal(saved, 0);
	/* It could not make another one otherwise. */
	close(create(&plain));
}

static void no_process_is_left(void **state)
{
	(void)state;
	close(create(&plain));
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static void descriptor_closes_on_exec(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	assert_true(fcntl(ns, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ioctl(ns, NS_GET_NSTYPE), CLONE_NEWUSER);
}

static void every_namespace_is_a_new_one(void **state)
{
	auto_fd a = create(&plain), b = create(&plain);
	auto_fd own = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_false(fd_same_file(a, b));
	assert_false(fd_same_file(a, own));
}

static int lowest_free_descriptor(void)
{
	auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd;
}

static void assert_refused(const struct userns_map *map, const char *part)
{
	struct err e = { 0 };
	int fd = 1234, lowest = lowest_free_descriptor();

	need_root();
	assert_true(userns_create(map, -1, &fd, &e) < 0);
	assert_int_equal(fd, 1234);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, part);
	assert_int_equal(lowest_free_descriptor(), lowest);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static void overlapping_ranges_are_refused(void **state)
{
	struct userns_map map = plain;

	(void)state;
	map.uid[1] = (struct userns_range){ 5, BASE + 100000, 1 };
	assert_refused(&map, "write uid_map of a user namespace: Invalid argument");
	map = plain;
	map.gid[1] = (struct userns_range){ 70000, BASE, 1 };
	assert_refused(&map, "write gid_map of a user namespace: Invalid argument");
}

static void ranges_beyond_the_last_id_are_refused(void **state)
{
	struct userns_map map = plain;

	(void)state;
	map.uid[0] = (struct userns_range){ 0, UINT32_MAX - 1, 2 };
	assert_refused(&map, "write uid_map");
	map.uid[0] = (struct userns_range){ 0, UINT32_MAX, 1 };
	assert_refused(&map, "write uid_map");
}

static void empty_maps_are_refused(void **state)
{
	struct userns_map map = plain;

	(void)state;
	map.uid[0].count = 0;
	assert_refused(&map, "write uid_map");
	map = plain;
	map.gid[0].count = 0;
	assert_refused(&map, "write gid_map");
}

static void create_inside(int ns)
{
	struct err e = { 0 };
	int fd = -1;

	join(ns);
	assert_true(userns_create(&plain, -1, &fd, &e) < 0);
	assert_non_null(strstr(e.msg, "create a user namespace"));
	assert_int_equal(fd, -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static void none_can_be_created_inside_of_one(void **state)
{
	auto_fd ns = create(&plain);

	(void)state;
	in_child(create_inside, ns);
}

static void create_without_privilege(int unused)
{
	struct err e = { 0 };
	int fd = -1;

	(void)unused;
	if (geteuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_true(userns_create(&plain, -1, &fd, &e) < 0);
	assert_true(e.msg[0]);
	assert_int_equal(fd, -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void without_privilege_it_is_an_error(void **state)
{
	(void)state;
	in_child(create_without_privilege, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_are_as_asked),
		cmocka_unit_test(maps_can_have_several_ranges),
		cmocka_unit_test(maps_can_hold_the_largest_ids),
		cmocka_unit_test(namespace_belongs_to_its_owner),
		cmocka_unit_test(setgroups_is_denied),
		cmocka_unit_test(no_namespaces_are_allowed_inside),
		cmocka_unit_test(nobody_inside_can_make_a_namespace),
		cmocka_unit_test(host_keeps_its_own_limits),
		cmocka_unit_test(creator_keeps_its_ids_and_privilege),
		cmocka_unit_test(no_process_is_left),
		cmocka_unit_test(descriptor_closes_on_exec),
		cmocka_unit_test(every_namespace_is_a_new_one),
		cmocka_unit_test(overlapping_ranges_are_refused),
		cmocka_unit_test(ranges_beyond_the_last_id_are_refused),
		cmocka_unit_test(empty_maps_are_refused),
		cmocka_unit_test(none_can_be_created_inside_of_one),
		cmocka_unit_test(without_privilege_it_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
