/* SPDX-License-Identifier: Apache-2.0 */
/* What parameters look like, and values put where a table says (pure). */
#pragma once

#include "runtime/request.h"

enum kind {
	TEXT, /* char[max + 1], of min to max bytes */
	NAME, /* the same without control characters */
	NUMBER32, /* min to max */
	NUMBER64,
	FLAG, /* uint32_t */
	LIMITS, /* struct wire_limits */
	NETWORK, /* uint32_t: enum wire_network */
	STREAM, /* uint32_t: 0 stdout, 1 stderr */
	ARGUMENTS, /* strings, at least one */
	ENVIRONMENT, /* strings NAME=VALUE */
	LABELS, /* pairs of strings */
	BASE64, /* input, input_size */
};

/* A parameter: what it must be, and where in struct request it goes. */
struct field {
	const char *name;
	enum kind kind;
	bool required;
	size_t offset; /* of the value, or of the count of strings */
	int64_t min, max;
};

/* Where values go to, and what is wrong with them. */
struct decode {
	struct request *rq;
	struct varlink_error error;
};

/* Puts the object's values where the table says, in the order of the table; each kind of
 * strings at most once. −EINVAL: d->error says which field is unknown, absent or wrong.
 * −ENOMEM. d->rq->strings must have room for all strings that there can be. */
must_check int request_take_fields(const struct field *fields, unsigned count,
				   const json_t *object, struct decode *d);
