/* SPDX-License-Identifier: Apache-2.0 */
/* The command between clone and exec: joins the sandbox, then gives everything up. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct child {
	const struct sandbox *sb;
	int terminal;
	int report;
	int lifeline; /* read end */
	int gate; /* read end */
	int userns;
};

static const char exec_step[] = "exec";

static int detach(void *context, struct err *e)
{
	struct child *c = context;
	int r = steps_detach_from_keeper(022, e);

	if (r == 0)
		r = steps_die_with_keeper(c->lifeline, e);
	return r;
}

static int join_sandbox(void *context, struct err *e)
{
	const struct child *c = context;
	int r = cgroup_join(&c->sb->cgroup, e);

	if (r < 0)
		return r;
	/* Its root is our own cgroup: /proc/self/cgroup says "/" (E-28). */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set(e, errno, "unshare the cgroup namespace");
	if (setns(c->sb->init.pidfd,
		  CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) < 0)
		return err_set(e, errno, "join the namespaces of the sandbox");
	return 0;
}

/* A session of its own in every case: no terminal of the caller's is reachable (E-36). */
static int set_up_stdio(void *context, struct err *e)
{
	struct child *c = context;

	if (setsid() < 0)
		return err_set(e, errno, "start a session");
	if (c->terminal < 0)
		return 0;
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(c->terminal, fd) < 0)
			return err_set(e, errno, "set up descriptor %d", fd);
	}
	if (ioctl(0, TIOCSCTTY, 0) < 0)
		return err_set(e, errno, "take the terminal");
	return 0;
}

static int drop_descriptors(void *context, struct err *e)
{
	struct child *c = context;
	int *const kept[] = { &c->report, &c->lifeline, &c->gate, &c->userns };

	return steps_keep_only(kept, sizeof(kept) / sizeof(*kept), e);
}

static int give_up(void *context, struct err *e)
{
	struct child *c = context;
	const struct spec *spec = c->sb->spec;
	int r = steps_leave_host_identity(e);

	if (r == 0)
		r = rlimit_apply(&spec->rlimits, e);
	if (r < 0)
		return r;
	if (setns(c->userns, CLONE_NEWUSER) < 0)
		return err_set(e, errno, "enter the user namespace");
	fd_close(&c->userns);
	r = caps_give_up(spec->uid, spec->gid, e);
	if (r == 0)
		r = steps_die_with_keeper(c->lifeline, e);
	return r;
}

/* As the user who will work there, after everything else: what the caller named cannot
 * lead outside, and the kernel's word for "outside" is looked for (E-13). */
static int enter_directory(void *context, struct err *e)
{
	const struct child *c = context;
	const char *path = c->sb->spec->directory;
	char cwd[PATH_MAX];
	auto_fd dir =
		sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);

	if (dir < 0)
		return err_set(e, errno, "working directory %s", path);
	if (fchdir(dir) < 0)
		return err_set(e, errno, "enter working directory %s", path);
	if (!getcwd(cwd, sizeof(cwd)))
		return err_set(e, errno, "enter working directory %s", path);
	if (cwd[0] != '/')
		return err_say(e, EXDEV, "working directory %s is outside of the sandbox",
			       path);
	return 0;
}

/* No instruction of the payload before PID 1 has given everything up as well. */
static int wait_for_init(void *context, struct err *e)
{
	struct child *c = context;
	char byte;
	ssize_t n;

	do {
		n = read(c->gate, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, errno, "wait for carrel-init");
	if (n == 0)
		return err_say(e, ESRCH, "carrel-init did not start");
	return 0;
}

static const char *path_of(char *const *envp)
{
	for (; *envp; envp++) {
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	}
	return DEFAULT_PATH;
}

/* Tries each directory of PATH, as execvp(3) does but with the payload's environment and
 * without falling back to a shell. Returns the errno of the best failure. */
static int exec_in_path(const char *name, char *const *argv, char *const *envp)
{
	int best = ENOENT;

	for (const char *dir = path_of(envp); dir;) {
		const char *colon = strchrnul(dir, ':');
		char path[PATH_MAX];

		if (str_format(path, sizeof(path), "%.*s%s%s", (int)(colon - dir), dir,
			       colon > dir ? "/" : "./", name) == 0) {
			execve(path, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR)
				best = errno;
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return errno;
		}
		dir = *colon ? colon + 1 : NULL;
	}
	return best;
}

static int exec_command(void *context, struct err *e)
{
	const struct child *c = context;
	const struct spec *spec = c->sb->spec;
	const char *name = spec->argv[0];
	int errnum;
	int r = seccomp_install(e);

	if (r < 0)
		return r;
	if (strchr(name, '/')) {
		execve(name, spec->argv, spec->envp);
		errnum = errno;
	} else {
		errnum = exec_in_path(name, spec->argv, spec->envp);
	}
	return err_set(e, errnum, "%s", name);
}

static const struct step steps[] = {
	{ "detach from carrel", detach },
	{ "join the sandbox", join_sandbox },
	{ "set up stdio", set_up_stdio },
	{ "close descriptors", drop_descriptors },
	{ "give up privileges", give_up },
	{ "enter the directory", enter_directory },
	{ "wait for carrel-init", wait_for_init },
	{ exec_step, exec_command },
};

static int wait_for_exec(int report_fd, bool *ret_exec_failed, struct err *e)
{
	struct report report;
	int r = steps_read_report(report_fd, &report, e);

	if (r < 0)
		return r;
	if (report.type == REPORT_NONE)
		return 0;
	*e = report.err;
	*ret_exec_failed = !strcmp(report.step, exec_step);
	return err_wrap(e, "%s", report.step);
}

int payload_start(struct sandbox *sb, int terminal, struct process *ret,
		  bool *ret_exec_failed, struct err *e)
{
	auto_process process = PROCESS_NONE;
	auto_fd read_end = -1, write_end = -1;
	struct clone_args args = { .exit_signal = SIGCHLD };
	int fds[2], r;

	*ret_exec_failed = false;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	read_end = fds[0];
	write_end = fds[1];
	if (setns(sb->init.pidfd, CLONE_NEWPID) < 0)
		return err_set(e, errno, "join the pid namespace of the sandbox");
	args.flags = CLONE_PIDFD | CLONE_INTO_CGROUP;
	args.pidfd = (uintptr_t)&process.pidfd;
	args.cgroup = (uint64_t)sb->cgroup.exec;
	process.pid = sys_clone3(&args);
	if (process.pid < 0) {
		process = PROCESS_NONE;
		return err_set(e, errno, "clone the command into %s/exec",
			       sb->cgroup.name);
	}
	if (process.pid == 0) {
		struct child c = {
			.sb = sb,
			.terminal = terminal,
			.report = write_end,
			.lifeline = sb->lifeline[0],
			.gate = sb->gate[0],
			.userns = sb->userns,
		};

		close(sb->lifeline[1]);
		steps_walk(steps, &c, &c.report);
	}
	fd_close(&write_end);
	r = wait_for_exec(read_end, ret_exec_failed, e);
	if (r < 0)
		return r;
	*ret = process_take(&process);
	return 0;
}
