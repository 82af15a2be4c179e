/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in a sandbox that is there: started, watched, ended. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/command.h"
#include "runtime/resident_private.h"
#include "runtime/steps.h"

enum {
	DEATH_WAIT_MS = 5000, /* of a child that was never executed */
	REMOVE_TRIES = 100,
	REMOVE_STEP_US = 1000,
};

/* --- between clone and exec -------------------------------------------------------- */

struct child {
	const struct resident_command *command;
	const struct cgroup_exec *groups;
	uid_t host_uid; /* of the command's user */
	gid_t host_gid;
	struct report report; /* what the worker will find */
	uint64_t at_ms; /* right before exec; 0: not there yet */
	int parent; /* pidfd */
	int init; /* pidfd of PID 1 */
};

static int detach(void *context, struct err *e)
{
	struct child *c = context;
	int r = steps_detach_from_keeper(022, e);

	return r == 0 ? steps_die_with_keeper(c->parent, e) : r;
}

static int join_groups(void *context, struct err *e)
{
	const struct child *c = context;
	int r = cgroup_exec_join(c->groups, e);

	if (r < 0)
		return r;
	/* Its root is our own cgroup: /proc/self/cgroup says "/" (E-28). */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set(e, errno, "unshare the cgroup namespace");
	return 0;
}

/* A session of its own in every case: no terminal of the caller's is reachable (E-36). */
static int set_up_descriptors(void *context, struct err *e)
{
	struct child *c = context;
	const struct resident_command *command = c->command;
	int *const kept[] = { &c->parent, &c->init };
	int r = steps_give_fds(command->fds, command->fd_count, kept,
			       sizeof(kept) / sizeof(*kept), e);

	if (r < 0)
		return r;
	if (setsid() < 0)
		return err_set(e, errno, "start a session");
	if (command->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		return err_set(e, errno, "take the terminal");
	return command_own_pipes(command->fd_count, c->host_uid, c->host_gid, e);
}

static int leave_host_identity(void *context, struct err *e)
{
	(void)context;
	return steps_leave_host_identity(e);
}

static int join_sandbox(void *context, struct err *e)
{
	const struct child *c = context;

	if (setns(c->init, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) < 0)
		return err_set(e, errno, "join the namespaces of the sandbox");
	return 0;
}

static int give_up(void *context, struct err *e)
{
	struct child *c = context;
	int r = rlimit_apply(&c->command->rlimits, e);

	if (r < 0)
		return r;
	/* PID 1's: the payload's own (E-26). */
	if (setns(c->init, CLONE_NEWUSER) < 0)
		return err_set(e, errno, "enter the user namespace");
	fd_close(&c->init);
	r = caps_give_up(c->command->uid, c->command->gid, e);
	return r == 0 ? steps_die_with_keeper(c->parent, e) : r;
}

static int enter_directory(void *context, struct err *e)
{
	const struct child *c = context;

	return command_enter_directory(c->command->cwd, e);
}

static int load_filter(void *context, struct err *e)
{
	(void)context;
	return seccomp_install(e);
}

static int exec_command(void *context, struct err *e)
{
	struct child *c = context;

	c->at_ms = steps_now_ms();
	return command_exec(c->command->argv, c->command->envp, e);
}

static const struct step steps[] = {
	{ "detach from carrel", detach },
	{ "join cgroups", join_groups },
	{ "set up descriptors", set_up_descriptors },
	{ "leave the host's identity", leave_host_identity },
	{ "join the sandbox", join_sandbox },
	{ "give up privileges", give_up },
	{ "enter the directory", enter_directory },
	{ "load the system call filter", load_filter },
	{ "exec", exec_command },
};

static void walk(void *context)
{
	struct child *c = context;

	steps_run(steps, c, &c->report);
	_exit(125);
}

/* --- in the worker ----------------------------------------------------------------- */

static int check_command(const struct resident_command *c, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	/* It becomes the name of a directory, beside that of PID 1. */
	if (!*c->id || !str_only(c->id, allowed) || !strcmp(c->id, "init"))
		return err_say(e, EINVAL, "an exec cannot be called so");
	if (!c->uid || c->uid > SPEC_ID_MAX || !c->gid || c->gid > SPEC_ID_MAX)
		return err_say(e, EINVAL, "a user or group that no command may have");
	if (c->fd_count < 3 || c->fd_count > WIRE_FDS_MAX)
		return err_say(e, EINVAL, "%u descriptors for a command", c->fd_count);
	return command_check_fds(c->fds, c->fd_count, e);
}

/* From what the child has left in our memory. */
static int judge(const struct child *c, int *ret_status, struct err *e)
{
	if (c->report.type == REPORT_NONE && c->at_ms)
		return 0;
	if (c->report.type == REPORT_NONE)
		return err_say(e, ECHILD,
			       "the command's process was killed during the start");
	*e = c->report.err;
	if (c->at_ms)
		*ret_status = e->code == -ENOENT ? RUN_STATUS_NOT_FOUND
						 : RUN_STATUS_NOT_EXECUTABLE;
	return err_wrap(e, "%s", c->report.step);
}

/* Born into the sandbox's pid namespace; the next ones are born into ours again. */
static int clone_inside(struct child *c, struct process *ret, struct err *e)
{
	struct clone_args args = { .flags = CLONE_PIDFD | CLONE_INTO_CGROUP |
					    CLONE_PARENT };
	auto_fd self = pidfd_open(getpid(), 0);
	pid_t pid;

	if (self < 0)
		return err_set(e, errno, "open our own process");
	if (setns(c->init, CLONE_NEWPID) < 0)
		return err_set(e, errno, "join the pid namespace of the sandbox");
	args.pidfd = (uintptr_t)&ret->pidfd;
	args.cgroup = (uint64_t)c->groups->dir[0];
	pid = command_clone(&args, walk, c, e);
	if (pid < 0)
		*ret = PROCESS_NONE;
	else
		ret->pid = pid;
	if (setns(self, CLONE_NEWPID) < 0)
		return err_set(e, errno, "return to our pid namespace");
	return pid < 0 ? e->code : 0;
}

/* It is our parent's to wait for. */
static void end_child(struct process *p)
{
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };

	if (p->pidfd >= 0) {
		pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
		poll(&pfd, 1, DEATH_WAIT_MS);
	}
	fd_close(&p->pidfd);
	*p = PROCESS_NONE;
}

static void remove_groups(const struct cgroup_place *place, const char *id)
{
	struct err ignored;

	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (cgroup_exec_remove(place, id, &ignored) != -EBUSY)
			return;
		usleep(REMOVE_STEP_US);
	}
}

static int start_in(const struct resident *r, const struct cgroup_place *place,
		    const struct cgroup_exec *groups, struct child *c,
		    struct resident_exec *x, int *ret_status, struct err *e)
{
	int code = resident_host_ids(r, c->command->uid, c->command->gid, &c->host_uid,
				     &c->host_gid, e);

	if (code == 0 && x->oom < 0)
		code = cgroup_exec_watch_oom(place, groups, &x->oom, e);
	if (code == 0)
		code = clone_inside(c, &x->main, e);
	return code == 0 ? judge(c, ret_status, e) : code;
}

/* Limits want groups in more hierarchies. */
static bool is_for(const struct resident_prepared *p, const struct resident *r,
		   const struct resident_command *c)
{
	return c->prepared && !strcmp(p->sandbox, r->id) && !strcmp(p->id, c->id) &&
	       !c->limits.memory && !c->limits.pids && !c->limits.cpu_milli;
}

/* Of the groups of `p` nothing is left to close. */
static void take(struct resident_prepared *p, struct cgroup_exec *groups, int *oom)
{
	*groups = p->groups;
	p->groups = CGROUP_EXEC_NONE;
	*oom = fd_take(&p->oom);
	resident_prepared_close(p);
}

int resident_exec_start(const struct resident *r, const struct cgroup_host *host,
			const struct resident_command *command,
			struct resident_prepared *prepared, struct resident_exec *ret,
			int *ret_status, struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	struct cgroup_exec groups = CGROUP_EXEC_NONE;
	struct resident_exec x = RESIDENT_EXEC_NONE;
	struct child c = {
		.command = command, .groups = &groups, .init = r->init.pidfd, .parent = -1
	};
	auto_fd parent = pidfd_open(getppid(), 0);
	int code = check_command(command, e);

	*ret_status = RUN_STATUS_FAILED;
	if (code == 0 && parent < 0)
		code = err_set(e, errno, "open our parent");
	if (code == 0 && is_for(prepared, r, command))
		take(prepared, &groups, &x.oom);
	else if (code == 0)
		code = cgroup_exec_create(&place, command->id, &command->limits,
					  command->prepared, &groups, e);
	if (code < 0)
		return code;
	c.parent = parent;
	memcpy(x.id, command->id, sizeof(x.id));
	code = start_in(r, &place, &groups, &c, &x, ret_status, e);
	if (code == 0)
		x.cgroup = fd_take(&groups.dir[0]);
	cgroup_exec_close(&groups);
	if (code < 0) {
		ret->main = (struct process){ .pid = x.main.pid, .pidfd = -1 };
		end_child(&x.main);
		resident_exec_close(&x);
		remove_groups(&place, command->id);
		return code;
	}
	*ret = x;
	return 0;
}

/* --- afterwards -------------------------------------------------------------------- */

int resident_exec_open(const struct resident *r, const struct cgroup_host *host,
		       const char *id, struct resident_exec *ret, struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	struct cgroup_exec groups;
	struct resident_exec x = RESIDENT_EXEC_NONE;
	int code = cgroup_exec_open(&place, id, &groups, e);

	if (code < 0)
		return code;
	code = cgroup_exec_watch_oom(&place, &groups, &x.oom, e);
	if (code == 0 && str_format(x.id, sizeof(x.id), "%s", id) < 0)
		code = err_say(e, ENAMETOOLONG, "an exec cannot be called so");
	if (code == 0)
		x.cgroup = fd_take(&groups.dir[0]);
	cgroup_exec_close(&groups);
	if (code < 0) {
		resident_exec_close(&x);
		return code;
	}
	x.main = ret->main;
	*ret = x;
	return 0;
}

void resident_exec_close(struct resident_exec *x)
{
	fd_close(&x->main.pidfd);
	fd_close(&x->cgroup);
	fd_close(&x->oom);
	*x = RESIDENT_EXEC_NONE;
}

int resident_exec_kill(const struct resident_exec *x, struct err *e)
{
	return cgroup_kill_all(x->cgroup, e) < 0 ? err_wrap(e, "kill exec %s", x->id) : 0;
}

int resident_exec_usage(const struct resident *r, const struct cgroup_host *host,
			const struct resident_exec *x, struct cgroup_usage *ret,
			struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	struct cgroup_exec groups;
	int code = cgroup_exec_open(&place, x->id, &groups, e);

	if (code < 0)
		return code;
	code = cgroup_exec_read_usage(&place, &groups, ret, e);
	cgroup_exec_close(&groups);
	return code < 0 ? err_wrap(e, "exec %s", x->id) : 0;
}

int resident_exec_prepare(const struct resident *r, const struct cgroup_host *host,
			  const char *id, struct resident_prepared *ret, struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	struct resident_prepared p = RESIDENT_PREPARED_NONE;
	int code = cgroup_exec_prepare(&place, id, &p.groups, e);

	if (code == 0)
		code = cgroup_exec_watch_oom(&place, &p.groups, &p.oom, e);
	if (code == 0 && (str_format(p.sandbox, sizeof(p.sandbox), "%s", r->id) < 0 ||
			  str_format(p.id, sizeof(p.id), "%s", id) < 0))
		code = err_say(e, ENAMETOOLONG, "an exec cannot be called so");
	if (code < 0) {
		resident_prepared_close(&p);
		return code;
	}
	*ret = p;
	return 0;
}

void resident_prepared_close(struct resident_prepared *p)
{
	cgroup_exec_close(&p->groups);
	fd_close(&p->oom);
	*p = RESIDENT_PREPARED_NONE;
}

int resident_exec_remove(const struct resident *r, const struct cgroup_host *host,
			 const char *id, struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);

	return cgroup_exec_remove(&place, id, e);
}

int resident_exec_sweep(const struct resident *r, const struct cgroup_host *host,
			struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	int code = cgroup_exec_sweep(&place, e);

	return code < 0 ? err_wrap(e, "end what runs in %s", r->id) : 0;
}
