/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "tools/value.h"

static void signals_are_names_or_numbers(void **state)
{
	static const struct {
		const char *value;
		int sig;
	} known[] = {
		{ "TERM", SIGTERM }, { "SIGTERM", SIGTERM }, { "sigusr2", SIGUSR2 },
		{ "kill", SIGKILL }, { "1", SIGHUP },        { "64", 64 },
	};
	static const char *const bad[] = { "", "SIG", "0", "65", "-1", "TERMS", "9 " };
	struct err e;
	int sig;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		assert_int_equal(value_signal(known[i].value, &sig, &e), 0);
		assert_int_equal(sig, known[i].sig);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(value_signal(bad[i], &sig, &e), -EINVAL);
}

static void a_user_is_its_group_unless_one_is_named(void **state)
{
	static const char *const bad[] = {
		"", "0", "65535", "1:", ":1", "1:0", "a", "01"
	};
	char one[] = "7", two[] = "7:8", copy[16];
	struct err e;
	uid_t uid = 1;
	gid_t gid = 1;

	(void)state;
	assert_int_equal(value_user(one, &uid, &gid, &e), 0);
	assert_int_equal(uid, 7);
	assert_int_equal(gid, 7);
	assert_int_equal(value_user(two, &uid, &gid, &e), 0);
	assert_int_equal(gid, 8);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memcpy(copy, bad[i], strlen(bad[i]) + 1);
		assert_int_equal(value_user(copy, &uid, &gid, &e), -EINVAL);
		assert_int_equal(uid, 7);
	}
}

static void limits_and_times_are_never_nothing(void **state)
{
	uint64_t value = 5;
	struct err e;

	(void)state;
	assert_int_equal(value_limit("0", num_parse_size, "512m", &value, &e), -EINVAL);
	assert_int_equal(value_limit("0", value_count, "256", &value, &e), -EINVAL);
	assert_int_equal(value_limit("4194305", value_count, "256", &value, &e), -EINVAL);
	assert_int_equal(value_time("0", &value, &e), -EINVAL);
	assert_int_equal(value, 5);
	assert_int_equal(value_limit("unlimited", value_count, "256", &value, &e), 0);
	assert_int_equal(value, 0);
	assert_int_equal(value_limit("2k", num_parse_size, "512m", &value, &e), 0);
	assert_int_equal(value, 2048);
	assert_int_equal(value_time("1500ms", &value, &e), 0);
	assert_int_equal(value, 1500);
}

static void descriptors_are_open_and_above_the_standard_ones(void **state)
{
	static const char *const bad[] = { "0", "2", "-1", "900000", "3x" };
	struct err e;
	int fd = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(value_descriptor(bad[i], &fd, &e), -EBADF);
	assert_int_equal(fd, 7);
}

static void a_network_is_none_or_egress(void **state)
{
	bool egress = false;
	struct err e;

	(void)state;
	assert_int_equal(value_network("egress", &egress, &e), 0);
	assert_true(egress);
	assert_int_equal(value_network("host", &egress, &e), -EINVAL);
	assert_true(egress);
	assert_int_equal(value_network("none", &egress, &e), 0);
	assert_false(egress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_are_names_or_numbers),
		cmocka_unit_test(a_user_is_its_group_unless_one_is_named),
		cmocka_unit_test(limits_and_times_are_never_nothing),
		cmocka_unit_test(descriptors_are_open_and_above_the_standard_ones),
		cmocka_unit_test(a_network_is_none_or_egress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
