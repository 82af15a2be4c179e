/* SPDX-License-Identifier: Apache-2.0 */
/* With the real kernel: each case is PID 1 of a pid and a mount namespace of its own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/procfs.h"
#include "rootfs/proc.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"
#include "tests/unit/in_namespaces.h"

/* Where the child works: a tmpfs of its own over a directory that every machine has. */
#define PLACE "/tmp"

/* The allow-list, once more. */
static const char *const kept[] = {
	"cpuinfo", "filesystems", "loadavg",     "meminfo", "mounts",  "net",
	"self",    "stat",        "thread-self", "uptime",  "version",
};

struct place {
	int root, cover; /* directories of one tmpfs */
	int mount;
	int proc;
};

static void prepare(struct place *p)
{
	struct err e = { 0 };

	if (procfs_open(&p->proc, &e) < 0 ||
	    tree_make("tmpfs", NULL, TREE_INERT, &p->mount, &e) < 0 ||
	    tree_attach(p->mount, AT_FDCWD, PLACE, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(mkdirat(p->mount, "root", 0755), 0);
	assert_int_equal(mkdirat(p->mount, "root/proc", 0755), 0);
	assert_int_equal(mkdirat(p->mount, "cover", 0755), 0);
	p->root = openat(p->mount, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->cover = openat(p->mount, "cover", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->root >= 0 && p->cover >= 0);
}

static void be_prepared(void *context)
{
	void (*const *body)(struct place *) = context;
	struct place p;

	prepare(&p);
	(*body)(&p);
}

static void in_sandbox(void (*body)(struct place *p))
{
	in_namespaces(CLONE_NEWNS | CLONE_NEWPID, be_prepared, &body);
}

/* As a sandbox has it: covers filled, made read-only, then attached. */
static void attach(struct place *p)
{
	struct err e = { 0 };

	if (proc_fill_cover(p->proc, p->cover, &e) < 0 ||
	    tree_set(p->mount, MOUNT_ATTR_RDONLY, 0, &e) < 0 ||
	    proc_attach(p->proc, p->root, p->cover, &e) < 0)
		fail_msg("%s", e.msg);
}

static bool is_kept(const char *name)
{
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		if (!strcmp(name, kept[i]))
			return true;
	}
	return name[0] >= '0' && name[0] <= '9';
}

static DIR *list(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fail_msg("cannot list %s", name);
		abort();
	}
	return dir;
}

/* The name of the next entry that is neither "." nor "..", or NULL. */
static const char *next(DIR *dir)
{
	struct dirent *d;

	do {
		d = readdir(dir);
	} while (d && (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")));
	return d ? d->d_name : NULL;
}

static bool is_procfs(int dirfd, const char *name)
{
	auto_fd fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs s;

	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &s), 0);
	return s.f_type == PROC_SUPER_MAGIC;
}

static void compare_with_the_list(struct place *p)
{
	unsigned kept_count = 0, covered = 0;
	const char *name;
	DIR *dir;

	attach(p);
	dir = list(p->root, "proc");
	while ((name = next(dir))) {
		if (is_procfs(dirfd(dir), name) != is_kept(name))
			fail_msg("/proc/%s is %scovered", name,
				 is_kept(name) ? "" : "not ");
		if (is_kept(name))
			kept_count++;
		else
			covered++;
	}
	closedir(dir);
	assert_true(kept_count > sizeof(kept) / sizeof(*kept));
	/* sysrq-trigger, kcore, kallsyms, keys, bus, fs, irq, … */
	assert_true(covered > 20);
}

static void everything_but_the_list_is_covered(void **state)
{
	(void)state;
	in_sandbox(compare_with_the_list);
}

static void assert_empty(int proc, const char *name)
{
	struct stat st;
	struct statvfs v;
	auto_fd fd = openat(proc, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		DIR *dir = list(proc, name);

		assert_null(next(dir));
		closedir(dir);
	} else {
		assert_true(S_ISREG(st.st_mode));
		assert_int_equal(st.st_size, 0);
	}
	assert_int_equal(fstatvfs(fd, &v), 0);
	assert_true(v.f_flag & ST_RDONLY);
}

static void look_behind_covers(struct place *p)
{
	const char *name;
	DIR *dir;

	attach(p);
	dir = list(p->root, "proc");
	while ((name = next(dir))) {
		if (!is_kept(name) && strcmp(name, "sys"))
			assert_empty(dirfd(dir), name);
	}
	closedir(dir);
}

static void covers_are_empty_and_read_only(void **state)
{
	(void)state;
	in_sandbox(look_behind_covers);
}

static void write_to_covers(struct place *p)
{
	static const char *const files[] = { "sysrq-trigger", "sys/kernel/pid_max",
					     "sys/kernel/random/uuid",
					     "sys/vm/overcommit_memory" };
	auto_fd proc = -1;

	attach(p);
	proc = openat(p->root, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (faccessat(proc, files[i], F_OK, 0) < 0)
			continue; /* a kernel without it */
		if (openat(proc, files[i], O_WRONLY | O_CLOEXEC) >= 0)
			fail_msg("%s can be opened for writing", files[i]);
		assert_true(errno == EROFS || errno == EACCES);
	}
}

static void covers_cannot_be_written(void **state)
{
	(void)state;
	in_sandbox(write_to_covers);
}

/* Compares the files below sys/ with the list; ends with the count. */
static unsigned count_files(int dirfd_, const char *name)
{
	unsigned count = 0;
	const char *entry;
	DIR *dir = list(dirfd_, name);

	while ((entry = next(dir))) {
		struct stat st;

		assert_int_equal(fstatat(dirfd(dir), entry, &st, AT_SYMLINK_NOFOLLOW), 0);
		count += S_ISDIR(st.st_mode) ? count_files(dirfd(dir), entry) : 1;
	}
	closedir(dir);
	return count;
}

static void assert_value(int dir, const char *name, const char *value)
{
	char text[256];

	if (fd_read_at(dir, name, text, sizeof(text)) < 0)
		fail_msg("cannot read %s", name);
	assert_string_equal(text, value);
}

static void look_at_sysctls(struct place *p)
{
	char pid_max[32], overcommit[32];
	struct utsname u;
	auto_fd sys = -1;

	assert_true(fd_read_at(AT_FDCWD, "/proc/sys/kernel/pid_max", pid_max, 32) > 0);
	assert_true(fd_read_at(AT_FDCWD, "/proc/sys/vm/overcommit_memory", overcommit,
			       32) > 0);
	assert_int_equal(uname(&u), 0);
	attach(p);
	sys = openat(p->root, "proc/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_value(sys, "kernel/pid_max", pid_max);
	assert_value(sys, "vm/overcommit_memory", overcommit);
	assert_value(sys, "kernel/ngroups_max", "65536");
	assert_value(sys, "net/core/somaxconn", "4096");
	assert_value(sys, "kernel/osrelease", u.release);
	/* These five, and the uuid. */
	assert_int_equal(count_files(sys, "."), 6);
}

static void sysctls_are_those_that_programs_read(void **state)
{
	(void)state;
	in_sandbox(look_at_sysctls);
}

static void read_uuids(struct place *p)
{
	char a[64], b[64];
	auto_fd random = -1, uuid = -1;
	struct statvfs v;

	attach(p);
	random = openat(p->root, "proc/sys/kernel/random", O_PATH | O_CLOEXEC);
	assert_int_equal(fd_read_at(random, "uuid", a, sizeof(a)), 36);
	assert_int_equal(fd_read_at(random, "uuid", b, sizeof(b)), 36);
	assert_string_not_equal(a, b);
	assert_int_equal(faccessat(random, "boot_id", F_OK, 0), -1);
	uuid = openat(random, "uuid", O_PATH | O_CLOEXEC);
	assert_int_equal(fstatvfs(uuid, &v), 0);
	assert_true(v.f_flag & ST_RDONLY);
}

static void uuid_is_alive_and_read_only(void **state)
{
	(void)state;
	in_sandbox(read_uuids);
}

static void look_at_processes(struct place *p)
{
	unsigned processes = 0;
	const char *name;
	char self[16];
	DIR *dir;

	attach(p);
	assert_int_equal(getpid(), 1);
	dir = list(p->root, "proc");
	while ((name = next(dir))) {
		if (name[0] >= '0' && name[0] <= '9') {
			assert_string_equal(name, "1");
			processes++;
		}
	}
	assert_int_equal(processes, 1);
	assert_int_equal(readlinkat(dirfd(dir), "self", self, sizeof(self)), 1);
	assert_int_equal(self[0], '1');
	closedir(dir);
}

static void only_processes_of_the_sandbox_are_there(void **state)
{
	(void)state;
	in_sandbox(look_at_processes);
}

static void look_at_flags(struct place *p)
{
	const unsigned long inert = ST_NOSUID | ST_NODEV | ST_NOEXEC;
	auto_fd proc = -1, sys = -1;
	struct statvfs v;

	attach(p);
	proc = openat(p->root, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstatvfs(proc, &v), 0);
	assert_int_equal(v.f_flag & inert, inert);
	sys = openat(proc, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fstatvfs(sys, &v), 0);
	assert_int_equal(v.f_flag & inert, inert);
}

static void procfs_is_inert(void **state)
{
	(void)state;
	in_sandbox(look_at_flags);
}

static void attach_without_covers(struct place *p)
{
	struct err e = { 0 };

	assert_int_equal(proc_attach(p->proc, p->root, p->cover, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "cover /proc/"));
	assert_non_null(strstr(e.msg, "clone the mount of"));
}

static void missing_cover_is_an_error(void **state)
{
	(void)state;
	in_sandbox(attach_without_covers);
}

static void attach_without_a_place(struct place *p)
{
	struct err e = { 0 };

	assert_int_equal(unlinkat(p->root, "proc", AT_REMOVEDIR), 0);
	assert_int_equal(proc_attach(p->proc, p->root, p->cover, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "attach a mount to \"proc\""));
}

static void missing_mount_point_is_an_error(void **state)
{
	(void)state;
	in_sandbox(attach_without_a_place);
}

static void fill_twice(struct place *p)
{
	struct err e = { 0 };

	assert_int_equal(proc_fill_cover(p->proc, p->cover, &e), 0);
	assert_int_equal(proc_fill_cover(p->proc, p->cover, &e), -EEXIST);
}

static void cover_is_filled_once(void **state)
{
	(void)state;
	in_sandbox(fill_twice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_but_the_list_is_covered),
		cmocka_unit_test(covers_are_empty_and_read_only),
		cmocka_unit_test(covers_cannot_be_written),
		cmocka_unit_test(sysctls_are_those_that_programs_read),
		cmocka_unit_test(uuid_is_alive_and_read_only),
		cmocka_unit_test(only_processes_of_the_sandbox_are_there),
		cmocka_unit_test(procfs_is_inert),
		cmocka_unit_test(missing_cover_is_an_error),
		cmocka_unit_test(missing_mount_point_is_an_error),
		cmocka_unit_test(cover_is_filled_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
