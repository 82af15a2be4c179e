/* SPDX-License-Identifier: Apache-2.0 */
/* What the probes of several tables share. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "runtime/probe.h"

int probe_spawn(int (*fn)(void *context), void *context, struct process *ret,
		struct err *e)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return err_set(e, errno, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (getppid() != parent)
			_exit(ESRCH);
		_exit(fn(context));
	}
	*ret = (struct process){ .pid = pid, .pidfd = -1 };
	return 0;
}

int probe_call(int (*fn)(void *context), void *context, const char *what, struct err *e)
{
	auto_process child = PROCESS_NONE;
	int status = 0;
	int r = probe_spawn(fn, context, &child, e);

	if (r == 0)
		r = process_wait(&child, &status, NULL, e);
	if (r < 0)
		return r;
	if (WIFSIGNALED(status))
		return err_say(e, ECHILD, "%s: ended with signal %d", what,
			       WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_set(e, WEXITSTATUS(status), "%s", what);
	return 0;
}

int probe_pause(void *context)
{
	(void)context;
	for (;;)
		pause();
}

int probe_number(const struct probe *self, const struct runtime_config *config,
		 struct str *found, struct err *e)
{
	char text[64];
	uint64_t value;
	ssize_t n = fd_read_at(AT_FDCWD, self->file, text, sizeof(text));

	(void)config;
	if (n == -ENOENT && self->absent)
		return err_say(e, ENOENT, "absent: %s", self->absent);
	if (n == -ENOENT) {
		str_add(found, "absent: nothing to restrict");
		return 0;
	}
	if (n < 0)
		return err_set(e, (int)-n, "read %s", self->file);
	/* A negative one (perf_event_paranoid -1) is the least safe of all. */
	if (text[0] == '-' || num_parse(text, self->least, self->most, &value) < 0)
		return err_say(e, ERANGE, "%s", text);
	str_add(found, "%" PRIu64, value);
	return 0;
}
