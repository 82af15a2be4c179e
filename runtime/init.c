/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 between clone and exec: builds what the sandbox sees, then gives everything up.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

/* carrel-init's own id inside: nobody else's, so that nothing inside may signal or trace
 * it. */
enum { INIT_ID = SPEC_ID_RANGE - 1 };

struct init {
	struct sandbox *sb;
	int report;
	int lifeline; /* read end */
	int gate; /* write end */
	int channel;
	int image;
	int userns;
	int netns;
	int rootfs_lock; /* −1: the rootfs is not of the store */
};

/* One that stays only looks whether its maker is there: that it is not, carrel-init
 * learns by its lifeline. */
static int mind_keeper(const struct init *in, struct err *e)
{
	return in->sb->label ? steps_check_keeper(in->lifeline, e)
			     : steps_die_with_keeper(in->lifeline, e);
}

static int detach(void *context, struct err *e)
{
	struct init *in = context;
	int r = steps_detach_from_keeper(0, e);

	fd_close(&in->sb->lifeline[1]);
	fd_close(&in->sb->gate[0]);
	fd_close(&in->sb->channel[0]);
	/* Whose terminal it was must not matter to a sandbox that stays. */
	if (r == 0 && in->sb->label && setsid() < 0)
		return err_set(e, errno, "start a session");
	return r == 0 ? mind_keeper(in, e) : r;
}

static int build_mounts(void *context, struct err *e)
{
	struct init *in = context;

	return rootfs_build(&in->sb->spec->files, &in->sb->sources, &in->sb->owner, e);
}

static int set_hostname(void *context, struct err *e)
{
	const struct init *in = context;
	const char *name = in->sb->spec->files.hostname;

	if (sethostname(name, strlen(name)) < 0)
		return err_set(e, errno, "set the hostname to %s", name);
	return 0;
}

/* For the command, which may be waiting there already. */
static int open_gate(void *context, struct err *e)
{
	const struct init *in = context;

	if (write(in->gate, "", 1) != 1)
		return err_set(e, errno, "open the gate");
	return 0;
}

/* As sandbox.c sends it. */
static int take_late(void *context, struct err *e)
{
	struct init *in = context;
	int fds[3];
	int r = steps_receive_fds(in->channel, fds, 3, e);

	if (r < 0)
		return r;
	in->netns = fds[0];
	in->userns = fds[1];
	in->image = fds[2];
	return 0;
}

/* Not the v1 groups: they hold the payload alone, and can go while PID 1 is still dying.
 */
static int join_late(void *context, struct err *e)
{
	struct init *in = context;

	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set(e, errno, "unshare the cgroup namespace");
	if (setns(in->netns, CLONE_NEWNET) < 0)
		return err_set(e, errno, "enter the network namespace");
	return 0;
}

static int drop_descriptors(void *context, struct err *e)
{
	struct init *in = context;
	int *const kept[] = { &in->report,   &in->image, &in->userns,
			      &in->lifeline, &in->gate,  &in->rootfs_lock };
	int r = steps_keep_only(kept, sizeof(kept) / sizeof(*kept), e);

	if (r < 0)
		return r;
	/* What carrel-init will find: its lifeline as 0, the gate as 1. All else closes
	 * at exec. */
	if (dup2(in->lifeline, 0) < 0 || dup2(in->gate, 1) < 0)
		return err_set(e, errno, "set up descriptors 0 and 1");
	close(2);
	/* Its rootfs stays in the store until nobody has this: an empty file. */
	if (in->rootfs_lock >= 0 && fcntl(in->rootfs_lock, F_SETFD, 0) < 0)
		return err_set(e, errno, "keep the lock of the rootfs");
	/* For one that stays: what it reads when it has been let go of. Lands on 2. */
	if (in->sb->label && eventfd(0, 0) != 2) // lint: survives exec
		return err_say(e, EBADF, "set up descriptor 2");
	return 0;
}

static int give_up(void *context, struct err *e)
{
	struct init *in = context;
	int r = steps_leave_host_identity(e);

	if (r < 0)
		return r;
	if (setns(in->userns, CLONE_NEWUSER) < 0)
		return err_set(e, errno, "enter the user namespace");
	fd_close(&in->userns);
	r = caps_give_up(INIT_ID, INIT_ID, e);
	return r == 0 ? mind_keeper(in, e) : r;
}

static int exec_image(void *context, struct err *e)
{
	char *const argv[] = { "carrel-init", NULL }, *const envp[] = { NULL };
	struct init *in = context;
	int r;

	/* Outlives exec: the kernel reaps orphans without asking carrel-init. */
	signal(SIGCHLD, SIG_IGN);
	r = seccomp_install_init(e);
	if (r < 0)
		return r;
	execveat(in->image, "", argv, envp, AT_EMPTY_PATH);
	return err_set(e, errno, "execute carrel-init");
}

static const struct step steps[] = {
	{ "detach from carrel", detach },
	{ "build the file system", build_mounts },
	{ "set the hostname", set_hostname },
	{ "open the gate", open_gate },
	{ "take what comes late", take_late },
	{ "join the network", join_late },
	{ "close descriptors", drop_descriptors },
	{ "give up privileges", give_up },
	{ "start carrel-init", exec_image },
};

void init_main(struct sandbox *sb, int report_fd)
{
	struct init in = {
		.sb = sb,
		.report = report_fd,
		.lifeline = sb->lifeline[0],
		.gate = sb->gate[1],
		.channel = sb->channel[1],
		.image = -1,
		.userns = -1,
		.netns = -1,
		.rootfs_lock = sb->sources.lock,
	};

	steps_walk(steps, &in, &in.report);
}
