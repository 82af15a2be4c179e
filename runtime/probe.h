/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe is, and what those who write one need. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/process.h"
#include "base/str.h"
#include "runtime/runtime.h"

/* A row of a table. */
struct probe {
	const char *id;
	const char *name;
	const char *remedy;
	const char *remedy_absent; /* for −ENOENT, where it differs */
	/* Tries it. Runs in a process of its own, in which everything may be changed that
	 * ends with it. 0: there, `found` says more; −errno: not there, e says why.
	 * −EPERM and −EACCES mean that we may not try; what is merely set otherwise than
	 * it should be is −ERANGE. */
	int (*run)(const struct probe *self, const struct runtime_config *config,
		   struct str *found, struct err *e);
	bool advice; /* carrel works without it */
	int arg; /* what the function takes it for */

	/* For probe_number(): the file and what it should hold. */
	const char *file;
	uint64_t least, most;
	const char
		*absent; /* why it is bad that there is no such file; NULL: it is not */
};

struct probe_table {
	const struct probe *rows;
	unsigned count;
};

/* In the order in which they are shown. */
extern const struct probe_table probe_kernel, probe_mount, probe_cgroup, probe_network,
	probe_host, probe_hygiene;

/* A test process: calls fn and exits with the status that it returns (0, or an errno).
 * Dies with its parent. The caller owns *ret, whose pidfd stays −1. */
must_check int probe_spawn(int (*fn)(void *context), void *context, struct process *ret,
			   struct err *e);

/* The same, waited for. What fn returns, or the signal that ended it, is the reason of
 * the error, which starts with `what`. */
must_check int probe_call(int (*fn)(void *context), void *context, const char *what,
			  struct err *e);

/* A test process that waits to be killed: for probe_spawn(). */
int probe_pause(void *context);

/* Judges the number in self->file: a run function for tables. */
must_check int probe_number(const struct probe *self, const struct runtime_config *config,
			    struct str *found, struct err *e);
