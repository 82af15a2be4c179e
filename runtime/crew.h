/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's workers: orders go to whoever is free, and wait where nobody is. */
#pragma once

#include "runtime/loop.h"
#include "runtime/worker.h"

struct crew;

/* Called once for each order, never by crew_order() itself, with descriptors that are the
 * callee's to close. result->code is −ETIMEDOUT or −ECHILD where the worker did not come
 * to an answer, and −EAGAIN where no worker could be had. */
typedef void (*crew_done)(void *context, const struct worker_result *result, int *fds,
			  unsigned count);

/* Both outlive the crew. */
must_check int crew_new(struct loop *loop, const struct runtime_config *config,
			const struct access *access, struct crew **ret, struct err *e);

/* Kills the workers; nothing is called back any more. */
void crew_free(struct crew *crew);

/* Puts an order into the queue. The resident's descriptors are added before `fds`, and
 * stay the caller's as `fds` do (copies are kept). Commands come before everything else,
 * builds at most as many at a time as there are processors, not counting those that have
 * taken a second (they wait for a file system); who has as many of these gets no more.
 * Among builds it is the turn of who has the fewest under way. One client's orders never
 * have all workers. */
must_check int crew_order(struct crew *crew, const struct worker_order *order,
			  const int *fds, unsigned count, crew_done done, void *context,
			  struct err *e);

/* After a change of what they know of (configuration): those that are idle end now, the
 * others after their order. */
void crew_renew(struct crew *crew, const struct access *access);
/* Is nothing under way, and nothing waiting? */
bool crew_is_idle(const struct crew *crew);

/* Is a build under way, or waiting? */
bool crew_is_building(const struct crew *crew);

/* Waits for those that have ended: after SIGCHLD. */
void crew_reap(struct crew *crew);
