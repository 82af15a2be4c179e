/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, FIPS 180-4: what names the parts of an image. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	SHA256_SIZE = 32, /* bytes of a digest */
	SHA256_TEXT = 2 * SHA256_SIZE + 1, /* in hexadecimal, with the NUL */
};

/* A digest under way. */
struct sha256 {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	uint8_t block[64];
};

/* Starts one. */
struct sha256 sha256_begin(void);

/* Adds bytes to it. */
void sha256_add(struct sha256 *s, const void *data, size_t size);

/* Ends it and writes the digest in lower-case hexadecimal. */
void sha256_finish(struct sha256 *s, char ret[SHA256_TEXT]);
