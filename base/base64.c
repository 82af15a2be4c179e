/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>

#include "base/base64.h"

static const char letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* −1: none of the letters. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

void base64_encode(const void *data, size_t size, char *text)
{
	const uint8_t *p = data;

	for (; size >= 3; size -= 3, p += 3, text += 4) {
		text[0] = letters[p[0] >> 2];
		text[1] = letters[(p[0] & 3) << 4 | p[1] >> 4];
		text[2] = letters[(p[1] & 15) << 2 | p[2] >> 6];
		text[3] = letters[p[2] & 63];
	}
	if (!size)
		return;
	text[0] = letters[p[0] >> 2];
	text[1] = letters[(p[0] & 3) << 4 | (size == 2 ? p[1] >> 4 : 0)];
	text[2] = '=';
	if (size == 2)
		text[2] = letters[(p[1] & 15) << 2];
	text[3] = '=';
}

/* The first `count` of four letters, as the upper bits of 24. */
static int take_bits(const char *text, unsigned count, uint32_t *ret)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < count; i++) {
		int value = value_of(text[i]);

		if (value < 0)
			return -EINVAL;
		bits |= (uint32_t)value << (18 - 6 * i);
	}
	*ret = bits;
	return 0;
}

int base64_decode(const char *text, size_t length, void *data, size_t *ret_size)
{
	uint8_t *out = data;
	size_t padding = 0;
	uint32_t bits;

	if (length % 4)
		return -EINVAL;
	while (padding < 2 && length && text[length - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < length; i += 4) {
		unsigned count = i + 4 < length ? 4 : 4 - (unsigned)padding;

		if (take_bits(text + i, count, &bits) < 0)
			return -EINVAL;
		/* Bits that no byte is made of are zero: one text for the same bytes. */
		if (bits & (count == 2 ? 0xffff : count == 3 ? 0xff : 0))
			return -EINVAL;
		*out++ = (uint8_t)(bits >> 16);
		if (count > 2)
			*out++ = (uint8_t)(bits >> 8);
		if (count > 3)
			*out++ = (uint8_t)bits;
	}
	*ret_size = length / 4 * 3 - padding;
	return 0;
}
