/* SPDX-License-Identifier: Apache-2.0 */
/* Staying with a command that carreld runs: streams, terminal, signals, result. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "tools/client.h"

/* How to stay with it. */
struct attach {
	const char *host; /* for a second connection, over which signals go */
	const char *name; /* of the sandbox */
	bool interactive; /* standard input is the caller's; otherwise empty */
	bool terminal; /* of the sandbox's own */
	bool streams; /* carreld carries the bytes, and may count them */
};

/* How it ended. */
struct attach_end {
	json_t *result; /* as in the interface; NULL: carrel itself was ended first */
	int signal; /* which then ended it */
};

/* Runs Exec with the parameters (taken) and returns when the command has ended. Blocks
 * the signals that are passed on to it. The descriptors 0, 1 and 2 are passed to the
 * command, unless it has a terminal, `streams` is set, or one of them is of a kind that
 * carreld refuses. Must be the last use of the connection: a signal that comes before the
 * command has started ends with the connection, which cancels it. On success *ret is for
 * attach_end_free(). */
must_check int attach_exec(struct client_link *c, const struct attach *how,
			   json_t *parameters, struct attach_end *ret, struct err *e);
void attach_end_free(struct attach_end *end);

/* Writes the result as JSON, a line each, to those of the descriptors that are not −1.
 * Nothing when carrel itself was ended. */
must_check int attach_write_results(const struct attach_end *end, int file, int fd,
				    struct err *e);

/* The exit status for it, and a line on standard error for what is not obvious. */
int attach_status(const struct attach_end *end, const char *verb);
