/* SPDX-License-Identifier: Apache-2.0 */
/* Records as the JSON objects that clients get (pure). */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "runtime/wire.h"

/* Names as in the interface. */
extern const char *const wire_reason_names[WIRE_REASON_MAX];
extern const char *const wire_state_names[WIRE_STATE_MAX];

/* All return a new reference; NULL: out of memory, or a value that has no name. */

/* JSON is UTF-8; other bytes, such as half a character at the end of a message that was
 * cut, are shown escaped rather than lost. */
json_t *wire_json_string(const char *text);

/* Those above INT64_MAX, which JSON has no room for, as INT64_MAX. */
json_t *wire_json_number(uint64_t value);

/* As in the interface. */
json_t *wire_json_state(uint32_t state);

/* `truncated`: bytes of output that were dropped. */
json_t *wire_json_result(const struct wire_result *result, uint64_t truncated);

/* Without labels. */
json_t *wire_json_sandbox(const struct wire_sandbox *sandbox);
