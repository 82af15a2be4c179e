/* SPDX-License-Identifier: Apache-2.0 */
/* From the broker's records to the messages that clients get (pure). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

/* What was asked for. */
struct reply_context {
	uint32_t type; /* enum wire_type of the request */
	bool more;
	const char *name, *exec; /* that the request named; "": none */
	uint64_t truncated; /* bytes of output that were dropped */
};

/* The whole message to a reply that is no DOCUMENT, with its NUL, for free(). NULL: out
 * of memory, or a reply with a value that has no name. */
char *reply_message(const struct reply_context *c, const struct wire_reply *rp);

/* The text of a result, as it stands in a message; for free(). NULL as above. */
char *reply_result_text(const struct wire_result *result, uint64_t truncated);

/* The whole message of an error that the front has found itself, for free(). */
char *reply_failed(const char *why);
char *reply_busy(const char *what, uint64_t limit);
char *reply_no_exec(const char *name, const char *exec);
