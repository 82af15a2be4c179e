/* SPDX-License-Identifier: Apache-2.0 */
/* Things found by a number, without any system call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Zero is an empty one. */
struct idmap {
	struct idmap_entry {
		uint64_t key;
		void *value; /* NULL: free */
	} * entries;
	size_t count, room; /* room: a power of two, at least twice count */
};

/* Puts a value, not NULL, under a key that has none. */
must_check int idmap_put(struct idmap *map, uint64_t key, void *value, struct err *e);
/* NULL: nothing has that key. */
void *idmap_get(const struct idmap *map, uint64_t key);
/* Returns what it took out; NULL: nothing has that key. */
void *idmap_take(struct idmap *map, uint64_t key);
void idmap_free(struct idmap *map);

/* One after the other, in no order; *cursor begins at 0. Nothing may be put or taken
 * meanwhile. NULL at the end. */
void *idmap_each(const struct idmap *map, size_t *cursor);
