/* SPDX-License-Identifier: Apache-2.0 */
/* An owned child process: the scope that made it ends and reaps it. */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

/* A child that has not been waited for. pid 0: none. */
struct process {
	pid_t pid;
	int pidfd; /* close-on-exec */
};

#define PROCESS_NONE ((struct process){ .pid = 0, .pidfd = -1 })

/* Sends SIGKILL, waits, closes. Harmless on PROCESS_NONE. Keeps errno. */
void process_end(struct process *p);

/* Waits for the child and forgets it; the pidfd is closed. Both results may be NULL. */
must_check int process_wait(struct process *p, int *ret_status, struct rusage *ret_usage,
			    struct err *e);

/* A child ended at the end of its scope unless process_take() moved it out. */
#define auto_process __attribute__((cleanup(process_end))) struct process

/* Moves the child out of *p, which becomes PROCESS_NONE. */
static inline struct process process_take(struct process *p)
{
	struct process taken = *p;

	*p = PROCESS_NONE;
	return taken;
}
