/* SPDX-License-Identifier: Apache-2.0 */
/* The process that the clients of one uid talk to. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 *	client ── Varlink ──▶ connection ──▶ call ──▶ record ──▶ broker
 *	client ◀── Varlink ── connection ◀── call ◀── record ◀── broker
 *	                                      ▲
 *	                             pipes of the command
 *
 *	front.c		life of the process; records from and to the broker
 *	front_conn.c	bytes from and to a client; descriptors that come with them
 *	front_request.c	from a client's message to a record
 *	front_call.c	from records and output to replies
 *	front_exec.c	output of commands whose client has passed no descriptors
 *	varlink, request, reply, stream: pure parts
 *
 * The front trusts the broker and no client. Nothing that a client does makes it end:
 * what is no Varlink message closes the connection, what is none of our calls is
 * answered with an error. It ends when the broker does, and when it can no longer talk
 * to it. It tells the broker when connections end and when it is of no use any more: one
 * that is idle may be ended, and be made again for the next connection.
 *
 * Who does not read is not written for: requests are taken from a connection one at a
 * time, and only while there is room for replies. A command's output is read all the
 * time, kept within its bounds, counted exactly, and sent as the client reads.
 *
 * Memory. What a client can make grow (messages that are not complete, replies that are
 * not read, output that is kept) is taken from one budget of FRONT_MEMORY_MAX bytes, in
 * full before it is used: who finds it used up gets Busy, or loses the connection.
 * Beside it, there are at most FRONT_CONNS_MAX connections of FRONT_CONN_COST bytes,
 * one call for each and one record of WIRE's for each call; and, for a moment and one at
 * a time, what the JSON of one message becomes in memory (VARLINK_*_MAX: below 8 MiB) or
 * that of a broker's document (FRONT_DOCUMENT_MAX). Standard input that a client has sent
 * along lives in memfds as long as commands have them: VARLINK_MESSAGE_MAX for each
 * exec.
 */

enum {
	FRONT_CONNS_MAX = 256,
	FRONT_CALLS_MAX =
		512, /* also those that the broker is still to hear the end of */
	FRONT_DETACHED_MAX = 256, /* whose output is kept */
	FRONT_CONN_COST = 16 << 10,
	FRONT_MEMORY_MAX = 512 << 20,
	FRONT_QUEUE_MAX =
		4 << 20, /* replies that come by themselves, of one connection */
	FRONT_DOCUMENT_MAX = 8 << 20,
	FRONT_RING_SIZE = 1 << 20, /* of each stream of a detached exec */
};

/* Times in milliseconds. */
struct front_limits {
	uint64_t message_ms; /* for a message to become complete */
	uint64_t stall_ms; /* for a client to read something */
	uint64_t drain_ms; /* for output to come, after a command's end */
	uint64_t forget_ms; /* for a detached exec's output to be asked for */
	size_t memory; /* bytes, instead of FRONT_MEMORY_MAX */
};

/* 10 s, 30 s, 100 ms, ten minutes. */
struct front_limits front_limits_defaults(void);

/* Serves the connections that come over `broker` (a SOCK_SEQPACKET socket) until the
 * broker has gone (0) or something has failed that no client is to blame for. Blocks.
 * Closes `broker`. */
must_check int front_serve(int broker, const struct front_limits *limits, struct err *e);

/* As what the broker starts its own program again, with the id (user and group) as the
 * only argument and its end of the pair as that descriptor. */
#define FRONT_PROGRAM "carreld-front"
enum { FRONT_SOCKET = 3 };

/* The life of a front: in a child of the broker's, as root, without threads. Confines
 * itself to the ids, which must be nobody else's (confine.h), and serves. The caller must
 * exit with what it returns (0 or −errno) without doing anything else. Closes all other
 * descriptors. */
must_check int front_main(int broker, uid_t uid, gid_t gid, struct err *e);
