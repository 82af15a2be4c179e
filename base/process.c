/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/process.h"

int process_wait(struct process *p, int *ret_status, struct rusage *ret_usage,
		 struct err *e)
{
	int status;
	struct rusage usage;
	pid_t pid;

	/* wait4() would take 0 and −1 for any child. */
	bug_on(p->pid <= 0);
	do {
		pid = wait4(p->pid, &status, __WALL, &usage);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return err_set(e, errno, "wait for process %d", (int)p->pid);
	fd_close(&p->pidfd);
	p->pid = 0;
	if (ret_status)
		*ret_status = status;
	if (ret_usage)
		*ret_usage = usage;
	return 0;
}

void process_end(struct process *p)
{
	int saved = errno;
	struct err e;

	if (p->pid > 0) {
		/* By number only where there is no descriptor: as long as the child is
		 * not waited for, nobody else has its number. */
		if (p->pidfd < 0 || pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0) < 0)
			kill(p->pid, SIGKILL);
		err_ignore(process_wait(p, NULL, NULL, &e));
	}
	fd_close(&p->pidfd);
	*p = PROCESS_NONE;
	errno = saved;
}
