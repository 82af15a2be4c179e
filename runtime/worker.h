/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's hands: processes that do what can take long. */
#pragma once

#include <stdnoreturn.h>

#include "runtime/access.h"
#include "runtime/resident.h"

/*
 * Theory of operation
 *
 * A worker is forked from the broker, with its memory and as root, before there is
 * anything for it to do. It takes one order at a time from a socket pair, does it, and
 * answers. What a sandbox's user can slow down or stop (a throttled group, a workspace
 * that hangs) is done here, so that the broker itself never waits.
 *
 * Whatever a worker clones (PID 1, commands) is the broker's child. A worker dies with
 * the broker, and is killed when an order takes too long: what it was about to make is
 * found by its record and removed.
 */

enum {
	WORKER_FDS_MAX = WIRE_CARRY_MAX,
	WORKER_TIDY_MAX = 64, /* numbers in an order: bits of `those` */
};

enum worker_type {
	WORKER_BUILD, /* ensure, client, slot out; descriptor: the label */
	WORKER_EXEC, /* resident, exec, exec_id, next_id; descriptors: strings, then stdio
		      */
	WORKER_BIND, /* resident (a spare), ensure, client; descriptor: the label */
	WORKER_TIDY, /* resident, first, those: of commands that have ended */
	WORKER_REMOVE, /* slot (UINT32_MAX: groups alone), resident.id */
	WORKER_FREEZE, /* resident */
	WORKER_THAW, /* resident */
	WORKER_RECLAIM, /* resident */
	WORKER_INSPECT, /* resident; descriptor out: the JSON object */
	WORKER_TYPE_MAX,
};

struct worker_order {
	enum worker_type type;
	uint32_t slot;
	uid_t client;
	/* Its descriptors come before all others, in the order of worker_resident_fds().
	 */
	struct resident resident;
	char exec_id[WIRE_EXEC_MAX + 1];
	struct wire_ensure ensure; /* completed */
	bool prepared; /* EXEC: the groups may be there */
	/* EXEC: the command to come, whose groups are made while this one runs; "": none.
	 */
	char next_id[WIRE_EXEC_MAX + 1];
	/* TIDY: the ids that have the numbers first + n, for each bit n. */
	uint64_t first, those;
	struct wire_exec exec; /* completed; env_count: of the whole environment */
};

struct worker_result {
	int code; /* 0 or −errno, with err */
	int status; /* EXEC that failed: 125, 126 or 127 */
	uint32_t slot; /* of BUILD */
	pid_t pid; /* of EXEC: the main process; descriptors: pidfd, cgroup, then as said
		    */
	bool oom, master; /* a descriptor of that kind follows */
	uint64_t gone; /* of TIDY: those whose groups are */
	uint64_t at_ms; /* of EXEC: when it had exec'ed, CLOCK_MONOTONIC */
	struct err err;
};

/* Writes the id of the command that has this number in its sandbox. */
void worker_name_exec(char id[WIRE_EXEC_MAX + 1], uint64_t number);

/* Collects or puts back the descriptors of a resident: PID 1's pidfd, v2 group, those v1
 * groups that are there. Returns how many. */
unsigned worker_resident_fds(const struct resident *r, int *fds);
unsigned worker_put_resident_fds(struct resident *r, const int *fds);

/* The life of a worker. `sock` is its end of the pair; everything else is closed. */
noreturn void worker_main(int sock, const struct runtime_config *config,
			  const struct access *access);
