/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a front know of each other. */
#pragma once

#include <stdbool.h>

#include "runtime/front.h"
#include "runtime/loop.h"
#include "runtime/request.h"
#include "runtime/stream.h"
#include "runtime/varlink.h"
#include "runtime/wire.h"

enum { FRONT_CHUNK = 48 << 10 }; /* bytes of output in one reply; a multiple of 3 */

/* A record on its way to the broker. */
struct record {
	struct record *next;
	struct wire_request request;
	int fds[WIRE_FDS_MAX];
	unsigned count;
};

struct front {
	struct loop *loop;
	const struct front_limits *limits;
	int broker;
	struct watch broker_watch;
	struct record *outbox, **outbox_end; /* that the broker has not taken yet */
	struct call *calls[FRONT_CALLS_MAX];
	uint32_t rounds; /* makes tags new */
	unsigned next_call; /* where to look for a free place */
	struct conn *conns, *dead;
	unsigned conn_count;
	uint64_t taken; /* connections, ever */
	struct wire_left told; /* what the broker knows of them */
	struct capture *detached; /* newest first */
	unsigned detached_count;
	size_t held; /* of limits->memory */
	bool finished; /* the broker has gone */
	int failure; /* −errno: we cannot go on */
	char raw[FRONT_CHUNK]; /* for what is read and passed on at once */
	char text[FRONT_CHUNK / 3 * 4];
};

/* A buffer whose bytes come out of the budget. */
struct buffer {
	char *data;
	size_t start, len, size;
};

/* A client. */
struct conn {
	struct front *front;
	struct conn *next, **link;
	int fd;
	struct watch watch;
	uint32_t events; /* that are waited for */
	struct buffer in, out;
	size_t seen; /* bytes of `in` known to be without a NUL */
	int fds[WIRE_FDS_MAX]; /* that have come and that no call has taken yet */
	unsigned fd_count;
	int passed; /* goes with the byte of `out` at passed_at; −1: none */
	size_t passed_at;
	struct timer message, stall, again;
	struct call *call; /* that is being answered */
	struct call *held; /* answered; what they have made ends with the connection */
	bool ended; /* no more calls will come */
	bool broken; /* to be closed by conn_advance() */
	bool dead; /* closed; freed at the end of the turn */
};

/* How far the replies to an exec are. */
enum call_stage {
	CALL_RUNS,
	CALL_STDOUT,
	CALL_STDERR,
};

/* From a request to its last reply. */
struct call {
	struct front *front;
	struct conn *conn; /* NULL: has gone, and a detached exec is still to start */
	uint32_t tag;
	uint32_t type; /* enum wire_type */
	bool more, oneway, detach, keep;
	bool held; /* one of the connection's */
	struct call *next, **link;
	char name[WIRE_NAME_MAX + 1], exec[WIRE_EXEC_MAX + 1];
	/* Of an exec whose output the front carries. */
	struct capture *capture; /* or NULL */
	enum call_stage stage;
	size_t sent[2]; /* bytes of stdout and stderr */
	bool ended; /* the result is there */
	struct wire_result result;
	struct timer drain;
};

/* One stream of a command. */
struct pipe_end {
	struct capture *capture;
	int fd; /* −1: it has ended */
	struct watch watch;
	struct stream kept;
};

/* Output of one command: a call's, or a detached exec's. */
struct capture {
	struct front *front;
	struct call *call; /* NULL: detached */
	struct pipe_end pipes[2]; /* stdout, stderr */
	size_t reserved;
	uint64_t end_above; /* bytes of a stream; UINT64_MAX: it may have as many as it
			       likes */
	bool told; /* the broker has been told that it had too many */
	/* Of a detached one. */
	struct capture *next, **link;
	char name[WIRE_NAME_MAX + 1], exec[WIRE_EXEC_MAX + 1];
	struct timer forget;
};

/* --- front.c */

/* Takes bytes out of the budget. −EBUSY: there are not so many. */
must_check int front_reserve(struct front *f, size_t size);
void front_release(struct front *f, size_t size);

/* Queues a record and sends what the broker takes. The descriptors become the front's.
 * −ENOMEM: and they are closed. */
must_check int front_send(struct front *f, const struct wire_request *rq, const int *fds,
			  unsigned count);

/* Takes a request back that has not been sent yet. False: it has. */
bool front_unsend(struct front *f, uint32_t tag);

/* The loop has failed: the process cannot go on. */
void front_fail(struct front *f, int r);

/* --- front_conn.c */

/* Serves a client; `fd` becomes the front's in any case. */
void conn_new(struct front *f, int fd);

/* Ends the connection and what its client has asked for. */
void conn_close(struct conn *c);

/* Frees those that have been closed. Must not be called by what a connection calls. */
void conn_free_dead(struct front *f);

/* Appends to what is to be sent. Where that fails, the next conn_advance() closes. */
void conn_put(struct conn *c, const char *data, size_t len);

/* The same of a whole message, which is freed; NULL: there was no memory for it. */
void conn_put_message(struct conn *c, char *message);

/* The descriptor, which becomes the connection's, goes with the next byte put. */
void conn_pass(struct conn *c, int fd);

/* Is there room for what is sent only as the client reads? */
bool conn_has_room(const struct conn *c);

/* Goes on: sends, begins the next call, waits. Must be called by whoever has put
 * something or ended a call, last; not by call_begin() and call_pump(), which it calls.
 */
void conn_advance(struct conn *c);

/* Takes descriptors that have come, in their order; they become the caller's. −EINVAL:
 * there are not so many. */
must_check int conn_take_fds(struct conn *c, int *fds, unsigned count);

/* --- front_request.c */

/* Begins with a message of the client's: answers it, or makes it the connection's call.
 * −EPROTO: it is none. */
must_check int call_begin(struct conn *c, const char *text, size_t len);

/* --- front_call.c */

/* A call of the client's that is about to be sent. NULL: all places are taken, or there
 * is no memory. */
struct call *call_new(struct conn *c, const struct varlink_call *vc,
		      const struct request *rq);

/* Takes a reply of the broker's. The descriptor (−1: none) becomes the call's. May free
 * the call. */
void call_take_reply(struct call *call, const struct wire_reply *rp, int fd);

/* Puts what there is room for. May end and free the call. */
void call_pump(struct call *call);

/* All output is there that will be considered. May free the call. */
void call_output_over(struct call *call);

/* The client has gone: the broker is told, and the call is freed, unless it is a detached
 * exec that is about to start. */
void call_drop(struct call *call);

/* Frees it without a word to anybody. */
void call_free(struct call *call);

/* --- front_exec.c */

/* Makes the pipes of an exec and its standard input: fds[0] to fds[2] are the command's
 * and become the caller's. −EBUSY: there is no room for what is to be kept. The capture
 * is the call's. */
must_check int capture_new(struct call *call, const struct request *rq, int *fds,
			   struct err *e);
void capture_free(struct capture *c);

/* The exec has started and is nobody's: what it writes is kept for capture_find(). */
void capture_detach(struct capture *c, const char *name, const char *exec);

/* A detached exec's, or NULL. */
struct capture *capture_find(const struct front *f, const char *name, const char *exec);

/* Reads what is there. True: both streams have ended. */
bool capture_drain(struct capture *c);

/* No more will be read. */
void capture_close(struct capture *c);

/* How many bytes have been dropped. */
uint64_t capture_truncated(const struct capture *c);

/* Answers Output; for free(). NULL: out of memory. */
char *capture_output(const struct capture *c, const struct request *rq);
