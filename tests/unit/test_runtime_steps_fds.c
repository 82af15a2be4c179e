/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors of steps.c: which ones a child keeps, and how it gets them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/steps.h"

static void in_child(void (*body)(void))
{
	int status = -1;
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
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void close_both(int *fds)
{
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void descriptors_cross_a_socket(void **state)
{
	struct err e = { 0 };
	int sockets[2], sent[2], received[2] = { -1, -1 };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(pipe2(sent, O_CLOEXEC), 0);
	assert_int_equal(steps_send_fds(sockets[0], sent, 2, &e), 0);
	assert_int_equal(steps_receive_fds(sockets[1], received, 2, &e), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(fd_same_file(sent[i], received[i]));
		assert_true(fcntl(received[i], F_GETFD) & FD_CLOEXEC);
	}
	close_both(sent);
	close_both(received);
	close_both(sockets);
}

static void fewer_descriptors_than_wanted_are_an_error(void **state)
{
	struct err e = { 0 };
	int sockets[2], received[2] = { -1, -1 };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(write(sockets[0], "x", 1), 1);
	assert_int_equal(steps_receive_fds(sockets[1], received, 2, &e), -EPROTO);
	assert_string_equal(e.msg, "carrel sent no descriptors");
	fd_close(&sockets[0]);
	assert_int_equal(steps_receive_fds(sockets[1], received, 2, &e), -EPROTO);
	assert_int_equal(received[0], -1);
	close_both(sockets);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Files on chosen numbers, told apart by their offsets. */
static void open_at(const int *numbers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		auto_fd fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		if (fd == numbers[i])
			fd_take(&fd);
		else
			assert_int_equal(dup2(fd, numbers[i]), numbers[i]);
		assert_int_equal(lseek(numbers[i], (off_t)i + 1, SEEK_SET), i + 1);
	}
}

static off_t mark_of(int fd)
{
	return lseek(fd, 0, SEEK_CUR);
}

static void keep_in_reverse(void)
{
	static const int numbers[] = { 90, 60, 5, 4, 3 };
	int a = 5, b = 3, c = 90, d = 4;
	int *const kept[] = { &a, &b, &c, &d };
	struct err e = { 0 };

	assert_int_equal(close_range(3, ~0U, 0), 0);
	open_at(numbers, 5);
	assert_int_equal(steps_keep_only(kept, 4, &e), 0);
	assert_int_equal(a, 3);
	assert_int_equal(b, 4);
	assert_int_equal(c, 5);
	assert_int_equal(d, 6);
	assert_int_equal(mark_of(a), 3);
	assert_int_equal(mark_of(b), 5);
	assert_int_equal(mark_of(c), 1);
	assert_int_equal(mark_of(d), 4);
	for (int fd = 3; fd < 7; fd++)
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	for (int fd = 7; fd < 200; fd++)
		assert_false(is_open(fd));
	assert_true(is_open(0) && is_open(1) && is_open(2));
}

static void kept_descriptors_are_moved_without_a_collision(void **state)
{
	(void)state;
	in_child(keep_in_reverse);
}

static void keep_nothing(void)
{
	static const int numbers[] = { 3, 4, 5, 77, 800 };
	struct err e = { 0 };

	assert_int_equal(close_range(3, ~0U, 0), 0);
	open_at(numbers, 5);
	assert_int_equal(steps_keep_only(NULL, 0, &e), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_false(is_open(numbers[i]));
	assert_true(is_open(2));
}

static void all_from_3_on_can_be_closed(void **state)
{
	(void)state;
	in_child(keep_nothing);
}

static void keep_with_holes(void)
{
	static const int numbers[] = { 3, 4, 5, 6, 7 };
	int a = -1, b = 7, c = -1;
	int *const kept[] = { &a, &b, &c };
	struct err e = { 0 };

	assert_int_equal(close_range(3, ~0U, 0), 0);
	open_at(numbers, 5);
	assert_int_equal(steps_keep_only(kept, 3, &e), 0);
	assert_int_equal(a, -1);
	assert_int_equal(c, -1);
	assert_int_equal(mark_of(b), 5);
	for (int fd = 3; fd < 20; fd++) {
		if (fd != b && is_open(fd))
			fail_msg("descriptor %d is open", fd);
	}
}

static void nothing_stays_open_where_an_empty_one_would_be(void **state)
{
	(void)state;
	in_child(keep_with_holes);
}

static void keep_a_closed_one(void)
{
	int a = 900;
	int *const kept[] = { &a };
	struct err e = { 0 };

	assert_int_equal(steps_keep_only(kept, 1, &e), -EBADF);
	assert_string_equal(e.msg, "move a descriptor: Bad file descriptor");
}

static void closed_descriptor_cannot_be_kept(void **state)
{
	(void)state;
	in_child(keep_a_closed_one);
}

static void keep_without_room(void)
{
	const struct rlimit few = { 20, 20 };
	int a = 2;
	int *const kept[] = { &a };
	struct err e = { 0 };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(steps_keep_only(kept, 1, &e), -EINVAL);
	assert_string_equal(e.msg, "move a descriptor: Invalid argument");
}

static void too_low_a_limit_is_reported(void **state)
{
	(void)state;
	in_child(keep_without_room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_cross_a_socket),
		cmocka_unit_test(fewer_descriptors_than_wanted_are_an_error),
		cmocka_unit_test(kept_descriptors_are_moved_without_a_collision),
		cmocka_unit_test(all_from_3_on_can_be_closed),
		cmocka_unit_test(nothing_stays_open_where_an_empty_one_would_be),
		cmocka_unit_test(closed_descriptor_cannot_be_kept),
		cmocka_unit_test(too_low_a_limit_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
