/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes that are ready before anybody asks for them. None has ever run anything of a
 * user's, and each is bound to one user, once (E-46). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/broker_state.h"

enum { RETRY_MS = 5000 }; /* after a failure */

struct spare {
	LIST_ENTRY(spare) next;
	struct broker *broker;
	struct definition definition; /* of an ensure that asks for nothing */
	struct resident resident;
	struct box *box; /* that it is being bound to */
	struct watch died;
	bool ready;
	bool unfit; /* for anybody: to be removed as soon as it is there */
};

static void spare_free(struct spare *s)
{
	LIST_REMOVE(s, next);
	loop_unwatch(s->broker->loop, &s->died);
	resident_close(&s->resident);
	definition_free(&s->definition);
	free(s);
}

/* --- removing ---------------------------------------------------------------------- */

static void discarded(void *context, const struct worker_result *result, int *fds,
		      unsigned count)
{
	struct spare *s = context;
	struct broker *b = s->broker;

	(void)fds;
	(void)count;
	waitid(P_PIDFD, (id_t)s->resident.init.pidfd, NULL, WEXITED | WNOHANG);
	spare_free(s);
	if (result->code < 0) {
		log_warning("spare.failed", log_text("why", result->err.msg));
		boxes_have_strays(b);
	}
}

static void discard(struct spare *s)
{
	struct worker_order order = { .type = WORKER_REMOVE,
				      .slot = s->resident.slot,
				      .resident = s->resident };
	struct broker *b = s->broker;
	struct err e;

	s->unfit = true;
	s->ready = false;
	loop_unwatch(b->loop, &s->died);
	if (crew_order(b->crew, &order, NULL, 0, discarded, s, &e) < 0) {
		spare_free(s);
		boxes_have_strays(b);
	}
}

/* --- making ------------------------------------------------------------------------ */

static unsigned count_of(const struct broker *b, const char *profile)
{
	const struct spare *s;
	unsigned n = 0;

	LIST_FOREACH(s, &b->spares, next)
		n += !s->box && !s->unfit &&
		     !strcmp(s->definition.completed.profile, profile);
	return n;
}

static void try_again_later(struct broker *b)
{
	struct err e;

	if (!b->spare_timer.place)
		err_ignore(loop_set_timer(b->loop, &b->spare_timer,
					  loop_now(b->loop) + RETRY_MS, &e) < 0);
}

static void made(void *context, const struct worker_result *result, int *fds,
		 unsigned count)
{
	struct spare *s = context;
	struct broker *b = s->broker;
	auto_free void *label = NULL;
	struct err e = result->err;
	size_t size;
	int r = result->code;

	(void)fds;
	(void)count;
	if (r == 0)
		r = resident_open(b->config, &b->host, result->slot, &s->resident, &label,
				  &size, &e);
	if (r == 0)
		r = loop_watch(b->loop, &s->died, s->resident.init.pidfd, EPOLLIN, &e);
	if (r == 0 && s->unfit)
		return discard(s);
	if (r == 0) {
		s->ready = true;
		return;
	}
	log_warning("spare.failed", log_text("why", e.msg));
	spare_free(s);
	boxes_have_strays(b);
	try_again_later(b);
}

static void see_death(void *context, uint32_t events)
{
	struct spare *s = context;
	struct broker *b = s->broker;

	(void)events;
	log_warning("spare.failed", log_text("why", "its PID 1 has died"));
	discard(s);
	try_again_later(b);
}

static int order(struct spare *s, struct err *e)
{
	struct worker_order order = { .type = WORKER_BUILD,
				      .client = DEFINITION_NOBODY,
				      .ensure = s->definition.completed };
	auto_fd label = -1;
	int r = box_make_label(&s->definition, &label, e);

	return r == 0 ? crew_order(s->broker->crew, &order, &label, 1, made, s, e) : r;
}

/* What access_check_ensure() makes of a request that names nothing but the profile. */
static void complete(const struct profile *p, struct wire_ensure *ret)
{
	ret->name[0] = '-';
	memcpy(ret->profile, p->name, sizeof(ret->profile));
	bug_on(str_format(ret->hostname, sizeof(ret->hostname), ACCESS_HOSTNAME) < 0);
	ret->limits = (struct wire_limits){ .memory = p->limits.memory,
					    .cpu_milli = p->limits.cpu_milli,
					    .pids = p->limits.pids };
	ret->network = p->egress ? WIRE_NETWORK_EGRESS : WIRE_NETWORK_NONE;
	ret->idle_timeout_ms = p->idle_timeout_ms;
	ret->max_duration_ms = p->max_duration_ms;
}

static int make(struct broker *b, const struct profile *p, struct err *e)
{
	struct spare *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, ENOMEM, "hold a spare");
	s->broker = b;
	s->resident = RESIDENT_NONE;
	s->died = (struct watch){ .ready = see_death, .context = s };
	s->definition.client = DEFINITION_NOBODY;
	s->definition.strings = calloc(1, sizeof(char *));
	LIST_INSERT_HEAD(&b->spares, s, next);
	complete(p, &s->definition.completed);
	s->definition.asked = s->definition.completed;
	r = s->definition.strings ? order(s, e) : err_set(e, ENOMEM, "hold a spare");
	if (r < 0)
		spare_free(s);
	return r;
}

void spares_fill(void *context)
{
	struct broker *b = context;
	struct err e;

	for (unsigned i = 0; !b->ending && i < b->access->profile_count; i++) {
		const struct profile *p = &b->access->profiles[i];

		while (count_of(b, p->name) < p->warm) {
			if (make(b, p, &e) < 0) {
				log_warning("spare.failed", log_text("why", e.msg));
				try_again_later(b);
				return;
			}
		}
	}
}

/* --- binding ----------------------------------------------------------------------- */

static bool fits(const struct spare *s, const struct box *box)
{
	const struct wire_ensure *has = &s->definition.completed,
				 *wants = &box->definition.completed;

	return s->ready && !s->unfit && !s->box &&
	       !strcmp(has->profile, wants->profile) &&
	       !strcmp(has->hostname, wants->hostname) &&
	       has->network == wants->network &&
	       !memcmp(&has->limits, &wants->limits, sizeof(has->limits));
}

/* Is the box's from here on. */
static void give(struct spare *s, struct box *box)
{
	struct broker *b = s->broker;
	struct err e;

	box_take_resident(box, &s->resident);
	spare_free(s);
	if (!b->spare_timer.place)
		err_ignore(loop_set_timer(b->loop, &b->spare_timer, loop_now(b->loop),
					  &e) < 0);
}

static void bound(void *context, const struct worker_result *result, int *fds,
		  unsigned count)
{
	struct spare *s = context;
	struct broker *b = s->broker;
	struct box *box = s->box;

	(void)fds;
	(void)count;
	if (result->code == 0) {
		give(s, box);
	} else {
		/* It may have something of the user's in it. */
		log_info("spare.unfit", log_text("why", result->err.msg));
		discard(s);
		try_again_later(b);
		box_build(box);
	}
	box_order_done(box);
	broker_work(b);
}

/* Without a workspace there is nothing to open, and to write whose it is takes no longer
 * than to ask a worker for it. */
static bool bind_at_once(struct spare *s, struct box *box)
{
	auto_free void *label = malloc(RESIDENT_LABEL_SIZE);
	size_t size;
	struct err e;

	if (!label || definition_encode(&box->definition, label, &size, &e) < 0)
		return false;
	loop_unwatch(s->broker->loop, &s->died);
	if (resident_set_label(&s->resident, label, size, &e) < 0) {
		log_info("spare.unfit", log_text("why", e.msg));
		discard(s);
		return false;
	}
	give(s, box);
	return true;
}

bool spares_bind(struct box *box)
{
	struct worker_order order = { .type = WORKER_BIND,
				      .client = box->definition.client,
				      .ensure = box->definition.completed };
	struct broker *b = box->broker;
	auto_fd label = -1;
	struct spare *s;
	struct err e;

	LIST_FOREACH(s, &b->spares, next) {
		if (fits(s, box))
			break;
	}
	if (s && !*box->definition.completed.workspace)
		return bind_at_once(s, box);
	if (!s || box_make_label(&box->definition, &label, &e) < 0)
		return false;
	order.resident = s->resident;
	loop_unwatch(b->loop, &s->died);
	s->box = box;
	box->orders++;
	if (crew_order(b->crew, &order, &label, 1, bound, s, &e) == 0)
		return true;
	box->orders--;
	s->box = NULL;
	discard(s);
	return false;
}

void spares_drop(struct broker *b)
{
	struct spare *s, *next;

	for (s = LIST_FIRST(&b->spares); s; s = next) {
		next = LIST_NEXT(s, next);
		if (s->ready && !s->box)
			discard(s);
		else
			s->unfit = true;
	}
}

void spares_renew(struct broker *b)
{
	spares_drop(b);
	spares_fill(b);
}

bool spares_have(const struct broker *b, uint32_t slot)
{
	const struct spare *s;

	LIST_FOREACH(s, &b->spares, next) {
		if (s->resident.init.pidfd >= 0 && s->resident.slot == slot)
			return true;
	}
	return false;
}

void spares_let_go(struct broker *b)
{
	struct spare *s;

	while ((s = LIST_FIRST(&b->spares)))
		spare_free(s);
}

bool spares_know(const struct broker *b, pid_t pid)
{
	const struct spare *s;

	LIST_FOREACH(s, &b->spares, next) {
		if (s->resident.init.pid == pid)
			return true;
	}
	return false;
}
