/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/front_parts.h"
#include "runtime/reply.h"

enum {
	PASSED_MAX = WIRE_FDS_MAX - 1, /* descriptors with one exec */
	READ_SIZE = 64 << 10, /* bytes taken before others have their turn */
	BUFFER_FIRST = 4 << 10,
	BUFFER_KEPT = 16 << 10, /* larger ones are freed when they are empty */
	ROOM = 256 << 10, /* bytes waiting to be read by a client that are not many */
	TURN_STEPS = 64, /* calls begun or replies put before others have their turn */
};

/* --- buffers ----------------------------------------------------------------------- */

/* Room for `more` bytes behind those that are there. */
static int buffer_grow(struct front *f, struct buffer *b, size_t more)
{
	size_t size = b->size ? b->size : BUFFER_FIRST;
	char *grown;
	int r;

	if (b->start + b->len + more <= b->size)
		return 0;
	if (b->start) {
		memmove(b->data, b->data + b->start, b->len);
		b->start = 0;
	}
	while (size < b->len + more)
		size *= 2;
	if (size == b->size)
		return 0;
	r = front_reserve(f, size - b->size);
	if (r < 0)
		return r;
	grown = realloc(b->data, size);
	if (!grown) {
		front_release(f, size - b->size);
		return -ENOMEM;
	}
	b->data = grown;
	b->size = size;
	return 0;
}

static void buffer_free(struct front *f, struct buffer *b)
{
	front_release(f, b->size);
	free(b->data);
	*b = (struct buffer){ 0 };
}

/* Takes bytes away from the beginning. */
static void buffer_drop(struct front *f, struct buffer *b, size_t len)
{
	b->start += len;
	b->len -= len;
	if (b->len)
		return;
	b->start = 0;
	if (b->size > BUFFER_KEPT)
		buffer_free(f, b);
}

/* --- the end ----------------------------------------------------------------------- */

static void close_fds(struct conn *c)
{
	for (unsigned i = 0; i < c->fd_count; i++)
		close(c->fds[i]);
	c->fd_count = 0;
}

void conn_close(struct conn *c)
{
	struct front *f = c->front;

	if (c->dead)
		return;
	c->dead = true;
	loop_unwatch(f->loop, &c->watch);
	loop_clear_timer(f->loop, &c->message);
	loop_clear_timer(f->loop, &c->stall);
	loop_clear_timer(f->loop, &c->again);
	fd_close(&c->fd);
	fd_close(&c->passed);
	close_fds(c);
	buffer_free(f, &c->in);
	buffer_free(f, &c->out);
	if (c->call)
		call_drop(c->call);
	while (c->held)
		call_drop(c->held);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	f->conn_count--;
	c->next = f->dead;
	f->dead = c;
}

void conn_free_dead(struct front *f)
{
	while (f->dead) {
		struct conn *c = f->dead;

		f->dead = c->next;
		free(c);
	}
}

static void too_late(void *context)
{
	conn_close(context);
}

/* --- what is sent ------------------------------------------------------------------ */

void conn_put(struct conn *c, const char *data, size_t len)
{
	struct buffer *b = &c->out;

	if (c->dead || c->broken)
		return;
	if (buffer_grow(c->front, b, len) < 0) {
		c->broken = true;
		return;
	}
	memcpy(b->data + b->start + b->len, data, len);
	b->len += len;
}

void conn_put_message(struct conn *c, char *message)
{
	if (message)
		conn_put(c, message, strlen(message) + 1);
	else
		c->broken = true;
	free(message);
}

void conn_pass(struct conn *c, int fd)
{
	if (c->dead || c->passed >= 0) {
		close(fd);
		return;
	}
	c->passed = fd;
	c->passed_at = c->out.len;
}

bool conn_has_room(const struct conn *c)
{
	return c->out.len < ROOM && c->passed < 0;
}

/* Sends up to `len` bytes, and the descriptor with the first of them. */
static ssize_t send_some(struct conn *c, size_t len, bool with_fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = c->out.data + c->out.start, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *head = (struct cmsghdr *)control;

	if (with_fd) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &c->passed, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool send_next(struct conn *c)
{
	bool with_fd = c->passed >= 0 && c->passed_at == 0;
	size_t len = c->passed >= 0 && !with_fd ? c->passed_at : c->out.len;
	ssize_t n = send_some(c, len, with_fd);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		c->broken = true;
		return false;
	}
	if (with_fd)
		fd_close(&c->passed);
	c->passed_at -= c->passed >= 0 ? (size_t)n : 0;
	buffer_drop(c->front, &c->out, (size_t)n);
	loop_clear_timer(c->front->loop, &c->stall);
	return true;
}

/* --- what has come ----------------------------------------------------------------- */

/* Takes the descriptors over. False: there are more than any call may have. */
static bool keep_fds(struct conn *c, struct msghdr *msg)
{
	bool fits = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t bytes = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + at, sizeof(fd));
			if (c->fd_count < PASSED_MAX) {
				c->fds[c->fd_count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

static void receive(struct conn *c)
{
	char control[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	struct buffer *b = &c->in;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	/* What is small stays small; what fills its buffer gets more of it. */
	if (buffer_grow(c->front, b, b->len < READ_SIZE ? BUFFER_FIRST : READ_SIZE) < 0) {
		c->broken = true;
		return;
	}
	iov.iov_base = b->data + b->start + b->len;
	iov.iov_len = b->size - b->start - b->len;
	if (iov.iov_len > READ_SIZE)
		iov.iov_len = READ_SIZE;
	n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		c->broken = errno != EAGAIN && errno != EINTR;
		return;
	}
	if (!keep_fds(c, &msg))
		c->broken = true;
	b->len += (size_t)n;
	c->ended = n == 0;
}

int conn_take_fds(struct conn *c, int *fds, unsigned count)
{
	if (count > c->fd_count)
		return -EINVAL;
	memcpy(fds, c->fds, count * sizeof(*fds));
	c->fd_count -= count;
	memmove(c->fds, c->fds + count, c->fd_count * sizeof(*fds));
	return 0;
}

/* Begins with the next message, if one is complete. */
static bool begin_next(struct conn *c)
{
	struct buffer *b = &c->in;
	const char *data;
	size_t len;

	if (b->len == 0)
		return false;
	data = b->data + b->start;
	len = varlink_message_length(data, b->len, c->seen);
	if (len == b->len) {
		c->seen = len;
		c->broken = c->broken || len > VARLINK_MESSAGE_MAX;
		return false;
	}
	loop_clear_timer(c->front->loop, &c->message);
	if (call_begin(c, data, len) < 0)
		c->broken = true;
	buffer_drop(c->front, b, len + 1);
	c->seen = 0;
	/* Those that no call has asked for, and that belong to none that is on its way.
	 */
	if (b->len == 0 && c->fd_count)
		c->broken = true;
	return !c->broken;
}

/* --- going on ---------------------------------------------------------------------- */

/* One thing. False: nothing can be done before something happens. */
static bool step(struct conn *c)
{
	size_t before;

	while (c->out.len && !c->broken && send_next(c))
		;
	if (c->broken || !conn_has_room(c))
		return false;
	if (!c->call)
		return begin_next(c);
	before = c->out.len;
	call_pump(c->call);
	return !c->call || c->out.len != before;
}

static void set_timer(struct conn *c, struct timer *t, bool wanted, uint64_t ms)
{
	struct loop *loop = c->front->loop;
	struct err e;

	if (!wanted)
		loop_clear_timer(loop, t);
	else if (!t->place && loop_set_timer(loop, t, loop_now(loop) + ms, &e) < 0)
		c->broken = true;
}

/* Waits for what can happen next; `busy`: there is more to do at once. */
static void wait_for_more(struct conn *c, bool busy)
{
	const struct front_limits *limits = c->front->limits;
	bool reads = !c->call && !c->ended && !busy && conn_has_room(c);
	uint32_t events = (reads ? EPOLLIN : 0) | (c->out.len ? EPOLLOUT : 0);
	struct err e;

	set_timer(c, &c->again, busy, 0);
	set_timer(c, &c->stall, c->out.len > 0, limits->stall_ms);
	set_timer(c, &c->message, reads && c->in.len > 0, limits->message_ms);
	if (events != c->events || !c->watch.armed) {
		if (loop_watch(c->front->loop, &c->watch, c->fd, events, &e) < 0)
			c->broken = true;
		c->events = events;
	}
	if (c->ended && !c->call && !busy && !c->out.len)
		c->broken = true;
}

void conn_advance(struct conn *c)
{
	unsigned steps = 0;

	if (c->dead)
		return;
	while (steps < TURN_STEPS && !c->broken && step(c))
		steps++;
	if (!c->broken)
		wait_for_more(c, steps == TURN_STEPS);
	if (c->broken)
		conn_close(c);
}

static void go_on(void *context)
{
	conn_advance(context);
}

static void conn_ready(void *context, uint32_t events)
{
	struct conn *c = context;

	/* Gone for good, and nothing is left to be read. Who has only ended its side may
	 * still want replies. */
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) {
		conn_close(c);
		return;
	}
	if (events & EPOLLIN)
		receive(c);
	conn_advance(c);
}

/* Says so to whoever comes when all places are taken: its first call is answered. */
static void turn_away(int fd)
{
	auto_free char *message = reply_busy("connections", FRONT_CONNS_MAX);

	if (message)
		err_ignore(send(fd, message, strlen(message) + 1,
				MSG_DONTWAIT | MSG_NOSIGNAL) < 0);
	close(fd);
}

void conn_new(struct front *f, int fd)
{
	struct conn *c = f->conn_count < FRONT_CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		turn_away(fd);
		return;
	}
	c->front = f;
	c->fd = fd;
	c->passed = -1;
	c->watch = (struct watch){ .ready = conn_ready, .context = c };
	c->message = (struct timer){ .due = too_late, .context = c };
	c->stall = (struct timer){ .due = too_late, .context = c };
	c->again = (struct timer){ .due = go_on, .context = c };
	c->next = f->conns;
	if (c->next)
		c->next->link = &c->next;
	c->link = &f->conns;
	f->conns = c;
	f->conn_count++;
	conn_advance(c);
}
