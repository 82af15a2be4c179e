/* SPDX-License-Identifier: Apache-2.0 */
/* Which sandboxes `carrel top` shows, in which order, and how a line looks. */
#pragma once

#include "tools/sample.h"

/* What they are sorted by: the greatest first, equal ones by name. */
enum top_key {
	TOP_CPU,
	TOP_MEMORY,
	TOP_PIDS,
	TOP_NETWORK,
	TOP_EXECS,
	TOP_KEY_MAX,
};

enum { TOP_LINE_MAX = 512, TOP_FILTER_MAX = 64 };

/* The key that a letter chooses (c, m, p, n, e), or TOP_KEY_MAX. */
enum top_key top_key_of(int letter);

/* "cpu", "memory", … */
const char *top_key_name(enum top_key key);

/* Those whose name contains the filter, sorted. `ret` has room for all of s, whose
 * samples it points to. Returns how many there are. */
size_t top_select(const struct samples *s, const char *filter, enum top_key key,
		  const struct sample **ret);

/* The heads of the columns, or one sandbox, as printable ASCII of at most `width`
 * columns. Returns buf. */
const char *top_heads(char buf[TOP_LINE_MAX], int width);
const char *top_line(char buf[TOP_LINE_MAX], const struct sample *sample, int width);
