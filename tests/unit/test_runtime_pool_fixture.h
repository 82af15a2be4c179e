/* SPDX-License-Identifier: Apache-2.0 */
/* A pool, and short names for what is done with it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/pool.h"

enum {
	ME = 1000,
	YOU = 1001,
	NOBODY = 1002,
	SECOND = 1000, /* in ms */
};

static struct pool *pool; /* of the case */
static uint64_t now, next_cookie;
/* Settings: without times, other ones, and with all the tiers. */
static const struct pool_spec plain = { .digest = { 1 } };
static const struct pool_spec other = { .digest = { 2 } };
static const struct pool_spec tiers = { .digest = { 3 },
					.freeze_after = 10 * SECOND,
					.reclaim_after = 20 * SECOND,
					.idle_timeout = 30 * SECOND };

/* --- a pool, and what is done with it ----------------------------------------------- */

static inline void set_limits(uint32_t client, struct pool_client_limits limits)
{
	struct err e;

	assert_int_equal(pool_set_client(pool, client, &limits, &e), 0);
}

static inline void begin(struct pool_limits limits)
{
	struct err e;

	pool_free(pool);
	now = 1000 * SECOND;
	next_cookie = 0;
	assert_int_equal(pool_new(&limits, &pool, &e), 0);
	set_limits(ME, (struct pool_client_limits){ 0 });
	set_limits(YOU, (struct pool_client_limits){ 0 });
}

static inline int set_up(void **state)
{
	(void)state;
	begin((struct pool_limits){ 0 });
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	pool_verify(pool);
	pool_free(pool);
	pool = NULL;
	return 0;
}

static inline pool_id id_of(uint32_t client, const char *name)
{
	pool_id id = 0;

	assert_int_equal(pool_find(pool, client, name, &id), 0);
	return id;
}

static inline struct pool_row look(const char *name)
{
	struct pool_row row;

	assert_true(pool_look(pool, id_of(ME, name), &row));
	return row;
}

static inline enum pool_state state_of(const char *name)
{
	return look(name).state;
}

static inline bool exists(const char *name)
{
	pool_id id;

	return pool_find(pool, ME, name, &id) == 0;
}

/* The next action is of that type. */
static inline struct pool_action expect(enum pool_action_type type)
{
	struct pool_action action;

	assert_true(pool_next(pool, &action));
	assert_int_equal(action.type, type);
	return action;
}

static inline void expect_end(enum pool_action_type type, uint64_t cookie)
{
	assert_int_equal(expect(type).cookie, cookie);
}

static inline void expect_refusal(uint64_t cookie, enum pool_verdict verdict)
{
	struct pool_action action = expect(ACTION_REFUSE);

	assert_int_equal(action.cookie, cookie);
	assert_int_equal(action.verdict, verdict);
}

static inline void expect_nothing(void)
{
	struct pool_action action;

	assert_false(pool_next(pool, &action));
	pool_verify(pool);
}

static inline enum pool_verdict ensure_for(uint32_t client, const char *name,
					   const struct pool_spec *spec)
{
	bool created = false;
	pool_id id;
	enum pool_verdict verdict =
		pool_ensure(pool, now, client, name, spec, ++next_cookie, &id, &created);

	assert_false(created);
	return verdict;
}

static inline enum pool_verdict ensure(const char *name)
{
	return ensure_for(ME, name, &plain);
}

static inline enum pool_verdict exec(const char *name)
{
	pool_id id;

	return pool_exec(pool, now, ME, name, ++next_cookie, &id);
}

static inline enum pool_verdict stop(const char *name)
{
	pool_id id;

	return pool_stop(pool, now, ME, name, ++next_cookie, &id);
}

static inline enum pool_verdict rm(const char *name, bool force)
{
	pool_id id;

	return pool_remove(pool, now, ME, name, force, ++next_cookie, &id);
}

static inline enum pool_verdict do_pause(const char *name)
{
	pool_id id;

	return pool_pause(pool, now, ME, name, ++next_cookie, &id);
}

static inline enum pool_verdict unpause(const char *name)
{
	pool_id id;

	return pool_unpause(pool, now, ME, name, ++next_cookie, &id);
}

static inline void created(const char *name, bool ok)
{
	pool_created(pool, now, id_of(ME, name), ok);
}

static inline void destroyed(const char *name)
{
	pool_destroyed(pool, now, id_of(ME, name));
}

static inline void frozen(const char *name, bool ok)
{
	pool_frozen(pool, now, id_of(ME, name), ok);
}

static inline void thawed(const char *name, bool ok)
{
	pool_thawed(pool, now, id_of(ME, name), ok);
}

static inline void exec_ended(const char *name)
{
	pool_exec_ended(pool, now, id_of(ME, name));
}

/* One of an earlier pool's, as of now. */
static inline int adopt(uint32_t client, const char *name, const struct pool_spec *spec,
			enum pool_state state, uint64_t generation)
{
	const struct pool_past past = { state, generation, now };
	struct err e;
	pool_id id;

	return pool_adopt(pool, now, client, name, spec, &past, &id, &e);
}

static inline void run_for(uint32_t client, const char *name,
			   const struct pool_spec *spec)
{
	assert_int_equal(ensure_for(client, name, spec), POOL_WAITS);
	expect(ACTION_CREATE);
	pool_created(pool, now, id_of(client, name), true);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static inline void run(const char *name)
{
	run_for(ME, name, &plain);
}

/* Runs, and has been frozen for being idle. */
static inline void run_frozen(const char *name)
{
	run_for(ME, name, &tiers);
	now += tiers.freeze_after;
	pool_tick(pool, now);
	expect(ACTION_FREEZE);
	frozen(name, true);
	expect_nothing();
	assert_int_equal(state_of(name), POOL_FROZEN);
}

static inline void run_paused(const char *name)
{
	run(name);
	assert_int_equal(do_pause(name), POOL_WAITS);
	expect(ACTION_FREEZE);
	frozen(name, true);
	expect_end(ACTION_ADMIT, next_cookie);
}

/* Ran, and is stopped. */
static inline void run_and_stop(const char *name)
{
	run(name);
	assert_int_equal(stop(name), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_ASKED);
	destroyed(name);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
