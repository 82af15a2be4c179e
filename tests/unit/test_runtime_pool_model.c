/* SPDX-License-Identifier: Apache-2.0 */
/* The pool against a simple one: random operations, and after each of them the same
 * verdict, actions, states and counts (E-60). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/test_runtime_pool_model.h"

enum {
	OPERATIONS = 1000000,
	WORLD = 50000, /* operations before everything begins anew, with other ceilings */
	VERIFY_EVERY = 1000,
	NAMES = 5,
	COOKIES = 40,
	SPECS = 5,
	KEYS = 7,
};

static struct pool *pool;
static uint64_t seed;

/* Less than `sides`. */
static uint32_t dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % sides;
}

static bool chance(uint32_t percent)
{
	return dice(100) < percent;
}

/* --- comparing ---------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, KEYS * sizeof(uint64_t));
}

/* What means nothing for its type is left out; so is the order. */
static void make_key(const struct pool_action *a, uint64_t *ret)
{
	ret[0] = a->type;
	ret[1] = a->id;
	ret[2] = a->generation;
	ret[3] = is_end(a) ? a->cookie : 0;
	ret[4] = a->type == ACTION_DESTROY ? a->why : 0;
	ret[5] = a->type == ACTION_REFUSE ? a->verdict : 0;
	ret[6] = a->type == ACTION_ADMIT && a->created;
}

static void take_actions(void)
{
	static uint64_t model[ACTIONS][KEYS], real[ACTIONS][KEYS];
	struct pool_action action;
	unsigned n = 0;

	while (pool_next(pool, &action)) {
		assert_true(n < ACTIONS);
		make_key(&action, real[n++]);
	}
	assert_int_equal(n, m.pending_count);
	for (unsigned i = 0; i < n; i++)
		make_key(&m.pending[i].action, model[i]);
	m.pending_count = 0;
	qsort(model, n, sizeof(*model), compare_keys);
	qsort(real, n, sizeof(*real), compare_keys);
	assert_memory_equal(model, real, n * sizeof(*real));
	for (unsigned i = 0; i < m.count; i++) {
		m.boxes[i].life_taken = m.boxes[i].freezer_taken = true;
		m.boxes[i].reclaim_pending = false;
	}
}

static void compare_box(const struct box *b, const struct pool_row *row)
{
	assert_int_equal(row->id, b->id);
	assert_int_equal(row->client, b->client);
	assert_string_equal(row->name, b->name);
	assert_int_equal(row->state, b->state);
	assert_int_equal(row->generation, b->generation);
	assert_int_equal(row->started, b->started);
	assert_int_equal(row->used, b->used);
	assert_int_equal(row->execs, b->execs);
	assert_int_equal(row->waiters, b->count);
	assert_memory_equal(row->spec->digest, b->spec.digest, sizeof(b->spec.digest));
}

static void compare(void)
{
	uint64_t cursors[CLIENTS] = { 0 }, first = UINT64_MAX;
	struct pool_row row;
	enum pool_why why;
	bool freeze;

	for (unsigned i = 0; i < m.count; i++) {
		const struct box *b = &m.boxes[i];
		uint64_t deadline = box_deadline(b, &why, &freeze);

		assert_true(pool_each(pool, b->client, &cursors[b->client], &row));
		compare_box(b, &row);
		first = deadline < first ? deadline : first;
	}
	for (uint32_t c = 0; c < CLIENTS; c++) {
		assert_false(pool_each(pool, c, &cursors[c], &row));
		assert_int_equal(pool_count(pool, c), sum(c, ALIVE));
		assert_int_equal(pool_count_execs(pool, c), sum(c, EXECS));
	}
	assert_int_equal(pool_count(pool, UINT32_MAX), sum(UINT32_MAX, ALIVE));
	assert_int_equal(pool_deadline(pool), first);
}

/* --- operations -----------------------------------------------------------------------
 */

/* What an operation is about. */
struct aim {
	uint32_t client;
	char name[8];
	uint64_t cookie;
};

static struct aim take_aim(void)
{
	struct aim aim = { .client = chance(1) ? CLIENTS : dice(CLIENTS),
			   .cookie = dice(COOKIES) };

	snprintf(aim.name, sizeof(aim.name), "n%u", dice(NAMES));
	/* Those that wait have theirs already, nearly always. */
	while (cookie_in_use(aim.cookie) && chance(99))
		aim.cookie++;
	return aim;
}

static struct pool_spec spec_for(const struct aim *aim)
{
	static const struct pool_spec specs[SPECS] = {
		{ .digest = { 1 } },
		{ .digest = { 2 }, .idle_timeout = 300 },
		{ .digest = { 3 }, .max_duration = 400, .freeze_after = 40 },
		{ .digest = { 4 },
		  .idle_timeout = 200,
		  .freeze_after = 30,
		  .reclaim_after = 60 },
		{ .digest = { 5 },
		  .idle_timeout = 100,
		  .max_duration = 1000,
		  .freeze_after = 10,
		  .reclaim_after = 10 },
	};
	uint32_t usual = (aim->client + (uint32_t)aim->name[1]) % SPECS;

	return specs[chance(95) ? usual : dice(SPECS)];
}

static void do_ensure(void)
{
	struct aim aim = take_aim();
	struct pool_spec spec = spec_for(&aim);
	bool created = false, model_created_it = false;
	bool is_new = !find(aim.client, aim.name);
	pool_id id = 0;
	enum pool_verdict verdict = pool_ensure(pool, m.now, aim.client, aim.name, &spec,
						aim.cookie, &id, &created);

	if (verdict == POOL_WAITS && is_new) {
		assert_null(find_id(id));
		for (unsigned i = 0; i < OLD_IDS; i++)
			assert_int_not_equal(m.old_ids[i], id);
		next_id = id;
	}
	assert_int_equal(verdict, model_ensure(aim.client, aim.name, &spec, aim.cookie,
					       &model_created_it));
	assert_int_equal(created, model_created_it);
	if (verdict == POOL_WAITS || verdict == POOL_ADMITTED || verdict == POOL_CONFLICT)
		assert_int_equal(id, find(aim.client, aim.name)->id);
}

static void do_exec(void)
{
	struct aim aim = take_aim();
	pool_id id = 0;
	enum pool_verdict verdict =
		pool_exec(pool, m.now, aim.client, aim.name, aim.cookie, &id);

	assert_int_equal(verdict, model_exec(aim.client, aim.name, aim.cookie));
	if (verdict == POOL_WAITS || verdict == POOL_ADMITTED)
		assert_int_equal(id, find(aim.client, aim.name)->id);
}

static void do_stop(void)
{
	struct aim aim = take_aim();
	pool_id id;

	assert_int_equal(pool_stop(pool, m.now, aim.client, aim.name, aim.cookie, &id),
			 model_stop(aim.client, aim.name, aim.cookie));
}

static void do_remove(void)
{
	struct aim aim = take_aim();
	bool force = chance(50);
	pool_id id;

	assert_int_equal(
		pool_remove(pool, m.now, aim.client, aim.name, force, aim.cookie, &id),
		model_remove(aim.client, aim.name, force, aim.cookie));
}

static void do_pause(void)
{
	struct aim aim = take_aim();
	pool_id id;

	assert_int_equal(pool_pause(pool, m.now, aim.client, aim.name, aim.cookie, &id),
			 model_pause(aim.client, aim.name, true, aim.cookie));
}

static void do_unpause(void)
{
	struct aim aim = take_aim();
	pool_id id;

	assert_int_equal(pool_unpause(pool, m.now, aim.client, aim.name, aim.cookie, &id),
			 model_pause(aim.client, aim.name, false, aim.cookie));
}

static void do_touch(void)
{
	struct aim aim = take_aim();

	assert_int_equal(pool_touch(pool, m.now, aim.client, aim.name),
			 model_touch(aim.client, aim.name));
}

static void do_stop_many(void)
{
	uint32_t client = dice(CLIENTS);
	bool remove = chance(30);

	if (chance(70))
		assert_int_equal(pool_reap(pool, m.now, client),
				 model_stop_many(client, false, false));
	else
		assert_int_equal(pool_shutdown(pool, m.now, client, remove),
				 model_stop_many(client, true, remove));
}

/* One that waits, one whose end has not been taken, or any. */
static uint64_t some_cookie(void)
{
	const struct box *b = m.count ? &m.boxes[dice(m.count)] : NULL;

	if (m.pending_count && chance(50))
		return m.pending[dice(m.pending_count)].action.cookie;
	return b && b->count ? b->waiters[dice(b->count)].cookie : dice(COOKIES);
}

static void do_cancel(void)
{
	uint64_t cookie = some_cookie();

	pool_cancel(pool, m.now, cookie);
	model_cancel(cookie);
}

/* Reports: mostly of what is under way, now and then of what is not. */
static void do_report(void)
{
	struct box *b = m.count ? &m.boxes[dice(m.count)] : NULL;
	bool odd = !b || chance(5), ok = chance(85);
	pool_id id = odd && chance(50) ? m.old_ids[dice(OLD_IDS)] : b ? b->id : 0;

	b = find_id(id);
	if (odd ? chance(25) : b->life == CREATE) {
		pool_created(pool, m.now, id, ok);
		model_created(b, ok);
	} else if (odd ? chance(33) : b->life == DESTROY) {
		pool_destroyed(pool, m.now, id);
		model_destroyed(b);
	} else if (odd ? chance(50) : b->freezer == FREEZE) {
		pool_frozen(pool, m.now, id, ok);
		model_froze(b, FREEZE, ok);
	} else {
		pool_thawed(pool, m.now, id, ok);
		model_froze(b, THAW, ok);
	}
}

static void do_exec_ended(void)
{
	struct box *b = m.count ? &m.boxes[dice(m.count)] : NULL;

	pool_exec_ended(pool, m.now, b ? b->id : 1);
	model_exec_ended(b);
}

static void do_died(void)
{
	struct box *b = m.count ? &m.boxes[dice(m.count)] : NULL;

	pool_died(pool, m.now, b ? b->id : 1);
	model_died(b);
}

static void do_tick(void)
{
	m.now += dice(60);
	pool_tick(pool, m.now);
	model_tick();
}

static void do_adopt(void)
{
	static const enum pool_state states[] = { POOL_RUNNING, POOL_PAUSED, POOL_STOPPED,
						  POOL_FROZEN };
	enum pool_state state = states[dice(4)];
	struct aim aim = take_aim();
	struct pool_spec spec = spec_for(&aim);
	pool_id id = 0;
	struct err e;
	struct pool_past past = { state, 7, m.now - dice(300) };
	int r = pool_adopt(pool, m.now, aim.client, aim.name, &spec, &past, &id, &e);

	next_id = id;
	assert_int_equal(r, model_adopt(aim.client, aim.name, &spec, &past));
}

static void do_set_client(void)
{
	struct pool_client_limits limits = { .sandboxes = dice(5),
					     .definitions = dice(8),
					     .execs = dice(8),
					     .waiters = dice(10) };
	uint32_t client = dice(CLIENTS);
	struct err e;

	assert_int_equal(pool_set_client(pool, client, &limits, &e), 0);
	m.clients[client] = limits;
}

static const struct {
	void (*function)(void);
	uint32_t weight;
} operations[] = {
	{ do_ensure, 180 }, { do_exec, 180 },       { do_stop, 20 },
	{ do_remove, 20 },  { do_pause, 30 },       { do_unpause, 30 },
	{ do_touch, 30 },   { do_stop_many, 4 },    { do_cancel, 30 },
	{ do_report, 300 }, { do_exec_ended, 200 }, { do_died, 10 },
	{ do_tick, 120 },   { do_adopt, 2 },        { do_set_client, 5 },
};

static void do_something(void)
{
	const size_t count = sizeof(operations) / sizeof(*operations);
	uint32_t all = 0, at;

	for (size_t i = 0; i < count; i++)
		all += operations[i].weight;
	at = dice(all);
	for (size_t i = 0; i < count; i++) {
		if (at < operations[i].weight)
			return operations[i].function();
		at -= operations[i].weight;
	}
}

/* --- the test -------------------------------------------------------------------------
 */

static void begin_world(void)
{
	struct err e;

	memset(&m, 0, sizeof(m));
	m.now = 1000; /* there is a past */
	m.limits = (struct pool_limits){ .sandboxes = chance(70) ? 1 + dice(8) : 0,
					 .waiters = 1 + dice(WAITERS - 1) };
	assert_int_equal(pool_new(&m.limits, &pool, &e), 0);
	for (uint32_t c = 0; c < CLIENTS; c++) {
		struct pool_client_limits *limits = &m.clients[c];

		*limits = (struct pool_client_limits){ .sandboxes = dice(5),
						       .definitions = dice(3) ? 0 : 4,
						       .execs = dice(3) ? 0 : 3,
						       .waiters = dice(3) ? 0 : 5 };
		assert_int_equal(pool_set_client(pool, c, limits, &e), 0);
	}
}

static void run(uint64_t with)
{
	seed = with;
	print_message("seed %" PRIu64 "\n", with);
	for (int i = 0; i < OPERATIONS; i++) {
		if (i % WORLD == 0) {
			pool_free(pool);
			begin_world();
		}
		m.now += dice(4);
		do_something();
		follow();
		compare();
		if (chance(80))
			take_actions();
		if (i % VERIFY_EVERY == 0)
			pool_verify(pool);
	}
	pool_free(pool);
	pool = NULL;
}

static void pool_does_what_a_simple_one_does(void **state)
{
	(void)state;
	run(20240229);
}

static void pool_does_so_with_numbers_never_seen(void **state)
{
	const char *given = getenv("POOL_SEED");
	struct timespec now;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &now);
	run(given ? strtoull(given, NULL, 10)
		  : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_does_what_a_simple_one_does),
		cmocka_unit_test(pool_does_so_with_numbers_never_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
