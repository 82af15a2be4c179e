/* SPDX-License-Identifier: Apache-2.0 */
/* Handles, names, the order of making, what was there before, and many at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/pool_parts.h"
#include "tests/unit/aborts.h"
#include "tests/unit/test_runtime_pool_fixture.h"

enum { MANY = 10000 };

/* Makes one without waiting for it. */
static pool_id make(uint32_t client, unsigned number)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	run_for(client, name, &plain);
	return id_of(client, name);
}

static void handles_do_not_come_again_soon(void **state)
{
	static pool_id ids[3000];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		run_and_stop("a");
		ids[i] = id_of(ME, "a");
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(ids[i], ids[j]);
		rm("a", false);
		expect(ACTION_FORGET);
	}
	/* Nor does what they leave behind pile up. */
	assert_in_range(pool_table_client(pool, ME)->place_size, 1, 64);
}

static void reports_about_nobody_are_harmless(void **state)
{
	pool_id old;

	(void)state;
	run_and_stop("a");
	old = id_of(ME, "a");
	rm("a", false);
	expect(ACTION_FORGET);
	run("a");
	for (int i = 0; i < 3; i++) {
		pool_id id = i == 0 ? old : i == 1 ? 0 : UINT32_MAX;

		pool_created(pool, now, id, false);
		pool_destroyed(pool, now, id);
		pool_frozen(pool, now, id, true);
		pool_thawed(pool, now, id, false);
		pool_exec_ended(pool, now, id);
		pool_died(pool, now, id);
	}
	expect_nothing();
	assert_int_equal(state_of("a"), POOL_RUNNING);
}

static void reports_before_the_action_was_taken_are_none(void **state)
{
	(void)state;
	ensure("a");
	created("a", true);
	assert_int_equal(state_of("a"), POOL_CREATING);
	expect(ACTION_CREATE);
	created("a", true);
	created("a", false);
	destroyed("a");
	assert_int_equal(state_of("a"), POOL_RUNNING);
	expect(ACTION_ADMIT);
	do_pause("a");
	frozen("a", true);
	assert_int_equal(look("a").waiters, 1);
	stop("a");
	destroyed("a");
	assert_int_equal(state_of("a"), POOL_STOPPING);
}

static void names_are_of_one_client(void **state)
{
	pool_id id;

	(void)state;
	run("a");
	assert_int_equal(pool_find(pool, YOU, "a", &id), -ENOENT);
	assert_int_equal(pool_find(pool, ME, "A", &id), -ENOENT);
	assert_int_equal(pool_find(pool, ME, "", &id), -ENOENT);
	run_for(YOU, "a", &other);
	assert_int_not_equal(id_of(ME, "a"), id_of(YOU, "a"));
	assert_string_equal(look("a").name, "a");
	assert_int_equal(look("a").client, ME);
	assert_memory_equal(look("a").spec, &plain, sizeof(plain));
}

static void forget(unsigned number)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	if (!exists(name))
		return;
	rm(name, true);
	expect(ACTION_DESTROY);
	destroyed(name);
	expect(ACTION_FORGET);
	expect_end(ACTION_ADMIT, next_cookie);
}

static void order_is_that_of_making_whatever_is_forgotten(void **state)
{
	uint64_t cursor = 0;
	unsigned expected = 0;
	struct pool_row row;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		make(ME, i);
		make(YOU, i);
	}
	/* The one that was just seen is forgotten, and the next but one. */
	while (pool_each(pool, ME, &cursor, &row)) {
		snprintf(name, sizeof(name), "%u", expected);
		assert_string_equal(row.name, name);
		forget(expected);
		forget(expected + 2);
		expected += expected % 4 == 1 ? 3 : 1;
	}
	assert_int_equal(expected, 300);
}

static void adopted_ones_are_as_if_made_here(void **state)
{
	(void)state;
	assert_int_equal(adopt(ME, "running", &tiers, POOL_RUNNING, 7), 0);
	assert_int_equal(pool_deadline(pool), now + tiers.freeze_after);
	assert_int_equal(adopt(ME, "paused", &plain, POOL_PAUSED, 8), 0);
	assert_int_equal(adopt(ME, "stopped", &plain, POOL_STOPPED, 9), 0);
	assert_int_equal(pool_count(pool, ME), 2);
	assert_int_equal(look("stopped").started, 0);
	assert_int_equal(adopt(ME, "stopped", &plain, POOL_STOPPED, 9), -EEXIST);
	assert_int_equal(adopt(ME, "x", &plain, POOL_STOPPING, 9), -EINVAL);
	expect_nothing();
	assert_int_equal(exec("running"), POOL_ADMITTED);
	assert_int_equal(exec("paused"), POOL_PAUSED_NOW);
	assert_int_equal(unpause("paused"), POOL_WAITS);
	expect(ACTION_THAW);
	assert_int_equal(exec("stopped"), POOL_WAITS);
	assert_int_equal(expect(ACTION_CREATE).generation, 10);
	/* It has proved to be good once. */
	created("stopped", false);
	expect(ACTION_FAILED);
	expect_nothing();
}

static void everything_can_be_left_as_it_is(void **state)
{
	(void)state;
	set_limits(ME, (struct pool_client_limits){ .sandboxes = 3 });
	run_frozen("thawing");
	run("stopping");
	run_and_stop("forgotten");
	exec("thawing");
	stop("stopping");
	exec("stopping");
	rm("forgotten", false);
	ensure("new");
	pool_verify(pool);
	begin((struct pool_limits){ 0 });
	pool_free(NULL);
}

static void break_a_count(void)
{
	pool->counts.execs++;
	pool_verify(pool);
}

static void break_a_state(void)
{
	pool_table_name(pool, ME, "a")->state = POOL_CREATING;
	pool_verify(pool);
}

static void break_the_idle_time(void)
{
	pool_table_name(pool, ME, "a")->used++;
	pool_verify(pool);
}

static void break_the_freezer(void)
{
	pool_table_name(pool, ME, "a")->freezer = FREEZER_FROZEN;
	pool_verify(pool);
}

static void break_nothing(void)
{
	pool_verify(pool);
}

static void verify_sees_what_is_broken(void **state)
{
	(void)state;
	run_for(ME, "a", &tiers);
	assert_false(aborts(break_nothing));
	assert_true(aborts(break_a_count));
	assert_true(aborts(break_a_state));
	assert_true(aborts(break_the_idle_time));
	assert_true(aborts(break_the_freezer));
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whatever looks at all of them for one request needs minutes for this. */
static void ten_thousand_are_no_slower_than_few(void **state)
{
	const struct pool_spec spec = { .digest = { 1 }, .idle_timeout = 3600 * SECOND };
	uint64_t begun = cpu_ms();
	char name[16];
	pool_id id;
	bool made;

	(void)state;
	begin((struct pool_limits){ .sandboxes = MANY });
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(ensure_for(ME, name, &spec), POOL_WAITS);
		expect(ACTION_CREATE);
		created(name, true);
		expect(ACTION_ADMIT);
	}
	for (unsigned i = 0; i < 100 * MANY; i++) {
		snprintf(name, sizeof(name), "%u", i * 7919u % MANY);
		assert_int_equal(pool_exec(pool, now++, ME, name, 1, &id), POOL_ADMITTED);
		pool_exec_ended(pool, now, id);
		pool_tick(pool, now);
	}
	for (unsigned i = 0; i < 10 * MANY; i++) {
		struct pool_action action;

		snprintf(name, sizeof(name), "new %u", i);
		assert_int_equal(
			pool_ensure(pool, now++, YOU, name, &spec, 1, &id, &made),
			POOL_WAITS);
		action = expect(ACTION_DESTROY);
		pool_destroyed(pool, now, action.id);
		pool_created(pool, now, expect(ACTION_CREATE).id, true);
		expect(ACTION_ADMIT);
	}
	assert_int_equal(pool_count(pool, UINT32_MAX), MANY);
	assert_in_range(cpu_ms() - begun, 0, 15000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(handles_do_not_come_again_soon),
		CASE(reports_about_nobody_are_harmless),
		CASE(reports_before_the_action_was_taken_are_none),
		CASE(names_are_of_one_client),
		CASE(order_is_that_of_making_whatever_is_forgotten),
		CASE(adopted_ones_are_as_if_made_here),
		CASE(everything_can_be_left_as_it_is),
		CASE(verify_sees_what_is_broken),
		CASE(ten_thousand_are_no_slower_than_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
