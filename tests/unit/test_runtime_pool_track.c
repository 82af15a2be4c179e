/* SPDX-License-Identifier: Apache-2.0 */
/* Idle times and durations. */
#include <stdio.h>

#include "tests/unit/test_runtime_pool_fixture.h"

static void tiers_come_one_after_the_other(void **state)
{
	uint64_t since = 1000 * SECOND;

	(void)state;
	run_for(ME, "a", &tiers);
	assert_int_equal(pool_deadline(pool), since + tiers.freeze_after);
	pool_tick(pool, since + tiers.freeze_after - 1);
	expect_nothing();
	pool_tick(pool, since + tiers.freeze_after);
	expect(ACTION_FREEZE);
	frozen("a", true);
	assert_int_equal(pool_deadline(pool), since + tiers.reclaim_after);
	pool_tick(pool, since + tiers.reclaim_after);
	expect(ACTION_RECLAIM);
	assert_int_equal(pool_deadline(pool), since + tiers.idle_timeout);
	pool_tick(pool, since + tiers.idle_timeout);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_IDLE);
	expect_nothing();
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
}

static void late_tick_goes_to_the_last_tier_at_once(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	pool_tick(pool, now + 3600 * SECOND);
	expect(ACTION_DESTROY);
	expect_nothing();
}

static void reclaiming_is_asked_for_once_until_that_is_taken(void **state)
{
	static const struct pool_spec spec = { .reclaim_after = 10 };
	pool_id id;

	(void)state;
	run_for(ME, "a", &spec);
	for (int i = 0; i < 3; i++) {
		now += 10;
		pool_tick(pool, now);
		assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_ADMITTED);
	}
	id = expect(ACTION_RECLAIM).id;
	assert_int_equal(id, id_of(ME, "a"));
	expect_nothing();
	pool_tick(pool, now + 10);
	expect(ACTION_RECLAIM);
	expect_nothing();
}

static void what_is_used_is_not_idle(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	exec("a");
	exec("a");
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
	pool_tick(pool, now += 3600 * SECOND);
	exec_ended("a");
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
	exec_ended("a");
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
	now += 5 * SECOND;
	assert_int_equal(ensure_for(ME, "a", &tiers), POOL_ADMITTED);
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
	now += 5 * SECOND;
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_ADMITTED);
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
	assert_int_equal(look("a").used, now);
}

static void touch_thaws_and_needs_something_that_runs(void **state)
{
	(void)state;
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_NO_SUCH);
	run_frozen("a");
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_ADMITTED);
	expect(ACTION_THAW);
	thawed("a", true);
	expect_nothing();
	stop("a");
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_WRONG_STATE);
	expect(ACTION_DESTROY);
	destroyed("a");
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_WRONG_STATE);
	ensure_for(ME, "a", &tiers);
	assert_int_equal(pool_touch(pool, now, ME, "a"), POOL_ADMITTED);
}

static void what_is_paused_is_idle_and_not_frozen_again(void **state)
{
	(void)state;
	run_frozen("a");
	assert_int_equal(do_pause("a"), POOL_ADMITTED);
	pool_tick(pool, now + tiers.freeze_after);
	expect_nothing();
	pool_tick(pool, now + tiers.reclaim_after);
	expect(ACTION_RECLAIM);
	pool_tick(pool, now + tiers.idle_timeout);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_IDLE);
}

static void what_is_paused_with_an_exec_is_not_idle(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	exec("a");
	do_pause("a");
	expect(ACTION_FREEZE);
	frozen("a", true);
	expect(ACTION_ADMIT);
	pool_tick(pool, now + 3600 * SECOND);
	expect_nothing();
}

static void whoever_waits_for_a_thaw_keeps_it(void **state)
{
	(void)state;
	run_frozen("a");
	exec("a");
	expect(ACTION_THAW);
	pool_tick(pool, now += 3600 * SECOND);
	expect_nothing();
	pool_cancel(pool, now, next_cookie);
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
}

static void duration_ends_a_generation_with_its_execs(void **state)
{
	static const struct pool_spec spec = { .max_duration = 60 * SECOND };

	(void)state;
	ensure_for(ME, "a", &spec);
	expect(ACTION_CREATE);
	now += 10 * SECOND; /* of making it do not count */
	created("a", true);
	expect(ACTION_ADMIT);
	exec("a");
	assert_int_equal(pool_deadline(pool), now + spec.max_duration);
	now += spec.max_duration;
	pool_tick(pool, now);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_MAX_DURATION);
	exec("a");
	exec_ended("a");
	destroyed("a");
	expect(ACTION_CREATE);
	created("a", true);
	expect(ACTION_ADMIT);
	assert_int_equal(pool_deadline(pool), now + spec.max_duration);
}

static void duration_goes_on_from_an_earlier_pool(void **state)
{
	static const struct pool_spec spec = { .max_duration = 60 * SECOND };
	const struct pool_past past = { POOL_RUNNING, 1, now - 59 * SECOND };
	const struct pool_past future = { POOL_PAUSED, 1, now + SECOND };
	struct err e;
	pool_id id;

	(void)state;
	assert_int_equal(pool_adopt(pool, now, ME, "a", &spec, &past, &id, &e), 0);
	assert_int_equal(look("a").started, past.started);
	assert_int_equal(pool_deadline(pool), now + SECOND);
	assert_int_equal(pool_adopt(pool, now, ME, "b", &spec, &future, &id, &e), 0);
	assert_int_equal(look("b").started, now);
	now += SECOND;
	pool_tick(pool, now);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_MAX_DURATION);
	expect_nothing();
}

static void times_without_end_are_never_due(void **state)
{
	static const struct pool_spec spec = { .idle_timeout = UINT64_MAX,
					       .max_duration = UINT64_MAX - 1,
					       .freeze_after = UINT64_MAX };

	(void)state;
	run_for(ME, "a", &spec);
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
	pool_tick(pool, UINT64_MAX - 1);
	expect_nothing();
}

static void clock_that_goes_back_stands_still(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	pool_touch(pool, 5, ME, "a");
	assert_int_equal(look("a").used, now);
	pool_tick(pool, 6);
	expect_nothing();
}

static void hundred_deadlines_come_in_their_order(void **state)
{
	struct pool_spec spec = { 0 };
	uint64_t last = 0;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		spec.idle_timeout = 1 + i * 37 % 101;
		snprintf(name, sizeof(name), "%u", i);
		run_for(ME, name, &spec);
	}
	for (unsigned i = 0; i < 100; i += 3) {
		snprintf(name, sizeof(name), "%u", i);
		exec(name);
	}
	for (unsigned i = 0; i < 66; i++) {
		uint64_t due = pool_deadline(pool);

		assert_true(due > last && due <= now + 101);
		last = due;
		pool_tick(pool, due);
		expect(ACTION_DESTROY);
		expect_nothing();
	}
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(tiers_come_one_after_the_other),
		CASE(late_tick_goes_to_the_last_tier_at_once),
		CASE(reclaiming_is_asked_for_once_until_that_is_taken),
		CASE(what_is_used_is_not_idle),
		CASE(touch_thaws_and_needs_something_that_runs),
		CASE(what_is_paused_is_idle_and_not_frozen_again),
		CASE(what_is_paused_with_an_exec_is_not_idle),
		CASE(whoever_waits_for_a_thaw_keeps_it),
		CASE(duration_ends_a_generation_with_its_execs),
		CASE(duration_goes_on_from_an_earlier_pool),
		CASE(times_without_end_are_never_due),
		CASE(clock_that_goes_back_stands_still),
		CASE(hundred_deadlines_come_in_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
