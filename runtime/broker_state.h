/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the broker share. */
#pragma once

#include <sys/queue.h>

#include "runtime/broker.h"
#include "runtime/crew.h"
#include "runtime/definition.h"
#include "runtime/idmap.h"
#include "runtime/loop.h"
#include "runtime/metrics.h"

enum {
	EVENTS_KEPT = 256,
	EVENT_TEXT_MAX = 32,
};

/* A process that speaks with the clients of one uid. */
struct front {
	LIST_ENTRY(front) next;
	struct broker *broker;
	uid_t uid; /* of its clients */
	uint32_t id; /* its own, user and group */
	uint32_t serial;
	struct process process;
	int sock;
	struct watch watch;
	LIST_HEAD(, pending) pending;
	unsigned pending_count;
	uint64_t handed, ended; /* connections */
	uint64_t idle; /* a number that grows: since when; 0: somebody is there */
};

/* A request that is not answered yet. */
struct pending {
	LIST_ENTRY(pending) next; /* of its front's */
	struct front *front;
	uint64_t cookie; /* what the pool knows it by: front's serial and tag */
	uint32_t tag;
	enum wire_type type;
	pool_id box;
	struct exec *exec; /* EXEC, WAIT */
	LIST_ENTRY(pending) waiting; /* WAIT: of the exec's */
	/* STATS: the next one. STOP: the end of the grace. EVENTS: another attempt */
	struct timer timer;
	uint64_t told; /* EVENTS: so many had happened when it was told the last time */
	uint64_t interval; /* STATS */
	bool keep; /* WAIT: the result is not to be forgotten */
	bool holds; /* ENSURE: answered; its sandbox goes with it (auto_remove) */
	char name[WIRE_NAME_MAX + 1];
};

enum exec_state {
	EXEC_WAITING, /* for its sandbox */
	EXEC_STARTING, /* a worker is at it */
	EXEC_RUNNING,
	EXEC_ENDED, /* detached ones are kept for a while */
};

/* A command. */
struct exec {
	LIST_ENTRY(exec) next; /* of its sandbox's */
	struct broker *broker;
	struct box *box;
	struct pending *pending; /* who gets the result; NULL: nobody, or who waits */
	LIST_HEAD(, pending) waiters;
	char id[WIRE_EXEC_MAX + 1];
	struct wire_exec asked;
	enum exec_state state;
	char *argv_text; /* the beginning of the arguments, for lists: a JSON array */
	int strings; /* memfd: argv and environment; −1 once it has begun */
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	struct resident_exec running;
	struct watch ended, oom;
	struct timer deadline, oom_look, forget;
	uint64_t number; /* in its id */
	uint64_t prepares; /* number whose groups the worker that starts it makes; 0: none
			    */
	uint64_t oom_until;
	uint64_t started_ms; /* CLOCK_MONOTONIC */
	uint64_t asked_ms; /* likewise, when the pool admitted it */
	uint64_t started_at; /* ms since 1970 */
	bool counted; /* by the pool */
	bool killed; /* by us, for `reason` */
	bool lost; /* its sandbox has died before it had begun */
	bool again; /* it is begun for the second time */
	bool waited; /* somebody has had its result, or nobody shall */
	bool leaves; /* its groups are to be removed */
	enum wire_reason reason;
	struct wire_result result;
};

/* A sandbox, as long as the pool knows it. */
struct box {
	pool_id id;
	struct broker *broker;
	struct definition definition;
	struct resident resident; /* RESIDENT_NONE unless there is one */
	bool alive; /* PID 1 was there when last seen */
	bool forgotten; /* for the pool; an order is still under way */
	unsigned orders; /* under way */
	struct watch died;
	struct timer again; /* a removal that failed */
	struct timer sweep; /* of an earlier daemon's commands */
	LIST_HEAD(, exec) execs;
	uint64_t next_exec; /* number in the ids of execs */
	uint64_t prepared; /* number whose groups are there, or being made; 0: none */
	struct timer unprepare; /* they go if nobody comes */
	struct timer tidy; /* groups of those that have ended go */
	uint32_t tidy_delay; /* ms, while some are not empty yet */
	bool tidying; /* a worker is at it, */
	uint64_t tidy_first; /* from this number on; of the last time */
	struct pending *holder; /* whose end is its end; NULL: nobody's */
	uint64_t inspecting; /* cookie of who waits for that; 0: nobody */
	uint64_t used_at; /* ms since 1970 */
	uint64_t asked_ms; /* CLOCK_MONOTONIC: when its making was ordered */
	char *failure; /* why it could not be made; NULL: nothing, or no memory */
};

struct event {
	uint64_t number, time;
	uid_t client;
	char type[EVENT_TEXT_MAX];
	char name[WIRE_NAME_MAX + 1];
	char exec[WIRE_EXEC_MAX + 1];
	char why[EVENT_TEXT_MAX];
};

struct broker {
	const struct broker_settings *settings;
	const struct runtime_config *config;
	struct access *access;
	struct cgroup_host host;
	struct loop *loop;
	struct crew *crew;
	struct pool *pool;
	int definitions; /* directory of those that are stopped */
	int lock;
	LIST_HEAD(, front) fronts;
	LIST_HEAD(, spare) spares;
	struct timer spare_timer;
	uint32_t next_serial;
	struct idmap pendings; /* by cookie */
	struct idmap boxes; /* by pool_id */
	struct watch listener, signals;
	struct timer reaper; /* of children that nobody knows */
	int signal_fd;
	struct timer pool_timer;
	struct event events[EVENTS_KEPT]; /* by number modulo */
	uint64_t event_count;
	bool working, ending;
	struct idmap metrics; /* struct metrics by uid + 1 */
	struct metrics unknown; /* counts for whom there was no memory */
	uint64_t started; /* seconds since 1970 */
	uint64_t fronts_killed;
	uint64_t idle_count; /* fronts that have become idle */
	struct timer metrics_timer; /* when the file is written next */
	struct timer accept_timer; /* when connections are taken again */
	struct timer alive_timer;
	struct timer stray_timer;
	uint32_t stray_delay; /* ms */
	unsigned adopted;
};

/* --- broker.c */

/* Milliseconds since 1970. */
uint64_t broker_time(void);

/* Does what the pool has decided, and sees to its next deadline. To be called after
 * whatever has told it something; harmless while it is at that already. */
void broker_work(struct broker *b);

/* Sends a reply. A front that does not take it is ended. */
void broker_reply(struct front *f, const struct wire_reply *reply, const int *fds,
		  unsigned count);

/* Can it be sent what it has not asked for? That comes without bound: it leaves replies
 * their room, without which the front would have to go, and all of its clients with it
 * (E-58). */
bool front_has_room(const struct front *f);

/* Ends a front that is not itself any more, and all that its clients are at. */
void front_end(struct front *f, const char *why);

/* Answers and forgets the request. */
void pending_done(struct pending *p, uint64_t number);
void pending_fail(struct pending *p, const struct wire_error *error);
void pending_sandbox(struct pending *p, struct box *box, bool created);
/* Takes `document` (a JSON object for free()); `more`: the request lives on. */
void pending_document(struct pending *p, char *document, bool more);
void pending_forget(struct pending *p);

/* What is counted for that client. */
struct metrics *broker_metrics(struct broker *b, uid_t client);

/* Notes that something has happened, for those who listen, and in the log. */
void broker_event(struct broker *b, uid_t client, const char *type, const char *name,
		  const char *exec, const char *why);

/* Tells one who listens what has happened since the last time, or will when its front has
 * read some of what is there (a timer's `due`; context: struct pending). */
void broker_tell_events(void *context);

/* --- fronts.c */

/* A watch's: takes connections. */
void fronts_hear_listener(void *broker, uint32_t events);
/* After a pause for want of descriptors. A timer's. */
void fronts_listen_again(void *broker);
/* Tells the pool what that client may have. */
must_check int fronts_set_client(struct broker *b, uid_t uid, struct err *e);
bool fronts_know(const struct broker *b, pid_t pid);

/* --- requests.c */

/* Does what a front asks for, or begins to. Takes the descriptors. */
void request_take(struct front *f, const struct wire_request *rq, int *fds,
		  unsigned count);

/* Errors; the request is forgotten. */
void request_fail(struct pending *p, enum wire_error_code code, const char *what,
		  const char *why);
void request_busy(struct pending *p, const char *what, uint32_t limit);
/* The client's sandbox of that name, or NULL after an answer that there is none. */
struct box *request_find(struct pending *p, const char *name);

/* The pool's word on a request that had to wait. */
void request_admitted(struct broker *b, const struct pool_action *action);
void request_refused(struct broker *b, const struct pool_action *action);

/* An exec's sandbox has died before the command had begun: it waits for the next
 * generation. Answers, and frees the exec, if it may not. */
void request_again(struct pending *p);

/* Its front, or the client behind, has gone. */
void request_dropped(struct pending *p, enum wire_reason reason);

/* --- requests_look.c */

/* Of a sandbox: asks the kernel, by a worker. */
void request_inspect(struct pending *p, const struct wire_request *rq);
/* Commands that run, and those that are kept. */
void request_execs(struct pending *p, const struct wire_request *rq);
/* Once, or again and again. */
void request_stats(struct pending *p, const struct wire_request *rq);
/* Those of the past, or those to come. */
void request_events(struct pending *p, const struct wire_request *rq);

/* --- boxes.c */

/* Takes in what an earlier daemon has left, and removes what makes no sense. */
must_check int boxes_adopt(struct broker *b, struct err *e);
/* What the pool has given that handle to. Takes the definition. */
must_check int box_new(struct broker *b, pool_id id, struct definition *definition,
		       struct box **ret, struct err *e);
/* NULL: the handle means nothing. */
struct box *box_find(const struct broker *b, pool_id id);
/* What the pool has decided about a sandbox itself. */
void box_act(struct broker *b, const struct pool_action *action);
/* As clients are told. */
void box_describe(const struct box *box, struct wire_sandbox *ret);
/* Fills in what the exec leaves to the sandbox: ids, directory. */
void box_complete_exec(const struct box *box, struct wire_exec *exec);
/* What the pool has to know of a definition. */
void box_spec(const struct broker *b, const struct definition *d, struct pool_spec *ret);
/* The order is about a living sandbox; on failure `done` is not called. */
must_check int box_order(struct box *box, struct worker_order *order, const int *fds,
			 unsigned count, crew_done done, void *context, struct err *e);
/* Forgets it; what it stands for lives on. */
void box_free(struct box *box);
/* Begins to remove those that go with a connection. */
void boxes_discard_held(struct broker *b);
void boxes_end_execs(struct broker *b);
/* Is it PID 1 of a sandbox, or a command? */
bool boxes_know(const struct broker *b, pid_t pid);
/* Soon: removes sandboxes that no box has, such as what a worker has made before it died.
 */
void boxes_have_strays(struct broker *b);
/* A timer's. */
void boxes_look_for_strays(void *broker);
/* Is there anything that the end has to wait for? */
bool boxes_busy(const struct broker *b);
/* One order less; frees the box if that was what it lived for. */
void box_order_done(struct box *box);

/* The definition as a memfd. */
must_check int box_make_label(const struct definition *d, int *ret_fd, struct err *e);
/* Has a worker build it; the pool is told how that went. */
void box_build(struct box *box);
/* It is that sandbox from now on, and has been made by that. */
void box_take_resident(struct box *box, struct resident *resident);

/* It was that sandbox before this daemon. */
must_check int box_taken_in(struct box *box, struct resident *resident, struct err *e);

/* --- spares.c */

/* Makes as many as the profiles want. A timer's. */
void spares_fill(void *broker);
/* Makes one the box's, or begins to; false: there is none that fits. */
bool spares_bind(struct box *box);
bool spares_know(const struct broker *b, pid_t pid);
bool spares_have(const struct broker *b, uint32_t slot);
/* After a change of the configuration: all of them are made anew. */
void spares_renew(struct broker *b);
/* Removes all of them that are not being bound. */
void spares_drop(struct broker *b);
/* At the end of the daemon: the next one removes them. */
void spares_let_go(struct broker *b);

/* --- execs.c */

/* Takes the descriptors (strings first), also on failure. */
must_check int exec_new(struct box *box, const struct wire_exec *asked, int *fds,
			unsigned count, struct exec **ret, struct err *e);
/* The pool has admitted it. */
void exec_begin(struct exec *x);
/* Ends it for that reason; the result follows when it is gone. */
void exec_kill(struct exec *x, enum wire_reason reason);
/* PID 1 of its sandbox has died. */
void exec_lose(struct exec *x);
/* Its client does not want it any more, or another one does not. */
void exec_cancel(struct exec *x);
/* Before it has been admitted, or after its end. */
void exec_free(struct exec *x);
/* Has it ended, and does nobody want its result any more? It is only waiting to be freed.
 */
bool exec_is_over(const struct exec *x);
/* One of that id that is not over, or NULL. */
struct exec *exec_find(const struct box *box, const char *id);

/* --- execs_groups.c */

/* One that has ended: its groups are removed before long. Then it is freed or, if it is a
 * detached one, kept for a while. */
void exec_leave(struct exec *x);
/* A timer's: removes groups of commands that have ended. */
void exec_tidy(void *box);
/* Says in the order that starts a command whose groups are made (its own perhaps, and
 * those of the next one); takes note that the order has been carried out, or has not. */
void exec_prepare_next(struct exec *x, struct worker_order *order);
void exec_prepared_next(struct exec *x);
/* A timer's: takes away what was made for a command to come. */
void exec_unprepare(void *box);

/* --- execs_strings.c */

/* Replaces the client's strings by argv and the whole environment, and notes the former
 * for lists. */
must_check int exec_complete_strings(struct exec *x, struct err *e);

/* --- documents.c: parameters of replies, as JSON objects for free() */

/* The reply to List. */
char *document_list(const struct broker *b, uid_t client, bool all);
/* The reply to Execs. */
char *document_execs(const struct box *box);
/* The reply to Stats: of one, or (name "") of all that run. */
char *document_stats(const struct broker *b, uid_t client, const char *name);
/* The reply to Events: those that are kept, from number from + 1 on. */
char *document_events(const struct broker *b, uid_t client, uint64_t from);
/* The reply to Info. */
char *document_info(const struct broker *b, uid_t client);
/* The reply to Inspect; `document`: what the worker has read, or −1. */
char *document_inspect(const struct box *box, int document);
/* The reply to Metrics. */
char *document_metrics(struct broker *b, uid_t client);

/* Everybody's, as Prometheus reads it, for free(); NULL: no memory. */
char *documents_all_metrics(struct broker *b);
