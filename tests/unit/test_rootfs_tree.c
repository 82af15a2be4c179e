/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel, each case in a child with a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rootfs/tree.h"
#include "tests/unit/in_mounts.h"

static int make_tmpfs(const struct tree_option *options, uint64_t attrs)
{
	struct err e = { 0 };
	int tree = -1;

	if (tree_make("tmpfs", options, attrs, &tree, &e) != 0)
		fail_msg("%s", e.msg);
	assert_true(tree >= 0);
	return tree;
}

static void attach(int tree, int dirfd, const char *name)
{
	struct err e = { 0 };

	if (tree_attach(tree, dirfd, name, &e) != 0)
		fail_msg("%s", e.msg);
}

static void make_file(int dirfd, const char *name, const char *text)
{
	auto_fd fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void assert_content(int dirfd, const char *name, const char *text)
{
	char got[64];

	assert_true(fd_read_at(dirfd, name, got, sizeof(got)) >= 0);
	assert_string_equal(got, text);
}

static unsigned long flags_of(int fd)
{
	struct statvfs v;

	assert_int_equal(fstatvfs(fd, &v), 0);
	return v.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
}

static dev_t device_of(int dirfd, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dirfd, name, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW),
			 0);
	return st.st_dev;
}

static int lowest_free_descriptor(void)
{
	auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd;
}

static void make_with_options(int place)
{
	static const struct tree_option options[] = {
		{ "size", "65536" }, { "nr_inodes", "7" }, { "mode", "0751" },
		{ "uid", "12" },     { "gid", "34" },      { NULL, NULL },
	};
	auto_fd tree = make_tmpfs(options, TREE_FILES);
	struct statvfs v;
	struct stat st;

	(void)place;
	assert_int_equal(fstatvfs(tree, &v), 0);
	assert_int_equal(v.f_blocks * v.f_frsize, 65536);
	assert_int_equal(v.f_files, 7);
	assert_int_equal(fstat(tree, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0751);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 34);
}

static void make_passes_every_option_on(void **state)
{
	(void)state;
	in_mounts(make_with_options);
}

static void make_with_flags(int place)
{
	static const uint64_t attrs[] = { 0, TREE_FILES, TREE_INERT,
					  MOUNT_ATTR_RDONLY | TREE_FILES };
	static const unsigned long wanted[] = { 0, ST_NOSUID | ST_NODEV,
						ST_NOSUID | ST_NODEV | ST_NOEXEC,
						ST_RDONLY | ST_NOSUID | ST_NODEV };

	(void)place;
	for (int i = 0; i < 4; i++) {
		auto_fd tree = make_tmpfs(NULL, attrs[i]);

		assert_int_equal(flags_of(tree), wanted[i]);
		assert_true(fcntl(tree, F_GETFD) & FD_CLOEXEC);
	}
}

static void make_sets_the_flags_of_the_mount(void **state)
{
	(void)state;
	in_mounts(make_with_flags);
}

static void look_for_new_mounts(int place)
{
	char before[16384], after[16384];
	auto_fd tree = -1;

	(void)place;
	assert_true(fd_read_at(AT_FDCWD, "/proc/self/mountinfo", before, 16384) > 0);
	tree = make_tmpfs(NULL, TREE_INERT);
	assert_true(fd_read_at(AT_FDCWD, "/proc/self/mountinfo", after, 16384) > 0);
	assert_string_equal(before, after);
}

static void made_tree_is_attached_nowhere(void **state)
{
	(void)state;
	in_mounts(look_for_new_mounts);
}

static void assert_make_fails(const char *type, const struct tree_option *options,
			      int code, const char *part)
{
	struct err e = { 0 };
	int tree = 1234, lowest = lowest_free_descriptor();

	assert_int_equal(tree_make(type, options, TREE_INERT, &tree, &e), code);
	assert_int_equal(e.code, code);
	assert_int_equal(tree, 1234);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, part);
	assert_int_equal(lowest_free_descriptor(), lowest);
}

static void make_wrongly(int place)
{
	static const struct tree_option unknown[] = { { "nosuchoption", "1" }, { 0 } };
	static const struct tree_option bad[] = { { "size", "many" }, { 0 } };
	static const struct tree_option no_layers[] = { { "redirect_dir", "off" },
							{ 0 } };

	(void)place;
	assert_make_fails("carrelfs", NULL, -ENODEV,
			  "open file system type carrelfs: No such device");
	/* The words between are the kernel's. */
	assert_make_fails("tmpfs", unknown, -EINVAL,
			  "make tmpfs: nosuchoption: tmpfs: Unknown parameter");
	assert_make_fails("tmpfs", bad, -EINVAL, "make tmpfs: size: tmpfs: ");
	assert_make_fails("overlay", no_layers, -EINVAL, "make overlay: create: ");
}

static void make_fails_with_the_words_of_the_kernel(void **state)
{
	(void)state;
	in_mounts(make_wrongly);
}

static void clone_directory_and_file(int place)
{
	auto_fd dir = -1, file = -1, self = -1, below = -1;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	make_file(place, "file", "text");
	below = openat(place, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(below, "inside", "more");
	assert_int_equal(tree_clone(place, "dir", &dir, &e), 0);
	assert_content(dir, "inside", "more");
	assert_true(fcntl(dir, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(tree_clone(place, "file", &file, &e), 0);
	assert_int_equal(fstat(file, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(tree_clone(place, "", &self, &e), 0);
	assert_content(self, "file", "text");
}

static void clone_takes_directories_files_and_descriptors(void **state)
{
	(void)state;
	in_mounts(clone_directory_and_file);
}

static void clone_links(int place)
{
	int tree = -1;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	assert_int_equal(symlinkat("dir", place, "link"), 0);
	/* If the kernel clones one at all, then it is still a link. */
	if (tree_clone(place, "link", &tree, &e) == 0) {
		assert_int_equal(fstat(tree, &st), 0);
		assert_true(S_ISLNK(st.st_mode));
		fd_close(&tree);
	}
	assert_int_equal(symlinkat("nowhere", place, "dangling"), 0);
	if (tree_clone(place, "dangling", &tree, &e) == 0) {
		assert_int_equal(fstat(tree, &st), 0);
		assert_true(S_ISLNK(st.st_mode));
	}
}

static void clone_follows_no_link(void **state)
{
	(void)state;
	in_mounts(clone_links);
}

static void clone_missing(int place)
{
	int tree = 1234;
	struct err e = { 0 };

	assert_int_equal(tree_clone(place, "missing", &tree, &e), -ENOENT);
	assert_string_equal(e.msg, "clone the mount of \"missing\": "
				   "No such file or directory");
	assert_int_equal(tree_clone(-1, "", &tree, &e), -EBADF);
	assert_int_equal(tree, 1234);
}

static void clone_of_nothing_is_an_error(void **state)
{
	(void)state;
	in_mounts(clone_missing);
}

static void clone_above_a_mount(int place)
{
	auto_fd below = make_tmpfs(NULL, TREE_FILES), tree = -1;
	struct err e = { 0 };

	make_file(below, "hidden", "x");
	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	attach(below, place, "dir");
	assert_int_equal(faccessat(place, "dir/hidden", F_OK, 0), 0);
	assert_int_equal(tree_clone(place, "", &tree, &e), 0);
	assert_int_equal(faccessat(tree, "dir", F_OK, 0), 0);
	assert_int_equal(faccessat(tree, "dir/hidden", F_OK, 0), -1);
}

static void clone_leaves_the_mounts_below_behind(void **state)
{
	(void)state;
	in_mounts(clone_above_a_mount);
}

static void make_all_private_below_others(int place)
{
	auto_fd late = make_tmpfs(NULL, TREE_INERT);
	struct err e = { 0 };
	int status = 0;
	pid_t pid;

	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	pid = fork();
	if (pid == 0) {
		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(tree_make_all_private(&e), 0);
		attach(late, AT_FDCWD, PLACE "/dir");
		_exit(umount2("/proc", MNT_DETACH));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(device_of(place, "dir") == device_of(place, ""));
	assert_int_equal(access("/proc/self", F_OK), 0);
}

static void make_all_private_keeps_mounts_and_unmounts_here(void **state)
{
	(void)state;
	in_mounts(make_all_private_below_others);
}

static void set_and_clear(int place)
{
	auto_fd tree = make_tmpfs(NULL, 0);
	struct err e = { 0 };

	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	assert_int_equal(tree_set(tree, TREE_INERT, 0, &e), 0);
	assert_int_equal(flags_of(tree), ST_NOSUID | ST_NODEV | ST_NOEXEC);
	attach(tree, place, "dir");
	assert_int_equal(tree_set(tree, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOEXEC, &e), 0);
	assert_int_equal(flags_of(tree), ST_RDONLY | ST_NOSUID | ST_NODEV);
	assert_int_equal(mkdirat(tree, "x", 0755), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(tree_set(tree, 0, MOUNT_ATTR_RDONLY, &e), 0);
	assert_int_equal(mkdirat(tree, "x", 0755), 0);
}

static void set_changes_flags_attached_or_not(void **state)
{
	(void)state;
	in_mounts(set_and_clear);
}

static void set_on_a_clone(int place)
{
	auto_fd tree = -1;
	struct err e = { 0 };

	assert_int_equal(tree_clone(place, "", &tree, &e), 0);
	assert_int_equal(tree_set(tree, MOUNT_ATTR_RDONLY, 0, &e), 0);
	assert_int_equal(mkdirat(tree, "x", 0755), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(mkdirat(place, "x", 0755), 0);
}

static void set_leaves_other_mounts_of_the_files_alone(void **state)
{
	(void)state;
	in_mounts(set_on_a_clone);
}

static void set_wrongly(int place)
{
	auto_fd tree = make_tmpfs(NULL, 0);
	struct err e = { 0 };

	assert_int_equal(tree_set(tree, 1ull << 40, 0, &e), -EINVAL);
	assert_string_equal(e.msg, "set mount flags 0x10000000000: Invalid argument");
	assert_int_equal(tree_set(-1, MOUNT_ATTR_RDONLY, 0, &e), -EBADF);
	/* A directory that is no mount's root. */
	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	fd_close(&tree);
	tree = openat(place, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_set(tree, MOUNT_ATTR_RDONLY, 0, &e), -EINVAL);
}

static void set_takes_only_mounts_and_known_flags(void **state)
{
	(void)state;
	in_mounts(set_wrongly);
}

static void attach_and_look(int place)
{
	auto_fd tree = make_tmpfs(NULL, TREE_INERT), dir = -1;
	auto_fd again = make_tmpfs(NULL, TREE_FILES);
	char mounts[16384];

	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	make_file(tree, "inside", "x");
	attach(tree, place, "dir");
	assert_int_equal(faccessat(place, "dir/inside", F_OK, 0), 0);
	assert_true(fd_read_at(AT_FDCWD, "/proc/self/mountinfo", mounts, 16384) > 0);
	assert_non_null(strstr(mounts, " / " PLACE "/dir rw,nosuid,nodev,noexec"));
	/* Onto a descriptor, here on top of the first. */
	dir = openat(place, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
	attach(again, dir, "");
	assert_int_equal(faccessat(place, "dir/inside", F_OK, 0), -1);
}

static void attach_takes_names_and_descriptors(void **state)
{
	(void)state;
	in_mounts(attach_and_look);
}

static void attach_wrongly(int place)
{
	auto_fd tree = make_tmpfs(NULL, TREE_FILES);
	struct err e = { 0 };

	assert_int_equal(tree_attach(tree, place, "missing", &e), -ENOENT);
	assert_string_equal(e.msg, "attach a mount to \"missing\": "
				   "No such file or directory");
	make_file(place, "file", "x");
	assert_true(tree_attach(tree, place, "file", &e) < 0);
	assert_int_equal(mkdirat(place, "dir", 0755), 0);
	assert_int_equal(symlinkat("dir", place, "link"), 0);
	assert_true(tree_attach(tree, place, "link", &e) < 0);
	assert_int_equal(device_of(place, "dir"), device_of(place, ""));
}

static void attach_follows_no_link_and_keeps_kinds_apart(void **state)
{
	(void)state;
	in_mounts(attach_wrongly);
}

static int overlay_of(int place)
{
	auto_fd upper = openat(place, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd lower = openat(place, "lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err e = { 0 };
	int tree = -1;

	if (tree_overlay(upper, lower, &tree, &e) != 0)
		fail_msg("%s", e.msg);
	return tree;
}

static void make_layers(int place)
{
	assert_int_equal(mkdirat(place, "upper", 0755), 0);
	assert_int_equal(mkdirat(place, "lower", 0755), 0);
	make_file(place, "upper/both", "upper");
	make_file(place, "lower/both", "lower");
	make_file(place, "lower/only", "lower");
}

static void overlay_two(int place)
{
	auto_fd tree = -1;

	make_layers(place);
	tree = overlay_of(place);
	assert_content(tree, "both", "upper");
	assert_content(tree, "only", "lower");
	assert_int_equal(flags_of(tree), ST_RDONLY | ST_NOSUID | ST_NODEV);
	assert_int_equal(mkdirat(tree, "x", 0755), -1);
	assert_int_equal(errno, EROFS);
}

static void overlay_shows_upper_before_lower_read_only(void **state)
{
	(void)state;
	in_mounts(overlay_two);
}

static void make_overlay_writable(int place)
{
	auto_fd tree = -1;
	struct err e = { 0 };

	make_layers(place);
	tree = overlay_of(place);
	/* Without an upper layer of its own there is nothing to write to. */
	if (tree_set(tree, 0, MOUNT_ATTR_RDONLY, &e) == 0) {
		assert_int_equal(mkdirat(tree, "x", 0755), -1);
		assert_int_equal(errno, EROFS);
	}
}

static void overlay_cannot_be_made_writable(void **state)
{
	(void)state;
	in_mounts(make_overlay_writable);
}

static void compare_superblocks(int place)
{
	auto_fd a = -1, b = -1, below = -1, above = -1;

	make_layers(place);
	a = overlay_of(place);
	b = overlay_of(place);
	assert_true(device_of(a, "") != device_of(place, ""));
	assert_true(device_of(a, "") != device_of(b, ""));
	/* What is locked below is not locked above. */
	below = openat(place, "lower/only", O_RDONLY | O_CLOEXEC);
	above = openat(a, "only", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(below, LOCK_EX), 0);
	assert_int_equal(flock(above, LOCK_EX | LOCK_NB), 0);
}

static void overlay_has_a_superblock_of_its_own(void **state)
{
	(void)state;
	in_mounts(compare_superblocks);
}

static void redirect(int place)
{
	auto_fd tree = -1;

	make_layers(place);
	assert_int_equal(mkdirat(place, "upper/dir", 0755), 0);
	assert_int_equal(mkdirat(place, "lower/secret", 0755), 0);
	make_file(place, "lower/secret/file", "x");
	if (setxattr(PLACE "/upper/dir", "trusted.overlay.redirect", "/secret", 7, 0) <
	    0) {
		assert_int_equal(errno, EOPNOTSUPP);
		return;
	}
	tree = overlay_of(place);
	assert_int_equal(faccessat(tree, "dir/file", F_OK, 0), -1);
	assert_int_equal(faccessat(tree, "secret/file", F_OK, 0), 0);
}

static void overlay_follows_no_redirection_of_a_foreign_layer(void **state)
{
	(void)state;
	in_mounts(redirect);
}

static void overlay_files(int place)
{
	auto_fd file = -1;
	struct err e = { 0 };
	int tree = 1234;

	make_layers(place);
	file = openat(place, "lower/only", O_PATH | O_CLOEXEC);
	assert_true(tree_overlay(file, file, &tree, &e) < 0);
	assert_non_null(strstr(e.msg, "make overlay: "));
	assert_int_equal(tree, 1234);
}

static void overlay_takes_only_directories(void **state)
{
	(void)state;
	in_mounts(overlay_files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(make_passes_every_option_on),
		cmocka_unit_test(make_sets_the_flags_of_the_mount),
		cmocka_unit_test(made_tree_is_attached_nowhere),
		cmocka_unit_test(make_fails_with_the_words_of_the_kernel),
		cmocka_unit_test(clone_takes_directories_files_and_descriptors),
		cmocka_unit_test(clone_follows_no_link),
		cmocka_unit_test(clone_of_nothing_is_an_error),
		cmocka_unit_test(clone_leaves_the_mounts_below_behind),
		cmocka_unit_test(make_all_private_keeps_mounts_and_unmounts_here),
		cmocka_unit_test(set_changes_flags_attached_or_not),
		cmocka_unit_test(set_leaves_other_mounts_of_the_files_alone),
		cmocka_unit_test(set_takes_only_mounts_and_known_flags),
		cmocka_unit_test(attach_takes_names_and_descriptors),
		cmocka_unit_test(attach_follows_no_link_and_keeps_kinds_apart),
		cmocka_unit_test(overlay_shows_upper_before_lower_read_only),
		cmocka_unit_test(overlay_cannot_be_made_writable),
		cmocka_unit_test(overlay_has_a_superblock_of_its_own),
		cmocka_unit_test(overlay_follows_no_redirection_of_a_foreign_layer),
		cmocka_unit_test(overlay_takes_only_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
