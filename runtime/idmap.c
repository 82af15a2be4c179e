/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/idmap.h"

/* Fibonacci hashing: neighbours do not end up beside each other. */
static size_t home(const struct idmap *map, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (map->room - 1);
}

static size_t find(const struct idmap *map, uint64_t key)
{
	size_t i = home(map, key);

	while (map->entries[i].value && map->entries[i].key != key)
		i = (i + 1) & (map->room - 1);
	return i;
}

static int grow(struct idmap *map, struct err *e)
{
	struct idmap old = *map;

	map->room = old.room ? 2 * old.room : 16;
	map->entries = calloc(map->room, sizeof(*map->entries));
	if (!map->entries) {
		*map = old;
		return err_set(e, ENOMEM, "grow a table");
	}
	for (size_t i = 0; i < old.room; i++) {
		if (old.entries[i].value)
			map->entries[find(map, old.entries[i].key)] = old.entries[i];
	}
	free(old.entries);
	return 0;
}

int idmap_put(struct idmap *map, uint64_t key, void *value, struct err *e)
{
	struct idmap_entry *entry;

	if (2 * (map->count + 1) > map->room && grow(map, e) < 0)
		return e->code;
	entry = &map->entries[find(map, key)];
	bug_on(entry->value || !value);
	*entry = (struct idmap_entry){ key, value };
	map->count++;
	return 0;
}

void *idmap_get(const struct idmap *map, uint64_t key)
{
	return map->room ? map->entries[find(map, key)].value : NULL;
}

void *idmap_take(struct idmap *map, uint64_t key)
{
	size_t hole, mask = map->room - 1;
	void *taken;

	if (!map->room)
		return NULL;
	hole = find(map, key);
	taken = map->entries[hole].value;
	if (!taken)
		return NULL;
	map->count--;
	/* Whatever can only be found past the hole moves into it. */
	for (size_t i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
		size_t at = home(map, map->entries[i].key);

		if (((i - at) & mask) < ((i - hole) & mask))
			continue;
		map->entries[hole] = map->entries[i];
		hole = i;
	}
	map->entries[hole].value = NULL;
	return taken;
}

void idmap_free(struct idmap *map)
{
	free(map->entries);
	*map = (struct idmap){ 0 };
}

void *idmap_each(const struct idmap *map, size_t *cursor)
{
	while (*cursor < map->room) {
		void *value = map->entries[(*cursor)++].value;

		if (value)
			return value;
	}
	return NULL;
}
