/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/process.h"
#include "base/sys.h"
#include "tests/unit/aborts.h"

static void exit_with_7(void)
{
	_exit(7);
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

static void stop_itself(void)
{
	raise(SIGSTOP);
	sleep_for_ever();
}

static void block_all_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sleep_for_ever();
}

static void sleep_50_ms(void)
{
	usleep(50000);
	_exit(0);
}

static void burn_30_ms(void)
{
	struct timespec used;

	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	} while (used.tv_sec == 0 && used.tv_nsec < 30000000);
	_exit(0);
}

/* A child that runs body and does not return. */
static struct process start(void (*body)(void))
{
	struct process p = PROCESS_NONE;

	p.pid = fork();
	if (p.pid == 0) {
		body();
		_exit(99);
	}
	assert_true(p.pid > 0);
	p.pidfd = pidfd_open(p.pid, 0);
	assert_true(p.pidfd >= 0);
	return p;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void assert_none(const struct process *p)
{
	assert_int_equal(p->pid, 0);
	assert_int_equal(p->pidfd, -1);
}

static void none_is_no_child_and_no_descriptor(void **state)
{
	struct process p = PROCESS_NONE;

	(void)state;
	assert_none(&p);
}

static void wait_returns_the_exit_status(void **state)
{
	struct process p = start(exit_with_7);
	struct err e = { 0 };
	int status = -1;

	(void)state;
	assert_int_equal(process_wait(&p, &status, NULL, &e), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void wait_returns_the_signal(void **state)
{
	struct process p = start(sleep_for_ever);
	struct err e = { 0 };
	int status = -1;

	(void)state;
	assert_int_equal(kill(p.pid, SIGTERM), 0);
	assert_int_equal(process_wait(&p, &status, NULL, &e), 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void wait_forgets_the_child_and_closes_its_descriptor(void **state)
{
	struct process p = start(exit_with_7);
	pid_t pid = p.pid;
	int pidfd = p.pidfd;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(process_wait(&p, NULL, NULL, &e), 0);
	assert_none(&p);
	assert_false(is_open(pidfd));
	assert_true(is_gone(pid));
}

static void wait_needs_no_pidfd(void **state)
{
	struct process p = PROCESS_NONE;
	struct err e = { 0 };
	int status = -1;

	(void)state;
	p.pid = fork();
	if (p.pid == 0)
		_exit(3);
	assert_int_equal(process_wait(&p, &status, NULL, &e), 0);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_none(&p);
}

static void wait_keeps_rusage(void **state)
{
	struct process p = start(burn_30_ms);
	struct rusage usage;
	struct err e = { 0 };
	int64_t used_us;

	(void)state;
	memset(&usage, 0, sizeof(usage));
	assert_int_equal(process_wait(&p, NULL, &usage, &e), 0);
	used_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
		  usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
	assert_in_range(used_us, 20000, 10000000);
	assert_true(usage.ru_maxrss > 0);
}

static void wait_tells_the_children_of_one_parent_apart(void **state)
{
	struct process late = start(sleep_50_ms);
	struct process early = start(exit_with_7);
	struct err e = { 0 };
	int status = -1;

	(void)state;
	assert_int_equal(process_wait(&late, &status, NULL, &e), 0);
	assert_int_equal(status, 0);
	assert_int_equal(process_wait(&early, &status, NULL, &e), 0);
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void wait_sees_a_child_that_sends_no_signal(void **state)
{
	struct clone_args args = { .flags = 0, .exit_signal = 0 };
	struct process p = PROCESS_NONE;
	struct err e = { 0 };
	int status = -1;

	(void)state;
	p.pid = sys_clone3(&args);
	if (p.pid == 0)
		_exit(5);
	assert_true(p.pid > 0);
	assert_int_equal(process_wait(&p, &status, NULL, &e), 0);
	assert_int_equal(WEXITSTATUS(status), 5);
}

static void on_alarm(int signo)
{
	(void)signo;
}

static void wait_goes_on_after_a_signal(void **state)
{
	struct sigaction action = { .sa_handler = on_alarm }, old;
	struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	struct process p = start(sleep_50_ms);
	struct err e = { 0 };
	int status = -1, r;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	r = process_wait(&p, &status, NULL, &e);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
	assert_int_equal(r, 0);
	assert_int_equal(status, 0);
}

static void wait_reports_a_process_that_is_no_child(void **state)
{
	struct process p = { .pid = getpid(), .pidfd = -1 };
	struct rusage usage, before;
	struct err e = { 0 };
	int status = 1234;

	(void)state;
	memset(&usage, 0x5a, sizeof(usage));
	before = usage;
	assert_int_equal(process_wait(&p, &status, &usage, &e), -ECHILD);
	assert_int_equal(e.code, -ECHILD);
	assert_non_null(strstr(e.msg, "wait for process "));
	assert_non_null(strstr(e.msg, ": No child processes"));
	assert_int_equal(status, 1234);
	assert_memory_equal(&usage, &before, sizeof(usage));
	assert_int_equal(p.pid, getpid());
}

static void wait_for_none(void)
{
	struct process p = PROCESS_NONE;
	struct err e;

	err_ignore(process_wait(&p, NULL, NULL, &e));
}

static void wait_for_all(void)
{
	struct process p = { .pid = -1, .pidfd = -1 };
	struct err e;

	err_ignore(process_wait(&p, NULL, NULL, &e));
}

static void wait_refuses_numbers_that_mean_any_child(void **state)
{
	(void)state;
	assert_true(aborts(wait_for_none));
	assert_true(aborts(wait_for_all));
}

static void assert_ended(void (*body)(void))
{
	struct process p = start(body);
	pid_t pid = p.pid;
	int pidfd = p.pidfd;

	process_end(&p);
	assert_none(&p);
	assert_true(is_gone(pid));
	assert_false(is_open(pidfd));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void end_kills_and_reaps(void **state)
{
	(void)state;
	assert_ended(sleep_for_ever);
}

static void end_reaps_a_child_that_has_exited(void **state)
{
	(void)state;
	assert_ended(exit_with_7);
}

static void end_kills_a_stopped_child(void **state)
{
	(void)state;
	assert_ended(stop_itself);
}

static void end_kills_a_child_that_blocks_every_signal(void **state)
{
	(void)state;
	assert_ended(block_all_signals);
}

static void end_is_harmless_on_none(void **state)
{
	struct process bystander = start(sleep_for_ever);
	struct process p = PROCESS_NONE;

	(void)state;
	process_end(&p);
	process_end(&p);
	assert_none(&p);
	assert_int_equal(waitpid(bystander.pid, NULL, WNOHANG), 0);
	process_end(&bystander);
}

static void end_keeps_errno(void **state)
{
	struct process p = start(sleep_for_ever);

	(void)state;
	errno = EXDEV;
	process_end(&p);
	assert_int_equal(errno, EXDEV);
	process_end(&p);
	assert_int_equal(errno, EXDEV);
}

static void end_closes_the_descriptor_of_a_child_reaped_elsewhere(void **state)
{
	struct process p = start(exit_with_7);
	int pidfd = p.pidfd;

	(void)state;
	assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
	process_end(&p);
	assert_none(&p);
	assert_false(is_open(pidfd));
}

static void end_accepts_a_half_built_process(void **state)
{
	struct process p = { .pid = 0, .pidfd = pidfd_open(getpid(), 0) };
	int pidfd = p.pidfd;

	(void)state;
	assert_true(pidfd >= 0);
	process_end(&p);
	assert_none(&p);
	assert_false(is_open(pidfd));
}

static pid_t pid_after_scope(struct process *ret_kept)
{
	auto_process p = start(sleep_for_ever);
	pid_t pid = p.pid;

	if (ret_kept)
		*ret_kept = process_take(&p);
	return pid;
}

static void scope_ends_its_child(void **state)
{
	(void)state;
	assert_true(is_gone(pid_after_scope(NULL)));
}

static void take_moves_the_child_out_of_its_scope(void **state)
{
	struct process kept = PROCESS_NONE;
	pid_t pid = pid_after_scope(&kept);

	(void)state;
	assert_int_equal(kept.pid, pid);
	assert_true(is_open(kept.pidfd));
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	process_end(&kept);
	assert_true(is_gone(pid));
}

static void take_leaves_none_behind(void **state)
{
	struct process p = { .pid = 12, .pidfd = 34 };
	struct process taken = process_take(&p);

	(void)state;
	assert_none(&p);
	assert_int_equal(taken.pid, 12);
	assert_int_equal(taken.pidfd, 34);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_no_child_and_no_descriptor),
		cmocka_unit_test(wait_returns_the_exit_status),
		cmocka_unit_test(wait_returns_the_signal),
		cmocka_unit_test(wait_forgets_the_child_and_closes_its_descriptor),
		cmocka_unit_test(wait_needs_no_pidfd),
		cmocka_unit_test(wait_keeps_rusage),
		cmocka_unit_test(wait_tells_the_children_of_one_parent_apart),
		cmocka_unit_test(wait_sees_a_child_that_sends_no_signal),
		cmocka_unit_test(wait_goes_on_after_a_signal),
		cmocka_unit_test(wait_reports_a_process_that_is_no_child),
		cmocka_unit_test(wait_refuses_numbers_that_mean_any_child),
		cmocka_unit_test(end_kills_and_reaps),
		cmocka_unit_test(end_reaps_a_child_that_has_exited),
		cmocka_unit_test(end_kills_a_stopped_child),
		cmocka_unit_test(end_kills_a_child_that_blocks_every_signal),
		cmocka_unit_test(end_is_harmless_on_none),
		cmocka_unit_test(end_keeps_errno),
		cmocka_unit_test(end_closes_the_descriptor_of_a_child_reaped_elsewhere),
		cmocka_unit_test(end_accepts_a_half_built_process),
		cmocka_unit_test(scope_ends_its_child),
		cmocka_unit_test(take_moves_the_child_out_of_its_scope),
		cmocka_unit_test(take_leaves_none_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
