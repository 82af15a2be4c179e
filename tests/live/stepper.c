/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program and stops one of its processes at a chosen system call. Host side. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * stepper REPORT FORKS ACTION N PROGRAM [ARG...]
 *
 * FORKS   0: PROGRAM itself; 1, 2, ...: its first, second, ... child made by clone3().
 *         Others do not count: they make user namespaces, now more, now fewer.
 * ACTION  kill: SIGKILL at the N-th boundary, which is the place before or behind a call
 *         a number: the N-th call is not made, and fails with that errno; close(), which
 *         always closes, is made
 * REPORT  gets one line: BOUNDARIES CALLS NR STATUS. NR is the number of the call at
 *         which the action came, or -1; STATUS the wait status of PROGRAM.
 *
 * Of PROGRAM itself all is counted from its exec on, of a child all until its exec.
 */

enum { CHILDREN_MAX = 8 };

struct stepper {
	pid_t program, target;
	/* Children that have stopped and not been announced, and such that have been
	 * announced, are not it, and have not stopped. Several at a time: each comes from
	 * a processor of its own. */
	pid_t early[CHILDREN_MAX], others[CHILDREN_MAX];
	int forks; /* the target is the child of which one; 0: the program */
	int seen;
	int errnum; /* 0: kill */
	long at; /* of the action; 0: never */
	long boundaries, calls, nr;
	bool failing; /* the call that is being made shall fail */
	bool started, done;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void go_on(enum __ptrace_request how, pid_t pid, int sig)
{
	/* It may have been killed meanwhile. */
	if (ptrace(how, pid, 0, (long)sig) < 0 && errno != ESRCH)
		die("stepper: ptrace");
}

static void remember(pid_t *list, pid_t pid)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		if (!list[i]) {
			list[i] = pid;
			return;
		}
	}
	fprintf(stderr, "stepper: too many children at a time\n");
	exit(2);
}

/* Was it in there? */
static bool forget(pid_t *list, pid_t pid)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		if (list[i] == pid) {
			list[i] = 0;
			return true;
		}
	}
	return false;
}

static void fail_call(const struct stepper *s, bool entering)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, s->target, 0, &regs) < 0)
		return;
	if (entering && s->nr != SYS_close)
		regs.orig_rax = (unsigned long long)-1;
	else if (!entering)
		regs.rax = (unsigned long long)-s->errnum;
	ptrace(PTRACE_SETREGS, s->target, 0, &regs);
}

/* At a boundary of the target. */
static void at_boundary(struct stepper *s)
{
	struct __ptrace_syscall_info info = { 0 };
	bool entering;

	ptrace(PTRACE_GET_SYSCALL_INFO, s->target, sizeof(info), &info);
	entering = info.op == PTRACE_SYSCALL_INFO_ENTRY;
	s->boundaries++;
	if (entering)
		s->calls++;
	if (s->failing) {
		fail_call(s, false);
		s->failing = false;
		s->done = true;
	} else if (s->errnum && entering && s->calls == s->at) {
		s->nr = (long)info.entry.nr;
		fail_call(s, true);
		s->failing = true;
	} else if (!s->errnum && s->boundaries == s->at) {
		s->nr = entering ? (long)info.entry.nr : -1;
		kill(s->target, SIGKILL);
		s->done = true;
	}
	go_on(s->done ? PTRACE_DETACH : PTRACE_SYSCALL, s->target, 0);
}

static void on_target(struct stepper *s, int status)
{
	int sig = WSTOPSIG(status);

	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
		bool own_exec = s->forks == 0 && !s->started;

		s->started = true;
		s->done = !own_exec;
		go_on(own_exec ? PTRACE_SYSCALL : PTRACE_DETACH, s->target, 0);
	} else if (sig == (SIGTRAP | 0x80)) {
		at_boundary(s);
	} else {
		bool event = sig == SIGTRAP || sig == SIGSTOP;

		go_on(PTRACE_SYSCALL, s->target, event ? 0 : sig);
	}
}

/* The program has made a child. Its first stop may come before or after this word. */
static void on_fork(struct stepper *s)
{
	unsigned long child = 0;
	struct user_regs_struct regs = { 0 };
	bool wanted;

	ptrace(PTRACE_GETREGS, s->program, 0, &regs);
	wanted = regs.orig_rax == SYS_clone3 && ++s->seen == s->forks;
	ptrace(PTRACE_GETEVENTMSG, s->program, 0, &child);
	if (wanted)
		s->target = (pid_t)child;
	if (forget(s->early, (pid_t)child))
		go_on(wanted ? PTRACE_SYSCALL : PTRACE_DETACH, (pid_t)child, 0);
	else if (!wanted)
		remember(s->others, (pid_t)child);
	/* Those that stopped early and are nobody's after that are not it either. */
	for (int i = 0; wanted && i < CHILDREN_MAX; i++) {
		if (s->early[i])
			go_on(PTRACE_DETACH, s->early[i], 0);
		s->early[i] = 0;
	}
	go_on(wanted ? PTRACE_DETACH : PTRACE_CONT, s->program, 0);
}

static void on_stop(struct stepper *s, pid_t pid, int status)
{
	int sig = WSTOPSIG(status);

	if (pid == s->target && !s->done) {
		on_target(s, status);
	} else if ((status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8) ||
		    status >> 8 == (SIGTRAP | PTRACE_EVENT_VFORK << 8)) &&
		   pid == s->program) {
		on_fork(s);
	} else if (pid == s->program) {
		bool event = sig == SIGTRAP || sig == (SIGTRAP | 0x80) || sig == SIGSTOP;

		go_on(s->target ? PTRACE_DETACH : PTRACE_CONT, pid, event ? 0 : sig);
	} else if (forget(s->others, pid) || s->target) {
		go_on(PTRACE_DETACH, pid, 0);
	} else {
		remember(s->early, pid);
	}
}

static int follow(struct stepper *s)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0)
			die("stepper: waitpid");
		if (WIFSTOPPED(status))
			on_stop(s, pid, status);
		else if (pid == s->program)
			return status;
	}
}

int main(int argc, char **argv)
{
	struct stepper s = { .nr = -1 };
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int status;
	FILE *report;

	if (argc < 6)
		return 2;
	s.forks = (int)strtol(argv[2], NULL, 10);
	s.errnum = (int)strtol(argv[3], NULL, 10);
	s.at = strtol(argv[4], NULL, 10);
	s.program = fork();
	if (s.program == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[5], argv + 5);
		die("stepper: exec");
	}
	if (s.program < 0 || waitpid(s.program, &status, 0) < 0)
		die("stepper: fork");
	if (s.forks)
		options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	else
		s.target = s.program;
	if (ptrace(PTRACE_SETOPTIONS, s.program, 0, options) < 0)
		die("stepper: trace");
	go_on(PTRACE_CONT, s.program, 0);
	status = follow(&s);
	report = fopen(argv[1], "we");
	if (!report)
		die("stepper: report");
	fprintf(report, "%ld %ld %ld %d\n", s.boundaries, s.calls, s.nr, status);
	return fclose(report) == 0 ? 0 : 2;
}
