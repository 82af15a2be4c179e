/* SPDX-License-Identifier: Apache-2.0 */
/* Between clone and exec: a walk through named steps, and word of it to the keeper. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "base/err.h"

/* One thing that a child does on its way to exec. */
struct step {
	const char *name; /* what the user reads when it fails */
	int (*run)(void *context, struct err *e);
};

enum report_type {
	REPORT_NONE, /* end of file: exec'ed, or died without a word */
	REPORT_FAILED, /* followed by the child's death */
};

/* What a child writes to its pipe, in one write below PIPE_BUF. */
struct report {
	enum report_type type;
	char step[32];
	struct err err;
};

/* Walks through the steps, which end with one that execs. Returns when one has failed,
 * with *ret saying which and why. Must not allocate, log or lock. */
void steps_run(const struct step *steps, void *context, struct report *ret);

/* The same for a process of its own: reports the failure to *report_fd (a step may move
 * it) and exits. */
noreturn void steps_walk(const struct step *steps, void *context, const int *report_fd);

enum {
	STEPS_FDS_MAX = 8, /* in one message */
	STEPS_GIVEN_MAX = 32,
};

/* Sends descriptors over a socket pair, and takes exactly as many out of it,
 * close-on-exec. */
must_check int steps_send_fds(int sock, const int *fds, unsigned count, struct err *e);
must_check int steps_receive_fds(int sock, int *fds, unsigned count, struct err *e);

/* Waits for one byte from carrel-init. −ESRCH when it has gone instead. */
must_check int steps_wait_at_gate(int gate, struct err *e);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t steps_now_ms(void);

/* Waits for the next report. */
must_check int steps_read_report(int fd, struct report *ret, struct err *e);

/* Undoes what a child inherits of the keeper and its caller: signal mask, handlers and
 * ignored signals, umask. From then on its memory cannot be read. */
must_check int steps_detach_from_keeper(mode_t mask, struct err *e);

/* Has the kernel kill this process when its parent dies, and makes sure that it has not
 * done so already: a change of credentials disarms the signal. `lifeline` is the read end
 * of a pipe whose write end only the parent has, or the parent's pidfd. */
must_check int steps_die_with_keeper(int lifeline, struct err *e);

/* Only looks whether the keeper is still there. −ESRCH: it is not. */
must_check int steps_check_keeper(int lifeline, struct err *e);

/* Moves the descriptors to 3, 4, … and closes all others from 3 on. The pointers are
 * updated; −1 stays −1. What remains is close-on-exec. */
must_check int steps_keep_only(int *const *fds, unsigned count, struct err *e);

/* The same behind `given`, which become 0, 1, 2, … and stay open at exec. At most
 * STEPS_GIVEN_MAX. */
must_check int steps_give_fds(const int *given, unsigned given_count, int *const *fds,
			      unsigned count, struct err *e);

/* Leaves the supplementary groups, gets an empty session keyring, and offers itself to
 * the out-of-memory killer before anything of the host (E-27, R-08). */
must_check int steps_leave_host_identity(struct err *e);
