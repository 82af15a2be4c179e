/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>

#include "tests/unit/test_tools_config_daemon.h"

static const struct profile *read_profile(struct fixture *f, const char *lines)
{
	char text[2048];

	snprintf(text, sizeof(text), "[profile x]\n%s", lines);
	assert_read(f, text);
	assert_int_equal(f->access.profile_count, 2);
	return &f->access.profiles[1];
}

static void a_new_profile_begins_with_the_defaults(void **state)
{
	const struct profile *p = read_profile(*state, "");

	assert_string_equal(p->name, "x");
	assert_string_equal(p->rootfs, "");
	assert_int_equal(p->limits.memory, 512 << 20);
	assert_int_equal(p->limits.cpu_milli, 1000);
	assert_int_equal(p->limits.pids, 256);
	assert_int_equal(p->uid, 1000);
	assert_int_equal(p->gid, 1000);
	assert_false(p->egress);
	assert_int_equal(p->network.deny4.family, AF_INET);
	assert_int_equal(p->idle_timeout_ms, 300000);
	assert_int_equal(p->max_duration_ms, 0);
	assert_int_equal(p->freeze_after_ms, 0);
	assert_int_equal(p->reclaim_after_ms, 0);
	assert_int_equal(p->warm, 0);
	assert_null(p->tmpfs[0]);
	assert_null(p->env[0]);
}

static void changes_of_the_default_profile_are_its_own(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[profile default]\nmemory = 1g\ntmpfs = /a\n[profile x]\n");
	assert_int_equal(f->access.profiles[0].limits.memory, 1 << 30);
	assert_int_equal(f->access.profiles[1].limits.memory, 512 << 20);
	assert_null(f->access.profiles[1].tmpfs[0]);
}

static void limits_and_users_are_read(void **state)
{
	struct fixture *f = *state;
	const struct profile *p = read_profile(
		f,
		"memory = 6m\ncpus = 0.01\npids = 1\nuser = 1:65534\nrootfs = /srv/r\n");

	assert_int_equal(p->limits.memory, 6 << 20);
	assert_int_equal(p->limits.cpu_milli, 10);
	assert_int_equal(p->limits.pids, 1);
	assert_int_equal(p->uid, 1);
	assert_int_equal(p->gid, 65534);
	assert_string_equal(p->rootfs, "/srv/r");
	p = read_profile(f, "memory = unlimited\ncpus = unlimited\npids = unlimited\n"
			    "user = 7\nrootfs = /r\nrootfs = host\n");
	assert_int_equal(p->limits.memory, 0);
	assert_int_equal(p->limits.cpu_milli, 0);
	assert_int_equal(p->limits.pids, 0);
	assert_int_equal(p->uid, 7);
	assert_int_equal(p->gid, 7);
	assert_string_equal(p->rootfs, "");
	p = read_profile(f, "rootfs = debian-12.1_x\n");
	assert_string_equal(p->rootfs, "debian-12.1_x");
}

static void the_network_is_read(void **state)
{
	struct fixture *f = *state;
	const struct profile *p = read_profile(
		f, "network = egress\nipv6 = yes\ndns = 1.1.1.1, 2606:4700::1\n"
		   "deny = 7.0.0.0/9, 2a00::/16\ndeny = 7.128.0.0/9\n"
		   "allow = 10.0.8.5:5432, 10.0.9.0/24\nallow = 10.1.0.1\n");

	assert_true(p->egress);
	assert_true(p->network.ipv6);
	assert_int_equal(p->network.dns_count, 2);
	assert_int_equal(p->network.dns[1].family, AF_INET6);
	/* Merged. */
	assert_int_equal(p->network.deny4.count, 1);
	assert_int_equal(p->network.deny4.list[0].last[1], 255);
	assert_int_equal(p->network.deny6.count, 1);
	assert_int_equal(p->network.allow_count, 3);
	assert_int_equal(p->network.allow[0].port, 5432);
	p = read_profile(
		f, "network = egress\nnetwork = none\ndns = 1.1.1.1\ndns = 9.9.9.9\n");
	assert_false(p->egress);
	assert_int_equal(p->network.dns_count, 1);
	assert_int_equal(p->network.dns[0].addr[0], 9);
}

static void denials_come_from_files_too(void **state)
{
	struct fixture *f = *state;
	char lines[128];

	write_file(f, "deny", "7.0.0.0/8\n# more\n2a00::/16\n");
	snprintf(lines, sizeof(lines), "deny_file = %s/deny\n", f->directory);
	assert_int_equal(read_profile(f, lines)->network.deny4.count, 1);
	assert_int_equal(f->access.profiles[1].network.deny6.count, 1);
}

static void networks_that_cannot_be_had_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[profile x]\nallow = 169.254.169.254\n", -EPERM,
		       ": [profile x]: an exception for 169.254.169.254/32 would open "
		       "metadata or platform addresses");
	assert_refused(f,
		       "[network]\npool = 10.99.0.0/16\n[profile x]\nallow = 10.99.1.1\n",
		       -EPERM,
		       ": [profile x]: an exception for 10.99.1.1/32 would open other "
		       "sandboxes");
	assert_refused(f, "[profile x]\ndns = 2606:4700::1\n", -EINVAL,
		       ": [profile x]: resolver 2606:4700::1, but no IPv6");
}

static void tmpfs_and_variables_are_collected(void **state)
{
	const struct profile *p = read_profile(
		*state, "tmpfs = /a:size=1m, /b\ntmpfs = /tmp:size=2m\nenv = A=b, c\n"
			"env = B=\n");

	assert_string_equal(p->tmpfs[0], "/a:size=1m");
	assert_string_equal(p->tmpfs[1], "/b");
	assert_string_equal(p->tmpfs[2], "/tmp:size=2m");
	assert_null(p->tmpfs[3]);
	assert_string_equal(p->env[0], "A=b, c");
	assert_string_equal(p->env[1], "B=");
	assert_null(p->env[2]);
}

static void times_are_read(void **state)
{
	struct fixture *f = *state;
	const struct profile *p = read_profile(
		f, "idle_timeout = 1h\nmax_duration = 8784h\nfreeze_after = 1000ms\n"
		   "reclaim_after = 90\nwarm = 1024\n");

	assert_int_equal(p->idle_timeout_ms, 3600000);
	assert_int_equal(p->max_duration_ms, ACCESS_TIME_MAX);
	assert_int_equal(p->freeze_after_ms, 1000);
	assert_int_equal(p->reclaim_after_ms, 90000);
	assert_int_equal(p->warm, 1024);
	p = read_profile(f, "idle_timeout = never\nmax_duration = never\n");
	assert_int_equal(p->idle_timeout_ms, 0);
	assert_int_equal(p->max_duration_ms, 0);
}

#define SIZES     "expected a size of 6m or more, such as 512m, or \"unlimited\""
#define CPUS      "expected a number of 0.01 or more, such as 1.5, or \"unlimited\""
#define PIDS      "expected a number of 1 to 4194304 or \"unlimited\""
#define IDS       "expected UID[:GID], each of 1 to 65534"
#define TIMES     "expected a duration of 1s to 8784h, such as 5m, or \"never\""
#define VARIABLES "expected NAME=VALUE, with letters, digits and \"_\" in the name"
#define ROOTFS                                                                     \
	"neither host, a name nor a directory: expected an absolute path without " \
	"\".\", "                                                                  \
	"\"..\" or \"//\""

static const struct bad_line bad_lines[] = {
	{ "memory", "5m", -EINVAL, SIZES },
	{ "memory", "0", -EINVAL, SIZES },
	{ "memory", "lots", -EINVAL, SIZES },
	{ "memory", "17179869184g", -EINVAL, SIZES },
	{ "memory", "2000000g", -EINVAL, SIZES },
	{ "cpus", "0", -EINVAL, CPUS },
	{ "cpus", "0.009", -EINVAL, CPUS },
	{ "cpus", "8193", -EINVAL, CPUS },
	{ "cpus", "1,5", -EINVAL, CPUS },
	{ "pids", "0", -EINVAL, PIDS },
	{ "pids", "4194305", -EINVAL, PIDS },
	{ "user", "0", -EINVAL, IDS },
	{ "user", "65535", -EINVAL, IDS },
	{ "user", "1:", -EINVAL, IDS },
	{ "user", ":1", -EINVAL, IDS },
	{ "user", "1:0", -EINVAL, IDS },
	{ "user", "1:1:1", -EINVAL, IDS },
	{ "user", "root", -EINVAL, IDS },
	{ "user", "00000000000000001", -EINVAL, IDS },
	{ "rootfs", "Debian", -EINVAL, ROOTFS },
	{ "rootfs", ".debian", -EINVAL, ROOTFS },
	{ "rootfs", "debian/12", -EINVAL, ROOTFS },
	{ "rootfs", "", -EINVAL, ROOTFS },
	{ "rootfs", "/a/../b", -EINVAL, ROOTFS },
	{ "rootfs", "/", -EINVAL, ROOTFS },
	{ "network", "host", -EINVAL, "expected none or egress" },
	{ "ipv6", "1", -EINVAL, "expected no or yes" },
	{ "dns", "one", -EINVAL, "\"one\" is not an address" },
	{ "dns", "1.1.1.1,", -EINVAL, "\"\" is not an address" },
	{ "dns", "1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4", -E2BIG, "more than 3 resolvers" },
	{ "tmpfs", "/a, /a", -EEXIST, "two mounts on /a" },
	{ "tmpfs", "/proc/x", -EINVAL, "nothing can be mounted below /proc" },
	{ "tmpfs", "/a:size=0", -EINVAL,
	  "\"size=0\" is not size=SIZE, such as size=64m" },
	{ "tmpfs", "", -EINVAL,
	  "mount point \"\" is not an absolute path without \".\", \"..\" or "
	  "\"//\"" },
	{ "env", "A", -EINVAL, VARIABLES },
	{ "env", "=b", -EINVAL, VARIABLES },
	{ "env", "1A=b", -EINVAL, VARIABLES },
	{ "env", "A B=c", -EINVAL, VARIABLES },
	{ "idle_timeout", "0", -EINVAL, TIMES },
	{ "idle_timeout", "999ms", -EINVAL, TIMES },
	{ "max_duration", "8785h", -EINVAL, TIMES },
	{ "freeze_after", "5 m", -EINVAL, TIMES },
	{ "reclaim_after", "unlimited", -EINVAL, TIMES },
	{ "warm", "1025", -EINVAL, "expected a number of 0 to 1024" },
	{ "warm", "-1", -EINVAL, "expected a number of 0 to 1024" },
	{ "deny_file", "/no/such", -ENOENT, "open /no/such: No such file or directory" },
};

static void wrong_values_are_refused(void **state)
{
	struct fixture *f = *state;

	ASSERT_LINES_REFUSED(f, "profile x", bad_lines);
	assert_int_equal(read_text(f, "[profile x]\ndeny = 1.2.3\n"), -EINVAL);
	assert_non_null(strstr(f->e.msg, ":2: [profile x] deny = 1.2.3: "));
	assert_int_equal(read_text(f, "[profile x]\nallow = 1.2.3.4:0\n"), -EINVAL);
	assert_non_null(strstr(f->e.msg, ":2: [profile x] allow = 1.2.3.4:0: "));
}

static void there_is_an_end_to_everything(void **state)
{
	struct fixture *f = *state;
	char text[8192], rest[64], *p = text;
	int i;

	for (i = 0; i < ACCESS_PROFILES_MAX; i++)
		p += snprintf(p, 64, "[profile p%d]\n", i);
	assert_refused(f, text, -E2BIG, ":32: [profile p31]: more than 32 profiles");
	p = text + snprintf(text, 64, "[profile x]\n");
	for (i = 0; i <= ACCESS_ENV_MAX; i++)
		p += snprintf(p, 64, "env = A%d=\n", i);
	assert_refused(f, text, -E2BIG, ":66: [profile x] env = A64=: more than 64");
	p = text + snprintf(text, 64, "[profile x]\n");
	for (i = 0; i <= ACCESS_MOUNTS_MAX; i++)
		p += snprintf(p, 64, "tmpfs = /t%d\n", i);
	assert_refused(f, text, -E2BIG, ":18: [profile x] tmpfs = /t16: more than 16");
	p = text + snprintf(text, 64, "[profile x]\n");
	for (i = 0; i <= NETNS_ALLOW_MAX; i++)
		p += snprintf(p, 64, "allow = 10.0.0.%d\n", i);
	snprintf(rest, sizeof(rest),
		 ":66: [profile x] allow = 10.0.0.64: more than 64 exceptions");
	assert_refused(f, text, -E2BIG, rest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_new_profile_begins_with_the_defaults),
		CASE(changes_of_the_default_profile_are_its_own),
		CASE(limits_and_users_are_read),
		CASE(the_network_is_read),
		CASE(denials_come_from_files_too),
		CASE(networks_that_cannot_be_had_are_refused),
		CASE(tmpfs_and_variables_are_collected),
		CASE(times_are_read),
		CASE(wrong_values_are_refused),
		CASE(there_is_an_end_to_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
