/* SPDX-License-Identifier: Apache-2.0 */
/* The groups of commands: made before a command comes, removed when it has ended.
 *
 * For the kernel either is as much work as starting a command that does nothing. Nobody
 * waits for it here: the worker that has started a command makes the groups of the next
 * one while that runs, and what has ended is removed by the dozen, a moment later. */
#include "runtime/broker_state.h"

enum {
	TIDY_MS = 100, /* from an end to the removal */
	TIDY_STEP_MS = 5, /* to the next one where somebody was still dying, at first */
	TIDY_MAX_MS = 1000, /* in the end */
	UNPREPARE_MS = 3000, /* a sandbox whose next command does not come is idle */
	FORGET_MS = 600000, /* how long the result of a detached one is kept */
	KEPT_MAX = 64, /* such results of a sandbox */
};

/* --- afterwards -------------------------------------------------------------------- */

/* Who never waits for any must not fill the memory. */
static void make_room(const struct box *box)
{
	struct exec *x, *oldest = NULL;
	unsigned count = 0;

	LIST_FOREACH(x, &box->execs, next) {
		if (!x->forget.place)
			continue;
		count++;
		if (!oldest || x->forget.at <= oldest->forget.at)
			oldest = x;
	}
	if (count >= KEPT_MAX)
		exec_free(oldest);
}

static void end_of_groups(struct exec *x)
{
	struct broker *b = x->broker;
	struct err e;

	x->leaves = false;
	resident_exec_close(&x->running);
	make_room(x->box);
	if (exec_is_over(x) ||
	    loop_set_timer(b->loop, &x->forget, loop_now(b->loop) + FORGET_MS, &e) < 0)
		exec_free(x);
}

/* The first of those that leave, among WORKER_TIDY_MAX numbers from `first` on. */
static struct exec *find_leaving(const struct box *box, uint64_t first, uint64_t those)
{
	struct exec *x;

	LIST_FOREACH(x, &box->execs, next) {
		if (x->leaves && x->number - first < WORKER_TIDY_MAX &&
		    those >> (x->number - first) & 1)
			return x;
	}
	return NULL;
}

/* One search for each: with the groups of one, another one may be forgotten. */
static void end_all(struct box *box, uint64_t first, uint64_t those)
{
	struct exec *x;

	while ((x = find_leaving(box, first, those)))
		end_of_groups(x);
}

/* The one that leaves with the lowest number from `from` on, or NULL. */
static struct exec *oldest_leaving(const struct box *box, uint64_t from)
{
	struct exec *x, *oldest = NULL;

	LIST_FOREACH(x, &box->execs, next) {
		if (x->leaves && x->number >= from &&
		    (!oldest || x->number < oldest->number))
			oldest = x;
	}
	return oldest;
}

/* What has died with its sandbox is removed with that; so is, without memory for a
 * timer, what is empty. */
static void end_without_tidying(struct box *box)
{
	struct exec *x;

	while ((x = oldest_leaving(box, 0)))
		end_of_groups(x);
}

static void tidy_after(struct box *box, uint32_t delay)
{
	struct loop *loop = box->broker->loop;
	struct err e;

	if (!box->alive ||
	    loop_set_timer(loop, &box->tidy, loop_now(loop) + delay, &e) < 0)
		end_without_tidying(box);
}

/* Again and again, until everybody has left. */
static void tidied(void *context, const struct worker_result *result, int *fds,
		   unsigned count)
{
	struct box *box = context;

	(void)fds;
	(void)count;
	end_all(box, box->tidy_first, result->gone);
	box->tidying = false;
	if (result->gone || !box->tidy_delay)
		box->tidy_delay = TIDY_STEP_MS;
	else if (box->tidy_delay < TIDY_MAX_MS)
		box->tidy_delay *= 2;
	if (oldest_leaving(box, 0))
		tidy_after(box, box->tidy_delay);
	box_order_done(box);
}

void exec_tidy(void *context)
{
	struct worker_order order = { .type = WORKER_TIDY };
	struct box *box = context;
	struct exec *x = oldest_leaving(box, box->tidy_first + WORKER_TIDY_MAX);
	struct err e;

	/* The others again: one that does not end must not keep those behind it. */
	if (!x)
		x = oldest_leaving(box, 0);
	if (box->tidying || !x)
		return;
	if (!box->alive)
		return end_without_tidying(box);
	box->tidy_first = order.first = x->number;
	LIST_FOREACH(x, &box->execs, next) {
		if (x->leaves && x->number - order.first < WORKER_TIDY_MAX)
			order.those |= UINT64_C(1) << (x->number - order.first);
	}
	box->tidying = box_order(box, &order, NULL, 0, tidied, box, &e) == 0;
	if (!box->tidying)
		tidy_after(box, TIDY_MAX_MS);
}

void exec_leave(struct exec *x)
{
	struct box *box = x->box;

	x->leaves = true;
	if (!box->alive)
		end_of_groups(x);
	else if (!box->tidying && !box->tidy.place)
		tidy_after(box, TIDY_MS);
}

/* --- beforehand -------------------------------------------------------------------- */

static void unprepared(void *context, const struct worker_result *result, int *fds,
		       unsigned count)
{
	/* What is left is empty, and removed with the sandbox. */
	(void)result;
	(void)fds;
	(void)count;
	box_order_done(context);
}

static void remove_prepared(struct box *box, uint64_t number)
{
	struct worker_order order = { .type = WORKER_TIDY, .first = number, .those = 1 };
	struct err e;

	err_ignore(box_order(box, &order, NULL, 0, unprepared, box, &e) < 0);
}

void exec_unprepare(void *context)
{
	struct box *box = context;
	uint64_t number = box->prepared;

	if (!number || !box->alive)
		return;
	/* Nobody may take them from now on. */
	if (box->next_exec < number)
		box->next_exec = number;
	box->prepared = 0;
	remove_prepared(box, number);
}

void exec_prepare_next(struct exec *x, struct worker_order *order)
{
	struct box *box = x->box;

	order->prepared = x->number == box->prepared;
	if (order->prepared)
		box->prepared = 0;
	if (box->prepared > box->next_exec)
		return;
	/* Of a command that was never started. */
	exec_unprepare(box);
	loop_clear_timer(x->broker->loop, &box->unprepare);
	x->prepares = box->prepared = box->next_exec + 1;
	worker_name_exec(order->next_id, x->prepares);
}

/* Is there one of that number whose groups are there, or yet to be made? They go with
 * it. */
static bool has_groups(const struct box *box, uint64_t number)
{
	const struct exec *x;

	LIST_FOREACH(x, &box->execs, next) {
		if (x->number == number)
			return x->state != EXEC_ENDED || x->leaves;
	}
	return false;
}

void exec_prepared_next(struct exec *x)
{
	struct loop *loop = x->broker->loop;
	struct box *box = x->box;
	uint64_t number = x->prepares;
	struct err e;

	x->prepares = 0;
	if (!number || !box->alive)
		return;
	/* Whose they are may have come and gone while they were still being made. */
	if (box->prepared != number && !has_groups(box, number))
		remove_prepared(box, number);
	else if (box->prepared == number &&
		 loop_set_timer(loop, &box->unprepare, loop_now(loop) + UNPREPARE_MS,
				&e) < 0)
		exec_unprepare(box);
}
