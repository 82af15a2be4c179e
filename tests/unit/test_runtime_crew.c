/* SPDX-License-Identifier: Apache-2.0 */
/* Orders and real workers: each order is answered once, whatever becomes of them. */
#include <sys/file.h>
#include <sys/resource.h>

#include "runtime/crew.h"
#include "tests/unit/test_runtime_in_worker.h"

enum { TURNS_MAX = 20000, MANY = 24 };

static struct access access_rules;
static struct loop *loop;
static struct crew *crew;
static unsigned ordered, answered;
static unsigned answered_to[4]; /* of these clients */
static bool chain; /* every third answer gives an order */
static int last_code;
static bool ordering; /* crew_order() has not returned yet */

static int set_up_crew(void **state)
{
	int r = set_up(state);
	struct fixture *f = *state;
	struct err e;

	if (r < 0 || !f)
		return r;
	ordered = answered = 0;
	memset(answered_to, 0, sizeof(answered_to));
	chain = ordering = false;
	access_init(&access_rules);
	if (loop_new(&loop, &e) < 0 ||
	    crew_new(loop, &f->config, &access_rules, &crew, &e) < 0)
		return -1;
	return 0;
}

static int tear_down_crew(void **state)
{
	if (*state) {
		crew_free(crew);
		loop_free(loop);
		access_free(&access_rules);
	}
	return tear_down(state);
}

static void order(enum worker_type type, uid_t client);

static void done(void *context, const struct worker_result *result, int *fds,
		 unsigned count)
{
	uintptr_t client = (uintptr_t)context;

	(void)fds;
	if (client < sizeof(answered_to) / sizeof(*answered_to))
		answered_to[client]++;
	assert_int_equal(count, 0);
	assert_false(ordering);
	answered++;
	last_code = result->code;
	if (chain && answered % 3 == 0)
		order(WORKER_THAW, answered);
}

/* What a worker refuses at once: a build without a label, or a sandbox that is none. */
static void order(enum worker_type type, uid_t client)
{
	struct worker_order o = { .type = type,
				  .client = client,
				  .resident = RESIDENT_NONE };
	struct err e = { 0 };

	o.resident.init.pidfd = o.resident.cgroup = STDERR_FILENO;
	ordering = true;
	if (crew_order(crew, &o, NULL, 0, done, (void *)(uintptr_t)client, &e) < 0)
		fail_msg("%s", e.msg);
	ordering = false;
	ordered++;
}

static void turn_until(unsigned wanted)
{
	struct err e;

	for (int i = 0; answered < wanted && i < TURNS_MAX; i++) {
		assert_int_equal(loop_turn(loop, &e), 0);
		crew_reap(crew);
	}
	assert_int_equal(answered, wanted);
}

/* Our children, the workers; returns how many there are. */
static unsigned each_worker(int sig)
{
	char path[64];
	unsigned count = 0;
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	assert_non_null(f);
	for (; fscanf(f, "%d", &pid) == 1; count++) {
		siginfo_t info;

		kill(pid, sig);
		/* It is for the crew to wait for it. */
		if (sig == SIGKILL)
			waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	}
	fclose(f);
	return count;
}

static void order_is_answered_with_what_the_worker_says(void **state)
{
	fixture(state);
	order(WORKER_BUILD, 1);
	assert_false(crew_is_idle(crew));
	turn_until(1);
	assert_int_equal(last_code, -EINVAL);
	assert_true(crew_is_idle(crew));
}

/* More than can be worked on at once, while answers give more of them. */
static void orders_are_answered_once_each_also_those_that_answers_give(void **state)
{
	fixture(state);
	chain = true;
	for (int round = 0; round < 20; round++) {
		struct err e;

		for (int i = 0; i < 2 * MANY; i++)
			order(i % 2 ? WORKER_THAW : WORKER_RECLAIM, (uid_t)i);
		for (int i = 0; answered < ordered && i < TURNS_MAX; i++) {
			assert_int_equal(loop_turn(loop, &e), 0);
			crew_reap(crew);
		}
		assert_int_equal(answered, ordered);
		assert_true(crew_is_idle(crew));
	}
	/* Those that are not needed any more have been let go. */
	for (int i = 0; i < 2000 && each_worker(0) > 6; i++) {
		usleep(1000);
		crew_reap(crew);
	}
	assert_true(each_worker(0) <= 6);
}

static void worker_that_has_died_is_not_the_orders_fault(void **state)
{
	fixture(state);
	order(WORKER_BUILD, 1);
	turn_until(1);
	assert_true(each_worker(SIGKILL) > 0);
	order(WORKER_BUILD, 1);
	turn_until(2);
	assert_int_equal(last_code, -EINVAL);
}

static void order_whose_worker_dies_over_it_is_answered(void **state)
{
	fixture(state);
	each_worker(SIGSTOP);
	order(WORKER_BUILD, 1);
	each_worker(SIGKILL);
	turn_until(1);
	assert_int_equal(last_code, -ECHILD);
	order(WORKER_BUILD, 1);
	turn_until(2);
	assert_int_equal(last_code, -EINVAL);
}

static void without_any_worker_the_order_fails_but_not_at_once(void **state)
{
	struct rlimit few = { 0, 0 }, usual;

	fixture(state);
	each_worker(SIGKILL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	few.rlim_max = usual.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	order(WORKER_BUILD, 1);
	assert_int_equal(answered, 0);
	assert_false(crew_is_idle(crew));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	turn_until(1);
	assert_int_equal(last_code, -EAGAIN);
	order(WORKER_BUILD, 1);
	turn_until(2);
	assert_int_equal(last_code, -EINVAL);
}

/* All that one client's sandboxes can hold up is its own share. */
static void client_whose_orders_hang_leaves_workers_for_others(void **state)
{
	struct fixture *f = fixture(state);
	char path[128];
	auto_fd lock = -1;

	order(WORKER_REMOVE, 1);
	turn_until(1);
	snprintf(path, sizeof(path), "%s/slots-%x", f->state_dir, f->config.id_first);
	lock = open(path, O_RDWR | O_CLOEXEC);
	assert_true(lock >= 0);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	for (int i = 0; i < 2 * MANY; i++)
		order(WORKER_REMOVE, 1);
	order(WORKER_THAW, 2);
	turn_until(2);
	assert_true(last_code < 0);
	assert_int_equal(flock(lock, LOCK_UN), 0);
	turn_until(2 + 2 * MANY);
}

/* Stopped workers stand for ones that a file system holds up; on two processors or fewer
 * these are all that may build. */
static void client_whose_builds_hang_does_not_hold_up_others(void **state)
{
	struct err e;

	fixture(state);
	assert_int_equal(each_worker(SIGSTOP), 2);
	for (int i = 0; i < MANY; i++)
		order(WORKER_BUILD, 1);
	order(WORKER_BUILD, 2);
	order(WORKER_BUILD, 3);
	for (int i = 0; (!answered_to[2] || !answered_to[3]) && i < TURNS_MAX; i++)
		assert_int_equal(loop_turn(loop, &e), 0);
	assert_true(answered_to[2] && answered_to[3]);
	assert_true(answered_to[1] < MANY);
	assert_true(crew_is_building(crew));
	each_worker(SIGCONT);
	turn_until(ordered);
	assert_true(crew_is_idle(crew));
	assert_false(crew_is_building(crew));
}

static void free_ends_the_workers(void **state)
{
	struct fixture *f = fixture(state);
	struct err e;

	order(WORKER_BUILD, 1);
	crew_free(crew);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(answered, 0);
	assert_int_equal(crew_new(loop, &f->config, &access_rules, &crew, &e), 0);
	crew_free(NULL);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up_crew, tear_down_crew)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(order_is_answered_with_what_the_worker_says),
		CASE(orders_are_answered_once_each_also_those_that_answers_give),
		CASE(worker_that_has_died_is_not_the_orders_fault),
		CASE(order_whose_worker_dies_over_it_is_answered),
		CASE(without_any_worker_the_order_fails_but_not_at_once),
		CASE(client_whose_orders_hang_leaves_workers_for_others),
		CASE(client_whose_builds_hang_does_not_hold_up_others),
		CASE(free_ends_the_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
