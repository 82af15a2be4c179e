/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that change nothing and take their time. */
#include <string.h>

#include "base/fd.h"
#include "runtime/broker_state.h"

enum {
	STATS_INTERVAL_MIN_MS = 100,
	STREAMS_MAX = 16, /* of one front: each costs something again and again */
};

static void inspected(void *context, const struct worker_result *result, int *fds,
		      unsigned count)
{
	struct box *box = context;
	struct broker *b = box->broker;
	struct pending *p = idmap_get(&b->pendings, box->inspecting);

	box->inspecting = 0;
	/* Who asked may have gone, and the tag may be another request's by now. */
	if (p && (p->type != WIRE_INSPECT || p->box != box->id))
		p = NULL;
	if (p && box->forgotten)
		request_fail(p, WIRE_NO_SUCH_SANDBOX, "", "");
	else if (p && result->code < 0)
		request_fail(p, WIRE_FAILED, "", result->err.msg);
	else if (p)
		pending_document(p, document_inspect(box, count ? fds[0] : -1), false);
	for (unsigned i = 0; i < count; i++)
		fd_close(&fds[i]);
	box_order_done(box);
}

void request_inspect(struct pending *p, const struct wire_request *rq)
{
	struct worker_order order = { .type = WORKER_INSPECT };
	struct box *box = request_find(p, rq->name.name);
	struct err e;

	if (!box)
		return;
	if (!box->alive)
		return pending_document(p, document_inspect(box, -1), false);
	if (box->inspecting)
		return request_busy(p, "requests", 1);
	box->inspecting = p->cookie;
	if (box_order(box, &order, NULL, 0, inspected, box, &e) < 0) {
		box->inspecting = 0;
		request_fail(p, WIRE_FAILED, "", e.msg);
	}
}

static void tell_stats(void *context)
{
	struct pending *p = context;
	struct broker *b = p->front->broker;
	struct err e;
	bool more =
		p->interval && loop_set_timer(b->loop, &p->timer,
					      loop_now(b->loop) + p->interval, &e) == 0;

	/* Next time, rather than where replies have to go (E-58). */
	if (more && !front_has_room(p->front))
		return;
	pending_document(p, document_stats(b, p->front->uid, p->name), more);
}

/* False, after an answer, where there are too many without this one. */
static bool may_stream(struct pending *p)
{
	const struct pending *other;
	unsigned count = 0;

	LIST_FOREACH(other, &p->front->pending, next)
		count += other->type == WIRE_EVENTS || other->type == WIRE_STATS;
	if (count <= STREAMS_MAX)
		return true;
	request_busy(p, "requests", STREAMS_MAX);
	return false;
}

void request_stats(struct pending *p, const struct wire_request *rq)
{
	if (*rq->stats.name && !request_find(p, rq->stats.name))
		return;
	if (rq->stats.interval_ms && !may_stream(p))
		return;
	memcpy(p->name, rq->stats.name, sizeof(p->name));
	p->interval = rq->stats.interval_ms;
	if (p->interval && p->interval < STATS_INTERVAL_MIN_MS)
		p->interval = STATS_INTERVAL_MIN_MS;
	p->timer = (struct timer){ .due = tell_stats, .context = p };
	tell_stats(p);
}

void request_events(struct pending *p, const struct wire_request *rq)
{
	const struct broker *b = p->front->broker;

	if (!rq->flagged.flag)
		return pending_document(p, document_events(b, p->front->uid, 0), false);
	/* Those to come are sent by broker_event(). */
	p->timer = (struct timer){ .due = broker_tell_events, .context = p };
	p->told = b->event_count;
	err_ignore(!may_stream(p));
}

void request_execs(struct pending *p, const struct wire_request *rq)
{
	const struct box *box = request_find(p, rq->name.name);

	if (box)
		pending_document(p, document_execs(box), false);
}
