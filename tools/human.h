/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, spans and moments as people read them. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { HUMAN_MAX = 32 }; /* room for any of these texts */

/* "0B", "512KiB", "12.3MiB". Returns buf. */
const char *human_size(char buf[HUMAN_MAX], uint64_t bytes);

/* "Less than a second", "1 second", "5 minutes", "3 days": the largest unit that there is
 * one of, rounded down. Returns buf. */
const char *human_span(char buf[HUMAN_MAX], int64_t ms);

/* A moment in milliseconds since 1970, as RFC 3339 has it in UTC; "" for 0. Returns buf.
 */
const char *human_time(char buf[HUMAN_MAX], int64_t ms);
