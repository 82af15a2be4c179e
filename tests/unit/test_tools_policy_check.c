/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_tools_config_daemon.h"
#include "tools/policy_check.h"

/* What a file of that text is taken for. */
static const char *kind_of(struct fixture *f, const char *text, int code)
{
	const char *kind = NULL;
	char path[160];

	write_file(f, "carrel.conf", "");
	write_file(f, "try.conf", text);
	snprintf(path, sizeof(path), "%s/try.conf", f->directory);
	if (policy_check(f->file, path, &kind, &f->e) != code)
		fail_msg("\"%s\": %d %s", text, f->e.code, f->e.msg);
	return kind;
}

static void the_first_section_says_who_reads_it(void **state)
{
	static const char run[] = "a policy for carrel run";
	static const char daemon[] = "profiles and clients of carreld";
	struct fixture *f = *state;

	assert_string_equal(kind_of(f, "", 0), run);
	assert_string_equal(kind_of(f, "; nothing\n", 0), run);
	assert_string_equal(kind_of(f, "[limits]\npids = 1\n", 0), run);
	assert_string_equal(kind_of(f, "\n# x\n[profile x]\npids = 1\n", 0), daemon);
	assert_string_equal(kind_of(f, "\xef\xbb\xbf[profile x]\npids = 1\n", 0), daemon);
	assert_string_equal(kind_of(f, "[client 7]\n", 0), daemon);
	assert_string_equal(kind_of(f, "[client]\n", -EINVAL), daemon);
	assert_string_equal(kind_of(f, "[profiles]\nx = 1\n", -EINVAL), run);
	assert_string_equal(kind_of(f, "[limits]\n[profile x]\npids = 1\n", -EINVAL),
			    run);
	assert_string_equal(kind_of(f, "[profile x]\n[limits]\npids = 1\n", -EINVAL),
			    daemon);
}

static void the_configuration_is_known_by_any_name(void **state)
{
	struct fixture *f = *state;
	const char *kind = NULL;
	char path[160];

	write_file(f, "carrel.conf", "[ids]\nranges = 5\n[pool]\nmax_waiters = 4\n");
	snprintf(path, sizeof(path), "%s/./carrel.conf", f->directory);
	assert_int_equal(policy_check(f->file, path, &kind, &f->e), 0);
	assert_string_equal(kind, "the configuration");
	assert_int_equal(policy_check(f->file, NULL, &kind, &f->e), 0);
	write_file(f, "carrel.conf", "[pool]\nmax_waiters = x\n");
	assert_int_equal(policy_check(f->file, NULL, &kind, &f->e), -EINVAL);
	assert_int_equal(policy_check(f->file, path, &kind, &f->e), -EINVAL);
}

static void a_configuration_that_is_wrong_makes_all_wrong(void **state)
{
	static const char *const texts[] = { "[limits]\npids = 1\n", "[profile x]\n" };
	struct fixture *f = *state;
	const char *kind;
	char path[160];

	snprintf(path, sizeof(path), "%s/try.conf", f->directory);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		kind_of(f, texts[i], 0);
		write_file(f, "carrel.conf", "[ids]\nranges = x\n");
		assert_int_equal(policy_check(f->file, path, &kind, &f->e), -EINVAL);
		assert_non_null(strstr(f->e.msg, "carrel.conf:2: [ids] ranges = x"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_first_section_says_who_reads_it),
		CASE(the_configuration_is_known_by_any_name),
		CASE(a_configuration_that_is_wrong_makes_all_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
