/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what mounts in a child with a mount namespace of its own. */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Where the child works: a tmpfs of its own over a directory that every machine has. */
#define PLACE "/tmp"

/* The body's umask is 0, as is that of whoever builds a root. */
static inline void in_mounts(void (*body)(int place))
{
	const char *must_run = getenv("MUST_RUN");
	int status = 0;
	pid_t pid;

	if (geteuid() != 0) {
		if (must_run && !strcmp(must_run, "1"))
			fail_msg("needs root");
		print_message("skipped: needs root\n");
		skip();
	}
	pid = fork();
	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		umask(0);
		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
		assert_int_equal(mount("unit", PLACE, "tmpfs", 0, "size=1m"), 0);
		body(open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
