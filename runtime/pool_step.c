/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pool_parts.h"

static void order(struct pool *pool, struct pool_node *node, enum pool_action_type type)
{
	const struct pool_sandbox *s = node->sandbox;

	node->action = (struct pool_action){
		.type = type, .id = s->id, .generation = s->generation, .why = s->why
	};
	node->queued = true;
	TAILQ_INSERT_TAIL(&pool->actions, node, next);
}

void pool_step_count_exec(struct pool *pool, struct pool_sandbox *s, bool admitted)
{
	uint32_t change = admitted ? 1 : UINT32_MAX;

	s->execs += change;
	s->client->counts.execs += change;
	pool->counts.execs += change;
	pool_track_use(pool, s);
}

static void end(struct pool *pool, struct pool_waiter *w, enum pool_action_type type,
		enum pool_verdict verdict)
{
	struct pool_sandbox *s = w->sandbox;
	struct pool_action *action = &w->end.action;

	pool_table_leave(pool, w);
	action->type = type;
	action->id = s->id;
	action->generation = s->generation;
	action->verdict = verdict;
	if (type == ACTION_ADMIT && w->kind == WAIT_EXEC) {
		pool_step_count_exec(pool, s, true);
	} else if (type == ACTION_ADMIT && w->kind == WAIT_ENSURE) {
		action->created = s->fresh;
		s->fresh = false;
		pool_track_use(pool, s);
	}
	w->end.queued = true;
	TAILQ_INSERT_TAIL(&pool->actions, &w->end, next);
}

void pool_step_end(struct pool *pool, struct pool_sandbox *s, unsigned kinds,
		   enum pool_action_type type, enum pool_verdict verdict)
{
	struct pool_waiter *w = TAILQ_FIRST(&s->waiters);

	while (w) {
		struct pool_waiter *next = TAILQ_NEXT(w, next);

		if (w->kind & kinds)
			end(pool, w, type, verdict);
		w = next;
	}
}

/* At most one FREEZE or THAW of a sandbox is under way: what its end means is beyond
 * doubt, even that of an earlier generation. */
void pool_step_freezer(struct pool *pool, struct pool_sandbox *s)
{
	bool cold = s->state != POOL_RUNNING;

	if (cold && s->freezer == FREEZER_THAWED && !s->stale) {
		s->freezer = FREEZER_FREEZING;
		order(pool, &s->freeze, ACTION_FREEZE);
	} else if (!cold && s->freezer == FREEZER_FROZEN) {
		s->freezer = FREEZER_THAWING;
		order(pool, &s->freeze, ACTION_THAW);
	}
	if (s->state == POOL_PAUSED && s->freezer == FREEZER_FROZEN)
		pool_step_end(pool, s, WAIT_PAUSE, ACTION_ADMIT, POOL_ADMITTED);
	else if (!cold && s->freezer == FREEZER_THAWED)
		pool_step_end(pool, s, WAIT_START | WAIT_UNPAUSE, ACTION_ADMIT,
			      POOL_ADMITTED);
}

void pool_step_reclaim(struct pool *pool, struct pool_sandbox *s)
{
	s->reclaimed = true;
	if (!s->reclaim.queued)
		order(pool, &s->reclaim, ACTION_RECLAIM);
}

void pool_step_start(struct pool *pool, struct pool_sandbox *s)
{
	s->state = POOL_CREATING;
	s->building = true;
	s->generation++;
	order(pool, &s->life, ACTION_CREATE);
	pool_track(pool, s);
}

void pool_step_stop(struct pool *pool, struct pool_sandbox *s, enum pool_why why)
{
	s->state = POOL_STOPPING;
	s->why = why;
	/* Killing does not wait for the freezer (FI-23), its report is waited for later.
	 */
	if (s->freezer == FREEZER_FREEZING || s->freezer == FREEZER_THAWING)
		s->stale = true;
	s->freezer = FREEZER_THAWED;
	/* What is half-made cannot be ended: that follows when it is there. */
	if (!s->building)
		order(pool, &s->life, ACTION_DESTROY);
	pool_step_end(pool, s, WAIT_PAUSE | WAIT_UNPAUSE, ACTION_REFUSE,
		      POOL_WRONG_STATE);
	/* There is no next generation. */
	if (s->spec.auto_remove) {
		s->doomed = true;
		pool_step_end(pool, s, WAIT_START, ACTION_REFUSE, POOL_NO_SUCH);
	}
	pool_track(pool, s);
}

void pool_step_forget(struct pool *pool, struct pool_sandbox *s)
{
	if (s->state != POOL_STOPPED || s->starters || s->execs || (s->ran && !s->doomed))
		return;
	/* First: who has waited for this may rely on it. */
	order(pool, &s->life, ACTION_FORGET);
	pool_step_end(pool, s, WAIT_STOP | WAIT_REMOVE, ACTION_ADMIT, POOL_ADMITTED);
	pool_table_hide(pool, s);
}
