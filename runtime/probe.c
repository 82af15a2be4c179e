/* SPDX-License-Identifier: Apache-2.0 */
/* Running probes: each in a child, so that it can neither hang nor change carrel. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/probe.h"
#include "runtime/slot.h"

enum {
	PROBE_SECONDS = 10, /* a module may have to be loaded, under emulation */
	GRACE_MS = 2000, /* for a killed child to go */
};

static const struct {
	int number;
	const char *name;
} needed[] = {
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	{ CAP_SETUID, "CAP_SETUID" },
	{ CAP_SETGID, "CAP_SETGID" },
	{ CAP_SETPCAP, "CAP_SETPCAP" },
	{ CAP_MKNOD, "CAP_MKNOD" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
	{ CAP_KILL, "CAP_KILL" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },
	{ CAP_SYS_CHROOT, "CAP_SYS_CHROOT" },
	{ CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE" },
	{ CAP_CHOWN, "CAP_CHOWN" },
	{ CAP_FOWNER, "CAP_FOWNER" },
};

enum { NEEDED_COUNT = sizeof(needed) / sizeof(*needed) };

static const char *const state_names[] = {
	[PROBE_OK] = "ok",
	[PROBE_MISSING] = "missing",
	[PROBE_ADVICE] = "advice",
};

static_assert(sizeof(state_names) / sizeof(*state_names) == PROBE_STATE_MAX,
	      "one name a state");

/* What a child writes to its pipe, in one write below PIPE_BUF. */
struct outcome {
	int code; /* 0 or −errno */
	char text[PROBE_DETAIL_MAX];
};

static int try_privilege(const struct probe *self, const struct runtime_config *config,
			 struct str *found, struct err *e)
{
	char text[PROBE_DETAIL_MAX];
	struct str lacking = str_over(text, sizeof(text));

	(void)self;
	(void)config;
	for (size_t i = 0; i < NEEDED_COUNT; i++) {
		if (!caps_have(needed[i].number))
			str_add(&lacking, " %s", needed[i].name);
	}
	if (lacking.len)
		return err_say(e, EPERM, "without%s", text);
	str_add(found, "all %d capabilities", NEEDED_COUNT);
	return 0;
}

static const char as_root[] = "run carrel as root, with all capabilities";

static const struct probe first_rows[] = {
	{ .id = "privilege",
	  .name = "privilege",
	  .run = try_privilege,
	  .remedy = as_root },
};

static const struct probe_table probe_first = {
	first_rows,
	sizeof(first_rows) / sizeof(*first_rows),
};

static const struct probe_table *const tables[] = {
	&probe_first,   &probe_kernel, &probe_mount,   &probe_cgroup,
	&probe_network, &probe_host,   &probe_hygiene,
};

enum { TABLE_COUNT = sizeof(tables) / sizeof(*tables) };

static const struct probe *find(unsigned i)
{
	for (unsigned t = 0; t < TABLE_COUNT; t++) {
		if (i < tables[t]->count)
			return &tables[t]->rows[i];
		i -= tables[t]->count;
	}
	bug_on(true);
	return NULL;
}

/* Undoes what could keep the alarm from ending us, and sets it. */
static void set_alarm(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGALRM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	alarm(PROBE_SECONDS);
}

static noreturn void try_in_child(const struct probe *p,
				  const struct runtime_config *config, int pipe_end)
{
	struct outcome o = { 0 };
	struct err e = { 0 };
	struct str found = str_over(o.text, sizeof(o.text));

	set_alarm();
	o.code = p->run(p, config, &found, &e);
	if (o.code < 0) {
		found = str_over(o.text, sizeof(o.text));
		str_add(&found, "%s", e.msg);
	}
	err_ignore(write(pipe_end, &o, sizeof(o)) < 0); /* then the parent sees a death */
	_exit(0);
}

/* Kills and reaps; gives up on a child that the kernel does not let go of. Returns the
 * wait status, −1 without one. */
static int end_child(pid_t pid)
{
	int status = -1;

	kill(pid, SIGKILL);
	for (int ms = 0; ms < GRACE_MS; ms++) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			return got == pid ? status : -1;
		usleep(1000);
	}
	return -1;
}

static void read_outcome(int pipe_end, struct outcome *ret, pid_t pid)
{
	struct pollfd pfd = { .fd = pipe_end, .events = POLLIN };
	struct str text = str_over(ret->text, sizeof(ret->text));
	bool late = poll(&pfd, 1, PROBE_SECONDS * 1000 + GRACE_MS) == 0;
	ssize_t n = late ? 0 : read(pipe_end, ret, sizeof(*ret));
	int status = end_child(pid);

	if (n == sizeof(*ret))
		return;
	ret->code = -ETIMEDOUT;
	if (late || status < 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
		str_add(&text, "no answer within %d s", PROBE_SECONDS);
	else if (WIFSIGNALED(status))
		str_add(&text, "trying it ended with signal %d", WTERMSIG(status));
	else
		str_add(&text, "trying it ended without an answer");
}

/* Whatever happens to the child: an outcome. */
static void run_in_child(const struct probe *p, const struct runtime_config *config,
			 struct outcome *ret)
{
	struct str text = str_over(ret->text, sizeof(ret->text));
	auto_fd read_end = -1, write_end = -1;
	int fds[2];
	pid_t pid;

	ret->code = -EAGAIN;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		str_add(&text, "not tried: %s", strerrordesc_np(errno));
		return;
	}
	read_end = fds[0];
	write_end = fds[1];
	pid = fork();
	if (pid < 0) {
		str_add(&text, "not tried: %s", strerrordesc_np(errno));
		return;
	}
	if (pid == 0)
		try_in_child(p, config, write_end);
	fd_close(&write_end);
	read_outcome(read_end, ret, pid);
}

/* A child that was killed may have left cgroups: their record is read, and what it lists
 * removed, by whoever takes an id range next. */
static int tidy(const struct probe *self, const struct runtime_config *config,
		struct str *found, struct err *e)
{
	struct slot slot;
	int r = slot_acquire(config, &slot, e);

	(void)self;
	(void)found;
	if (r == 0)
		slot_release(&slot);
	return r;
}

static const char *choose_remedy(const struct probe *p, int code)
{
	struct err ignored;

	if (code == 0)
		return "";
	if (code == -ENOENT && p->remedy_absent)
		return p->remedy_absent;
	if ((code == -EPERM || code == -EACCES) && probe_privilege(&ignored) < 0)
		return as_root;
	return p->remedy;
}

const char *probe_state_name(enum probe_state state)
{
	return state_names[state];
}

unsigned probe_count(void)
{
	unsigned n = 0;

	for (unsigned t = 0; t < TABLE_COUNT; t++)
		n += tables[t]->count;
	return n;
}

void probe_run(const struct runtime_config *config, unsigned i, struct probe_result *ret)
{
	static const struct probe tidying = { .run = tidy };
	const struct probe *p = find(i);
	struct outcome o = { 0 }, ignored;

	run_in_child(p, config, &o);
	if (o.code == -ETIMEDOUT)
		run_in_child(&tidying, config, &ignored);
	*ret = (struct probe_result){
		.id = p->id,
		.name = p->name,
		.remedy = choose_remedy(p, o.code),
	};
	if (o.code < 0)
		ret->state = p->advice ? PROBE_ADVICE : PROBE_MISSING;
	/* It may quote what others wrote, and ends up on a terminal. */
	str_escape(ret->detail, sizeof(ret->detail), o.text);
}

int probe_privilege(struct err *e)
{
	for (size_t i = 0; i < NEEDED_COUNT; i++) {
		if (!caps_have(needed[i].number))
			return err_say(e, EPERM, "needs root: %s is missing",
				       needed[i].name);
	}
	return 0;
}
