/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/caps.h"
#include "policy/rlimit.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct {
	const char *name;
	int resource;
} names[] = {
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "msgqueue", RLIMIT_MSGQUEUE },
	{ "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },
	{ "rttime", RLIMIT_RTTIME },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

/* Runs body in a process of its own, in which a failed assertion aborts. */
static void in_child(void (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		body();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static struct rlimit_item set_one(const char *text)
{
	struct rlimit_list list = { .count = 0 };
	struct err e = { 0 };

	if (rlimit_list_set(&list, text, &e) != 0)
		fail_msg("%s: %s", text, e.msg);
	assert_int_equal(list.count, 1);
	return list.items[0];
}

static void assert_refused(const char *text, const char *sentence)
{
	struct rlimit_list list = rlimit_defaults(), before = list;
	struct err e = { 0 };

	if (rlimit_list_set(&list, text, &e) != -EINVAL)
		fail_msg("\"%s\" was not refused", text);
	assert_int_equal(e.code, -EINVAL);
	assert_string_equal(e.msg, sentence);
	assert_memory_equal(&list, &before, sizeof(list));
}

static void defaults_limit_descriptors_and_core_dumps(void **state)
{
	struct rlimit_list list = rlimit_defaults();

	(void)state;
	assert_int_equal(list.count, 2);
	assert_int_equal(list.items[0].resource, RLIMIT_NOFILE);
	assert_int_equal(list.items[0].soft, 4096);
	assert_int_equal(list.items[0].hard, 4096);
	assert_int_equal(list.items[1].resource, RLIMIT_CORE);
	assert_int_equal(list.items[1].soft, 1);
	assert_int_equal(list.items[1].hard, 1);
}

static void set_knows_every_resource_by_its_name(void **state)
{
	(void)state;
	assert_int_equal(COUNT(names), RLIM_NLIMITS);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct rlimit_item item;
		char text[32];

		snprintf(text, sizeof(text), "%s=7", names[i].name);
		item = set_one(text);
		assert_int_equal(item.resource, names[i].resource);
		assert_int_equal(item.soft, 7);
		assert_int_equal(item.hard, 7);
	}
}

static void set_takes_soft_and_hard(void **state)
{
	struct rlimit_item item = set_one("nofile=1024:4096");

	(void)state;
	assert_int_equal(item.soft, 1024);
	assert_int_equal(item.hard, 4096);
	item = set_one("nofile=5:5");
	assert_int_equal(item.soft, 5);
	assert_int_equal(item.hard, 5);
}

/* A soft limit of exactly one is what also stops a piped core_pattern. */
static void no_core_dump_is_a_limit_of_one_byte(void **state)
{
	struct rlimit_item item = set_one("core=0");

	(void)state;
	assert_int_equal(item.soft, 1);
	assert_int_equal(item.hard, 1);
}

static void set_takes_unlimited(void **state)
{
	static const char *const texts[] = { "cpu=unlimited", "cpu=-1",
					     "cpu=unlimited:unlimited",
					     "cpu=-1:unlimited" };
	struct rlimit_item item = set_one("cpu=5:unlimited");

	(void)state;
	assert_int_equal(item.soft, 5);
	assert_true(item.hard == UINT64_MAX);
	for (size_t i = 0; i < COUNT(texts); i++) {
		item = set_one(texts[i]);
		assert_true(item.soft == UINT64_MAX && item.hard == UINT64_MAX);
	}
	assert_true(item.soft == RLIM_INFINITY);
}

static void set_takes_the_largest_number_below_unlimited(void **state)
{
	(void)state;
	assert_true(set_one("as=18446744073709551614").hard == UINT64_MAX - 1);
	assert_refused("as=18446744073709551615", "expected a number or \"unlimited\"");
	assert_refused("as=18446744073709551616", "expected a number or \"unlimited\"");
}

static void set_refuses_text_without_a_value(void **state)
{
	char huge[4096];

	(void)state;
	assert_refused("", "expected NAME=SOFT[:HARD]");
	assert_refused("nofile", "expected NAME=SOFT[:HARD]");
	assert_refused("nofile:5", "expected NAME=SOFT[:HARD]");
	memset(huge, 'x', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	assert_refused(huge, "expected NAME=SOFT[:HARD]");
	memcpy(huge, "nofile=1", 8);
	assert_refused(huge, "expected NAME=SOFT[:HARD]");
}

static void set_refuses_unknown_names(void **state)
{
	(void)state;
	assert_refused("files=5", "no limit is called \"files\"");
	assert_refused("NOFILE=5", "no limit is called \"NOFILE\"");
	assert_refused("nofile =5", "no limit is called \"nofile \"");
	assert_refused("nofil=5", "no limit is called \"nofil\"");
	assert_refused("nofile2=5", "no limit is called \"nofile2\"");
	assert_refused("=5", "no limit is called \"\"");
	assert_refused("RLIMIT_NOFILE=5", "no limit is called \"RLIMIT_NOFILE\"");
}

static void set_refuses_what_is_no_number(void **state)
{
	static const char *const texts[] = {
		"nofile=",      "nofile=:",    "nofile=5:",       "nofile=:5",
		"nofile= 5",    "nofile=5 ",   "nofile=+5",       "nofile=-2",
		"nofile=05",    "nofile=0x10", "nofile=5k",       "nofile=1.5",
		"nofile=5:6:7", "nofile=1=2",  "nofile=infinity", "nofile=Unlimited",
		"nofile=5:-2",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_refused(texts[i], "expected a number or \"unlimited\"");
}

static void set_refuses_a_soft_limit_above_the_hard_one(void **state)
{
	(void)state;
	assert_refused("nofile=5:4", "the soft limit is above the hard one");
	assert_refused("nofile=1:0", "the soft limit is above the hard one");
	assert_refused("nofile=unlimited:18446744073709551614",
		       "the soft limit is above the hard one");
}

static void set_replaces_the_same_resource(void **state)
{
	struct rlimit_list list = rlimit_defaults();
	struct err e = { 0 };

	(void)state;
	assert_int_equal(rlimit_list_set(&list, "core=unlimited", &e), 0);
	assert_int_equal(rlimit_list_set(&list, "core=9", &e), 0);
	assert_int_equal(rlimit_list_set(&list, "stack=8", &e), 0);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.items[1].resource, RLIMIT_CORE);
	assert_int_equal(list.items[1].hard, 9);
	assert_int_equal(list.items[2].resource, RLIMIT_STACK);
}

static void list_has_room_for_every_resource(void **state)
{
	struct rlimit_list list = rlimit_defaults();
	struct err e = { 0 };

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(names); i++) {
			char text[32];

			snprintf(text, sizeof(text), "%s=%d", names[i].name, round);
			assert_int_equal(rlimit_list_set(&list, text, &e), 0);
		}
		assert_int_equal(list.count, COUNT(names));
	}
}

static void apply_list(const char *const *texts, size_t count)
{
	struct rlimit_list list = rlimit_defaults();
	struct err e = { 0 };

	for (size_t i = 0; i < count; i++)
		assert_int_equal(rlimit_list_set(&list, texts[i], &e), 0);
	if (rlimit_apply(&list, &e) != 0)
		fail_msg("%s", e.msg);
}

static void assert_limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit rl;

	assert_int_equal(getrlimit((__rlimit_resource_t)resource, &rl), 0);
	assert_true(rl.rlim_cur == soft);
	assert_true(rl.rlim_max == hard);
}

static void apply_and_read_back(void)
{
	static const char *const texts[] = { "nofile=100:200",  "fsize=1048576:2097152",
					     "nice=0",          "rtprio=0",
					     "memlock=65536",   "cpu=60:120",
					     "rttime=1000:2000" };

	apply_list(texts, COUNT(texts));
	assert_limit(RLIMIT_NOFILE, 100, 200);
	assert_limit(RLIMIT_CORE, 1, 1);
	assert_limit(RLIMIT_FSIZE, 1 << 20, 2 << 20);
	assert_limit(RLIMIT_MEMLOCK, 65536, 65536);
	assert_limit(RLIMIT_CPU, 60, 120);
	assert_limit(RLIMIT_RTTIME, 1000, 2000);
}

static void applied_limits_can_be_read_back(void **state)
{
	(void)state;
	in_child(apply_and_read_back);
}

static void apply_nothing(void)
{
	struct rlimit_list none = { .count = 0 };
	struct rlimit before, after;
	struct err e = { 0 };

	getrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(rlimit_apply(&none, &e), 0);
	getrlimit(RLIMIT_NOFILE, &after);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void empty_list_changes_nothing(void **state)
{
	(void)state;
	in_child(apply_nothing);
}

static void lower_and_raise(void)
{
	static const char *const low[] = { "nofile=50" }, *const high[] = { "nofile=60" };
	struct rlimit_list list = { .count = 0 };
	struct err e = { 0 };

	apply_list(low, 1);
	assert_limit(RLIMIT_NOFILE, 50, 50);
	if (caps_have(CAP_SYS_RESOURCE)) {
		apply_list(high, 1);
		assert_limit(RLIMIT_NOFILE, 60, 60);
		return;
	}
	assert_int_equal(rlimit_list_set(&list, high[0], &e), 0);
	assert_int_equal(rlimit_apply(&list, &e), -EPERM);
	assert_limit(RLIMIT_NOFILE, 50, 50);
}

static void raising_a_hard_limit_takes_the_capability(void **state)
{
	(void)state;
	in_child(lower_and_raise);
}

static void raise_without_privilege(void)
{
	static const char *const low[] = { "nofile=50" };
	struct rlimit_list list = rlimit_defaults();
	struct err e = { 0 };

	apply_list(low, 1);
	if (geteuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(rlimit_apply(&list, &e), -EPERM);
	assert_string_equal(e.msg, "set ulimit nofile: Operation not permitted");
	assert_limit(RLIMIT_NOFILE, 50, 50);
}

static void refusal_of_the_kernel_names_the_limit(void **state)
{
	(void)state;
	in_child(raise_without_privilege);
}

static void apply_more_files_than_the_host_has(void)
{
	struct rlimit_list list = { .count = 0 };
	struct err e = { 0 };

	assert_int_equal(rlimit_list_set(&list, "nofile=unlimited", &e), 0);
	assert_int_equal(rlimit_apply(&list, &e), -EPERM);
	assert_string_equal(e.msg, "set ulimit nofile: Operation not permitted");
}

static void descriptors_cannot_be_unlimited(void **state)
{
	(void)state;
	in_child(apply_more_files_than_the_host_has);
}

static void apply_an_unknown_resource(void)
{
	struct rlimit_list list = { .items = { { 99, 1, 1 } }, .count = 1 };
	struct err e = { 0 };

	assert_int_equal(rlimit_apply(&list, &e), -EINVAL);
	assert_string_equal(e.msg, "set ulimit unknown: Invalid argument");
}

static void apply_reports_a_resource_that_the_kernel_does_not_know(void **state)
{
	(void)state;
	in_child(apply_an_unknown_resource);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_limit_descriptors_and_core_dumps),
		cmocka_unit_test(set_knows_every_resource_by_its_name),
		cmocka_unit_test(set_takes_soft_and_hard),
		cmocka_unit_test(no_core_dump_is_a_limit_of_one_byte),
		cmocka_unit_test(set_takes_unlimited),
		cmocka_unit_test(set_takes_the_largest_number_below_unlimited),
		cmocka_unit_test(set_refuses_text_without_a_value),
		cmocka_unit_test(set_refuses_unknown_names),
		cmocka_unit_test(set_refuses_what_is_no_number),
		cmocka_unit_test(set_refuses_a_soft_limit_above_the_hard_one),
		cmocka_unit_test(set_replaces_the_same_resource),
		cmocka_unit_test(list_has_room_for_every_resource),
		cmocka_unit_test(applied_limits_can_be_read_back),
		cmocka_unit_test(empty_list_changes_nothing),
		cmocka_unit_test(raising_a_hard_limit_takes_the_capability),
		cmocka_unit_test(refusal_of_the_kernel_names_the_limit),
		cmocka_unit_test(descriptors_cannot_be_unlimited),
		cmocka_unit_test(apply_reports_a_resource_that_the_kernel_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
