/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/runtime.h"

enum {
	ARG_LEN_MAX = 131071, /* MAX_ARG_STRLEN without its NUL */
	ARGS_TOTAL_MAX = 2 * 1024 * 1024 - 8192,
	ARGS = 18,
};

static char *const no_environment[] = { NULL };

/* A spec that passes; one at a time. */
static struct spec *fresh(void)
{
	static char *const argv[] = { "true", NULL };
	static struct spec spec;

	spec_init(&spec);
	spec.argv = argv;
	spec.envp = no_environment;
	return &spec;
}

static void assert_passes(struct spec *spec)
{
	struct err e = { 0 };

	if (spec_check(spec, &e) != 0)
		fail_msg("refused: %s", e.msg);
}

static void assert_refused(struct spec *spec, int code, const char *part)
{
	struct err e = { 0 };

	assert_int_equal(spec_check(spec, &e), code);
	assert_int_equal(e.code, code);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, part);
}

static char *filled(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

static void init_limits_memory_processor_and_processes(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	assert_int_equal(spec->limits.memory, 512 << 20);
	assert_int_equal(spec->limits.cpu_milli, 1000);
	assert_int_equal(spec->limits.pids, 256);
}

static void init_limits_descriptors_and_core_dumps(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	assert_int_equal(spec->rlimits.count, 2);
	assert_int_equal(spec->rlimits.items[0].resource, RLIMIT_NOFILE);
	assert_int_equal(spec->rlimits.items[0].hard, 4096);
	assert_int_equal(spec->rlimits.items[1].resource, RLIMIT_CORE);
	assert_int_equal(spec->rlimits.items[1].hard, 1);
}

static void init_is_an_ordinary_user_without_deadline_or_terminal(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	assert_int_equal(spec->uid, 1000);
	assert_int_equal(spec->gid, 1000);
	assert_int_equal(spec->timeout_ms, 0);
	assert_false(spec->terminal);
	assert_null(spec->directory);
	assert_int_equal(spec->files.count, 4);
}

static void defaults_pass(void **state)
{
	(void)state;
	assert_passes(fresh());
}

static void check_refuses_a_missing_command(void **state)
{
	static char *const none[] = { NULL };
	struct spec *spec = fresh();

	(void)state;
	spec->argv = NULL;
	assert_refused(spec, -EINVAL, "no command given");
	spec->argv = none;
	assert_refused(spec, -EINVAL, "no command given");
}

static void check_refuses_an_empty_command(void **state)
{
	static char *const empty[] = { "", "argument", NULL };
	struct spec *spec = fresh();

	(void)state;
	spec->argv = empty;
	assert_refused(spec, -ENOENT, "the command is an empty string");
}

static void check_accepts_empty_arguments(void **state)
{
	static char *const argv[] = { "true", "", "", NULL };
	struct spec *spec = fresh();

	(void)state;
	spec->argv = argv;
	assert_passes(spec);
}

static void check_accepts_ids_at_both_ends(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	spec->uid = spec->gid = 1;
	assert_passes(spec);
	spec->uid = spec->gid = SPEC_ID_MAX;
	assert_passes(spec);
}

static void check_refuses_root_and_ids_outside_of_the_range(void **state)
{
	static const uint32_t ids[] = { 0, 65535, 65536, 0x70000000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct spec *spec = fresh();

		spec->uid = ids[i];
		assert_refused(spec, -EINVAL, "is not within 1 to 65534");
		spec = fresh();
		spec->gid = ids[i];
		assert_refused(spec, -EINVAL, "is not within 1 to 65534");
	}
}

static void check_refuses_too_little_memory(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	spec->limits.memory = (6 << 20) - 1;
	assert_refused(spec, -EINVAL, "a memory limit of 6291455 bytes is below 6m");
	spec->limits.memory = 1;
	assert_refused(spec, -EINVAL, "below 6m");
}

static void check_accepts_the_least_memory_and_none_asked_for(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	spec->limits.memory = 6 << 20;
	assert_passes(spec);
	spec->limits.memory = 0;
	assert_passes(spec);
	spec->limits.memory = UINT64_MAX;
	assert_passes(spec);
}

static void check_accepts_hostnames(void **state)
{
	static const char *const names[] = { "a", "7", "A-1.b", "carrel", "a--b", "0.0" };
	struct spec *spec = fresh();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		spec->files.hostname = names[i];
		assert_passes(spec);
	}
}

static void check_refuses_what_is_no_hostname(void **state)
{
	static const char *const names[] = {
		"-",        "-a",    "a-",    ".a",  "a.",     ".",   "a_b",
		"a b",      "a/b",   "a\nb",  "a\n", "\ta",    "a:b", "a\"b",
		"\xc3\xa4", "a\xff", "a\x7f", "a;b", "a\x01b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct spec *spec = fresh();

		spec->files.hostname = names[i];
		assert_refused(spec, -EINVAL, "is not letters, digits");
	}
}

static void check_takes_hostnames_of_1_to_64_characters(void **state)
{
	struct spec *spec = fresh();
	char name[66];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[65] = '\0';
	spec->files.hostname = name;
	assert_refused(spec, -EINVAL, "is not 1 to 64 characters long");
	name[64] = '\0';
	assert_passes(spec);
	spec->files.hostname = "";
	assert_refused(spec, -EINVAL, "is not 1 to 64 characters long");
}

static void check_refuses_a_huge_hostname_in_a_short_sentence(void **state)
{
	struct spec *spec = fresh();
	struct err e = { 0 };
	char *name = filled(100000);

	(void)state;
	spec->files.hostname = name;
	assert_int_equal(spec_check(spec, &e), -EINVAL);
	assert_true(strlen(e.msg) < sizeof(e.msg));
	free(name);
}

static void check_measures_each_argument_and_variable(void **state)
{
	char *longest = filled(ARG_LEN_MAX), *too_long = filled(ARG_LEN_MAX + 1);
	char *argv[] = { "true", longest, NULL }, *envp[] = { longest, NULL };
	struct spec *spec = fresh();

	(void)state;
	spec->argv = argv;
	spec->envp = envp;
	assert_passes(spec);
	argv[1] = too_long;
	assert_refused(spec, -E2BIG,
		       "an argument of 131072 bytes: the kernel takes 131071");
	argv[1] = NULL;
	envp[0] = too_long;
	assert_refused(spec, -E2BIG, "an environment variable of 131072 bytes");
	argv[0] = too_long;
	assert_refused(spec, -E2BIG, "an argument of");
	free(longest);
	free(too_long);
}

/* Arguments that add up to the limit, as execve counts them. */
struct full {
	char *argv[ARGS + 1];
};

static void fill(struct full *f, size_t excess)
{
	size_t total = strlen("/bin/true") + 1 + sizeof(char *);

	memset(f, 0, sizeof(*f));
	f->argv[0] = "/bin/true";
	for (unsigned i = 1; i < ARGS; i++) {
		size_t len = ARGS_TOTAL_MAX / (ARGS - 1);

		if (i == ARGS - 1)
			len = ARGS_TOTAL_MAX + excess - total - 1 - sizeof(char *);
		f->argv[i] = filled(len);
		total += len + 1 + sizeof(char *);
	}
	assert_int_equal(total, ARGS_TOTAL_MAX + excess);
}

static void drain(struct full *f)
{
	for (unsigned i = 1; i < ARGS; i++)
		free(f->argv[i]);
}

static void check_adds_arguments_and_variables_up(void **state)
{
	static char *envp[] = { "", NULL };
	struct spec *spec = fresh();
	struct full f;

	(void)state;
	fill(&f, 0);
	spec->argv = f.argv;
	assert_passes(spec);
	/* An empty string still costs its NUL and its pointer. */
	spec->envp = envp;
	assert_refused(spec, -E2BIG, "arguments and environment of 2088969 bytes");
	drain(&f);
	spec = fresh();
	fill(&f, 1);
	spec->argv = f.argv;
	assert_refused(spec, -E2BIG, "arguments and environment of 2088961 bytes");
	drain(&f);
}

/* The errno of executing argv with the stack that most hosts give, or 0. */
static int try_exec(char *const *argv)
{
	const struct rlimit stack = { 8 << 20, RLIM_INFINITY };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit old;

		getrlimit(RLIMIT_STACK, &old);
		setrlimit(RLIMIT_STACK, &(struct rlimit){ stack.rlim_cur, old.rlim_max });
		alarm(20);
		execve("/bin/true", argv, no_environment);
		_exit(errno);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void kernel_takes_what_check_takes(void **state)
{
	char *longest = filled(ARG_LEN_MAX), *too_long = filled(ARG_LEN_MAX + 1);
	char *argv[] = { "true", longest, NULL };
	struct full f;

	(void)state;
	assert_int_equal(try_exec(argv), 0);
	argv[1] = too_long;
	assert_int_equal(try_exec(argv), E2BIG);
	free(longest);
	free(too_long);
	fill(&f, 0);
	assert_int_equal(try_exec(f.argv), 0);
	drain(&f);
}

static void check_refuses_what_the_plan_refuses(void **state)
{
	struct spec *spec = fresh();
	struct err e = { 0 };

	(void)state;
	assert_int_equal(rootfs_plan_workspace(&spec->files, "", &e), 0);
	assert_refused(spec, -EINVAL, "the volume for /workspace has no source");
}

static void check_sorts_the_mounts(void **state)
{
	struct spec *spec = fresh();
	char below[] = "/a/b", above[] = "/a";
	struct err e = { 0 };

	(void)state;
	assert_int_equal(rootfs_plan_tmpfs(&spec->files, below, &e), 0);
	assert_int_equal(rootfs_plan_tmpfs(&spec->files, above, &e), 0);
	assert_passes(spec);
	assert_string_equal(spec->files.mounts[0].target, "/a");
	assert_string_equal(spec->files.mounts[1].target, "/a/b");
}

static void check_can_be_repeated(void **state)
{
	struct spec *spec = fresh();

	(void)state;
	assert_passes(spec);
	assert_passes(spec);
}

static void reasons_have_the_names_of_the_result(void **state)
{
	(void)state;
	assert_string_equal(run_reason_name(RUN_EXIT), "exit");
	assert_string_equal(run_reason_name(RUN_SIGNAL), "signal");
	assert_string_equal(run_reason_name(RUN_TIMEOUT), "timeout");
	assert_string_equal(run_reason_name(RUN_OOM), "oom");
	assert_string_equal(run_reason_name(RUN_START_FAILED), "start_failed");
	assert_int_equal(RUN_REASON_MAX, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_limits_memory_processor_and_processes),
		cmocka_unit_test(init_limits_descriptors_and_core_dumps),
		cmocka_unit_test(init_is_an_ordinary_user_without_deadline_or_terminal),
		cmocka_unit_test(defaults_pass),
		cmocka_unit_test(check_refuses_a_missing_command),
		cmocka_unit_test(check_refuses_an_empty_command),
		cmocka_unit_test(check_accepts_empty_arguments),
		cmocka_unit_test(check_accepts_ids_at_both_ends),
		cmocka_unit_test(check_refuses_root_and_ids_outside_of_the_range),
		cmocka_unit_test(check_refuses_too_little_memory),
		cmocka_unit_test(check_accepts_the_least_memory_and_none_asked_for),
		cmocka_unit_test(check_accepts_hostnames),
		cmocka_unit_test(check_refuses_what_is_no_hostname),
		cmocka_unit_test(check_takes_hostnames_of_1_to_64_characters),
		cmocka_unit_test(check_refuses_a_huge_hostname_in_a_short_sentence),
		cmocka_unit_test(check_measures_each_argument_and_variable),
		cmocka_unit_test(check_adds_arguments_and_variables_up),
		cmocka_unit_test(kernel_takes_what_check_takes),
		cmocka_unit_test(check_refuses_what_the_plan_refuses),
		cmocka_unit_test(check_sorts_the_mounts),
		cmocka_unit_test(check_can_be_repeated),
		cmocka_unit_test(reasons_have_the_names_of_the_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
