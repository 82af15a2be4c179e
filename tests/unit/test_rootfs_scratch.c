/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel, each case in a child with a mount namespace of its own. */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "rootfs/scratch.h"
#include "rootfs/tree.h"
#include "tests/unit/in_mounts.h"

static const struct rootfs_owner owner = {
	.uid = 1000, .gid = 1001, .id_base = 70000, .host_uid = 71000, .host_gid = 71001
};

/* The default plan, and a tmpfs that was asked for. */
static void make_plan(struct rootfs_plan *plan)
{
	static char own[16]; /* is cut in place */
	struct err e = { 0 };

	memcpy(own, "/own:size=8m", sizeof("/own:size=8m"));
	rootfs_plan_init(plan);
	rootfs_plan_scratch(plan, "/workspace");
	if (rootfs_plan_tmpfs(plan, own, &e) < 0 || rootfs_plan_finish(plan, &e) < 0)
		fail_msg("%s", e.msg);
}

static unsigned place_of(const struct rootfs_plan *plan, const char *target)
{
	unsigned i = 0;

	while (i < plan->count && strcmp(plan->mounts[i].target, target))
		i++;
	assert_true(i < plan->count);
	return i;
}

static int mount_of(int dir, const struct rootfs_plan *plan, const char *target)
{
	struct err e = { 0 };
	int tree = -1;

	if (scratch_mount(dir, plan, place_of(plan, target), &owner, &tree, &e) < 0)
		fail_msg("%s", e.msg);
	return tree;
}

static void assert_tree(int tree, mode_t mode, uid_t uid, gid_t gid, unsigned long flags)
{
	struct statvfs v;
	struct stat st;

	assert_int_equal(fstat(tree, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | mode);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
	assert_int_equal(fstatvfs(tree, &v), 0);
	assert_int_equal(v.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC),
			 flags);
}

static void size_is_that_of_the_default_ones(void **state)
{
	struct rootfs_plan plan;

	(void)state;
	make_plan(&plan);
	assert_int_equal(scratch_size(&plan), 5 * ROOTFS_TMPFS_SIZE);
	plan.count = 0;
	assert_int_equal(scratch_size(&plan), 0);
}

static void look_at_default_ones(int place)
{
	const unsigned long files = ST_NOSUID | ST_NODEV;
	struct rootfs_plan plan;
	struct err e = { 0 };

	make_plan(&plan);
	if (scratch_fill(place, &plan, &owner, &e) < 0)
		fail_msg("%s", e.msg);
	/* As the skeleton is when they are cloned. */
	if (tree_set(place, MOUNT_ATTR_RDONLY | TREE_INERT, 0, &e) < 0)
		fail_msg("%s", e.msg);
	assert_tree(mount_of(place, &plan, "/tmp"), 01777, 70000, 70000, files);
	assert_tree(mount_of(place, &plan, "/workspace"), 01777, 70000, 70000, files);
	assert_tree(mount_of(place, &plan, "/home/user"), 0700, 71000, 71001, files);
	assert_tree(mount_of(place, &plan, "/run"), 0755, 71000, 71001,
		    files | ST_NOEXEC);
	assert_tree(mount_of(place, &plan, "/dev/shm"), 01777, 70000, 70000,
		    files | ST_NOEXEC);
}

static void default_ones_are_directories_with_mounts_of_their_own(void **state)
{
	(void)state;
	in_mounts(look_at_default_ones);
}

static void look_across(int place)
{
	struct rootfs_plan plan;
	struct err e = { 0 };
	int tmp, run;

	make_plan(&plan);
	assert_int_equal(scratch_fill(place, &plan, &owner, &e), 0);
	tmp = mount_of(place, &plan, "/tmp");
	run = mount_of(place, &plan, "/run");
	assert_int_equal(mknodat(tmp, "file", S_IFREG | 0644, 0), 0);
	assert_int_equal(linkat(tmp, "file", run, "file", 0), -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(renameat(tmp, "file", run, "file"), -1);
	assert_int_equal(errno, EXDEV);
	/* A mount of a directory has nothing above it. */
	assert_int_equal(faccessat(tmp, "../file", F_OK, 0), 0);
}

static void nothing_moves_from_one_to_another(void **state)
{
	(void)state;
	in_mounts(look_across);
}

static void look_at_own(int place)
{
	struct rootfs_plan plan;
	struct stat st, there;
	struct statvfs v;
	int tree;

	make_plan(&plan);
	tree = mount_of(place, &plan, "/own");
	assert_tree(tree, 01777, 70000, 70000, ST_NOSUID | ST_NODEV);
	assert_int_equal(fstatvfs(tree, &v), 0);
	assert_int_equal(v.f_blocks * v.f_frsize, 8 << 20);
	assert_int_equal(v.f_files, 2048);
	assert_int_equal(fstat(tree, &st), 0);
	assert_int_equal(fstat(place, &there), 0);
	assert_int_not_equal(st.st_dev, there.st_dev);
}

/* E-50 */
static void one_that_was_asked_for_is_a_file_system_of_its_own(void **state)
{
	(void)state;
	in_mounts(look_at_own);
}

static void fill_what_cannot_be_written(int place)
{
	struct rootfs_plan plan;
	struct err e = { 0 };

	make_plan(&plan);
	assert_int_equal(tree_set(place, MOUNT_ATTR_RDONLY, 0, &e), 0);
	assert_int_equal(scratch_fill(place, &plan, &owner, &e), -EROFS);
	assert_string_equal(e.msg, "make directory 0: Read-only file system");
}

static void directory_that_cannot_be_made_is_an_error(void **state)
{
	(void)state;
	in_mounts(fill_what_cannot_be_written);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_is_that_of_the_default_ones),
		cmocka_unit_test(default_ones_are_directories_with_mounts_of_their_own),
		cmocka_unit_test(nothing_moves_from_one_to_another),
		cmocka_unit_test(one_that_was_asked_for_is_a_file_system_of_its_own),
		cmocka_unit_test(directory_that_cannot_be_made_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
