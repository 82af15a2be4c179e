/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/sha256.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned by)
{
	return x >> by | x << (32 - by);
}

static uint32_t load(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expand(const uint8_t block[64], uint32_t w[64])
{
	for (int i = 0; i < 16; i++)
		w[i] = load(block + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

static void mix(struct sha256 *s, const uint8_t block[64])
{
	uint32_t a = s->state[0], b = s->state[1], c = s->state[2], d = s->state[3];
	uint32_t e = s->state[4], f = s->state[5], g = s->state[6], h = s->state[7];
	uint32_t w[64];

	expand(block, w);
	for (int i = 0; i < 64; i++) {
		uint32_t one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			       ((e & f) ^ (~e & g)) + constants[i] + w[i];
		uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			       ((a & b) ^ (a & c) ^ (b & c));

		h = g;
		g = f;
		f = e;
		e = d + one;
		d = c;
		c = b;
		b = a;
		a = one + two;
	}
	s->state[0] += a;
	s->state[1] += b;
	s->state[2] += c;
	s->state[3] += d;
	s->state[4] += e;
	s->state[5] += f;
	s->state[6] += g;
	s->state[7] += h;
}

struct sha256 sha256_begin(void)
{
	return (struct sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					   0x510e527f, 0x9b05688c, 0x1f83d9ab,
					   0x5be0cd19 } };
}

void sha256_add(struct sha256 *s, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t have = s->length % sizeof(s->block);

	s->length += size;
	if (have) {
		size_t room = sizeof(s->block) - have, n = size < room ? size : room;

		memcpy(s->block + have, p, n);
		if (n < room)
			return;
		mix(s, s->block);
		p += n;
		size -= n;
	}
	for (; size >= sizeof(s->block); p += sizeof(s->block), size -= sizeof(s->block))
		mix(s, p);
	memcpy(s->block, p, size);
}

void sha256_finish(struct sha256 *s, char ret[SHA256_TEXT])
{
	static const uint8_t padding[64] = { 0x80 };
	static const char digits[] = "0123456789abcdef";
	uint64_t bits = s->length * 8;
	size_t have = s->length % sizeof(s->block);
	uint8_t length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_add(s, padding, have < 56 ? 56 - have : 120 - have);
	sha256_add(s, length, sizeof(length));
	for (int i = 0; i < SHA256_SIZE; i++) {
		uint8_t byte = (uint8_t)(s->state[i / 4] >> (24 - 8 * (i % 4)));

		ret[2 * i] = digits[byte >> 4];
		ret[2 * i + 1] = digits[byte & 15];
	}
	ret[2 * SHA256_SIZE] = '\0';
}
