/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/pool_parts.h"

/* --- one sandbox -------------------------------------------------------------------- */

static void verify_waiter(const struct pool *pool, const struct pool_waiter *w)
{
	const struct pool_sandbox *s = w->sandbox;

	bug_on(w->end.queued || w->end.waiter != w);
	bug_on(pool_table_cookie(pool, w->end.action.cookie) != w);
	switch (w->kind) {
	case WAIT_ENSURE:
	case WAIT_EXEC:
		bug_on(s->state == POOL_PAUSED || s->state == POOL_FROZEN || s->doomed);
		break;
	case WAIT_STOP:
		bug_on(s->state != POOL_STOPPING);
		break;
	case WAIT_REMOVE:
		bug_on(s->state != POOL_STOPPING && !(s->doomed && s->execs));
		break;
	case WAIT_PAUSE:
		bug_on(s->state != POOL_PAUSED);
		break;
	case WAIT_UNPAUSE:
		bug_on(s->state != POOL_RUNNING);
		break;
	case WAIT_START:
		bug_on(true); /* a set of two */
	}
}

static void verify_waiters(const struct pool *pool, const struct pool_sandbox *s,
			   struct pool_counts *sum)
{
	const struct pool_waiter *w;
	uint32_t waiting = 0, starters = 0;

	TAILQ_FOREACH(w, &s->waiters, next) {
		bug_on(w->sandbox != s);
		verify_waiter(pool, w);
		waiting++;
		starters += w->kind == WAIT_ENSURE || w->kind == WAIT_EXEC;
		sum->exec_waiters += w->kind == WAIT_EXEC;
	}
	bug_on(waiting != s->waiting || starters != s->starters);
	sum->waiters += waiting;
}

static void verify_freezer(const struct pool_sandbox *s)
{
	bool cold = s->state == POOL_PAUSED || s->state == POOL_FROZEN;

	bug_on(s->freezer != FREEZER_THAWED && (s->stale || !pool_track_runs(s)));
	bug_on(s->freezer == FREEZER_THAWED && cold && !s->stale);
	bug_on(s->freezer == FREEZER_FROZEN && (!cold || s->waiting));
	bug_on(s->freezer == FREEZER_THAWED && s->state == POOL_RUNNING && s->waiting);
	bug_on(s->freeze.queued && s->freezer != FREEZER_FREEZING &&
	       s->freezer != FREEZER_THAWING && !s->stale);
}

static void verify_state(const struct pool_sandbox *s)
{
	bool stopped = s->state == POOL_STOPPED;

	bug_on(s->state >= POOL_STATE_MAX);
	bug_on(s->state == POOL_CREATING && !s->building);
	bug_on(s->building && s->state != POOL_CREATING && s->state != POOL_STOPPING);
	bug_on(s->doomed && !stopped && s->state != POOL_STOPPING);
	bug_on(stopped &&
	       (s->started || s->life.queued || s->freeze.queued || s->reclaim.queued));
	/* What nothing wants has been forgotten, and what somebody wants is on its way.
	 */
	bug_on(stopped && !s->starters && !s->execs && (s->doomed || !s->ran));
	bug_on((stopped && s->starters) != (s->queue != QUEUE_NONE));
	bug_on(s->alive == stopped);
	bug_on(s->demands != (s->starters || (!stopped && s->state != POOL_STOPPING)));
	bug_on(s->idle != (pool_track_runs(s) && !s->execs && !s->waiting));
}

static void verify_deadline(const struct pool *pool, const struct pool_sandbox *s)
{
	const uint64_t due[] = { pool_track_end(s), pool_track_idle_end(s),
				 pool_track_freeze(s), pool_track_reclaim(s) };
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < sizeof(due) / sizeof(*due); i++)
		first = due[i] < first ? due[i] : first;
	bug_on(s->deadline != first);
	bug_on((s->heap_at == UINT32_MAX) != (first == UINT64_MAX));
	bug_on(s->heap_at != UINT32_MAX &&
	       (s->heap_at >= pool->heap_count || pool->heap[s->heap_at] != s));
}

static void verify_sandbox(const struct pool *pool, const struct pool_sandbox *s,
			   struct pool_counts *sum)
{
	bug_on(pool_table_id(pool, s->id) != s);
	bug_on(pool_table_name(pool, s->client->id, s->name) != s);
	verify_state(s);
	verify_freezer(s);
	verify_waiters(pool, s, sum);
	verify_deadline(pool, s);
	sum->definitions++;
	sum->alive += s->alive;
	sum->demands += s->demands;
	sum->idle += s->idle;
	sum->promised += s->queue == QUEUE_ALL;
	sum->execs += s->execs;
}

/* --- lists -------------------------------------------------------------------------- */

static void verify_client(const struct pool *pool, const struct pool_client *c,
			  struct pool_counts *sum)
{
	uint64_t serial = 0, used = 0;
	uint32_t idle = 0, limit = c->limits.sandboxes;
	const struct pool_sandbox *s;

	for (size_t i = 0; i < c->place_count; i++) {
		s = c->places[i].sandbox;
		bug_on(c->places[i].serial <= serial);
		serial = c->places[i].serial;
		bug_on(s && (s->client != c || s->serial != serial));
		if (s)
			verify_sandbox(pool, s, sum);
	}
	TAILQ_FOREACH(s, &c->idle, idle_of_client) {
		bug_on(s->client != c || !s->idle || s->used < used);
		used = s->used;
		idle++;
	}
	bug_on(idle != c->counts.idle);
	TAILQ_FOREACH(s, &c->queue, queued) {
		bug_on(s->client != c || s->queue != QUEUE_CLIENT);
		/* It waits because there is no room, and there will be. */
		bug_on(!limit || c->counts.alive + c->counts.promised < limit ||
		       c->counts.demands > limit);
	}
}

static void verify_queues(const struct pool *pool)
{
	uint32_t idle = 0, promised = 0, limit = pool->limits.sandboxes;
	const struct pool_sandbox *s;
	uint64_t used = 0;

	TAILQ_FOREACH(s, &pool->idle, idle_of_all) {
		bug_on(!s->idle || s->used < used);
		used = s->used;
		idle++;
	}
	TAILQ_FOREACH(s, &pool->queue, queued) {
		bug_on(s->queue != QUEUE_ALL);
		bug_on(!limit || pool->counts.alive < limit ||
		       pool->counts.demands > limit);
		promised++;
	}
	bug_on(idle != pool->counts.idle || promised != pool->counts.promised);
	for (uint32_t i = 0; i < pool->heap_count; i++) {
		bug_on(pool->heap[i]->heap_at != i);
		bug_on(i > 0 &&
		       pool->heap[i]->deadline < pool->heap[(i - 1) / 2]->deadline);
	}
}

static void verify_actions(const struct pool *pool)
{
	const struct pool_node *node;
	size_t ends = 0;

	TAILQ_FOREACH(node, &pool->actions, next) {
		bug_on(!node->queued);
		bug_on(!node->waiter == !node->sandbox);
		bug_on(node->waiter && node->waiter->sandbox);
		ends += node->waiter ? 1 : 0;
	}
	bug_on(pool->cookies.count != pool->counts.waiters + ends);
	bug_on(pool->names.count != pool->counts.definitions);
}

static void add(struct pool_counts *to, const struct pool_counts *c)
{
	to->definitions += c->definitions;
	to->alive += c->alive;
	to->demands += c->demands;
	to->idle += c->idle;
	to->promised += c->promised;
	to->execs += c->execs;
	to->exec_waiters += c->exec_waiters;
	to->waiters += c->waiters;
}

void pool_verify(const struct pool *pool)
{
	struct pool_counts all = { 0 };

	for (size_t i = 0; i < pool->clients.size; i++) {
		for (const struct pool_key *key = pool->clients.buckets[i]; key;
		     key = key->next) {
			const struct pool_client *c = (const struct pool_client *)key;
			struct pool_counts sum = { 0 };

			verify_client(pool, c, &sum);
			bug_on(memcmp(&sum, &c->counts, sizeof(sum)) != 0);
			add(&all, &sum);
		}
	}
	bug_on(memcmp(&all, &pool->counts, sizeof(all)) != 0);
	verify_queues(pool);
	verify_actions(pool);
}
