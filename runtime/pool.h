/* SPDX-License-Identifier: Apache-2.0 */
/* Which sandboxes there are, in which state, and what is to be done next. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * The pool decides and does nothing. It is told what is asked for and what has happened
 * (functions with `now`), and puts what the caller has to do into a queue of actions,
 * which is taken from with pool_next(). The caller reports the end of each CREATE,
 * DESTROY, FREEZE and THAW, in any order and however late; until then, what is asked for
 * and has to wait for that does so as a waiter.
 *
 *	          ensure, exec               created
 *	STOPPED ────────────────▶ CREATING ──────────▶ RUNNING ◀──▶ PAUSED, FROZEN
 *	   ▲  ▲                       │ failed           │ stop, idle, died, evicted, …
 *	   │  └───────────────────────┘                  ▼
 *	   └────────────────────────────────────────  STOPPING
 *	                   destroyed
 *
 * A sandbox that nothing wants any more (removed; never RUNNING yet, and not waited for)
 * is gone after STOPPED (ACTION_FORGET), and after all its execs have been reported to
 * have ended. What has auto_remove is removed by whatever stops it.
 *
 * FROZEN is the pool's own doing, with a sandbox that has been idle for `freeze_after`:
 * whoever wants it waits for the THAW and does not notice otherwise. PAUSED is the
 * client's: exec is refused, only Unpause (or stop) ends it, and its idle time goes on.
 *
 * Idle: no exec, no waiter, no touch (nor pause, nor unpause). An exec that is admitted
 * (ACTION_ADMIT) counts from that moment, so that no timer can come between (FI-22). What
 * comes while a sandbox is STOPPING waits for the next generation. What is wanted and has
 * no room yet stays STOPPED until it has.
 *
 * What was asked for earlier gives way to what is asked for later: a stop or remove
 * refuses those who wait for a start (WRONG_STATE, NO_SUCH), a pause those who wait for
 * an exec or an unpause (PAUSED_NOW), an unpause those who wait for a pause
 * (WRONG_STATE).
 *
 * DESTROY comes at once, also while FREEZE or THAW is under way, whose end is reported
 * all the same. A freeze that fails is followed by a THAW; a thaw that fails ends the
 * generation (POOL_FAILED). A report that nothing waits for changes nothing, nor does one
 * that comes before its action has been taken from the queue.
 *
 * Times are milliseconds of any clock that does not go back (CLOCK_BOOTTIME).
 */

struct pool;

/* Ceilings; 0: none. */
struct pool_limits {
	uint32_t sandboxes; /* not stopped ones, of all clients */
	uint32_t waiters; /* requests that wait, of all clients */
};

struct pool_client_limits {
	uint32_t sandboxes; /* not stopped ones */
	uint32_t definitions; /* stopped ones too */
	uint32_t execs;
	uint32_t waiters;
};

/* What the pool knows of a definition. Equal `digest`s: the same settings. */
struct pool_spec {
	uint8_t digest[32];
	uint64_t idle_timeout; /* 0: never */
	uint64_t max_duration; /* of a generation; 0: none */
	uint64_t freeze_after, reclaim_after; /* idle; 0: not at all */
	bool auto_remove; /* forgotten when it stops, for whatever reason */
	bool spare; /* can be had of a warm spare (ACTION_CREATE says so) */
};

enum pool_state {
	POOL_CREATING,
	POOL_RUNNING,
	POOL_PAUSED,
	POOL_FROZEN,
	POOL_STOPPING,
	POOL_STOPPED,
	POOL_STATE_MAX,
};

/* Why a sandbox was stopped. */
enum pool_why {
	POOL_ASKED,
	POOL_IDLE,
	POOL_MAX_DURATION,
	POOL_EVICTED,
	POOL_DIED,
	POOL_FAILED,
	POOL_WHY_MAX,
};

/* A sandbox, as long as it is not forgotten. Handles are not used again for a while. */
typedef uint32_t pool_id;

enum pool_verdict {
	POOL_ADMITTED, /* it runs; an exec counts from now */
	POOL_WAITS, /* ACTION_ADMIT or ACTION_REFUSE will come for the cookie */
	POOL_NO_SUCH,
	POOL_CONFLICT, /* other settings */
	POOL_PAUSED_NOW,
	POOL_BUSY_SANDBOXES, /* ceiling, and nobody idle to be evicted */
	POOL_BUSY_DEFINITIONS,
	POOL_BUSY_EXECS,
	POOL_BUSY_WAITERS,
	POOL_WRONG_STATE,
	POOL_VERDICT_MAX,
};

enum pool_action_type {
	ACTION_CREATE, /* make generation `generation`; report with pool_created() */
	ACTION_DESTROY, /* end it and remove it; report with pool_destroyed() */
	ACTION_FREEZE, /* report with pool_frozen() */
	ACTION_THAW, /* report with pool_thawed() */
	ACTION_RECLAIM, /* have it give memory back; no report */
	ACTION_ADMIT, /* `cookie` goes on: the sandbox runs; an exec counts from now */
	ACTION_REFUSE, /* `cookie` ends with `verdict` (or POOL_NO_SUCH: removed) */
	ACTION_FAILED, /* `cookie` ends: what it waited for could not be made */
	ACTION_FORGET, /* remove the definition; the handle ends with this */
};

struct pool_action {
	enum pool_action_type type;
	pool_id id;
	uint64_t cookie;
	uint64_t generation;
	enum pool_why why; /* of DESTROY */
	enum pool_verdict verdict; /* of REFUSE */
	bool created; /* of ADMIT: this waiter's ensure made it */
};

/* A row for lists. */
struct pool_row {
	pool_id id;
	uint32_t client;
	const char *name;
	enum pool_state state;
	uint64_t generation;
	uint64_t started, used; /* moments; started 0: stopped */
	uint32_t execs, waiters;
	const struct pool_spec *spec;
};

/* A pool without clients or sandboxes; *ret is for pool_free(). */
must_check int pool_new(const struct pool_limits *limits, struct pool **ret,
			struct err *e);
/* Harmless on NULL. */
void pool_free(struct pool *pool);

/* Says what a client may have. A client that was never named may have nothing. */
must_check int pool_set_client(struct pool *pool, uint32_t client,
			       const struct pool_client_limits *limits, struct err *e);

/* What is known of a sandbox that was there before the pool. */
struct pool_past {
	enum pool_state state; /* RUNNING, PAUSED or STOPPED */
	uint64_t generation;
	uint64_t started; /* moment; what is later than now is now. STOPPED: any */
};

/* Takes in such a sandbox, without execs, used `now`. −EEXIST: the client has that name.
 */
must_check int pool_adopt(struct pool *pool, uint64_t now, uint32_t client,
			  const char *name, const struct pool_spec *spec,
			  const struct pool_past *past, pool_id *ret, struct err *e);

/* --- what is asked for. A cookie is the caller's; each waits once at a time: one that
 * waits already is refused with BUSY_WAITERS, which is also said when there is no memory
 * (BUSY_DEFINITIONS for that of a new sandbox). What is refused has changed nothing.
 * *ret_id is valid whenever there is a sandbox. */

/* *ret_created is valid with ADMITTED. Exactly one caller is told so: the first one that
 * hears of it, if the one that made it has gone. One that is being removed is had anew
 * with the same settings, with others it is a CONFLICT until it is gone. A paused one is
 * ADMITTED. */
enum pool_verdict pool_ensure(struct pool *pool, uint64_t now, uint32_t client,
			      const char *name, const struct pool_spec *spec,
			      uint64_t cookie, pool_id *ret_id, bool *ret_created);
enum pool_verdict pool_exec(struct pool *pool, uint64_t now, uint32_t client,
			    const char *name, uint64_t cookie, pool_id *ret_id);
/* Waiting until it is STOPPED; ADMITTED: it is already. One that never ran is forgotten
 * then. */
enum pool_verdict pool_stop(struct pool *pool, uint64_t now, uint32_t client,
			    const char *name, uint64_t cookie, pool_id *ret_id);
/* Not STOPPED and not by force: WRONG_STATE. Waiting until it is forgotten; ADMITTED: it
 * will be, with the next actions. */
enum pool_verdict pool_remove(struct pool *pool, uint64_t now, uint32_t client,
			      const char *name, bool force, uint64_t cookie,
			      pool_id *ret_id);
/* Waiting until it stands, or goes on; ADMITTED: it does already. What is not running or
 * paused: WRONG_STATE. */
enum pool_verdict pool_pause(struct pool *pool, uint64_t now, uint32_t client,
			     const char *name, uint64_t cookie, pool_id *ret_id);
enum pool_verdict pool_unpause(struct pool *pool, uint64_t now, uint32_t client,
			       const char *name, uint64_t cookie, pool_id *ret_id);
/* pool_remove() by force that nobody waits for. Harmless on what is none any more. */
void pool_discard(struct pool *pool, uint64_t now, pool_id id);
/* Thaws what was idle. */
enum pool_verdict pool_touch(struct pool *pool, uint64_t now, uint32_t client,
			     const char *name);

/* Begins to stop every idle one of the client's. Returns how many. */
unsigned pool_reap(struct pool *pool, uint64_t now, uint32_t client);
/* Begins to stop, or to remove, all of the client's (UINT32_MAX: of everybody's). Returns
 * how many were running. */
unsigned pool_shutdown(struct pool *pool, uint64_t now, uint32_t client, bool remove);

/* The waiter does not want it any more: no action comes for the cookie. */
void pool_cancel(struct pool *pool, uint64_t now, uint64_t cookie);

/* --- what has happened */

/* One that had been admitted. */
void pool_exec_ended(struct pool *pool, uint64_t now, pool_id id);
/* The end of a CREATE. */
void pool_created(struct pool *pool, uint64_t now, pool_id id, bool ok);
/* The end of a DESTROY. */
void pool_destroyed(struct pool *pool, uint64_t now, pool_id id);
/* The end of a FREEZE; not ok: it may be half-frozen, and THAW follows. */
void pool_frozen(struct pool *pool, uint64_t now, pool_id id, bool ok);
/* The end of a THAW; not ok: it is as good as dead. */
void pool_thawed(struct pool *pool, uint64_t now, pool_id id, bool ok);
/* Its PID 1 has died by itself; not to be said any more after pool_destroyed() of that
 * generation. The execs that it had are ended by the caller, who reports each with
 * pool_exec_ended(), before or after. */
void pool_died(struct pool *pool, uint64_t now, pool_id id);

/* --- time and actions */

/* Does what is due. */
void pool_tick(struct pool *pool, uint64_t now);
/* When pool_tick() has something to do next; UINT64_MAX: never. */
uint64_t pool_deadline(const struct pool *pool);
/* The next thing to do; false: nothing. */
bool pool_next(struct pool *pool, struct pool_action *ret);

/* --- looking */

/* −ENOENT: none of that name, or not that client's. */
must_check int pool_find(const struct pool *pool, uint32_t client, const char *name,
			 pool_id *ret);
/* False where the handle means nothing (any more). Strings live until the next call that
 * changes the pool. */
bool pool_look(const struct pool *pool, pool_id id, struct pool_row *ret);
/* The client's one after the other in the order of their making; *cursor begins at 0. */
bool pool_each(const struct pool *pool, uint32_t client, uint64_t *cursor,
	       struct pool_row *ret);
/* The ceiling that has led to that BUSY verdict: the client's or, where that leaves room,
 * the one of all. To be asked before anything has changed. */
uint32_t pool_ceiling(const struct pool *pool, uint32_t client,
		      enum pool_verdict verdict);

/* Not stopped ones, and execs, of one client or (UINT32_MAX) of all. */
uint32_t pool_count(const struct pool *pool, uint32_t client);
uint32_t pool_count_execs(const struct pool *pool, uint32_t client);

/* Aborts if something that must always hold does not: counts, states, queues (FI-00). */
void pool_verify(const struct pool *pool);
