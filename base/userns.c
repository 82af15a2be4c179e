/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/str.h"
#include "base/userns.h"

static const char *const sealed[] = {
	"sys/user/max_cgroup_namespaces", "sys/user/max_ipc_namespaces",
	"sys/user/max_mnt_namespaces",    "sys/user/max_net_namespaces",
	"sys/user/max_pid_namespaces",    "sys/user/max_time_namespaces",
	"sys/user/max_user_namespaces",   "sys/user/max_uts_namespaces",
};

enum { STACK_SIZE = 16384 }; /* of the child; formatting a message takes 2 KiB */

/* What the child, which runs in our memory, is told and reports. */
struct maker {
	uint32_t owner;
	int proc; /* O_PATH of /proc: the owner may not be able to walk there */
	int error;
	const char *failed;
};

static noreturn void fail(struct maker *m, const char *what)
{
	m->error = errno;
	m->failed = what;
	_exit(1);
}

/* Becomes the owner, keeping its capabilities for that moment, and makes the namespace.
 * By system call: libc would change the ids of the parent, in whose memory this runs. */
static void unshare_as_owner(struct maker *m)
{
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		fail(m, "keep capabilities");
	if (syscall(SYS_setresuid, -1, m->owner, -1) < 0)
		fail(m, "become the owner");
	if (unshare(CLONE_NEWUSER) < 0)
		fail(m, "unshare");
}

/* These sysctls show and set the values of the namespace of whoever looks, and only a
 * process inside may write them. */
static int make(void *arg)
{
	struct maker *m = arg;

	unshare_as_owner(m);
	for (size_t i = 0; i < sizeof(sealed) / sizeof(*sealed); i++) {
		int fd = openat(m->proc, sealed[i], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			fail(m, sealed[i]);
		close(fd);
	}
	_exit(0);
}

static int write_ranges(int proc, const char *file, const struct userns_range *ranges,
			struct err *e)
{
	char text[USERNS_RANGES_MAX * 40];
	struct str s = str_over(text, sizeof(text));
	int r;

	for (int i = 0; i < USERNS_RANGES_MAX && ranges[i].count; i++)
		str_add(&s, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", ranges[i].inside,
			ranges[i].outside, ranges[i].count);
	r = fd_write_at(proc, file, text);
	if (r < 0)
		return err_set(e, -r, "write %s of a user namespace", file);
	return 0;
}

/* The namespace of a process that has exited and is not waited for is still there, and
 * its maps can be written: no pipe, no second process to wake. */
static int map_and_open(int procfs, pid_t zombie, const struct userns_map *map,
			int *ret_fd, struct err *e)
{
	char path[32];
	auto_fd proc = -1;
	int fd, r;

	r = str_format(path, sizeof(path), "%d", (int)zombie);
	if (r < 0)
		return err_set(e, -r, "name process %d", (int)zombie);
	proc = openat(procfs, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return err_set(e, errno, "open /proc/%s", path);
	r = fd_write_at(proc, "setgroups", "deny");
	if (r < 0)
		return err_set(e, -r, "deny setgroups in a user namespace");
	r = write_ranges(proc, "uid_map", map->uid, e);
	if (r == 0)
		r = write_ranges(proc, "gid_map", map->gid, e);
	/* A map can be written once, and this one by anybody inside (E-50). */
	if (r == 0)
		r = write_ranges(
			proc, "projid_map",
			(struct userns_range[USERNS_RANGES_MAX]){ { 0, map->owner, 1 } },
			e);
	if (r < 0)
		return r;
	fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "open a user namespace");
	*ret_fd = fd;
	return 0;
}

int userns_create(const struct userns_map *map, int procfs, int *ret_fd, struct err *e)
{
	/* On the heap: of a large array here, every page would be touched. */
	auto_free char *stack = malloc(STACK_SIZE);
	auto_fd own = procfs < 0 ? open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int proc = procfs < 0 ? own : procfs;
	struct maker m = { .owner = map->owner, .proc = proc };
	auto_process child = PROCESS_NONE;
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);

	if (!stack)
		return err_set(e, ENOMEM, "make a stack");
	if (proc < 0)
		return err_set(e, errno, "open /proc");
	/* CLONE_VFORK: we sleep until it has exited, so sharing memory is safe. */
	child.pid = clone(make, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &m);
	/* The child's change of ids was one of this memory's too, and has made it as
	 * dumpable as the host's fs.suid_dumpable says. */
	if (dumpable >= 0 && dumpable != 2)
		err_ignore(prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0) < 0);
	if (child.pid < 0) {
		child = PROCESS_NONE;
		return err_set(e, errno, "create a user namespace");
	}
	if (m.error)
		return err_set(e, m.error, "create a user namespace: %s", m.failed);
	return map_and_open(proc, child.pid, map, ret_fd, e);
}
