/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for descriptors and for moments, one thing after the other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

/* A descriptor that is waited for. Lives in what it belongs to; zero before its first
 * use. */
struct watch {
	void (*ready)(void *context, uint32_t events); /* EPOLLIN and so on */
	void *context;
	int fd; /* valid while armed; not owned */
	bool armed;
};

/* A moment that is waited for. Lives in what it belongs to; zero before its first use. */
struct timer {
	void (*due)(void *context);
	void *context;
	uint64_t at;
	size_t place; /* in the loop's heap, from 1; 0: not armed */
};

/* A loop that waits for nothing; *ret is for loop_free(). */
must_check int loop_new(struct loop **ret, struct err *e);
/* Watches and timers must not be used afterwards. Harmless on NULL. */
void loop_free(struct loop *loop);

/* Milliseconds of CLOCK_BOOTTIME, which goes on while the machine sleeps and is nobody's
 * to set, as of the beginning of this turn. */
uint64_t loop_now(const struct loop *loop);

/* Waits for `events` (EPOLLIN, …; level-triggered) of fd from now on, or for others than
 * so far. */
must_check int loop_watch(struct loop *loop, struct watch *w, int fd, uint32_t events,
			  struct err *e);

/* Must come before the descriptor is closed. Harmless if not armed. From then on, ready()
 * is not called, not even for what has already happened. */
void loop_unwatch(struct loop *loop, struct watch *w);

/* Calls due() once, at that moment or as soon as possible afterwards. */
must_check int loop_set_timer(struct loop *loop, struct timer *t, uint64_t at,
			      struct err *e);
void loop_clear_timer(struct loop *loop, struct timer *t);

/* One turn: waits until something is due or ready, and calls what belongs to it. */
must_check int loop_turn(struct loop *loop, struct err *e);
