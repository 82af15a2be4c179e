/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tests/unit/in_netns.h"
#include "tools/config_network.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* A configuration file, removed after each case. */
struct fixture {
	char file[40];
	struct config config;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;
	int fd;

	f = (struct fixture){ .file = "/tmp/carrel-unit-XXXXXX" };
	fd = mkstemp(f.file);
	*state = &f;
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	config_free(&f->config);
	return unlink(f->file);
}

static int read_lines(struct fixture *f, const char *lines)
{
	auto_fd fd = open(f->file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, "[network]\n", 10), 0);
	assert_int_equal(fd_write_all(fd, lines, strlen(lines)), 0);
	config_free(&f->config);
	return config_read(f->file, &f->config, &f->e);
}

static struct netns_settings *assert_read(struct fixture *f, const char *lines)
{
	if (read_lines(f, lines) != 0)
		fail_msg("%s", f->e.msg);
	return &f->config.runtime.network;
}

/* The sentence ends with why; before it are file, line, key and value. */
static void assert_refused(struct fixture *f, const char *key, const char *value,
			   int code, const char *why)
{
	char line[256], expected[400];

	snprintf(line, sizeof(line), "%s = %s\n", key, value);
	if (read_lines(f, line) != code)
		fail_msg("%s: %d %s", line, f->e.code, f->e.msg);
	snprintf(expected, sizeof(expected), "%s:2: [network] %s = %s: %s", f->file, key,
		 value, why);
	assert_string_equal(f->e.msg, expected);
}

static void assert_cidr(const struct cidr *c, const char *expected)
{
	char text[CIDR_TEXT_MAX];

	assert_string_equal(cidr_format(text, c), expected);
}

static void assert_resolvers(const struct netns_settings *s, const char *expected)
{
	char found[256] = "", address[IP_TEXT_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < s->dns_count; i++)
		len += (size_t)snprintf(found + len, sizeof(found) - len, "%s%s",
					i ? " " : "", ip_format(address, &s->dns[i]));
	assert_string_equal(found, expected);
}

/* ---- pools ---- */

static void pools_are_networks_of_their_family(void **state)
{
	struct fixture *f = *state;
	struct netns_settings *s = assert_read(f, "pool = 172.30.0.0/16\n"
						  "pool6 = fd12::/64\n");

	assert_cidr(&s->pool4, "172.30.0.0/16");
	assert_cidr(&s->pool6, "fd12::/64");
	s = assert_read(f, "pool = 10.0.0.0/8\npool6 = fd00::/8\n");
	assert_cidr(&s->pool4, "10.0.0.0/8");
	assert_cidr(&s->pool6, "fd00::/8");
	s = assert_read(f, "pool = 10.0.0.2/31\npool6 = fd00::2/127\n");
	assert_cidr(&s->pool4, "10.0.0.2/31");
	assert_cidr(&s->pool6, "fd00::2/127");
	s = assert_read(f, "");
	assert_cidr(&s->pool4, "10.213.0.0/19");
	assert_cidr(&s->pool6, "fd63:6172:7265:6c00::/64");
}

static void pools_that_are_too_wide_or_narrow_are_refused(void **state)
{
	static const char *const wrong4[] = { "10.0.0.0/32", "10.0.0.1", "8.0.0.0/7",
					      "0.0.0.0/0", "fd00::/64" };
	static const char *const wrong6[] = { "fd00::/128", "fd00::1", "fc00::/7", "::/0",
					      "10.0.0.0/16" };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(wrong4); i++)
		assert_refused(f, "pool", wrong4[i], -EINVAL,
			       "not an IPv4 network of /8 to /31");
	for (size_t i = 0; i < COUNT(wrong6); i++)
		assert_refused(f, "pool6", wrong6[i], -EINVAL,
			       "not an IPv6 network of /8 to /127");
	assert_true(read_lines(f, "pool = 10.0.0.1/16\n") == -EINVAL);
	assert_true(read_lines(f, "pool = ten\n") == -EINVAL);
	assert_true(read_lines(f, "pool =\n") == -EINVAL);
}

/* ---- uplink ---- */

static void uplink_is_the_name_of_an_interface(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(assert_read(f, "")->uplink, "");
	assert_string_equal(assert_read(f, "uplink = eth0.5\n")->uplink, "eth0.5");
	assert_string_equal(assert_read(f, "uplink = fifteen_letters\n")->uplink,
			    "fifteen_letters");
	assert_string_equal(assert_read(f, "uplink = ...\n")->uplink, "...");
}

/* The name becomes a part of paths below /proc/sys. */
static void uplink_that_cannot_be_an_interface_is_refused(void **state)
{
	static const char *const wrong[] = {
		"", ".", "..", "../all", "eth0/..", "/", "sixteen_letters_"
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_refused(f, "uplink", wrong[i], -EINVAL,
			       "not the name of an interface");
}

/* ---- resolvers ---- */

static void resolvers_are_up_to_three_addresses(void **state)
{
	struct fixture *f = *state;

	assert_resolvers(assert_read(f, "dns = 192.0.2.1\n"), "192.0.2.1");
	assert_true(f->config.dns_named);
	assert_resolvers(assert_read(f, "dns = 192.0.2.1,192.0.2.2 ,\t2001:db8::1\n"),
			 "192.0.2.1 192.0.2.2 2001:db8::1");
	/* The last line counts. */
	assert_resolvers(assert_read(f, "dns = 192.0.2.1, 192.0.2.2\ndns = 192.0.2.3\n"),
			 "192.0.2.3");
	assert_resolvers(assert_read(f, ""), "");
	assert_false(f->config.dns_named);
}

static void what_is_no_address_is_refused_as_a_resolver(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "dns", "", -EINVAL, "\"\" is not an address");
	assert_refused(f, "dns", "192.0.2.1,", -EINVAL, "\"\" is not an address");
	assert_refused(f, "dns", ",192.0.2.1", -EINVAL, "\"\" is not an address");
	assert_refused(f, "dns", "192.0.2.1 192.0.2.2", -EINVAL,
		       "\"192.0.2.1 192.0.2.2\" is not an address");
	assert_refused(f, "dns", "192.0.2.0/24", -EINVAL,
		       "\"192.0.2.0/24\" is not an address");
	assert_refused(f, "dns", "one.one.one.one", -EINVAL,
		       "\"one.one.one.one\" is not an address");
	assert_refused(f, "dns", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4", -E2BIG,
		       "more than 3 resolvers");
	/* Longer than any. */
	assert_refused(f, "dns", "111111111111111111111111111111111111111111111111111111",
		       -EINVAL, "\"\" is not an address");
}

/* ---- denials ---- */

static void assert_firsts(const struct ip_ranges *set, const char *expected)
{
	char found[256] = "", address[IP_TEXT_MAX];
	size_t len = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct ip a = { .family = set->family };

		memcpy(a.addr, set->list[i].first, 16);
		len += (size_t)snprintf(found + len, sizeof(found) - len, "%s%s",
					i ? " " : "", ip_format(address, &a));
	}
	assert_string_equal(found, expected);
}

static void denials_of_all_lines_add_up(void **state)
{
	struct fixture *f = *state;
	char path[64], lines[160];
	int fd;

	snprintf(path, sizeof(path), "%s.deny", f->file);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, "7.0.0.0/24\n2606:4700::/32\n", 26), 0);
	close(fd);
	snprintf(lines, sizeof(lines),
		 "deny = 9.9.9.0/24, 8.0.0.0/24\ndeny = 2001:4::/32\ndeny_file = %s\n",
		 path);
	assert_read(f, lines);
	unlink(path);
	f->config.dns_named = true;
	config_network_finish(&f->config);
	/* In order, as they must be for what asks them. */
	assert_firsts(&f->config.runtime.network.deny4, "7.0.0.0 8.0.0.0 9.9.9.0");
	assert_firsts(&f->config.runtime.network.deny6, "2001:4:: 2606:4700::");
}

static void wrong_denials_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_lines(f, "deny = 9.9.9.9/24\n"), -EINVAL);
	assert_int_equal(read_lines(f, "deny = example.com\n"), -EINVAL);
	assert_int_equal(read_lines(f, "deny_file = /no/such/file\n"), -ENOENT);
	assert_non_null(strstr(f->e.msg, "[network] deny_file = /no/such/file: "));
}

/* ---- limits ---- */

static void limits_are_numbers_or_unlimited(void **state)
{
	struct fixture *f = *state;
	struct netns_settings *s = assert_read(f, "");

	assert_int_equal(s->flows, 4096);
	assert_int_equal(s->rate, 200);
	s = assert_read(f, "connections = 1\nconnection_rate = 1000000\n");
	assert_int_equal(s->flows, 1);
	assert_int_equal(s->rate, 1000000);
	s = assert_read(f, "connections = 1000000\nconnection_rate = 1\n");
	assert_int_equal(s->flows, 1000000);
	assert_int_equal(s->rate, 1);
	s = assert_read(f, "connections = unlimited\nconnection_rate = unlimited\n");
	assert_int_equal(s->flows, 0);
	assert_int_equal(s->rate, 0);
}

static void limits_out_of_range_are_refused(void **state)
{
	static const char *const wrong[] = { "0", "1000001",   "-1",   "1.5",       "10k",
					     "",  "Unlimited", "none", "4294967297" };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_refused(f, "connections", wrong[i], -EINVAL,
			       "not a number of 1 to 1000000 or \"unlimited\"");
		assert_refused(f, "connection_rate", wrong[i], -EINVAL,
			       "not a number of 1 to 1000000 or \"unlimited\"");
	}
}

/* ---- exceptions ---- */

static int ask(struct fixture *f, const char *text)
{
	struct netns_plan plan;

	netns_plan_init(&plan);
	plan.allow_count = 1;
	assert_int_equal(cidr_port_parse(text, &plan.allow[0], &f->e), 0);
	return exceptions_check(&f->config.allow, &plan, "the file", &f->e);
}

static void exceptions_are_those_of_the_last_line(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "");
	assert_int_equal(ask(f, "10.1.2.3"), 0);
	assert_read(f, "allow = any\nallow = 10.1.0.0/16:443, 10.2.0.0/16\n");
	assert_int_equal(ask(f, "10.1.2.3:443"), 0);
	assert_int_equal(ask(f, "10.2.2.3:1"), 0);
	assert_int_equal(ask(f, "10.3.2.3"), -EPERM);
	assert_read(f, "allow = 10.1.2.3\nallow = none\n");
	assert_int_equal(ask(f, "10.1.2.3"), -EPERM);
	assert_read(f, "allow = none\nallow = any\n");
	assert_int_equal(ask(f, "10.1.2.3"), 0);
	assert_int_equal(read_lines(f, "allow = example.com:443\n"), -EINVAL);
	assert_non_null(strstr(f->e.msg, ":2: [network] allow = example.com:443: "));
}

/* ---- resolv.conf ---- */

static void sandbox_is_told_the_resolvers_that_it_reaches(void **state)
{
	struct fixture *f = *state;
	struct netns_plan plan;
	char text[256];

	assert_read(f, "dns = 2001:db8::1, 192.0.2.1, 192.0.2.2\n");
	netns_plan_init(&plan);
	assert_int_equal(
		config_network_resolv_conf(&f->config, &plan, text, sizeof(text), &f->e),
		0);
	assert_string_equal(text, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
	plan.ipv6 = true;
	assert_int_equal(
		config_network_resolv_conf(&f->config, &plan, text, sizeof(text), &f->e),
		0);
	assert_string_equal(text, "nameserver 2001:db8::1\nnameserver 192.0.2.1\n"
				  "nameserver 192.0.2.2\n");
	/* Its own, instead. */
	plan.dns_count = 1;
	assert_int_equal(ip_parse("192.0.2.9", &plan.dns[0]), 0);
	assert_int_equal(
		config_network_resolv_conf(&f->config, &plan, text, sizeof(text), &f->e),
		0);
	assert_string_equal(text, "nameserver 192.0.2.9\n");
	assert_int_equal(config_network_resolv_conf(&f->config, &plan, text, 8, &f->e),
			 -ENAMETOOLONG);
	assert_string_equal(f->e.msg, "write resolv.conf: File name too long");
}

/* ---- the host's resolvers ---- */

static void write_text(const char *path, const char *text)
{
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void make_host_files(void)
{
	assert_int_equal(mount("unit", "/etc", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(mount("unit", "/run", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	assert_int_equal(mkdir("/run/systemd/resolve", 0755), 0);
}

static void assert_taken(const char *lines, const char *expected)
{
	struct config c = { .runtime = runtime_config_defaults() };

	if (*lines) {
		c.runtime.network.dns_count = 1;
		c.dns_named = true;
		assert_int_equal(ip_parse(lines, &c.runtime.network.dns[0]), 0);
	}
	config_network_finish(&c);
	assert_resolvers(&c.runtime.network, expected);
	config_free(&c);
}

static void take_from_files(void)
{
	static const char real[] = "/run/systemd/resolve/resolv.conf";

	make_host_files();
	assert_taken("", "");
	write_text(real, "nameserver 192.0.2.7\n");
	assert_taken("", "192.0.2.7");
	write_text("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0\n");
	assert_taken("", "192.0.2.7");
	write_text("/etc/resolv.conf", "");
	assert_taken("", "192.0.2.7");
	write_text("/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n");
	assert_taken("", "192.0.2.1");
	assert_taken("192.0.2.9", "192.0.2.9");
	write_text("/etc/resolv.conf",
		   "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 2001:db8::3\n"
		   "nameserver 192.0.2.4\n");
	assert_taken("", "192.0.2.1 192.0.2.2 2001:db8::3");
}

static void hosts_resolvers_are_taken_if_none_are_named(void **state)
{
	(void)state;
	in_netns(take_from_files);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pools_are_networks_of_their_family),
		CASE(pools_that_are_too_wide_or_narrow_are_refused),
		CASE(uplink_is_the_name_of_an_interface),
		CASE(uplink_that_cannot_be_an_interface_is_refused),
		CASE(resolvers_are_up_to_three_addresses),
		CASE(what_is_no_address_is_refused_as_a_resolver),
		CASE(denials_of_all_lines_add_up),
		CASE(wrong_denials_are_refused),
		CASE(limits_are_numbers_or_unlimited),
		CASE(limits_out_of_range_are_refused),
		CASE(exceptions_are_those_of_the_last_line),
		CASE(sandbox_is_told_the_resolvers_that_it_reaches),
		cmocka_unit_test(hosts_resolvers_are_taken_if_none_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
