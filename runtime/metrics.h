/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon counts, as text that Prometheus reads. */
#pragma once

#include <stdint.h>

#include "base/str.h"
#include "runtime/pool.h"
#include "runtime/wire.h"

/*
 * Theory of operation
 *
 * Numbers are plain members that their owner sets (gauges) or adds to (counters).
 * There is a struct metrics for each client and one struct metrics_daemon; a client is
 * shown its own alone, the administrator's file has all of them, each sample with the
 * name of its client. The names of sandboxes and what clients send are in none.
 */

enum {
	METRICS_BUCKETS = 14,
	METRICS_METHODS = WIRE_DROP, /* requests before DROP, which no client sends */
	/* Room for the text: the frame, and what each client adds. */
	METRICS_DAEMON_TEXT = 4096,
	METRICS_CLIENT_TEXT = 20480,
};

/* How long something took, sorted into buckets. For metrics_observe(). */
struct metrics_histogram {
	uint64_t buckets[METRICS_BUCKETS]; /* each without those below it */
	uint64_t count, sum_ns;
};

/* Of one client. */
struct metrics {
	/* gauges */
	uint64_t sandboxes[POOL_STATE_MAX];
	uint64_t execs; /* that run */
	uint64_t connections;
	/* counters */
	uint64_t events; /* numbered so far; not shown */
	uint64_t created, create_failed;
	uint64_t stopped[POOL_WHY_MAX];
	uint64_t execs_ended[WIRE_REASON_MAX];
	uint64_t requests[METRICS_METHODS]; /* by type, from WIRE_INFO on; 0 unused */
	uint64_t errors[WIRE_ERROR_MAX];
	struct metrics_histogram create_time, exec_start_time;
};

/* Of the daemon itself. */
struct metrics_daemon {
	/* gauges */
	uint64_t started; /* seconds since 1970 */
	uint64_t resident_bytes; /* of the broker: see metrics_resident() */
	uint64_t fronts;
	uint64_t spares; /* warm ones */
	uint64_t adopted; /* sandboxes found alive at the start */
	/* counters */
	uint64_t fronts_killed; /* they misbehaved or died */
	uint64_t log_dropped; /* log_dropped() */
};

/* One client's numbers with the name that the configuration gives it. */
struct metrics_client {
	const char *name;
	const struct metrics *metrics;
};

/* Puts one duration into the histogram. */
void metrics_observe(struct metrics_histogram *h, uint64_t ns);

/* Appends the text. daemon NULL: without what is nobody's business but the
 * administrator's. s->cut tells that there was too little room:
 * METRICS_DAEMON_TEXT + count × METRICS_CLIENT_TEXT bytes always suffice. Pure. */
void metrics_format(const struct metrics_daemon *daemon,
		    const struct metrics_client *clients, unsigned count, struct str *s);

/* Resident bytes of the calling process. */
must_check int metrics_resident(uint64_t *ret, struct err *e);

/* Replaces the file with the text, so that a reader (node-exporter's textfile collector)
 * sees the old one or the new one, whole. `path` is absolute; its directory must exist
 * and may belong to somebody else: symbolic links in the last part are replaced, not
 * followed. On failure the old file is as it was. */
must_check int metrics_save(const char *path, const char *text, size_t size,
			    struct err *e);
