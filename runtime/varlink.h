/* SPDX-License-Identifier: Apache-2.0 */
/* Varlink: where a message ends, what a call says, what an answer looks like (pure). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * A message is one JSON object and a NUL byte. What is no message in that sense cannot be
 * answered: −EPROTO, and the connection ends. What is a message but no call that we know
 * gets one of the errors of org.varlink.service.
 *
 * Before the parser sees a text, its brackets and commas are counted: an object in memory
 * can be a hundred times as large as the two bytes that it was written with.
 */

enum {
	VARLINK_MESSAGE_MAX = 2 << 20, /* bytes, without the NUL */
	VARLINK_DEPTH_MAX = 16, /* objects and arrays in each other */
	VARLINK_OBJECTS_MAX = 64, /* objects and arrays */
	VARLINK_VALUES_MAX = 20000, /* values in them */
	VARLINK_NAME_MAX = 255, /* bytes of a method's name */
};

#define VARLINK_SERVICE "org.varlink.service"

/* What a client asks for. */
struct varlink_call {
	json_t *message; /* owned; the rest belongs to it */
	const char *method;
	json_t *parameters; /* an object; NULL: none */
	bool more, oneway;
};

/* An answer that says no. */
struct varlink_error {
	const char *name; /* with its interface; a constant */
	const char *key; /* of its only parameter, or NULL */
	char value[VARLINK_NAME_MAX + 1];
};

/* Who we are. */
struct varlink_service {
	const char *vendor, *product, *version, *url;
	const char *interface; /* the one beside org.varlink.service */
	const char *description; /* of it */
	size_t description_size;
};

/* The length of the first message in buf, or `len`: it has not ended yet. The first
 * `seen` bytes have been looked at already. */
size_t varlink_message_length(const char *buf, size_t len, size_t seen);

/* Takes a message apart, without its NUL. −EPROTO: it is none. −EINVAL: *ret_error is
 * the answer. −ENOMEM. *ret is for varlink_call_free() unless −EPROTO or −ENOMEM. */
must_check int varlink_call_parse(const char *text, size_t len, struct varlink_call *ret,
				  struct varlink_error *ret_error);
void varlink_call_free(struct varlink_call *call);

/* The method's name within `interface`, or NULL: it is another's. */
const char *varlink_method_of(const struct varlink_call *call, const char *interface);

/* Says that the method is not known: neither this nor that interface has it. */
struct varlink_error varlink_no_method(const struct varlink_call *call,
				       const struct varlink_service *service);

/* org.varlink.service.InvalidParameter; a name that is too long to repeat is cut. */
struct varlink_error varlink_invalid(const char *parameter);

/* An error without parameters, by its full name, which must be a constant. */
struct varlink_error varlink_plain_error(const char *name);

/* Answers a call of org.varlink.service. −EINVAL: with *ret_error. *ret: the reply's
 * parameters, the caller's. */
must_check int varlink_service_answer(const struct varlink_service *service,
				      const struct varlink_call *call, json_t **ret,
				      struct varlink_error *ret_error);

/* Whole messages, which their NUL is sent with, for free(); NULL: out of memory. The
 * parameters (NULL: there was no memory for them) are consumed. */
char *varlink_reply(json_t *parameters, bool continues);
char *varlink_error(const char *name, json_t *parameters);
char *varlink_error_reply(const struct varlink_error *error);

/* The same around the text of an object, which must be one. */
char *varlink_reply_text(const char *object, size_t len, bool continues);
