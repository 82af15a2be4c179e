/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what needs namespaces of its own in a child that has them. */
#pragma once

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static inline void skip_unless_root(void)
{
	const char *must_run = getenv("MUST_RUN");

	if (geteuid() == 0)
		return;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs root");
	print_message("skipped: needs root\n");
	skip();
}

/* Returns in a child: who makes a pid namespace is not in it. */
static inline void go_on_as_init(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		return;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	_exit(status == 0 ? 0 : 1);
}

/* `spaces` are CLONE_NEW… What is mounted in a mount namespace stays in it; in a pid
 * namespace, the body is PID 1. What it changes in memory is gone afterwards. */
static inline void in_namespaces(int spaces, void (*body)(void *context), void *context)
{
	int status = 0;
	pid_t pid;

	skip_unless_root();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(60);
		assert_int_equal(unshare(spaces), 0);
		if (spaces & CLONE_NEWNS)
			assert_int_equal(
				mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
		if (spaces & CLONE_NEWPID)
			go_on_as_init();
		body(context);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
