/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_tools_config_daemon.h"

static void no_file_is_needed_to_start(void **state)
{
	struct fixture *f = *state;

	if (access(CONFIG_PATH, F_OK) == 0 || access("/etc/carrel/policy.d", F_OK) == 0) {
		print_message("skipped: this machine has a configuration\n");
		skip();
	}
	f->held = true;
	assert_int_equal(config_daemon_read(NULL, &f->access, &f->e), 0);
	assert_int_equal(f->access.profile_count, 1);
	assert_int_equal(f->access.client_count, 1);
}

static void empty_file_leaves_the_defaults(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "");
	assert_int_equal(f->access.profile_count, 1);
	assert_string_equal(f->access.profiles[0].name, "default");
	assert_int_equal(f->access.client_count, 1);
	assert_int_equal(f->access.clients[0].uid, ACCESS_ANYBODY);
	assert_int_equal(f->access.pool.sandboxes, 1024);
	assert_int_equal(f->access.pool.waiters, 4096);
	assert_string_equal(f->access.metrics_file, "");
	assert_true(f->access.keep_running);
}

static void a_file_that_is_named_must_be_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_again(f), -ENOENT);
}

/* --- [pool] */

static void every_key_of_the_pool_is_read(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[pool]\nmax_sandboxes = 7\nmax_waiters = unlimited\n"
		       "metrics_file = /var/lib/x/carrel.prom\nkeep_running = no\n");
	assert_int_equal(f->access.pool.sandboxes, 7);
	assert_int_equal(f->access.pool.waiters, 0);
	assert_string_equal(f->access.metrics_file, "/var/lib/x/carrel.prom");
	assert_false(f->access.keep_running);
}

static void wrong_values_of_the_pool_are_refused(void **state)
{
	static const struct bad_line lines[] = {
		{ "max_sandboxes", "0", -EINVAL,
		  "expected a number of 1 to 65535 or \"unlimited\"" },
		{ "max_sandboxes", "65536", -EINVAL,
		  "expected a number of 1 to 65535 or \"unlimited\"" },
		{ "max_sandboxes", "", -EINVAL,
		  "expected a number of 1 to 65535 or \"unlimited\"" },
		{ "max_waiters", "-1", -EINVAL,
		  "expected a number of 1 to 1000000 or \"unlimited\"" },
		{ "max_waiters", "4294967297", -EINVAL,
		  "expected a number of 1 to 1000000 or \"unlimited\"" },
		{ "metrics_file", "x.prom", -EINVAL,
		  "expected an absolute path without \".\", \"..\" or \"//\"" },
		{ "keep_running", "true", -EINVAL, "expected no or yes" },
	};

	ASSERT_LINES_REFUSED(*state, "pool", lines);
}

/* --- sections that have a name */

static void sections_and_keys_are_known_or_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[pool]\nmax_sandbox = 1\n", -EINVAL,
		       ":2: unknown key \"max_sandbox\" in section [pool]");
	assert_refused(f, "[pool x]\nmax_sandboxes = 1\n", -EINVAL,
		       ":2: unknown key \"max_sandboxes\" in section [pool x]");
	assert_refused(f, "[profiles]\nmemory = 1g\n", -EINVAL,
		       ":2: unknown key \"memory\" in section [profiles]");
	assert_refused(f, "[profile x]\nmax_execs = 1\n", -EINVAL,
		       ":2: unknown key \"max_execs\" in section [profile x]");
	assert_refused(f, "[client 7]\nwarm = 1\n", -EINVAL,
		       ":2: unknown key \"warm\" in section [client 7]");
	assert_refused(f, "[client 7]\n= 1\n", -EINVAL,
		       ":2: unknown key \"\" in section [client 7]");
	assert_refused(f, "[profile x\nmemory = 1g\n", -EINVAL,
		       ":1: not a section, key = value or comment");
	assert_refused(f, "[profile x]\n[pool]\nmemory = 1g\n", -EINVAL,
		       ":3: unknown key \"memory\" in section [pool]");
}

static void names_of_sections_are_checked(void **state)
{
	static const char *const names[] = { "",    " x",
					     "a b", "a/b",
					     "a;b", "\xc3\xa9",
					     "*",   "012345678901234567890123456789012" };
	struct fixture *f = *state;
	char text[128], rest[256];

	for (size_t i = 0; i < 2 * sizeof(names) / sizeof(*names); i++) {
		const char *kind = i % 2 ? "profile" : "client", *name = names[i / 2];

		snprintf(text, sizeof(text), "\n[%s %s]\n", kind, name);
		snprintf(rest, sizeof(rest),
			 ":2: [%s %s]: expected a name of 1 to 32 letters, digits, "
			 "\".\", \"_\" and \"-\"",
			 kind, name);
		assert_refused(f, text, -EINVAL, rest);
	}
	assert_refused(f, "[client]\n", -EINVAL,
		       ":1: [client]: expected a name of 1 to 32 letters, digits, \".\", "
		       "\"_\" and \"-\"");
}

/* The parser would cut it and take two for one. */
static void long_names_are_not_cut(void **state)
{
	struct fixture *f = *state;
	char text[512];

	for (int len = 33; len < 180; len++) {
		snprintf(text, sizeof(text), "[profile %.*s]\nmemory = 1g\n", len,
			 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			 "xxxxxx"
			 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			 "xxxxxx"
			 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			 "xxxxxx");
		assert_int_equal(read_text(f, text), -EINVAL);
		assert_non_null(strstr(f->e.msg, ":1: [profile"));
	}
}

static void a_byte_order_mark_hides_no_section(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "\xef\xbb\xbf[profile x]\nmemory = 1g\n");
	assert_int_equal(f->access.profile_count, 2);
	assert_int_equal(f->access.profiles[1].limits.memory, 1 << 30);
}

static void sections_can_be_gone_on_with(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[profile x]\nmemory = 1g\n[profile y]\n[profile x]\npids = 9\n"
		       "[profile default]\ncpus = 2\n");
	assert_int_equal(f->access.profile_count, 3);
	assert_int_equal(f->access.profiles[1].limits.memory, 1 << 30);
	assert_int_equal(f->access.profiles[1].limits.pids, 9);
	assert_int_equal(f->access.profiles[2].limits.pids, 256);
	assert_int_equal(f->access.profiles[0].limits.cpu_milli, 2000);
}

/* --- one file for both programs */

static const char *const both =
	"[ids]\nranges = 5\n[profile x]\nmemory = 1g\n[network]\nconnections = 7\n"
	"[client 7]\n[pool]\nmax_sandboxes = 3\n";

static void carrel_run_passes_over_the_daemons_sections(void **state)
{
	struct fixture *f = *state;
	struct config config;

	write_file(f, "carrel.conf", both);
	assert_int_equal(config_read(f->file, &config, &f->e), 0);
	assert_int_equal(config.runtime.id_ranges, 5);
	assert_int_equal(config.runtime.network.flows, 7);
	config_free(&config);
	/* Values may be about what it has no use for. */
	write_file(f, "carrel.conf",
		   "[client 7]\nuser = nosuch\nworkspace_root = /no/such\n"
		   "profiles = none\n[profile a b]\nwarm = x\n");
	assert_int_equal(config_read(f->file, &config, &f->e), 0);
	config_free(&config);
	write_file(f, "carrel.conf", "[client 7]\nusers = 1\n");
	assert_int_equal(config_read(f->file, &config, &f->e), -EINVAL);
	assert_non_null(
		strstr(f->e.msg, ":2: unknown key \"users\" in section [client 7]"));
	config_free(&config);
}

static void the_daemon_checks_the_other_sections_too(void **state)
{
	struct fixture *f = *state;

	assert_read(f, both);
	assert_int_equal(f->access.pool.sandboxes, 3);
	assert_refused(f, "[ids]\nranges = x\n", -EINVAL,
		       ":2: [ids] ranges = x: expected a number of 1 to 65535");
}

/* --- policy.d */

static void make_policies(const struct fixture *f)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/policy.d", f->directory);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void policies_are_read_in_the_order_of_their_names(void **state)
{
	struct fixture *f = *state;

	make_policies(f);
	write_file(f, "policy.d/20-b.conf",
		   "[profile x]\npids = 20\n[client 8]\nprofiles = x, default\n");
	write_file(f, "policy.d/10-a.conf", "[profile x]\npids = 10\nmemory = 10m\n");
	assert_read(f, "[profile x]\npids = 1\nmemory = 7m\ncpus = 3\n[client 7]\n");
	assert_int_equal(f->access.profile_count, 2);
	assert_int_equal(f->access.profiles[1].limits.pids, 20);
	assert_int_equal(f->access.profiles[1].limits.memory, 10 << 20);
	assert_int_equal(f->access.profiles[1].limits.cpu_milli, 3000);
	assert_int_equal(f->access.client_count, 2);
	assert_int_equal(f->access.clients[1].profile_count, 2);
	assert_int_equal(f->access.clients[1].profiles[0], 1);
}

static void other_files_there_are_not_read(void **state)
{
	struct fixture *f = *state;

	make_policies(f);
	write_file(f, "policy.d/README", "not a configuration\n");
	write_file(f, "policy.d/x.conf~", "not a configuration\n");
	write_file(f, "policy.d/.x.conf", "not a configuration\n");
	write_file(f, "policy.d/.conf", "not a configuration\n");
	assert_read(f, "");
}

static void errors_there_name_the_file(void **state)
{
	struct fixture *f = *state;
	char expected[200];

	make_policies(f);
	write_file(f, "policy.d/a.conf", "[profile x]\n\nwarm = x\n");
	assert_int_equal(read_text(f, ""), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "%s/policy.d/a.conf:3: [profile x] warm = x: expected a number of 0 to "
		 "1024",
		 f->directory);
	assert_string_equal(f->e.msg, expected);
	write_file(f, "policy.d/a.conf", "[ids]\nranges = 3\n");
	assert_int_equal(read_text(f, ""), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "%s/policy.d/a.conf:2: unknown key \"ranges\" in section [ids]",
		 f->directory);
	assert_string_equal(f->e.msg, expected);
	write_file(f, "policy.d/a.conf", "[client 7]\nworkspace_root = /no/such/place\n");
	assert_int_equal(read_text(f, ""), -ENOENT);
	snprintf(expected, sizeof(expected),
		 "%s/policy.d/a.conf: [client 7]: workspace_root = /no/such/place: open "
		 "no: "
		 "No such file or directory",
		 f->directory);
	assert_string_equal(f->e.msg, expected);
}

static void a_file_without_a_directory_has_policies_beside_it(void **state)
{
	struct fixture *f = *state;
	char here[256];

	make_policies(f);
	write_file(f, "policy.d/a.conf", "[profile x]\n");
	write_file(f, "carrel.conf", "");
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(f->directory), 0);
	f->held = true;
	assert_int_equal(config_daemon_read("carrel.conf", &f->access, &f->e), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(f->access.profile_count, 2);
}

/* The one that is installed, with its workspace root in a place that this machine has. */
static void the_example_can_be_used(void **state)
{
	struct fixture *f = *state;
	static char text[16384];
	ssize_t n = fd_read_at(AT_FDCWD, "tools/carrel.conf.example", text, sizeof(text));

	if (n == -ENOENT)
		fail_msg("must be run at the top of the tree");
	assert_true(n > 0);
	assert_read(f, text);
	/* Its comments are settings too. */
	for (char *line = text; line; line = strchr(line + 1, '\n')) {
		char *mark = *line == '\n' ? line + 1 : line;

		if (mark[0] == '#' && mark[1] != ' ' && mark[1] != '\n')
			*mark = ' ';
	}
	for (char *line = text, *out = text;; line++) {
		if (*line == ' ' && (line == text || line[-1] == '\n'))
			continue;
		*out++ = *line;
		if (!*line)
			break;
	}
	if (read_text(f, text) != 0 && !strstr(f->e.msg, "workspace_root"))
		fail_msg("%s", f->e.msg);
	assert_true(f->access.profile_count > 1);
	assert_true(f->access.client_count > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(no_file_is_needed_to_start),
		CASE(empty_file_leaves_the_defaults),
		CASE(a_file_that_is_named_must_be_there),
		CASE(every_key_of_the_pool_is_read),
		CASE(wrong_values_of_the_pool_are_refused),
		CASE(sections_and_keys_are_known_or_refused),
		CASE(names_of_sections_are_checked),
		CASE(long_names_are_not_cut),
		CASE(a_byte_order_mark_hides_no_section),
		CASE(sections_can_be_gone_on_with),
		CASE(carrel_run_passes_over_the_daemons_sections),
		CASE(the_daemon_checks_the_other_sections_too),
		CASE(policies_are_read_in_the_order_of_their_names),
		CASE(other_files_there_are_not_read),
		CASE(errors_there_name_the_file),
		CASE(a_file_without_a_directory_has_policies_beside_it),
		CASE(the_example_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
