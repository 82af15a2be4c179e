/* SPDX-License-Identifier: Apache-2.0 */
/* What fronts ask for, checked as if nobody had checked it before. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/front.h"
#include "runtime/parcel.h"

/* --- answers ----------------------------------------------------------------------- */

void request_fail(struct pending *p, enum wire_error_code code, const char *what,
		  const char *why)
{
	struct wire_error error = { .code = code };

	err_ignore(str_format(error.what, sizeof(error.what), "%s", what) < 0);
	err_ignore(str_format(error.why, sizeof(error.why), "%s", why) < 0);
	pending_fail(p, &error);
}

void request_busy(struct pending *p, const char *what, uint32_t limit)
{
	struct wire_error error = { .code = WIRE_BUSY, .limit = limit };

	err_ignore(str_format(error.what, sizeof(error.what), "%s", what) < 0);
	pending_fail(p, &error);
}

static void fail_state(struct pending *p, const struct box *box)
{
	struct wire_error error = { .code = WIRE_WRONG_STATE };
	struct wire_sandbox now;

	if (box) {
		box_describe(box, &now);
		error.state = now.state;
	}
	pending_fail(p, &error);
}

/* The pool's word where it is not ADMITTED or WAITS. */
static void refuse(struct pending *p, enum pool_verdict verdict)
{
	const struct broker *b = p->front->broker;
	uint32_t ceiling = pool_ceiling(b->pool, p->front->uid, verdict);

	switch (verdict) {
	case POOL_NO_SUCH:
	case POOL_ADMITTED:
	case POOL_WAITS:
	case POOL_VERDICT_MAX:
		return request_fail(p, WIRE_NO_SUCH_SANDBOX, "", "");
	case POOL_CONFLICT:
		return request_fail(p, WIRE_CONFLICT, "profile", "");
	case POOL_PAUSED_NOW:
	case POOL_WRONG_STATE:
		return fail_state(p, box_find(b, p->box));
	case POOL_BUSY_SANDBOXES:
		return request_busy(p, "sandboxes", ceiling);
	case POOL_BUSY_DEFINITIONS:
		return request_busy(p, "definitions", ceiling);
	case POOL_BUSY_EXECS:
		return request_busy(p, "execs", ceiling);
	case POOL_BUSY_WAITERS:
		return request_busy(p, "requests", ceiling);
	}
}

struct box *request_find(struct pending *p, const char *name)
{
	struct broker *b = p->front->broker;

	memcpy(p->name, name, sizeof(p->name));
	if (pool_find(b->pool, p->front->uid, name, &p->box) < 0) {
		request_fail(p, WIRE_NO_SUCH_SANDBOX, "", "");
		return NULL;
	}
	return box_find(b, p->box);
}

static struct exec *find_exec(struct pending *p, const struct wire_exec_ref *ref)
{
	struct box *box = request_find(p, ref->name);
	struct exec *x = box ? exec_find(box, ref->exec) : NULL;

	if (box && !x)
		request_fail(p, WIRE_NO_SUCH_EXEC, ref->exec, "");
	return x;
}

/* --- sandboxes --------------------------------------------------------------------- */

static int read_definition(struct pending *p, const struct wire_ensure *asked,
			   const struct parcel *in, struct definition *ret,
			   struct wire_error *error)
{
	struct broker *b = p->front->broker;
	const struct client *c = access_find(b->access, p->front->uid);
	struct err e = { 0 };
	int r;

	*ret = (struct definition){ .client = p->front->uid,
				    .asked = *asked,
				    .completed = *asked,
				    .created = broker_time() };
	if (in->count)
		r = wire_strings_read(in->fds[0], definition_string_count(asked),
				      &ret->strings, &e);
	else
		r = (ret->strings = calloc(1, sizeof(char *))) ? 0 : -ENOMEM;
	if (r < 0) {
		*error = (struct wire_error){ .code = WIRE_FAILED };
		err_ignore(str_format(error->why, sizeof(error->why), "%s", e.msg) < 0);
		return r;
	}
	r = access_check_strings(asked, ret->strings, error);
	if (r == 0)
		r = access_check_ensure(b->access, c, &ret->completed, error);
	return r;
}

static void fail_conflict(struct pending *p, const struct definition *d)
{
	const struct box *box = box_find(p->front->broker, p->box);
	const char *field =
		box ? definition_differs(&box->definition, &d->asked, d->strings) : NULL;

	request_fail(p, WIRE_CONFLICT, field ? field : "settings", "");
}

static void ensure(struct pending *p, const struct wire_request *rq, struct parcel *in)
{
	struct broker *b = p->front->broker;
	struct wire_error error = { 0 };
	struct definition d;
	struct pool_spec spec;
	enum pool_verdict verdict;
	bool created = false;
	struct box *box;
	struct err e;

	if (read_definition(p, &rq->ensure, in, &d, &error) < 0) {
		definition_free(&d);
		return pending_fail(p, &error);
	}
	box_spec(b, &d, &spec);
	verdict = pool_ensure(b->pool, loop_now(b->loop), p->front->uid, rq->ensure.name,
			      &spec, p->cookie, &p->box, &created);
	box = verdict == POOL_WAITS || verdict == POOL_ADMITTED ? box_find(b, p->box)
								: NULL;
	if (verdict == POOL_ADMITTED) {
		pending_sandbox(p, box, created);
	} else if (verdict == POOL_CONFLICT) {
		fail_conflict(p, &d);
	} else if (verdict != POOL_WAITS) {
		refuse(p, verdict);
	} else if (!box) {
		/* If there is no memory for it, the pool is told when it asks. */
		if (box_new(b, p->box, &d, &box, &e) == 0)
			broker_event(b, p->front->uid, "create", rq->ensure.name, NULL,
				     NULL);
	}
	definition_free(&d);
}

/* What was asked for is so. */
static void changed(struct pending *p)
{
	if (p->type == WIRE_PAUSE || p->type == WIRE_UNPAUSE)
		broker_event(p->front->broker, p->front->uid,
			     p->type == WIRE_PAUSE ? "pause" : "unpause", p->name, NULL,
			     NULL);
	pending_done(p, 0);
}

static void settle(struct pending *p, enum pool_verdict verdict)
{
	if (verdict == POOL_ADMITTED)
		changed(p);
	else if (verdict != POOL_WAITS)
		refuse(p, verdict);
}

static void stop_now(struct pending *p)
{
	struct broker *b = p->front->broker;

	loop_clear_timer(b->loop, &p->timer);
	settle(p, pool_stop(b->pool, loop_now(b->loop), p->front->uid, p->name, p->cookie,
			    &p->box));
}

static bool has_running(const struct box *box)
{
	const struct exec *x;

	LIST_FOREACH(x, &box->execs, next) {
		if (x->state != EXEC_ENDED)
			return true;
	}
	return false;
}

enum { GRACE_LOOK_MS = 20 };

/* Until the grace is over, or nobody is left to be given any. */
static void look_at_grace(void *context)
{
	struct pending *p = context;
	struct broker *b = p->front->broker;
	const struct box *box = box_find(b, p->box);
	struct err e;

	if (box && has_running(box) && loop_now(b->loop) < p->interval &&
	    loop_set_timer(b->loop, &p->timer, loop_now(b->loop) + GRACE_LOOK_MS, &e) ==
		    0)
		return;
	stop_now(p);
	broker_work(b);
}

static void stop(struct pending *p, const struct wire_request *rq)
{
	struct broker *b = p->front->broker;
	struct box *box = request_find(p, rq->stop.name);
	struct exec *x;

	if (!box)
		return;
	if (!rq->stop.grace_ms || !has_running(box))
		return stop_now(p);
	LIST_FOREACH(x, &box->execs, next) {
		if (x->state == EXEC_RUNNING)
			err_ignore(pidfd_send_signal(x->running.main.pidfd, SIGTERM, NULL,
						     0) < 0);
	}
	p->interval = loop_now(b->loop) + rq->stop.grace_ms;
	p->timer = (struct timer){ .due = look_at_grace, .context = p };
	look_at_grace(p);
}

typedef enum pool_verdict (*pool_change)(struct pool *pool, uint64_t now, uint32_t client,
					 const char *name, uint64_t cookie,
					 pool_id *ret_id);

static void change(struct pending *p, const char *name, pool_change function)
{
	struct broker *b = p->front->broker;

	if (request_find(p, name))
		settle(p, function(b->pool, loop_now(b->loop), p->front->uid, name,
				   p->cookie, &p->box));
}

static void remove_it(struct pending *p, const struct wire_request *rq)
{
	struct broker *b = p->front->broker;

	if (request_find(p, rq->flagged.name))
		settle(p, pool_remove(b->pool, loop_now(b->loop), p->front->uid,
				      rq->flagged.name, rq->flagged.flag, p->cookie,
				      &p->box));
}

static void touch(struct pending *p, const struct wire_request *rq)
{
	struct broker *b = p->front->broker;
	struct box *box = request_find(p, rq->name.name);
	enum pool_verdict verdict;

	if (!box)
		return;
	verdict = pool_touch(b->pool, loop_now(b->loop), p->front->uid, rq->name.name);
	if (verdict == POOL_ADMITTED)
		box->used_at = broker_time();
	settle(p, verdict);
}

/* --- commands ---------------------------------------------------------------------- */

static void run(struct pending *p, const struct wire_request *rq, struct parcel *in)
{
	struct broker *b = p->front->broker;
	const struct client *c = access_find(b->access, p->front->uid);
	struct box *box = request_find(p, rq->exec.name);
	struct wire_exec asked = rq->exec;
	struct wire_error error = { 0 };
	enum pool_verdict verdict;
	struct exec *x;
	struct err e;
	int r;

	if (!box)
		return;
	if (access_check_exec(c, &asked, &box->definition.completed.limits, &error) < 0)
		return pending_fail(p, &error);
	box_complete_exec(box, &asked);
	r = exec_new(box, &asked, in->fds, in->count, &x, &e);
	in->count = 0;
	if (r < 0)
		return request_fail(p, WIRE_FAILED, "", e.msg);
	verdict = pool_exec(b->pool, loop_now(b->loop), p->front->uid, rq->exec.name,
			    p->cookie, &p->box);
	if (verdict != POOL_ADMITTED && verdict != POOL_WAITS) {
		exec_free(x);
		return refuse(p, verdict);
	}
	p->exec = x;
	x->pending = p;
	if (verdict == POOL_ADMITTED)
		exec_begin(x);
}

static void wait_for(struct pending *p, const struct wire_request *rq)
{
	struct exec *x = find_exec(p, &rq->exec_ref);
	struct wire_reply reply = { .type = WIRE_RESULT };

	/* Then the request is gone, too. */
	if (!x)
		return;
	p->keep = rq->exec_ref.keep;
	if (x->state != EXEC_ENDED) {
		p->exec = x;
		LIST_INSERT_HEAD(&x->waiters, p, waiting);
		return;
	}
	reply.tag = p->tag;
	reply.result = x->result;
	broker_reply(p->front, &reply, NULL, 0);
	pending_forget(p);
	x->waited = x->waited || !rq->exec_ref.keep;
	if (x->waited && x->forget.place)
		exec_free(x);
}

static void send_signal(struct pending *p, const struct wire_request *rq)
{
	const struct exec *x = find_exec(p, &rq->exec_ref);

	if (!x)
		return;
	if (x->state == EXEC_RUNNING &&
	    pidfd_send_signal(x->running.main.pidfd, (int)rq->exec_ref.signal, NULL, 0) <
		    0)
		return request_fail(p, WIRE_FAILED, "", strerror(errno));
	pending_done(p, 0);
}

static void cancel(struct pending *p, const struct wire_request *rq)
{
	struct exec *x = find_exec(p, &rq->exec_ref);

	if (!x)
		return;
	exec_cancel(x);
	pending_done(p, 0);
}

static void shut_down(struct broker *b, struct pending *p, bool remove)
{
	uint64_t now = loop_now(b->loop);

	pending_done(p, pool_shutdown(b->pool, now, p->front->uid, remove));
}

/* --- all of them ------------------------------------------------------------------- */

static void serve(struct pending *p, const struct wire_request *rq, struct parcel *in)
{
	struct broker *b = p->front->broker;
	uid_t uid = p->front->uid;

	broker_metrics(b, uid)->requests[rq->type]++;
	switch ((enum wire_type)rq->type) {
	case WIRE_INFO:
		return pending_document(p, document_info(b, uid), false);
	case WIRE_ENSURE:
		return ensure(p, rq, in);
	case WIRE_EXEC:
		return run(p, rq, in);
	case WIRE_WAIT:
		return wait_for(p, rq);
	case WIRE_KILL:
		return send_signal(p, rq);
	case WIRE_CANCEL:
		return cancel(p, rq);
	case WIRE_EXECS:
		return request_execs(p, rq);
	case WIRE_STOP:
		return stop(p, rq);
	case WIRE_REMOVE:
		return remove_it(p, rq);
	case WIRE_PAUSE:
		return change(p, rq->name.name, pool_pause);
	case WIRE_UNPAUSE:
		return change(p, rq->name.name, pool_unpause);
	case WIRE_TOUCH:
		return touch(p, rq);
	case WIRE_LIST:
		return pending_document(p, document_list(b, uid, rq->flagged.flag),
					false);
	case WIRE_INSPECT:
		return request_inspect(p, rq);
	case WIRE_STATS:
		return request_stats(p, rq);
	case WIRE_EVENTS:
		return request_events(p, rq);
	case WIRE_REAP:
		return pending_done(p, pool_reap(b->pool, loop_now(b->loop), uid));
	case WIRE_SHUTDOWN:
		return shut_down(b, p, rq->flagged.flag);
	case WIRE_METRICS:
		return pending_document(p, document_metrics(b, uid), false);
	case WIRE_DROP:
	case WIRE_LEFT:
	case WIRE_CONNECTION:
	case WIRE_DONE:
	case WIRE_ERROR:
	case WIRE_SANDBOX:
	case WIRE_STARTED:
	case WIRE_RESULT:
	case WIRE_DOCUMENT:
		break;
	}
	request_fail(p, WIRE_FAILED, "", "a request of an unknown type");
}

/* A sandbox that goes with who made it has lost him: before it was there, where nobody
 * else waits for it, or afterwards. */
static void let_go(struct pending *p)
{
	struct broker *b = p->front->broker;
	struct box *box = box_find(b, p->box);
	const struct pending *other;

	if (!box || !box->definition.completed.auto_remove ||
	    (box->holder && box->holder != p))
		return;
	box->holder = NULL;
	LIST_FOREACH(other, &p->front->pending, next) {
		if (other != p && other->type == WIRE_ENSURE && other->box == p->box)
			return;
	}
	pool_discard(b->pool, loop_now(b->loop), box->id);
}

void request_dropped(struct pending *p, enum wire_reason reason)
{
	struct broker *b = p->front->broker;
	struct exec *x = p->exec;

	if (p->type == WIRE_EXEC && x) {
		x->pending = NULL;
		p->exec = NULL;
		if (x->state == EXEC_WAITING) {
			pool_cancel(b->pool, loop_now(b->loop), p->cookie);
			exec_free(x);
		} else if (reason == WIRE_OUTPUT) {
			/* The client is still there, and waits for the result. */
			x->pending = p;
			p->exec = x;
			exec_kill(x, reason);
			return;
		} else {
			exec_kill(x, reason);
		}
	} else if (p->type == WIRE_WAIT && x) {
		LIST_REMOVE(p, waiting);
		p->exec = NULL;
	} else {
		pool_cancel(b->pool, loop_now(b->loop), p->cookie);
		if (p->type == WIRE_ENSURE)
			let_go(p);
	}
	pending_forget(p);
}

static struct pending *pending_new(struct front *f, const struct wire_request *rq)
{
	struct pending *p;
	struct err e;

	/* A front in its right mind has no more. */
	p = f->pending_count < FRONT_CALLS_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return NULL;
	p->front = f;
	p->cookie = (uint64_t)f->serial << 32 | rq->tag;
	p->tag = rq->tag;
	p->type = (enum wire_type)rq->type;
	if (idmap_put(&f->broker->pendings, p->cookie, p, &e) < 0) {
		free(p);
		return NULL;
	}
	LIST_INSERT_HEAD(&f->pending, p, next);
	f->pending_count++;
	return p;
}

void request_take(struct front *f, const struct wire_request *rq, int *fds,
		  unsigned count)
{
	struct broker *b = f->broker;
	struct parcel in = { .count = count }; /* what nobody has taken yet */
	uint64_t cookie = (uint64_t)f->serial << 32 | rq->tag;
	struct pending *p = idmap_get(&b->pendings, cookie);

	memcpy(in.fds, fds, count * sizeof(*fds));
	if (rq->type == WIRE_DROP) {
		/* It may have been answered while the word was on its way. */
		if (p)
			request_dropped(p, (enum wire_reason)rq->end.reason);
	} else if (p) {
		front_end(f, "a tag that is in use");
	} else {
		p = pending_new(f, rq);
		if (!p)
			front_end(f, "no room for its request");
		else if (b->ending)
			request_fail(p, WIRE_FAILED, "", "the daemon is about to end");
		else
			serve(p, rq, &in);
	}
	parcel_close(&in);
	broker_work(b);
}

/* --- the pool's word --------------------------------------------------------------- */

void request_admitted(struct broker *b, const struct pool_action *action)
{
	struct pending *p = idmap_get(&b->pendings, action->cookie);
	struct box *box = box_find(b, action->id);

	if (!p)
		return;
	if (p->type == WIRE_EXEC && p->exec)
		exec_begin(p->exec);
	else if (p->type == WIRE_ENSURE && box)
		pending_sandbox(p, box, action->created);
	else
		changed(p);
}

void request_again(struct pending *p)
{
	struct broker *b = p->front->broker;
	struct exec *x = p->exec;
	enum pool_verdict verdict = pool_exec(b->pool, loop_now(b->loop), p->front->uid,
					      p->name, p->cookie, &p->box);

	if (verdict == POOL_WAITS)
		return;
	if (verdict == POOL_ADMITTED)
		return exec_begin(x);
	p->exec = NULL;
	exec_free(x);
	refuse(p, verdict);
}

static void fail_start(struct pending *p, const struct box *box)
{
	const char *why = box && box->failure ? box->failure : "no memory";
	const char *colon = strstr(why, ": ");
	struct wire_error error = { .code = WIRE_FAILED_START };

	/* Messages begin with the step (see err_wrap()). */
	err_ignore(str_format(error.what, sizeof(error.what), "%.*s",
			      colon ? (int)(colon - why) : 0, why) < 0);
	err_ignore(str_format(error.why, sizeof(error.why), "%s",
			      colon ? colon + 2 : why) < 0);
	pending_fail(p, &error);
}

void request_refused(struct broker *b, const struct pool_action *action)
{
	struct pending *p = idmap_get(&b->pendings, action->cookie);
	struct exec *x;

	if (!p)
		return;
	x = p->exec;
	if (p->type == WIRE_EXEC && x) {
		p->exec = NULL;
		exec_free(x);
	}
	p->box = action->id;
	if (action->type == ACTION_FAILED)
		fail_start(p, box_find(b, action->id));
	else
		refuse(p, action->verdict);
}
