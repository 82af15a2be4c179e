/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a command: signals, terminal, deadline, out of memory, exit. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/command.h"
#include "runtime/runtime.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"
#include "runtime/terminal.h"

/* Passed on to the command. SIGWINCH too, when it has no terminal of its own. */
static const int forwarded[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				 SIGUSR1, SIGUSR2, SIGWINCH };

/* What the keeper waits for. */
enum source {
	SOURCE_PAYLOAD,
	SOURCE_INIT,
	SOURCE_SIGNALS,
	SOURCE_OOM,
	SOURCE_MASTER,
	SOURCE_STDIN,
	SOURCE_SCREEN,
	SOURCE_MAX,
};

struct keeper {
	struct sandbox *sb;
	struct process payload;
	struct terminal terminal;
	int signals; /* signalfd */
	int oom; /* eventfd; −1: the kernel kills the whole group itself */
	uint64_t start_ms; /* the command may have run since */
	uint64_t deadline_ms; /* 0: none */
	uint64_t oom_until_ms; /* 0: no sign of an out-of-memory kill */
	enum run_reason killed_for; /* RUN_EXIT: not killed by us */
};

enum {
	OOM_LOOK_MS = 2000, /* how long a kill may follow its announcement */
	OOM_STEP_MS = 5,
};

/* As many descriptors as we may have; the command's limit is its own matter. */
static void raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		err_ignore(setrlimit(RLIMIT_NOFILE, &rl) < 0);
	}
}

/* Blocked from before the start: a signal that comes early waits for the command. */
static int block_signals(int *ret_fd, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++)
		sigaddset(&set, forwarded[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(e, errno, "block signals");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD,
	       SIG_DFL); /* a caller that ignores it leaves us nothing to wait for */
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_fd < 0)
		return err_set(e, errno, "make a signalfd");
	return 0;
}

static void kill_exec(struct keeper *k, enum run_reason reason)
{
	struct err e;

	k->killed_for = reason;
	/* If the group cannot be killed, PID 1 and all else below it can. */
	if (cgroup_kill_exec(&k->sb->cgroup, &e) < 0)
		pidfd_send_signal(k->sb->init.pidfd, SIGKILL, NULL, 0);
}

static void forward_signals(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->signals, &info, sizeof(info)) == sizeof(info)) {
		int sig = (int)info.ssi_signo;

		if (sig == SIGWINCH && k->terminal.master >= 0)
			terminal_resize(&k->terminal);
		else if (pidfd_send_signal(k->payload.pidfd, sig, NULL, 0) < 0)
			return; /* it has just ended */
	}
}

/* v1 announces that the limit was hit, and kills one process a little later, if at all.
 * The rest of the group is ours to end. */
static void look_at_oom(struct keeper *k)
{
	struct cgroup_usage usage;
	struct err e;

	if (cgroup_read_usage(&k->sb->cgroup, &usage, &e) == 0 && usage.oom_kills)
		kill_exec(k, RUN_OOM);
	if (k->killed_for != RUN_EXIT || steps_now_ms() >= k->oom_until_ms)
		k->oom_until_ms = 0;
}

static void take_oom_event(struct keeper *k)
{
	uint64_t count;

	err_ignore(read(k->oom, &count, sizeof(count)) < 0);
	if (k->killed_for == RUN_EXIT)
		k->oom_until_ms = steps_now_ms() + OOM_LOOK_MS;
}

static int timeout_left(const struct keeper *k)
{
	uint64_t now = steps_now_ms();

	if (k->oom_until_ms)
		return OOM_STEP_MS;
	if (!k->deadline_ms || k->killed_for != RUN_EXIT)
		return -1;
	if (now >= k->deadline_ms)
		return 0;
	return k->deadline_ms - now > 1u << 30 ? 1 << 30 : (int)(k->deadline_ms - now);
}

/* What is due by the clock. */
static void look_at_time(struct keeper *k)
{
	if (k->oom_until_ms)
		look_at_oom(k);
	if (k->killed_for == RUN_EXIT && k->deadline_ms &&
	    steps_now_ms() >= k->deadline_ms)
		kill_exec(k, RUN_TIMEOUT);
}

/* A source that nothing is wanted from is left out: poll reports a hang-up regardless of
 * what it is asked for, and would never sleep. */
static struct pollfd want(int fd, short events)
{
	return (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void fill_pollfds(const struct keeper *k, struct pollfd *fds)
{
	struct terminal_events wanted = { 0 };

	if (k->terminal.master >= 0)
		wanted = terminal_wanted(&k->terminal);
	fds[SOURCE_PAYLOAD] = want(k->payload.pidfd, POLLIN);
	fds[SOURCE_INIT] = want(k->sb->init.pidfd, POLLIN);
	fds[SOURCE_SIGNALS] = want(k->signals, POLLIN);
	fds[SOURCE_OOM] = want(k->oom, POLLIN);
	fds[SOURCE_MASTER] = want(k->terminal.master, wanted.master);
	fds[SOURCE_STDIN] = want(0, wanted.in);
	fds[SOURCE_SCREEN] = want(k->terminal.screen, wanted.screen);
}

/* Returns when the command has ended, which is when its first process has: those it
 * left in the background end with the sandbox (E-39). */
static int wait_for_end(struct keeper *k, struct err *e)
{
	struct pollfd fds[SOURCE_MAX];

	for (;;) {
		int n;

		fill_pollfds(k, fds);
		n = poll(fds, SOURCE_MAX, timeout_left(k));
		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "wait for the command");
		if (n < 0)
			continue;
		if (fds[SOURCE_PAYLOAD].revents)
			return 0;
		look_at_time(k);
		if (fds[SOURCE_SIGNALS].revents)
			forward_signals(k);
		if (fds[SOURCE_OOM].revents)
			take_oom_event(k);
		if (k->terminal.master >= 0)
			terminal_pump(&k->terminal,
				      (struct terminal_events){
					      .master = fds[SOURCE_MASTER].revents,
					      .in = fds[SOURCE_STDIN].revents,
					      .screen = fds[SOURCE_SCREEN].revents,
				      });
		/* PID 1 took everybody with it; our own child follows at once. */
		if (fds[SOURCE_INIT].revents)
			poll(fds, 1, 1000);
	}
}

static void judge(const struct keeper *k, int status, struct run_result *ret)
{
	bool oom = ret->usage.oom_kills > 0;

	if (WIFEXITED(status)) {
		ret->reason = RUN_EXIT;
		ret->exit_code = WEXITSTATUS(status);
	} else {
		ret->reason = RUN_SIGNAL;
		ret->signal = WTERMSIG(status);
		ret->exit_code = RUN_STATUS_SIGNAL + ret->signal;
	}
	if (k->killed_for == RUN_TIMEOUT && ret->signal == SIGKILL) {
		ret->reason = RUN_TIMEOUT;
		ret->exit_code = RUN_STATUS_TIMEOUT;
	} else if (oom && ret->signal == SIGKILL) {
		ret->reason = RUN_OOM;
	}
}

static int keep(struct keeper *k, struct run_result *ret, struct err *e)
{
	const struct spec *spec = k->sb->spec;
	int status, r;

	if (spec->timeout_ms)
		k->deadline_ms = k->start_ms + spec->timeout_ms;
	r = wait_for_end(k, e);
	if (r == 0)
		r = process_wait(&k->payload, &status, NULL, e);
	if (r < 0)
		return r;
	ret->wall_ms = steps_now_ms() - k->start_ms;
	/* Whatever it left in the background ends with it; what that has used counts. */
	r = cgroup_kill(&k->sb->cgroup, e);
	if (r == 0)
		r = cgroup_read_usage(&k->sb->cgroup, &ret->usage, e);
	if (r == 0)
		r = netns_read_usage(&k->sb->netns, &ret->network, e);
	if (r < 0)
		return r;
	judge(k, status, ret);
	if (k->terminal.master >= 0)
		terminal_drain(&k->terminal);
	return 0;
}

/* Starts PID 1 and the command side by side, and waits until both are what they shall
 * be: the command's last step waits for PID 1's. */
static int start(struct keeper *k, struct run_result *ret, struct err *e)
{
	auto_fd slave = -1;
	struct payload_start started = { 0 };
	int master = -1, r = 0;

	if (k->sb->spec->terminal)
		r = terminal_open(k->sb, &master, &slave, e);
	if (r == 0 && master >= 0)
		r = terminal_start(&k->terminal, master, e);
	if (r == 0)
		r = sandbox_start(k->sb, e);
	if (r == 0)
		r = cgroup_watch_oom(&k->sb->cgroup, &k->oom, e);
	if (r == 0)
		r = payload_start(k->sb, slave, &k->payload, &started, e);
	fd_close(&slave);
	/* While the command is at work: nobody waits for that. */
	fd_close(&k->sb->procfs);
	k->start_ms = started.at_ms;
	if (started.exec_failed)
		ret->exit_code =
			r == -ENOENT ? RUN_STATUS_NOT_FOUND : RUN_STATUS_NOT_EXECUTABLE;
	/* A command that waits at a gate which PID 1 will never open knows less of it
	 * than PID 1 itself. */
	else if (r < 0)
		return sandbox_find_cause(k->sb, e);
	return r;
}

static int run(struct keeper *k, const struct runtime_config *config,
	       const struct spec *spec, struct run_result *ret, struct err *e)
{
	struct sandbox sb;
	struct err destroy_err;
	int r, destroyed;

	r = netns_plan_check(&config->network, &spec->network, e);
	if (r == 0)
		r = command_check_fds((int[]){ 0, 1, 2 }, 3, e);
	if (r == 0)
		r = block_signals(&k->signals, e);
	raise_descriptor_limit();
	if (r == 0)
		r = sandbox_prepare(config, spec, NULL, &sb, e);
	if (r < 0)
		return r;
	k->sb = &sb;
	ret->id_base = sb.owner.id_base;
	ret->ids_direct = sb.sources.direct;
	r = start(k, ret, e);
	ret->address4 = sb.netns.address4;
	ret->address6 = sb.netns.address6;
	if (r == 0)
		r = keep(k, ret, e);
	terminal_stop(&k->terminal);
	payload_end(&k->payload);
	destroyed = sandbox_destroy(&sb, &destroy_err);
	if (r == 0 && destroyed < 0) {
		*e = destroy_err;
		return err_wrap(e, "clean up");
	}
	return r;
}

int run_command(const struct runtime_config *config, const struct spec *spec,
		struct run_result *ret, struct err *e)
{
	struct keeper k = {
		.payload = PROCESS_NONE,
		.terminal = TERMINAL_NONE,
		.signals = -1,
		.oom = -1,
	};
	int r;

	*ret = (struct run_result){ .reason = RUN_START_FAILED,
				    .exit_code = RUN_STATUS_FAILED };
	/* Holds descriptors of the host while it has children in the sandbox (E-14). */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "become non-dumpable");
	r = run(&k, config, spec, ret, e);
	fd_close(&k.signals);
	fd_close(&k.oom);
	if (r < 0)
		bug_on(str_format(ret->error, sizeof(ret->error), "%s", e->msg) < 0);
	return r;
}
