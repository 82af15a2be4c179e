/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text of 64 letters, RFC 4648: "+" and "/", padded, without line breaks. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* The length of `size` bytes in base64, without a NUL. */
static inline size_t base64_length(size_t size)
{
	return (size + 2) / 3 * 4;
}

/* Writes base64_length(size) letters to text, and no NUL. */
void base64_encode(const void *data, size_t size, char *text);

/* Decodes exactly `length` letters into data, which has room for length / 4 * 3 bytes.
 * −EINVAL for anything that base64_encode() would not have made. */
must_check int base64_decode(const char *text, size_t length, void *data,
			     size_t *ret_size);
