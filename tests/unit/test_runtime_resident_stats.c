/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox uses, as the kernel counts it. */
#include "runtime/resident_stats.h"
#include "tests/unit/test_runtime_in_worker.h"

static struct resident_stats read_stats(const struct fixture *f)
{
	struct resident_stats s;
	struct err e;

	if (resident_stats(&f->resident, &f->host, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return s;
}

static int start(struct fixture *f, struct err *e)
{
	char *argv[] = { "/bin/sh", "-c", "while :; do :; done", NULL };
	char *envp[] = { "PATH=/usr/bin:/bin", NULL };
	struct resident_prepared none = RESIDENT_PREPARED_NONE;
	struct resident_exec x = RESIDENT_EXEC_NONE;
	struct resident_command command = { .id = "x1",
					    .argv = argv,
					    .envp = envp,
					    .cwd = "/",
					    .uid = 1000,
					    .gid = 1000,
					    .fd_count = 3 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct spec defaults;

	spec_init(&defaults);
	command.rlimits = defaults.rlimits;
	for (int i = 0; i < 3; i++)
		command.fds[i] = null;
	return resident_exec_start(&f->resident, &f->host, &command, &none, &x,
				   &f->said->status, e);
}

static void sandbox_without_a_command_has_no_processes(void **state)
{
	struct fixture *f = fixture(state);
	struct resident_stats s;

	build(f);
	s = read_stats(f);
	assert_int_equal(s.pids, 0);
	assert_int_equal(s.rx_bytes, 0);
	assert_int_equal(s.tx_bytes, 0);
	assert_true(s.memory < 64 << 20);
}

static void command_shows_in_processes_and_processor_time(void **state)
{
	struct fixture *f = fixture(state);
	struct resident_stats before, after;

	build(f);
	before = read_stats(f);
	must(f, start);
	after = read_stats(f);
	assert_int_equal(after.pids, 1);
	for (int i = 0; i < 1000 && after.cpu_us < before.cpu_us + 50000; i++) {
		usleep(10000);
		after = read_stats(f);
	}
	assert_true(after.cpu_us >= before.cpu_us + 50000);
	assert_true(after.memory > 0);
}

static void sandbox_that_is_none_has_no_figures(void **state)
{
	struct fixture *f = fixture(state);
	struct resident none = RESIDENT_NONE;
	struct resident_stats s;
	struct err e;

	assert_int_equal(resident_stats(&none, &f->host, &s, &e), -ESRCH);
	assert_int_equal(s.memory, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sandbox_without_a_command_has_no_processes),
		CASE(command_shows_in_processes_and_processor_time),
		CASE(sandbox_that_is_none_has_no_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
