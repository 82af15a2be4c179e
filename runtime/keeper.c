/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a command: signals, terminal, deadline, out of memory, exit. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "runtime/sandbox.h"
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
	SOURCE_MAX,
};

struct keeper {
	struct sandbox *sb;
	struct process payload;
	struct terminal terminal;
	int signals; /* signalfd */
	int oom; /* eventfd; −1: the kernel kills the whole group itself */
	uint64_t deadline_ms; /* 0: none */
	enum run_reason killed_for; /* RUN_EXIT: not killed by us */
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
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

/* v1 tells that the limit was hit; whether it killed somebody is a counter. */
static void look_at_oom(struct keeper *k)
{
	struct cgroup_usage usage;
	struct err e;
	uint64_t count;

	err_ignore(read(k->oom, &count, sizeof(count)) < 0);
	if (cgroup_read_usage(&k->sb->cgroup, &usage, &e) == 0 && usage.oom_kills)
		kill_exec(k, RUN_OOM);
}

static int timeout_left(const struct keeper *k)
{
	uint64_t now = now_ms();

	if (!k->deadline_ms || k->killed_for != RUN_EXIT)
		return -1;
	if (now >= k->deadline_ms)
		return 0;
	return k->deadline_ms - now > 1u << 30 ? 1 << 30 : (int)(k->deadline_ms - now);
}

static void fill_pollfds(const struct keeper *k, struct pollfd *fds)
{
	bool terminal = k->terminal.master >= 0;

	fds[SOURCE_PAYLOAD] = (struct pollfd){ .fd = k->payload.pidfd, .events = POLLIN };
	fds[SOURCE_INIT] = (struct pollfd){ .fd = k->sb->init.pidfd, .events = POLLIN };
	fds[SOURCE_SIGNALS] = (struct pollfd){ .fd = k->signals, .events = POLLIN };
	fds[SOURCE_OOM] = (struct pollfd){ .fd = k->oom, .events = POLLIN };
	fds[SOURCE_MASTER] = (struct pollfd){ .fd = k->terminal.master };
	fds[SOURCE_STDIN] = (struct pollfd){ .fd = -1 };
	if (!terminal)
		return;
	fds[SOURCE_MASTER].events = terminal_events_master(&k->terminal);
	fds[SOURCE_STDIN].events = terminal_events_stdin(&k->terminal);
	/* A closed side is readable for ever: leave it out of the wait. */
	if (!fds[SOURCE_MASTER].events)
		fds[SOURCE_MASTER].fd = -1;
	if (fds[SOURCE_STDIN].events)
		fds[SOURCE_STDIN].fd = 0;
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
		if (n == 0) {
			if (k->deadline_ms && now_ms() >= k->deadline_ms)
				kill_exec(k, RUN_TIMEOUT);
			continue;
		}
		if (fds[SOURCE_SIGNALS].revents)
			forward_signals(k);
		if (fds[SOURCE_OOM].revents)
			look_at_oom(k);
		if (fds[SOURCE_MASTER].revents || fds[SOURCE_STDIN].revents)
			terminal_pump(&k->terminal, fds[SOURCE_MASTER].revents,
				      fds[SOURCE_STDIN].revents);
		if (fds[SOURCE_PAYLOAD].revents)
			return 0;
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
	uint64_t start = now_ms();
	int status, r;

	if (spec->timeout_ms)
		k->deadline_ms = start + spec->timeout_ms;
	r = wait_for_end(k, e);
	if (r == 0)
		r = process_wait(&k->payload, &status, NULL, e);
	if (r < 0)
		return r;
	ret->wall_ms = now_ms() - start;
	r = cgroup_read_usage(&k->sb->cgroup, &ret->usage, e);
	if (r < 0)
		return r;
	judge(k, status, ret);
	if (k->terminal.master >= 0)
		terminal_drain(&k->terminal);
	return 0;
}

/* With a sandbox that is up: starts the command and keeps it. */
static int start_and_keep(struct keeper *k, struct run_result *ret, struct err *e)
{
	auto_fd slave = -1;
	bool exec_failed = false;
	int master = -1, r = 0;

	if (k->sb->spec->terminal)
		r = terminal_open(k->sb, &master, &slave, e);
	if (r == 0 && master >= 0)
		r = terminal_start(&k->terminal, master, e);
	if (r == 0)
		r = cgroup_watch_oom(&k->sb->cgroup, &k->oom, e);
	if (r == 0)
		r = payload_start(k->sb, slave, &k->payload, &exec_failed, e);
	fd_close(&slave);
	if (exec_failed)
		ret->exit_code =
			r == -ENOENT ? RUN_STATUS_NOT_FOUND : RUN_STATUS_NOT_EXECUTABLE;
	if (r == 0)
		r = keep(k, ret, e);
	return r;
}

static int run(struct keeper *k, const struct runtime_config *config,
	       const struct spec *spec, struct run_result *ret, struct err *e)
{
	struct sandbox sb;
	struct err destroy_err;
	int r, destroyed;

	r = block_signals(&k->signals, e);
	if (r == 0)
		r = sandbox_prepare(config, spec, &sb, e);
	if (r < 0)
		return r;
	k->sb = &sb;
	ret->id_base = sb.owner.id_base;
	ret->ids_direct = sb.sources.direct;
	r = sandbox_start(&sb, e);
	if (r == 0)
		r = start_and_keep(k, ret, e);
	terminal_stop(&k->terminal);
	/* PID 1 cannot finish dying before all in its namespace are waited for, and the
	 * command is ours to wait for. */
	process_end(&k->payload);
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
