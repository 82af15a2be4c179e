/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal in raw mode, and the bytes between it and the sandbox's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "base/err.h"

enum { TERMINAL_BUFFER = 4096 }; /* PIPE_BUF: after POLLOUT, a pipe takes it whole */

/* Bytes on their way from one descriptor to another. */
struct terminal_flow {
	int from, to;
	char data[TERMINAL_BUFFER];
	size_t start, end;
	bool closed; /* `from` has ended or failed */
};

/* The caller's terminal (descriptor 0, output to 1) and the master of the sandbox's. */
struct terminal {
	int master; /* −1: none */
	int screen; /* descriptor 1, or the same terminal opened again without blocking */
	bool raw;
	struct termios saved;
	struct terminal_flow in, out;
};

#define TERMINAL_NONE ((struct terminal){ .master = -1, .screen = -1 })

/* Switches descriptor 0 to raw mode and passes its window size on. Takes `master`.
 * −ENOTTY when descriptor 0 is no terminal. */
must_check int terminal_start(struct terminal *t, int master, struct err *e);

/* Passes the window size of descriptor 0 on to the sandbox's terminal. */
void terminal_resize(const struct terminal *t);

/* poll(2) events by descriptor; 0: none. */
struct terminal_events {
	short master, in, screen;
};

/* What is worth waiting for. */
struct terminal_events terminal_wanted(const struct terminal *t);

/* Moves what these events allow, without blocking. */
void terminal_pump(struct terminal *t, struct terminal_events got);

/* Writes what the sandbox's terminal still holds, once nobody writes to it any more.
 * Gives up on a screen that takes nothing for a second. */
void terminal_drain(struct terminal *t);

/* Restores the caller's terminal and closes the master. Harmless on TERMINAL_NONE. */
void terminal_stop(struct terminal *t);
