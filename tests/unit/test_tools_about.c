/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/about.h"

static struct about sample(void)
{
	return (struct about){ .source = ABOUT_OCI,
			       .digest = "sha256:0123",
			       .counts = { 1, 2, 3, 4, 5 },
			       .created = 1700000000000,
			       .config = json_pack("{s:s}", "User", "7") };
}

static void what_is_written_is_read_back(void **state)
{
	char top[] = "/tmp/carrel-unit-XXXXXX";
	struct about before = sample(), after;
	auto_fd dir = -1;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(about_write(dir, &before, &e), 0);
	assert_int_equal(about_write(dir, &before, &e), -EEXIST);
	assert_int_equal(about_read(dir, &after, &e), 0);
	assert_int_equal(after.source, ABOUT_OCI);
	assert_string_equal(after.digest, "sha256:0123");
	assert_memory_equal(&after.counts, &before.counts, sizeof(after.counts));
	assert_int_equal(after.created, 1700000000000);
	assert_true(json_equal(after.config, before.config));
	about_free(&before);
	about_free(&after);
	assert_int_equal(unlinkat(dir, ABOUT_FILE, 0), 0);
	assert_int_equal(about_read(dir, &after, &e), -ENOENT);
	assert_int_equal(rmdir(top), 0);
}

static void the_name_comes_first(void **state)
{
	struct about about = sample();
	json_t *object = about_object(&about, "debian");
	char *text = json_dumps(object, JSON_COMPACT);

	(void)state;
	assert_string_equal(text,
			    "{\"name\":\"debian\",\"source\":\"oci\",\"digest\":\"sha256:"
			    "0123\",\"size\":1,\"files\":2,\"devices_left_out\":3,"
			    "\"specials_left_out\":4,\"unreadable_left_out\":5,"
			    "\"created\":1700000000000,\"config\":{\"User\":\"7\"}}");
	free(text);
	json_decref(object);
	about_free(&about);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct about about = sample(), out;
	json_t *good = about_object(&about, ""), *value;
	const char *key;
	struct err e;

	(void)state;
	assert_int_equal(about_parse("", 0, &out, &e), -EBADMSG);
	assert_int_equal(about_parse("[]", 2, &out, &e), -EBADMSG);
	json_object_foreach(good, key, value) {
		json_t *bad[] = { json_copy(good), json_copy(good), json_copy(good) };

		json_object_del(bad[0], key);
		json_object_set_new(bad[1], key, json_true());
		json_object_set_new(bad[2], key,
				    json_is_integer(value) ? json_integer(-1)
							   : json_integer(1));
		for (size_t i = 0; i < 3; i++) {
			char *text = json_dumps(bad[i], 0);

			if (about_parse(text, strlen(text), &out, &e) != -EBADMSG)
				fail_msg("%s", text);
			about_free(&out);
			free(text);
			json_decref(bad[i]);
		}
	}
	json_decref(good);
	about_free(&about);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(the_name_comes_first),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
