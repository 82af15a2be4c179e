/* SPDX-License-Identifier: Apache-2.0 */
/* Proves in a child process that a wrong program is stopped by bug_on(). */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does a call of body end the process with the signal of __builtin_trap()? */
static inline bool aborts(void (*body)(void))
{
	const struct rlimit no_core = { 0, 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* cmocka catches the signal and would go on with the next case. */
		signal(SIGILL, SIG_DFL);
		signal(SIGTRAP, SIG_DFL);
		setrlimit(RLIMIT_CORE, &no_core);
		body();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	return WIFSIGNALED(status) &&
	       (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP);
}
