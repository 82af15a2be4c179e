/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and files of sandboxes: what is left of an earlier daemon. */
#include "runtime/definition.h"
#include "tests/fuzz/fuzz.h"

enum { LENGTH_AT = 12, CHECKSUM_SIZE = 8 };

/* What is taken is what would have been written. */
static void check(const uint8_t *block, size_t size)
{
	uint8_t again[RESIDENT_LABEL_SIZE];
	struct definition d = { 0 }, twice = { 0 };
	size_t again_size = 0;
	struct err e;

	if (definition_decode(block, size, &d, &e) < 0)
		return;
	bug_on(definition_encode(&d, again, &again_size, &e) < 0);
	bug_on(again_size != size);
	bug_on(definition_decode(again, again_size, &twice, &e) < 0);
	bug_on(definition_differs(&d, &twice.asked, twice.strings) != NULL);
	bug_on(d.client != twice.client || d.generation != twice.generation);
	definition_free(&d);
	definition_free(&twice);
}

static void put(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t block[RESIDENT_LABEL_SIZE];
	uint64_t sum = 0xcbf29ce484222325;

	check(data, size);
	if (size < LENGTH_AT + 4 + CHECKSUM_SIZE || size > sizeof(block))
		return 0;
	/* The same with length and checksum put right: no chance would find them. */
	memcpy(block, data, size);
	put(block + LENGTH_AT, size, 4);
	for (size_t i = 0; i < size - CHECKSUM_SIZE; i++)
		sum = (sum ^ block[i]) * 0x100000001b3;
	put(block + size - CHECKSUM_SIZE, sum, CHECKSUM_SIZE);
	check(block, size);
	return 0;
}
