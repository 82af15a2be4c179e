/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/pool_parts.h"

/* A handle is the number of a slot, and above it how often the slot has been used. */
enum {
	SLOT_BITS = 20,
	SLOT_MAX = 1 << SLOT_BITS,
	SEQUENCE_MAX = (1 << (32 - SLOT_BITS)) - 1,
	SLOTS_KEPT = 256, /* free ones, so that no handle comes again soon */
	HASH_FIRST = 64,
	ARRAY_FIRST = 16,
};

#define NO_SLOT UINT32_MAX

/* --- memory ------------------------------------------------------------------------ */

/* Makes room for `count` items. False: no memory; what there was is as it was. */
static bool reserve(void **array, size_t *size, size_t count, size_t item)
{
	size_t wanted = *size ? *size : ARRAY_FIRST;
	void *more;

	if (count <= *size)
		return true;
	while (wanted < count)
		wanted *= 2;
	more = reallocarray(*array, wanted, item);
	if (!more)
		return false;
	*array = more;
	*size = wanted;
	return true;
}

/* --- hash tables ------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

static uint64_t hash_name(uint32_t client, const char *name)
{
	uint64_t hash = mix(client);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
	return mix(hash);
}

static struct pool_key *first(const struct pool_hash *h, uint64_t hash)
{
	return h->size ? h->buckets[hash & (h->size - 1)] : NULL;
}

/* Without memory for more buckets, chains get longer. */
static bool spread(struct pool_hash *h)
{
	size_t size = h->size ? h->size * 2 : HASH_FIRST;
	struct pool_key **buckets, *key;

	if (h->count < h->size)
		return true;
	buckets = calloc(size, sizeof(struct pool_key *));
	if (!buckets)
		return h->size > 0;
	for (size_t i = 0; i < h->size; i++) {
		while ((key = h->buckets[i])) {
			h->buckets[i] = key->next;
			key->next = buckets[key->hash & (size - 1)];
			buckets[key->hash & (size - 1)] = key;
		}
	}
	free(h->buckets);
	h->buckets = buckets;
	h->size = size;
	return true;
}

/* After spread(). */
static void insert(struct pool_hash *h, struct pool_key *key, uint64_t hash)
{
	struct pool_key **bucket = &h->buckets[hash & (h->size - 1)];

	*key = (struct pool_key){ .next = *bucket, .hash = hash };
	*bucket = key;
	h->count++;
}

static void take_out(struct pool_hash *h, struct pool_key *key)
{
	struct pool_key **at = &h->buckets[key->hash & (h->size - 1)];

	while (*at != key)
		at = &(*at)->next;
	*at = key->next;
	h->count--;
}

/* --- clients ----------------------------------------------------------------------- */

struct pool_client *pool_table_client(const struct pool *pool, uint32_t id)
{
	struct pool_key *key = first(&pool->clients, mix(id));

	while (key && ((struct pool_client *)key)->id != id)
		key = key->next;
	return (struct pool_client *)key;
}

struct pool_client *pool_table_add_client(struct pool *pool, uint32_t id)
{
	struct pool_client *c = spread(&pool->clients) ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	c->id = id;
	TAILQ_INIT(&c->idle);
	TAILQ_INIT(&c->queue);
	insert(&pool->clients, &c->by_id, mix(id));
	return c;
}

/* --- the order of making ----------------------------------------------------------- */

/* Index of the first place behind that serial. */
static size_t place_after(const struct pool_client *c, uint64_t serial)
{
	size_t low = 0, high = c->place_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->places[middle].serial <= serial)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Places of forgotten ones go only when room is needed: whoever walks along them may
 * forget. */
static bool reserve_place(struct pool_client *c)
{
	size_t kept = 0;

	if (c->place_count < c->place_size)
		return true;
	if (c->counts.definitions <= c->place_count / 2) {
		for (size_t i = 0; i < c->place_count; i++) {
			if (c->places[i].sandbox)
				c->places[kept++] = c->places[i];
		}
		c->place_count = kept;
	}
	return reserve((void **)&c->places, &c->place_size, c->place_count + 1,
		       sizeof(*c->places));
}

struct pool_sandbox *pool_table_after(const struct pool_client *c, uint64_t serial)
{
	for (size_t i = place_after(c, serial); i < c->place_count; i++) {
		if (c->places[i].sandbox)
			return c->places[i].sandbox;
	}
	return NULL;
}

/* --- sandboxes --------------------------------------------------------------------- */

struct pool_sandbox *pool_table_name(const struct pool *pool, uint32_t client,
				     const char *name)
{
	uint64_t hash = hash_name(client, name);
	struct pool_key *key;

	for (key = first(&pool->names, hash); key; key = key->next) {
		struct pool_sandbox *s = (struct pool_sandbox *)key;

		if (key->hash == hash && s->client->id == client &&
		    !strcmp(s->name, name))
			return s;
	}
	return NULL;
}

struct pool_sandbox *pool_table_id(const struct pool *pool, pool_id id)
{
	uint32_t index = id & (SLOT_MAX - 1);
	struct pool_sandbox *s;

	if (index >= pool->slot_count)
		return NULL;
	s = pool->slots[index].sandbox;
	return s && s->id == id ? s : NULL;
}

static bool reserve_slot(struct pool *pool)
{
	if (pool->free_count > SLOTS_KEPT)
		return true;
	return pool->slot_count < SLOT_MAX &&
	       reserve((void **)&pool->slots, &pool->slot_size, pool->slot_count + 1,
		       sizeof(*pool->slots));
}

/* After reserve_slot(). The one that has been free for longest. */
static void take_slot(struct pool *pool, struct pool_sandbox *s)
{
	uint32_t index = pool->free_first;
	struct pool_slot *slot;

	if (pool->free_count > SLOTS_KEPT) {
		pool->free_first = pool->slots[index].next;
		pool->free_count--;
	} else {
		index = pool->slot_count++;
		pool->slots[index].sequence = 0;
	}
	slot = &pool->slots[index];
	slot->sequence = slot->sequence % SEQUENCE_MAX + 1;
	slot->sandbox = s;
	s->id = slot->sequence << SLOT_BITS | index;
}

static void give_slot(struct pool *pool, pool_id id)
{
	uint32_t index = id & (SLOT_MAX - 1);

	pool->slots[index].sandbox = NULL;
	pool->slots[index].next = NO_SLOT;
	if (pool->free_count++ == 0)
		pool->free_first = index;
	else
		pool->slots[pool->free_last].next = index;
	pool->free_last = index;
}

struct pool_sandbox *pool_table_add(struct pool *pool, struct pool_client *client,
				    const char *name, const struct pool_spec *spec)
{
	size_t length = strlen(name);
	struct pool_sandbox *s;

	if (!reserve_slot(pool) || !reserve_place(client) || !spread(&pool->names) ||
	    !reserve((void **)&pool->heap, &pool->heap_size, pool->counts.definitions + 1,
		     sizeof(struct pool_sandbox *)))
		return NULL;
	s = calloc(1, sizeof(*s) + length + 1);
	if (!s)
		return NULL;
	memcpy(s->name, name, length);
	s->client = client;
	s->spec = *spec;
	s->state = POOL_STOPPED;
	s->serial = ++pool->serial;
	s->used = pool->now;
	s->deadline = UINT64_MAX;
	s->heap_at = UINT32_MAX;
	s->life.sandbox = s->freeze.sandbox = s->reclaim.sandbox = s;
	TAILQ_INIT(&s->waiters);
	take_slot(pool, s);
	insert(&pool->names, &s->by_name, hash_name(client->id, name));
	client->places[client->place_count++] =
		(struct pool_place){ .serial = s->serial, .sandbox = s };
	client->counts.definitions++;
	pool->counts.definitions++;
	return s;
}

void pool_table_hide(struct pool *pool, struct pool_sandbox *s)
{
	struct pool_client *c = s->client;

	take_out(&pool->names, &s->by_name);
	c->places[place_after(c, s->serial) - 1].sandbox = NULL;
	c->counts.definitions--;
	pool->counts.definitions--;
}

void pool_table_free(struct pool *pool, struct pool_sandbox *s)
{
	give_slot(pool, s->id);
	free(s);
}

/* --- waiters ----------------------------------------------------------------------- */

struct pool_waiter *pool_table_cookie(const struct pool *pool, uint64_t cookie)
{
	struct pool_key *key = first(&pool->cookies, mix(cookie));

	while (key && ((struct pool_waiter *)key)->end.action.cookie != cookie)
		key = key->next;
	return (struct pool_waiter *)key;
}

struct pool_waiter *pool_table_wait(struct pool *pool, struct pool_sandbox *s,
				    enum pool_wait kind, uint64_t cookie)
{
	struct pool_waiter *w = spread(&pool->cookies) ? calloc(1, sizeof(*w)) : NULL;
	uint32_t starts = kind & WAIT_START ? 1 : 0;
	uint32_t execs = kind == WAIT_EXEC ? 1 : 0;

	if (!w)
		return NULL;
	w->kind = kind;
	w->sandbox = s;
	w->end.waiter = w;
	w->end.action.cookie = cookie;
	insert(&pool->cookies, &w->by_cookie, mix(cookie));
	TAILQ_INSERT_TAIL(&s->waiters, w, next);
	s->waiting++;
	s->starters += starts;
	s->client->counts.waiters++;
	s->client->counts.exec_waiters += execs;
	pool->counts.waiters++;
	pool->counts.exec_waiters += execs;
	return w;
}

void pool_table_leave(struct pool *pool, struct pool_waiter *w)
{
	struct pool_sandbox *s = w->sandbox;
	uint32_t starts = w->kind & WAIT_START ? 1 : 0;
	uint32_t execs = w->kind == WAIT_EXEC ? 1 : 0;

	w->sandbox = NULL;
	TAILQ_REMOVE(&s->waiters, w, next);
	s->waiting--;
	s->starters -= starts;
	s->client->counts.waiters--;
	s->client->counts.exec_waiters -= execs;
	pool->counts.waiters--;
	pool->counts.exec_waiters -= execs;
}

void pool_table_free_waiter(struct pool *pool, struct pool_waiter *w)
{
	take_out(&pool->cookies, &w->by_cookie);
	free(w);
}

/* --- the whole --------------------------------------------------------------------- */

int pool_new(const struct pool_limits *limits, struct pool **ret, struct err *e)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return err_set(e, ENOMEM, "hold the sandboxes");
	pool->limits = *limits;
	TAILQ_INIT(&pool->idle);
	TAILQ_INIT(&pool->queue);
	TAILQ_INIT(&pool->actions);
	*ret = pool;
	return 0;
}

static void free_client(struct pool_client *c)
{
	struct pool_waiter *w;

	for (size_t i = 0; i < c->place_count; i++) {
		struct pool_sandbox *s = c->places[i].sandbox;

		while (s && (w = TAILQ_FIRST(&s->waiters))) {
			TAILQ_REMOVE(&s->waiters, w, next);
			free(w);
		}
		free(s);
	}
	free(c->places);
	free(c);
}

void pool_free(struct pool *pool)
{
	struct pool_action action;
	struct pool_key *key;

	if (!pool)
		return;
	/* What only an action still holds goes with it. */
	while (pool_next(pool, &action))
		;
	for (size_t i = 0; i < pool->clients.size; i++) {
		while ((key = pool->clients.buckets[i])) {
			pool->clients.buckets[i] = key->next;
			free_client((struct pool_client *)key);
		}
	}
	free(pool->clients.buckets);
	free(pool->names.buckets);
	free(pool->cookies.buckets);
	free(pool->slots);
	free(pool->heap);
	free(pool);
}
