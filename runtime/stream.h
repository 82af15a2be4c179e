/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a command's output: its head and its tail, within bounds. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * The first head_max bytes are kept for good; after them, the last tail_max. Everything
 * that is put in counts, whether it is kept or not, so that what was dropped between head
 * and tail is known exactly. Memory is taken as it is needed and never beyond the two
 * maxima. Without memory, bytes are dropped and counted like others.
 */

enum {
	STREAM_MAX_DEFAULT = 1 << 20, /* bytes kept of one stream */
	STREAM_MAX_CEILING = 16 << 20,
};

struct stream {
	size_t head_max, tail_max;
	char *head;
	size_t head_len, head_size;
	char *tail; /* a ring */
	size_t tail_start, tail_len, tail_size;
	uint64_t total; /* bytes that have been put in */
};

/* Empty, for head_max bytes and then tail_max. For stream_free(). */
struct stream stream_of(size_t head_max, size_t tail_max);
void stream_free(struct stream *s);

/* Takes the next bytes of the output. */
void stream_put(struct stream *s, const char *data, size_t len);

/* How many bytes are kept. What is missing of the total was dropped. */
size_t stream_kept(const struct stream *s);

/* Copies kept bytes, from the `at`th on, into buf. Returns how many, at most `size`. */
size_t stream_copy(const struct stream *s, size_t at, char *buf, size_t size);
