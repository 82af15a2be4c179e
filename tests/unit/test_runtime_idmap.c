/* SPDX-License-Identifier: Apache-2.0 */
/* Things found by a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/idmap.h"

static void empty_map_has_nothing(void **state)
{
	struct idmap map = { 0 };
	size_t cursor = 0;

	(void)state;
	assert_null(idmap_get(&map, 0));
	assert_null(idmap_take(&map, 7));
	assert_null(idmap_each(&map, &cursor));
	idmap_free(&map);
}

/* The same done with a plain array, 200,000 times. */
static void map_agrees_with_an_array(void **state)
{
	enum { KEYS = 700, STEPS = 200000 };
	static int things[KEYS];
	static void *array[KEYS];
	struct idmap map = { 0 };
	unsigned seed = 4711;
	size_t count = 0;
	struct err e = { 0 };

	(void)state;
	for (int step = 0; step < STEPS; step++) {
		unsigned k = (unsigned)rand_r(&seed) % KEYS;
		/* Keys that fall on the same places, and some far apart. */
		uint64_t key = k % 2 ? k * UINT64_C(1) << 32 : k;

		if (array[k] && rand_r(&seed) % 2) {
			assert_ptr_equal(idmap_take(&map, key), array[k]);
			array[k] = NULL;
			count--;
		} else if (!array[k]) {
			array[k] = &things[k];
			assert_int_equal(idmap_put(&map, key, array[k], &e), 0);
			count++;
		}
		assert_ptr_equal(idmap_get(&map, key), array[k]);
		assert_int_equal(map.count, count);
	}
	for (size_t cursor = 0; idmap_each(&map, &cursor); count--) {
	}
	assert_int_equal(count, 0);
	for (unsigned k = 0; k < KEYS; k++)
		assert_ptr_equal(idmap_get(&map, k % 2 ? k * UINT64_C(1) << 32 : k),
				 array[k]);
	idmap_free(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_map_has_nothing),
		cmocka_unit_test(map_agrees_with_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
