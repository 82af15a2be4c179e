/* SPDX-License-Identifier: Apache-2.0 */
/* A proc file system of one's own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/procfs.h"

static int open_it(void)
{
	struct err e = { 0 };
	int fd = -1;

	if (procfs_open(&fd, &e) < 0)
		fail_msg("%s", e.msg);
	return fd;
}

static void it_shows_our_processes(void **state)
{
	auto_fd procfs = open_it();
	char link[16] = "", pid[16];

	(void)state;
	assert_true(readlinkat(procfs, "self", link, sizeof(link) - 1) > 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_string_equal(link, pid);
}

static void nobody_else_uses_it(void **state)
{
	auto_fd one = open_it(), other = open_it();
	struct stat a, b, host;

	(void)state;
	assert_int_equal(fstat(one, &a), 0);
	assert_int_equal(fstat(other, &b), 0);
	assert_int_equal(stat("/proc", &host), 0);
	assert_true(a.st_dev != b.st_dev);
	assert_true(a.st_dev != host.st_dev);
}

static void it_is_mounted_nowhere_and_closed_on_exec(void **state)
{
	auto_fd procfs = open_it();
	char path[64], target[64] = "";

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", procfs);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/");
	assert_int_equal(fcntl(procfs, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_shows_our_processes),
		cmocka_unit_test(nobody_else_uses_it),
		cmocka_unit_test(it_is_mounted_nowhere_and_closed_on_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
