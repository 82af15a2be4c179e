/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/steps.h"

static pid_t start(void (*body)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		body();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static int end_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void in_child(void (*body)(void))
{
	assert_int_equal(end_of(start(body)), 0);
}

static void make_pipe(int *fds)
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static void close_both(int *fds)
{
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* What the steps of a walk get. */
struct walk {
	int report;
	int visits;
};

static int visit(void *context, struct err *e)
{
	struct walk *w = context;

	(void)e;
	w->visits++;
	return 0;
}

static int move_report(void *context, struct err *e)
{
	struct walk *w = context;
	int moved = fcntl(w->report, F_DUPFD_CLOEXEC, 100);

	(void)e;
	close(w->report);
	w->report = moved;
	return 0;
}

static int exec_nothing(void *context, struct err *e)
{
	(void)context;
	(void)e;
	_exit(0);
}

static int fail_with_visits(void *context, struct err *e)
{
	struct walk *w = context;

	return err_set(e, EXDEV, "visit number %d", w->visits);
}

static int be_killed(void *context, struct err *e)
{
	(void)context;
	(void)e;
	raise(SIGKILL);
	return 0;
}

/* Walks in a child and reads what it reports. Returns its wait status. */
static int walk(const struct step *steps, struct report *ret)
{
	struct err e = { 0 };
	int fds[2], status = -1;
	pid_t pid;

	make_pipe(fds);
	pid = fork();
	if (pid == 0) {
		struct walk w = { .report = fds[1] };

		steps_walk(steps, &w, &w.report);
	}
	assert_true(pid > 0);
	fd_close(&fds[1]);
	assert_int_equal(steps_read_report(fds[0], ret, &e), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fd_close(&fds[0]);
	return status;
}

static void walk_ends_with_the_step_that_execs(void **state)
{
	const struct step steps[] = { { "one", visit }, { "exec", exec_nothing } };
	struct report report;

	(void)state;
	assert_int_equal(walk(steps, &report), 0);
	assert_int_equal(report.type, REPORT_NONE);
}

static void walk_reports_the_first_failure_by_its_name(void **state)
{
	const struct step steps[] = { { "one", visit },
				      { "two", visit },
				      { "three", fail_with_visits },
				      { "four", exec_nothing } };
	struct report report;

	(void)state;
	assert_int_equal(WEXITSTATUS(walk(steps, &report)), 125);
	assert_int_equal(report.type, REPORT_FAILED);
	assert_string_equal(report.step, "three");
	assert_int_equal(report.err.code, -EXDEV);
	assert_string_equal(report.err.msg, "visit number 2: Invalid cross-device link");
}

static void walk_goes_no_further_than_a_failure(void **state)
{
	const struct step steps[] = { { "one", fail_with_visits }, { "two", be_killed } };
	struct report report;
	int status = walk(steps, &report);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_string_equal(report.step, "one");
}

static void report_follows_its_descriptor(void **state)
{
	const struct step steps[] = { { "move", move_report },
				      { "fail", fail_with_visits } };
	struct report report;

	(void)state;
	assert_int_equal(WEXITSTATUS(walk(steps, &report)), 125);
	assert_string_equal(report.step, "fail");
}

static void long_step_names_are_cut(void **state)
{
	const struct step steps[] = { { "a name of a step that is longer than its field",
					fail_with_visits } };
	struct report report;

	(void)state;
	walk(steps, &report);
	assert_int_equal(strlen(report.step), sizeof(report.step) - 1);
	assert_memory_equal(report.step, "a name of a step that is longer",
			    sizeof(report.step) - 1);
}

static void child_that_dies_without_a_word_is_no_report(void **state)
{
	const struct step steps[] = { { "die", be_killed } };
	struct report report;

	(void)state;
	assert_int_equal(walk(steps, &report), SIGKILL);
	assert_int_equal(report.type, REPORT_NONE);
}

static void report_is_written_at_once(void **state)
{
	(void)state;
	assert_true(sizeof(struct report) <= PIPE_BUF);
}

static void reports_arrive_one_by_one(void **state)
{
	const struct report failed = { .type = REPORT_FAILED };
	struct report report;
	struct err e = { 0 };
	int fds[2];

	(void)state;
	make_pipe(fds);
	assert_int_equal(write(fds[1], &failed, sizeof(failed)), sizeof(failed));
	assert_int_equal(write(fds[1], &failed, sizeof(failed)), sizeof(failed));
	fd_close(&fds[1]);
	assert_int_equal(steps_read_report(fds[0], &report, &e), 0);
	assert_int_equal(report.type, REPORT_FAILED);
	assert_int_equal(steps_read_report(fds[0], &report, &e), 0);
	assert_int_equal(report.type, REPORT_FAILED);
	assert_int_equal(steps_read_report(fds[0], &report, &e), 0);
	assert_int_equal(report.type, REPORT_NONE);
	close_both(fds);
}

static void report_of_another_size_is_an_error(void **state)
{
	struct report report;
	struct err e = { 0 };
	int fds[2];

	(void)state;
	make_pipe(fds);
	assert_int_equal(write(fds[1], "word", 4), 4);
	assert_int_equal(steps_read_report(fds[0], &report, &e), -EPROTO);
	assert_string_equal(e.msg, "a child's report has 4 bytes");
	close_both(fds);
}

static void reading_from_nothing_is_an_error(void **state)
{
	struct report report;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(steps_read_report(-1, &report, &e), -EBADF);
	assert_string_equal(e.msg, "read the report of a child: Bad file descriptor");
}

static void gate_opens_with_a_byte_and_not_without(void **state)
{
	struct err e = { 0 };
	int gate[2];

	(void)state;
	make_pipe(gate);
	assert_int_equal(write(gate[1], "", 1), 1);
	assert_int_equal(steps_wait_at_gate(gate[0], &e), 0);
	fd_close(&gate[1]);
	assert_int_equal(steps_wait_at_gate(gate[0], &e), -ESRCH);
	assert_string_equal(e.msg, "carrel-init did not start");
	fd_close(&gate[0]);
	assert_int_equal(steps_wait_at_gate(gate[0], &e), -EBADF);
}

static void handle(int signo)
{
	(void)signo;
}

static void detach_and_look(void)
{
	struct sigaction action;
	struct err e = { 0 };
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, handle);
	signal(SIGRTMAX, SIG_IGN);
	umask(0);
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	assert_int_equal(steps_detach_from_keeper(027, &e), 0);
	assert_int_equal(umask(0), 027);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &set), 0);
	for (int sig = 1; sig < NSIG; sig++) {
		assert_int_not_equal(sigismember(&set, sig), 1);
		if (sigaction(sig, NULL, &action) == 0)
			assert_true(action.sa_handler == SIG_DFL);
	}
}

static void detached_child_inherits_no_signals_and_cannot_be_read(void **state)
{
	(void)state;
	in_child(detach_and_look);
}

/* Both ends of the lifeline, and of a pipe that closes when all who have it are gone. */
static int lifeline[2], witness[2];

static void outlive_the_keeper(void)
{
	struct err e = { 0 };

	if (fork() == 0) {
		fd_close(&lifeline[1]);
		/* Nothing but the signal can end it: it never looks at the lifeline. */
		if (steps_die_with_keeper(lifeline[0], &e) < 0 ||
		    write(witness[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	/* Dies only when the child has armed its signal. */
	for (int ready = 0; ready == 0;) {
		struct pollfd pfd = { .fd = witness[0], .events = POLLIN };

		ready = poll(&pfd, 1, 10000);
		assert_true(ready > 0);
	}
	raise(SIGKILL);
}

static void child_dies_with_its_keeper(void **state)
{
	struct pollfd pfd;
	char byte;
	pid_t pid;

	(void)state;
	make_pipe(lifeline);
	make_pipe(witness);
	pid = start(outlive_the_keeper);
	assert_int_equal(end_of(pid), SIGKILL);
	fd_close(&witness[1]);
	assert_int_equal(read(witness[0], &byte, 1), 1);
	pfd = (struct pollfd){ .fd = witness[0], .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(read(witness[0], &byte, 1), 0);
	close_both(lifeline);
	close_both(witness);
}

static void look_at_lifelines(void)
{
	struct err e = { 0 };

	make_pipe(lifeline);
	assert_int_equal(steps_die_with_keeper(lifeline[0], &e), 0);
	assert_int_equal(steps_die_with_keeper(lifeline[0], &e), 0);
	fd_close(&lifeline[1]);
	assert_int_equal(steps_die_with_keeper(lifeline[0], &e), -ESRCH);
	assert_string_equal(e.msg, "carrel has died meanwhile");
	/* No lifeline is no life. */
	fd_close(&lifeline[0]);
	assert_int_equal(steps_die_with_keeper(1000, &e), -ESRCH);
}

static void keeper_that_has_died_before_is_noticed(void **state)
{
	(void)state;
	in_child(look_at_lifelines);
}

static void leave_and_look(void)
{
	const gid_t groups[] = { 1, 2, 3 };
	long before, after;
	char text[16];
	struct err e = { 0 };

	assert_int_equal(setgroups(3, groups), 0);
	before = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	if (steps_leave_host_identity(&e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(getgroups(0, NULL), 0);
	assert_true(fd_read_at(AT_FDCWD, "/proc/self/oom_score_adj", text, 16) > 0);
	assert_string_equal(text, "500");
	after = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	/* A kernel may be without keys. */
	assert_true(before != after || after < 0);
}

static void host_identity_is_left_behind(void **state)
{
	const char *must_run = getenv("MUST_RUN");

	(void)state;
	if (geteuid() != 0) {
		if (must_run && !strcmp(must_run, "1"))
			fail_msg("needs root");
		print_message("skipped: needs root\n");
		skip();
	}
	in_child(leave_and_look);
}

static void leave_without_privilege(void)
{
	struct err e = { 0 };

	if (geteuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(steps_leave_host_identity(&e), -EPERM);
	assert_string_equal(e.msg,
			    "leave the supplementary groups: Operation not permitted");
}

static void leaving_without_privilege_is_an_error(void **state)
{
	(void)state;
	in_child(leave_without_privilege);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_ends_with_the_step_that_execs),
		cmocka_unit_test(walk_reports_the_first_failure_by_its_name),
		cmocka_unit_test(walk_goes_no_further_than_a_failure),
		cmocka_unit_test(report_follows_its_descriptor),
		cmocka_unit_test(long_step_names_are_cut),
		cmocka_unit_test(child_that_dies_without_a_word_is_no_report),
		cmocka_unit_test(report_is_written_at_once),
		cmocka_unit_test(reports_arrive_one_by_one),
		cmocka_unit_test(report_of_another_size_is_an_error),
		cmocka_unit_test(reading_from_nothing_is_an_error),
		cmocka_unit_test(gate_opens_with_a_byte_and_not_without),
		cmocka_unit_test(detached_child_inherits_no_signals_and_cannot_be_read),
		cmocka_unit_test(child_dies_with_its_keeper),
		cmocka_unit_test(keeper_that_has_died_before_is_noticed),
		cmocka_unit_test(host_identity_is_left_behind),
		cmocka_unit_test(leaving_without_privilege_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
