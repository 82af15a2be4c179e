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

enum { TTY_GID = 5 }; /* as rootfs/volume.c gives it to devpts */

int terminal_open(const struct sandbox *sb, int *ret_master, int *ret_slave,
		  struct err *e)
{
	auto_fd master = openat(sb->sources.pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	auto_fd slave = -1;
	int unlock = 0;

	if (master < 0)
		return err_set(e, errno, "open the sandbox's ptmx");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set(e, errno, "unlock a terminal");
	/* By descriptor: no path in a devpts is ever resolved (E-04). */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set(e, errno, "open the sandbox's terminal");
	if (fchown(slave, sb->owner.id_base + sb->owner.uid,
		   sb->owner.id_base + TTY_GID) < 0)
		return err_set(e, errno, "give the terminal to the sandbox's user");
	*ret_master = fd_take(&master);
	*ret_slave = fd_take(&slave);
	return 0;
}

void terminal_resize(const struct terminal *t)
{
	struct winsize size;

	/* Not worth failing for: a caller's terminal may have no size. */
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		err_ignore(ioctl(t->master, TIOCSWINSZ, &size) < 0);
}

int terminal_start(struct terminal *t, int master, struct err *e)
{
	struct termios raw;

	*t = TERMINAL_NONE;
	t->master = master;
	t->in = (struct terminal_flow){ .from = 0, .to = master };
	t->out = (struct terminal_flow){ .from = master, .to = 1 };
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

short terminal_events_master(const struct terminal *t)
{
	return (short)((flow_empty(&t->out) && !t->out.closed ? POLLIN : 0) |
		       (flow_empty(&t->in) ? 0 : POLLOUT));
}

short terminal_events_stdin(const struct terminal *t)
{
	return flow_empty(&t->in) && !t->in.closed ? POLLIN : 0;
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

void terminal_pump(struct terminal *t, short master_events, short stdin_events)
{
	if (flow_empty(&t->in) && (stdin_events & (POLLIN | POLLHUP)))
		flow_read(&t->in);
	if (!flow_empty(&t->in) && (master_events & POLLOUT))
		flow_write(&t->in);
	if (flow_empty(&t->out) && (master_events & (POLLIN | POLLHUP)))
		flow_read(&t->out);
	if (!flow_empty(&t->out))
		flow_write(&t->out);
}

void terminal_drain(struct terminal *t)
{
	struct pollfd pfd = { .fd = t->master, .events = POLLIN };

	while (!flow_empty(&t->out))
		flow_write(&t->out);
	while (!t->out.closed && poll(&pfd, 1, 0) > 0) {
		flow_read(&t->out);
		while (!flow_empty(&t->out))
			flow_write(&t->out);
	}
}

void terminal_stop(struct terminal *t)
{
	if (t->raw)
		err_ignore(tcsetattr(0, TCSADRAIN, &t->saved) < 0);
	fd_close(&t->master);
	*t = TERMINAL_NONE;
}
