/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/stream.h"

static void assert_kept(const struct stream *s, const char *text)
{
	char buf[256] = "";
	size_t n = stream_copy(s, 0, buf, sizeof(buf));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
	assert_int_equal(stream_kept(s), n);
}

static void little_output_is_kept_whole(void **state)
{
	struct stream s = stream_of(4, 4);

	(void)state;
	assert_kept(&s, "");
	stream_put(&s, "abc", 3);
	assert_kept(&s, "abc");
	stream_put(&s, "defgh", 5);
	assert_kept(&s, "abcdefgh");
	assert_int_equal(s.total, 8);
	stream_free(&s);
}

static void head_and_tail_are_kept_and_the_rest_is_counted(void **state)
{
	struct stream s = stream_of(3, 4);

	(void)state;
	stream_put(&s, "abcdefghijklmnop", 16);
	assert_kept(&s, "abcmnop");
	stream_put(&s, "q", 1);
	assert_kept(&s, "abcnopq");
	assert_int_equal(s.total, 17);
	stream_free(&s);
}

static void nothing_may_be_kept(void **state)
{
	struct stream s = stream_of(0, 0);

	(void)state;
	stream_put(&s, "abc", 3);
	assert_kept(&s, "");
	assert_int_equal(s.total, 3);
	stream_free(&s);
}

static void tail_alone_is_a_ring(void **state)
{
	struct stream s = stream_of(0, 5);

	(void)state;
	for (int i = 0; i < 26; i++) {
		char c = (char)('a' + i);

		stream_put(&s, &c, 1);
	}
	assert_kept(&s, "vwxyz");
	stream_free(&s);
}

/* Against a plain buffer of everything, with pieces and bounds of all sizes. */
static void any_pieces_give_the_same_as_the_whole(void **state)
{
	enum { ALL = 40000 };
	char *all = malloc(ALL), *copy = malloc(ALL);
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < ALL; i++)
		all[i] = (char)(i * 7 + i / 251);
	for (int round = 0; round < 300; round++) {
		size_t head = (size_t)rand_r(&seed) % 9000;
		size_t tail = (size_t)rand_r(&seed) % 9000, at = 0, from, n;
		struct stream s = stream_of(head, tail);

		while (at < ALL) {
			size_t piece = 1 + (size_t)rand_r(&seed) % 12000;

			if (piece > ALL - at)
				piece = ALL - at;
			stream_put(&s, all + at, piece);
			at += piece;
		}
		assert_int_equal(s.total, ALL);
		assert_int_equal(stream_kept(&s), head + tail);
		assert_true(s.head_size <= head && s.tail_size <= tail);
		from = (size_t)rand_r(&seed) % (head + tail + 1);
		n = stream_copy(&s, from, copy, ALL);
		assert_int_equal(n, head + tail - from);
		for (size_t i = 0; i < n; i++) {
			size_t place = from + i;

			place += place < head ? 0 : ALL - head - tail;
			if (copy[i] != all[place])
				fail_msg("byte %zu differs", i);
		}
		stream_free(&s);
	}
	free(all);
	free(copy);
}

static void memory_grows_with_what_is_put_in(void **state)
{
	struct stream s = stream_of(1 << 20, 1 << 20);

	(void)state;
	stream_put(&s, "x", 1);
	assert_true(s.head_size <= 4096);
	assert_int_equal(s.tail_size, 0);
	stream_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_output_is_kept_whole),
		cmocka_unit_test(head_and_tail_are_kept_and_the_rest_is_counted),
		cmocka_unit_test(nothing_may_be_kept),
		cmocka_unit_test(tail_alone_is_a_ring),
		cmocka_unit_test(any_pieces_give_the_same_as_the_whole),
		cmocka_unit_test(memory_grows_with_what_is_put_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
