/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_tools_config_daemon.h"
#include "tools/origins.h"

/* Reads a configuration with these origins as its watch. */
static void read_watched(struct fixture *f, const char *text, struct origins *o)
{
	const struct ini_watch watch = origins_watch(o);
	const struct config_reading reading = { .watch = &watch };
	struct config config;

	write_file(f, "carrel.conf", text);
	f->held = true;
	if (config_daemon_read_for(f->file, &reading, &f->access, &config, &f->e) != 0)
		fail_msg("%s", f->e.msg);
	config_free(&config);
	assert_false(o->failed);
}

/* `expected` has "F" where the file is named; NULL: it never was set. */
static void assert_origin(const struct fixture *f, const struct origins *o,
			  const char *section, const char *key, bool every,
			  const char *expected)
{
	char text[512], want[512] = "";
	struct str s = str_over(text, sizeof(text)), w = str_over(want, sizeof(want));

	assert_int_equal(origins_add_to(o, section, key, every, &s), expected != NULL);
	for (; expected && *expected; expected++) {
		if (*expected == 'F')
			str_add(&w, "%s", f->file);
		else
			str_add(&w, "%c", *expected);
	}
	assert_string_equal(text, want);
}

static void every_value_is_found_with_its_line(void **state)
{
	struct fixture *f = *state;
	struct origins o = { 0 };

	read_watched(f,
		     "# first\n[profile x]\nmemory = 1g\ndeny = 1.2.3.4\n\n"
		     "deny = 1.2.3.5\n[network]\ndeny = 9.9.9.9\n[profile xy]\npids = 5\n"
		     "[profile x]\nmemory = 2g\n",
		     &o);
	assert_origin(f, &o, "profile x", "memory", false, "F:12");
	assert_origin(f, &o, "profile x", "deny", true, "F:4, F:6");
	assert_origin(f, &o, "profile x", "deny", false, "F:6");
	assert_origin(f, &o, "network", "deny", true, "F:8");
	assert_origin(f, &o, "profile x", "", true, "F:2, F:11");
	assert_origin(f, &o, "profile xy", "pids", false, "F:10");
	/* No part of a name is that name. */
	assert_origin(f, &o, "profile x", "pids", false, NULL);
	assert_origin(f, &o, "profile x", "mem", false, NULL);
	assert_origin(f, &o, "profile", "memory", false, NULL);
	origins_free(&o);
	assert_origin(f, &o, "profile x", "memory", false, NULL);
}

static void what_was_refused_was_not_set(void **state)
{
	struct origins o = { 0 };
	const struct ini_watch watch = origins_watch(&o);
	const struct config_reading reading = { .watch = &watch };
	struct fixture *f = *state;
	struct config config;

	write_file(f, "carrel.conf",
		   "[profile x]\nmemory = much\n[profile y]\npids = 9\n");
	f->held = true;
	assert_int_equal(
		config_daemon_read_for(f->file, &reading, &f->access, &config, &f->e),
		-EINVAL);
	config_free(&config);
	assert_int_equal(o.count, 1);
	assert_origin(f, &o, "profile x", "", false, "F:1");
	origins_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_value_is_found_with_its_line),
		CASE(what_was_refused_was_not_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
