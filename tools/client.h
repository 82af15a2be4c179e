/* SPDX-License-Identifier: Apache-2.0 */
/* A Varlink client of carreld: one connection, one call on it at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CLIENT_SOCKET    "/run/carrel/carrel.sock"
#define CLIENT_HOST      "unix://" CLIENT_SOCKET
#define CLIENT_INTERFACE "io.carrel.Pool."

enum { CLIENT_FDS_MAX = 18 }; /* beside one call */

/* A connection. What has come and has not been taken yet is in the buffer. */
struct client_link {
	int sock;
	int passed; /* a descriptor that came with it; −1: none */
	char *buffer;
	size_t size, start, end;
	int timeout_ms; /* to wait for a reply; 0: as long as it takes */
};

#define CLIENT_NONE ((struct client_link){ .sock = -1, .passed = -1 })

/* One reply to a call. */
struct client_reply {
	json_t *parameters; /* an object; owned */
	bool continues; /* more replies follow */
};

/* Which socket is meant: `host` ("unix:///path"), or else CARREL_HOST, or else
 * CLIENT_SOCKET. *ret_path lives as long as `host` and the environment. */
must_check int client_socket_path(const char *host, const char **ret_path, struct err *e);

/* Connects to it. *ret is for client_close(), also on failure. The error says who does
 * not listen or may not connect. */
must_check int client_open(const char *host, struct client_link *ret, struct err *e);
void client_close(struct client_link *c);

/* A call: a method of io.carrel.Pool, its parameters (taken, also on failure; NULL:
 * −ENOMEM), and descriptors that stay the caller's. */
struct client_request {
	const char *method;
	json_t *parameters;
	bool more; /* several replies are welcome */
	const int *fds;
	unsigned fd_count;
};

/* Sends a call; waits as long as carreld does not read. */
must_check int client_send(struct client_link *c, const struct client_request *rq,
			   struct err *e);

/* Waits for the next reply. *ret is for client_reply_free(), untouched on failure. What
 * carreld refuses is an error like others; its code is −ENOENT (no such sandbox or exec),
 * −EEXIST (conflict), −EPERM (refused), −EBUSY, −EINVAL (wrong state), −EIO (failed). A
 * connection that ends is −EPIPE, no reply in time −ETIMEDOUT. */
must_check int client_receive(struct client_link *c, struct client_reply *ret,
			      struct err *e);

/* The same without waiting: −EAGAIN, and *e as it was, when no whole reply is there. */
must_check int client_try_receive(struct client_link *c, struct client_reply *ret,
				  struct err *e);
void client_reply_free(struct client_reply *r);

/* The descriptor that has come with the last reply or an earlier one, now the caller's;
 * −1: none. The kernel may hand it out with bytes of a reply before its own. */
int client_take_descriptor(struct client_link *c);

/* Sends a call and waits for its only reply, whose parameters are the caller's. */
must_check int client_call(struct client_link *c, const char *method, json_t *parameters,
			   json_t **ret, struct err *e);

/* The same for a call whose reply says nothing. */
must_check int client_order(struct client_link *c, const char *method, json_t *parameters,
			    struct err *e);

/* What carreld's error means, as a sentence in *e. Returns its code. */
int client_error(const char *name, const json_t *parameters, struct err *e);

/* Members of a reply; 0, "" and false for what is absent or of another type. */
int64_t client_int(const json_t *object, const char *key);
const char *client_text(const json_t *object, const char *key);
bool client_flag(const json_t *object, const char *key);
