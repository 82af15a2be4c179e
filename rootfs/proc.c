/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "rootfs/proc.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

/* What stays, beside the processes: read-only for everybody, and read by free, uptime,
 * lscpu, node and the like. An allow-list does not age: what a later kernel adds is
 * covered (E-29). */
static const char *const kept[] = {
	"cpuinfo", "filesystems", "loadavg",     "meminfo", "mounts",  "net",
	"self",    "stat",        "thread-self", "uptime",  "version",
};

/* The sysctls that programs read. The rest of /proc/sys is not there. Those without a
 * constant are as the kernel has them. */
static const struct {
	const char *path, *constant;
} sysctls[] = {
	{ "sys/kernel/ngroups_max", "65536\n" }, /* NGROUPS_MAX */
	{ "sys/kernel/pid_max", NULL },
	{ "sys/net/core/somaxconn", "4096\n" }, /* of a new namespace, since 5.4 */
	{ "sys/vm/overcommit_memory", NULL },
};

static bool is_kept(const char *name)
{
	if (name[0] >= '0' && name[0] <= '9')
		return true;
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		if (!strcmp(name, kept[i]))
			return true;
	}
	return false;
}

static int fill_sysctls(int proc, int dir, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(sysctls) / sizeof(*sysctls); i++) {
		const char *constant = sysctls[i].constant;
		char value[64];

		if (!constant) {
			ssize_t n = fd_read_at(proc, sysctls[i].path, value,
					       sizeof(value) - 1);

			if (n < 0)
				return err_set(e, (int)-n, "read /proc/%s",
					       sysctls[i].path);
			value[n] = '\n';
			value[n + 1] = '\0';
		}
		r = skeleton_file(dir, sysctls[i].path, constant ? constant : value, e);
	}
	return r;
}

int proc_fill_cover(int proc, int dir, struct err *e)
{
	static const char *const dirs[] = { "dir",        "sys",
					    "sys/kernel", "sys/kernel/random",
					    "sys/net",    "sys/net/core",
					    "sys/vm" };
	struct utsname u;
	char release[sizeof(u.release) + 1];
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(dirs) / sizeof(*dirs); i++)
		r = skeleton_dir(dir, dirs[i], 0555, e);
	if (r == 0)
		r = skeleton_file(dir, "file", "", e);
	if (r == 0)
		r = fill_sysctls(proc, dir, e);
	/* Where the kernel's own generator gets attached. */
	if (r == 0)
		r = skeleton_file(dir, "sys/kernel/random/uuid", "", e);
	if (r < 0)
		return r;
	uname(&u);
	r = str_format(release, sizeof(release), "%s\n", u.release);
	if (r < 0)
		return err_set(e, -r, "read the kernel's release");
	return skeleton_file(dir, "sys/kernel/osrelease", release, e);
}

/* Never an inode from inside as a source (E-03): the covers are ours. */
static int cover_one(int proc, const struct dirent *d, int cover, struct err *e)
{
	const char *source = d->d_type == DT_DIR ? "dir" : "file";
	auto_fd tree = -1;
	int r;

	if (d->d_type == DT_LNK)
		return err_say(e, ENOTSUP, "/proc/%s is a link that carrel does not know",
			       d->d_name);
	if (!strcmp(d->d_name, "sys"))
		source = "sys";
	r = tree_clone(cover, source, &tree, e);
	if (r == 0)
		r = tree_attach(tree, proc, d->d_name, e);
	if (r < 0)
		return err_wrap(e, "cover /proc/%s", d->d_name);
	return 0;
}

static int cover_all(int proc, int cover, struct err *e)
{
	int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool covered_sys = false;
	struct dirent *d;
	int r = 0;

	if (!dir) {
		fd_close(&fd);
		return err_set(e, errno, "list the new /proc");
	}
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    is_kept(d->d_name))
			continue;
		r = cover_one(proc, d, cover, e);
		covered_sys |= !strcmp(d->d_name, "sys");
	}
	/* A list that broke off, or that is none, must not pass for one that has ended.
	 */
	if (r == 0 && errno)
		r = err_set(e, errno, "list the new /proc");
	if (r == 0 && !covered_sys)
		r = err_say(e, EPROTO, "the new /proc has no sys to cover");
	closedir(dir);
	return r;
}

int proc_attach(int proc, int root, int cover, struct err *e)
{
	auto_fd uuid = -1;
	int r = tree_attach(proc, root, "proc", e);

	/* While it can still be reached: the one sysctl that has to be alive. */
	if (r == 0)
		r = tree_clone(proc, "sys/kernel/random/uuid", &uuid, e);
	if (r == 0)
		r = tree_set(uuid, MOUNT_ATTR_RDONLY, 0, e);
	if (r == 0)
		r = cover_all(proc, cover, e);
	if (r == 0)
		r = tree_attach(uuid, proc, "sys/kernel/random/uuid", e);
	return r;
}
