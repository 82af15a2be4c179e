/* SPDX-License-Identifier: Apache-2.0 */
/* The command between clone and exec: joins the sandbox, then gives everything up. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/command.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

struct child {
	const struct sandbox *sb;
	int terminal;
	struct report report; /* what the keeper will find */
	uint64_t at_ms; /* right before exec; 0: not there yet */
	int lifeline; /* read end */
	int gate; /* read end */
	int init; /* pidfd of PID 1 */
	int userns;
};

static int detach(void *context, struct err *e)
{
	struct child *c = context;
	int r = steps_detach_from_keeper(022, e);

	if (r == 0)
		r = steps_die_with_keeper(c->lifeline, e);
	return r;
}

/* What the keeper has made. */
static int join_early(void *context, struct err *e)
{
	const struct child *c = context;
	int r = cgroup_join(&c->sb->cgroup, e);

	if (r < 0)
		return r;
	/* Its root is our own cgroup: /proc/self/cgroup says "/" (E-28). */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set(e, errno, "unshare the cgroup namespace");
	if (setns(c->sb->netns.fd, CLONE_NEWNET) < 0)
		return err_set(e, errno, "enter the network namespace");
	return 0;
}

/* A session of its own in every case: no terminal of the caller's is reachable (E-36). */
static int set_up_stdio(void *context, struct err *e)
{
	struct child *c = context;

	if (setsid() < 0)
		return err_set(e, errno, "start a session");
	if (c->terminal < 0)
		return command_own_pipes(3, c->sb->owner.host_uid, c->sb->owner.host_gid,
					 e);
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
	int *const kept[] = { &c->lifeline, &c->gate, &c->init, &c->userns };

	return steps_keep_only(kept, sizeof(kept) / sizeof(*kept), e);
}

static int leave_host_identity(void *context, struct err *e)
{
	(void)context;
	return steps_leave_host_identity(e);
}

/* What PID 1 has built. Everything that can be done without it has been done by now. */
static int join_sandbox(void *context, struct err *e)
{
	struct child *c = context;
	int r = steps_wait_at_gate(c->gate, e);

	if (r < 0)
		return r;
	if (setns(c->init, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_set(e, errno, "join the namespaces of the sandbox");
	fd_close(&c->init);
	return 0;
}

static int give_up(void *context, struct err *e)
{
	struct child *c = context;
	const struct spec *spec = c->sb->spec;
	int r = rlimit_apply(&spec->rlimits, e);

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

static int enter_directory(void *context, struct err *e)
{
	const struct child *c = context;

	return command_enter_directory(c->sb->spec->directory, e);
}

/* The last act but for waiting, which costs nothing where PID 1 has to do the same. */
static int load_filter(void *context, struct err *e)
{
	(void)context;
	return seccomp_install(e);
}

/* No instruction of the payload before PID 1 has given everything up as well. */
static int wait_for_init(void *context, struct err *e)
{
	const struct child *c = context;

	return steps_wait_at_gate(c->gate, e);
}

static int exec_command(void *context, struct err *e)
{
	struct child *c = context;

	c->at_ms = steps_now_ms();
	return command_exec(c->sb->spec->argv, c->sb->spec->envp, e);
}

static const struct step steps[] = {
	{ "detach from carrel", detach },
	{ "join cgroup and network", join_early },
	{ "set up stdio", set_up_stdio },
	{ "close descriptors", drop_descriptors },
	{ "leave the host's identity", leave_host_identity },
	{ "join the sandbox", join_sandbox },
	{ "give up privileges", give_up },
	{ "enter the directory", enter_directory },
	{ "load the system call filter", load_filter },
	{ "wait for carrel-init", wait_for_init },
	{ "exec", exec_command },
};

static void walk(void *context)
{
	struct child *c = context;

	close(c->sb->lifeline[1]);
	steps_run(steps, c, &c->report);
	_exit(125);
}

/* From what the child has left in our memory. */
static int judge(const struct child *c, struct payload_start *ret, struct err *e)
{
	*ret = (struct payload_start){ .at_ms = c->at_ms };
	if (c->report.type == REPORT_NONE && c->at_ms)
		return 0;
	if (c->report.type == REPORT_NONE)
		return err_say(e, ECHILD,
			       "the command's process was killed during the start");
	*e = c->report.err;
	ret->exec_failed = c->at_ms != 0;
	return err_wrap(e, "%s", c->report.step);
}

int payload_start(struct sandbox *sb, int terminal, struct process *ret,
		  struct payload_start *ret_start, struct err *e)
{
	auto_process process = PROCESS_NONE;
	struct clone_args args = { .exit_signal = SIGCHLD };
	struct child c = { .sb = sb,
			   .terminal = terminal,
			   .lifeline = sb->lifeline[0],
			   .gate = sb->gate[0],
			   .init = sb->init.pidfd,
			   .userns = sb->userns };

	if (setns(sb->init.pidfd, CLONE_NEWPID) < 0)
		return err_set(e, errno, "join the pid namespace of the sandbox");
	args.flags = CLONE_PIDFD | CLONE_INTO_CGROUP;
	args.pidfd = (uintptr_t)&process.pidfd;
	args.cgroup = (uint64_t)sb->cgroup.exec;
	process.pid = command_clone(&args, walk, &c, e);
	if (process.pid < 0) {
		process = PROCESS_NONE;
		return err_wrap(e, "%s/exec", sb->cgroup.name);
	}
	*ret = process_take(&process);
	return judge(&c, ret_start, e);
}

void payload_end(struct process *payload)
{
	process_end(payload);
}
