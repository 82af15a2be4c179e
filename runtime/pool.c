/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "runtime/pool_parts.h"

static void set_clock(struct pool *pool, uint64_t now)
{
	if (now > pool->now)
		pool->now = now;
}

/* --- clients, and what was there before -------------------------------------------- */

int pool_set_client(struct pool *pool, uint32_t client,
		    const struct pool_client_limits *limits, struct err *e)
{
	struct pool_client *c = pool_table_client(pool, client);

	if (client == UINT32_MAX)
		return err_say(e, EINVAL, "client %u stands for all of them", client);
	if (!c)
		c = pool_table_add_client(pool, client);
	if (!c)
		return err_set(e, ENOMEM, "hold client %u", client);
	c->limits = *limits;
	pool_room_settle(pool, c);
	return 0;
}

int pool_adopt(struct pool *pool, uint64_t now, uint32_t client, const char *name,
	       const struct pool_spec *spec, const struct pool_past *past, pool_id *ret,
	       struct err *e)
{
	struct pool_client *c = pool_table_client(pool, client);
	enum pool_state state = past->state;
	struct pool_sandbox *s;

	set_clock(pool, now);
	if (!c)
		return err_say(e, EPERM, "client %u may have nothing", client);
	if (state != POOL_RUNNING && state != POOL_PAUSED && state != POOL_STOPPED)
		return err_say(e, EINVAL, "a sandbox in the midst of something");
	if (pool_table_name(pool, client, name))
		return err_say(e, EEXIST, "client %u has that name already", client);
	s = pool_table_add(pool, c, name, spec);
	if (!s)
		return err_set(e, ENOMEM, "hold a sandbox");
	s->state = state;
	s->ran = true;
	s->generation = past->generation;
	if (state != POOL_STOPPED)
		s->started = past->started < pool->now ? past->started : pool->now;
	s->freezer = state == POOL_PAUSED ? FREEZER_FROZEN : FREEZER_THAWED;
	pool_track(pool, s);
	pool_room_settle(pool, c);
	*ret = s->id;
	return 0;
}

/* --- what starts a sandbox ---------------------------------------------------------- */

/* Can a command be run in it at once? */
static bool is_ready(const struct pool_sandbox *s)
{
	return (s->state == POOL_RUNNING || s->state == POOL_FROZEN) &&
	       s->freezer == FREEZER_THAWED;
}

/* A cookie that is in use cannot be told apart: it is one request too many. */
static bool may_wait(const struct pool *pool, const struct pool_client *c,
		     uint64_t cookie)
{
	return (!c->limits.waiters || c->counts.waiters < c->limits.waiters) &&
	       (!pool->limits.waiters || pool->counts.waiters < pool->limits.waiters) &&
	       !pool_table_cookie(pool, cookie);
}

/* What was to be removed is asked for again: as new, as soon as the old is gone. */
static void redefine(struct pool *pool, struct pool_sandbox *s)
{
	s->doomed = s->ran = false;
	s->fresh = true;
	if (s->state == POOL_STOPPED)
		pool_step_end(pool, s, WAIT_REMOVE, ACTION_ADMIT, POOL_ADMITTED);
}

static enum pool_verdict wait_for_start(struct pool *pool, struct pool_sandbox *s,
					enum pool_wait kind, uint64_t cookie)
{
	if (!may_wait(pool, s->client, cookie))
		return POOL_BUSY_WAITERS;
	if (!s->demands && !pool_room_possible(pool, s->client))
		return POOL_BUSY_SANDBOXES;
	if (!pool_table_wait(pool, s, kind, cookie))
		return POOL_BUSY_WAITERS;
	if (!s->demands)
		pool_room_make(pool, s->client);
	if (s->doomed)
		redefine(pool, s);
	if (s->state == POOL_FROZEN)
		s->state = POOL_RUNNING;
	if (s->state == POOL_RUNNING)
		pool_step_freezer(pool, s);
	pool_track(pool, s);
	if (s->state == POOL_STOPPED && s->queue == QUEUE_NONE)
		pool_room_enter(pool, s);
	return POOL_WAITS;
}

static enum pool_verdict define(struct pool *pool, struct pool_client *c,
				const char *name, const struct pool_spec *spec,
				uint64_t cookie, pool_id *ret_id)
{
	struct pool_sandbox *s;
	enum pool_verdict verdict;

	if (c->limits.definitions && c->counts.definitions >= c->limits.definitions)
		return POOL_BUSY_DEFINITIONS;
	if (!may_wait(pool, c, cookie))
		return POOL_BUSY_WAITERS;
	if (!pool_room_possible(pool, c))
		return POOL_BUSY_SANDBOXES;
	s = pool_table_add(pool, c, name, spec);
	if (!s)
		return POOL_BUSY_DEFINITIONS;
	s->fresh = true;
	*ret_id = s->id;
	verdict = wait_for_start(pool, s, WAIT_ENSURE, cookie);
	if (verdict != POOL_WAITS) {
		pool_table_hide(pool, s);
		pool_table_free(pool, s);
	}
	return verdict;
}

enum pool_verdict pool_ensure(struct pool *pool, uint64_t now, uint32_t client,
			      const char *name, const struct pool_spec *spec,
			      uint64_t cookie, pool_id *ret_id, bool *ret_created)
{
	struct pool_client *c = pool_table_client(pool, client);
	struct pool_sandbox *s = pool_table_name(pool, client, name);

	set_clock(pool, now);
	if (!c)
		return POOL_BUSY_SANDBOXES;
	if (!s)
		return define(pool, c, name, spec, cookie, ret_id);
	*ret_id = s->id;
	if (memcmp(s->spec.digest, spec->digest, sizeof(spec->digest)) != 0)
		return POOL_CONFLICT;
	if (!is_ready(s) && s->state != POOL_PAUSED)
		return wait_for_start(pool, s, WAIT_ENSURE, cookie);
	if (s->state == POOL_FROZEN)
		s->state = POOL_RUNNING;
	*ret_created = s->fresh;
	s->fresh = false;
	pool_track_use(pool, s);
	pool_track(pool, s);
	return POOL_ADMITTED;
}

enum pool_verdict pool_exec(struct pool *pool, uint64_t now, uint32_t client,
			    const char *name, uint64_t cookie, pool_id *ret_id)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);
	struct pool_client *c;

	set_clock(pool, now);
	if (!s || s->doomed)
		return POOL_NO_SUCH;
	*ret_id = s->id;
	c = s->client;
	if (s->state == POOL_PAUSED)
		return POOL_PAUSED_NOW;
	/* Those that wait will be admitted all at once. */
	if (c->limits.execs &&
	    c->counts.execs + c->counts.exec_waiters >= c->limits.execs)
		return POOL_BUSY_EXECS;
	if (!is_ready(s))
		return wait_for_start(pool, s, WAIT_EXEC, cookie);
	s->state = POOL_RUNNING;
	pool_step_count_exec(pool, s, true);
	pool_track(pool, s);
	return POOL_ADMITTED;
}

/* --- what ends one ------------------------------------------------------------------ */

/* Whoever waits for its start is answered with `verdict`: that is not to be any more. */
static void halt(struct pool *pool, struct pool_sandbox *s, enum pool_verdict verdict)
{
	pool_step_end(pool, s, WAIT_START, ACTION_REFUSE, verdict);
	pool_room_leave(pool, s);
	if (s->state == POOL_CREATING || pool_track_runs(s))
		pool_step_stop(pool, s, POOL_ASKED);
	pool_track(pool, s);
	pool_room_settle(pool, s->client);
	pool_step_forget(pool, s);
}

static void doom(struct pool *pool, struct pool_sandbox *s)
{
	s->doomed = true;
	halt(pool, s, POOL_NO_SUCH);
}

enum pool_verdict pool_stop(struct pool *pool, uint64_t now, uint32_t client,
			    const char *name, uint64_t cookie, pool_id *ret_id)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);
	enum pool_verdict verdict = POOL_ADMITTED;

	set_clock(pool, now);
	if (!s)
		return POOL_NO_SUCH;
	*ret_id = s->id;
	if (s->state != POOL_STOPPED) {
		if (!may_wait(pool, s->client, cookie) ||
		    !pool_table_wait(pool, s, WAIT_STOP, cookie))
			return POOL_BUSY_WAITERS;
		verdict = POOL_WAITS;
	}
	halt(pool, s, POOL_WRONG_STATE);
	return verdict;
}

enum pool_verdict pool_remove(struct pool *pool, uint64_t now, uint32_t client,
			      const char *name, bool force, uint64_t cookie,
			      pool_id *ret_id)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);
	enum pool_verdict verdict = POOL_ADMITTED;

	set_clock(pool, now);
	if (!s)
		return POOL_NO_SUCH;
	*ret_id = s->id;
	if (s->state != POOL_STOPPED && !force)
		return POOL_WRONG_STATE;
	if (s->state != POOL_STOPPED || s->execs) {
		if (!may_wait(pool, s->client, cookie) ||
		    !pool_table_wait(pool, s, WAIT_REMOVE, cookie))
			return POOL_BUSY_WAITERS;
		verdict = POOL_WAITS;
	}
	doom(pool, s);
	return verdict;
}

void pool_discard(struct pool *pool, uint64_t now, pool_id id)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	/* Not one whose name has ended: it is about to be forgotten. */
	if (s && pool_table_name(pool, s->client->id, s->name) == s)
		doom(pool, s);
}

unsigned pool_reap(struct pool *pool, uint64_t now, uint32_t client)
{
	struct pool_client *c = pool_table_client(pool, client);
	struct pool_sandbox *s;
	unsigned count = 0;

	set_clock(pool, now);
	for (; c && (s = TAILQ_FIRST(&c->idle)); count++)
		pool_step_stop(pool, s, POOL_ASKED);
	return count;
}

static unsigned shut_down(struct pool *pool, struct pool_client *c, bool remove)
{
	struct pool_sandbox *s;
	uint64_t serial = 0;
	unsigned count = 0;

	for (; (s = pool_table_after(c, serial)); serial = s->serial) {
		count += s->alive && s->state != POOL_STOPPING;
		if (remove)
			doom(pool, s);
		else
			halt(pool, s, POOL_WRONG_STATE);
	}
	return count;
}

unsigned pool_shutdown(struct pool *pool, uint64_t now, uint32_t client, bool remove)
{
	struct pool_client *c = pool_table_client(pool, client);
	unsigned count = 0;

	set_clock(pool, now);
	if (client != UINT32_MAX)
		return c ? shut_down(pool, c, remove) : 0;
	for (size_t i = 0; i < pool->clients.size; i++) {
		for (struct pool_key *k = pool->clients.buckets[i]; k; k = k->next)
			count += shut_down(pool, (struct pool_client *)k, remove);
	}
	return count;
}

/* --- what holds one ----------------------------------------------------------------- */

enum pool_verdict pool_pause(struct pool *pool, uint64_t now, uint32_t client,
			     const char *name, uint64_t cookie, pool_id *ret_id)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);
	enum pool_verdict verdict = POOL_ADMITTED;

	set_clock(pool, now);
	if (!s)
		return POOL_NO_SUCH;
	*ret_id = s->id;
	if (!pool_track_runs(s))
		return POOL_WRONG_STATE;
	if (s->freezer != FREEZER_FROZEN) {
		if (!may_wait(pool, s->client, cookie) ||
		    !pool_table_wait(pool, s, WAIT_PAUSE, cookie))
			return POOL_BUSY_WAITERS;
		verdict = POOL_WAITS;
	}
	s->state = POOL_PAUSED;
	pool_step_end(pool, s, WAIT_ENSURE, ACTION_ADMIT, POOL_ADMITTED);
	pool_step_end(pool, s, WAIT_EXEC | WAIT_UNPAUSE, ACTION_REFUSE, POOL_PAUSED_NOW);
	pool_step_freezer(pool, s);
	pool_track_use(pool, s);
	pool_track(pool, s);
	return verdict;
}

enum pool_verdict pool_unpause(struct pool *pool, uint64_t now, uint32_t client,
			       const char *name, uint64_t cookie, pool_id *ret_id)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);
	enum pool_verdict verdict = POOL_ADMITTED;

	set_clock(pool, now);
	if (!s)
		return POOL_NO_SUCH;
	*ret_id = s->id;
	if (!pool_track_runs(s))
		return POOL_WRONG_STATE;
	if (s->freezer != FREEZER_THAWED) {
		if (!may_wait(pool, s->client, cookie) ||
		    !pool_table_wait(pool, s, WAIT_UNPAUSE, cookie))
			return POOL_BUSY_WAITERS;
		verdict = POOL_WAITS;
	}
	s->state = POOL_RUNNING;
	pool_step_end(pool, s, WAIT_PAUSE, ACTION_REFUSE, POOL_WRONG_STATE);
	pool_step_freezer(pool, s);
	pool_track_use(pool, s);
	pool_track(pool, s);
	return verdict;
}

enum pool_verdict pool_touch(struct pool *pool, uint64_t now, uint32_t client,
			     const char *name)
{
	struct pool_sandbox *s = pool_table_name(pool, client, name);

	set_clock(pool, now);
	if (!s)
		return POOL_NO_SUCH;
	if (!pool_track_runs(s) && s->state != POOL_CREATING)
		return POOL_WRONG_STATE;
	if (s->state == POOL_FROZEN) {
		s->state = POOL_RUNNING;
		pool_step_freezer(pool, s);
	}
	pool_track_use(pool, s);
	pool_track(pool, s);
	return POOL_ADMITTED;
}

/* --- who does not want it any more -------------------------------------------------- */

static void settle_after_exec(struct pool *pool, struct pool_sandbox *s)
{
	pool_step_count_exec(pool, s, false);
	pool_track(pool, s);
	pool_step_forget(pool, s);
}

/* An end that nobody has taken yet: as if it had been undone at once. */
static void take_back(struct pool *pool, struct pool_waiter *w)
{
	const struct pool_action *action = &w->end.action;
	struct pool_sandbox *s = pool_table_id(pool, action->id);

	TAILQ_REMOVE(&pool->actions, &w->end, next);
	if (!s || action->type != ACTION_ADMIT)
		return;
	if (w->kind == WAIT_EXEC && s->execs)
		settle_after_exec(pool, s);
	s->fresh |= action->created;
}

void pool_cancel(struct pool *pool, uint64_t now, uint64_t cookie)
{
	struct pool_waiter *w = pool_table_cookie(pool, cookie);
	struct pool_sandbox *s;

	set_clock(pool, now);
	if (!w)
		return;
	s = w->sandbox;
	if (!s) {
		take_back(pool, w);
	} else {
		pool_table_leave(pool, w);
		if (!s->starters)
			pool_room_leave(pool, s);
		pool_track(pool, s);
		pool_room_settle(pool, s->client);
		pool_step_forget(pool, s);
	}
	pool_table_free_waiter(pool, w);
}

/* --- what has happened -------------------------------------------------------------- */

/* Nothing of it is left in the kernel. */
static void end_generation(struct pool *pool, struct pool_sandbox *s)
{
	s->state = POOL_STOPPED;
	s->started = 0;
	pool_track(pool, s);
	pool_step_forget(pool, s);
	pool_step_end(pool, s, s->doomed ? WAIT_STOP : WAIT_STOP | WAIT_REMOVE,
		      ACTION_ADMIT, POOL_ADMITTED);
	if (s->starters)
		pool_room_enter(pool, s);
	else
		pool_room_settle(pool, s->client);
}

void pool_exec_ended(struct pool *pool, uint64_t now, pool_id id)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (s && s->execs)
		settle_after_exec(pool, s);
}

void pool_created(struct pool *pool, uint64_t now, pool_id id, bool ok)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (!s || !s->building || s->life.queued)
		return;
	s->building = false;
	if (!ok) {
		if (s->state == POOL_CREATING)
			pool_step_end(pool, s, WAIT_START, ACTION_FAILED, POOL_ADMITTED);
		return end_generation(pool, s);
	}
	s->started = pool->now;
	if (s->state == POOL_STOPPING)
		return pool_step_stop(pool, s, s->why);
	s->state = POOL_RUNNING;
	s->ran = true;
	pool_track_use(pool, s);
	pool_step_freezer(pool, s);
	pool_track(pool, s);
}

void pool_destroyed(struct pool *pool, uint64_t now, pool_id id)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (s && s->state == POOL_STOPPING && !s->building && !s->life.queued)
		end_generation(pool, s);
}

/* Is it the report that is waited for, and of this generation? */
static bool take_report(struct pool_sandbox *s, enum pool_action_type type)
{
	if (!s || s->freeze.queued || s->freeze.action.type != type)
		return false;
	s->stale = false;
	return s->freezer == FREEZER_FREEZING || s->freezer == FREEZER_THAWING;
}

void pool_frozen(struct pool *pool, uint64_t now, pool_id id, bool ok)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (take_report(s, ACTION_FREEZE)) {
		s->freezer = FREEZER_FROZEN;
		/* It may be half-frozen: it is thawed. */
		if (!ok) {
			s->state = POOL_RUNNING;
			pool_step_end(pool, s, WAIT_PAUSE, ACTION_FAILED, POOL_ADMITTED);
		}
	}
	if (s && pool_track_runs(s)) {
		pool_step_freezer(pool, s);
		pool_track(pool, s);
	}
}

void pool_thawed(struct pool *pool, uint64_t now, pool_id id, bool ok)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (take_report(s, ACTION_THAW)) {
		s->freezer = ok ? FREEZER_THAWED : FREEZER_FROZEN;
		/* Nobody can use it any more. The next generation can be used. */
		if (!ok && s->state == POOL_RUNNING) {
			pool_step_end(pool, s, WAIT_UNPAUSE, ACTION_FAILED,
				      POOL_ADMITTED);
			pool_step_stop(pool, s, POOL_FAILED);
		}
	}
	if (s && pool_track_runs(s)) {
		pool_step_freezer(pool, s);
		pool_track(pool, s);
	}
}

void pool_died(struct pool *pool, uint64_t now, pool_id id)
{
	struct pool_sandbox *s = pool_table_id(pool, id);

	set_clock(pool, now);
	if (!s || (s->state != POOL_CREATING && !pool_track_runs(s)))
		return;
	/* One that dies while it is made would do so again. */
	if (s->state == POOL_CREATING)
		pool_step_end(pool, s, WAIT_START, ACTION_FAILED, POOL_ADMITTED);
	pool_step_stop(pool, s, POOL_DIED);
}

/* --- time and actions --------------------------------------------------------------- */

void pool_tick(struct pool *pool, uint64_t now)
{
	set_clock(pool, now);
	while (pool->heap_count && pool->heap[0]->deadline <= pool->now) {
		struct pool_sandbox *s = pool->heap[0];

		if (pool_track_end(s) <= pool->now) {
			pool_step_stop(pool, s, POOL_MAX_DURATION);
		} else if (pool_track_idle_end(s) <= pool->now) {
			pool_step_stop(pool, s, POOL_IDLE);
		} else if (pool_track_freeze(s) <= pool->now) {
			s->froze = true;
			s->state = POOL_FROZEN;
			pool_step_freezer(pool, s);
		} else {
			pool_step_reclaim(pool, s);
		}
		pool_track(pool, s);
	}
}

uint64_t pool_deadline(const struct pool *pool)
{
	return pool->heap_count ? pool->heap[0]->deadline : UINT64_MAX;
}

bool pool_next(struct pool *pool, struct pool_action *ret)
{
	struct pool_node *node = TAILQ_FIRST(&pool->actions);

	if (!node)
		return false;
	TAILQ_REMOVE(&pool->actions, node, next);
	node->queued = false;
	*ret = node->action;
	if (node->waiter)
		pool_table_free_waiter(pool, node->waiter);
	else if (ret->type == ACTION_FORGET)
		pool_table_free(pool, node->sandbox);
	return true;
}
