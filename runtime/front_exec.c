/* SPDX-License-Identifier: Apache-2.0 */
/* Output of commands whose clients have passed no descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "runtime/front_parts.h"

enum {
	DRAIN_READS = 64, /* of FRONT_CHUNK bytes: more than a pipe holds */
	/* Whoever has such a pipe as /dev/stdout may open it, whatever its id inside. */
	PIPE_MODE = 0622,
};

/* --- reading ----------------------------------------------------------------------- */

static void end_of_stream(struct pipe_end *p)
{
	loop_unwatch(p->capture->front->loop, &p->watch);
	fd_close(&p->fd);
}

/* Takes what one read() gives. False: nothing is there. */
static bool take_some(struct pipe_end *p)
{
	struct front *f = p->capture->front;
	ssize_t n;

	if (p->fd < 0)
		return false;
	n = read(p->fd, f->raw, sizeof(f->raw));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0)
		stream_put(&p->kept, f->raw, (size_t)n);
	else
		end_of_stream(p);
	return n > 0;
}

static bool has_ended(const struct capture *c)
{
	return c->pipes[0].fd < 0 && c->pipes[1].fd < 0;
}

/* Has the broker end a command that has written more than it may. */
static void end_if_too_many(struct pipe_end *p)
{
	struct capture *c = p->capture;
	struct wire_request drop = { .type = WIRE_DROP, .end.reason = WIRE_OUTPUT };
	int r;

	if (!c->call || c->told || c->call->ended || p->kept.total <= c->end_above)
		return;
	c->told = true;
	drop.tag = c->call->tag;
	r = front_send(c->front, &drop, NULL, 0);
	if (r < 0)
		front_fail(c->front, r);
}

static void forget(void *context)
{
	capture_free(context);
}

static void start_forgetting(struct capture *c)
{
	struct front *f = c->front;
	struct err e;

	if (loop_set_timer(f->loop, &c->forget, loop_now(f->loop) + f->limits->forget_ms,
			   &e) < 0)
		capture_free(c);
}

static void pipe_ready(void *context, uint32_t events)
{
	struct pipe_end *p = context;
	struct capture *c = p->capture;
	struct conn *conn = c->call ? c->call->conn : NULL;

	(void)events;
	take_some(p);
	end_if_too_many(p);
	if (has_ended(c) && c->call && c->call->ended)
		call_output_over(c->call);
	else if (has_ended(c) && !c->call)
		start_forgetting(c);
	if (conn)
		conn_advance(conn);
}

bool capture_drain(struct capture *c)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned n = 0; n < DRAIN_READS && take_some(&c->pipes[i]); n++)
			;
	}
	return has_ended(c);
}

void capture_close(struct capture *c)
{
	for (unsigned i = 0; i < 2; i++)
		end_of_stream(&c->pipes[i]);
}

/* --- making and keeping ------------------------------------------------------------ */

/* Of each stream: the head, then the tail. */
static void divide(const struct request *rq, size_t *ret_head, size_t *ret_tail)
{
	size_t size = (size_t)rq->max_output;

	*ret_tail = size / 2;
	if (rq->end_on_max_output)
		*ret_tail = 0;
	*ret_head = size - *ret_tail;
	if (rq->wire.exec.detach) {
		*ret_head = 0;
		*ret_tail = FRONT_RING_SIZE;
	}
}

/* Forgets the detached exec that has ended first. False: there is none. */
static bool forget_oldest(struct front *f)
{
	struct capture *oldest = NULL;

	for (struct capture *c = f->detached; c; c = c->next) {
		if (has_ended(c) && (!oldest || c->forget.at < oldest->forget.at))
			oldest = c;
	}
	if (oldest)
		capture_free(oldest);
	return oldest != NULL;
}

static int reserve(struct front *f, bool detach, size_t size)
{
	while (detach && f->detached_count >= FRONT_DETACHED_MAX) {
		if (!forget_oldest(f))
			return -EBUSY;
	}
	while (front_reserve(f, size) < 0) {
		if (!forget_oldest(f))
			return -EBUSY;
	}
	return 0;
}

static int open_pipe(struct pipe_end *p, int *ret_write, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	p->fd = fds[0];
	*ret_write = fds[1];
	/* Of our end alone: the other one is another description. */
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 || fchmod(fds[1], PIPE_MODE) < 0)
		return err_set(e, errno, "set up a pipe");
	return loop_watch(p->capture->front->loop, &p->watch, p->fd, EPOLLIN, e);
}

static int open_all(struct capture *c, const struct request *rq, int *fds, struct err *e)
{
	auto_fd in = -1, out = -1, error = -1;
	int r = wire_memfd("carrel-stdin", rq->input ? rq->input : "", rq->input_size,
			   &in, e);

	if (r == 0)
		r = open_pipe(&c->pipes[0], &out, e);
	if (r == 0)
		r = open_pipe(&c->pipes[1], &error, e);
	if (r < 0)
		return r;
	fds[0] = fd_take(&in);
	fds[1] = fd_take(&out);
	fds[2] = fd_take(&error);
	return 0;
}

int capture_new(struct call *call, const struct request *rq, int *fds, struct err *e)
{
	struct front *f = call->front;
	struct capture *c;
	size_t head, tail;
	int r;

	divide(rq, &head, &tail);
	if (reserve(f, rq->wire.exec.detach, 2 * (head + tail)) < 0)
		return err_say(e, EBUSY, "too much output is kept");
	c = calloc(1, sizeof(*c));
	if (!c) {
		front_release(f, 2 * (head + tail));
		return err_set(e, ENOMEM, "keep a command's output");
	}
	c->front = f;
	c->call = call;
	c->reserved = 2 * (head + tail);
	c->end_above = rq->end_on_max_output ? rq->max_output : UINT64_MAX;
	c->forget = (struct timer){ .due = forget, .context = c };
	for (unsigned i = 0; i < 2; i++)
		c->pipes[i] = (struct pipe_end){
			.capture = c,
			.fd = -1,
			.watch = { .ready = pipe_ready, .context = &c->pipes[i] },
			.kept = stream_of(head, tail),
		};
	r = open_all(c, rq, fds, e);
	if (r < 0) {
		capture_free(c);
		return r;
	}
	call->capture = c;
	return 0;
}

void capture_free(struct capture *c)
{
	struct front *f;

	if (!c)
		return;
	f = c->front;
	capture_close(c);
	for (unsigned i = 0; i < 2; i++)
		stream_free(&c->pipes[i].kept);
	loop_clear_timer(f->loop, &c->forget);
	front_release(f, c->reserved);
	if (c->link) {
		*c->link = c->next;
		if (c->next)
			c->next->link = c->link;
		f->detached_count--;
	}
	free(c);
}

void capture_detach(struct capture *c, const char *name, const char *exec)
{
	struct front *f = c->front;
	struct capture *same = capture_find(f, name, exec);

	/* An id is used again: its first exec is long gone. */
	if (same)
		capture_free(same);
	c->call = NULL;
	memcpy(c->name, name, sizeof(c->name));
	memcpy(c->exec, exec, sizeof(c->exec));
	c->next = f->detached;
	if (c->next)
		c->next->link = &c->next;
	c->link = &f->detached;
	f->detached = c;
	f->detached_count++;
	if (has_ended(c))
		start_forgetting(c);
}

struct capture *capture_find(const struct front *f, const char *name, const char *exec)
{
	struct capture *c = f->detached;

	while (c && (strcmp(c->name, name) != 0 || strcmp(c->exec, exec) != 0))
		c = c->next;
	return c;
}

/* --- what it has written ----------------------------------------------------------- */

uint64_t capture_truncated(const struct capture *c)
{
	uint64_t truncated = 0;

	for (unsigned i = 0; i < 2; i++)
		truncated += c->pipes[i].kept.total - stream_kept(&c->pipes[i].kept);
	return truncated;
}

char *capture_output(const struct capture *c, const struct request *rq)
{
	const struct pipe_end *p = &c->pipes[rq->stream];
	uint64_t oldest = p->kept.total - stream_kept(&p->kept);
	uint64_t start = rq->offset < oldest ? oldest : rq->offset;
	auto_free char *raw = NULL, *text = NULL;
	size_t len = 0;
	json_t *parameters;

	if (start > p->kept.total)
		start = p->kept.total;
	len = (size_t)(p->kept.total - start);
	raw = malloc(len + 1);
	text = malloc(base64_length(len) + 1);
	if (!raw || !text)
		return NULL;
	len = stream_copy(&p->kept, (size_t)(start - oldest), raw, len);
	base64_encode(raw, len, text);
	parameters = json_pack("{s:I, s:s%, s:I, s:b}", "start", (json_int_t)start,
			       "data", text, base64_length(len), "next",
			       (json_int_t)(start + len), "end", p->fd < 0);
	return varlink_reply(parameters, false);
}
