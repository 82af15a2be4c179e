/* SPDX-License-Identifier: Apache-2.0 */
/* A pool as simple as can be, to hold the real one against: no lists, no counts, no heap,
 * every question answered by looking at everything. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/pool.h"

enum {
	CLIENTS = 3,
	BOXES = 64,
	WAITERS = 16, /* ceiling of all */
	ACTIONS = 512,
	OLD_IDS = 16,
};

enum kind { ENSURE, EXEC, STOP, REMOVE, PAUSE, UNPAUSE };

struct waiter {
	uint64_t cookie;
	enum kind kind;
};

/* What a box's worker is at. */
enum order { NOTHING, CREATE, DESTROY, FREEZE, THAW };

struct box {
	pool_id id;
	uint32_t client;
	char name[8];
	struct pool_spec spec;
	enum pool_state state;
	uint64_t generation, started, used;
	uint32_t execs;
	struct waiter waiters[WAITERS];
	unsigned count;
	bool fresh, ran, doomed;
	enum pool_why why;
	enum order life, freezer; /* under way */
	bool life_taken, freezer_taken;
	uint64_t freezer_generation; /* that `freezer` is about */
	bool cold; /* frozen, for all we know */
	bool froze, reclaimed, reclaim_pending;
	uint64_t idle; /* when its idle time began, as a place in line; 0: not idle */
	uint64_t line; /* place in line for room; 0: none */
	bool promised; /* its client has room for it */
};

struct pending {
	struct pool_action action;
	enum kind kind; /* of ends */
};

struct model {
	struct pool_limits limits;
	struct pool_client_limits clients[CLIENTS];
	uint64_t now, places;
	struct box boxes[BOXES]; /* in the order of making */
	unsigned count;
	struct pending pending[ACTIONS]; /* not taken yet */
	unsigned pending_count;
	pool_id old_ids[OLD_IDS];
	unsigned old_id;
};

static struct model m;
static pool_id next_id; /* of the next box that is made: what the real one has said */
/* --- questions ---------------------------------------------------------- */

static bool runs(const struct box *b)
{
	return b->state == POOL_RUNNING || b->state == POOL_PAUSED ||
	       b->state == POOL_FROZEN;
}

static bool starts(const struct waiter *w)
{
	return w->kind == ENSURE || w->kind == EXEC;
}

static bool is_wanted(const struct box *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		if (starts(&b->waiters[i]))
			return true;
	}
	return false;
}

static bool demands(const struct box *b)
{
	return is_wanted(b) || (b->state != POOL_STOPPED && b->state != POOL_STOPPING);
}

/* Is the freezer at work on the present generation? */
static bool moves(const struct box *b)
{
	return b->freezer != NOTHING && b->freezer_generation == b->generation;
}

static bool ready(const struct box *b)
{
	return (b->state == POOL_RUNNING || b->state == POOL_FROZEN) && !b->cold &&
	       !moves(b);
}

enum what { ALIVE, DEMANDS, PROMISED, EXECS, EXEC_WAITERS, ALL_WAITERS, BOXES_ALL };

static uint32_t figure(const struct box *b, enum what what)
{
	uint32_t figures[] = {
		[ALIVE] = b->state != POOL_STOPPED,
		[DEMANDS] = demands(b),
		[PROMISED] = b->promised,
		[EXECS] = b->execs,
		[ALL_WAITERS] = b->count,
		[BOXES_ALL] = 1,
		[EXEC_WAITERS] = 0,
	};

	for (unsigned i = 0; i < b->count; i++)
		figures[EXEC_WAITERS] += b->waiters[i].kind == EXEC;
	return figures[what];
}

/* Of a client or, with UINT32_MAX, of all. */
static uint32_t sum(uint32_t client, enum what what)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < m.count; i++) {
		if (client == UINT32_MAX || m.boxes[i].client == client)
			n += figure(&m.boxes[i], what);
	}
	return n;
}

static struct box *find(uint32_t client, const char *name)
{
	for (unsigned i = 0; i < m.count; i++) {
		if (m.boxes[i].client == client && !strcmp(m.boxes[i].name, name))
			return &m.boxes[i];
	}
	return NULL;
}

static struct box *find_id(pool_id id)
{
	for (unsigned i = 0; i < m.count; i++) {
		if (m.boxes[i].id == id)
			return &m.boxes[i];
	}
	return NULL;
}

static bool is_end(const struct pool_action *a)
{
	return a->type == ACTION_ADMIT || a->type == ACTION_REFUSE ||
	       a->type == ACTION_FAILED;
}

static bool cookie_in_use(uint64_t cookie)
{
	for (unsigned i = 0; i < m.count; i++) {
		for (unsigned j = 0; j < m.boxes[i].count; j++) {
			if (m.boxes[i].waiters[j].cookie == cookie)
				return true;
		}
	}
	for (unsigned i = 0; i < m.pending_count; i++) {
		if (is_end(&m.pending[i].action) && m.pending[i].action.cookie == cookie)
			return true;
	}
	return false;
}

static bool below(uint32_t n, uint32_t limit)
{
	return limit == 0 || n < limit;
}

static bool may_wait(uint32_t client, uint64_t cookie)
{
	return below(sum(client, ALL_WAITERS), m.clients[client].waiters) &&
	       below(sum(UINT32_MAX, ALL_WAITERS), m.limits.waiters) &&
	       !cookie_in_use(cookie);
}

/* --- steps -------------------------------------------------------------- */

static struct pending *push(const struct box *b, enum pool_action_type type)
{
	struct pending *p = &m.pending[m.pending_count++];

	assert_true(m.pending_count <= ACTIONS);
	*p = (struct pending){
		.action = { .type = type, .id = b->id, .generation = b->generation }
	};
	return p;
}

static void use(struct box *b)
{
	b->used = m.now;
	b->idle = 0;
	b->froze = b->reclaimed = false;
}

static void end(struct box *b, unsigned kinds, enum pool_action_type type,
		enum pool_verdict verdict)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < b->count; i++) {
		struct waiter w = b->waiters[i];
		struct pending *p;

		if (!(kinds >> w.kind & 1)) {
			b->waiters[kept++] = w;
			continue;
		}
		p = push(b, type);
		p->kind = w.kind;
		p->action.cookie = w.cookie;
		p->action.verdict = verdict;
		if (type != ACTION_ADMIT || !starts(&w))
			continue;
		use(b);
		if (w.kind == EXEC)
			b->execs++;
		else
			p->action.created = b->fresh;
		if (w.kind == ENSURE)
			b->fresh = false;
	}
	b->count = kept;
}

#define STARTERS (1u << ENSURE | 1u << EXEC)

static void stop(struct box *b, enum pool_why why)
{
	b->state = POOL_STOPPING;
	b->why = why;
	b->cold = false;
	b->idle = 0;
	end(b, 1u << PAUSE | 1u << UNPAUSE, ACTION_REFUSE, POOL_WRONG_STATE);
	if (b->life == CREATE)
		return;
	b->life = DESTROY;
	b->life_taken = false;
	push(b, ACTION_DESTROY)->action.why = why;
}

static void flow(struct box *b)
{
	bool want = b->state != POOL_RUNNING;

	if (!runs(b))
		return;
	if (b->freezer == NOTHING && want != b->cold) {
		b->freezer = want ? FREEZE : THAW;
		b->freezer_generation = b->generation;
		b->freezer_taken = false;
		push(b, want ? ACTION_FREEZE : ACTION_THAW);
	}
	if (b->cold != want || moves(b))
		return;
	if (b->state == POOL_PAUSED)
		end(b, 1u << PAUSE, ACTION_ADMIT, POOL_ADMITTED);
	else if (b->state == POOL_RUNNING)
		end(b, STARTERS | 1u << UNPAUSE, ACTION_ADMIT, POOL_ADMITTED);
}

/* Those that nothing wants. */
static void forget(void)
{
	for (unsigned i = 0; i < m.count;) {
		struct box *b = &m.boxes[i];

		if (b->state != POOL_STOPPED || is_wanted(b) || b->execs ||
		    (b->ran && !b->doomed)) {
			i++;
			continue;
		}
		push(b, ACTION_FORGET);
		end(b, ~0u, ACTION_ADMIT, POOL_ADMITTED);
		m.old_ids[m.old_id++ % OLD_IDS] = b->id;
		memmove(b, b + 1, (m.count - i - 1) * sizeof(*b));
		m.count--;
	}
}

/* The first or the last in line for room. */
static struct box *in_line(uint32_t client, bool promised, bool last)
{
	struct box *found = NULL;

	for (unsigned i = 0; i < m.count; i++) {
		struct box *b = &m.boxes[i];

		if (b->line && b->promised == promised &&
		    (client == UINT32_MAX || b->client == client) &&
		    (!found || (last ? b->line > found->line : b->line < found->line)))
			found = b;
	}
	return found;
}

static void go_on(void)
{
	struct box *b;

	for (uint32_t c = 0; c < CLIENTS; c++) {
		while ((b = in_line(c, false, false)) &&
		       below(sum(c, ALIVE) + sum(c, PROMISED), m.clients[c].sandboxes)) {
			b->promised = true;
			b->line = ++m.places;
		}
	}
	while ((b = in_line(UINT32_MAX, true, false)) &&
	       below(sum(UINT32_MAX, ALIVE), m.limits.sandboxes)) {
		b->promised = false;
		b->line = 0;
		b->state = POOL_CREATING;
		b->generation++;
		b->life = CREATE;
		b->life_taken = false;
		push(b, ACTION_CREATE);
	}
}

static void send_away(struct box *b)
{
	b->promised = false;
	b->line = 0;
	end(b, STARTERS, ACTION_REFUSE, POOL_BUSY_SANDBOXES);
}

/* Who is STOPPED and wanted gets in line; who can is started; too many are sent away. */
static void make_way(void)
{
	struct box *b;

	for (unsigned i = 0; i < m.count; i++) {
		b = &m.boxes[i];
		if (b->state != POOL_STOPPED || !is_wanted(b)) {
			b->line = 0;
			b->promised = false;
		} else if (!b->line) {
			b->line = ++m.places;
		}
	}
	go_on();
	for (uint32_t c = 0; c < CLIENTS; c++) {
		while (m.clients[c].sandboxes &&
		       sum(c, DEMANDS) > m.clients[c].sandboxes &&
		       (b = in_line(c, false, true)))
			send_away(b);
	}
	while (m.limits.sandboxes && sum(UINT32_MAX, DEMANDS) > m.limits.sandboxes &&
	       (b = in_line(UINT32_MAX, true, true))) {
		send_away(b);
		go_on();
	}
}

static struct box *least_recently_used(uint32_t client)
{
	struct box *found = NULL;

	for (unsigned i = 0; i < m.count; i++) {
		struct box *b = &m.boxes[i];

		if (b->idle && (client == UINT32_MAX || b->client == client) &&
		    (!found || b->idle < found->idle))
			found = b;
	}
	return found;
}

/* Is there room for one more, if idle ones are evicted? Does so, if `evict`. */
static bool room(uint32_t client, bool evict)
{
	struct model before = m;
	uint32_t scopes[] = { client, UINT32_MAX };
	uint32_t limits[] = { m.clients[client].sandboxes, m.limits.sandboxes };
	bool enough = true;

	for (int i = 0; i < 2; i++) {
		while (enough && !below(sum(scopes[i], DEMANDS), limits[i])) {
			struct box *b = least_recently_used(scopes[i]);

			enough = b;
			if (b)
				stop(b, POOL_EVICTED);
		}
	}
	if (!enough || !evict)
		m = before;
	return enough;
}

/* After each operation: what follows by itself. */
static inline void follow(void)
{
	make_way();
	forget();
	for (unsigned i = 0; i < m.count; i++) {
		struct box *b = &m.boxes[i];

		if (!runs(b) || b->execs || b->count) {
			b->idle = 0;
		} else if (!b->idle) {
			use(b);
			b->idle = ++m.places;
		}
	}
}

/* --- what is asked for --------------------------------------------------- */

static void add_waiter(struct box *b, enum kind kind, uint64_t cookie)
{
	assert_true(b->count < WAITERS);
	b->waiters[b->count++] = (struct waiter){ .cookie = cookie, .kind = kind };
}

static enum pool_verdict want(struct box *b, enum kind kind, uint64_t cookie)
{
	if (!may_wait(b->client, cookie))
		return POOL_BUSY_WAITERS;
	if (!demands(b) && !room(b->client, true))
		return POOL_BUSY_SANDBOXES;
	if (b->doomed) {
		b->doomed = b->ran = false;
		b->fresh = true;
		if (b->state == POOL_STOPPED)
			end(b, 1u << REMOVE, ACTION_ADMIT, POOL_ADMITTED);
	}
	add_waiter(b, kind, cookie);
	if (b->state == POOL_FROZEN)
		b->state = POOL_RUNNING;
	flow(b);
	return POOL_WAITS;
}

static struct box *add_box(uint32_t client, const char *name,
			   const struct pool_spec *spec)
{
	struct box *b = &m.boxes[m.count++];

	assert_true(m.count <= BOXES);
	*b = (struct box){ .id = next_id,
			   .client = client,
			   .spec = *spec,
			   .state = POOL_STOPPED,
			   .used = m.now };
	snprintf(b->name, sizeof(b->name), "%s", name);
	return b;
}

static inline enum pool_verdict model_ensure(uint32_t client, const char *name,
					     const struct pool_spec *spec,
					     uint64_t cookie, bool *ret_created)
{
	struct box *b = find(client, name);

	if (client >= CLIENTS)
		return POOL_BUSY_SANDBOXES;
	if (!b) {
		if (!below(sum(client, BOXES_ALL), m.clients[client].definitions))
			return POOL_BUSY_DEFINITIONS;
		if (!may_wait(client, cookie))
			return POOL_BUSY_WAITERS;
		if (!room(client, false))
			return POOL_BUSY_SANDBOXES;
		b = add_box(client, name, spec);
		b->fresh = true;
		return want(b, ENSURE, cookie);
	}
	if (b->spec.digest[0] != spec->digest[0])
		return POOL_CONFLICT;
	if (!ready(b) && b->state != POOL_PAUSED)
		return want(b, ENSURE, cookie);
	if (b->state == POOL_FROZEN)
		b->state = POOL_RUNNING;
	*ret_created = b->fresh;
	b->fresh = false;
	use(b);
	return POOL_ADMITTED;
}

static inline int model_adopt(uint32_t client, const char *name,
			      const struct pool_spec *spec, const struct pool_past *past)
{
	enum pool_state state = past->state;
	struct box *b;

	if (client >= CLIENTS)
		return -EPERM;
	if (state != POOL_RUNNING && state != POOL_PAUSED && state != POOL_STOPPED)
		return -EINVAL;
	if (find(client, name))
		return -EEXIST;
	b = add_box(client, name, spec);
	b->ran = true;
	b->state = state;
	b->generation = past->generation;
	b->started = state == POOL_STOPPED ? 0 : past->started;
	b->cold = state == POOL_PAUSED;
	return 0;
}

static inline enum pool_verdict model_exec(uint32_t client, const char *name,
					   uint64_t cookie)
{
	struct box *b = find(client, name);

	if (!b || b->doomed)
		return POOL_NO_SUCH;
	if (b->state == POOL_PAUSED)
		return POOL_PAUSED_NOW;
	if (!below(sum(client, EXECS) + sum(client, EXEC_WAITERS),
		   m.clients[client].execs))
		return POOL_BUSY_EXECS;
	if (!ready(b))
		return want(b, EXEC, cookie);
	b->state = POOL_RUNNING;
	b->execs++;
	use(b);
	return POOL_ADMITTED;
}

static void halt(struct box *b, enum pool_verdict verdict)
{
	end(b, STARTERS, ACTION_REFUSE, verdict);
	if (b->state == POOL_CREATING || runs(b))
		stop(b, POOL_ASKED);
}

static inline enum pool_verdict model_stop(uint32_t client, const char *name,
					   uint64_t cookie)
{
	struct box *b = find(client, name);
	bool wait = b && b->state != POOL_STOPPED;

	if (!b)
		return POOL_NO_SUCH;
	if (wait && !may_wait(client, cookie))
		return POOL_BUSY_WAITERS;
	if (wait)
		add_waiter(b, STOP, cookie);
	halt(b, POOL_WRONG_STATE);
	return wait ? POOL_WAITS : POOL_ADMITTED;
}

static inline enum pool_verdict model_remove(uint32_t client, const char *name,
					     bool force, uint64_t cookie)
{
	struct box *b = find(client, name);
	bool wait = b && (b->state != POOL_STOPPED || b->execs);

	if (!b)
		return POOL_NO_SUCH;
	if (b->state != POOL_STOPPED && !force)
		return POOL_WRONG_STATE;
	if (wait && !may_wait(client, cookie))
		return POOL_BUSY_WAITERS;
	if (wait)
		add_waiter(b, REMOVE, cookie);
	b->doomed = true;
	halt(b, POOL_NO_SUCH);
	return wait ? POOL_WAITS : POOL_ADMITTED;
}

static inline enum pool_verdict model_pause(uint32_t client, const char *name, bool pause,
					    uint64_t cookie)
{
	struct box *b = find(client, name);
	bool wait = b && (b->cold != pause || moves(b));

	if (!b)
		return POOL_NO_SUCH;
	if (!runs(b))
		return POOL_WRONG_STATE;
	if (wait && !may_wait(client, cookie))
		return POOL_BUSY_WAITERS;
	b->state = pause ? POOL_PAUSED : POOL_RUNNING;
	if (pause) {
		end(b, 1u << ENSURE, ACTION_ADMIT, POOL_ADMITTED);
		end(b, 1u << EXEC | 1u << UNPAUSE, ACTION_REFUSE, POOL_PAUSED_NOW);
	} else {
		end(b, 1u << PAUSE, ACTION_REFUSE, POOL_WRONG_STATE);
	}
	if (wait)
		add_waiter(b, pause ? PAUSE : UNPAUSE, cookie);
	use(b);
	flow(b);
	return wait ? POOL_WAITS : POOL_ADMITTED;
}

static inline enum pool_verdict model_touch(uint32_t client, const char *name)
{
	struct box *b = find(client, name);

	if (!b)
		return POOL_NO_SUCH;
	if (!runs(b) && b->state != POOL_CREATING)
		return POOL_WRONG_STATE;
	if (b->state == POOL_FROZEN)
		b->state = POOL_RUNNING;
	use(b);
	flow(b);
	return POOL_ADMITTED;
}

static inline unsigned model_stop_many(uint32_t client, bool all, bool remove)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m.count; i++) {
		struct box *b = &m.boxes[i];

		if (b->client != client || (!all && !b->idle))
			continue;
		n += b->state != POOL_STOPPED && b->state != POOL_STOPPING;
		b->doomed |= remove;
		halt(b, remove ? POOL_NO_SUCH : POOL_WRONG_STATE);
	}
	return n;
}

static void model_exec_ended(struct box *b)
{
	if (!b || !b->execs)
		return;
	b->execs--;
	use(b);
}

static inline void model_cancel(uint64_t cookie)
{
	for (unsigned i = 0; i < m.count; i++) {
		struct box *b = &m.boxes[i];

		for (unsigned j = 0; j < b->count; j++) {
			if (b->waiters[j].cookie != cookie)
				continue;
			memmove(&b->waiters[j], &b->waiters[j + 1],
				(b->count - j - 1) * sizeof(b->waiters[0]));
			b->count--;
			return;
		}
	}
	for (unsigned i = 0; i < m.pending_count; i++) {
		struct pending p = m.pending[i];
		struct box *b = find_id(p.action.id);

		if (!is_end(&p.action) || p.action.cookie != cookie)
			continue;
		memmove(&m.pending[i], &m.pending[i + 1],
			(m.pending_count - i - 1) * sizeof(p));
		m.pending_count--;
		if (b && p.action.type == ACTION_ADMIT && p.kind == EXEC)
			model_exec_ended(b);
		if (b && p.action.created)
			b->fresh = true;
		return;
	}
}

/* --- what has happened --------------------------------------------------- */

static inline void model_created(struct box *b, bool ok)
{
	if (!b || b->life != CREATE || !b->life_taken)
		return;
	b->life = NOTHING;
	if (!ok) {
		if (b->state == POOL_CREATING)
			end(b, STARTERS, ACTION_FAILED, POOL_ADMITTED);
		b->state = POOL_STOPPED;
		end(b, 1u << STOP | (b->doomed ? 0 : 1u << REMOVE), ACTION_ADMIT,
		    POOL_ADMITTED);
		return;
	}
	b->started = m.now;
	if (b->state == POOL_STOPPING) {
		stop(b, b->why);
		return;
	}
	b->state = POOL_RUNNING;
	b->ran = true;
	use(b);
	flow(b);
}

static inline void model_destroyed(struct box *b)
{
	if (!b || b->life != DESTROY || !b->life_taken)
		return;
	b->life = NOTHING;
	b->state = POOL_STOPPED;
	b->started = 0;
	end(b, 1u << STOP | (b->doomed ? 0 : 1u << REMOVE), ACTION_ADMIT, POOL_ADMITTED);
}

static inline void model_froze(struct box *b, enum order what, bool ok)
{
	bool ours;

	if (!b || b->freezer != what || !b->freezer_taken)
		return;
	ours = moves(b) && runs(b);
	b->freezer = NOTHING;
	if (ours) {
		b->cold = what == FREEZE || !ok;
		if (what == FREEZE && !ok) {
			end(b, 1u << PAUSE, ACTION_FAILED, POOL_ADMITTED);
			b->state = POOL_RUNNING;
		} else if (!ok && b->state == POOL_RUNNING) {
			end(b, 1u << UNPAUSE, ACTION_FAILED, POOL_ADMITTED);
			stop(b, POOL_FAILED);
		}
	}
	flow(b);
}

static inline void model_died(struct box *b)
{
	if (!b || (b->state != POOL_CREATING && !runs(b)))
		return;
	if (b->state == POOL_CREATING)
		end(b, STARTERS, ACTION_FAILED, POOL_ADMITTED);
	stop(b, POOL_DIED);
}

static uint64_t due(uint64_t moment, uint64_t span, bool applies)
{
	return applies && span ? moment + span : UINT64_MAX;
}

static uint64_t box_deadline(const struct box *b, enum pool_why *ret_why,
			     bool *ret_freeze)
{
	uint64_t times[] = {
		due(b->started, b->spec.max_duration, runs(b)),
		due(b->used, b->spec.idle_timeout, b->idle),
		due(b->used, b->spec.freeze_after,
		    b->idle && b->state == POOL_RUNNING && !b->froze),
		due(b->used, b->spec.reclaim_after, b->idle && !b->reclaimed),
	};
	uint64_t first = UINT64_MAX;

	for (int i = 3; i >= 0; i--)
		first = times[i] < first ? times[i] : first;
	*ret_why = times[0] <= m.now   ? POOL_MAX_DURATION
		   : times[1] <= m.now ? POOL_IDLE
				       : POOL_WHY_MAX;
	*ret_freeze = times[2] <= m.now;
	return first;
}

static inline void model_tick(void)
{
	enum pool_why why;
	bool freeze;

	for (unsigned i = 0; i < m.count;) {
		struct box *b = &m.boxes[i];

		if (box_deadline(b, &why, &freeze) > m.now) {
			i++;
		} else if (why != POOL_WHY_MAX) {
			stop(b, why);
		} else if (freeze) {
			b->froze = true;
			b->state = POOL_FROZEN;
			flow(b);
		} else {
			b->reclaimed = true;
			if (!b->reclaim_pending)
				push(b, ACTION_RECLAIM);
			b->reclaim_pending = true;
		}
	}
}
