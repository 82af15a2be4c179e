/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the pool share: its memory, and the steps that it moves by. */
#pragma once

#include <sys/queue.h>

#include "runtime/pool.h"

/*
 * Theory of operation
 *
 *	pool_table.c	finds: sandboxes by handle, name and order, clients, waiters
 *	pool_track.c	keeps what follows from a sandbox's state: counts, idle, deadline
 *	pool_step.c	single steps: an action is put into the queue, a waiter ends
 *	pool_room.c	who may be started when not all can be
 *	pool.c		what is asked for, what has happened, time
 *	pool_look.c	what others see of it
 *	pool_verify.c	what must always hold
 *
 * Each knows those above it. Whoever changes a sandbox calls pool_track() for it before
 * anything else is decided.
 *
 * A sandbox *demands* room when it is there to stay or somebody waits for its start. What
 * is demanded never exceeds a ceiling, unless sandboxes were adopted or the ceiling was
 * lowered. What is *alive* (not STOPPED) does not exceed it either: who demands room that
 * is still taken by somebody who is STOPPING waits in a queue, first in its client's,
 * then in the one of all.
 */

/* --- hash tables: chained, intrusive */

struct pool_key {
	struct pool_key *next;
	uint64_t hash;
};

struct pool_hash {
	struct pool_key **buckets;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

/* --- actions and those who wait */

/* An action that waits to be taken. Each can be in the queue once. */
struct pool_node {
	TAILQ_ENTRY(pool_node) next;
	bool queued;
	struct pool_action action;
	struct pool_waiter *waiter; /* whose end it is; NULL: */
	struct pool_sandbox *sandbox; /* to whom it is to be done */
};

/* What somebody waits for; bits of a set. */
enum pool_wait {
	WAIT_ENSURE = 1,
	WAIT_EXEC = 2,
	WAIT_STOP = 4,
	WAIT_REMOVE = 8,
	WAIT_PAUSE = 16,
	WAIT_UNPAUSE = 32,
	WAIT_START = WAIT_ENSURE | WAIT_EXEC,
};

/* Lives until its end has been taken from the queue. */
struct pool_waiter {
	struct pool_key by_cookie; /* has to be the first */
	TAILQ_ENTRY(pool_waiter) next; /* of its sandbox's */
	struct pool_sandbox *sandbox; /* NULL: its end is in the queue */
	enum pool_wait kind;
	struct pool_node end;
};

/* --- sandboxes and clients */

/* What stands at the kernel, or has been ordered there. */
enum pool_freezer {
	FREEZER_THAWED,
	FREEZER_FREEZING,
	FREEZER_FROZEN,
	FREEZER_THAWING,
	FREEZER_MAX,
};

/* In which queue for room. */
enum pool_queue { QUEUE_NONE, QUEUE_CLIENT, QUEUE_ALL, QUEUE_MAX };

struct pool_sandbox {
	struct pool_key by_name; /* has to be the first */
	pool_id id;
	uint64_t serial; /* in the order of making */
	struct pool_client *client;
	struct pool_spec spec;
	enum pool_state state;
	uint64_t generation, started, used;
	uint32_t execs;
	uint32_t starters, waiting; /* of the waiters: for its start; all */
	TAILQ_HEAD(, pool_waiter) waiters;
	bool fresh; /* nobody has been told yet that he made it */
	bool ran; /* the definition has proved to be good */
	bool doomed; /* to be forgotten once it is STOPPED */
	bool building; /* CREATE is under way: CREATING, or STOPPING as soon as it is
			  there */
	enum pool_why why; /* STOPPING */
	enum pool_freezer freezer;
	bool stale; /* FREEZE or THAW of an earlier generation is still under way */
	bool froze, reclaimed; /* in this idle time; not to be tried again */
	struct pool_node life, freeze, reclaim;
	/* pool_track()'s */
	bool alive, demands, idle;
	TAILQ_ENTRY(pool_sandbox) idle_of_client, idle_of_all;
	uint64_t deadline;
	uint32_t heap_at; /* UINT32_MAX: has no deadline */
	/* pool_room's */
	enum pool_queue queue;
	TAILQ_ENTRY(pool_sandbox) queued;
	char name[];
};

/* Some of them, in an order. */
TAILQ_HEAD(pool_sandboxes, pool_sandbox);

/* Of one client, and of all. */
struct pool_counts {
	uint32_t definitions;
	uint32_t alive, demands, idle;
	uint32_t promised; /* in the queue of all */
	uint32_t execs, exec_waiters, waiters;
};

/* A place in the order of making. */
struct pool_place {
	uint64_t serial;
	struct pool_sandbox *sandbox; /* NULL: forgotten */
};

struct pool_client {
	struct pool_key by_id; /* has to be the first */
	uint32_t id;
	struct pool_client_limits limits;
	struct pool_counts counts;
	struct pool_sandboxes idle; /* least recently used first */
	struct pool_sandboxes queue; /* for its own room */
	struct pool_place *places;
	size_t place_count, place_size;
};

/* What a handle leads to. */
struct pool_slot {
	struct pool_sandbox *sandbox;
	uint32_t sequence; /* upper bits of the handle */
	uint32_t next; /* free one */
};

struct pool {
	struct pool_limits limits;
	struct pool_counts counts;
	uint64_t now, serial;
	struct pool_hash names, clients, cookies;
	struct pool_slot *slots;
	uint32_t slot_count, free_count, free_first, free_last;
	size_t slot_size;
	struct pool_sandbox **heap;
	uint32_t heap_count;
	size_t heap_size;
	struct pool_sandboxes idle, queue;
	TAILQ_HEAD(, pool_node) actions;
};

/* --- pool_table.c */

/* NULL: there is none. */
struct pool_client *pool_table_client(const struct pool *pool, uint32_t id);

/* Without limits and sandboxes. NULL: no memory. */
struct pool_client *pool_table_add_client(struct pool *pool, uint32_t id);

/* NULL: there is none. */
struct pool_sandbox *pool_table_name(const struct pool *pool, uint32_t client,
				     const char *name);
struct pool_sandbox *pool_table_id(const struct pool *pool, pool_id id);
struct pool_waiter *pool_table_cookie(const struct pool *pool, uint64_t cookie);

/* A new one, STOPPED. NULL: no memory. */
struct pool_sandbox *pool_table_add(struct pool *pool, struct pool_client *client,
				    const char *name, const struct pool_spec *spec);
/* Ends its name and its place. The handle goes on. */
void pool_table_hide(struct pool *pool, struct pool_sandbox *s);
/* Ends the handle and frees it. */
void pool_table_free(struct pool *pool, struct pool_sandbox *s);
/* The client's next one after that serial, or NULL. */
struct pool_sandbox *pool_table_after(const struct pool_client *c, uint64_t serial);

/* Has one more wait for it. NULL: no memory. */
struct pool_waiter *pool_table_wait(struct pool *pool, struct pool_sandbox *s,
				    enum pool_wait kind, uint64_t cookie);
/* It does not wait any more. */
void pool_table_leave(struct pool *pool, struct pool_waiter *w);
void pool_table_free_waiter(struct pool *pool, struct pool_waiter *w);

/* --- pool_track.c */

/* Sees to it that whatever follows from the sandbox's state does follow. */
void pool_track(struct pool *pool, struct pool_sandbox *s);
/* It has been used: its idle time begins anew. pool_track() has to follow. */
void pool_track_use(struct pool *pool, struct pool_sandbox *s);
/* Is there a running generation? */
bool pool_track_runs(const struct pool_sandbox *s);
/* When which tier is due; UINT64_MAX: never. */
uint64_t pool_track_end(const struct pool_sandbox *s);
uint64_t pool_track_idle_end(const struct pool_sandbox *s);
uint64_t pool_track_freeze(const struct pool_sandbox *s);
uint64_t pool_track_reclaim(const struct pool_sandbox *s);

/* --- pool_step.c */

/* Counts an exec that is admitted, or one that has ended. */
void pool_step_count_exec(struct pool *pool, struct pool_sandbox *s, bool admitted);
/* Ends all that wait for one of `kinds`, in the order of their coming. */
void pool_step_end(struct pool *pool, struct pool_sandbox *s, unsigned kinds,
		   enum pool_action_type type, enum pool_verdict verdict);
/* Freezes or thaws what has to be and can be; admits who has waited for that. */
void pool_step_freezer(struct pool *pool, struct pool_sandbox *s);
void pool_step_reclaim(struct pool *pool, struct pool_sandbox *s);
/* STOPPED to CREATING. */
void pool_step_start(struct pool *pool, struct pool_sandbox *s);
/* What runs or is being made, to STOPPING. Those who wait for a start go on waiting. */
void pool_step_stop(struct pool *pool, struct pool_sandbox *s, enum pool_why why);
/* Forgets it if it is STOPPED and nothing wants it. */
void pool_step_forget(struct pool *pool, struct pool_sandbox *s);

/* --- pool_room.c */

/* Could one more of the client's be started, if need be by evicting idle ones? */
bool pool_room_possible(const struct pool *pool, const struct pool_client *c);
/* Evicts whoever has to go for that. */
void pool_room_make(struct pool *pool, struct pool_client *c);
/* Starts a STOPPED one that somebody waits for, now or when there is room. */
void pool_room_enter(struct pool *pool, struct pool_sandbox *s);
/* It does not want to be started any more. */
void pool_room_leave(struct pool *pool, struct pool_sandbox *s);
/* Room of the client's has become free, or ceilings are others: starts whoever can be;
 * refuses the last ones as long as more is demanded than there may be. */
void pool_room_settle(struct pool *pool, struct pool_client *c);
