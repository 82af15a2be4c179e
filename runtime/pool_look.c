/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "runtime/pool_parts.h"

static void fill_row(const struct pool_sandbox *s, struct pool_row *ret)
{
	*ret = (struct pool_row){
		.id = s->id,
		.client = s->client->id,
		.name = s->name,
		.state = s->state,
		.generation = s->generation,
		.started = s->started,
		.used = s->used,
		.execs = s->execs,
		.waiters = s->waiting,
		.spec = &s->spec,
	};
}

int pool_find(const struct pool *pool, uint32_t client, const char *name, pool_id *ret)
{
	const struct pool_sandbox *s = pool_table_name(pool, client, name);

	if (!s)
		return -ENOENT;
	*ret = s->id;
	return 0;
}

bool pool_look(const struct pool *pool, pool_id id, struct pool_row *ret)
{
	const struct pool_sandbox *s = pool_table_id(pool, id);

	if (s)
		fill_row(s, ret);
	return s;
}

bool pool_each(const struct pool *pool, uint32_t client, uint64_t *cursor,
	       struct pool_row *ret)
{
	const struct pool_client *c = pool_table_client(pool, client);
	const struct pool_sandbox *s = c ? pool_table_after(c, *cursor) : NULL;

	if (!s)
		return false;
	*cursor = s->serial;
	fill_row(s, ret);
	return true;
}

uint32_t pool_count(const struct pool *pool, uint32_t client)
{
	const struct pool_client *c = pool_table_client(pool, client);

	if (client == UINT32_MAX)
		return pool->counts.alive;
	return c ? c->counts.alive : 0;
}

uint32_t pool_count_execs(const struct pool *pool, uint32_t client)
{
	const struct pool_client *c = pool_table_client(pool, client);

	if (client == UINT32_MAX)
		return pool->counts.execs;
	return c ? c->counts.execs : 0;
}
