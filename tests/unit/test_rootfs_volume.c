/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel, each case in a child with a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rootfs/rootfs.h"

/* Where the child works: over a directory that every machine has, a ramfs, which cannot
 * be id-mapped, and in it a mount of files that can. */
#define PLACE  "/tmp"
#define MAPPED PLACE "/mapped"

enum { BASE = 0x70000000, USER = 1000, GROUP = 2000, OVERFLOW = 65534 };

struct fixture {
	struct rootfs_plan plan;
	struct rootfs_owner owner;
	struct rootfs_sources sources;
	struct err e;
	char texts[8][128];
	unsigned count;
};

static void prepare(const char *backing)
{
	char path[64];
	auto_fd fd = -1;

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	fd = open(backing, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(mount("unit", PLACE, "ramfs", 0, "mode=0755"), 0);
	assert_int_equal(mkdir(MAPPED, 0755), 0);
	/* The machine's own files: tmpfs can be id-mapped from Linux 6.3 on only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(mount(path, MAPPED, NULL, MS_BIND, NULL), 0);
	assert_int_equal(chown(MAPPED, 1111, 2222), 0);
	assert_int_equal(chmod(MAPPED, 0755), 0);
}

static void in_mounts(void (*body)(struct fixture *f))
{
	const char *must_run = getenv("MUST_RUN");
	char backing[] = "/var/tmp/carrel-unit-XXXXXX";
	static struct fixture f;
	int status = 0;
	pid_t pid;

	if (geteuid() != 0) {
		if (must_run && !strcmp(must_run, "1"))
			fail_msg("needs root");
		print_message("skipped: needs root\n");
		skip();
	}
	assert_non_null(mkdtemp(backing));
	pid = fork();
	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		prepare(backing);
		rootfs_plan_init(&f.plan);
		f.owner = (struct rootfs_owner){ USER, GROUP, BASE, 0, 0 };
		body(&f);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--one-file-system", backing, NULL);
		_exit(9);
	}
	waitpid(pid, NULL, 0);
	assert_int_equal(status, 0);
}

static void add(struct fixture *f, const char *text)
{
	char *copy = f->texts[f->count++];

	snprintf(copy, sizeof(f->texts[0]), "%s", text);
	assert_int_equal(rootfs_plan_volume(&f->plan, copy, &f->e), 0);
}

/* The volumes follow the four defaults, in the order given. */
static const struct rootfs_source *volume(const struct fixture *f, unsigned i)
{
	return &f->sources.volumes[4 + i];
}

static void open_all(struct fixture *f)
{
	if (rootfs_open(&f->plan, &f->owner, &f->sources, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static int lowest_free_descriptor(void)
{
	auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd;
}

static void assert_refused(struct fixture *f, int code, const char *part)
{
	int lowest = lowest_free_descriptor();

	assert_int_equal(rootfs_open(&f->plan, &f->owner, &f->sources, &f->e), code);
	if (!strstr(f->e.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", f->e.msg, part);
	assert_int_equal(lowest_free_descriptor(), lowest);
	assert_int_equal(f->sources.pts, -1);
	assert_int_equal(f->sources.rootfs.tree, -1);
	for (int i = 0; i < ROOTFS_MOUNTS_MAX; i++)
		assert_int_equal(f->sources.volumes[i].tree, -1);
}

/* Starts over with a plan of one volume. */
static void assert_volume_refused(struct fixture *f, const char *text, int code,
				  const char *part)
{
	rootfs_plan_init(&f->plan);
	f->count = 0;
	add(f, text);
	assert_refused(f, code, part);
}

static void make_file(const char *path, uid_t uid, gid_t gid)
{
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fchown(fd, uid, gid), 0);
}

static void assert_owner(int dirfd, const char *name, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(fstatat(dirfd, name, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW),
			 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void open_directory_and_file(struct fixture *f)
{
	make_file(MAPPED "/file", 1, 1);
	add(f, MAPPED ":/dir");
	add(f, MAPPED "/file:/file");
	open_all(f);
	assert_true(volume(f, 0)->tree >= 0 && volume(f, 0)->directory);
	assert_true(volume(f, 1)->tree >= 0 && !volume(f, 1)->directory);
	assert_true(fcntl(volume(f, 0)->tree, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(faccessat(volume(f, 0)->tree, "file", F_OK, 0), 0);
	assert_int_equal(f->sources.rootfs.tree, -1);
	assert_false(f->sources.direct);
	for (int i = 0; i < 4; i++)
		assert_int_equal(f->sources.volumes[i].tree, -1);
}

static void volumes_are_directories_or_files(void **state)
{
	(void)state;
	in_mounts(open_directory_and_file);
}

static void look_at_ids(struct fixture *f)
{
	int tree;

	make_file(MAPPED "/own", 1111, 2222);
	make_file(MAPPED "/root", 0, 0);
	make_file(MAPPED "/other", 1112, 2222);
	add(f, MAPPED ":/dir");
	open_all(f);
	tree = volume(f, 0)->tree;
	assert_int_equal(f->owner.host_uid, BASE + USER);
	assert_int_equal(f->owner.host_gid, BASE + GROUP);
	assert_owner(tree, "", BASE + USER, BASE + GROUP);
	assert_owner(tree, "own", BASE + USER, BASE + GROUP);
	assert_owner(tree, "other", OVERFLOW, BASE + GROUP);
	assert_owner(tree, "root", OVERFLOW, OVERFLOW);
}

static void files_of_the_owner_are_the_users_and_no_others(void **state)
{
	(void)state;
	in_mounts(look_at_ids);
}

static void write_as_user(struct fixture *f)
{
	add(f, MAPPED ":/dir");
	open_all(f);
	assert_int_equal(setresgid(BASE + GROUP, BASE + GROUP, BASE + GROUP), 0);
	assert_int_equal(setresuid(BASE + USER, BASE + USER, BASE + USER), 0);
	if (mkdirat(volume(f, 0)->tree, "new", 0755) < 0)
		fail_msg("mkdir: %s", strerror(errno));
	assert_owner(AT_FDCWD, MAPPED "/new", 1111, 2222);
}

static void what_the_user_writes_belongs_to_the_owner(void **state)
{
	(void)state;
	in_mounts(write_as_user);
}

static unsigned long flags_of(int fd)
{
	struct statvfs v;

	assert_int_equal(fstatvfs(fd, &v), 0);
	return v.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
}

static void look_at_flags(struct fixture *f)
{
	add(f, MAPPED ":/a");
	add(f, MAPPED ":/b:ro");
	open_all(f);
	assert_int_equal(flags_of(volume(f, 0)->tree), ST_NOSUID | ST_NODEV);
	assert_int_equal(flags_of(volume(f, 1)->tree), ST_RDONLY | ST_NOSUID | ST_NODEV);
}

static void volumes_have_neither_setuid_nor_devices(void **state)
{
	(void)state;
	in_mounts(look_at_flags);
}

static void open_links(struct fixture *f)
{
	assert_int_equal(mkdir(MAPPED "/dir", 0755), 0);
	assert_int_equal(symlink("dir", MAPPED "/link"), 0);
	assert_int_equal(symlink("nowhere", MAPPED "/dangling"), 0);
	assert_int_equal(mkdir(MAPPED "/dir/sub", 0755), 0);
	assert_volume_refused(f, MAPPED "/link:/x", -ELOOP,
			      "mount a volume on /x: " MAPPED "/link is ");
	assert_volume_refused(f, MAPPED "/link/sub:/x", -ELOOP,
			      "is or passes through a symbolic link");
	assert_volume_refused(f, MAPPED "/dangling:/x", -ELOOP, "symbolic link");
	assert_volume_refused(f, "/proc/self/root:/x", -ELOOP, "symbolic link");
	assert_volume_refused(f, "/proc/self/cwd/tmp:/x", -ELOOP, "symbolic link");
}

static void links_are_refused_wherever_they_are(void **state)
{
	(void)state;
	in_mounts(open_links);
}

static void open_others(struct fixture *f)
{
	assert_int_equal(mkfifo(PLACE "/fifo", 0600), 0);
	assert_volume_refused(f, PLACE "/fifo:/x", -EINVAL,
			      "mount a volume on /x: " PLACE
			      "/fifo is neither a directory nor a regular file");
	assert_volume_refused(f, "/dev/null:/x", -EINVAL, "is neither a directory nor");
	assert_volume_refused(f, PLACE "/missing:/x", -ENOENT,
			      "open " PLACE "/missing: No such file or directory");
	assert_volume_refused(f, PLACE "/fifo/x:/x", -ENOTDIR, ": Not a directory");
}

static void other_kinds_of_files_are_refused(void **state)
{
	(void)state;
	in_mounts(open_others);
}

static void open_workspaces(struct fixture *f)
{
	make_file(MAPPED "/file", 1, 1);
	assert_int_equal(rootfs_plan_workspace(&f->plan, MAPPED "/file", &f->e), 0);
	assert_refused(f, -ENOTDIR,
		       "mount the workspace on /workspace: " MAPPED
		       "/file is not a directory");
	rootfs_plan_init(&f->plan);
	assert_int_equal(rootfs_plan_workspace(&f->plan, MAPPED, &f->e), 0);
	open_all(f);
	assert_owner(volume(f, 0)->tree, "", BASE + USER, BASE + GROUP);
}

static void workspace_is_a_directory(void **state)
{
	(void)state;
	in_mounts(open_workspaces);
}

static void open_by_descriptor(struct fixture *f)
{
	auto_fd fd = open(MAPPED, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd file = -1;

	/* The path is not looked at: it is what the error says. */
	assert_int_equal(rootfs_plan_workspace(&f->plan, "named so", &f->e), 0);
	f->plan.mounts[4].source_fd = fd;
	open_all(f);
	assert_true(volume(f, 0)->directory);
	assert_owner(volume(f, 0)->tree, "", BASE + USER, BASE + GROUP);
	/* It stays the caller's. */
	assert_true(fcntl(fd, F_GETFD) >= 0);
	rootfs_close(&f->sources);
	make_file(MAPPED "/file", 1, 1);
	file = open(MAPPED "/file", O_PATH | O_CLOEXEC);
	f->plan.mounts[4].source_fd = file;
	assert_refused(f, -ENOTDIR,
		       "mount the workspace on /workspace: named so is not a directory");
	f->plan.mounts[4].source_fd = 1000;
	assert_refused(f, -EBADF, "take named so: Bad file descriptor");
}

static void what_is_open_already_is_not_opened_by_its_path(void **state)
{
	(void)state;
	in_mounts(open_by_descriptor);
}

static void open_good_and_bad(struct fixture *f)
{
	add(f, MAPPED ":/a");
	add(f, MAPPED ":/b:ro");
	add(f, PLACE "/missing:/c");
	assert_refused(f, -ENOENT, "mount a volume on /c: ");
}

static void one_failure_closes_what_was_open(void **state)
{
	(void)state;
	in_mounts(open_good_and_bad);
}

static void open_above_a_mount(struct fixture *f)
{
	assert_int_equal(mkdir(MAPPED "/below", 0755), 0);
	assert_int_equal(mount("unit", MAPPED "/below", "ramfs", 0, NULL), 0);
	make_file(MAPPED "/below/hidden", 0, 0);
	add(f, MAPPED ":/dir");
	open_all(f);
	assert_int_equal(faccessat(volume(f, 0)->tree, "below", F_OK, 0), 0);
	assert_int_equal(faccessat(volume(f, 0)->tree, "below/hidden", F_OK, 0), -1);
}

static void mounts_below_a_volume_are_not_taken_along(void **state)
{
	(void)state;
	in_mounts(open_above_a_mount);
}

static void make_direct(const char *path, uid_t uid, gid_t gid)
{
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, uid, gid), 0);
}

static void open_directly(struct fixture *f)
{
	make_direct(PLACE "/direct", 3333, 4444);
	add(f, PLACE "/direct:/a");
	open_all(f);
	assert_true(f->sources.direct);
	assert_int_equal(f->owner.host_uid, 3333);
	assert_int_equal(f->owner.host_gid, 4444);
	assert_owner(volume(f, 0)->tree, "", 3333, 4444);
	assert_int_equal(flags_of(volume(f, 0)->tree), ST_NOSUID | ST_NODEV);
}

static void volume_that_cannot_be_id_mapped_decides_the_users_ids(void **state)
{
	(void)state;
	in_mounts(open_directly);
}

static void open_both_kinds(struct fixture *f)
{
	make_direct(PLACE "/direct", 3333, 4444);
	make_direct(PLACE "/again", 3333, 4444);
	add(f, MAPPED ":/a");
	add(f, PLACE "/direct:/b");
	add(f, PLACE "/again:/c:ro");
	open_all(f);
	assert_true(f->sources.direct);
	/* Also those that were opened before that was known. */
	assert_owner(volume(f, 0)->tree, "", 3333, 4444);
	assert_owner(volume(f, 1)->tree, "", 3333, 4444);
	assert_owner(volume(f, 2)->tree, "", 3333, 4444);
}

static void all_volumes_agree_on_the_users_ids(void **state)
{
	(void)state;
	in_mounts(open_both_kinds);
}

static void open_directly_as_two(struct fixture *f)
{
	make_direct(PLACE "/one", 3333, 4444);
	make_direct(PLACE "/two", 3333, 4445);
	add(f, PLACE "/one:/a");
	add(f, PLACE "/two:/b");
	assert_refused(f, -ENOTSUP,
		       "mount a volume on /b: " PLACE "/two: its file system cannot be "
		       "id-mapped and another such volume has a different owner");
}

static void two_owners_cannot_both_be_the_user(void **state)
{
	(void)state;
	in_mounts(open_directly_as_two);
}

static void open_directly_as_root(struct fixture *f)
{
	static const char part[] =
		"its file system cannot be id-mapped and it belongs to "
		"root";

	make_direct(PLACE "/uid", 0, 4444);
	make_direct(PLACE "/gid", 3333, 0);
	assert_volume_refused(f, PLACE "/uid:/a", -ENOTSUP, part);
	assert_volume_refused(f, PLACE "/gid:/a:ro", -ENOTSUP, part);
}

static void root_of_the_host_is_never_the_user(void **state)
{
	(void)state;
	in_mounts(open_directly_as_root);
}

static void open_rootfs(struct fixture *f)
{
	assert_int_equal(mkdir(MAPPED "/etc", 0755), 0);
	f->plan.rootfs = MAPPED;
	open_all(f);
	assert_true(f->sources.rootfs.tree >= 0);
	assert_true(f->sources.rootfs.directory);
	/* As it is: the image's files are root's inside as on disk. */
	assert_owner(f->sources.rootfs.tree, "", 1111, 2222);
}

static void rootfs_is_a_directory(void **state)
{
	(void)state;
	in_mounts(open_rootfs);
}

static void open_wrong_rootfs(struct fixture *f)
{
	static const char *const places[] = { "proc", "dev", "sys", "etc", "tmp", "run" };

	make_file(PLACE "/file", 0, 0);
	f->plan.rootfs = PLACE "/file";
	assert_refused(f, -ENOTDIR,
		       "use rootfs " PLACE "/file: " PLACE "/file is not a directory");
	f->plan.rootfs = PLACE "/missing";
	assert_refused(f, -ENOENT, "use rootfs " PLACE "/missing: open");
	assert_int_equal(symlink("mapped", PLACE "/link"), 0);
	f->plan.rootfs = PLACE "/link";
	assert_refused(f, -ELOOP, "symbolic link");
	f->plan.rootfs = MAPPED;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char path[64], part[160];

		snprintf(path, sizeof(path), MAPPED "/%s", places[i]);
		snprintf(part, sizeof(part),
			 "use rootfs " MAPPED ": %s is not a directory", path);
		assert_int_equal(symlink("/usr", path), 0);
		assert_refused(f, -ENOTDIR, part);
		assert_int_equal(unlink(path), 0);
		make_file(path, 0, 0);
		assert_refused(f, -ENOTDIR, part);
		assert_int_equal(unlink(path), 0);
	}
}

static void rootfs_that_leads_a_mount_elsewhere_is_refused(void **state)
{
	(void)state;
	in_mounts(open_wrong_rootfs);
}

static void look_at_pts(struct fixture *f)
{
	struct statfs s;

	open_all(f);
	assert_int_equal(fstatfs(f->sources.pts, &s), 0);
	assert_int_equal(s.f_type, DEVPTS_SUPER_MAGIC);
	assert_int_equal(flags_of(f->sources.pts), ST_NOSUID | ST_NOEXEC);
	assert_int_equal(faccessat(f->sources.pts, "ptmx", F_OK, 0), 0);
	/* Its own instance: nobody else's terminals are there. */
	assert_int_equal(faccessat(f->sources.pts, "0", F_OK, 0), -1);
}

static void terminals_are_the_sandboxes_own(void **state)
{
	(void)state;
	in_mounts(look_at_pts);
}

static void close_and_look(struct fixture *f)
{
	int lowest = lowest_free_descriptor();

	add(f, MAPPED ":/a");
	f->plan.rootfs = MAPPED;
	open_all(f);
	assert_true(fcntl(f->sources.pts, F_GETFD) & FD_CLOEXEC);
	rootfs_close(&f->sources);
	assert_int_equal(lowest_free_descriptor(), lowest);
	rootfs_close(&f->sources);
	assert_int_equal(f->sources.pts, -1);
}

static void close_can_be_repeated(void **state)
{
	(void)state;
	in_mounts(close_and_look);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volumes_are_directories_or_files),
		cmocka_unit_test(files_of_the_owner_are_the_users_and_no_others),
		cmocka_unit_test(what_the_user_writes_belongs_to_the_owner),
		cmocka_unit_test(volumes_have_neither_setuid_nor_devices),
		cmocka_unit_test(links_are_refused_wherever_they_are),
		cmocka_unit_test(other_kinds_of_files_are_refused),
		cmocka_unit_test(workspace_is_a_directory),
		cmocka_unit_test(what_is_open_already_is_not_opened_by_its_path),
		cmocka_unit_test(one_failure_closes_what_was_open),
		cmocka_unit_test(mounts_below_a_volume_are_not_taken_along),
		cmocka_unit_test(volume_that_cannot_be_id_mapped_decides_the_users_ids),
		cmocka_unit_test(all_volumes_agree_on_the_users_ids),
		cmocka_unit_test(two_owners_cannot_both_be_the_user),
		cmocka_unit_test(root_of_the_host_is_never_the_user),
		cmocka_unit_test(rootfs_is_a_directory),
		cmocka_unit_test(rootfs_that_leads_a_mount_elsewhere_is_refused),
		cmocka_unit_test(terminals_are_the_sandboxes_own),
		cmocka_unit_test(close_can_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
