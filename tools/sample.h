/* SPDX-License-Identifier: Apache-2.0 */
/* What sandboxes use, from two looks at their counters. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "tools/human.h"

enum { SAMPLE_NAME_MAX = 128 };

/* One sandbox at one moment. */
struct sample {
	char name[SAMPLE_NAME_MAX + 1];
	uint64_t cpu_usage_us;
	uint64_t cpu_milli_percent; /* since the look before; 0 without one */
	uint64_t memory, memory_limit, pids, pids_limit, rx_bytes, tx_bytes, execs;
};

/* All of one look. */
struct samples {
	struct sample *list; /* owned */
	size_t count;
	int64_t taken_us; /* CLOCK_MONOTONIC */
};

/* Takes a reply to Stats, and from `before` (NULL: none) the rates. *ret is for
 * samples_free(). */
must_check int samples_read(const json_t *reply, const struct samples *before,
			    int64_t now_us, struct samples *ret, struct err *e);
void samples_free(struct samples *s);

/* Microseconds of CLOCK_MONOTONIC. */
int64_t samples_now(void);

/* A sample as people read it. */
struct sample_text {
	char cpu[HUMAN_MAX]; /* "12.3%" */
	char memory[2 * HUMAN_MAX]; /* "12.3MiB / 512MiB" */
	char memory_percent[HUMAN_MAX];
	char network[2 * HUMAN_MAX]; /* "1KiB / 2KiB" */
	char pids[HUMAN_MAX], execs[HUMAN_MAX];
};

/* Writes all texts of a sample. */
void sample_format(const struct sample *sample, struct sample_text *ret);

/* Prints all of them as a table with docker's heads. */
must_check int samples_print(const struct samples *s, struct err *e);
