/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's privileged process: it alone acts, and believes nobody. */
#pragma once

#include "runtime/access.h"
#include "runtime/runtime.h"

/*
 * Theory of operation
 *
 *	client ── Varlink ──▶ front (per uid, confined)
 *	                        │ records of fixed size (wire.h)
 *	                        ▼
 *	                      broker (root) ── decides by the pool (pool.h)
 *	                        │ orders (worker.h)
 *	                        ▼
 *	                      workers (root): build, exec, remove …
 *
 * The broker takes connections, looks at the peer's uid, and hands them to the front of
 * that uid. No byte from a client is read here. It has one thread and waits for nothing
 * but its event loop.
 *
 *	broker.c		the loop, signals, answers, events
 *	fronts.c		connections, and the fronts that speak with them
 *	requests.c		what fronts ask for
 *	requests_look.c		that part of it which changes nothing
 *	documents.c		lists, as JSON
 *	boxes.c			sandboxes: what the pool has it do with them
 *	boxes_adopt.c		what an earlier daemon has left
 *	spares.c		sandboxes that are nobody's yet
 *	execs.c			commands
 *	execs_strings.c		their arguments and environment
 */

struct broker_settings {
	const struct runtime_config *config;
	struct access *access; /* the broker frees it, and what reload() puts there */
	int listener; /* listening socket; owned by the caller */
	/* Reads the configuration anew (SIGHUP). *ret is the broker's. */
	int (*reload)(void *context, struct access **ret, struct err *e);
	/* Told when clients are served, and when the end begins. */
	void (*ready)(void *context, unsigned adopted);
	void (*stopping)(void *context);
	/* Called every alive_ms (0: never) by the event loop itself: if it hangs, so
	 * does this. */
	void (*alive)(void *context);
	uint64_t alive_ms;
	void *context;
};

/* Serves until SIGTERM or SIGINT. Takes in what an earlier daemon with the same state
 * directory has left. Sandboxes live on afterwards, unless the configuration says
 * otherwise; commands do not. */
must_check int broker_run(const struct broker_settings *settings, struct err *e);
