/* SPDX-License-Identifier: Apache-2.0 */
/* What a living sandbox uses at the moment. */
#pragma once

#include "runtime/resident.h"

/* 0 where the kernel does not say. */
struct resident_stats {
	uint64_t cpu_us; /* since its start */
	uint64_t memory; /* bytes now */
	uint64_t pids; /* now, without carrel-init */
	uint64_t rx_bytes, tx_bytes; /* as seen from inside; without egress 0 */
};

/* Reads a handful of small files; does not block. */
must_check int resident_stats(const struct resident *r, const struct cgroup_host *host,
			      struct resident_stats *ret, struct err *e);
