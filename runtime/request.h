/* SPDX-License-Identifier: Apache-2.0 */
/* From the parameters of a call of io.carrel.Pool to a record for the broker (pure). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/varlink.h"
#include "runtime/wire.h"

#define REQUEST_INTERFACE "io.carrel.Pool"

/*
 * Theory of operation
 *
 * request.c has a table of methods and their fields: type, range, and where the value
 * goes; request_fields.c puts values there. What is not in the table is refused by its
 * name. Whether a client may have what it asks for is the broker's question; here, only
 * what could not be said in a record is refused.
 */

enum { REQUEST_WIRE_NONE = 0 }; /* wire.type of Output, which the front answers itself */

/* One call, decoded. */
struct request {
	struct wire_request wire; /* without a tag; of Output: exec_ref */
	const char **strings; /* for wire_strings_make() */
	size_t string_count;
	bool more;
	/* Of Exec. */
	char *input; /* standard input; NULL: not given */
	size_t input_size;
	uint64_t descriptors;
	uint64_t max_output;
	uint32_t end_on_max_output;
	/* Of Output. */
	uint32_t stream; /* 0: stdout, 1: stderr */
	uint64_t offset;
	/* What the strings are made of. */
	char *text;
};

/* Decodes a call of a method of ours (the name without the interface). −ENOENT: there is
 * no such method. −EINVAL: *ret_error is the answer. −ENOMEM. *ret is for request_free(),
 * empty after a failure, and keeps pointers into the call, which must outlive it. */
must_check int request_parse(const char *method, const struct varlink_call *call,
			     struct request *ret, struct varlink_error *ret_error);
void request_free(struct request *rq);
