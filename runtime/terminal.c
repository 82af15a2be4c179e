/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/sandbox.h"
#include "runtime/terminal.h"

enum {
	TTY_GID = 5, /* as rootfs/volume.c gives it to devpts */
	DRAIN_WAIT_MS = 1000,
};

int terminal_open_slave(int master, uid_t uid, uint32_t id_base, int *ret_slave,
			struct err *e)
{
	auto_fd slave = -1;
	int unlock = 0;

	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set(e, errno, "unlock a terminal");
	/* By descriptor: no path in a devpts is ever resolved (E-04). */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set(e, errno, "open the sandbox's terminal");
	if (fchown(slave, uid, id_base + TTY_GID) < 0)
		return err_set(e, errno, "give the terminal to the sandbox's user");
	*ret_slave = fd_take(&slave);
	return 0;
}

int terminal_open(const struct sandbox *sb, int *ret_master, int *ret_slave,
		  struct err *e)
{
	auto_fd master = openat(sb->sources.pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int r;

	if (master < 0)
		return err_set(e, errno, "open the sandbox's ptmx");
	r = terminal_open_slave(master, sb->owner.host_uid, sb->owner.id_base, ret_slave,
				e);
	if (r == 0)
		*ret_master = fd_take(&master);
	return r;
}

void terminal_resize(const struct terminal *t)
{
	struct winsize size;

	/* Not worth failing for: a caller's terminal may have no size. */
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		err_ignore(ioctl(t->master, TIOCSWINSZ, &size) < 0);
}

/* A stalled terminal must not stall the keeper, and the caller's own description of it is
 * not ours to make non-blocking. What is no terminal is polled before it is written to.
 */
static int open_screen(void)
{
	int fd = -1;

	if (isatty(1))
		fd = openat(AT_FDCWD, "/proc/self/fd/1",
			    O_WRONLY | O_NONBLOCK | O_NOCTTY |
				    O_CLOEXEC); /* lint: our own stdout */
	return fd < 0 ? fcntl(1, F_DUPFD_CLOEXEC, 3) : fd;
}

int terminal_start(struct terminal *t, int master, struct err *e)
{
	struct termios raw;

	*t = TERMINAL_NONE;
	t->master = master;
	t->screen = open_screen();
	t->in = (struct terminal_flow){ .from = 0, .to = master };
	t->out = (struct terminal_flow){ .from = master, .to = t->screen };
	if (tcgetattr(0, &t->saved) < 0)
		return err_set(e, errno, "use standard input as a terminal");
	terminal_resize(t);
	raw = t->saved;
	cfmakeraw(&raw);
	if (tcsetattr(0, TCSADRAIN, &raw) < 0)
		return err_set(e, errno, "switch the terminal to raw mode");
	t->raw = true;
	return 0;
}

static bool flow_empty(const struct terminal_flow *f)
{
	return f->start == f->end;
}

struct terminal_events terminal_wanted(const struct terminal *t)
{
	bool in_empty = flow_empty(&t->in), out_empty = flow_empty(&t->out);

	return (struct terminal_events){
		.master = (short)((out_empty && !t->out.closed ? POLLIN : 0) |
				  (in_empty ? 0 : POLLOUT)),
		.in = in_empty && !t->in.closed ? POLLIN : 0,
		.screen = out_empty ? 0 : POLLOUT,
	};
}

static void flow_read(struct terminal_flow *f)
{
	ssize_t n = read(f->from, f->data, sizeof(f->data));

	f->start = 0;
	f->end = n > 0 ? (size_t)n : 0;
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		f->closed = true;
}

static void flow_write(struct terminal_flow *f)
{
	ssize_t n = write(f->to, f->data + f->start, f->end - f->start);

	if (n > 0)
		f->start += (size_t)n;
	else if (n < 0 && errno != EINTR && errno != EAGAIN)
		f->start = f->end; /* nobody reads any more: the command shall not hang */
}

void terminal_pump(struct terminal *t, struct terminal_events got)
{
	if (flow_empty(&t->in) && (got.in & (POLLIN | POLLHUP | POLLERR)))
		flow_read(&t->in);
	if (!flow_empty(&t->in) && (got.master & (POLLOUT | POLLHUP | POLLERR)))
		flow_write(&t->in);
	if (flow_empty(&t->out) && (got.master & (POLLIN | POLLHUP | POLLERR)))
		flow_read(&t->out);
	else if (!flow_empty(&t->out) && (got.screen & (POLLOUT | POLLHUP | POLLERR)))
		flow_write(&t->out);
}

void terminal_drain(struct terminal *t)
{
	struct pollfd master = { .fd = t->master, .events = POLLIN };
	struct pollfd screen = { .fd = t->screen, .events = POLLOUT };

	for (;;) {
		while (!flow_empty(&t->out)) {
			if (poll(&screen, 1, DRAIN_WAIT_MS) <= 0)
				return;
			flow_write(&t->out);
		}
		if (t->out.closed || poll(&master, 1, 0) <= 0)
			return;
		flow_read(&t->out);
	}
}

void terminal_stop(struct terminal *t)
{
	if (t->raw)
		err_ignore(tcsetattr(0, TCSADRAIN, &t->saved) < 0);
	fd_close(&t->master);
	fd_close(&t->screen);
	*t = TERMINAL_NONE;
}
