/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits per process, by the names that ulimit and docker use. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { RLIMIT_LIST_MAX = 16 };

/* One limit; the units are the kernel's (bytes, seconds, counts). */
struct rlimit_item {
	int resource; /* RLIMIT_… */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct rlimit_list {
	struct rlimit_item items[RLIMIT_LIST_MAX];
	unsigned count;
};

/* What every sandbox has without being asked: nofile 4096, and no core dump (a soft
 * limit of exactly one byte also stops a piped core_pattern handler, which 0 does not:
 * fs/coredump.c). */
struct rlimit_list rlimit_defaults(void);

/* "nofile" and its like. */
const char *rlimit_name(int resource);

/* Parses NAME=SOFT[:HARD] ("nofile=1024:4096", "cpu=unlimited") and puts it into the
 * list, replacing the same resource. −EINVAL with a sentence. */
must_check int rlimit_list_set(struct rlimit_list *list, const char *text, struct err *e);

/* Applies the list to the calling process. Raising a hard limit needs the host's
 * CAP_SYS_RESOURCE: must run before the user namespace is entered. */
must_check int rlimit_apply(const struct rlimit_list *list, struct err *e);
