/* SPDX-License-Identifier: Apache-2.0 */
/* Strict numbers: decimal digits only, the whole string, range checked. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* No sign, no space, no leading zero (but "0" itself), nothing behind the digits.
 * −EINVAL for a malformed number, −ERANGE outside [min, max]. */
must_check int num_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Bytes: a number with an optional b, k, m or g (powers of 1024), any case. */
must_check int num_parse_size(const char *text, uint64_t *ret_bytes);

/* A span of time: a number with an optional ms, s, m or h; seconds without. The result
 * is in milliseconds. */
must_check int num_parse_duration(const char *text, uint64_t *ret_ms);

/* A decimal fraction with at most three places ("1.5"), in thousandths. */
must_check int num_parse_milli(const char *text, uint64_t *ret_milli);
