/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/aborts.h"

/* A directory of its own for the group. */
static char dir_path[64];
static int dir = -1;

static int make_dir(void **state)
{
	(void)state;
	if (str_format(dir_path, sizeof(dir_path), "/tmp/test_base_fd.XXXXXX") < 0 ||
	    !mkdtemp(dir_path))
		return -1;
	dir = open(dir_path, O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
	(void)state;
	fd_close(&dir);
	return rmdir(dir_path);
}

/* Every case works on the one name "file". */
static int remove_file(void **state)
{
	(void)state;
	return unlinkat(dir, "file", 0) == 0 || errno == ENOENT ? 0 : -1;
}

static void make_file(const void *data, size_t size)
{
	auto_fd fd = openat(dir, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
}

static int open_any(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void close_closes_and_marks_it_empty(void **state)
{
	int fd = open_any(), number = fd;

	(void)state;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_false(is_open(number));
}

static void close_is_harmless_when_empty(void **state)
{
	int fd = -1;

	(void)state;
	fd_close(&fd);
	fd_close(&fd);
	assert_int_equal(fd, -1);
}

static void close_keeps_errno_even_if_it_fails(void **state)
{
	int fd = open_any(), closed = fd;

	(void)state;
	errno = EXDEV;
	fd_close(&fd);
	assert_int_equal(errno, EXDEV);
	fd_close(&closed);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(closed, -1);
}

static void take_moves_the_descriptor_out(void **state)
{
	int fd = open_any(), number = fd;
	int taken = fd_take(&fd);

	(void)state;
	assert_int_equal(taken, number);
	assert_int_equal(fd, -1);
	assert_true(is_open(taken));
	fd_close(&taken);
}

static int number_after_scope(bool keep, int *ret_kept)
{
	auto_fd fd = open_any();
	int number = fd;

	*ret_kept = keep ? fd_take(&fd) : -1;
	errno = EXDEV;
	return number;
}

static void scope_closes_its_descriptor_and_keeps_errno(void **state)
{
	int kept, number = number_after_scope(false, &kept);

	(void)state;
	assert_int_equal(errno, EXDEV);
	assert_false(is_open(number));
}

static void scope_leaves_a_taken_descriptor_open(void **state)
{
	int kept, number = number_after_scope(true, &kept);

	(void)state;
	assert_int_equal(kept, number);
	assert_true(is_open(kept));
	fd_close(&kept);
}

static void scope_frees_memory_and_accepts_null(void **state)
{
	(void)state;
	/* A leak is seen by the sanitizer. */
	{
		auto_free char *full = strdup("x");
		auto_free char *empty = NULL;

		assert_non_null(full);
		assert_null(empty);
	}
}

static void read_at_returns_the_text_and_its_length(void **state)
{
	char buf[16];

	(void)state;
	memset(buf, '#', sizeof(buf));
	make_file("abc", 3);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 3);
	assert_string_equal(buf, "abc");
}

static void read_at_cuts_one_final_newline(void **state)
{
	char buf[16];

	(void)state;
	make_file("a\nb\n\n", 5);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 4);
	assert_string_equal(buf, "a\nb\n");
}

static void read_at_gives_empty_text_for_an_empty_file(void **state)
{
	char buf[1] = { '#' };

	(void)state;
	make_file("", 0);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
}

static void read_at_gives_empty_text_for_a_lone_newline(void **state)
{
	char buf[4];

	(void)state;
	make_file("\n", 1);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
}

static void read_at_keeps_bytes_behind_a_nul(void **state)
{
	char buf[8];

	(void)state;
	make_file("a\0b", 3);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "a\0b", 4);
}

static void read_at_fills_the_buffer_to_its_last_byte(void **state)
{
	char buf[4];

	(void)state;
	make_file("abc", 3);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 3);
	assert_string_equal(buf, "abc");
}

static void read_at_refuses_a_file_that_does_not_fit(void **state)
{
	char buf[8] = "#######";

	(void)state;
	make_file("abcd", 4);
	assert_int_equal(fd_read_at(dir, "file", buf, 4), -EFBIG);
	assert_int_equal(fd_read_at(dir, "file", buf, 1), -EFBIG);
	assert_string_equal(buf + 4, "###");
	assert_int_equal(fd_read_at(dir, "file", buf, 5), 4);
}

static void read_into_nothing(void)
{
	char buf[1];

	err_ignore(fd_read_at(AT_FDCWD, "/dev/null", buf, 0) < 0);
}

static void read_at_refuses_a_buffer_of_no_size(void **state)
{
	(void)state;
	assert_true(aborts(read_into_nothing));
}

static void read_at_returns_what_open_says(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(fd_read_at(dir, "absent", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(fd_read_at(-1, "file", buf, sizeof(buf)), -EBADF);
}

static void read_at_returns_what_read_says(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(fd_read_at(dir, ".", buf, sizeof(buf)), -EISDIR);
}

static void read_at_refuses_a_symbolic_link(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(symlinkat("/dev/null", dir, "file"), 0);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), -ELOOP);
}

/* E-42: what somebody has put in a file's place. */
static void read_at_does_not_wait_for_a_fifo(void **state)
{
	char buf[16];

	(void)state;
	assert_int_equal(mkfifoat(dir, "file", 0600), 0);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
}

static void read_at_leaves_no_descriptor(void **state)
{
	char buf[4];
	int before = open_any(), after;

	(void)state;
	fd_close(&before);
	before = open_any();
	make_file("abcdef", 6);
	err_ignore(fd_read_at(dir, "file", buf, sizeof(buf)) < 0);
	err_ignore(fd_read_at(dir, ".", buf, sizeof(buf)) < 0);
	err_ignore(fd_write_at(dir, "file", "x") < 0);
	after = open_any();
	assert_int_equal(after, before + 1);
	fd_close(&before);
	fd_close(&after);
}

static void write_at_writes_the_text_without_its_nul(void **state)
{
	char buf[8];

	(void)state;
	make_file("", 0);
	assert_int_equal(fd_write_at(dir, "file", "max"), 0);
	assert_int_equal(fd_read_at(dir, "file", buf, sizeof(buf)), 3);
	assert_string_equal(buf, "max");
}

static void write_at_creates_nothing(void **state)
{
	(void)state;
	assert_int_equal(fd_write_at(dir, "file", "x"), -ENOENT);
	assert_int_equal(faccessat(dir, "file", F_OK, 0), -1);
}

static void write_at_refuses_a_symbolic_link(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("/dev/null", dir, "file"), 0);
	assert_int_equal(fd_write_at(dir, "file", "x"), -ELOOP);
}

static void write_at_returns_what_write_says(void **state)
{
	(void)state;
	assert_int_equal(fd_write_at(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
	assert_int_equal(fd_write_at(dir, ".", "x"), -EISDIR);
}

static void write_at_calls_a_short_write_an_error(void **state)
{
	struct rlimit old, small;
	int r;

	(void)state;
	make_file("", 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 4, .rlim_max = old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = fd_write_at(dir, "file", "123456");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(r, -EIO);
}

static void write_all_accepts_nothing_to_write(void **state)
{
	(void)state;
	assert_int_equal(fd_write_all(-1, "", 0), 0);
}

static void write_all_returns_what_write_says(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fd_close(&fds[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(fd_write_all(fds[1], "x", 1), -EPIPE);
	signal(SIGPIPE, SIG_DFL);
	fd_close(&fds[1]);
}

static void on_alarm(int signo)
{
	(void)signo;
}

/* Signals without SA_RESTART make write() short or fail with EINTR. */
static void interrupt_every_ms(bool on)
{
	struct sigaction action = { .sa_handler = on ? on_alarm : SIG_DFL };
	struct itimerval timer = { 0 };

	if (on)
		timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000;
	else
		assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	if (on)
		assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

enum { BULK = 300000 };

/* The other end: late and slow. Exits with 0 if it saw all bytes in order. */
static void read_bulk(int fd)
{
	unsigned char buf[5000];
	size_t seen = 0;
	ssize_t n;

	usleep(10000);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, seen++) {
			if (buf[i] != seen % 251)
				_exit(1);
		}
		usleep(200);
	}
	_exit(seen == BULK ? 0 : 2);
}

static void write_all_goes_on_after_signals_and_short_writes(void **state)
{
	auto_free unsigned char *data = malloc(BULK);
	int fds[2], status, r;
	pid_t pid;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < BULK; i++)
		data[i] = (unsigned char)(i % 251);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fd_close(&fds[1]);
		read_bulk(fds[0]);
	}
	fd_close(&fds[0]);
	interrupt_every_ms(true);
	r = fd_write_all(fds[1], data, BULK);
	interrupt_every_ms(false);
	fd_close(&fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(r, 0);
	assert_int_equal(status, 0);
}

static void same_file_knows_two_descriptors_of_one_file(void **state)
{
	auto_fd a = open_any();
	auto_fd b = open("/dev/null", O_PATH | O_CLOEXEC);

	(void)state;
	assert_true(fd_same_file(a, b));
	assert_true(fd_same_file(a, a));
}

static void same_file_tells_files_apart(void **state)
{
	auto_fd null = open_any();
	auto_fd zero = open("/dev/zero", O_PATH | O_CLOEXEC);

	(void)state;
	assert_false(fd_same_file(null, zero));
	assert_false(fd_same_file(null, dir));
}

static void same_file_says_no_without_a_descriptor(void **state)
{
	auto_fd fd = open_any();

	(void)state;
	assert_false(fd_same_file(-1, fd));
	assert_false(fd_same_file(fd, -1));
	assert_false(fd_same_file(-1, -1));
}

#define with_file(test) cmocka_unit_test_teardown(test, remove_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_closes_and_marks_it_empty),
		cmocka_unit_test(close_is_harmless_when_empty),
		cmocka_unit_test(close_keeps_errno_even_if_it_fails),
		cmocka_unit_test(take_moves_the_descriptor_out),
		cmocka_unit_test(scope_closes_its_descriptor_and_keeps_errno),
		cmocka_unit_test(scope_leaves_a_taken_descriptor_open),
		cmocka_unit_test(scope_frees_memory_and_accepts_null),
		with_file(read_at_returns_the_text_and_its_length),
		with_file(read_at_cuts_one_final_newline),
		with_file(read_at_gives_empty_text_for_an_empty_file),
		with_file(read_at_gives_empty_text_for_a_lone_newline),
		with_file(read_at_keeps_bytes_behind_a_nul),
		with_file(read_at_fills_the_buffer_to_its_last_byte),
		with_file(read_at_refuses_a_file_that_does_not_fit),
		cmocka_unit_test(read_at_refuses_a_buffer_of_no_size),
		cmocka_unit_test(read_at_returns_what_open_says),
		cmocka_unit_test(read_at_returns_what_read_says),
		with_file(read_at_refuses_a_symbolic_link),
		with_file(read_at_does_not_wait_for_a_fifo),
		with_file(read_at_leaves_no_descriptor),
		with_file(write_at_writes_the_text_without_its_nul),
		with_file(write_at_creates_nothing),
		with_file(write_at_refuses_a_symbolic_link),
		cmocka_unit_test(write_at_returns_what_write_says),
		with_file(write_at_calls_a_short_write_an_error),
		cmocka_unit_test(write_all_accepts_nothing_to_write),
		cmocka_unit_test(write_all_returns_what_write_says),
		cmocka_unit_test(write_all_goes_on_after_signals_and_short_writes),
		cmocka_unit_test(same_file_knows_two_descriptors_of_one_file),
		cmocka_unit_test(same_file_tells_files_apart),
		cmocka_unit_test(same_file_says_no_without_a_descriptor),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
