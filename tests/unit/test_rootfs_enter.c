/* SPDX-License-Identifier: Apache-2.0 */
/* That nothing of the host's stays, and nothing happens to it: E-11. */
#include <errno.h>
#include <sys/pidfd.h>

#include "base/fd.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"
#include "tests/unit/in_mounts.h"

static const struct tree_option small[] = { { "size", "1m" },
					    { "mode", "0755" },
					    { NULL, NULL } };

static int new_root(void)
{
	struct err e;
	int tree = -1;

	assert_int_equal(tree_make("tmpfs", small, TREE_INERT, &tree, &e), 0);
	assert_int_equal(mkdirat(tree, "mark", 0700), 0);
	return tree;
}

/* Who joins this namespace, as commands do, comes out at its topmost root. */
static void join_again(void)
{
	auto_fd self = pidfd_open(getpid(), 0);

	assert_int_equal(setns(self, CLONE_NEWNS), 0);
}

static void assert_root_is(int tree)
{
	auto_fd root = open("/", O_PATH | O_CLOEXEC),
		here = open(".", O_PATH | O_CLOEXEC);

	assert_true(fd_same_file(root, tree));
	assert_true(fd_same_file(here, tree));
	assert_int_equal(access("/mark", F_OK), 0);
	assert_int_equal(access("/usr", F_OK), -1);
	assert_int_equal(access("/../usr", F_OK), -1);
}

static void assert_nothing_is_below(int tree)
{
	auto_fd root = -1;

	assert_int_equal(umount2("/", MNT_DETACH), 0);
	join_again();
	root = open("/", O_PATH | O_CLOEXEC);
	assert_false(fd_same_file(root, tree));
	assert_int_equal(access("/usr", F_OK), -1);
	assert_int_equal(access("/proc/self", F_OK), -1);
	assert_int_equal(umount2("/", MNT_DETACH), -1);
	assert_int_equal(errno, EINVAL);
}

static void enter(int place)
{
	int tree = new_root();
	struct err e;

	(void)place;
	assert_int_equal(rootfs_enter(tree, &e), 0);
	assert_root_is(tree);
	join_again();
	assert_root_is(tree);
	assert_nothing_is_below(tree);
}

static void the_tree_becomes_the_root_and_nothing_of_the_host_stays(void **state)
{
	(void)state;
	in_mounts(enter);
}

static void enter_below_others(int place)
{
	(void)place;
	for (int i = 0; i < 3; i++)
		assert_int_equal(mount("unit", "/", "tmpfs", 0, "size=1m"), 0);
	enter(place);
}

static void several_mounts_on_the_root_go_as_well(void **state)
{
	(void)state;
	in_mounts(enter_below_others);
}

static void enter_below_too_many(int place)
{
	int tree = new_root();
	struct err e;

	(void)place;
	for (int i = 0; i < 20; i++)
		assert_int_equal(mount("unit", "/", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(rootfs_enter(tree, &e), -ELOOP);
	assert_non_null(strstr(e.msg, "16 mounts"));
}

static void so_many_mounts_on_the_root_are_an_error(void **state)
{
	(void)state;
	in_mounts(enter_below_too_many);
}

/* The sandbox's mounts, in a namespace that would tell ours. */
static void enter_in_a_child(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e;

		_exit(unshare(CLONE_NEWNS) == 0 && rootfs_enter(new_root(), &e) == 0 ? 0
										     : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void enter_where_mounts_are_shared(int place)
{
	struct stat before, after;

	(void)place;
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	assert_int_equal(stat(PLACE, &before), 0);
	enter_in_a_child();
	assert_int_equal(stat(PLACE, &after), 0);
	assert_int_equal(before.st_dev, after.st_dev);
	assert_int_equal(access("/proc/self", F_OK), 0);
}

static void shared_mounts_of_the_host_stay_where_they_are(void **state)
{
	(void)state;
	in_mounts(enter_where_mounts_are_shared);
}

/* PLACE/host, a root for others. What it lies on is shared with all copies of this
 * namespace. */
static void make_root_on_a_shared_mount(int place)
{
	assert_int_equal(mount(NULL, PLACE, NULL, MS_SHARED, NULL), 0);
	assert_int_equal(mkdirat(place, "host", 0755), 0);
	assert_int_equal(mount("unit", PLACE "/host", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(mkdir(PLACE "/host/usr", 0755), 0);
	assert_int_equal(mount(NULL, PLACE "/host", NULL, MS_PRIVATE, NULL), 0);
}

static void enter_above_a_shared_mount(int place)
{
	int status = 0;
	pid_t pid;

	make_root_on_a_shared_mount(place);
	pid = fork();
	if (pid == 0) {
		int tree = new_root();
		struct err e;

		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(chroot(PLACE "/host"), 0);
		assert_int_equal(rootfs_enter(tree, &e), -EINVAL);
		assert_int_equal(access("/usr", F_OK), 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access(PLACE "/host/usr", F_OK), 0);
}

static void root_that_lies_on_a_shared_mount_stays_where_it_is(void **state)
{
	(void)state;
	in_mounts(enter_above_a_shared_mount);
}

static void enter_what_is_no_tree(int place)
{
	struct err e;

	assert_int_not_equal(rootfs_enter(place, &e), 0);
	assert_non_null(strstr(e.msg, "new root"));
}

static void a_directory_that_is_no_detached_tree_is_refused(void **state)
{
	(void)state;
	in_mounts(enter_what_is_no_tree);
}

static void enter_without_privilege(int place)
{
	int tree = new_root();
	struct err e;

	(void)place;
	assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(rootfs_enter(tree, &e), -EPERM);
	assert_int_equal(access("/usr", F_OK), 0);
}

static void without_privilege_nothing_is_detached(void **state)
{
	(void)state;
	in_mounts(enter_without_privilege);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_becomes_the_root_and_nothing_of_the_host_stays),
		cmocka_unit_test(several_mounts_on_the_root_go_as_well),
		cmocka_unit_test(so_many_mounts_on_the_root_are_an_error),
		cmocka_unit_test(shared_mounts_of_the_host_stay_where_they_are),
		cmocka_unit_test(root_that_lies_on_a_shared_mount_stays_where_it_is),
		cmocka_unit_test(a_directory_that_is_no_detached_tree_is_refused),
		cmocka_unit_test(without_privilege_nothing_is_detached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
