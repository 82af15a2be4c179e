/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/definition.h"

enum {
	STRINGS = 5, /* of the fixture: one variable, two labels */
	PAUSED_AT = 16 + 4 + 4 * 8, /* in the block */
};

struct fixture {
	struct definition d;
	uint8_t block[RESIDENT_LABEL_SIZE];
	size_t size;
	struct err e;
};

static void set(char *buf, size_t size, const char *text)
{
	memset(buf, 0, size);
	snprintf(buf, size, "%s", text);
}

#define SET(field, text) set(field, sizeof(field), text)

static int set_up(void **state)
{
	static char *const strings[] = { "A=b", "k1", "v1", "k2", "", NULL };
	static struct fixture f;
	struct wire_ensure *asked = &f.d.asked, *whole = &f.d.completed;

	memset(&f, 0, sizeof(f));
	f.d = (struct definition){
		.client = 1000,
		.created = 1700000000123,
		.generation = 7,
		.started = 86400123,
		.started_at = 1700000000456,
		.paused = true,
	};
	SET(asked->name, "user \xc3\xa9");
	SET(asked->workspace, "users/1");
	asked->limits = (struct wire_limits){ .memory = 1 << 30 };
	asked->env_count = 1;
	asked->label_count = 2;
	asked->idle_timeout_ms = WIRE_UNSET;
	asked->max_duration_ms = 5000;
	*whole = *asked;
	SET(whole->profile, "default");
	SET(whole->hostname, "user");
	whole->limits = (struct wire_limits){ 1 << 30, 1000, 256 };
	whole->network = WIRE_NETWORK_EGRESS;
	whole->idle_timeout_ms = 300000;
	f.d.strings = malloc(sizeof(strings));
	memcpy(f.d.strings, strings, sizeof(strings));
	*state = &f;
	return definition_encode(&f.d, f.block, &f.size, &f.e);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	definition_free(&f->d);
	return 0;
}

static void assert_same(const struct definition *a, const struct definition *b)
{
	assert_int_equal(a->client, b->client);
	assert_int_equal(a->created, b->created);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->started, b->started);
	assert_int_equal(a->started_at, b->started_at);
	assert_int_equal(a->paused, b->paused);
	assert_memory_equal(&a->asked, &b->asked, sizeof(a->asked));
	assert_memory_equal(&a->completed, &b->completed, sizeof(a->completed));
	for (size_t i = 0; i < definition_string_count(&a->asked); i++)
		assert_string_equal(a->strings[i], b->strings[i]);
}

static void assert_unsound(struct fixture *f, const void *block, size_t size,
			   const char *message)
{
	struct definition got = { .generation = 99 };

	assert_int_equal(definition_decode(block, size, &got, &f->e), -EBADMSG);
	if (message)
		assert_string_equal(f->e.msg, message);
	assert_int_equal(got.generation, 99);
	assert_null(got.strings);
}

/* --- the block */

static void what_was_written_is_read(void **state)
{
	struct fixture *f = *state;
	struct definition got;

	assert_int_equal(definition_decode(f->block, f->size, &got, &f->e), 0);
	assert_same(&f->d, &got);
	assert_null(got.strings[STRINGS]);
	definition_free(&got);
	assert_null(got.strings);
	definition_free(&got);
}

static void a_definition_can_have_no_strings(void **state)
{
	struct fixture *f = *state;
	struct definition got, d = f->d;

	d.asked.env_count = d.completed.env_count = 0;
	d.asked.label_count = d.completed.label_count = 0;
	d.strings = NULL;
	assert_int_equal(definition_encode(&d, f->block, &f->size, &f->e), 0);
	assert_int_equal(definition_decode(f->block, f->size, &got, &f->e), 0);
	assert_non_null(got.strings);
	assert_null(got.strings[0]);
	definition_free(&got);
}

static void equal_definitions_are_equal_bytes(void **state)
{
	struct fixture *f = *state;
	struct definition other = f->d;
	static uint8_t again[RESIDENT_LABEL_SIZE];
	size_t size;

	/* What stands behind the end of a text is not a part of it. */
	memset(other.asked.hostname + 1, 'x', sizeof(other.asked.hostname) - 2);
	assert_int_equal(definition_encode(&other, again, &size, &f->e), 0);
	assert_int_equal(size, f->size);
	assert_memory_equal(again, f->block, size);
}

/* A block with all that a client can ask for. */
static void the_largest_request_fits(void **state)
{
	struct fixture *f = *state;
	static char big[ACCESS_STRINGS_SIZE];
	char *strings[] = { big, NULL };
	struct definition got, d = f->d;
	struct wire_error error;

	memset(big, 'x', sizeof(big) - 1);
	big[1] = '=';
	memset(d.asked.name, 'n', WIRE_NAME_MAX);
	memset(d.asked.profile, 'p', WIRE_PROFILE_MAX);
	memset(d.asked.workspace, 'w', WIRE_PATH_MAX);
	memset(d.asked.hostname, 'h', WIRE_HOSTNAME_MAX);
	d.asked.env_count = 1;
	d.asked.label_count = 0;
	d.completed = d.asked;
	d.completed.network = WIRE_NETWORK_NONE;
	d.completed.idle_timeout_ms = 0;
	d.strings = strings;
	assert_int_equal(access_check_strings(&d.asked, strings, &error), 0);
	assert_int_equal(definition_encode(&d, f->block, &f->size, &f->e), 0);
	assert_int_equal(definition_decode(f->block, f->size, &got, &f->e), 0);
	assert_same(&d, &got);
	definition_free(&got);
}

static void what_does_not_fit_is_an_error(void **state)
{
	struct fixture *f = *state;
	static char big[RESIDENT_LABEL_SIZE];
	char *strings[] = { big, NULL };
	struct definition d = f->d;
	size_t size = 42;

	memset(big, 'x', sizeof(big) - 1);
	d.asked.env_count = 1;
	d.asked.label_count = 0;
	d.strings = strings;
	assert_int_equal(definition_encode(&d, f->block, &size, &f->e), -E2BIG);
	assert_string_equal(f->e.msg, "a definition of more than 49152 bytes");
	assert_int_equal(size, 42);
}

/* FI-07. */
static void every_cut_is_noticed(void **state)
{
	struct fixture *f = *state;

	for (size_t size = 0; size < f->size; size++) {
		/* So that a sanitizer sees a step too far. */
		uint8_t *cut = malloc(size ? size : 1);

		memcpy(cut, f->block, size);
		assert_unsound(f, cut, size, NULL);
		free(cut);
	}
	assert_unsound(f, f->block, f->size + 1, "a definition of another length");
	assert_unsound(f, f->block, SIZE_MAX, "not a definition");
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct fixture *f = *state;

	for (size_t bit = 0; bit < 8 * f->size; bit++) {
		f->block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_unsound(f, f->block, f->size, NULL);
		f->block[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void what_is_no_definition_says_so(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zeros[4096];

	assert_unsound(f, zeros, sizeof(zeros), "not a definition");
	assert_unsound(f, "", 0, "not a definition");
	f->block[f->size / 2] ^= 1;
	assert_unsound(f, f->block, f->size, "a damaged definition");
	f->block[8] = 3;
	assert_unsound(f, f->block, f->size, "a definition of version 3, not 2");
	f->block[0] = 'x';
	assert_unsound(f, f->block, f->size, "not a definition");
}

/* Makes a block of it that is whole, whatever is in it. */
static void assert_nothing_to_ask_for(struct fixture *f, const struct definition *d)
{
	assert_int_equal(definition_encode(d, f->block, &f->size, &f->e), 0);
	assert_unsound(f, f->block, f->size,
		       "a definition of nothing that can be asked for");
}

static void whole_blocks_are_checked_like_requests(void **state)
{
	struct fixture *f = *state;
	struct definition d = f->d;

	SET(d.asked.name, "other");
	assert_nothing_to_ask_for(f, &d);
	SET(d.asked.name, "a\n");
	SET(d.completed.name, "a\n");
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	SET(d.completed.workspace, "../etc");
	assert_nothing_to_ask_for(f, &d);
	SET(d.asked.workspace, "../etc");
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	d.asked.network = 3;
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	d.asked.auto_remove = 1;
	assert_nothing_to_ask_for(f, &d);
	d.asked.auto_remove = d.completed.auto_remove = 2;
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	d.completed.network = WIRE_NETWORK_UNSET;
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	d.completed.idle_timeout_ms = WIRE_UNSET;
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	SET(d.completed.profile, "");
	assert_nothing_to_ask_for(f, &d);
	d = f->d;
	d.completed.env_count = 2;
	assert_nothing_to_ask_for(f, &d);
}

static void put_number(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* Makes a changed block whole again: its size and its checksum (FNV-1a). */
static void seal(struct fixture *f)
{
	uint64_t sum = 0xcbf29ce484222325;

	put_number(f->block + 12, f->size, 4);
	for (size_t i = 0; i < f->size - 8; i++)
		sum = (sum ^ f->block[i]) * 0x100000001b3;
	put_number(f->block + f->size - 8, sum, 8);
}

/* Where the request that begins there has its number of variables. */
static size_t count_place(size_t at, const struct wire_ensure *ensure)
{
	return at + 4 * 2 + strlen(ensure->name) + strlen(ensure->profile) +
	       strlen(ensure->workspace) + strlen(ensure->hostname) + 3 * 8 + 4;
}

/* The number of strings, and the strings, need not be of one mind. */
static void strings_are_counted(void **state)
{
	static const uint32_t counts[][2] = {
		{ 0, 0 },          { 0, 2 },
		{ 1, 1 },          { 2, 2 },
		{ 1, 3 },          { UINT32_MAX, 2 },
		{ 1, UINT32_MAX }, { UINT32_MAX, UINT32_MAX },
		{ 5, 0 }, /* as many strings, but not variables */
	};
	struct fixture *f = *state;
	const size_t first = PAUSED_AT + 1;
	size_t one = count_place(first, &f->d.asked);
	size_t other = count_place(one + 8 + 16 + 1, &f->d.completed);

	seal(f);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		put_number(f->block + one, counts[i][0], 4);
		put_number(f->block + one + 4, counts[i][1], 4);
		put_number(f->block + other, counts[i][0], 4);
		put_number(f->block + other + 4, counts[i][1], 4);
		seal(f);
		assert_unsound(f, f->block, f->size,
			       "a definition of nothing that can be asked for");
	}
	put_number(f->block + one, 1, 4);
	put_number(f->block + one + 4, 2, 4);
	put_number(f->block + other, 1, 4);
	put_number(f->block + other + 4, 2, 4);
	seal(f);
	definition_free(&f->d);
	assert_int_equal(definition_decode(f->block, f->size, &f->d, &f->e), 0);
}

static void bytes_that_mean_nothing_are_refused(void **state)
{
	struct fixture *f = *state;

	f->block[PAUSED_AT] = 2; /* paused */
	seal(f);
	assert_unsound(f, f->block, f->size,
		       "a definition of nothing that can be asked for");
	f->block[PAUSED_AT] = 0;
	f->block[f->size - 9] = 'x'; /* where the last string ends */
	seal(f);
	assert_unsound(f, f->block, f->size,
		       "a definition of nothing that can be asked for");
	f->block[f->size - 9] = 0;
	f->block[PAUSED_AT + 1 + 2] = 0; /* in the name */
	seal(f);
	assert_unsound(f, f->block, f->size,
		       "a definition of nothing that can be asked for");
}

/* Any block at all, as long as it is whole. */
static void no_whole_block_is_read_beyond_its_end(void **state)
{
	struct fixture *f = *state;
	uint8_t *copy = malloc(f->size);
	uint32_t random = 1;

	for (int round = 0; round < 50000; round++) {
		struct definition got;

		memcpy(copy, f->block, f->size);
		for (int i = 0; i < 1 + round % 3; i++) {
			random = random * 1664525 + 1013904223;
			f->block[16 + (random >> 8) % (f->size - 24)] =
				(uint8_t)(random >> 24);
		}
		seal(f);
		if (definition_decode(f->block, f->size, &got, &f->e) == 0)
			definition_free(&got);
		else
			assert_int_equal(f->e.code, -EBADMSG);
		memcpy(f->block, copy, f->size);
	}
	free(copy);
}

/* --- comparing */

static bool has_same_digest(const struct fixture *f, const struct wire_ensure *asked,
			    char *const *strings)
{
	uint8_t one[DEFINITION_DIGEST_SIZE], other[DEFINITION_DIGEST_SIZE];

	definition_digest(&f->d.asked, f->d.strings, one);
	definition_digest(asked, strings, other);
	return !memcmp(one, other, sizeof(one));
}

static void equal_requests_do_not_differ(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure asked = f->d.asked;
	char *strings[] = { "A=b", "k1", "v1", "k2", "", NULL };

	asked.profile[3] = 'x'; /* behind the NUL */
	assert_true(has_same_digest(f, &asked, strings));
	assert_null(definition_differs(&f->d, &asked, strings));
}

static void assert_differs(const struct fixture *f, const struct wire_ensure *asked,
			   char *const *strings, const char *field)
{
	const char *found = definition_differs(&f->d, asked, strings);

	assert_non_null(found);
	assert_string_equal(found, field);
	assert_false(has_same_digest(f, asked, strings));
}

static void the_field_that_differs_is_named(void **state)
{
	struct fixture *f = *state;
	const struct wire_ensure *was = &f->d.asked;
	char *const *strings = f->d.strings;
	struct wire_ensure a = *was;

	SET(a.profile, "default");
	assert_differs(f, &a, strings, "profile");
	a = *was;
	SET(a.workspace, "users/2");
	assert_differs(f, &a, strings, "workspace");
	SET(a.workspace, "");
	assert_differs(f, &a, strings, "workspace");
	a = *was;
	a.limits.memory++;
	assert_differs(f, &a, strings, "limits");
	a = *was;
	a.limits.cpu_milli = 1;
	assert_differs(f, &a, strings, "limits");
	a = *was;
	a.limits.pids = 1;
	assert_differs(f, &a, strings, "limits");
	a = *was;
	a.network = WIRE_NETWORK_NONE;
	assert_differs(f, &a, strings, "network");
	a = *was;
	SET(a.hostname, "h");
	assert_differs(f, &a, strings, "hostname");
	a = *was;
	a.idle_timeout_ms = 0;
	assert_differs(f, &a, strings, "idle_timeout");
	a = *was;
	a.max_duration_ms++;
	assert_differs(f, &a, strings, "max_duration");
	a = *was;
	a.auto_remove = 1;
	assert_differs(f, &a, strings, "auto_remove");
}

static void strings_that_differ_are_named(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure a = f->d.asked;
	char *env[] = { "A=c", "k1", "v1", "k2", "", NULL };
	char *key[] = { "A=b", "k1", "v1", "k3", "", NULL };
	char *value[] = { "A=b", "k1", "v1", "k2", "v2", NULL };
	char *shifted[] = { "A=b", "k1v", "1", "k2", "", NULL };

	assert_differs(f, &a, env, "env");
	assert_differs(f, &a, key, "labels");
	assert_differs(f, &a, value, "labels");
	assert_differs(f, &a, shifted, "labels");
	a.label_count = 1;
	assert_differs(f, &a, f->d.strings, "labels");
	a.env_count = 0;
	assert_differs(f, &a, f->d.strings + 1, "env");
}

static void the_first_field_is_the_one_that_is_named(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure a = f->d.asked;

	a.max_duration_ms++;
	a.limits.pids = 1;
	assert_differs(f, &a, f->d.strings, "limits");
	SET(a.profile, "p");
	assert_differs(f, &a, f->d.strings, "profile");
}

/* --- keys */

/* E-44. */
static void keys_have_one_length_and_are_hexadecimal(void **state)
{
	static const char *const names[] = {
		"",     ".", "..", "../x",      "a/b",      "-rf",         "\n",
		"%s%n", "A", "a",  "e\xcc\x81", "\xc3\xa9", "\xe2\x80\xae"
	};
	enum { COUNT = sizeof(names) / sizeof(*names) };
	char keys[2 * COUNT][DEFINITION_KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		definition_key(1000, names[i], keys[2 * i]);
		definition_key(1001, names[i], keys[2 * i + 1]);
	}
	for (size_t i = 0; i < 2 * COUNT; i++) {
		assert_int_equal(strlen(keys[i]), DEFINITION_KEY_SIZE - 1);
		assert_int_equal(strspn(keys[i], "0123456789abcdef"),
				 DEFINITION_KEY_SIZE - 1);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(keys[i], keys[other]);
	}
	assert_memory_equal(keys[0], "000003e8", 8);
}

static void many_names_have_as_many_keys(void **state)
{
	enum { COUNT = 20000 };
	char(*keys)[DEFINITION_KEY_SIZE] = malloc(COUNT * sizeof(*keys));
	char name[24];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "user-%d", i);
		definition_key(0, name, keys[i]);
	}
	qsort(keys, COUNT, sizeof(*keys), (int (*)(const void *, const void *))strcmp);
	for (int i = 1; i < COUNT; i++)
		assert_string_not_equal(keys[i - 1], keys[i]);
	free(keys);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_written_is_read),
		CASE(a_definition_can_have_no_strings),
		CASE(equal_definitions_are_equal_bytes),
		CASE(the_largest_request_fits),
		CASE(what_does_not_fit_is_an_error),
		CASE(every_cut_is_noticed),
		CASE(every_flipped_bit_is_noticed),
		CASE(what_is_no_definition_says_so),
		CASE(whole_blocks_are_checked_like_requests),
		CASE(strings_are_counted),
		CASE(bytes_that_mean_nothing_are_refused),
		CASE(no_whole_block_is_read_beyond_its_end),
		CASE(equal_requests_do_not_differ),
		CASE(the_field_that_differs_is_named),
		CASE(strings_that_differ_are_named),
		CASE(the_first_field_is_the_one_that_is_named),
		CASE(keys_have_one_length_and_are_hexadecimal),
		CASE(many_names_have_as_many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
