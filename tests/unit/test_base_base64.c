/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void texts_of_the_rfc_are_made_and_read(void **state)
{
	static const struct {
		const char *bytes, *text;
	} known[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t size = strlen(known[i].bytes), length = strlen(known[i].text), got;
		char text[16] = { 0 }, bytes[16] = { 0 };

		assert_int_equal(base64_length(size), length);
		base64_encode(known[i].bytes, size, text);
		assert_string_equal(text, known[i].text);
		assert_int_equal(base64_decode(text, length, bytes, &got), 0);
		assert_int_equal(got, size);
		assert_string_equal(bytes, known[i].bytes);
	}
}

static void every_byte_survives_at_every_length(void **state)
{
	uint8_t bytes[259], back[264];
	char text[352];
	size_t got;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		base64_encode(bytes, size, text);
		assert_int_equal(base64_decode(text, base64_length(size), back, &got), 0);
		assert_int_equal(got, size);
		assert_memory_equal(back, bytes, size);
	}
}

static void decode_refuses_what_encode_does_not_make(void **state)
{
	static const char *const bad[] = {
		"Z",        "Zg",      "Zg=",  "Zh==",   "Zm9=",        "====",
		"Zg==Zg==", "Z===",    "Zm=v", "Zm9v\n", "Zm9-",        "Zm 9",
		"=m9v",     "Zm9vZg=", "Zm9_", "Z\0g=",  "Zm9vZm9\x80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t length = i == 15 ? 4 : strlen(bad[i]), got = 77;
		uint8_t bytes[16];

		if (base64_decode(bad[i], length, bytes, &got) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(got, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_of_the_rfc_are_made_and_read),
		cmocka_unit_test(every_byte_survives_at_every_length),
		cmocka_unit_test(decode_refuses_what_encode_does_not_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
