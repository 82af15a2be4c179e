/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/stream.h"

enum { FIRST_SIZE = 4096 }; /* bytes of memory, then twice as much each time */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

struct stream stream_of(size_t head_max, size_t tail_max)
{
	return (struct stream){ .head_max = head_max, .tail_max = tail_max };
}

void stream_free(struct stream *s)
{
	free(s->head);
	free(s->tail);
	*s = stream_of(s->head_max, s->tail_max);
}

/* Room for `need` bytes, of `max` at most. */
static int grow(char **buf, size_t *size, size_t need, size_t max)
{
	size_t wanted = *size ? *size : FIRST_SIZE;
	char *grown;

	if (need <= *size)
		return 0;
	while (wanted < need)
		wanted *= 2;
	wanted = smaller(wanted, max);
	grown = realloc(*buf, wanted);
	if (!grown)
		return -ENOMEM;
	*buf = grown;
	*size = wanted;
	return 0;
}

static size_t put_head(struct stream *s, const char *data, size_t len)
{
	size_t n = smaller(len, s->head_max - s->head_len);

	if (n == 0)
		return 0;
	if (grow(&s->head, &s->head_size, s->head_len + n, s->head_max) < 0) {
		/* The head ends here: nothing may come behind a gap. */
		s->head_max = s->head_len;
		return 0;
	}
	memcpy(s->head + s->head_len, data, n);
	s->head_len += n;
	return n;
}

/* A ring only turns when it has its full size. */
static void put_tail(struct stream *s, const char *data, size_t len)
{
	size_t at, first;

	if (len > s->tail_max) {
		data += len - s->tail_max;
		len = s->tail_max;
	}
	if (len == 0)
		return;
	if (grow(&s->tail, &s->tail_size, smaller(s->tail_len + len, s->tail_max),
		 s->tail_max) < 0) {
		s->tail_max = s->tail_size;
		put_tail(s, data, len);
		return;
	}
	at = s->tail_start + s->tail_len;
	at -= at >= s->tail_size ? s->tail_size : 0;
	first = smaller(len, s->tail_size - at);
	memcpy(s->tail + at, data, first);
	memcpy(s->tail, data + first, len - first);
	s->tail_len += len;
	if (s->tail_len > s->tail_size) {
		s->tail_start =
			(s->tail_start + s->tail_len - s->tail_size) % s->tail_size;
		s->tail_len = s->tail_size;
	}
}

void stream_put(struct stream *s, const char *data, size_t len)
{
	size_t n = put_head(s, data, len);

	s->total += len;
	put_tail(s, data + n, len - n);
}

size_t stream_kept(const struct stream *s)
{
	return s->head_len + s->tail_len;
}

size_t stream_copy(const struct stream *s, size_t at, char *buf, size_t size)
{
	size_t copied = 0;

	while (copied < size && at < stream_kept(s)) {
		const char *from;
		size_t n;

		if (at < s->head_len) {
			from = s->head + at;
			n = s->head_len - at;
		} else {
			size_t place = s->tail_start + at - s->head_len;

			place -= place >= s->tail_size ? s->tail_size : 0;
			from = s->tail + place;
			n = smaller(s->tail_size - place, stream_kept(s) - at);
		}
		n = smaller(n, size - copied);
		memcpy(buf + copied, from, n);
		copied += n;
		at += n;
	}
	return copied;
}
