/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pool_parts.h"

/* --- deadlines: a heap, the earliest first; of equal ones, the oldest sandbox's ------
 */

static bool before(const struct pool_sandbox *a, const struct pool_sandbox *b)
{
	return a->deadline != b->deadline ? a->deadline < b->deadline
					  : a->serial < b->serial;
}

static void put(struct pool *pool, struct pool_sandbox *s, uint32_t at)
{
	pool->heap[at] = s;
	s->heap_at = at;
}

static void rise(struct pool *pool, struct pool_sandbox *s, uint32_t at)
{
	while (at > 0 && before(s, pool->heap[(at - 1) / 2])) {
		put(pool, pool->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	put(pool, s, at);
}

static void sink(struct pool *pool, struct pool_sandbox *s, uint32_t at)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < pool->heap_count &&
		    before(pool->heap[child + 1], pool->heap[child]))
			child++;
		if (child >= pool->heap_count || before(s, pool->heap[child]))
			break;
		put(pool, pool->heap[child], at);
		at = child;
	}
	put(pool, s, at);
}

static void set_deadline(struct pool *pool, struct pool_sandbox *s, uint64_t deadline)
{
	uint32_t at = s->heap_at;
	struct pool_sandbox *last;

	if (deadline == s->deadline)
		return;
	s->deadline = deadline;
	if (at == UINT32_MAX) {
		rise(pool, s, pool->heap_count++);
	} else if (deadline == UINT64_MAX) {
		last = pool->heap[--pool->heap_count];
		s->heap_at = UINT32_MAX;
		if (last != s) {
			rise(pool, last, at);
			sink(pool, last, last->heap_at);
		}
	} else {
		rise(pool, s, at);
		sink(pool, s, s->heap_at);
	}
}

static uint64_t later(uint64_t moment, uint64_t span)
{
	return span == 0 || span >= UINT64_MAX - moment ? UINT64_MAX : moment + span;
}

uint64_t pool_track_end(const struct pool_sandbox *s)
{
	return pool_track_runs(s) ? later(s->started, s->spec.max_duration) : UINT64_MAX;
}

uint64_t pool_track_idle_end(const struct pool_sandbox *s)
{
	return s->idle ? later(s->used, s->spec.idle_timeout) : UINT64_MAX;
}

uint64_t pool_track_freeze(const struct pool_sandbox *s)
{
	return s->idle && s->state == POOL_RUNNING && !s->froze
		       ? later(s->used, s->spec.freeze_after)
		       : UINT64_MAX;
}

uint64_t pool_track_reclaim(const struct pool_sandbox *s)
{
	return s->idle && !s->reclaimed ? later(s->used, s->spec.reclaim_after)
					: UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- what follows from the state --------------------------------------------------- */

bool pool_track_runs(const struct pool_sandbox *s)
{
	return s->state == POOL_RUNNING || s->state == POOL_PAUSED ||
	       s->state == POOL_FROZEN;
}

static void set_alive(struct pool *pool, struct pool_sandbox *s, bool alive)
{
	uint32_t change = (uint32_t)alive - (uint32_t)s->alive;

	s->alive = alive;
	s->client->counts.alive += change;
	pool->counts.alive += change;
}

static void set_demands(struct pool *pool, struct pool_sandbox *s, bool demands)
{
	uint32_t change = (uint32_t)demands - (uint32_t)s->demands;

	s->demands = demands;
	s->client->counts.demands += change;
	pool->counts.demands += change;
}

static void end_idle(struct pool *pool, struct pool_sandbox *s)
{
	if (!s->idle)
		return;
	s->idle = false;
	TAILQ_REMOVE(&s->client->idle, s, idle_of_client);
	TAILQ_REMOVE(&pool->idle, s, idle_of_all);
	s->client->counts.idle--;
	pool->counts.idle--;
}

/* Whatever ended its use did so now: the lists stay in the order of `used`. */
static void begin_idle(struct pool *pool, struct pool_sandbox *s)
{
	pool_track_use(pool, s);
	s->idle = true;
	TAILQ_INSERT_TAIL(&s->client->idle, s, idle_of_client);
	TAILQ_INSERT_TAIL(&pool->idle, s, idle_of_all);
	s->client->counts.idle++;
	pool->counts.idle++;
}

void pool_track_use(struct pool *pool, struct pool_sandbox *s)
{
	end_idle(pool, s);
	s->used = pool->now;
	s->froze = s->reclaimed = false;
}

void pool_track(struct pool *pool, struct pool_sandbox *s)
{
	bool idle = pool_track_runs(s) && !s->execs && !s->waiting;

	set_alive(pool, s, s->state != POOL_STOPPED);
	set_demands(pool, s, s->starters || (s->alive && s->state != POOL_STOPPING));
	if (idle && !s->idle)
		begin_idle(pool, s);
	else if (!idle)
		end_idle(pool, s);
	set_deadline(pool, s,
		     earlier(earlier(pool_track_end(s), pool_track_idle_end(s)),
			     earlier(pool_track_freeze(s), pool_track_reclaim(s))));
}
