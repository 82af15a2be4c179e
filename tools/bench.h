/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the bench share: its state and the lines of its table. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "runtime/runtime.h"
#include "tools/floor.h"

/*
 * Theory of operation
 *
 * All contestants run in turn, round after round, so that whatever else the machine does
 * hits them alike; what is compared are medians. A contestant that this host lacks or
 * that does not run here keeps its line, with the reason. Whole processes are spawned
 * from here; what happens inside the start is timed in a fresh child each time.
 *
 * All of it happens in a network namespace of the bench's own, where the loopback
 * interface plays the uplink: nothing is sent.
 *
 *	bench.c		options, rounds, inside the start, what is made and cleaned up
 *	bench_process.c	whole processes: carrel and its peers
 *	bench_report.c	medians, ratios, targets: the table or JSON
 */

enum {
	BENCH_REASON_MAX = 100,
	BENCH_PATH_MAX = 128,
};

/* One line of the table. */
enum bench_row {
	BENCH_CARREL,
	BENCH_EGRESS,
	BENCH_BWRAP,
	BENCH_RUNC,
	BENCH_CRUN,
	BENCH_EXEC,
	BENCH_LIBRARY,
	BENCH_FLOOR,
	BENCH_EGRESS_LIBRARY,
	BENCH_EGRESS_FLOOR,
	BENCH_PREPARE,
	BENCH_START,
	BENCH_EXECUTED,
	BENCH_WAIT,
	BENCH_DESTROY,
	BENCH_ROW_MAX,
};

struct bench {
	unsigned rounds; /* asked for */
	unsigned count; /* samples of each row so far */
	bool json;
	const char *carrel; /* the program */
	struct runtime_config config;
	struct floor floor;
	sigset_t inherited; /* signal mask of whatever is spawned */
	int null, messages; /* /dev/null; a file for what commands say */
	char id[32]; /* names of cgroups and containers */
	char scratch[BENCH_PATH_MAX], state_dir[BENCH_PATH_MAX]; /* directories of ours */
	char conf[BENCH_PATH_MAX]; /* below scratch, as the next three */
	char bundle[BENCH_PATH_MAX];
	char runc_root[BENCH_PATH_MAX], crun_root[BENCH_PATH_MAX];
	char absent[BENCH_ROW_MAX]
		   [BENCH_REASON_MAX]; /* why a row is empty; "": it is not */
	uint64_t *samples[BENCH_ROW_MAX]; /* nanoseconds */
	uint64_t *shared; /* BENCH_ROW_MAX results of a measuring child */
};

/* Monotonic. */
static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Runs the row's command once. −ENOENT when it is not installed, −ECHILD when it fails;
 * the error is what the table shall say. */
must_check int bench_run_process(struct bench *b, enum bench_row row, uint64_t *ret_ns,
				 struct err *e);

/* Makes what the peers need, below b->scratch. */
must_check int bench_make_bundle(const struct bench *b, struct err *e);

/* Sorts the samples and prints everything. */
void bench_report(struct bench *b);

/* The row's name in the table. */
const char *bench_row_name(enum bench_row row);
