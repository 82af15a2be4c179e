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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "netns/blocklist.h"
#include "tests/blocklist_derived.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct cidr cidr(const char *text)
{
	struct cidr c;
	struct err e;

	if (cidr_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	return c;
}

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

/* ---- what was derived from the same tables by other means ---- */

static void assert_derived(const struct blocklist *b, const char *const (*derived)[2],
			   size_t count)
{
	assert_int_equal(b->count, count);
	for (size_t i = 0; i < count; i++) {
		struct ip first = ip(derived[i][0]), last = ip(derived[i][1]);

		assert_memory_equal(b->list[i].first, first.addr, 16);
		assert_memory_equal(b->list[i].last, last.addr, 16);
	}
}

static void lists_are_what_the_tables_say(void **state)
{
	(void)state;
	assert_derived(&blocklist_deny4, derived_deny4, COUNT(derived_deny4));
	assert_derived(&blocklist_except6, derived_except6, COUNT(derived_except6));
	assert_derived(&blocklist_platform4, derived_platform4, COUNT(derived_platform4));
	assert_derived(&blocklist_platform6, derived_platform6, COUNT(derived_platform6));
}

/* ---- what the design demands, whatever the tables say ---- */

/* Compares the list with the union of the networks, which end with NULL. */
static void assert_union(const struct blocklist *b, const char *const *networks)
{
	struct ip_ranges r = { .family = cidr(networks[0]).ip.family };
	struct err e;

	for (; *networks; networks++) {
		struct cidr c = cidr(*networks);

		assert_int_equal(ip_ranges_add(&r, &c, &e), 0);
	}
	ip_ranges_merge(&r);
	assert_int_equal(b->count, r.count);
	assert_memory_equal(b->list, r.list, r.count * sizeof(*r.list));
	ip_ranges_free(&r);
}

static void ipv4_denies_special_purposes_and_nothing_else(void **state)
{
	static const char *const networks[] = {
		"0.0.0.0/8",       "10.0.0.0/8",      "100.64.0.0/10",   "127.0.0.0/8",
		"169.254.0.0/16",  "172.16.0.0/12",   "192.0.0.0/24",    "192.0.2.0/24",
		"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",  "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15",   "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4",     "240.0.0.0/4",     "255.255.255.255", NULL,
	};

	(void)state;
	assert_union(&blocklist_deny4, networks);
}

static void ipv6_excepts_special_purposes_and_nothing_else(void **state)
{
	static const char *const networks[] = {
		"2001::/23",         "2001:db8::/32", "2002::/16",
		"2620:4f:8000::/48", "3fff::/20",     NULL,
	};

	(void)state;
	assert_union(&blocklist_except6, networks);
}

/* Does one range of the list have all from first to last? */
static bool has(const struct blocklist *b, const struct ip *first, const struct ip *last)
{
	for (size_t i = 0; i < b->count; i++) {
		if (memcmp(b->list[i].first, first->addr, 16) <= 0 &&
		    memcmp(last->addr, b->list[i].last, 16) <= 0)
			return true;
	}
	return false;
}

/* Is the whole network refused by "2000::/3 but for the exceptions"? */
static bool is_refused6(const char *text)
{
	const struct cidr global = cidr("2000::/3"), c = cidr(text);
	struct ip last = c.ip;

	for (unsigned bit = c.prefix; bit < 128; bit++)
		last.addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return !cidr_overlaps(&global, &c) || has(&blocklist_except6, &c.ip, &last);
}

static void ipv6_refuses_every_special_purpose(void **state)
{
	static const char *const networks[] = {
		"::/128",          "::1/128",      "::/96",          "::ffff:0:0/96",
		"::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
		"100:0:0:1::/64",  "2001::/32",    "2001:2::/48",    "2001:3::/32",
		"2001:4:112::/48", "2001:10::/28", "2001:20::/28",   "2001:30::/28",
		"5f00::/16",       "fc00::/7",     "fe80::/10",      "fec0::/10",
		"ff00::/8",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(networks); i++) {
		if (!is_refused6(networks[i]))
			fail_msg("%s is accepted", networks[i]);
	}
	assert_false(is_refused6("2600::/12"));
	assert_false(is_refused6("2001:200::/23"));
	assert_false(is_refused6("2620:4f:8001::/48"));
}

static void metadata_services_are_listed_one_by_one(void **state)
{
	static const char *const addresses[] = {
		"168.63.129.16",   "169.254.169.254", "169.254.170.2", "169.254.170.23",
		"100.100.100.200", "100.96.0.96",     "100.80.80.80",  "192.0.0.192",
		"169.254.0.23",    "169.254.42.42",   "fd00:ec2::23",  "fd00:ec2::254",
		"fd00:ec2::123",   "fd00:ec2::253",   "fd20:ce::254",  "fd00:42::42",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(addresses); i++) {
		struct ip a = ip(addresses[i]);

		if (!has(a.family == AF_INET ? &blocklist_platform4
					     : &blocklist_platform6,
			 &a, &a))
			fail_msg("%s is not listed", addresses[i]);
	}
}

/* The one that no list of special purposes has. */
static void platform_of_azure_looks_public(void **state)
{
	const struct ip azure = ip("168.63.129.16");

	(void)state;
	assert_false(has(&blocklist_deny4, &azure, &azure));
	assert_true(has(&blocklist_platform4, &azure, &azure));
}

static void assert_merged(const struct blocklist *b, int family)
{
	struct ip_ranges r = { .family = family };
	struct err e;

	assert_true(b->count > 0);
	assert_int_equal(ip_ranges_add_all(&r, b->list, b->count, &e), 0);
	ip_ranges_merge(&r);
	assert_int_equal(r.count, b->count);
	assert_memory_equal(r.list, b->list, r.count * sizeof(*r.list));
	ip_ranges_free(&r);
}

static void lists_are_merged(void **state)
{
	(void)state;
	assert_merged(&blocklist_deny4, AF_INET);
	assert_merged(&blocklist_except6, AF_INET6);
	assert_merged(&blocklist_platform4, AF_INET);
	assert_merged(&blocklist_platform6, AF_INET6);
}

/* ---- the program that makes the lists ---- */

#define SPECIAL_HEADER  "block,name,source,globally_reachable\n"
#define SPECIAL         SPECIAL_HEADER "10.0.0.0/8,a,b,c\n2002::/16,a,b,c\n"
#define PLATFORM_HEADER "address,provider,source\n"
#define PLATFORM        PLATFORM_HEADER "1.2.3.4,a,b\nfd00::1,a,b\n"

struct files {
	char top[40], special[64], platform[64], out[64], said[512];
};

static int set_up(void **state)
{
	static struct files f;

	f = (struct files){ .top = "/tmp/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top))
		return -1;
	snprintf(f.special, sizeof(f.special), "%s/s.csv", f.top);
	snprintf(f.platform, sizeof(f.platform), "%s/p.csv", f.top);
	snprintf(f.out, sizeof(f.out), "%s/out.h", f.top);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct files *f = *state;

	unlink(f->special);
	unlink(f->platform);
	unlink(f->out);
	return rmdir(f->top);
}

static void write_file(const char *path, const char *text)
{
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* Runs the program on the two tables. Returns its exit status and keeps what it said. */
static int generate(struct files *f, const char *special, const char *platform)
{
	int out[2], status;
	ssize_t len;
	pid_t pid;

	write_file(f->special, special);
	write_file(f->platform, platform);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		execl(BLOCKLIST_GEN, BLOCKLIST_GEN, f->special, f->platform, f->out,
		      (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	len = read(out[0], f->said, sizeof(f->said) - 1);
	assert_true(len >= 0);
	f->said[len] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void generator_takes_well_formed_tables(void **state)
{
	struct files *f = *state;

	assert_int_equal(generate(f, SPECIAL, PLATFORM), 0);
	assert_string_equal(f->said, "");
	assert_int_equal(generate(f, SPECIAL "11.0.0.0/8,\"a, b\",\"c\",d", PLATFORM), 0);
}

static void assert_stops(struct files *f, const char *path, const char *sentence)
{
	char wanted[512];

	snprintf(wanted, sizeof(wanted), "blocklist_gen: %s%s\n", path, sentence);
	assert_string_equal(f->said, wanted);
}

static void wrong_block_stops_the_build(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "10.0.0.1/8,a,b,c", "\"10.0.0.1/8\" sets bits below its prefix "
				      "(10.0.0.0/8?)" },
		{ "ten,a,b,c", "\"ten\" is neither an IP address nor ADDRESS/PREFIX" },
		{ "# ten", "not 4 fields" },
		{ "10.0.0.0/8", "not 4 fields" },
		{ "10.0.0.0/8,a,b", "not 4 fields" },
		{ "10.0.0.0/8,a,b,c,d", "not 4 fields" },
		{ "10.0.0.0/8,a,b,c,", "not 4 fields" },
		{ "", "field 1 is malformed" },
		{ ",a,b,c", "field 1 is malformed" },
		{ "10.0.0.0/8,,b,c", "field 2 is malformed" },
		{ "10.0.0.0/8,\"\",b,c", "field 2 is malformed" },
		{ "10.0.0.0/8,\"a,b,c", "field 2 is malformed" },
		{ "10.0.0.0/8,\"a\"b,c,d", "field 2 is malformed" },
		{ "10.0.0.0/8,a\"b\",c,d", "field 2 is malformed" },
		{ "10.0.0.0/8,\"a \"\"b\"\"\",c,d", "field 2 is malformed" },
		{ "10.0.0.0/8,a,b,", "field 4 is malformed" },
		{ "10.0.0.0/8,a,b,c\r", "too long, or not plain text" },
		{ "10.0.0.0/8,\xc3\xa4,b,c", "too long, or not plain text" },
		{ "::/0,a,b,c", "::/0 leaves nothing of IPv6" },
		{ "2000::/3,a,b,c", "2000::/3 leaves nothing of IPv6" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char special[512], sentence[256];

		snprintf(special, sizeof(special), SPECIAL "%s\n11.0.0.0/8,a,b,c\n",
			 cases[i].line);
		snprintf(sentence, sizeof(sentence), ":4: %s", cases[i].why);
		assert_int_equal(generate(*state, special, PLATFORM), 1);
		assert_stops(*state, ((struct files *)*state)->special, sentence);
	}
}

static void wrong_platform_address_stops_the_build(void **state)
{
	struct files *f = *state;

	assert_int_equal(generate(f, SPECIAL, PLATFORM "1.2.3.0/24,a,b\n"), 1);
	assert_stops(f, f->platform, ":4: \"1.2.3.0/24\" is not an address");
	assert_int_equal(generate(f, SPECIAL, PLATFORM "1.2.3.4,a\n"), 1);
	assert_stops(f, f->platform, ":4: not 3 fields");
}

static void table_without_its_first_line_stops_the_build(void **state)
{
	struct files *f = *state;

	assert_int_equal(generate(f, "10.0.0.0/8,a,b,c\n", PLATFORM), 1);
	assert_stops(f, f->special,
		     ":1: the first line is not "
		     "\"block,name,source,globally_reachable\"");
	assert_int_equal(generate(f, SPECIAL, SPECIAL), 1);
	assert_stops(f, f->platform,
		     ":1: the first line is not \"address,provider,source\"");
}

static void empty_list_stops_the_build(void **state)
{
	struct files *f = *state;

	assert_int_equal(generate(f, "", PLATFORM), 1);
	assert_stops(f, "", "the tables leave the list deny4 empty");
	assert_int_equal(generate(f, SPECIAL_HEADER "10.0.0.0/8,a,b,c\n", PLATFORM), 1);
	assert_stops(f, "", "the tables leave the list except6 empty");
	assert_int_equal(generate(f, SPECIAL, PLATFORM_HEADER "fd00::1,a,b\n"), 1);
	assert_stops(f, "", "the tables leave the list platform4 empty");
	assert_int_equal(generate(f, SPECIAL, PLATFORM_HEADER "1.2.3.4,a,b\n"), 1);
	assert_stops(f, "", "the tables leave the list platform6 empty");
}

static void overlong_line_stops_the_build(void **state)
{
	struct files *f = *state;
	char special[2048];

	snprintf(special, sizeof(special), SPECIAL "11.0.0.0/8,%01000d,b,c\n", 7);
	assert_int_equal(generate(f, special, PLATFORM), 1);
	assert_stops(f, f->special, ":4: too long, or not plain text");
}

#define WITH_FILES(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_what_the_tables_say),
		cmocka_unit_test(ipv4_denies_special_purposes_and_nothing_else),
		cmocka_unit_test(ipv6_excepts_special_purposes_and_nothing_else),
		cmocka_unit_test(ipv6_refuses_every_special_purpose),
		cmocka_unit_test(metadata_services_are_listed_one_by_one),
		cmocka_unit_test(platform_of_azure_looks_public),
		cmocka_unit_test(lists_are_merged),
		WITH_FILES(generator_takes_well_formed_tables),
		WITH_FILES(wrong_block_stops_the_build),
		WITH_FILES(wrong_platform_address_stops_the_build),
		WITH_FILES(table_without_its_first_line_stops_the_build),
		WITH_FILES(empty_list_stops_the_build),
		WITH_FILES(overlong_line_stops_the_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
