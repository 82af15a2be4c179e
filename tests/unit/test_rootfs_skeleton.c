/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel, each case in a child with a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"
#include "tests/unit/in_mounts.h"

static const struct rootfs_owner owner = { .uid = 1234, .gid = 567 };

static mode_t mode_of(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("no %s", name);
	return st.st_mode;
}

static void assert_missing(int dirfd, const char *name)
{
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		fail_msg("%s is there", name);
}

static void assert_content(int dirfd, const char *name, const char *text)
{
	char got[512];

	assert_true(fd_read_at(dirfd, name, got, sizeof(got)) >= 0);
	assert_string_equal(got, text);
}

static void assert_link(int dirfd, const char *name, const char *target)
{
	char got[256];
	ssize_t n = readlinkat(dirfd, name, got, sizeof(got) - 1);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, target);
}

static void assert_path(int place, const char *path, bool directory)
{
	struct err e = { 0 };

	if (skeleton_path(place, path, directory, &e) != 0)
		fail_msg("%s", e.msg);
}

static void make_directories(int place)
{
	struct err e = { 0 };

	assert_int_equal(skeleton_dir(place, "dir", 0711, &e), 0);
	assert_int_equal(mode_of(place, "dir"), S_IFDIR | 0711);
	/* What exists stays as it is. */
	assert_int_equal(skeleton_dir(place, "dir", 0700, &e), 0);
	assert_int_equal(mode_of(place, "dir"), S_IFDIR | 0711);
	assert_int_equal(skeleton_dir(place, "no/dir", 0755, &e), -ENOENT);
	assert_string_equal(e.msg, "make directory no/dir: No such file or directory");
}

static void dir_is_made_or_stays(void **state)
{
	(void)state;
	in_mounts(make_directories);
}

static void make_files(int place)
{
	struct err e = { 0 };

	assert_int_equal(skeleton_file(place, "file", "one\ntwo\n", &e), 0);
	assert_int_equal(mode_of(place, "file"), S_IFREG | 0644);
	assert_content(place, "file", "one\ntwo");
	assert_int_equal(skeleton_file(place, "file", "three", &e), -EEXIST);
	assert_string_equal(e.msg, "make file file: File exists");
	assert_content(place, "file", "one\ntwo");
	assert_int_equal(symlinkat("elsewhere", place, "link"), 0);
	assert_int_equal(skeleton_file(place, "link", "x", &e), -EEXIST);
	assert_missing(place, "elsewhere");
}

static void file_is_new_or_an_error(void **state)
{
	(void)state;
	in_mounts(make_files);
}

static void fill_the_file_system(int place)
{
	static char text[2 << 20];
	struct err e = { 0 };

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(skeleton_file(place, "file", text, &e), -ENOSPC);
	assert_string_equal(e.msg, "write file file: No space left on device");
}

static void file_that_does_not_fit_is_an_error(void **state)
{
	(void)state;
	in_mounts(fill_the_file_system);
}

static void make_links(int place)
{
	struct err e = { 0 };

	assert_int_equal(skeleton_link(place, "link", "../any/where", &e), 0);
	assert_link(place, "link", "../any/where");
	assert_int_equal(skeleton_link(place, "link", "other", &e), -EEXIST);
	assert_string_equal(e.msg, "make link link to other: File exists");
}

static void link_is_new_or_an_error(void **state)
{
	(void)state;
	in_mounts(make_links);
}

static void make_paths(int place)
{
	assert_path(place, "/a", true);
	assert_path(place, "/a/b/c", true);
	assert_path(place, "/a/b/file", false);
	assert_path(place, "/file", false);
	assert_int_equal(mode_of(place, "a/b/c"), S_IFDIR | 0755);
	assert_int_equal(mode_of(place, "a/b/file"), S_IFREG | 0644);
	assert_int_equal(mode_of(place, "file"), S_IFREG | 0644);
	assert_content(place, "a/b/file", "");
}

static void path_makes_its_parents(void **state)
{
	(void)state;
	in_mounts(make_paths);
}

static void make_paths_again(int place)
{
	struct err e = { 0 };

	assert_int_equal(mkdirat(place, "a", 0700), 0);
	assert_int_equal(skeleton_file(place, "a/file", "content", &e), 0);
	assert_path(place, "/a/file", false);
	assert_path(place, "/a", true);
	assert_content(place, "a/file", "content");
	assert_int_equal(mode_of(place, "a"), S_IFDIR | 0700);
}

static void path_leaves_what_exists(void **state)
{
	(void)state;
	in_mounts(make_paths_again);
}

static void make_paths_through_links(int place)
{
	struct err e = { 0 };

	assert_int_equal(mkdirat(place, "real", 0755), 0);
	assert_int_equal(symlinkat("real", place, "link"), 0);
	assert_true(skeleton_path(place, "/link/below", true, &e) < 0);
	assert_non_null(strstr(e.msg, "make mount point /link/below: "));
	assert_true(skeleton_path(place, "/link/below/file", false, &e) < 0);
	assert_missing(place, "real/below");
	/* At the end a link is something that exists. */
	assert_path(place, "/link", true);
	assert_int_equal(mode_of(place, "link") & S_IFMT, S_IFLNK);
}

static void path_follows_no_link(void **state)
{
	(void)state;
	in_mounts(make_paths_through_links);
}

static void make_paths_through_files(int place)
{
	struct err e = { 0 };

	assert_path(place, "/file", false);
	assert_int_equal(skeleton_path(place, "/file/below", true, &e), -ENOTDIR);
	assert_string_equal(e.msg, "make mount point /file/below: Not a directory");
}

static void path_cannot_go_through_a_file(void **state)
{
	(void)state;
	in_mounts(make_paths_through_files);
}

static void make_long_paths(int place)
{
	char path[2 * NAME_MAX];
	struct err e = { 0 };

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[NAME_MAX + 1] = '\0';
	assert_path(place, path, true);
	path[NAME_MAX + 1] = 'x';
	path[NAME_MAX + 2] = '\0';
	assert_int_equal(skeleton_path(place, path, true, &e), -ENAMETOOLONG);
	memcpy(path + NAME_MAX + 2, "/a", 3);
	assert_int_equal(skeleton_path(place, path, true, &e), -ENAMETOOLONG);
}

static void parts_of_a_path_have_a_maximum(void **state)
{
	(void)state;
	in_mounts(make_long_paths);
}

static void count_descriptors(int place)
{
	struct err e = { 0 };
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC), after;

	close(before);
	assert_path(place, "/a/b/c/d", true);
	assert_path(place, "/a/b/c/e", false);
	assert_int_equal(symlinkat("a", place, "link"), 0);
	assert_true(skeleton_path(place, "/a/b/c/e/f/g", true, &e) < 0);
	assert_true(skeleton_path(place, "/link/b/c", true, &e) < 0);
	after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(after, before);
	assert_true(fcntl(place, F_GETFD) >= 0);
}

static void path_leaves_no_descriptor_open(void **state)
{
	(void)state;
	in_mounts(count_descriptors);
}

/* A plan with a directory, a file and a tmpfs to mount. */
static struct skeleton make(const char *rootfs)
{
	static char directory[] = "/x:/data/dir", file[] = "/y:/data/file";
	static char scratch[] = "/scratch/deep";
	static struct rootfs_plan plan;
	static struct rootfs_sources sources;
	struct skeleton s = SKELETON_NONE;
	struct err e = { 0 };

	rootfs_plan_init(&plan);
	plan.rootfs = rootfs;
	plan.hostname = "unit.example";
	assert_int_equal(rootfs_plan_volume(&plan, directory, &e), 0);
	assert_int_equal(rootfs_plan_volume(&plan, file, &e), 0);
	assert_int_equal(rootfs_plan_tmpfs(&plan, scratch, &e), 0);
	assert_int_equal(rootfs_plan_finish(&plan, &e), 0);
	for (unsigned i = 0; i < plan.count; i++)
		sources.volumes[i].directory =
			!strcmp(plan.mounts[i].target, "/data/dir");
	if (skeleton_make(&plan, &sources, &owner, &s, &e) != 0)
		fail_msg("%s", e.msg);
	return s;
}

static void look_at_roots(int place)
{
	static const char *const dirs[] = { "proc",         "dev",      "sys",      "etc",
					    "tmp",          "run",      "usr",      "var",
					    "scratch/deep", "data/dir", "home/user" };
	struct skeleton s = make(NULL);

	(void)place;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		assert_int_equal(mode_of(s.root, dirs[i]), S_IFDIR | 0755);
	assert_int_equal(mode_of(s.root, "data/file"), S_IFREG | 0644);
	assert_link(s.root, "bin", "usr/bin");
	assert_link(s.root, "lib", "usr/lib");
	assert_link(s.root, "var/tmp", "../tmp");
	skeleton_close(&s);
}

static void settle_in_another_root(int place)
{
	struct skeleton s = make(NULL);
	auto_fd root = -1;
	struct err e = { 0 };

	(void)place;
	assert_int_equal(tree_clone(s.root, "", &root, &e), 0);
	assert_int_equal(skeleton_lift(&s, &e), 0);
	assert_int_equal(rootfs_enter(root, &e), 0);
	assert_int_equal(access("/sys/stage", F_OK), -1);
	assert_int_equal(skeleton_settle(&s, root, &e), 0);
	assert_int_equal(access("/sys/stage", F_OK), 0);
	assert_int_equal(mode_of(s.root, "etc"), S_IFDIR | 0755);
	assert_int_equal(mode_of(s.cover, "file"), S_IFREG | 0644);
	/* Parts of it can be cloned, as of all that is attached. */
	assert_int_equal(tree_clone(s.cover, "dir", &(int){ -1 }, &e), 0);
	assert_int_equal(skeleton_detach(&s, &e), 0);
	assert_int_equal(access("/sys/stage", F_OK), -1);
	assert_int_equal(access("etc", F_OK), 0);
	skeleton_close(&s);
}

static void skeleton_comes_along_into_the_new_root_and_goes_from_there(void **state)
{
	(void)state;
	in_mounts(settle_in_another_root);
}

static void root_has_a_place_for_every_mount(void **state)
{
	(void)state;
	in_mounts(look_at_roots);
}

static void look_at_root_for_rootfs(int place)
{
	struct skeleton s = make("/some/where");
	auto_fd etc = openat(s.root, "etc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)place;
	assert_missing(s.root, "usr");
	assert_missing(s.root, "bin");
	assert_missing(etc, "passwd");
	assert_missing(etc, "nsswitch.conf");
	assert_content(etc, "hostname", "unit.example");
	assert_content(etc, "resolv.conf", "");
	assert_int_equal(mode_of(s.root, "data/file"), S_IFREG | 0644);
}

static void root_for_a_rootfs_has_only_what_is_the_sandboxes_own(void **state)
{
	(void)state;
	in_mounts(look_at_root_for_rootfs);
}

static void look_at_etc(int place)
{
	struct skeleton s = make(NULL);
	auto_fd etc = openat(s.root, "etc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)place;
	assert_content(etc, "hosts",
		       "127.0.0.1\tlocalhost unit.example\n"
		       "::1\tlocalhost unit.example");
	assert_content(etc, "passwd",
		       "root:x:0:0:root:/root:/usr/sbin/nologin\n"
		       "user:x:1234:567:user:/home/user:/bin/bash\n"
		       "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin");
	assert_content(etc, "group",
		       "root:x:0:\ntty:x:5:\nuser:x:567:\nnogroup:x:65534:");
	assert_link(etc, "mtab", "../proc/self/mounts");
	assert_missing(etc, "shadow");
}

static void names_are_the_sandboxes_own(void **state)
{
	(void)state;
	in_mounts(look_at_etc);
}

static void assert_node(int dev, const char *name, unsigned major_, unsigned minor_)
{
	struct stat st;

	assert_int_equal(fstatat(dev, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFCHR | 0666);
	assert_int_equal(major(st.st_rdev), major_);
	assert_int_equal(minor(st.st_rdev), minor_);
}

static void look_at_dev(int place)
{
	struct skeleton s = make(NULL);

	(void)place;
	assert_node(s.dev, "null", 1, 3);
	assert_node(s.dev, "zero", 1, 5);
	assert_node(s.dev, "full", 1, 7);
	assert_node(s.dev, "random", 1, 8);
	assert_node(s.dev, "urandom", 1, 9);
	assert_node(s.dev, "tty", 5, 0);
	assert_link(s.dev, "ptmx", "pts/ptmx");
	assert_link(s.dev, "fd", "/proc/self/fd");
	assert_link(s.dev, "stderr", "/proc/self/fd/2");
	assert_int_equal(mode_of(s.dev, "pts"), S_IFDIR | 0755);
	assert_int_equal(mode_of(s.dev, "shm"), S_IFDIR | 0755);
}

static void devices_are_nodes_that_everybody_may_use(void **state)
{
	(void)state;
	in_mounts(look_at_dev);
}

static void look_at_mount(int place)
{
	struct skeleton s = make(NULL);
	struct statvfs v;
	struct stat here, usr;

	(void)place;
	assert_int_equal(fstatvfs(s.mount, &v), 0);
	assert_int_equal(v.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC),
			 ST_NOSUID | ST_NODEV | ST_NOEXEC);
	/* Four default tmpfs lie on it, too. */
	assert_int_equal(v.f_blocks * v.f_frsize, (1 << 20) + 4 * ROOTFS_TMPFS_SIZE);
	assert_int_equal(v.f_files, 2048 + 4 * ROOTFS_TMPFS_SIZE / 4096);
	assert_int_equal(fstat(s.mount, &here), 0);
	assert_int_equal(stat("/usr", &usr), 0);
	assert_int_equal(here.st_dev, usr.st_dev);
	/* Its devices are none before their own mount allows them. */
	assert_int_equal(openat(s.dev, "null", O_RDWR | O_CLOEXEC), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mode_of(s.cover, "dir") & S_IFMT, S_IFDIR);
	assert_int_equal(mode_of(s.cover, "file") & S_IFMT, S_IFREG);
}

static void skeleton_is_sized_inert_and_over_usr(void **state)
{
	(void)state;
	in_mounts(look_at_mount);
}

static void close_and_look(int place)
{
	struct skeleton s = make(NULL);
	int root = s.root;

	(void)place;
	assert_true(fcntl(root, F_GETFD) & FD_CLOEXEC);
	skeleton_close(&s);
	assert_int_equal(fcntl(root, F_GETFD), -1);
	assert_int_equal(s.mount, -1);
	assert_int_equal(s.stage, -1);
	skeleton_close(&s);
}

static void close_can_be_repeated(void **state)
{
	(void)state;
	in_mounts(close_and_look);
}

static void make_with_an_impossible_target(int place)
{
	static struct rootfs_plan plan;
	static struct rootfs_sources sources;
	struct skeleton s = SKELETON_NONE;
	struct err e = { 0 };
	char target[300];

	(void)place;
	memset(target, 'x', sizeof(target));
	target[0] = '/';
	target[sizeof(target) - 1] = '\0';
	rootfs_plan_init(&plan);
	assert_int_equal(rootfs_plan_tmpfs(&plan, target, &e), 0);
	assert_int_equal(skeleton_make(&plan, &sources, &owner, &s, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.msg, "make the skeleton: make mount point /xxx"));
	assert_int_equal(s.mount, -1);
	assert_int_equal(s.root, -1);
}

static void target_with_too_long_a_part_is_refused(void **state)
{
	(void)state;
	in_mounts(make_with_an_impossible_target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dir_is_made_or_stays),
		cmocka_unit_test(file_is_new_or_an_error),
		cmocka_unit_test(file_that_does_not_fit_is_an_error),
		cmocka_unit_test(link_is_new_or_an_error),
		cmocka_unit_test(path_makes_its_parents),
		cmocka_unit_test(path_leaves_what_exists),
		cmocka_unit_test(path_follows_no_link),
		cmocka_unit_test(path_cannot_go_through_a_file),
		cmocka_unit_test(parts_of_a_path_have_a_maximum),
		cmocka_unit_test(path_leaves_no_descriptor_open),
		cmocka_unit_test(root_has_a_place_for_every_mount),
		cmocka_unit_test(
			skeleton_comes_along_into_the_new_root_and_goes_from_there),
		cmocka_unit_test(root_for_a_rootfs_has_only_what_is_the_sandboxes_own),
		cmocka_unit_test(names_are_the_sandboxes_own),
		cmocka_unit_test(devices_are_nodes_that_everybody_may_use),
		cmocka_unit_test(skeleton_is_sized_inert_and_over_usr),
		cmocka_unit_test(close_can_be_repeated),
		cmocka_unit_test(target_with_too_long_a_part_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
