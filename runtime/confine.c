/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "policy/policy.h"
#include "policy/seccomp_list.h" /* lint: macros that only lists of calls want */
#include "rootfs/rootfs.h"
#include "runtime/confine.h"
#include "runtime/steps.h"

/* --- system calls ------------------------------------------------------------------ */

/* Nothing that opens a path, makes a socket, a process or executable memory. */
static const struct sock_filter confine_calls[] = {
	LIST_BEGIN,
	/* what it does all the time */
	ALLOW(epoll_wait),
	ALLOW(recvmsg),
	ALLOW(sendmsg),
	ALLOW(read),
	ALLOW(close),
	ALLOW(epoll_ctl),
	ALLOW(sendto),
	ALLOW(clock_gettime),
	/* descriptors for commands, and a look at those of clients */
	ALLOW(pipe2),
	ALLOW(memfd_create),
	ALLOW(write),
	ALLOW(lseek),
	ALLOW(pread64),
	ALLOW(fchmod),
	ALLOW(fstat),
	ALLOW(fstatfs),
	ALLOW_IF(newfstatat, 3, AT_EMPTY_PATH),
	ALLOW_IF(getsockopt, 2, SO_DOMAIN),
	ALLOW_IF(ioctl, 1, TCGETS),
	ALLOW_IF_ANY(fcntl, 1, F_GETFL, F_SETFL, F_ADD_SEALS, F_GET_SEALS),
	ALLOW(epoll_create1),
	/* memory */
	ALLOW(brk),
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(getrandom),
	/* the end */
	ALLOW(restart_syscall),
	ALLOW(rt_sigreturn),
	ALLOW(exit_group),
	LIST_END,
};

/* --- everything else --------------------------------------------------------------- */

static int limit_resources(struct err *e)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_NOFILE, CONFINE_FILES },
		{ RLIMIT_FSIZE, CONFINE_FILE_MAX },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		const __rlimit_resource_t resource =
			(__rlimit_resource_t)limits[i].resource;
		struct rlimit limit;

		if (getrlimit(resource, &limit) < 0)
			return err_set(e, errno, "read a resource limit of the front");
		/* Not raised: there may be no right to. */
		if (limit.rlim_max > limits[i].value)
			limit.rlim_max = limits[i].value;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(resource, &limit) < 0)
			return err_set(e, errno, "set a resource limit of the front");
	}
	return 0;
}

/* So that nothing that is written to them by mistake goes to a client. */
static int open_null(int *ret_fd, struct err *e)
{
	/* lint: the host's own, before anything of a client's is near */
	int fd = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, errno, "open /dev/null");
	*ret_fd = fd;
	return 0;
}

static int make_empty_root(int *ret_root, struct err *e)
{
	const unsigned attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			       MOUNT_ATTR_NOEXEC;
	auto_fd context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int root;

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(e, errno, "make an empty root");
	root = fsmount(context, FSMOUNT_CLOEXEC, attrs);
	if (root < 0)
		return err_set(e, errno, "mount an empty root");
	*ret_root = root;
	return 0;
}

static int enter_empty_root(struct err *e)
{
	auto_fd root = -1;
	int r = make_empty_root(&root, e);

	return r == 0 ? rootfs_enter(root, e) : r;
}

/* What reads and writes by mistake shall hit nothing; what the broker has open shall not
 * be there. */
static int keep_descriptors(int *null, int *keep, struct err *e)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (dup2(*null, fd) < 0)
			return err_set(e, errno, "set up descriptor %d", fd);
	}
	/* Now: its number is about to be somebody else's. */
	if (*null > 2)
		fd_close(null);
	*null = -1;
	return steps_keep_only((int *const[]){ keep }, 1, e);
}

static int leave_host(int *keep, struct err *e)
{
	const int spaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			   CLONE_NEWCGROUP;
	auto_fd null = -1;
	int r = open_null(&null, e);

	if (r == 0)
		r = steps_leave_host_identity(e);
	if (r < 0)
		return r;
	if (unshare(spaces) < 0)
		return err_set(e, errno, "make namespaces for a front");
	r = enter_empty_root(e);
	if (r == 0)
		r = limit_resources(e);
	if (r == 0)
		r = keep_descriptors(&null, keep, e);
	return r;
}

int confine_self(int *keep, uid_t uid, gid_t gid, struct err *e)
{
	pid_t parent = getppid();
	int r = steps_detach_from_keeper(077, e);

	if (r == 0)
		r = leave_host(keep, e);
	if (r == 0)
		r = caps_give_up(uid, gid, e);
	if (r < 0)
		return r;
	/* Disarmed by every change of ids. A terminal's Ctrl-C is the broker's business.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(e, errno, "tie the front to the broker");
	if (getppid() != parent)
		return err_say(e, ESRCH, "the broker has gone");
	setsid();
	signal(SIGPIPE, SIG_IGN);
	return seccomp_install_list(confine_calls,
				    sizeof(confine_calls) / sizeof(*confine_calls), e);
}
