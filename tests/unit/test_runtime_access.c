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

#include "runtime/access.h"

#define MIB (1ull << 20)

/* A client with most rights, and a request that it may make. */
struct fixture {
	struct access access;
	struct client *client;
	struct profile *profile;
	struct wire_ensure ensure;
	struct wire_exec exec;
	struct wire_error error;
};

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	access_init(&f.access);
	f.client = &f.access.clients[0];
	f.profile = &f.access.profiles[0];
	strncpy(f.client->workspace_root, "/srv/w", 16);
	strncpy(f.ensure.name, "user-1", 16);
	f.ensure.idle_timeout_ms = WIRE_UNSET;
	f.ensure.max_duration_ms = WIRE_UNSET;
	f.exec.argc = 1;
	f.exec.uid = f.exec.gid = UINT32_MAX;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	access_free(&f->access);
	return 0;
}

static int check(struct fixture *f, struct wire_ensure *ensure)
{
	return access_check_ensure(&f->access, f->client, ensure, &f->error);
}

/* Completes a copy of the request. */
static struct wire_ensure completed(struct fixture *f)
{
	struct wire_ensure whole = f->ensure;

	if (check(f, &whole) != 0)
		fail_msg("%s: %s", f->error.what, f->error.why);
	return whole;
}

static void assert_error(const struct wire_error *e, const char *what, const char *why)
{
	assert_int_equal(e->code, WIRE_REFUSED);
	assert_string_equal(e->what, what);
	if (why)
		assert_string_equal(e->why, why);
	assert_true(*e->why);
}

/* Nothing is changed then. `why` NULL: any sentence. */
static void assert_refused(struct fixture *f, const char *what, const char *why)
{
	struct wire_ensure whole = f->ensure;

	memset(&f->error, 0x5a, sizeof(f->error));
	assert_int_equal(check(f, &whole), -EPERM);
	assert_error(&f->error, what, why);
	assert_memory_equal(&whole, &f->ensure, sizeof(whole));
}

static void set(char *buf, size_t size, const char *text)
{
	memset(buf, 0, size);
	snprintf(buf, size, "%s", text);
}

#define SET(field, text) set(field, sizeof(field), text)

/* --- clients */

static void a_client_is_found_by_its_uid(void **state)
{
	struct fixture *f = *state;

	f->access.clients[1] = *f->client;
	f->access.clients[1].uid = 1000;
	f->access.client_count = 2;
	assert_ptr_equal(access_find(&f->access, 1000), &f->access.clients[1]);
	assert_ptr_equal(access_find(&f->access, 0), &f->access.clients[0]);
	f->access.clients[0].uid = 0;
	assert_ptr_equal(access_find(&f->access, 0), &f->access.clients[0]);
	assert_null(access_find(&f->access, 1001));
}

static void who_has_no_uid_is_not_anybody(void **state)
{
	struct fixture *f = *state;

	assert_null(access_find(&f->access, ACCESS_ANYBODY));
}

static void defaults_are_those_that_are_documented(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->profile->name, "default");
	assert_int_equal(f->profile->limits.memory, 512 * MIB);
	assert_int_equal(f->profile->limits.cpu_milli, 1000);
	assert_int_equal(f->profile->limits.pids, 256);
	assert_int_equal(f->profile->uid, 1000);
	assert_int_equal(f->profile->idle_timeout_ms, 300000);
	assert_int_equal(f->profile->max_duration_ms, 0);
	assert_false(f->profile->egress);
	assert_int_equal(f->client->pool.sandboxes, 64);
	assert_int_equal(f->client->ceilings.memory, 4096 * MIB);
	assert_int_equal(f->client->ceilings.cpu_milli, 4000);
	assert_int_equal(f->client->ceilings.pids, 4096);
	assert_true(f->client->egress);
	assert_int_equal(f->client->profile_count, 1);
}

/* --- names */

static const char *const good_names[] = {
	"a",
	".",
	"..",
	"../x",
	"a/b",
	"-rf",
	"$(x)",
	"%s%n",
	" ",
	"A",
	"\xc3\xa9",
	"e\xcc\x81", /* the same to the eye, two names */
	"\xe2\x80\xae", /* right-to-left: shown escaped, if at all */
	"\xc2\xa0",
	"\xed\x9f\xbf",
	"\xee\x80\x80",
	"\xf4\x8f\xbf\xbf",
	"\xf0\x90\x80\x80",
};
static const char *const bad_names[] = {
	"",
	"\n",
	"a\x01",
	"\x1f",
	"\x7f",
	"\xc2\x80",
	"\xc2\x9f",
	"a\tb",
	"\x80",
	"\xbf",
	"\xc0\x80",
	"\xc1\xbf",
	"\xc3",
	"\xc3(", /* lone, overlong, cut */
	"\xe0\x80\xaf",
	"\xe0\x9f\xbf",
	"\xe2\x82",
	"\xe2(\xa1",
	"\xe2\x82(",
	"\xed\xa0\x80",
	"\xed\xbf\xbf", /* surrogates */
	"\xf0\x80\x80\xaf",
	"\xf0\x8f\xbf\xbf",
	"\xf0\x9f\x98",
	"\xf4\x90\x80\x80",
	"\xf5\x80\x80\x80",
	"\xf8\x88\x80\x80\x80",
	"\xfe",
	"\xff",
};

static void names_are_utf8_without_control_characters(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_names) / sizeof(*good_names); i++) {
		if (!access_is_name(good_names[i]))
			fail_msg("\"%s\" is refused", good_names[i]);
	}
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++) {
		if (access_is_name(bad_names[i]))
			fail_msg("number %zu is taken", i);
	}
}

static void names_have_at_most_128_bytes(void **state)
{
	char name[140];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[128] = '\0';
	assert_true(access_is_name(name));
	name[128] = 'x';
	name[129] = '\0';
	assert_false(access_is_name(name));
}

static void a_wrong_name_is_refused(void **state)
{
	struct fixture *f = *state;

	SET(f->ensure.name, "a\nb");
	assert_refused(f, "name",
		       "a name is 1 to 128 bytes of UTF-8 without control characters");
	SET(f->ensure.name, "");
	assert_refused(f, "name", NULL);
}

static void names_begin_with_the_clients_prefix(void **state)
{
	struct fixture *f = *state;

	SET(f->client->name_prefix, "web-");
	assert_refused(f, "name", "names of this client begin with \"web-\"");
	SET(f->ensure.name, "web");
	assert_refused(f, "name", NULL);
	SET(f->ensure.name, "web-1");
	completed(f);
}

/* --- profiles */

static void the_first_profile_is_the_default(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure whole;

	f->access.profiles[1] = *f->profile;
	SET(f->access.profiles[1].name, "big");
	f->access.profile_count = 2;
	f->client->profiles[0] = 1;
	whole = completed(f);
	assert_string_equal(whole.profile, "big");
	SET(f->ensure.profile, "big");
	completed(f);
}

static void unknown_and_forbidden_profiles_have_one_answer(void **state)
{
	struct fixture *f = *state;
	struct wire_error unknown;

	f->access.profiles[1] = *f->profile;
	SET(f->access.profiles[1].name, "big");
	f->access.profile_count = 2;
	SET(f->ensure.profile, "nosuch");
	assert_refused(f, "profile", "this client has no such profile");
	unknown = f->error;
	SET(f->ensure.profile, "big");
	assert_refused(f, "profile", NULL);
	assert_memory_equal(&unknown, &f->error, sizeof(unknown));
	f->client->profile_count = 0;
	SET(f->ensure.profile, "");
	assert_refused(f, "profile", NULL);
}

/* --- workspaces */

static void workspaces_are_relative_and_go_nowhere_else(void **state)
{
	static const char *const good[] = { "a",     "a/b", "...", "..a",
					    ".a/b.", "-rf", "a b", "\xc3\xa9" };
	static const char *const bad[] = {
		"",      "/",      "/a",   "a/",
		"a//b",  ".",      "..",   "../a",
		"a/..",  "a/../b", "./a",  "a/.",
		"a/./b", "a\n",    "\xff", "\xc0\xae\xc0\xae/a"
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		SET(f->ensure.workspace, good[i]);
		assert_true(access_is_workspace(good[i]));
		assert_string_equal(completed(f).workspace, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (access_is_workspace(bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
		SET(f->ensure.workspace, bad[i]);
		if (*bad[i])
			assert_refused(f, "workspace",
				       "a workspace is a relative path without empty, "
				       "\".\" or \"..\" parts and without control "
				       "characters");
	}
}

static void workspaces_have_at_most_1023_bytes(void **state)
{
	char path[1100];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[1023] = '\0';
	assert_true(access_is_workspace(path));
	path[1023] = 'x';
	path[1024] = '\0';
	assert_false(access_is_workspace(path));
}

static void without_a_root_there_are_no_workspaces(void **state)
{
	struct fixture *f = *state;

	SET(f->client->workspace_root, "");
	completed(f);
	SET(f->ensure.workspace, "a");
	assert_refused(f, "workspace", "this client may not have workspaces");
}

/* --- hostnames */

static void all_have_the_same_hostname_unless_asked_for(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(completed(f).hostname, "carrel");
	SET(f->ensure.name, "other");
	assert_string_equal(completed(f).hostname, "carrel");
}

static void hostnames_that_are_asked_for_are_checked(void **state)
{
	static const char *const bad[] = { "-a",  "a-",       ".a",  "a.", "a_b",
					   "a b", "\xc3\xa9", "a\n", "a/b" };
	struct fixture *f = *state;

	SET(f->ensure.hostname, "Host.example-1");
	assert_string_equal(completed(f).hostname, "Host.example-1");
	memset(f->ensure.hostname, 'h', WIRE_HOSTNAME_MAX);
	completed(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		SET(f->ensure.hostname, bad[i]);
		assert_refused(f, "hostname",
			       "a hostname is 1 to 64 letters, digits, \"-\" and \".\", "
			       "with neither of the last two at its ends");
	}
}

/* --- limits */

static void limits_that_are_not_asked_for_are_the_profiles(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure whole = completed(f);

	assert_int_equal(whole.limits.memory, 512 * MIB);
	assert_int_equal(whole.limits.cpu_milli, 1000);
	assert_int_equal(whole.limits.pids, 256);
}

static void profiles_give_way_to_the_clients_ceilings(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure whole;

	f->client->ceilings =
		(struct cgroup_limits){ .memory = 64 * MIB, .cpu_milli = 500, .pids = 8 };
	whole = completed(f);
	assert_int_equal(whole.limits.memory, 64 * MIB);
	assert_int_equal(whole.limits.cpu_milli, 500);
	assert_int_equal(whole.limits.pids, 8);
	f->profile->limits = (struct cgroup_limits){ 0 };
	assert_int_equal(completed(f).limits.memory, 64 * MIB);
	f->client->ceilings = (struct cgroup_limits){ 0 };
	assert_int_equal(completed(f).limits.memory, 0);
}

static void more_than_the_profile_can_be_asked_for(void **state)
{
	struct fixture *f = *state;

	f->ensure.limits.memory = 4096 * MIB;
	f->ensure.limits.pids = 4096;
	assert_int_equal(completed(f).limits.memory, 4096 * MIB);
	assert_int_equal(completed(f).limits.pids, 4096);
}

static void limits_above_the_ceiling_name_both(void **state)
{
	struct fixture *f = *state;

	f->ensure.limits.memory = 4096 * MIB + 1;
	assert_refused(f, "limits",
		       "memory of 4294967297 is more than the 4294967296 that this "
		       "client may have");
	f->ensure.limits = (struct wire_limits){ .cpu_milli = 4001 };
	assert_refused(
		f, "limits",
		"cpu_milli of 4001 is more than the 4000 that this client may have");
	f->ensure.limits = (struct wire_limits){ .pids = UINT64_MAX };
	assert_refused(f, "limits",
		       "pids of 18446744073709551615 is more than the 4096 that this "
		       "client may have");
}

static void limits_that_nothing_can_have_are_refused(void **state)
{
	struct fixture *f = *state;

	f->client->ceilings = (struct cgroup_limits){ 0 };
	f->ensure.limits = (struct wire_limits){ .memory = 6 * MIB - 1 };
	assert_refused(f, "limits",
		       "memory of 6291455 is not within 6291456 to 1125899906842624");
	f->ensure.limits =
		(struct wire_limits){ .memory = 6 * MIB, .cpu_milli = 10, .pids = 1 };
	completed(f);
	f->ensure.limits = (struct wire_limits){ .cpu_milli = 9 };
	assert_refused(f, "limits", "cpu_milli of 9 is not within 10 to 8192000");
	f->ensure.limits = (struct wire_limits){ .pids = 4194305 };
	assert_refused(f, "limits", "pids of 4194305 is not within 1 to 4194304");
	f->ensure.limits = (struct wire_limits){ .memory = UINT64_MAX };
	assert_refused(f, "limits", NULL);
}

/* --- network */

static void network_is_the_profiles_if_the_client_may_have_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(completed(f).network, WIRE_NETWORK_NONE);
	f->profile->egress = true;
	assert_int_equal(completed(f).network, WIRE_NETWORK_EGRESS);
	f->ensure.network = WIRE_NETWORK_NONE;
	assert_int_equal(completed(f).network, WIRE_NETWORK_NONE);
	f->ensure.network = WIRE_NETWORK_UNSET;
	f->client->egress = false;
	assert_int_equal(completed(f).network, WIRE_NETWORK_NONE);
}

static void egress_is_refused_to_who_may_not_have_it(void **state)
{
	struct fixture *f = *state;

	f->ensure.network = WIRE_NETWORK_EGRESS;
	assert_int_equal(completed(f).network, WIRE_NETWORK_EGRESS);
	f->client->egress = false;
	assert_refused(f, "network", "this client may not have egress");
	f->ensure.network = 3;
	assert_refused(f, "network", "a network is none or egress");
}

/* --- times */

static void times_are_the_profiles_unless_asked_for(void **state)
{
	struct fixture *f = *state;
	struct wire_ensure whole = completed(f);

	assert_int_equal(whole.idle_timeout_ms, 300000);
	assert_int_equal(whole.max_duration_ms, 0);
	f->ensure.idle_timeout_ms = 1000;
	f->ensure.max_duration_ms = 60000;
	whole = completed(f);
	assert_int_equal(whole.idle_timeout_ms, 1000);
	assert_int_equal(whole.max_duration_ms, 60000);
}

static void idle_timeout_is_a_second_to_a_day(void **state)
{
	struct fixture *f = *state;

	f->ensure.idle_timeout_ms = 24 * 3600 * 1000;
	completed(f);
	f->ensure.idle_timeout_ms++;
	assert_refused(f, "idle_timeout", "that is more than 86400000 ms");
	f->ensure.idle_timeout_ms = 0;
	assert_refused(f, "idle_timeout", "without end is more than 86400000 ms");
	f->ensure.idle_timeout_ms = 999;
	assert_refused(f, "idle_timeout", "999 ms is not within 1000 to 31622400000");
}

static void a_profile_that_idles_longer_opens_that_to_its_clients(void **state)
{
	struct fixture *f = *state;

	f->profile->idle_timeout_ms = 48ull * 3600 * 1000;
	f->ensure.idle_timeout_ms = 48ull * 3600 * 1000;
	completed(f);
	f->ensure.idle_timeout_ms++;
	assert_refused(f, "idle_timeout", "that is more than 172800000 ms");
	f->profile->idle_timeout_ms = 0;
	completed(f);
	f->ensure.idle_timeout_ms = 0;
	assert_int_equal(completed(f).idle_timeout_ms, 0);
	f->ensure.idle_timeout_ms = WIRE_UNSET - 1;
	assert_refused(f, "idle_timeout", NULL);
}

static void max_duration_is_bounded_by_the_profiles(void **state)
{
	struct fixture *f = *state;

	f->ensure.max_duration_ms = 366ull * 24 * 3600 * 1000;
	completed(f);
	f->ensure.max_duration_ms++;
	assert_refused(f, "max_duration",
		       "31622400001 ms is not within 1000 to 31622400000");
	f->profile->max_duration_ms = 3600 * 1000;
	f->ensure.max_duration_ms = WIRE_UNSET;
	assert_int_equal(completed(f).max_duration_ms, 3600 * 1000);
	f->ensure.max_duration_ms = 3600 * 1000 + 1;
	assert_refused(f, "max_duration", "that is more than 3600000 ms");
	f->ensure.max_duration_ms = 0;
	assert_refused(f, "max_duration", "without end is more than 3600000 ms");
}

/* --- strings */

static int check_strings(struct fixture *f, char **strings, uint32_t env, uint32_t labels)
{
	f->ensure.env_count = env;
	f->ensure.label_count = labels;
	memset(&f->error, 0x5a, sizeof(f->error));
	return access_check_strings(&f->ensure, strings, &f->error);
}

static void no_strings_need_no_list(void **state)
{
	assert_int_equal(check_strings(*state, NULL, 0, 0), 0);
}

static void strings_are_put_in_order(void **state)
{
	char *strings[] = { "B=", "A0=x",  "A=2", "z",  "last",
			    "a",  "first", "m",   "\n", NULL };
	static const char *const sorted[] = { "A0=x", "A=2", "B=", "a",   "first",
					      "m",    "\n",  "z",  "last" };

	assert_int_equal(check_strings(*state, strings, 3, 3), 0);
	for (size_t i = 0; i < 9; i++)
		assert_string_equal(strings[i], sorted[i]);
}

static void variables_have_a_name_and_a_value(void **state)
{
	static char *const bad[] = { "",      "=",     "A",          "=x",  "1A=x",
				     "A B=x", "A-B=x", "\xc3\xa9=x", " A=x" };
	static char *const good[] = { "A=", "_=x", "a_1=b=c\n", "A=\xff" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char *one[] = { bad[i], NULL };

		assert_int_equal(check_strings(f, one, 1, 0), -EPERM);
		assert_error(&f->error, "env",
			     "a variable's name is letters, digits and \"_\", and does "
			     "not begin with a digit");
		assert_false(access_is_variable(bad[i]));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char *one[] = { good[i], NULL };

		assert_int_equal(check_strings(f, one, 1, 0), 0);
	}
}

static void nothing_is_there_twice(void **state)
{
	char *env[] = { "A=1", "A0=", "A=2", NULL };
	char *labels[] = { "a", "1", "b", "2", "a", "3", NULL };
	struct fixture *f = *state;

	assert_int_equal(check_strings(f, env, 3, 0), -EPERM);
	assert_error(&f->error, "env", "a variable is there twice");
	assert_int_equal(check_strings(f, labels, 0, 3), -EPERM);
	assert_error(&f->error, "labels", "a label is there twice");
}

static void labels_are_text(void **state)
{
	char long_key[257], *one[] = { long_key, "v", NULL };
	struct fixture *f = *state;

	memset(long_key, 'k', sizeof(long_key));
	long_key[255] = '\0';
	assert_int_equal(check_strings(f, one, 0, 1), 0);
	long_key[255] = 'k';
	long_key[256] = '\0';
	assert_int_equal(check_strings(f, one, 0, 1), -EPERM);
	assert_error(&f->error, "labels",
		     "a label's name is 1 to 255 bytes of UTF-8 without control "
		     "characters");
	one[0] = "";
	assert_int_equal(check_strings(f, one, 0, 1), -EPERM);
	one[0] = "a\n";
	assert_int_equal(check_strings(f, one, 0, 1), -EPERM);
	one[0] = "a";
	one[1] = "\xff";
	assert_int_equal(check_strings(f, one, 0, 1), -EPERM);
	assert_error(&f->error, "labels", "a label's value is UTF-8");
	one[1] = "";
	assert_int_equal(check_strings(f, one, 0, 1), 0);
}

static void strings_are_counted_and_measured(void **state)
{
	static char big[ACCESS_STRINGS_SIZE + 8];
	char keys[65][8], *labels[130], *env[] = { big, NULL };
	struct fixture *f = *state;

	for (size_t i = 0; i < 65; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%02zu", i);
		labels[2 * i] = keys[i];
		labels[2 * i + 1] = "";
	}
	assert_int_equal(check_strings(f, labels, 0, 64), 0);
	assert_int_equal(check_strings(f, labels, 0, 65), -EPERM);
	assert_error(&f->error, "labels", "more than 64 labels");
	memset(big, 'x', sizeof(big));
	big[1] = '=';
	big[ACCESS_STRINGS_SIZE - 1] = '\0';
	assert_int_equal(check_strings(f, env, 1, 0), 0);
	big[ACCESS_STRINGS_SIZE - 1] = 'x';
	big[ACCESS_STRINGS_SIZE] = '\0';
	assert_int_equal(check_strings(f, env, 1, 0), -EPERM);
	assert_error(&f->error, "env",
		     "variables and labels of more than 40960 bytes in all");
}

/* --- exec */

static const struct wire_limits sandbox = { 512 * MIB, 1000, 256 };

static void assert_exec_refused(struct fixture *f, const char *what, const char *why)
{
	assert_int_equal(access_check_exec(f->client, &f->exec, &sandbox, &f->error),
			 -EPERM);
	assert_error(&f->error, what, why);
}

static void assert_exec(struct fixture *f, const struct wire_limits *limits)
{
	struct wire_exec before = f->exec;

	if (access_check_exec(f->client, &f->exec, limits, &f->error) != 0)
		fail_msg("%s: %s", f->error.what, f->error.why);
	assert_memory_equal(&before, &f->exec, sizeof(before));
}

static void an_exec_may_have_what_the_sandbox_has(void **state)
{
	static const struct wire_limits none = { 0 };
	struct fixture *f = *state;

	assert_exec(f, &sandbox);
	f->exec.limits = sandbox;
	assert_exec(f, &sandbox);
	f->exec.limits.memory++;
	assert_exec_refused(f, "limits",
			    "memory of 536870913 is more than the 536870912 that the "
			    "sandbox has");
	assert_exec(f, &none);
	f->client->ceilings.memory = 64 * MIB;
	f->exec.limits.memory = 65 * MIB;
	assert_exec_refused(f, "limits",
			    "memory of 68157440 is more than the 67108864 that this "
			    "client may have");
	f->exec.limits = (struct wire_limits){ .memory = 1 };
	assert_exec_refused(f, "limits", NULL);
}

static void the_rest_of_an_exec_is_checked(void **state)
{
	struct fixture *f = *state;

	f->exec.argc = 0;
	assert_exec_refused(f, "argv", "a command has at least one word");
	f->exec.argc = 1;
	SET(f->exec.cwd, "tmp");
	assert_exec_refused(f, "cwd", "a directory inside begins with \"/\"");
	SET(f->exec.cwd, "/tmp");
	f->exec.uid = 0;
	assert_exec_refused(f, "uid", "an id inside is 1 to 65534");
	f->exec.uid = 65535;
	assert_exec_refused(f, "uid", NULL);
	f->exec.uid = 1;
	f->exec.gid = 0;
	assert_exec_refused(f, "gid", "an id inside is 1 to 65534");
	f->exec.gid = 65534;
	f->exec.timeout_ms = ACCESS_TIME_MAX;
	assert_exec(f, &sandbox);
	f->exec.timeout_ms++;
	assert_exec_refused(f, "timeout", "31622400001 ms is more than 31622400000");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_client_is_found_by_its_uid),
		CASE(who_has_no_uid_is_not_anybody),
		CASE(defaults_are_those_that_are_documented),
		CASE(names_are_utf8_without_control_characters),
		CASE(names_have_at_most_128_bytes),
		CASE(a_wrong_name_is_refused),
		CASE(names_begin_with_the_clients_prefix),
		CASE(the_first_profile_is_the_default),
		CASE(unknown_and_forbidden_profiles_have_one_answer),
		CASE(workspaces_are_relative_and_go_nowhere_else),
		CASE(workspaces_have_at_most_1023_bytes),
		CASE(without_a_root_there_are_no_workspaces),
		CASE(all_have_the_same_hostname_unless_asked_for),
		CASE(hostnames_that_are_asked_for_are_checked),
		CASE(limits_that_are_not_asked_for_are_the_profiles),
		CASE(profiles_give_way_to_the_clients_ceilings),
		CASE(more_than_the_profile_can_be_asked_for),
		CASE(limits_above_the_ceiling_name_both),
		CASE(limits_that_nothing_can_have_are_refused),
		CASE(network_is_the_profiles_if_the_client_may_have_it),
		CASE(egress_is_refused_to_who_may_not_have_it),
		CASE(times_are_the_profiles_unless_asked_for),
		CASE(idle_timeout_is_a_second_to_a_day),
		CASE(a_profile_that_idles_longer_opens_that_to_its_clients),
		CASE(max_duration_is_bounded_by_the_profiles),
		CASE(no_strings_need_no_list),
		CASE(strings_are_put_in_order),
		CASE(variables_have_a_name_and_a_value),
		CASE(nothing_is_there_twice),
		CASE(labels_are_text),
		CASE(strings_are_counted_and_measured),
		CASE(an_exec_may_have_what_the_sandbox_has),
		CASE(the_rest_of_an_exec_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
