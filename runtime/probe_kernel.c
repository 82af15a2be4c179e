/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of system calls: processes, namespaces, descriptors, credentials. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "runtime/probe.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

#define TEST_HOSTNAME "carrel-doctor"

enum {
	JOINED = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
	TEST_ID = 1000, /* inside */
};

static int try_release(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	struct utsname u;

	(void)self;
	(void)config;
	if (uname(&u) < 0)
		return err_set(e, errno, "uname");
	str_add(found, "%s %s", u.release, u.machine);
	return 0;
}

static int try_pidfd(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	auto_process child = PROCESS_NONE;
	int status = 0;
	int r = probe_spawn(probe_pause, NULL, &child, e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	child.pidfd = pidfd_open(child.pid, 0);
	if (child.pidfd < 0)
		return err_set(e, errno, "pidfd_open");
	if (pidfd_send_signal(child.pidfd, SIGUSR1, NULL, 0) < 0)
		return err_set(e, errno, "pidfd_send_signal");
	r = process_wait(&child, &status, NULL, e);
	if (r < 0)
		return r;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGUSR1)
		return err_say(e, EPROTO, "a signal sent by pidfd did not arrive");
	str_add(found, "a signal arrived");
	return 0;
}

/* Makes namespaces to be joined, says so with one byte, and waits. */
static int live_in_namespaces(void *context)
{
	const int *ready = context;

	if (unshare(JOINED) < 0 || sethostname(TEST_HOSTNAME, strlen(TEST_HOSTNAME)) < 0)
		return errno;
	if (write(ready[1], "", 1) != 1)
		return errno;
	return probe_pause(NULL);
}

/* The child has ended with the errno that it could not go on from. */
static int say_why_not(struct process *child, struct err *e)
{
	int status = 0;
	int r = process_wait(child, &status, NULL, e);

	if (r < 0)
		return r;
	if (!WIFEXITED(status) || !WEXITSTATUS(status))
		return err_say(e, ECHILD, "the namespaces to join were not made");
	return err_set(e, WEXITSTATUS(status), "make the namespaces to join");
}

static int join(struct process *child, int ready, struct err *e)
{
	char byte, name[sizeof(TEST_HOSTNAME)] = { 0 };

	if (read(ready, &byte, 1) != 1)
		return say_why_not(child, e);
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		return err_set(e, errno, "pidfd_open");
	if (setns(child->pidfd, JOINED) < 0)
		return err_set(e, errno, "setns");
	err_ignore(gethostname(name, sizeof(name)) < 0); /* too long: not ours */
	if (memcmp(name, TEST_HOSTNAME, sizeof(name)) != 0)
		return err_say(e, EPROTO, "setns succeeded but joined nothing");
	return 0;
}

static int try_setns(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	auto_process child = PROCESS_NONE;
	auto_fd read_end = -1, write_end = -1;
	int fds[2], r;

	(void)self;
	(void)config;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	read_end = fds[0];
	write_end = fds[1];
	r = probe_spawn(live_in_namespaces, fds, &child, e);
	fd_close(&write_end);
	if (r == 0)
		r = join(&child, read_end, e);
	if (r == 0)
		str_add(found, "five namespaces joined");
	return r;
}

static int try_namespace(const struct probe *self, const struct runtime_config *config,
			 struct str *found, struct err *e)
{
	(void)config;
	if (unshare(self->arg) < 0)
		return err_set(e, errno, "unshare");
	str_add(found, "made one");
	return 0;
}

/* A namespace with the first range of the block: nobody lives in it but our test. */
static int make_userns(const struct runtime_config *config, int *ret, struct err *e)
{
	const struct userns_range range = { 0, config->id_first, SPEC_ID_RANGE };
	const struct userns_map map = { .owner = config->id_first,
					.uid = { range },
					.gid = { range } };

	return userns_create(&map, -1, ret, e);
}

static int try_userns(const struct probe *self, const struct runtime_config *config,
		      struct str *found, struct err *e)
{
	auto_fd ns = -1;
	int r = make_userns(config, &ns, e);

	(void)self;
	if (r < 0)
		return r;
	if (setns(ns, CLONE_NEWUSER) < 0)
		return err_set(e, errno, "enter the user namespace");
	if (unshare(CLONE_NEWUTS) == 0)
		return err_say(e, EPROTO, "user.max_uts_namespaces = 0 has no effect");
	if (errno != ENOSPC)
		return err_set(e, errno, "unshare inside a sealed user namespace");
	str_add(found, "ids %u to %u, no further namespaces inside", config->id_first,
		config->id_first + SPEC_ID_RANGE - 1);
	return 0;
}

/* Is the path refused in that way with the flags? */
static int expect_refusal(const char *path, uint64_t resolve, int errnum, struct err *e)
{
	auto_fd fd = sys_openat2(AT_FDCWD, path, O_PATH, resolve);

	if (fd >= 0)
		return err_say(e, EPROTO, "openat2 with flags %#llx let %s through",
			       (unsigned long long)resolve, path);
	if (errno != errnum)
		return err_set(e, errno, "openat2 with flags %#llx",
			       (unsigned long long)resolve);
	return 0;
}

static int try_openat2(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	auto_fd fd = -1;
	int r = expect_refusal("/proc/self", RESOLVE_NO_SYMLINKS, ELOOP, e);

	(void)self;
	(void)config;
	if (r == 0)
		r = expect_refusal("/proc/self/exe", RESOLVE_NO_MAGICLINKS, ELOOP, e);
	if (r == 0)
		r = expect_refusal("/", RESOLVE_BENEATH, EXDEV, e);
	if (r < 0)
		return r;
	fd = sys_openat2(AT_FDCWD, "/..", O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return err_set(e, errno, "openat2 with RESOLVE_IN_ROOT");
	str_add(found, "links and escapes are refused");
	return 0;
}

static int try_close_range(const struct probe *self, const struct runtime_config *config,
			   struct str *found, struct err *e)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	(void)self;
	(void)config;
	if (fd < 0)
		return err_set(e, errno, "copy a descriptor");
	if (close_range((unsigned)fd, (unsigned)fd, 0) < 0)
		return err_set(e, errno, "close_range");
	if (fcntl(fd, F_GETFD) >= 0)
		return err_say(e, EPROTO, "close_range left a descriptor open");
	str_add(found, "closed a descriptor");
	return 0;
}

static int try_memfd(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	auto_fd image = -1;
	int r = init_image_open(&image, e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	if (pwrite(image, "", 1, 0) >= 0 || errno != EPERM)
		return err_say(e, EPROTO, "a sealed memfd can be written");
	str_add(found, "executable and sealed");
	return 0;
}

/* carrel-init ends at once when it reads the end of its descriptor 0. */
static int exec_image(void *context)
{
	char *const argv[] = { "carrel-init", NULL }, *const envp[] = { NULL };
	const int *image = context;
	int null = sys_openat2(AT_FDCWD, "/dev/null", O_RDWR, 0);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return errno;
	execveat(*image, "", argv, envp, AT_EMPTY_PATH);
	return errno;
}

static int try_execveat(const struct probe *self, const struct runtime_config *config,
			struct str *found, struct err *e)
{
	auto_fd image = -1;
	int r = init_image_open(&image, e);

	(void)self;
	(void)config;
	if (r == 0)
		r = probe_call(exec_image, &image, "execute a memfd", e);
	if (r == 0)
		str_add(found, "carrel-init ran from a memfd");
	return r;
}

static int try_no_new_privs(const struct probe *self, const struct runtime_config *config,
			    struct str *found, struct err *e)
{
	(void)self;
	(void)config;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "set no_new_privs");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return err_say(e, EPROTO, "no_new_privs does not stay");
	str_add(found, "set and stays");
	return 0;
}

static int try_securebits(const struct probe *self, const struct runtime_config *config,
			  struct str *found, struct err *e)
{
	const int bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
			 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	(void)self;
	(void)config;
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
		return err_set(e, errno, "lock the securebits");
	if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0)
		return err_say(e, EPROTO, "locked securebits can be cleared");
	str_add(found, "locked");
	return 0;
}

/* The whole way down, as the command goes it. */
static int try_give_up(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	auto_fd ns = -1;
	int r = make_userns(config, &ns, e);

	(void)self;
	if (r == 0)
		r = steps_leave_host_identity(e);
	if (r < 0)
		return r;
	if (setns(ns, CLONE_NEWUSER) < 0)
		return err_set(e, errno, "enter the user namespace");
	r = caps_give_up(TEST_ID, TEST_ID, e);
	if (r < 0)
		return r;
	if (getuid() != TEST_ID || setuid(0) == 0 || caps_have(CAP_SYS_ADMIN))
		return err_say(e, EPROTO, "privilege can be had back");
	str_add(found, "user %d inside, no capability", TEST_ID);
	return 0;
}

static int try_seccomp(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	int r;

	(void)self;
	(void)config;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "set no_new_privs");
	r = seccomp_install(e);
	if (r < 0)
		return r;
	/* Without the filter the kernel would say EFAULT. */
	if (syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) == 0 ||
	    (errno != EPERM && errno != ENOSYS))
		return err_say(e, EPROTO, "the filter lets mount through");
	str_add(found, "the filter refuses mount");
	return 0;
}

#define CALL_FILTERED \
	"; where the kernel is new enough, what carrel runs in denies the call"

#define NAMESPACE(word, flag, limit)                                              \
	{                                                                         \
		.id = "namespace-" word, .name = word " namespace",               \
		.run = try_namespace, .arg = (flag),                              \
		.remedy = "a kernel with it; raise user.max_" limit "_namespaces" \
	}

static const struct probe rows[] = {
	{ .id = "kernel", .name = "kernel", .run = try_release, .remedy = "" },
	{ .id = "pidfd",
	  .name = "pidfd_send_signal",
	  .run = try_pidfd,
	  .remedy = "Linux 5.3" CALL_FILTERED },
	{ .id = "setns",
	  .name = "setns by pidfd",
	  .run = try_setns,
	  .remedy = "Linux 5.8" CALL_FILTERED },
	NAMESPACE("mount", CLONE_NEWNS, "mnt"),
	NAMESPACE("pid", CLONE_NEWPID, "pid"),
	NAMESPACE("ipc", CLONE_NEWIPC, "ipc"),
	NAMESPACE("uts", CLONE_NEWUTS, "uts"),
	NAMESPACE("net", CLONE_NEWNET, "net"),
	NAMESPACE("cgroup", CLONE_NEWCGROUP, "cgroup"),
	NAMESPACE("user", CLONE_NEWUSER, "user"),
	{ .id = "userns",
	  .name = "sealed user namespace",
	  .run = try_userns,
	  .remedy = "CONFIG_USER_NS; /proc writable; a free [ids] block in carrel.conf" },
	{ .id = "openat2",
	  .name = "openat2 RESOLVE_*",
	  .run = try_openat2,
	  .remedy = "Linux 5.6" CALL_FILTERED },
	{ .id = "close-range",
	  .name = "close_range",
	  .run = try_close_range,
	  .remedy = "Linux 5.9" CALL_FILTERED },
	{ .id = "memfd",
	  .name = "executable sealed memfd",
	  .run = try_memfd,
	  .remedy = "CONFIG_MEMFD_CREATE; sysctl -w vm.memfd_noexec=0" },
	{ .id = "execveat",
	  .name = "execveat AT_EMPTY_PATH",
	  .run = try_execveat,
	  .remedy = "sysctl -w vm.memfd_noexec=0; no policy against executing a memfd" },
	{ .id = "no-new-privs",
	  .name = "no_new_privs",
	  .run = try_no_new_privs,
	  .remedy = "Linux 3.5" CALL_FILTERED },
	{ .id = "securebits",
	  .name = "securebits",
	  .run = try_securebits,
	  .remedy = "CAP_SETPCAP" },
	{ .id = "give-up",
	  .name = "giving up privilege",
	  .run = try_give_up,
	  .remedy = "first mend what is missing above" },
	{ .id = "seccomp",
	  .name = "seccomp filter",
	  .run = try_seccomp,
	  .remedy = "a kernel with CONFIG_SECCOMP_FILTER" },
};

const struct probe_table probe_kernel = { rows, sizeof(rows) / sizeof(*rows) };
