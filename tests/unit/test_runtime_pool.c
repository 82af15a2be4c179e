/* SPDX-License-Identifier: Apache-2.0 */
/* Each transition by itself; test_runtime_pool_model.c has them in any order. */
#include "tests/unit/test_runtime_pool_fixture.h"

/* --- ensure ----------------------------------------------------------------------------
 */

static void first_ensure_makes_it(void **state)
{
	struct pool_action action;

	(void)state;
	assert_int_equal(ensure("a"), POOL_WAITS);
	action = expect(ACTION_CREATE);
	assert_int_equal(action.id, id_of(ME, "a"));
	assert_int_equal(action.generation, 1);
	assert_int_equal(state_of("a"), POOL_CREATING);
	assert_int_equal(look("a").started, 0);
	assert_int_equal(pool_count(pool, ME), 1);
	now += 5;
	created("a", true);
	action = expect(ACTION_ADMIT);
	assert_int_equal(action.cookie, next_cookie);
	assert_true(action.created);
	assert_int_equal(state_of("a"), POOL_RUNNING);
	assert_int_equal(look("a").started, now);
	assert_int_equal(ensure("a"), POOL_ADMITTED);
	expect_nothing();
}

static void one_of_many_callers_made_it(void **state)
{
	unsigned makers = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(ensure("a"), POOL_WAITS);
	expect(ACTION_CREATE);
	created("a", true);
	for (uint64_t cookie = 1; cookie <= 1000; cookie++) {
		struct pool_action action = expect(ACTION_ADMIT);

		assert_int_equal(action.cookie, cookie);
		makers += action.created;
	}
	assert_int_equal(makers, 1);
	expect_nothing();
}

static void next_caller_made_it_if_the_first_has_gone(void **state)
{
	(void)state;
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(exec("a"), POOL_WAITS);
	assert_int_equal(ensure("a"), POOL_WAITS);
	expect(ACTION_CREATE);
	pool_cancel(pool, now, 1);
	created("a", true);
	assert_false(expect(ACTION_ADMIT).created);
	pool_cancel(pool, now, 3); /* it has not heard of it yet */
	expect_nothing();
	assert_int_equal(look("a").execs, 1);
	{
		bool made = false;
		pool_id id;

		assert_int_equal(pool_ensure(pool, now, ME, "a", &plain, 9, &id, &made),
				 POOL_ADMITTED);
		assert_true(made);
	}
	assert_int_equal(ensure("a"), POOL_ADMITTED);
}

static void other_settings_are_a_conflict_in_any_state(void **state)
{
	(void)state;
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(ensure_for(ME, "a", &other), POOL_CONFLICT);
	expect(ACTION_CREATE);
	created("a", true);
	expect(ACTION_ADMIT);
	assert_int_equal(ensure_for(ME, "a", &other), POOL_CONFLICT);
	stop("a");
	assert_int_equal(ensure_for(ME, "a", &other), POOL_CONFLICT);
	expect(ACTION_DESTROY);
	destroyed("a");
	expect(ACTION_ADMIT);
	assert_int_equal(ensure_for(ME, "a", &other), POOL_CONFLICT);
	assert_int_equal(ensure_for(YOU, "a", &other), POOL_WAITS);
}

static void stopped_one_is_started_anew(void **state)
{
	(void)state;
	run_and_stop("a");
	assert_int_equal(pool_count(pool, ME), 0);
	assert_int_equal(look("a").started, 0);
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(expect(ACTION_CREATE).generation, 2);
	created("a", true);
	assert_false(expect(ACTION_ADMIT).created);
	expect_nothing();
}

static void first_creation_that_fails_is_forgotten(void **state)
{
	pool_id id;
	struct pool_row row;

	(void)state;
	ensure("a");
	exec("a");
	id = id_of(ME, "a");
	expect(ACTION_CREATE);
	created("a", false);
	expect_end(ACTION_FAILED, 1);
	expect_end(ACTION_FAILED, 2);
	assert_false(exists("a"));
	assert_true(pool_look(pool, id, &row));
	assert_int_equal(expect(ACTION_FORGET).id, id);
	assert_false(pool_look(pool, id, &row));
	expect_nothing();
}

static void later_creation_that_fails_leaves_the_definition(void **state)
{
	(void)state;
	run_and_stop("a");
	exec("a");
	expect(ACTION_CREATE);
	created("a", false);
	expect_end(ACTION_FAILED, next_cookie);
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_STOPPED);
	assert_int_equal(exec("a"), POOL_WAITS);
	assert_int_equal(expect(ACTION_CREATE).generation, 3);
}

static void creation_that_nobody_waits_for_goes_on(void **state)
{
	(void)state;
	ensure("a");
	expect(ACTION_CREATE);
	pool_cancel(pool, now, 1);
	created("a", true);
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_RUNNING);
}

/* --- exec ------------------------------------------------------------------------------
 */

static void exec_counts_from_its_admission(void **state)
{
	(void)state;
	assert_int_equal(exec("a"), POOL_NO_SUCH);
	run("a");
	assert_int_equal(exec("a"), POOL_ADMITTED);
	assert_int_equal(look("a").execs, 1);
	stop("a");
	expect(ACTION_DESTROY);
	assert_int_equal(exec("a"), POOL_WAITS);
	assert_int_equal(look("a").execs, 1);
	exec_ended("a");
	destroyed("a");
	expect_end(ACTION_ADMIT, next_cookie - 1);
	expect(ACTION_CREATE);
	assert_int_equal(pool_count_execs(pool, ME), 0);
	created("a", true);
	assert_int_equal(look("a").execs, 1);
	assert_int_equal(pool_count_execs(pool, UINT32_MAX), 1);
	expect_end(ACTION_ADMIT, next_cookie);
	exec_ended("a");
	exec_ended("a");
	assert_int_equal(look("a").execs, 0);
	expect_nothing();
}

/* FI-22: the exec comes just before, at, and just after the moment of reaping. */
static void exec_is_never_reaped(void **state)
{
	(void)state;
	for (int after = -1; after <= 1; after++) {
		set_up(state);
		run_for(ME, "a", &tiers);
		now += tiers.idle_timeout - (after < 0);
		if (after > 0)
			pool_tick(pool, now);
		assert_int_equal(exec("a"), after > 0 ? POOL_WAITS : POOL_ADMITTED);
		pool_tick(pool, now + 1000 * SECOND);
		if (after <= 0) {
			expect_nothing();
			continue;
		}
		assert_int_equal(expect(ACTION_DESTROY).why, POOL_IDLE);
		destroyed("a");
		assert_int_equal(expect(ACTION_CREATE).generation, 2);
		created("a", true);
		expect_end(ACTION_ADMIT, next_cookie);
		pool_tick(pool, now + 2000 * SECOND);
		expect_nothing();
	}
}

static void admission_that_is_cancelled_before_it_is_taken_is_none(void **state)
{
	(void)state;
	exec("a");
	ensure_for(ME, "a", &tiers);
	exec("a");
	expect(ACTION_CREATE);
	created("a", true);
	assert_int_equal(look("a").execs, 1);
	assert_int_equal(pool_deadline(pool), UINT64_MAX);
	pool_cancel(pool, now, next_cookie);
	assert_int_equal(look("a").execs, 0);
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
	expect_end(ACTION_ADMIT, 2);
	expect_nothing();
}

/* --- stop and remove ------------------------------------------------------------------
 */

static void stop_while_creating_ends_what_comes(void **state)
{
	(void)state;
	run_and_stop("a");
	exec("a");
	expect(ACTION_CREATE);
	assert_int_equal(stop("a"), POOL_WAITS);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_STOPPING);
	assert_int_equal(exec("a"), POOL_WAITS);
	created("a", true);
	assert_int_equal(expect(ACTION_DESTROY).generation, 2);
	destroyed("a");
	expect_end(ACTION_ADMIT, next_cookie - 1);
	assert_int_equal(expect(ACTION_CREATE).generation, 3);
}

static void stop_while_creating_is_done_if_that_fails(void **state)
{
	(void)state;
	ensure("a");
	expect(ACTION_CREATE);
	stop("a");
	created("a", false);
	expect_refusal(1, POOL_WRONG_STATE);
	expect(ACTION_FORGET);
	expect_end(ACTION_ADMIT, 2);
	expect_nothing();
}

static void stop_does_not_wait_for_the_freezer(void **state)
{
	(void)state;
	run("a");
	do_pause("a");
	expect(ACTION_FREEZE);
	stop("a");
	expect(ACTION_DESTROY);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	destroyed("a");
	expect_end(ACTION_ADMIT, next_cookie);
	/* The report of the old generation comes while the next one is to be frozen. */
	exec("a");
	expect(ACTION_CREATE);
	created("a", true);
	expect(ACTION_ADMIT);
	do_pause("a");
	expect_nothing();
	frozen("a", true);
	expect(ACTION_FREEZE);
	assert_int_equal(look("a").waiters, 1);
	frozen("a", true);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void stop_of_what_is_paused_or_frozen_destroys(void **state)
{
	(void)state;
	run_paused("a");
	run_frozen("b");
	stop("a");
	expect(ACTION_DESTROY);
	stop("b");
	expect(ACTION_DESTROY);
	destroyed("a");
	destroyed("b");
	expect(ACTION_ADMIT);
	expect(ACTION_ADMIT);
	assert_int_equal(stop("a"), POOL_ADMITTED);
	assert_int_equal(stop("c"), POOL_NO_SUCH);
	expect_nothing();
}

static void stop_calls_off_the_next_generation(void **state)
{
	(void)state;
	run("a");
	stop("a");
	exec("a");
	ensure("a");
	stop("a");
	expect(ACTION_DESTROY);
	expect_refusal(next_cookie - 2, POOL_WRONG_STATE);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	destroyed("a");
	expect_end(ACTION_ADMIT, next_cookie - 3);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_STOPPED);
}

static void next_generation_is_cancelled_with_its_last_waiter(void **state)
{
	(void)state;
	run("a");
	stop("a");
	exec("a");
	ensure("a");
	pool_cancel(pool, now, next_cookie);
	pool_cancel(pool, now, next_cookie - 1);
	pool_cancel(pool, now, 4711);
	expect(ACTION_DESTROY);
	destroyed("a");
	expect(ACTION_ADMIT);
	expect_nothing();
}

static void remove_without_force_needs_a_stopped_one(void **state)
{
	(void)state;
	assert_int_equal(rm("a", true), POOL_NO_SUCH);
	run_and_stop("a");
	run("b");
	assert_int_equal(rm("b", false), POOL_WRONG_STATE);
	assert_int_equal(rm("a", false), POOL_ADMITTED);
	assert_false(exists("a"));
	expect(ACTION_FORGET);
	expect_nothing();
}

static void remove_is_told_after_the_end(void **state)
{
	(void)state;
	run("a");
	exec("a");
	assert_int_equal(rm("a", true), POOL_WAITS);
	assert_int_equal(exec("a"), POOL_NO_SUCH);
	expect(ACTION_DESTROY);
	destroyed("a");
	/* Its exec has not been reported yet: the handle is still of use. */
	expect_nothing();
	assert_int_equal(rm("a", false), POOL_WAITS);
	exec_ended("a");
	expect(ACTION_FORGET);
	expect_end(ACTION_ADMIT, next_cookie - 2);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void remove_while_creating(void **state)
{
	(void)state;
	ensure("a");
	expect(ACTION_CREATE);
	assert_int_equal(rm("a", false), POOL_WRONG_STATE);
	assert_int_equal(rm("a", true), POOL_WAITS);
	expect_refusal(1, POOL_NO_SUCH);
	created("a", true);
	expect(ACTION_DESTROY);
	destroyed("a");
	expect(ACTION_FORGET);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void what_is_removed_can_be_had_anew(void **state)
{
	(void)state;
	run("a");
	rm("a", true);
	assert_int_equal(ensure_for(ME, "a", &other), POOL_CONFLICT);
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(exec("a"), POOL_WAITS);
	expect(ACTION_DESTROY);
	destroyed("a");
	expect_end(ACTION_ADMIT, 2);
	expect(ACTION_CREATE);
	created("a", false);
	expect(ACTION_FAILED);
	expect(ACTION_FAILED);
	/* It is as new: its first creation has failed. */
	expect(ACTION_FORGET);
	expect_nothing();
}

static const struct pool_spec passing = { .digest = { 4 },
					  .idle_timeout = 30 * SECOND,
					  .auto_remove = true };

static void whatever_stops_a_passing_one_removes_it(void **state)
{
	(void)state;
	run_for(ME, "a", &passing);
	pool_tick(pool, now += passing.idle_timeout);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_IDLE);
	assert_int_equal(exec("a"), POOL_NO_SUCH);
	destroyed("a");
	expect(ACTION_FORGET);
	run_for(ME, "a", &passing);
	assert_int_equal(exec("a"), POOL_ADMITTED);
	assert_int_equal(do_pause("a"), POOL_WAITS);
	assert_int_equal(unpause("a"), POOL_WAITS);
	expect(ACTION_FREEZE);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	/* Who waits for a thaw waits in vain. */
	assert_int_equal(exec("a"), POOL_WAITS);
	pool_died(pool, now, id_of(ME, "a"));
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_DIED);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	expect_refusal(next_cookie, POOL_NO_SUCH);
	destroyed("a");
	expect_nothing();
	exec_ended("a");
	expect(ACTION_FORGET);
	assert_false(exists("a"));
}

static void passing_one_is_had_anew_while_it_is_removed(void **state)
{
	(void)state;
	run_for(ME, "a", &passing);
	assert_int_equal(stop("a"), POOL_WAITS);
	expect(ACTION_DESTROY);
	assert_int_equal(ensure_for(ME, "a", &passing), POOL_WAITS);
	destroyed("a");
	expect_end(ACTION_ADMIT, next_cookie - 1);
	assert_int_equal(expect(ACTION_CREATE).generation, 2);
	created("a", true);
	assert_true(expect(ACTION_ADMIT).created);
	expect_nothing();
}

static void discarded_one_goes_and_nobody_is_told(void **state)
{
	pool_id id;

	(void)state;
	pool_discard(pool, now, 0);
	run("a");
	id = id_of(ME, "a");
	assert_int_equal(exec("a"), POOL_ADMITTED);
	pool_discard(pool, now, id);
	expect(ACTION_DESTROY);
	pool_discard(pool, now, id);
	expect_nothing();
	exec_ended("a");
	destroyed("a");
	/* Its name has ended; its handle has not. */
	pool_discard(pool, now, id);
	expect(ACTION_FORGET);
	expect_nothing();
	/* One that is being made. */
	ensure("b");
	expect(ACTION_CREATE);
	pool_discard(pool, now, id_of(ME, "b"));
	expect_refusal(next_cookie, POOL_NO_SUCH);
	created("b", true);
	expect(ACTION_DESTROY);
	destroyed("b");
	expect(ACTION_FORGET);
	expect_nothing();
}

static void reap_and_shutdown_say_how_many(void **state)
{
	(void)state;
	run_and_stop("stopped");
	run("idle");
	run("busy");
	exec("busy");
	run_paused("paused");
	run_for(YOU, "idle", &plain);
	assert_int_equal(pool_reap(pool, now, ME), 2);
	assert_int_equal(pool_reap(pool, now, ME), 0);
	assert_int_equal(pool_reap(pool, now, NOBODY), 0);
	expect(ACTION_DESTROY);
	expect(ACTION_DESTROY);
	ensure("new");
	assert_int_equal(pool_shutdown(pool, now, ME, false), 2);
	assert_int_equal(pool_shutdown(pool, now, ME, true), 0);
	assert_int_equal(pool_shutdown(pool, now, NOBODY, true), 0);
	assert_false(exists("stopped"));
	assert_int_equal(pool_count(pool, YOU), 1);
	assert_int_equal(pool_count(pool, ME), 4);
}

/* --- death
 * ------------------------------------------------------------------------------ */

static void shutdown_of_all_is_of_every_client(void **state)
{
	struct pool_action action;
	unsigned ended = 0;

	(void)state;
	run("a");
	run("b");
	for (uint32_t client = 2000; client < 2100; client++) {
		set_limits(client, (struct pool_client_limits){ 0 });
		run_for(client, "c", &plain);
	}
	run_and_stop("stopped");
	assert_int_equal(pool_shutdown(pool, now, UINT32_MAX, false), 102);
	assert_int_equal(pool_shutdown(pool, now, UINT32_MAX, false), 0);
	while (pool_next(pool, &action)) {
		assert_int_equal(action.type, ACTION_DESTROY);
		pool_destroyed(pool, now, action.id);
		ended++;
	}
	assert_int_equal(ended, 102);
	assert_int_equal(pool_shutdown(pool, now, UINT32_MAX, true), 0);
	for (ended = 0; pool_next(pool, &action); ended++)
		assert_int_equal(action.type, ACTION_FORGET);
	assert_int_equal(ended, 103);
}

static void death_is_cleaned_up_after(void **state)
{
	(void)state;
	run("a");
	exec("a");
	pool_died(pool, now, id_of(ME, "a"));
	pool_died(pool, now, id_of(ME, "a"));
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_DIED);
	expect_nothing();
	destroyed("a");
	pool_died(pool, now, id_of(ME, "a"));
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_STOPPED);
	exec("a");
	expect(ACTION_CREATE);
	exec_ended("a"); /* late: the one of the first generation */
	created("a", true);
	expect(ACTION_ADMIT);
	assert_int_equal(look("a").execs, 1);
	expect_nothing();
}

static void death_while_creating_is_a_failure(void **state)
{
	(void)state;
	ensure("a");
	expect(ACTION_CREATE);
	pool_died(pool, now, id_of(ME, "a"));
	expect_end(ACTION_FAILED, 1);
	created("a", true);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_DIED);
	destroyed("a");
	expect(ACTION_FORGET);
	expect_nothing();
}

static void death_during_the_thaw_is_not_noticed(void **state)
{
	(void)state;
	run_frozen("a");
	exec("a");
	expect(ACTION_THAW);
	pool_died(pool, now, id_of(ME, "a"));
	expect(ACTION_DESTROY);
	thawed("a", false);
	destroyed("a");
	expect(ACTION_CREATE);
	created("a", true);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void death_while_paused_refuses_who_waits_for_that(void **state)
{
	(void)state;
	run_paused("a");
	unpause("a");
	expect(ACTION_THAW);
	pool_died(pool, now, id_of(ME, "a"));
	expect(ACTION_DESTROY);
	expect_refusal(next_cookie, POOL_WRONG_STATE);
	expect_nothing();
}

/* --- freezer
 * ---------------------------------------------------------------------------- */

static void exec_thaws_what_was_idle(void **state)
{
	(void)state;
	run_frozen("a");
	assert_int_equal(exec("a"), POOL_WAITS);
	expect(ACTION_THAW);
	assert_int_equal(ensure_for(ME, "a", &tiers), POOL_WAITS);
	expect_nothing();
	thawed("a", true);
	expect_end(ACTION_ADMIT, next_cookie - 1);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void exec_during_the_freeze_waits_for_both_reports(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	now += tiers.freeze_after;
	pool_tick(pool, now);
	expect(ACTION_FREEZE);
	assert_int_equal(exec("a"), POOL_WAITS);
	expect_nothing();
	thawed("a", true); /* nobody has asked for that */
	expect_nothing();
	frozen("a", true);
	expect(ACTION_THAW);
	frozen("a", true);
	expect_nothing();
	thawed("a", true);
	expect_end(ACTION_ADMIT, next_cookie);
	expect_nothing();
}

static void freeze_that_fails_is_undone_and_not_tried_again(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	now += tiers.freeze_after;
	pool_tick(pool, now);
	expect(ACTION_FREEZE);
	frozen("a", false);
	expect(ACTION_THAW);
	thawed("a", true);
	pool_tick(pool, ++now);
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_RUNNING);
	do_pause("a");
	expect(ACTION_FREEZE);
	frozen("a", false);
	expect_end(ACTION_FAILED, next_cookie);
	expect(ACTION_THAW);
	assert_int_equal(exec("a"), POOL_WAITS);
	thawed("a", true);
	expect_end(ACTION_ADMIT, next_cookie);
}

static void thaw_that_fails_ends_the_generation(void **state)
{
	(void)state;
	run_frozen("a");
	exec("a");
	unpause("a");
	expect(ACTION_THAW);
	thawed("a", false);
	expect_end(ACTION_FAILED, next_cookie);
	assert_int_equal(expect(ACTION_DESTROY).why, POOL_FAILED);
	destroyed("a");
	expect(ACTION_CREATE);
	created("a", true);
	expect_end(ACTION_ADMIT, next_cookie - 1);
}

static void pause_refuses_exec_until_unpause(void **state)
{
	(void)state;
	assert_int_equal(do_pause("a"), POOL_NO_SUCH);
	assert_int_equal(unpause("a"), POOL_NO_SUCH);
	ensure("a");
	assert_int_equal(do_pause("a"), POOL_WRONG_STATE);
	assert_int_equal(unpause("a"), POOL_WRONG_STATE);
	expect(ACTION_CREATE);
	created("a", true);
	expect(ACTION_ADMIT);
	assert_int_equal(unpause("a"), POOL_ADMITTED);
	assert_int_equal(do_pause("a"), POOL_WAITS);
	assert_int_equal(state_of("a"), POOL_PAUSED);
	assert_int_equal(exec("a"), POOL_PAUSED_NOW);
	assert_int_equal(ensure("a"), POOL_ADMITTED);
	expect(ACTION_FREEZE);
	frozen("a", true);
	expect(ACTION_ADMIT);
	assert_int_equal(do_pause("a"), POOL_ADMITTED);
	assert_int_equal(unpause("a"), POOL_WAITS);
	expect(ACTION_THAW);
	assert_int_equal(exec("a"), POOL_WAITS);
	thawed("a", true);
	expect(ACTION_ADMIT);
	expect(ACTION_ADMIT);
	expect_nothing();
}

static void pause_and_unpause_overtake_each_other(void **state)
{
	(void)state;
	run("a");
	do_pause("a");
	expect(ACTION_FREEZE);
	unpause("a");
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	do_pause("a");
	expect_refusal(next_cookie - 1, POOL_PAUSED_NOW);
	frozen("a", true);
	expect_end(ACTION_ADMIT, next_cookie);
	unpause("a");
	expect(ACTION_THAW);
	ensure("a");
	exec("a");
	do_pause("a");
	expect_end(ACTION_ADMIT, next_cookie - 2);
	expect_refusal(next_cookie - 3, POOL_PAUSED_NOW);
	expect_refusal(next_cookie - 1, POOL_PAUSED_NOW);
	thawed("a", true);
	expect(ACTION_FREEZE);
	expect_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(first_ensure_makes_it),
		CASE(one_of_many_callers_made_it),
		CASE(next_caller_made_it_if_the_first_has_gone),
		CASE(other_settings_are_a_conflict_in_any_state),
		CASE(stopped_one_is_started_anew),
		CASE(first_creation_that_fails_is_forgotten),
		CASE(later_creation_that_fails_leaves_the_definition),
		CASE(creation_that_nobody_waits_for_goes_on),
		CASE(exec_counts_from_its_admission),
		CASE(exec_is_never_reaped),
		CASE(admission_that_is_cancelled_before_it_is_taken_is_none),
		CASE(stop_while_creating_ends_what_comes),
		CASE(stop_while_creating_is_done_if_that_fails),
		CASE(stop_does_not_wait_for_the_freezer),
		CASE(stop_of_what_is_paused_or_frozen_destroys),
		CASE(stop_calls_off_the_next_generation),
		CASE(next_generation_is_cancelled_with_its_last_waiter),
		CASE(remove_without_force_needs_a_stopped_one),
		CASE(remove_is_told_after_the_end),
		CASE(remove_while_creating),
		CASE(what_is_removed_can_be_had_anew),
		CASE(whatever_stops_a_passing_one_removes_it),
		CASE(passing_one_is_had_anew_while_it_is_removed),
		CASE(discarded_one_goes_and_nobody_is_told),
		CASE(reap_and_shutdown_say_how_many),
		CASE(shutdown_of_all_is_of_every_client),
		CASE(death_is_cleaned_up_after),
		CASE(death_while_creating_is_a_failure),
		CASE(death_during_the_thaw_is_not_noticed),
		CASE(death_while_paused_refuses_who_waits_for_that),
		CASE(exec_thaws_what_was_idle),
		CASE(exec_during_the_freeze_waits_for_both_reports),
		CASE(freeze_that_fails_is_undone_and_not_tried_again),
		CASE(thaw_that_fails_ends_the_generation),
		CASE(pause_refuses_exec_until_unpause),
		CASE(pause_and_unpause_overtake_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
