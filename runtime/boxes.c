/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes: what the pool has the broker do with them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/steps.h"

enum {
	AGAIN_MS = 1000, /* before another try to remove a sandbox */
	SWEEP_MS = 10, /* and commands that are dying */
};

/* --- boxes ------------------------------------------------------------------------- */

struct box *box_find(const struct broker *b, pool_id id)
{
	return idmap_get(&b->boxes, id);
}

static void remove_again(void *context);
static void see_death(void *context, uint32_t events);

int box_new(struct broker *b, pool_id id, struct definition *definition, struct box **ret,
	    struct err *e)
{
	struct box *box = calloc(1, sizeof(*box));

	if (!box || idmap_put(&b->boxes, id, box, e) < 0) {
		free(box);
		return err_set(e, ENOMEM, "hold a sandbox");
	}
	box->id = id;
	box->broker = b;
	box->definition = *definition;
	*definition = (struct definition){ 0 };
	box->resident = RESIDENT_NONE;
	box->died = (struct watch){ .ready = see_death, .context = box };
	box->again = (struct timer){ .due = remove_again, .context = box };
	box->unprepare = (struct timer){ .due = exec_unprepare, .context = box };
	box->tidy = (struct timer){ .due = exec_tidy, .context = box };
	LIST_INIT(&box->execs);
	*ret = box;
	return 0;
}

void box_free(struct box *box)
{
	struct broker *b = box->broker;
	struct exec *x;

	while ((x = LIST_FIRST(&box->execs)))
		exec_free(x);
	loop_unwatch(b->loop, &box->died);
	loop_clear_timer(b->loop, &box->again);
	loop_clear_timer(b->loop, &box->sweep);
	loop_clear_timer(b->loop, &box->unprepare);
	loop_clear_timer(b->loop, &box->tidy);
	resident_close(&box->resident);
	definition_free(&box->definition);
	free(box->failure);
	free(box);
}

int box_order(struct box *box, struct worker_order *order, const int *fds, unsigned count,
	      crew_done done, void *context, struct err *e)
{
	int r;

	order->slot = box->resident.slot;
	order->resident = box->resident;
	order->client = box->definition.client;
	box->orders++;
	r = crew_order(box->broker->crew, order, fds, count, done, context, e);
	if (r < 0)
		box->orders--;
	return r;
}

void box_order_done(struct box *box)
{
	if (--box->orders == 0 && box->forgotten)
		box_free(box);
}

void box_describe(const struct box *box, struct wire_sandbox *ret)
{
	static const enum wire_state states[POOL_STATE_MAX] = {
		[POOL_CREATING] = WIRE_CREATING, [POOL_RUNNING] = WIRE_RUNNING,
		[POOL_PAUSED] = WIRE_PAUSED,     [POOL_FROZEN] = WIRE_RUNNING,
		[POOL_STOPPING] = WIRE_STOPPING, [POOL_STOPPED] = WIRE_IS_STOPPED,
	};
	const struct wire_ensure *c = &box->definition.completed;
	struct pool_row row = { .state = POOL_STOPPED };

	bug_on(!pool_look(box->broker->pool, box->id, &row));
	*ret = (struct wire_sandbox){
		.state = states[row.state],
		.execs = row.execs,
		.network = c->network,
		.limits = c->limits,
		.generation = row.generation,
		.created = box->definition.created,
		.started = row.started ? box->definition.started_at : 0,
		.used = box->used_at,
		.idle_timeout_ms = c->idle_timeout_ms,
		.max_duration_ms = c->max_duration_ms,
	};
	memcpy(ret->name, c->name, sizeof(ret->name));
	memcpy(ret->profile, c->profile, sizeof(ret->profile));
	memcpy(ret->workspace, c->workspace, sizeof(ret->workspace));
	if (box->alive)
		memcpy(ret->id, box->resident.id, sizeof(ret->id));
}

void box_spec(const struct broker *b, const struct definition *d, struct pool_spec *ret)
{
	const struct profile *p = access_find_profile(b->access, d->completed.profile);

	*ret = (struct pool_spec){ .idle_timeout = d->completed.idle_timeout_ms,
				   .max_duration = d->completed.max_duration_ms,
				   .auto_remove = d->completed.auto_remove,
				   .freeze_after = p ? p->freeze_after_ms : 0,
				   .reclaim_after = p ? p->reclaim_after_ms : 0 };
	definition_digest(&d->asked, d->strings, ret->digest);
}

void box_complete_exec(const struct box *box, struct wire_exec *exec)
{
	const struct profile *p = access_find_profile(box->broker->access,
						      box->definition.completed.profile);

	if (exec->uid == UINT32_MAX)
		exec->uid = p ? p->uid : 1000;
	if (exec->gid == UINT32_MAX)
		exec->gid = p ? p->gid : 1000;
	if (!*exec->cwd)
		bug_on(str_format(exec->cwd, sizeof(exec->cwd), "%s", ROOTFS_WORKSPACE) <
		       0);
}

/* --- life and death ---------------------------------------------------------------- */

static void forget_pid(struct box *box)
{
	struct broker *b = box->broker;

	loop_clear_timer(b->loop, &box->unprepare);
	box->prepared = 0;
	loop_unwatch(b->loop, &box->died);
	/* Ours to wait for if it was made under this broker. */
	if (box->resident.init.pidfd >= 0)
		waitid(P_PIDFD, (id_t)box->resident.init.pidfd, NULL, WEXITED | WNOHANG);
	box->alive = false;
}

/* Commands that were in it have ended with it; their watchers find that out. */
static void see_death(void *context, uint32_t events)
{
	struct box *box = context;
	struct broker *b = box->broker;
	struct exec *x;

	(void)events;
	LIST_FOREACH(x, &box->execs, next)
		exec_lose(x);
	forget_pid(box);
	broker_event(b, box->definition.client, "die", box->definition.completed.name,
		     NULL, NULL);
	pool_died(b->pool, loop_now(b->loop), box->id);
	broker_work(b);
}

static int open_resident(struct box *box, uint32_t slot, struct err *e)
{
	struct broker *b = box->broker;
	auto_free void *label = NULL;
	size_t size;
	int r;

	resident_close(&box->resident);
	r = resident_open(b->config, &b->host, slot, &box->resident, &label, &size, e);
	if (r == 0)
		r = loop_watch(b->loop, &box->died, box->resident.init.pidfd, EPOLLIN, e);
	if (r < 0)
		resident_close(&box->resident);
	box->alive = r == 0;
	return r;
}

static void forget_file(const struct box *box)
{
	const struct definition *d = &box->definition;
	struct err e;

	/* One that stays is seen to be older than the living sandbox. */
	err_ignore(definition_remove(box->broker->definitions, d->client,
				     d->completed.name, &e) < 0);
}

/* Why it could not be made, for those who wait. Without memory they hear of that. */
static void remember_failure(struct box *box, const struct err *e)
{
	free(box->failure);
	box->failure = strdup(e->msg);
}

/* It has been made, or not. */
static void ready(struct box *box, int code, const struct err *e)
{
	struct broker *b = box->broker;
	struct metrics *m = broker_metrics(b, box->definition.client);

	if (code == 0) {
		m->created++;
		metrics_observe(&m->create_time,
				(steps_now_ms() - box->asked_ms) * 1000000);
		box->used_at = broker_time();
		forget_file(box);
		broker_event(b, box->definition.client, "start",
			     box->definition.completed.name, NULL, NULL);
	} else {
		m->create_failed++;
		remember_failure(box, e);
		broker_event(b, box->definition.client, "fail",
			     box->definition.completed.name, NULL, e->msg);
	}
	pool_created(b->pool, loop_now(b->loop), box->id, code == 0);
}

static void built(void *context, const struct worker_result *result, int *fds,
		  unsigned count)
{
	struct box *box = context;
	struct broker *b = box->broker;
	struct err e = result->err;
	int r = result->code;

	(void)fds;
	(void)count;
	box->resident.slot = result->slot;
	if (r == 0)
		r = open_resident(box, result->slot, &e);
	if (r < 0)
		boxes_have_strays(b);
	ready(box, r, &e);
	box_order_done(box);
	broker_work(b);
}

void box_take_resident(struct box *box, struct resident *resident)
{
	struct broker *b = box->broker;
	struct err e = { 0 };
	int r;

	box->resident = *resident;
	*resident = RESIDENT_NONE;
	r = loop_watch(b->loop, &box->died, box->resident.init.pidfd, EPOLLIN, &e);
	box->alive = r == 0;
	ready(box, r, &e);
}

int box_make_label(const struct definition *d, int *ret_fd, struct err *e)
{
	auto_free void *label = malloc(RESIDENT_LABEL_SIZE);
	size_t size;
	int r;

	if (!label)
		return err_set(e, ENOMEM, "hold a label");
	r = definition_encode(d, label, &size, e);
	return r < 0 ? r : wire_memfd("carrel-label", label, size, ret_fd, e);
}

void box_build(struct box *box)
{
	struct worker_order order = { .type = WORKER_BUILD,
				      .ensure = box->definition.completed };
	struct broker *b = box->broker;
	auto_fd label = -1;
	struct err e;
	int r = box_make_label(&box->definition, &label, &e);

	if (r == 0)
		r = box_order(box, &order, &label, 1, built, box, &e);
	if (r < 0) {
		remember_failure(box, &e);
		pool_created(b->pool, loop_now(b->loop), box->id, false);
	}
}

/* The configuration may be another one than when it was defined. */
static int complete_anew(struct box *box, struct err *e)
{
	const struct client *c = access_find(box->broker->access, box->definition.client);
	struct wire_ensure fresh = box->definition.asked;
	struct wire_error why;

	if (!c)
		return err_say(e, EPERM, "configuration: its client is not served");
	if (access_check_ensure(box->broker->access, c, &fresh, &why) < 0)
		return err_say(e, EPERM, "%s: %s", why.what, why.why);
	box->definition.completed = fresh;
	return 0;
}

static void create(struct box *box, uint64_t generation)
{
	struct err e;

	box->definition.generation = generation;
	box->definition.started = loop_now(box->broker->loop);
	box->definition.started_at = broker_time();
	box->asked_ms = steps_now_ms();
	if (complete_anew(box, &e) < 0)
		ready(box, e.code, &e);
	else if (!spares_bind(box))
		box_build(box);
}

static void removed(void *context, const struct worker_result *result, int *fds,
		    unsigned count)
{
	struct box *box = context;
	struct broker *b = box->broker;
	struct err e;

	(void)fds;
	(void)count;
	if (result->code < 0 &&
	    loop_set_timer(b->loop, &box->again, loop_now(b->loop) + AGAIN_MS, &e) == 0) {
		broker_event(b, box->definition.client, "fail",
			     box->definition.completed.name, NULL, result->err.msg);
		box_order_done(box);
		return;
	}
	resident_close(&box->resident);
	pool_destroyed(b->pool, loop_now(b->loop), box->id);
	box_order_done(box);
	broker_work(b);
}

static void remove_again(void *context)
{
	struct box *box = context;
	struct worker_order order = { .type = WORKER_REMOVE };
	struct broker *b = box->broker;
	struct err e;

	if (box_order(box, &order, NULL, 0, removed, box, &e) < 0)
		err_ignore(loop_set_timer(b->loop, &box->again,
					  loop_now(b->loop) + AGAIN_MS, &e) < 0);
}

/* The definition is on disk before the sandbox goes; not one that goes with it. */
static void destroy(struct box *box, enum pool_why why)
{
	static const char *const words[POOL_WHY_MAX] = {
		[POOL_ASKED] = "asked",     [POOL_IDLE] = "idle",
		[POOL_EVICTED] = "evicted", [POOL_MAX_DURATION] = "max_duration",
		[POOL_DIED] = "died",       [POOL_FAILED] = "failed",
	};
	struct broker *b = box->broker;
	struct exec *x;
	struct err e;

	if (!box->definition.completed.auto_remove &&
	    definition_store(b->definitions, &box->definition, &e) < 0)
		broker_event(b, box->definition.client, "fail",
			     box->definition.completed.name, NULL, e.msg);
	broker_metrics(b, box->definition.client)->stopped[why]++;
	LIST_FOREACH(x, &box->execs, next)
		exec_kill(x, WIRE_STOPPED);
	if (box->alive)
		err_ignore(resident_kill(&box->resident, &e) < 0);
	forget_pid(box);
	broker_event(b, box->definition.client, "stop", box->definition.completed.name,
		     NULL, words[why]);
	remove_again(box);
}

static void frozen(void *context, const struct worker_result *result, int *fds,
		   unsigned count)
{
	struct box *box = context;
	struct broker *b = box->broker;

	(void)fds;
	(void)count;
	pool_frozen(b->pool, loop_now(b->loop), box->id, result->code == 0);
	box_order_done(box);
	broker_work(b);
}

static void thawed(void *context, const struct worker_result *result, int *fds,
		   unsigned count)
{
	struct box *box = context;
	struct broker *b = box->broker;

	(void)fds;
	(void)count;
	pool_thawed(b->pool, loop_now(b->loop), box->id, result->code == 0);
	box_order_done(box);
	broker_work(b);
}

static void reclaimed(void *context, const struct worker_result *result, int *fds,
		      unsigned count)
{
	(void)result;
	(void)fds;
	(void)count;
	box_order_done(context);
}

static void forget(struct box *box)
{
	struct broker *b = box->broker;

	broker_event(b, box->definition.client, "remove", box->definition.completed.name,
		     NULL, NULL);
	forget_file(box);
	if (box->holder)
		pending_done(box->holder, 0);
	box->holder = NULL;
	idmap_take(&b->boxes, box->id);
	if (box->orders)
		box->forgotten = true;
	else
		box_free(box);
}

static void change(struct box *box, enum worker_type type, crew_done done)
{
	struct worker_order order = { .type = type };
	struct broker *b = box->broker;
	struct err e;

	if (box_order(box, &order, NULL, 0, done, box, &e) == 0)
		return;
	if (type == WORKER_FREEZE)
		pool_frozen(b->pool, loop_now(b->loop), box->id, false);
	else if (type == WORKER_THAW)
		pool_thawed(b->pool, loop_now(b->loop), box->id, false);
}

void box_act(struct broker *b, const struct pool_action *action)
{
	struct box *box = box_find(b, action->id);

	if (!box) {
		/* There was no memory to hold it. */
		if (action->type == ACTION_CREATE)
			pool_created(b->pool, loop_now(b->loop), action->id, false);
		return;
	}
	switch (action->type) {
	case ACTION_CREATE:
		return create(box, action->generation);
	case ACTION_DESTROY:
		return destroy(box, action->why);
	case ACTION_FREEZE:
		return change(box, WORKER_FREEZE, frozen);
	case ACTION_THAW:
		return change(box, WORKER_THAW, thawed);
	case ACTION_RECLAIM:
		return change(box, WORKER_RECLAIM, reclaimed);
	case ACTION_FORGET:
		return forget(box);
	case ACTION_ADMIT:
	case ACTION_REFUSE:
	case ACTION_FAILED:
		return;
	}
}

/* What is left of an earlier daemon's commands, until nothing is. They have been killed
 * the first time; what is new must not be taken for them. */
static void sweep(void *context)
{
	struct box *box = context;
	struct broker *b = box->broker;
	bool busy = !LIST_EMPTY(&box->execs) || box->prepared;
	struct err e;

	if (!box->alive)
		return;
	if (busy || resident_exec_sweep(&box->resident, &b->host, &e) == -EBUSY)
		err_ignore(
			loop_set_timer(b->loop, &box->sweep,
				       loop_now(b->loop) + (busy ? AGAIN_MS : SWEEP_MS),
				       &e) < 0);
}

/* Also where the kernel has only begun to freeze it. */
static bool is_frozen(const struct box *box)
{
	char text[8];

	return fd_read_at(box->resident.cgroup, "cgroup.freeze", text, sizeof(text)) <=
		       0 ||
	       strcmp(text, "0") != 0;
}

int box_taken_in(struct box *box, struct resident *resident, struct err *e)
{
	struct broker *b = box->broker;

	box->resident = *resident;
	*resident = RESIDENT_NONE;
	box->alive = true;
	box->used_at = broker_time();
	box->next_exec = box->used_at; /* ids of an earlier daemon do not come again */
	box->sweep = (struct timer){ .due = sweep, .context = box };
	forget_file(box);
	/* Who had it frozen is not there any more (FI-23). */
	if (is_frozen(box))
		change(box, WORKER_THAW, reclaimed);
	sweep(box);
	return loop_watch(b->loop, &box->died, box->resident.init.pidfd, EPOLLIN, e);
}
