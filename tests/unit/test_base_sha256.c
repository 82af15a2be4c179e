/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"

static const char *digest(const void *data, size_t size, size_t step)
{
	static char text[SHA256_TEXT];
	struct sha256 s = sha256_begin();

	for (size_t i = 0; i < size; i += step)
		sha256_add(&s, (const char *)data + i, size - i < step ? size - i : step);
	sha256_finish(&s, text);
	return text;
}

/* FIPS 180-4's examples, and the empty message. */
static void digests_are_those_of_the_standard(void **state)
{
	static const char two[] =
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

	(void)state;
	assert_string_equal(
		digest("", 0, 1),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_string_equal(
		digest("abc", 3, 3),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(
		digest(two, strlen(two), 64),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters_come_out_right_however_they_are_cut(void **state)
{
	static const size_t steps[] = { 1, 7, 63, 64, 65, 1000, 1000000 };
	char *letters = malloc(1000000);

	(void)state;
	assert_non_null(letters);
	memset(letters, 'a', 1000000);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		assert_string_equal(digest(letters, 1000000, steps[i]),
				    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d"
				    "39ccc7112cd0");
	free(letters);
}

/* From coreutils: lengths around the end of a block, where the padding changes. */
static void padding_is_right_around_the_end_of_a_block(void **state)
{
	static const struct {
		size_t length;
		const char *digest;
	} cases[] = {
		{ 55,
		  "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" },
		{ 56,
		  "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a" },
		{ 64,
		  "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" },
	};
	char letters[64];

	(void)state;
	memset(letters, 'a', sizeof(letters));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(digest(letters, cases[i].length, 64),
				    cases[i].digest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_the_standard),
		cmocka_unit_test(a_million_letters_come_out_right_however_they_are_cut),
		cmocka_unit_test(padding_is_right_around_the_end_of_a_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
