/* SPDX-License-Identifier: Apache-2.0 */
/* Moments come in their order, and nobody hears of what he does not wait for any more. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/loop.h"

enum { PIPES = 3 };

struct fixture {
	struct loop *loop;
	int pipes[PIPES][2];
	struct watch watches[PIPES];
	unsigned heard[PIPES], unwatched; /* which watch ends which */
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	for (int i = 0; i < PIPES; i++) {
		if (pipe2(f.pipes[i], O_CLOEXEC) < 0)
			return -1;
	}
	*state = &f;
	return loop_new(&f.loop, &f.e);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	for (int i = 0; i < PIPES; i++) {
		fd_close(&f->pipes[i][0]);
		fd_close(&f->pipes[i][1]);
	}
	return 0;
}

static void turn(struct fixture *f)
{
	if (loop_turn(f->loop, &f->e) < 0)
		fail_msg("%s", f->e.msg);
}

/* --- moments ----------------------------------------------------------------------- */

enum { TIMERS = 500 };

/* Those that were due, in their order. */
static uint64_t due_at[TIMERS];
static unsigned due_count;

struct alarm {
	struct timer timer;
	uint64_t at;
};

static void note(void *context)
{
	const struct alarm *a = context;

	due_at[due_count++] = a->at;
}

static void set(struct fixture *f, struct alarm *a, uint64_t at)
{
	a->timer.due = note;
	a->timer.context = a;
	a->at = at;
	if (loop_set_timer(f->loop, &a->timer, at, &f->e) < 0)
		fail_msg("%s", f->e.msg);
}

/* Every third is moved, every fifth taken back. */
static void timers_are_due_in_their_order(void **state)
{
	static struct alarm alarms[TIMERS];
	struct fixture *f = *state;
	unsigned seed = 4711, wanted = TIMERS;

	due_count = 0;
	memset(alarms, 0, sizeof(alarms));
	for (unsigned i = 0; i < TIMERS; i++)
		set(f, &alarms[i], (uint64_t)rand_r(&seed) % 1000);
	for (unsigned i = 0; i < TIMERS; i += 3)
		set(f, &alarms[i], (uint64_t)rand_r(&seed) % 1000);
	for (unsigned i = 0; i < TIMERS; i += 5, wanted--)
		loop_clear_timer(f->loop, &alarms[i].timer);
	turn(f);
	assert_int_equal(due_count, wanted);
	for (unsigned i = 1; i < due_count; i++)
		assert_true(due_at[i - 1] <= due_at[i]);
}

static void timer_waits_for_its_moment_and_comes_once(void **state)
{
	struct fixture *f = *state;
	struct alarm a = { 0 };
	uint64_t at = loop_now(f->loop) + 30;

	due_count = 0;
	set(f, &a, at);
	while (!due_count)
		turn(f);
	assert_true(loop_now(f->loop) >= at);
	assert_int_equal(a.timer.place, 0);
	set(f, &a, loop_now(f->loop) + 10);
	loop_clear_timer(f->loop, &a.timer);
	loop_clear_timer(f->loop, &a.timer);
	set(f, &a, 0);
	turn(f);
	assert_int_equal(due_count, 2);
}

struct again {
	struct fixture *fixture;
	struct timer timer;
	unsigned count;
};

static void set_again(void *context)
{
	struct again *a = context;

	a->count++;
	assert_int_equal(loop_set_timer(a->fixture->loop, &a->timer, 0, &a->fixture->e),
			 0);
}

/* Otherwise descriptors would never have their turn. */
static void timer_that_sets_itself_waits_for_the_next_turn(void **state)
{
	struct fixture *f = *state;
	struct again a = { .fixture = f };

	a.timer = (struct timer){ .due = set_again, .context = &a };
	set_again(&a);
	turn(f);
	assert_int_equal(a.count, 2);
	turn(f);
	assert_int_equal(a.count, 3);
	loop_clear_timer(f->loop, &a.timer);
}

struct pair {
	struct fixture *fixture;
	struct timer timer, *other;
	unsigned *count;
};

static void end_other(void *context)
{
	struct pair *p = context;

	++*p->count;
	loop_clear_timer(p->fixture->loop, p->other);
}

static void timer_that_another_one_takes_back_does_not_come(void **state)
{
	struct fixture *f = *state;
	unsigned count = 0;
	struct pair a = { .fixture = f, .count = &count }, b = a;

	a.other = &b.timer;
	b.other = &a.timer;
	a.timer = (struct timer){ .due = end_other, .context = &a };
	b.timer = (struct timer){ .due = end_other, .context = &b };
	assert_int_equal(loop_set_timer(f->loop, &a.timer, 1, &f->e), 0);
	assert_int_equal(loop_set_timer(f->loop, &b.timer, 1, &f->e), 0);
	turn(f);
	assert_int_equal(count, 1);
}

/* --- descriptors ------------------------------------------------------------------- */

struct hearing {
	struct fixture *fixture;
	unsigned index;
};

static struct hearing hearings[PIPES];

/* Reads, and ends all others. */
static void hear(void *context, uint32_t events)
{
	struct hearing *h = context;
	struct fixture *f = h->fixture;
	char byte;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(f->pipes[h->index][0], &byte, 1), 1);
	f->heard[h->index]++;
	for (unsigned i = 0; i < PIPES && f->unwatched; i++) {
		if (i != h->index)
			loop_unwatch(f->loop, &f->watches[i]);
	}
}

static void watch_all(struct fixture *f)
{
	for (unsigned i = 0; i < PIPES; i++) {
		hearings[i] = (struct hearing){ f, i };
		f->watches[i] = (struct watch){ .ready = hear, .context = &hearings[i] };
		if (loop_watch(f->loop, &f->watches[i], f->pipes[i][0], EPOLLIN, &f->e) <
		    0)
			fail_msg("%s", f->e.msg);
	}
}

static void say(struct fixture *f, unsigned index)
{
	assert_int_equal(write(f->pipes[index][1], "x", 1), 1);
}

static void descriptor_is_heard_as_long_as_there_is_something(void **state)
{
	struct fixture *f = *state;

	watch_all(f);
	say(f, 1);
	say(f, 1);
	turn(f);
	turn(f);
	assert_int_equal(f->heard[1], 2);
	assert_int_equal(f->heard[0] + f->heard[2], 0);
}

/* What they belong to can have been freed by the first. */
static void one_that_is_ended_in_the_same_turn_is_not_called(void **state)
{
	struct fixture *f = *state;

	watch_all(f);
	f->unwatched = true;
	for (unsigned i = 0; i < PIPES; i++)
		say(f, i);
	turn(f);
	assert_int_equal(f->heard[0] + f->heard[1] + f->heard[2], 1);
}

static void other_events_can_be_waited_for_instead(void **state)
{
	struct fixture *f = *state;
	struct alarm a = { 0 };

	watch_all(f);
	say(f, 0);
	assert_int_equal(loop_watch(f->loop, &f->watches[0], f->pipes[0][0], 0, &f->e),
			 0);
	set(f, &a, 0);
	turn(f);
	assert_int_equal(f->heard[0], 0);
	assert_int_equal(
		loop_watch(f->loop, &f->watches[0], f->pipes[0][0], EPOLLIN, &f->e), 0);
	turn(f);
	assert_int_equal(f->heard[0], 1);
}

static void what_cannot_be_watched_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct watch w = { .ready = hear };

	assert_true(loop_watch(f->loop, &w, -1, EPOLLIN, &f->e) < 0);
	assert_false(w.armed);
	loop_unwatch(f->loop, &w);
	loop_free(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(timers_are_due_in_their_order),
		CASE(timer_waits_for_its_moment_and_comes_once),
		CASE(timer_that_sets_itself_waits_for_the_next_turn),
		CASE(timer_that_another_one_takes_back_does_not_come),
		CASE(descriptor_is_heard_as_long_as_there_is_something),
		CASE(one_that_is_ended_in_the_same_turn_is_not_called),
		CASE(other_events_can_be_waited_for_instead),
		CASE(what_cannot_be_watched_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
