/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of pool-bench share: its state, its contests and who takes part. */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "base/err.h"
#include "tools/client.h"
#include "tools/floor.h"

/*
 * Theory of operation
 *
 * A contest takes one sample of each contestant a round, in another order each time, and
 * reports medians. Each contestant times what it is about and nothing of what it has to
 * prepare or to take down. The daemon is somebody else's (tools/bench-daemon's), and so
 * are its profiles: "default", "warm", which has spares, and "egress".
 *
 *	pool_bench.c		modes, the contest
 *	pool_bench_calls.c	what is asked of the daemon, through its socket
 *	pool_bench_process.c	whole processes, and the kernel's floor
 */

/* A sandbox that is there as long as a contest lasts. */
#define POOL_BENCH_KEPT "bench-kept"

struct pool_bench {
	struct client_link link;
	char host[160]; /* unix://SOCKET */
	unsigned made; /* sandboxes so far: each has a name of its own */
	int null; /* /dev/null */
	sigset_t inherited; /* signal mask of children */
	const char *carrel; /* the program; NULL: none */
	struct runtime_config config; /* of the floor */
	struct floor floor;
};

/* Takes one sample. */
struct contestant {
	const char *name;
	int (*run)(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
};

/* Nanoseconds, monotonic. */
uint64_t pool_bench_now(void);

/* --- requests */

/* Finds the sandbox or makes it. `profile` may be NULL: the client's first. */
must_check int pool_bench_ensure(struct pool_bench *b, const char *name,
				 const char *profile, struct err *e);
must_check int pool_bench_remove(struct pool_bench *b, const char *name, struct err *e);

/* Samples: requests to POOL_BENCH_KEPT, and to a sandbox that is made for it. */
must_check int pool_bench_exec(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_running(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_new(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_warm(struct pool_bench *b, uint64_t *ret_ns, struct err *e);

/* Samples: the same with a first command, without a network and with one. */
must_check int pool_bench_first(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_first_egress(struct pool_bench *b, uint64_t *ret_ns,
				       struct err *e);

/* --- processes */

/* Samples: /bin/true; `carrel exec` of it in POOL_BENCH_KEPT; the same program without
 * anything to do. */
must_check int pool_bench_plain(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_carrel_exec(struct pool_bench *b, uint64_t *ret_ns,
				      struct err *e);
must_check int pool_bench_carrel_alone(struct pool_bench *b, uint64_t *ret_ns,
				       struct err *e);

/* Looks at what the floor shall do; its files are below `state_dir`. Release with
 * pool_bench_floor_close(), also on failure. */
must_check int pool_bench_floor_open(struct pool_bench *b, const char *state_dir,
				     struct err *e);
void pool_bench_floor_close(struct pool_bench *b);

/* Samples: the floor, without a network and with one. */
must_check int pool_bench_floor(struct pool_bench *b, uint64_t *ret_ns, struct err *e);
must_check int pool_bench_floor_egress(struct pool_bench *b, uint64_t *ret_ns,
				       struct err *e);
