/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier daemon has left, and what this one leaves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/broker_state.h"

static int adopt(struct broker *b, struct definition *d, enum pool_state state,
		 uint64_t started, struct box **ret, struct err *e)
{
	const struct pool_past past = { .state = state,
					.generation = d->generation,
					.started = started };
	struct pool_spec spec;
	pool_id id;
	int r;

	r = fronts_set_client(b, d->client, e);
	if (r < 0)
		return r;
	box_spec(b, d, &spec);
	r = pool_adopt(b->pool, loop_now(b->loop), d->client, d->completed.name, &spec,
		       &past, &id, e);
	if (r == 0)
		r = box_new(b, id, d, ret, e);
	return r;
}

/* When it was made, or (one that had been a spare) when it was bound to its client. */
static uint64_t start_of(const struct resident *r, const struct definition *d)
{
	uint64_t init = r->init_start * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);

	return init > d->started ? init : d->started;
}

static int take_in(struct broker *b, uint32_t slot, struct err *e)
{
	struct resident resident = RESIDENT_NONE;
	struct definition d = { 0 };
	auto_free void *label = NULL;
	struct box *box = NULL;
	size_t size;
	int r = resident_open(b->config, &b->host, slot, &resident, &label, &size, e);

	if (r == 0)
		r = definition_decode(label, size, &d, e);
	/* Spares are made anew: one may have been half-bound. */
	if (r == 0 && d.client == DEFINITION_NOBODY)
		r = err_say(e, ESTALE, "a spare of an earlier daemon");
	if (r == 0 && d.completed.auto_remove)
		r = err_say(e, ESTALE, "who made it went with an earlier daemon");
	if (r == 0)
		r = adopt(b, &d, POOL_RUNNING, start_of(&resident, &d), &box, e);
	if (r < 0) {
		definition_free(&d);
		resident_close(&resident);
		return r;
	}
	b->adopted++;
	return box_taken_in(box, &resident, e);
}

enum {
	STRAYS_MS = 100, /* before a look for what nobody has */
	STRAYS_MAX_MS = 60000, /* and at most after some that could not be removed */
};

static void look_again(struct broker *b)
{
	struct err e;

	if (!b->stray_timer.place)
		err_ignore(loop_set_timer(b->loop, &b->stray_timer,
					  loop_now(b->loop) + b->stray_delay, &e) < 0);
}

static void swept(void *context, const struct worker_result *result, int *fds,
		  unsigned count)
{
	struct broker *b = context;

	(void)fds;
	(void)count;
	if (result->code == 0)
		return;
	log_warning("sandbox.stays", log_text("why", result->err.msg));
	if (b->stray_timer.place)
		return;
	b->stray_delay = b->stray_delay ? 2 * b->stray_delay : STRAYS_MS;
	if (b->stray_delay > STRAYS_MAX_MS)
		b->stray_delay = STRAYS_MAX_MS;
	look_again(b);
}

/* Who has it now: when it is its turn, the slot may be somebody else's. */
static int remove_slot(struct broker *b, uint32_t slot, const char *why, struct err *e)
{
	struct worker_order order = { .type = WORKER_REMOVE, .slot = slot };
	struct err ignored;

	if (resident_find_id(b->config, slot, order.resident.id, &ignored) < 0)
		return 0;
	log_info("sandbox.removed", log_text("id", order.resident.id),
		 log_text("why", why));
	return crew_order(b->crew, &order, NULL, 0, swept, b, e);
}

/* What cannot be taken in is nobody's: dead, half-built, or without a label that makes
 * sense. */
static int take_in_or_remove(void *context, uint32_t slot, struct err *e)
{
	struct broker *b = context;
	struct err why;
	int r = take_in(b, slot, &why);

	if (r == 0)
		return 0;
	/* Not its fault: it may be perfectly well. */
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) {
		*e = why;
		return err_wrap(e, "take in the sandbox of slot %u", slot);
	}
	return remove_slot(b, slot, why.msg, e);
}

static int take_in_stopped(void *context, struct definition *d, struct err *e)
{
	struct err ignored;
	struct box *box;

	(void)e;
	/* One that lives has been taken in already. */
	if (adopt(context, d, POOL_STOPPED, 0, &box, &ignored) < 0)
		definition_free(d);
	return 0;
}

static void report_skipped(void *context, const char *file, const struct err *why)
{
	broker_event(context, 0, "skip", file, NULL, why->msg);
}

static bool is_known(const struct broker *b, const char *id)
{
	uint32_t slot = resident_slot_of(id);
	char recorded[CGROUP_NAME_MAX];
	const struct box *box;
	size_t cursor = 0;
	struct err ignored;

	if (spares_have(b, slot))
		return true;
	while ((box = idmap_each(&b->boxes, &cursor))) {
		if (!strcmp(box->resident.id, id))
			return true;
	}
	/* Last, as it reads a file: at a restart nearly all have a box. */
	return resident_find_id(b->config, slot, recorded, &ignored) == 0 &&
	       !strcmp(recorded, id);
}

/* A group of ours whose record is damaged or gone: what lives there is out of anybody's
 * hands. */
static int remove_unrecorded(void *context, const char *id, struct err *e)
{
	struct worker_order order = { .type = WORKER_REMOVE, .slot = UINT32_MAX };
	struct broker *b = context;

	if (is_known(b, id))
		return 0;
	bug_on(str_format(order.resident.id, sizeof(order.resident.id), "%s", id) < 0);
	log_warning("sandbox.removed", log_text("id", id),
		    log_text("why", "it has no record"));
	return crew_order(b->crew, &order, NULL, 0, swept, b, e);
}

int boxes_adopt(struct broker *b, struct err *e)
{
	int r = resident_each(b->config, take_in_or_remove, b, e);

	if (r == 0)
		r = resident_each_group(b->config, &b->host, remove_unrecorded, b, e);
	if (r == 0)
		r = definition_each(
			b->definitions,
			&(struct definition_visitor){ .found = take_in_stopped,
						      .skipped = report_skipped,
						      .context = b },
			e);
	return r;
}

/* --- what nobody has ---------------------------------------------------------------- */

static bool has_box(const struct broker *b, uint32_t slot)
{
	const struct box *box;
	size_t cursor = 0;

	while ((box = idmap_each(&b->boxes, &cursor))) {
		if (box->resident.init.pidfd >= 0 && box->resident.slot == slot)
			return true;
	}
	return false;
}

static int remove_stray(void *context, uint32_t slot, struct err *e)
{
	struct broker *b = context;

	if (has_box(b, slot) || spares_have(b, slot))
		return 0;
	return remove_slot(b, slot, "nobody has it", e);
}

void boxes_have_strays(struct broker *b)
{
	b->stray_delay = STRAYS_MS;
	look_again(b);
}

/* Not while any is being made: whose that will be is not known before it is there. */
void boxes_look_for_strays(void *context)
{
	struct broker *b = context;
	struct err e;

	if (crew_is_building(b->crew) ||
	    resident_each(b->config, remove_stray, b, &e) < 0 ||
	    resident_each_group(b->config, &b->host, remove_unrecorded, b, &e) < 0)
		look_again(b);
}

/* --- the end ----------------------------------------------------------------------- */

void boxes_discard_held(struct broker *b)
{
	struct box *box;
	size_t cursor = 0;

	while ((box = idmap_each(&b->boxes, &cursor))) {
		if (box->definition.completed.auto_remove)
			pool_discard(b->pool, loop_now(b->loop), box->id);
	}
}

void boxes_end_execs(struct broker *b)
{
	struct box *box;
	struct exec *x;
	size_t cursor = 0;

	while ((box = idmap_each(&b->boxes, &cursor))) {
		LIST_FOREACH(x, &box->execs, next)
			exec_kill(x, WIRE_STOPPED);
	}
}

bool boxes_busy(const struct broker *b)
{
	const struct box *box;
	const struct exec *x;
	struct pool_row row;
	size_t cursor = 0;

	while ((box = idmap_each(&b->boxes, &cursor))) {
		if (box->orders ||
		    (pool_look(b->pool, box->id, &row) && row.state == POOL_STOPPING))
			return true;
		LIST_FOREACH(x, &box->execs, next) {
			if (x->running.cgroup >= 0 || x->state == EXEC_STARTING)
				return true;
		}
	}
	return false;
}

bool boxes_know(const struct broker *b, pid_t pid)
{
	const struct box *box;
	const struct exec *x;
	size_t cursor = 0;

	while ((box = idmap_each(&b->boxes, &cursor))) {
		if (box->resident.init.pid == pid)
			return true;
		LIST_FOREACH(x, &box->execs, next) {
			if (x->running.main.pid == pid)
				return true;
		}
	}
	return false;
}
