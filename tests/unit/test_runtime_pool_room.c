/* SPDX-License-Identifier: Apache-2.0 */
/* Ceilings, and who goes or waits when they are reached. */
#include <errno.h>

#include "tests/unit/test_runtime_pool_fixture.h"

static void limit_me(struct pool_client_limits limits)
{
	set_limits(ME, limits);
}

static void least_recently_used_one_of_ones_own_goes(void **state)
{
	struct pool_action action;

	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 3 });
	run_for(YOU, "oldest", &plain);
	run("a");
	run("b");
	run("c");
	pool_touch(pool, now, ME, "a");
	exec("b");
	exec_ended("b");
	assert_int_equal(ensure("d"), POOL_WAITS);
	action = expect(ACTION_DESTROY);
	assert_int_equal(action.id, id_of(ME, "c"));
	assert_int_equal(action.why, POOL_EVICTED);
	/* It waits for the other one to be gone. */
	expect_nothing();
	assert_int_equal(state_of("d"), POOL_STOPPED);
	assert_int_equal(pool_count(pool, ME), 3);
	destroyed("c");
	assert_int_equal(expect(ACTION_CREATE).id, id_of(ME, "d"));
	assert_int_equal(ensure("e"), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "a"));
	expect_nothing();
}

static void what_is_in_use_is_not_evicted(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 3 });
	run("exec");
	exec("exec");
	run_frozen("waiter");
	exec("waiter");
	expect(ACTION_THAW);
	ensure("creating");
	expect(ACTION_CREATE);
	assert_int_equal(ensure("one more"), POOL_BUSY_SANDBOXES);
	assert_false(exists("one more"));
	expect_nothing();
	exec_ended("exec");
	assert_int_equal(ensure("one more"), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "exec"));
}

static void paused_and_frozen_ones_are_evicted_too(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 2 });
	run_frozen("frozen");
	run_paused("paused");
	ensure("a");
	ensure("b");
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "frozen"));
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "paused"));
	expect_nothing();
}

static uint32_t ceiling(uint32_t client, enum pool_verdict verdict)
{
	return pool_ceiling(pool, client, verdict);
}

static void ceiling_that_was_hit_is_told(void **state)
{
	(void)state;
	begin((struct pool_limits){ .sandboxes = 3, .waiters = 3 });
	limit_me((struct pool_client_limits){
		.sandboxes = 2, .definitions = 9, .execs = 8, .waiters = 2 });
	assert_int_equal(ceiling(ME, POOL_BUSY_DEFINITIONS), 9);
	assert_int_equal(ceiling(ME, POOL_BUSY_EXECS), 8);
	assert_int_equal(ceiling(NOBODY, POOL_BUSY_SANDBOXES), 0);
	run("a");
	exec("a");
	run("b");
	exec("b");
	assert_int_equal(ensure("c"), POOL_BUSY_SANDBOXES);
	assert_int_equal(ceiling(ME, POOL_BUSY_SANDBOXES), 2);
	exec_ended("b");
	run_for(YOU, "a", &plain);
	/* Idle ones of theirs make room, but none of ours has to. */
	assert_int_equal(pool_exec(pool, now, YOU, "a", ++next_cookie, &(pool_id){ 0 }),
			 POOL_ADMITTED);
	assert_int_equal(ensure_for(YOU, "b", &plain), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "b"));
	assert_int_equal(ensure_for(YOU, "c", &plain), POOL_BUSY_SANDBOXES);
	assert_int_equal(ceiling(YOU, POOL_BUSY_SANDBOXES), 3);
	/* Ours has room, the whole has not. */
	assert_int_equal(ensure("c"), POOL_BUSY_SANDBOXES);
	assert_int_equal(ceiling(ME, POOL_BUSY_SANDBOXES), 3);
	assert_int_equal(stop("a"), POOL_WAITS);
	assert_int_equal(stop("a"), POOL_WAITS);
	assert_int_equal(stop("a"), POOL_BUSY_WAITERS);
	assert_int_equal(ceiling(ME, POOL_BUSY_WAITERS), 2);
	assert_int_equal(ensure_for(YOU, "b", &plain), POOL_BUSY_WAITERS);
	assert_int_equal(ceiling(YOU, POOL_BUSY_WAITERS), 3);
}

static void anybodys_goes_when_the_whole_is_full(void **state)
{
	(void)state;
	begin((struct pool_limits){ .sandboxes = 2 });
	run_for(YOU, "a", &plain);
	run("a");
	assert_int_equal(ensure("b"), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(YOU, "a"));
	pool_destroyed(pool, now, id_of(YOU, "a"));
	expect(ACTION_CREATE);
	created("b", true);
	expect(ACTION_ADMIT);
	exec("a");
	exec("b");
	assert_int_equal(ensure_for(YOU, "a", &plain), POOL_BUSY_SANDBOXES);
	expect_nothing();
}

static void ones_own_goes_before_anybodys(void **state)
{
	(void)state;
	begin((struct pool_limits){ .sandboxes = 2 });
	limit_me((struct pool_client_limits){ .sandboxes = 1 });
	run_for(YOU, "a", &plain);
	run("a");
	assert_int_equal(ensure("b"), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "a"));
	expect_nothing();
}

static void room_is_not_promised_twice(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 1 });
	run("a");
	assert_int_equal(ensure("b"), POOL_WAITS);
	assert_int_equal(ensure("c"), POOL_BUSY_SANDBOXES);
	assert_int_equal(exec("a"), POOL_BUSY_SANDBOXES);
	assert_int_equal(ensure("b"), POOL_WAITS);
	expect(ACTION_DESTROY);
	destroyed("a");
	expect(ACTION_CREATE);
	expect_nothing();
	assert_int_equal(exec("a"), POOL_BUSY_SANDBOXES);
	created("b", true);
	expect(ACTION_ADMIT);
	expect(ACTION_ADMIT);
	assert_int_equal(exec("a"), POOL_WAITS);
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "b"));
}

static void evicted_one_that_is_wanted_again_waits_its_turn(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 2 });
	run("a");
	run("b");
	ensure("c");
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "a"));
	exec("a");
	assert_int_equal(expect(ACTION_DESTROY).id, id_of(ME, "b"));
	destroyed("a");
	assert_int_equal(expect(ACTION_CREATE).id, id_of(ME, "c"));
	expect_nothing();
	destroyed("b");
	assert_int_equal(expect(ACTION_CREATE).id, id_of(ME, "a"));
	expect_nothing();
}

static void place_in_line_is_given_up(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 2 });
	run("a");
	run("b");
	ensure("c");
	ensure("d");
	expect(ACTION_DESTROY);
	expect(ACTION_DESTROY);
	pool_cancel(pool, now, next_cookie - 1);
	assert_false(exists("c"));
	expect(ACTION_FORGET);
	assert_int_equal(stop("d"), POOL_ADMITTED);
	expect_refusal(next_cookie - 1, POOL_WRONG_STATE);
	expect(ACTION_FORGET);
	destroyed("a");
	destroyed("b");
	expect_nothing();
}

static void clients_wait_for_their_own_room_alone(void **state)
{
	(void)state;
	begin((struct pool_limits){ .sandboxes = 3 });
	limit_me((struct pool_client_limits){ .sandboxes = 1 });
	run("a");
	ensure("b");
	expect(ACTION_DESTROY);
	run_for(YOU, "a", &plain);
	run_for(YOU, "b", &plain);
	destroyed("a");
	expect(ACTION_CREATE);
	expect_nothing();
}

static void adopted_ones_above_the_ceiling_make_room_first(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 1 });
	for (const char *name = "abc"; *name; name++)
		assert_int_equal(adopt(ME, (char[]){ *name, 0 }, &plain, POOL_RUNNING, 1),
				 0);
	exec("c");
	assert_int_equal(ensure("d"), POOL_BUSY_SANDBOXES);
	expect_nothing();
	exec_ended("c");
	assert_int_equal(ensure("d"), POOL_WAITS);
	expect(ACTION_DESTROY);
	expect(ACTION_DESTROY);
	expect(ACTION_DESTROY);
	destroyed("a");
	destroyed("b");
	expect_nothing();
	destroyed("c");
	expect(ACTION_CREATE);
}

static void lower_ceiling_sends_the_last_ones_away(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 3 });
	run("a");
	run("b");
	run("c");
	exec("c");
	run_for(YOU, "a", &plain);
	ensure("d");
	ensure("e");
	expect(ACTION_DESTROY);
	expect(ACTION_DESTROY);
	limit_me((struct pool_client_limits){ .sandboxes = 2 });
	expect_refusal(next_cookie, POOL_BUSY_SANDBOXES);
	expect(ACTION_FORGET);
	expect_nothing();
	destroyed("a");
	expect_nothing();
	destroyed("b");
	assert_int_equal(expect(ACTION_CREATE).id, id_of(ME, "d"));
	expect_nothing();
}

static void higher_ceiling_lets_go_on(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){ .sandboxes = 1 });
	run("a");
	ensure("b");
	expect(ACTION_DESTROY);
	limit_me((struct pool_client_limits){ .sandboxes = 2 });
	assert_int_equal(expect(ACTION_CREATE).id, id_of(ME, "b"));
}

static void other_ceilings_count_what_they_say(void **state)
{
	(void)state;
	limit_me((struct pool_client_limits){
		.definitions = 1, .execs = 2, .waiters = 3 });
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(ensure("b"), POOL_BUSY_DEFINITIONS);
	assert_int_equal(exec("a"), POOL_WAITS);
	assert_int_equal(exec("a"), POOL_WAITS);
	/* Those who wait will all be admitted. */
	assert_int_equal(exec("a"), POOL_BUSY_EXECS);
	assert_int_equal(ensure("a"), POOL_BUSY_WAITERS);
	assert_int_equal(stop("a"), POOL_BUSY_WAITERS);
	assert_int_equal(rm("a", true), POOL_BUSY_WAITERS);
	assert_int_equal(state_of("a"), POOL_CREATING);
	expect(ACTION_CREATE);
	created("a", true);
	expect(ACTION_ADMIT);
	expect(ACTION_ADMIT);
	expect(ACTION_ADMIT);
	assert_int_equal(exec("a"), POOL_BUSY_EXECS);
	exec_ended("a");
	assert_int_equal(exec("a"), POOL_ADMITTED);
	assert_int_equal(ensure_for(YOU, "a", &plain), POOL_WAITS);
}

static void all_together_have_a_ceiling_of_waiters(void **state)
{
	(void)state;
	begin((struct pool_limits){ .waiters = 2 });
	assert_int_equal(ensure("a"), POOL_WAITS);
	assert_int_equal(ensure_for(YOU, "a", &plain), POOL_WAITS);
	assert_int_equal(ensure("b"), POOL_BUSY_WAITERS);
	pool_cancel(pool, now, 1);
	assert_int_equal(ensure("b"), POOL_WAITS);
}

static void cookie_that_waits_cannot_wait_again(void **state)
{
	bool made;
	pool_id id;

	(void)state;
	ensure("a");
	assert_int_equal(pool_ensure(pool, now, ME, "b", &plain, 1, &id, &made),
			 POOL_BUSY_WAITERS);
	assert_int_equal(pool_exec(pool, now, ME, "a", 1, &id), POOL_BUSY_WAITERS);
}

static void client_without_limits_has_nothing(void **state)
{
	struct pool_client_limits limits = { 0 };
	struct pool_row row;
	uint64_t cursor = 0;
	struct err e;

	(void)state;
	assert_int_equal(ensure_for(NOBODY, "a", &plain), POOL_BUSY_SANDBOXES);
	assert_int_equal(adopt(NOBODY, "a", &plain, POOL_RUNNING, 1), -EPERM);
	assert_int_equal(pool_set_client(pool, UINT32_MAX, &limits, &e), -EINVAL);
	assert_int_equal(pool_count(pool, NOBODY), 0);
	assert_int_equal(pool_count_execs(pool, NOBODY), 0);
	assert_false(pool_each(pool, NOBODY, &cursor, &row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(least_recently_used_one_of_ones_own_goes),
		CASE(what_is_in_use_is_not_evicted),
		CASE(paused_and_frozen_ones_are_evicted_too),
		CASE(ceiling_that_was_hit_is_told),
		CASE(anybodys_goes_when_the_whole_is_full),
		CASE(ones_own_goes_before_anybodys),
		CASE(room_is_not_promised_twice),
		CASE(evicted_one_that_is_wanted_again_waits_its_turn),
		CASE(place_in_line_is_given_up),
		CASE(clients_wait_for_their_own_room_alone),
		CASE(adopted_ones_above_the_ceiling_make_room_first),
		CASE(lower_ceiling_sends_the_last_ones_away),
		CASE(higher_ceiling_lets_go_on),
		CASE(other_ceilings_count_what_they_say),
		CASE(all_together_have_a_ceiling_of_waiters),
		CASE(cookie_that_waits_cannot_wait_again),
		CASE(client_without_limits_has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
