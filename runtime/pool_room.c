/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pool_parts.h"

/* How many have to go for one more. */
static uint32_t excess(uint32_t demands, uint32_t limit)
{
	return limit && demands >= limit ? demands - limit + 1 : 0;
}

static bool over(uint32_t demands, uint32_t limit)
{
	return limit && demands > limit;
}

bool pool_room_possible(const struct pool *pool, const struct pool_client *c)
{
	uint32_t own = excess(c->counts.demands, c->limits.sandboxes);
	uint32_t all = excess(pool->counts.demands, pool->limits.sandboxes);

	return own <= c->counts.idle && all <= pool->counts.idle;
}

static bool is_room_own(const struct pool *pool, const struct pool_client *c)
{
	uint32_t own = excess(c->counts.demands, c->limits.sandboxes);
	uint32_t all = excess(pool->counts.demands, pool->limits.sandboxes);

	return own > c->counts.idle || all <= pool->counts.idle;
}

uint32_t pool_ceiling(const struct pool *pool, uint32_t client, enum pool_verdict verdict)
{
	const struct pool_client *c = pool_table_client(pool, client);
	const struct pool_client_limits *own = c ? &c->limits : NULL;

	if (!own)
		return 0;
	switch (verdict) {
	case POOL_BUSY_SANDBOXES:
		return own->sandboxes && is_room_own(pool, c) ? own->sandboxes
							      : pool->limits.sandboxes;
	case POOL_BUSY_DEFINITIONS:
		return own->definitions;
	case POOL_BUSY_EXECS:
		return own->execs;
	case POOL_BUSY_WAITERS:
		return own->waiters && c->counts.waiters >= own->waiters
			       ? own->waiters
			       : pool->limits.waiters;
	case POOL_ADMITTED:
	case POOL_WAITS:
	case POOL_NO_SUCH:
	case POOL_CONFLICT:
	case POOL_PAUSED_NOW:
	case POOL_WRONG_STATE:
	case POOL_VERDICT_MAX:
		break;
	}
	return 0;
}

void pool_room_make(struct pool *pool, struct pool_client *c)
{
	while (excess(c->counts.demands, c->limits.sandboxes))
		pool_step_stop(pool, TAILQ_FIRST(&c->idle), POOL_EVICTED);
	while (excess(pool->counts.demands, pool->limits.sandboxes))
		pool_step_stop(pool, TAILQ_FIRST(&pool->idle), POOL_EVICTED);
}

static void to_all(struct pool *pool, struct pool_sandbox *s)
{
	struct pool_client *c = s->client;

	TAILQ_REMOVE(&c->queue, s, queued);
	TAILQ_INSERT_TAIL(&pool->queue, s, queued);
	s->queue = QUEUE_ALL;
	c->counts.promised++;
	pool->counts.promised++;
}

void pool_room_leave(struct pool *pool, struct pool_sandbox *s)
{
	if (s->queue == QUEUE_CLIENT) {
		TAILQ_REMOVE(&s->client->queue, s, queued);
	} else if (s->queue == QUEUE_ALL) {
		TAILQ_REMOVE(&pool->queue, s, queued);
		s->client->counts.promised--;
		pool->counts.promised--;
	}
	s->queue = QUEUE_NONE;
}

/* Lets everybody go on as far as there is room. */
static void advance(struct pool *pool, struct pool_client *c)
{
	struct pool_sandbox *s;

	while ((s = TAILQ_FIRST(&c->queue)) &&
	       (!c->limits.sandboxes ||
		c->counts.alive + c->counts.promised < c->limits.sandboxes))
		to_all(pool, s);
	while ((s = TAILQ_FIRST(&pool->queue)) &&
	       (!pool->limits.sandboxes || pool->counts.alive < pool->limits.sandboxes)) {
		pool_room_leave(pool, s);
		pool_step_start(pool, s);
	}
}

static void refuse(struct pool *pool, struct pool_sandbox *s)
{
	pool_room_leave(pool, s);
	pool_step_end(pool, s, WAIT_START, ACTION_REFUSE, POOL_BUSY_SANDBOXES);
	pool_track(pool, s);
	pool_step_forget(pool, s);
}

void pool_room_settle(struct pool *pool, struct pool_client *c)
{
	struct pool_sandbox *s;

	advance(pool, c);
	/* Otherwise they would wait for room that nobody is about to give. */
	while ((s = TAILQ_LAST(&c->queue, pool_sandboxes)) &&
	       over(c->counts.demands, c->limits.sandboxes))
		refuse(pool, s);
	while ((s = TAILQ_LAST(&pool->queue, pool_sandboxes)) &&
	       over(pool->counts.demands, pool->limits.sandboxes)) {
		c = s->client;
		refuse(pool, s);
		advance(pool, c);
	}
}

void pool_room_enter(struct pool *pool, struct pool_sandbox *s)
{
	s->queue = QUEUE_CLIENT;
	TAILQ_INSERT_TAIL(&s->client->queue, s, queued);
	pool_room_settle(pool, s->client);
}
