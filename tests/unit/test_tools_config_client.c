/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/in_namespaces.h"
#include "tests/unit/test_tools_config_daemon.h"

/* Where the workspace roots of the cases are, in a mount namespace of their own. */
#define PLACE "/mnt"

static const struct client *read_client(struct fixture *f, const char *lines)
{
	char text[2048];

	snprintf(text, sizeof(text), "[profile x]\n[client 7]\n%s", lines);
	assert_read(f, text);
	assert_int_equal(f->access.client_count, 1);
	return &f->access.clients[0];
}

static void a_new_client_begins_with_the_defaults(void **state)
{
	const struct client *c = read_client(*state, "");

	assert_string_equal(c->name, "7");
	assert_int_equal(c->uid, 7);
	assert_string_equal(c->workspace_root, "");
	assert_string_equal(c->name_prefix, "");
	assert_true(c->egress);
	assert_int_equal(c->ceilings.memory, 4096ull << 20);
	assert_int_equal(c->pool.sandboxes, 64);
	/* Not every profile that there is. */
	assert_int_equal(c->profile_count, 1);
	assert_int_equal(c->profiles[0], 0);
}

static void every_key_is_read(void **state)
{
	struct fixture *f = *state;
	const struct client *c = read_client(
		f, "name_prefix = web-\nprofiles = x , default\nnetwork = none\n"
		   "memory = 1g\ncpus = 1.5\npids = 9\nmax_sandboxes = 1\n"
		   "max_definitions = 2\nmax_execs = 3\nmax_waiters = unlimited\n");

	assert_string_equal(c->name_prefix, "web-");
	assert_int_equal(c->profile_count, 2);
	assert_int_equal(c->profiles[0], 1);
	assert_int_equal(c->profiles[1], 0);
	assert_false(c->egress);
	assert_int_equal(c->ceilings.memory, 1 << 30);
	assert_int_equal(c->ceilings.cpu_milli, 1500);
	assert_int_equal(c->ceilings.pids, 9);
	assert_int_equal(c->pool.sandboxes, 1);
	assert_int_equal(c->pool.definitions, 2);
	assert_int_equal(c->pool.execs, 3);
	assert_int_equal(c->pool.waiters, 0);
}

static void who_names_a_client_names_all(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[client 7]\n");
	assert_non_null(access_find(&f->access, 7));
	assert_null(access_find(&f->access, 8));
	assert_null(access_find(&f->access, 0));
	assert_read(f, "[client 7]\n[client rest]\nuser = any\n");
	assert_string_equal(access_find(&f->access, 7)->name, "7");
	assert_string_equal(access_find(&f->access, 8)->name, "rest");
}

static void users_are_names_or_numbers(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[client root]\n[client n]\nuser = daemon\n[client m]\nuser = "
		       "4294967294\n"
		       "[client any]\n");
	assert_int_equal(f->access.clients[0].uid, 0);
	assert_int_equal(f->access.clients[1].uid, 1);
	assert_int_equal(f->access.clients[2].uid, 4294967294);
	assert_int_equal(f->access.clients[3].uid, ACCESS_ANYBODY);
}

static void the_last_user_counts(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[client nosuchuser]\nuser = 5\nuser = 6\n");
	assert_int_equal(f->access.clients[0].uid, 6);
}

static void nobody_is_two_clients(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[client root]\n[client a]\nuser = 0\n", -EEXIST,
		       ": [client a]: its user is that of [client root]");
	assert_refused(f, "[client any]\n[client a]\nuser = any\n", -EEXIST,
		       ": [client a]: its user is that of [client any]");
}

static void users_must_be_there(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[client nosuchuser]\n", -ENOENT,
		       ": [client nosuchuser]: no user is called \"nosuchuser\"");
	assert_refused(
		f, "[client a]\nuser = nosuchuser\n", -ENOENT,
		":2: [client a] user = nosuchuser: no user is called \"nosuchuser\"");
}

#define COUNTS "expected a number of 1 to 1000000 or \"unlimited\""
#define PATHS  "expected an absolute path without \".\", \"..\" or \"//\""

static void wrong_values_are_refused(void **state)
{
	static const struct bad_line lines[] = {
		{ "user", "4294967295", -EINVAL, "not a user id" },
		{ "user", "007", -EINVAL, "not a user id" },
		{ "user", "", -ENOENT, "no user is called \"\"" },
		{ "workspace_root", "srv", -EINVAL, PATHS },
		{ "workspace_root", "/", -EINVAL, PATHS },
		{ "workspace_root", "/srv/", -EINVAL, PATHS },
		{ "workspace_root", "/srv/../etc", -EINVAL, PATHS },
		{ "workspace_root", "", -EINVAL, PATHS },
		{ "name_prefix", "", -EINVAL,
		  "expected the beginning of a sandbox's name" },
		{ "name_prefix", "\xff", -EINVAL,
		  "expected the beginning of a sandbox's name" },
		{ "profiles", "x", -ENOENT, "no profile is called \"x\" up to here" },
		{ "profiles", "", -ENOENT, "no profile is called \"\" up to here" },
		{ "profiles", "default,", -ENOENT,
		  "no profile is called \"\" up to here" },
		{ "network", "yes", -EINVAL, "expected none or egress" },
		{ "memory", "1m", -EINVAL,
		  "expected a size of 6m or more, such as 512m, or \"unlimited\"" },
		{ "cpus", "0", -EINVAL,
		  "expected a number of 0.01 or more, such as 1.5, or \"unlimited\"" },
		{ "pids", "0", -EINVAL,
		  "expected a number of 1 to 4194304 or \"unlimited\"" },
		{ "max_sandboxes", "0", -EINVAL,
		  "expected a number of 1 to 65535 or \"unlimited\"" },
		{ "max_definitions", "0", -EINVAL, COUNTS },
		{ "max_execs", "x", -EINVAL, COUNTS },
		{ "max_waiters", "1000001", -EINVAL, COUNTS },
	};

	ASSERT_LINES_REFUSED(*state, "client 7", lines);
}

static void there_is_an_end_to_everything(void **state)
{
	struct fixture *f = *state;
	char text[8192], rest[256], list[80] = "a", *p = text;

	for (int i = 0; i < ACCESS_PROFILES_MAX; i++)
		snprintf(list + strlen(list), 3, ",a");
	snprintf(text, sizeof(text), "[profile a]\n[client 7]\nprofiles = %s\n", list);
	snprintf(rest, sizeof(rest),
		 ":3: [client 7] profiles = %s: more than 32 profiles", list);
	assert_refused(f, text, -E2BIG, rest);
	for (int i = 0; i <= ACCESS_CLIENTS_MAX; i++)
		p += snprintf(p, 64, "[client %d]\n", i);
	assert_refused(f, text, -E2BIG, ":65: [client 64]: more than 64 clients");
}

/* --- workspace roots */

static void make_directory(const char *path, uid_t uid, mode_t mode)
{
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, uid, uid), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* In a mount namespace of its own. */
static struct fixture *with_directories(void *context)
{
	assert_int_equal(mount("unit", PLACE, "tmpfs", 0, "mode=0755"), 0);
	make_directory(PLACE "/w", 7, 0750);
	make_directory(PLACE "/root", 0, 0711);
	make_directory(PLACE "/other", 8, 0755);
	make_directory(PLACE "/open", 0, 01777);
	make_directory(PLACE "/group", 7, 0770);
	make_directory(PLACE "/w/sub", 7, 0755);
	make_directory(PLACE "/root/sub", 7, 0755);
	make_directory(PLACE "/open/sub", 7, 0755);
	assert_int_equal(symlink("w", PLACE "/link"), 0);
	assert_int_equal(mknod(PLACE "/file", S_IFREG | 0644, 0), 0);
	return context;
}

static void read_good_roots(void *context)
{
	struct fixture *f = with_directories(context);

	assert_string_equal(read_client(f, "workspace_root = /mnt/w\n")->workspace_root,
			    "/mnt/w");
	read_client(f, "workspace_root = /mnt/root\n");
	read_client(f, "workspace_root = /mnt/root/sub\n");
	assert_read(f, "[client any]\nworkspace_root = /mnt/root\n");
	assert_read(f, "[client a]\nworkspace_root = /mnt/w\nuser = 7\n");
}

static void workspace_roots_are_roots_or_the_clients_own(void **state)
{
	in_namespaces(CLONE_NEWNS, read_good_roots, *state);
}

/* E-49. */
static void read_bad_roots(void *context)
{
	struct fixture *f = with_directories(context);
	static const struct {
		const char *root, *why;
		int code;
	} rows[] = {
		{ "/mnt/none", "open none: No such file or directory", -ENOENT },
		{ "/mnt/file", "open file: Not a directory", -ENOTDIR },
		{ "/mnt/link", "open link: Not a directory", -ENOTDIR },
		{ "/mnt/link/sub", "open link: Not a directory", -ENOTDIR },
		{ "/mnt/other",
		  "other belongs to uid 8 with mode 755: nobody but root or the client "
		  "may write there",
		  -EPERM },
		{ "/mnt/group",
		  "group belongs to uid 7 with mode 770: nobody but root or the client "
		  "may write there",
		  -EPERM },
		{ "/mnt/w/sub",
		  "w belongs to uid 7 with mode 750: nobody but root may write there",
		  -EPERM },
		{ "/mnt/open/sub",
		  "open belongs to uid 0 with mode 1777: nobody but root may write there",
		  -EPERM },
	};
	char text[256], rest[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(text, sizeof(text), "[client 7]\nworkspace_root = %s\n",
			 rows[i].root);
		snprintf(rest, sizeof(rest), ": [client 7]: workspace_root = %s: %s",
			 rows[i].root, rows[i].why);
		assert_refused(f, text, rows[i].code, rest);
	}
	/* Of nobody in particular is nobody's own. */
	assert_refused(f, "[client any]\nworkspace_root = /mnt/w\n", -EPERM,
		       ": [client any]: workspace_root = /mnt/w: w belongs to uid 7 with "
		       "mode 750: nobody but root may write there");
}

static void workspace_roots_that_others_can_replace_are_refused(void **state)
{
	in_namespaces(CLONE_NEWNS, read_bad_roots, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_new_client_begins_with_the_defaults),
		CASE(every_key_is_read),
		CASE(who_names_a_client_names_all),
		CASE(users_are_names_or_numbers),
		CASE(the_last_user_counts),
		CASE(nobody_is_two_clients),
		CASE(users_must_be_there),
		CASE(wrong_values_are_refused),
		CASE(there_is_an_end_to_everything),
		CASE(workspace_roots_are_roots_or_the_clients_own),
		CASE(workspace_roots_that_others_can_replace_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
