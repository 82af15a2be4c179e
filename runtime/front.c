/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/confine.h"
#include "runtime/front_parts.h"

enum {
	TURN_RECORDS = 64, /* taken from the broker before others have their turn */
	OUTBOX_FULL = 2 * FRONT_CALLS_MAX,
};

struct front_limits front_limits_defaults(void)
{
	return (struct front_limits){
		.message_ms = 10 * 1000,
		.stall_ms = 30 * 1000,
		.drain_ms = 100,
		.forget_ms = 10 * 60 * 1000,
		.memory = FRONT_MEMORY_MAX,
	};
}

int front_reserve(struct front *f, size_t size)
{
	if (size > f->limits->memory - f->held)
		return -EBUSY;
	f->held += size;
	return 0;
}

void front_release(struct front *f, size_t size)
{
	bug_on(size > f->held);
	f->held -= size;
}

void front_fail(struct front *f, int r)
{
	if (f->failure == 0)
		f->failure = r;
}

/* --- records to the broker --------------------------------------------------------- */

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void watch_broker(struct front *f)
{
	uint32_t events = EPOLLIN | (f->outbox ? EPOLLOUT : 0);
	struct err e;
	int r = loop_watch(f->loop, &f->broker_watch, f->broker, events, &e);

	if (r < 0)
		front_fail(f, r);
}

static int enqueue(struct front *f, const struct wire_request *rq, const int *fds,
		   unsigned count)
{
	struct record *record = calloc(1, sizeof(*record));
	unsigned waiting = 0;

	for (const struct record *w = f->outbox; w; w = w->next)
		waiting++;
	/* A broker that takes nothing and still hands clients over is not itself. */
	if (!record || waiting >= OUTBOX_FULL) {
		free(record);
		return -ENOMEM;
	}
	record->request = *rq;
	for (record->count = 0; record->count < count; record->count++)
		record->fds[record->count] = fds[record->count];
	*f->outbox_end = record;
	f->outbox_end = &record->next;
	watch_broker(f);
	return 0;
}

/* Nobody is left to be told anything: the process is about to end. */
static bool broker_gone(struct front *f, int r)
{
	if (r == -EPIPE || r == -ECONNRESET)
		f->finished = true;
	return f->finished;
}

int front_send(struct front *f, const struct wire_request *rq, const int *fds,
	       unsigned count)
{
	int r = -EAGAIN;

	if (!f->outbox)
		r = wire_send(f->broker, rq, sizeof(*rq), fds, count);
	if (r == -EAGAIN) {
		r = enqueue(f, rq, fds, count);
		if (r == 0)
			return 0;
	}
	close_all(fds, count);
	return broker_gone(f, r) ? 0 : r;
}

static void remove_record(struct front *f, struct record **link)
{
	struct record *record = *link;

	*link = record->next;
	if (!record->next)
		f->outbox_end = link;
	close_all(record->fds, record->count);
	free(record);
}

bool front_unsend(struct front *f, uint32_t tag)
{
	for (struct record **link = &f->outbox; *link; link = &(*link)->next) {
		const struct wire_request *rq = &(*link)->request;

		if (rq->tag == tag && rq->type != WIRE_DROP) {
			remove_record(f, link);
			return true;
		}
	}
	return false;
}

static void send_waiting(struct front *f)
{
	while (f->outbox) {
		struct record *record = f->outbox;
		int r = wire_send(f->broker, &record->request, sizeof(record->request),
				  record->fds, record->count);

		if (r == -EAGAIN)
			return;
		/* What cannot be said now would be missed for good. */
		if (r < 0 && !broker_gone(f, r))
			front_fail(f, r);
		remove_record(f, &f->outbox);
	}
	watch_broker(f);
}

/* --- records from the broker ------------------------------------------------------- */

static void take_record(struct front *f, const struct wire_reply *rp, int fd)
{
	struct call *call = f->calls[rp->tag % FRONT_CALLS_MAX];

	if (rp->type == WIRE_CONNECTION && fd >= 0) {
		f->taken++;
		conn_new(f, fd);
	} else if (rp->tag && call && call->tag == rp->tag) {
		call_take_reply(call, rp, fd);
	} else if (fd >= 0) {
		/* To a client that has gone meanwhile. */
		close(fd);
	}
}

static void broker_ready(void *context, uint32_t events)
{
	struct front *f = context;

	if (events & EPOLLOUT)
		send_waiting(f);
	for (unsigned i = 0; i < TURN_RECORDS && !f->finished; i++) {
		struct wire_reply rp;
		unsigned count = 0;
		int fd = -1, r;

		r = wire_receive(f->broker, &rp, sizeof(rp), &fd, 1, &count);
		if (r == -EAGAIN)
			return;
		if (r < 0)
			front_fail(f, r);
		if (r <= 0) {
			f->finished = true;
			return;
		}
		take_record(f, &rp, count ? fd : -1);
	}
}

/* --- who has left ------------------------------------------------------------------ */

/* Is nothing left of anybody: no connection, no command about to start, no output that
 * may still be asked for? */
static bool is_idle(const struct front *f)
{
	if (f->conn_count || f->detached)
		return false;
	for (unsigned i = 0; i < FRONT_CALLS_MAX; i++) {
		if (f->calls[i])
			return false;
	}
	return true;
}

/* After all that has been asked for: what is still to be sent goes first. */
static void tell_who_left(struct front *f)
{
	const struct wire_left left = { .ended = f->taken - f->conn_count,
					.idle = is_idle(f) };
	const struct wire_request rq = { .type = WIRE_LEFT, .left = left };
	bool news = left.ended != f->told.ended || left.idle > f->told.idle;
	int r;

	if (f->outbox || f->finished)
		return;
	f->told = left;
	r = news ? front_send(f, &rq, NULL, 0) : 0;
	if (r < 0)
		front_fail(f, r);
}

/* --- the process ------------------------------------------------------------------- */

static void take_down(struct front *f)
{
	while (f->conns)
		conn_close(f->conns);
	conn_free_dead(f);
	for (unsigned i = 0; i < FRONT_CALLS_MAX; i++) {
		if (f->calls[i])
			call_free(f->calls[i]);
	}
	while (f->detached)
		capture_free(f->detached);
	while (f->outbox)
		remove_record(f, &f->outbox);
	loop_unwatch(f->loop, &f->broker_watch);
	loop_free(f->loop);
	fd_close(&f->broker);
}

int front_serve(int broker, const struct front_limits *limits, struct err *e)
{
	auto_free struct front *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		close(broker);
		return err_set(e, ENOMEM, "begin to serve");
	}
	f->limits = limits;
	f->broker = broker;
	f->outbox_end = &f->outbox;
	f->told.idle = true;
	f->broker_watch.ready = broker_ready;
	f->broker_watch.context = f;
	r = loop_new(&f->loop, e);
	if (r < 0) {
		close(broker);
		return r;
	}
	watch_broker(f);
	while (r == 0 && !f->finished && !f->failure) {
		r = loop_turn(f->loop, e);
		conn_free_dead(f);
		tell_who_left(f);
	}
	if (r == 0 && f->failure)
		r = err_set(e, -f->failure, "talk to the broker");
	take_down(f);
	return r;
}

/* For the order of fields in memory, which clients could otherwise make slow. Must come
 * while random bytes can still be had of a file. */
static void seed_json(void)
{
	size_t seed = 0;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 0;
	json_object_seed(seed);
}

int front_main(int broker, uid_t uid, gid_t gid, struct err *e)
{
	const struct front_limits limits = front_limits_defaults();
	int r;

	seed_json();
	r = confine_self(&broker, uid, gid, e);
	if (r < 0)
		return r;
	return front_serve(broker, &limits, e);
}
