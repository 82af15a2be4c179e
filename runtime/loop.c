/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/fd.h"
#include "runtime/loop.h"

enum { BATCH = 64 }; /* events taken at once */

struct loop {
	int epoll;
	uint64_t now;
	struct epoll_event batch[BATCH];
	int batch_count;
	struct timer **heap; /* from 1 on; the earliest is heap[1] */
	size_t heap_count, heap_room;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int loop_new(struct loop **ret, struct err *e)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return err_set(e, ENOMEM, "make an event loop");
	loop->now = clock_ms();
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return err_set(e, errno, "make an event loop");
	}
	*ret = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	fd_close(&loop->epoll);
	free(loop->heap);
	free(loop);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now;
}

/* --- descriptors ------------------------------------------------------------------- */

int loop_watch(struct loop *loop, struct watch *w, int fd, uint32_t events, struct err *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (epoll_ctl(loop->epoll, w->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_set(e, errno, "watch a descriptor");
	w->fd = fd;
	w->armed = true;
	return 0;
}

void loop_unwatch(struct loop *loop, struct watch *w)
{
	if (!w->armed)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	w->armed = false;
	for (int i = 0; i < loop->batch_count; i++) {
		if (loop->batch[i].data.ptr == w)
			loop->batch[i].data.ptr = NULL;
	}
}

/* --- moments ----------------------------------------------------------------------- */

static void place(struct loop *loop, struct timer *t, size_t i)
{
	loop->heap[i] = t;
	t->place = i;
}

static void move_up(struct loop *loop, struct timer *t, size_t i)
{
	for (; i > 1 && loop->heap[i / 2]->at > t->at; i /= 2)
		place(loop, loop->heap[i / 2], i);
	place(loop, t, i);
}

static void move_down(struct loop *loop, struct timer *t, size_t i)
{
	for (;;) {
		size_t child = 2 * i;

		if (child > loop->heap_count)
			break;
		if (child < loop->heap_count &&
		    loop->heap[child + 1]->at < loop->heap[child]->at)
			child++;
		if (loop->heap[child]->at >= t->at)
			break;
		place(loop, loop->heap[child], i);
		i = child;
	}
	place(loop, t, i);
}

void loop_clear_timer(struct loop *loop, struct timer *t)
{
	struct timer *last;
	size_t i = t->place;

	if (!i)
		return;
	t->place = 0;
	last = loop->heap[loop->heap_count--];
	if (last == t)
		return;
	move_up(loop, last, i);
	move_down(loop, last, last->place);
}

int loop_set_timer(struct loop *loop, struct timer *t, uint64_t at, struct err *e)
{
	loop_clear_timer(loop, t);
	if (loop->heap_count + 1 >= loop->heap_room) {
		size_t room = loop->heap_room ? 2 * loop->heap_room : 64;
		struct timer **heap =
			reallocarray(loop->heap, room, sizeof(struct timer *));

		if (!heap)
			return err_set(e, ENOMEM, "set a timer");
		loop->heap = heap;
		loop->heap_room = room;
	}
	t->at = at;
	move_up(loop, t, ++loop->heap_count);
	return 0;
}

/* --- turns ------------------------------------------------------------------------- */

static int time_left(const struct loop *loop)
{
	uint64_t now = clock_ms(), at;

	if (!loop->heap_count)
		return -1;
	at = loop->heap[1]->at;
	if (at <= now)
		return 0;
	return at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

static void run_timers(struct loop *loop)
{
	/* Those that are set meanwhile for now or earlier wait for the next turn. */
	for (size_t left = loop->heap_count; left && loop->heap_count; left--) {
		struct timer *t = loop->heap[1];

		if (t->at > loop->now)
			return;
		loop_clear_timer(loop, t);
		t->due(t->context);
	}
}

int loop_turn(struct loop *loop, struct err *e)
{
	int n = epoll_wait(loop->epoll, loop->batch, BATCH, time_left(loop));

	if (n < 0 && errno != EINTR)
		return err_set(e, errno, "wait for events");
	loop->now = clock_ms();
	loop->batch_count = n < 0 ? 0 : n;
	for (int i = 0; i < loop->batch_count; i++) {
		struct watch *w = loop->batch[i].data.ptr;

		if (w)
			w->ready(w->context, loop->batch[i].events);
	}
	loop->batch_count = 0;
	run_timers(loop);
	return 0;
}
