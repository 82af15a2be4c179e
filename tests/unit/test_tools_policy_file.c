/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/policy_file.h"

/* A policy file, removed after each case. */
struct fixture {
	char file[40];
	struct policy policy;
	struct spec spec;
	struct policy_asked asked;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;
	int fd;

	f = (struct fixture){ .file = "/tmp/carrel-unit-XXXXXX" };
	spec_init(&f.spec);
	fd = mkstemp(f.file);
	*state = &f;
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	policy_free(&f->policy);
	netns_plan_free(&f->spec.network);
	return unlink(f->file);
}

static int read_text(struct fixture *f, const char *text)
{
	auto_fd fd = open(f->file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	policy_free(&f->policy);
	return policy_read(f->file, &f->policy, &f->e);
}

static void assert_applied(struct fixture *f, const char *text)
{
	if (read_text(f, text) != 0 ||
	    policy_apply(&f->policy, &f->asked, &f->spec, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static void assert_refused(struct fixture *f, const char *text, const char *option)
{
	assert_int_equal(read_text(f, text), 0);
	assert_int_equal(policy_apply(&f->policy, &f->asked, &f->spec, &f->e), -EPERM);
	if (strncmp(f->e.msg, option, strlen(option)) != 0)
		fail_msg("\"%s\" does not begin with %s", f->e.msg, option);
}

static void empty_policy_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct cgroup_limits before = f->spec.limits;

	assert_applied(f, "");
	assert_memory_equal(&before, &f->spec.limits, sizeof(before));
}

static void defaults_give_way_to_ceilings(void **state)
{
	struct fixture *f = *state;

	assert_applied(f, "[limits]\nmemory = 64m\ncpus = 0.5\npids = 8\n");
	assert_int_equal(f->spec.limits.memory, 64 << 20);
	assert_int_equal(f->spec.limits.cpu_milli, 500);
	assert_int_equal(f->spec.limits.pids, 8);
}

static void less_than_the_ceiling_stays(void **state)
{
	struct fixture *f = *state;

	f->spec.limits.memory = 32 << 20;
	f->asked.memory = true;
	assert_applied(f, "[limits]\nmemory = 64m\n");
	assert_int_equal(f->spec.limits.memory, 32 << 20);
}

static void more_than_the_ceiling_is_refused(void **state)
{
	struct fixture *f = *state;

	f->asked = (struct policy_asked){ .memory = true, .cpu = true, .pids = true };
	assert_refused(f, "[limits]\nmemory = 64m\n", "--memory: ");
	assert_refused(f, "[limits]\ncpus = 0.5\n", "--cpus: ");
	assert_refused(f, "[limits]\npids = 8\n", "--pids-limit: ");
}

static void unlimited_is_more_than_any_ceiling(void **state)
{
	struct fixture *f = *state;

	f->spec.limits.memory = 0;
	f->asked.memory = true;
	assert_refused(f, "[limits]\nmemory = 64m\n", "--memory: ");
	f->asked.memory = false;
	assert_applied(f, "[limits]\nmemory = 64m\n");
	assert_int_equal(f->spec.limits.memory, 64 << 20);
}

static void egress_can_be_forbidden(void **state)
{
	struct fixture *f = *state;

	assert_applied(f, "[network]\nnetwork = none\n");
	f->spec.network.egress = true;
	assert_refused(f, "[network]\nnetwork = none\n", "--network: ");
	assert_applied(f, "[network]\nnetwork = egress\n");
}

static void denials_are_added_and_merged(void **state)
{
	struct fixture *f = *state;

	assert_applied(f, "[network]\ndeny = 7.0.0.0/9, 2a00::/16\ndeny = 7.128.0.0/9\n");
	assert_int_equal(f->spec.network.deny4.count, 1);
	assert_int_equal(f->spec.network.deny4.list[0].last[1], 255);
	assert_int_equal(f->spec.network.deny6.count, 1);
}

static void exceptions_are_held_against_the_policy(void **state)
{
	struct fixture *f = *state;
	struct netns_plan *plan = &f->spec.network;

	assert_int_equal(cidr_port_parse("10.0.8.5:5432", &plan->allow[0], &f->e), 0);
	plan->allow_count = 1;
	assert_applied(f, "[network]\nallow = any\n");
	assert_applied(f, "[network]\nallow = 10.0.8.0/24:5432\n");
	assert_refused(f, "[network]\nallow = none\n", "--allow: the policy ");
	assert_refused(f, "[network]\nallow = 10.0.8.0/24:80\n", "--allow: ");
	assert_refused(f, "[network]\nallow = 10.0.9.0/24\n", "--allow: ");
}

static void wrong_lines_are_named(void **state)
{
	static const char *const texts[] = {
		"[limits]\nmemory = 0\n",         "[limits]\nmemory = lots\n",
		"[limits]\ncpus = 0\n",           "[limits]\npids = 0\n",
		"[limits]\npids = 4194305\n",     "[limits]\nswap = 1\n",
		"[network]\nnetwork = host\n",    "[network]\ndeny = 1.2.3\n",
		"[network]\nallow = 1.2.3.4:0\n", "[nowhere]\nmemory = 1m\n",
	};
	struct fixture *f = *state;
	char place[64];

	snprintf(place, sizeof(place), "%s:2: ", f->file);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(read_text(f, texts[i]), -EINVAL);
		if (strncmp(f->e.msg, place, strlen(place)) != 0)
			fail_msg("\"%s\" for %s", f->e.msg, texts[i]);
	}
}

/* It may lie where a sandbox can write. */
static void links_and_pipes_are_refused(void **state)
{
	struct fixture *f = *state;
	char other[sizeof(f->file) + 4];

	snprintf(other, sizeof(other), "%s.x", f->file);
	assert_int_equal(symlink(f->file, other), 0);
	assert_int_equal(policy_read(other, &f->policy, &f->e), -ELOOP);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(mkfifo(other, 0600), 0);
	alarm(20); /* nobody will ever write */
	assert_int_equal(policy_read(other, &f->policy, &f->e), -EINVAL);
	alarm(0);
	assert_int_equal(unlink(other), 0);
}

static void file_must_be_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(policy_read("/no/such.policy", &f->policy, &f->e), -ENOENT);
	assert_string_equal(f->e.msg, "open /no/such.policy: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty_policy_changes_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(defaults_give_way_to_ceilings, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(less_than_the_ceiling_stays, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(more_than_the_ceiling_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(unlimited_is_more_than_any_ceiling,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(egress_can_be_forbidden, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(denials_are_added_and_merged, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(exceptions_are_held_against_the_policy,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_lines_are_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_and_pipes_are_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(file_must_be_there, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
