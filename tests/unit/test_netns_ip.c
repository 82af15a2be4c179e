/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "netns/ip.h"
#include "tests/unit/aborts.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

static struct cidr cidr(const char *text)
{
	struct cidr c;
	struct err e;

	if (cidr_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	return c;
}

/* Numbers that look random and are the same in every run. */
static uint32_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

/* ---- addresses ---- */

static void assert_ip(const char *text, const char *canonical)
{
	char buf[IP_TEXT_MAX];
	struct ip parsed = ip(text);

	assert_int_equal(parsed.family, strchr(canonical, ':') ? AF_INET6 : AF_INET);
	assert_ptr_equal(ip_format(buf, &parsed), buf);
	assert_string_equal(buf, canonical);
}

static void ip_reads_ipv4(void **state)
{
	static const uint8_t bytes[16] = { 192, 0, 2, 255 };
	struct ip parsed;

	(void)state;
	memset(&parsed, 0xee, sizeof(parsed));
	assert_int_equal(ip_parse("192.0.2.255", &parsed), 0);
	assert_int_equal(parsed.family, AF_INET);
	assert_memory_equal(parsed.addr, bytes, sizeof(bytes));
	assert_ip("0.0.0.0", "0.0.0.0");
	assert_ip("255.255.255.255", "255.255.255.255");
	assert_ip("1.20.100.9", "1.20.100.9");
}

static void ip_reads_ipv6(void **state)
{
	(void)state;
	assert_ip("::", "::");
	assert_ip("::1", "::1");
	assert_ip("1::", "1::");
	assert_ip("2001:DB8::00a:1", "2001:db8::a:1");
	assert_ip("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
	assert_ip("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8");
	assert_ip("::ffff:192.0.2.1", "::ffff:192.0.2.1");
	assert_ip("64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe");
	assert_ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

/* What is no address. The texts of a longest legal length and more come last. */
static const char *const malformed[] = {
	"",
	" ",
	"10",
	"10.0",
	"10.0.0",
	"10.0.0.",
	".10.0.0.1",
	"10..0.1",
	"10.0.0.0.1",
	"10.0.0.256",
	"10.0.0.1000",
	"10.0.0.4294967297",
	"010.0.0.1",
	"10.0.0.01",
	"10.0.0.00",
	"0x7f.0.0.1",
	"0x7f000001",
	"2130706433",
	"127.1",
	"-1.0.0.1",
	"+1.0.0.1",
	"1.2.3.4 ",
	" 1.2.3.4",
	"1.2.3.4\n",
	"1.2.3.4x",
	"1,2,3,4",
	"1.2.3.\xd9\xa1",
	"localhost",
	"example.com",
	":",
	":::",
	":1",
	"1:",
	"1::2::3",
	"1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:8:9",
	"1:2:3:4:5:6:7:8::",
	"::1:2:3:4:5:6:7:8",
	"12345::",
	"::g",
	"::-1",
	"::1 ",
	" ::1",
	"[::1]",
	"::1%lo",
	"fe80::1%1",
	"::1.2.3",
	"::1.2.3.256",
	"::01.2.3.4",
	"1.2.3.4::",
	"1:2:3:4:5:6:7:1.2.3.4",
	"::ffff:0x7f.0.0.1",
	"*",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:",
	"0000000000000000000000000000000000000000000000000000000001.2.3.4",
	"00000000000000000000000000000000000000000000000000000000000::1",
};

static void ip_refuses_what_is_no_address(void **state)
{
	struct ip before, after;

	(void)state;
	memset(&before, 0xee, sizeof(before));
	after = before;
	for (size_t i = 0; i < COUNT(malformed); i++) {
		if (ip_parse(malformed[i], &after) != -EINVAL)
			fail_msg("\"%s\" is accepted", malformed[i]);
		assert_memory_equal(&after, &before, sizeof(before));
	}
}

static void ip_reads_what_it_writes(void **state)
{
	char buf[IP_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct ip a = { .family = i % 2 ? AF_INET6 : AF_INET }, b;

		/* Many zeros, as they are what makes the text of IPv6 various. */
		for (size_t k = 0; k < (i % 2 ? 16 : 4); k++)
			a.addr[k] = next_random() % 2 ? (uint8_t)next_random() : 0;
		b = ip(ip_format(buf, &a));
		assert_int_equal(a.family, b.family);
		assert_memory_equal(a.addr, b.addr, sizeof(a.addr));
	}
}

static void format_unknown_family(void)
{
	static const struct ip none = { .family = AF_UNIX };
	char buf[IP_TEXT_MAX];

	ip_format(buf, &none);
}

static void address_without_a_family_is_a_wrong_program(void **state)
{
	(void)state;
	assert_true(aborts(format_unknown_family));
}

/* ---- networks ---- */

static void assert_cidr(const char *text, const char *canonical)
{
	char buf[CIDR_TEXT_MAX];
	struct cidr c = cidr(text);

	assert_ptr_equal(cidr_format(buf, &c), buf);
	assert_string_equal(buf, canonical);
}

static void cidr_reads_networks(void **state)
{
	(void)state;
	assert_cidr("10.0.0.0/8", "10.0.0.0/8");
	assert_cidr("0.0.0.0/0", "0.0.0.0/0");
	assert_cidr("128.0.0.0/1", "128.0.0.0/1");
	assert_cidr("255.255.255.254/31", "255.255.255.254/31");
	assert_cidr("1.2.3.4/32", "1.2.3.4/32");
	assert_cidr("::/0", "::/0");
	assert_cidr("2000::/3", "2000::/3");
	assert_cidr("::2/127", "::2/127");
	assert_cidr("::1/128", "::1/128");
	assert_cidr("2001:DB8::/32", "2001:db8::/32");
	assert_cidr("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

static void bare_address_is_a_network_of_one(void **state)
{
	(void)state;
	assert_cidr("1.2.3.4", "1.2.3.4/32");
	assert_cidr("0.0.0.0", "0.0.0.0/32");
	assert_cidr("::", "::/128");
	assert_cidr("fd00:ec2::254", "fd00:ec2::254/128");
}

static void assert_cidr_refused(const char *text, const char *message)
{
	struct cidr before, after;
	struct err e = { 0 };

	memset(&before, 0xee, sizeof(before));
	after = before;
	if (cidr_parse(text, &after, &e) != -EINVAL)
		fail_msg("\"%s\" is accepted", text);
	assert_int_equal(e.code, -EINVAL);
	assert_memory_equal(&after, &before, sizeof(before));
	if (message)
		assert_string_equal(e.msg, message);
}

static void cidr_refuses_what_is_no_network(void **state)
{
	static const char *const texts[] = {
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"::/129",
		"::/",
		"::/64%eth0",
		"10.0.0.0//8",
		"10.0.0.0/08",
		"::/0x40",
		"1.2.3.4/a",
		"10/8",
		"10.0.0.0/8:443",
		"[::]/0",
		"[::/0]",
		"10.0.0.0 /8",
		"10.0.0.0/ 8",
		"10.0.0.0/8 ",
		"10.0.0.0\\8",
		"1.2.3.4/99999999999999999999",
		"10.0.0.0-10.0.0.9",
		"10.0.0.0/255.0.0.0",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(malformed); i++)
		assert_cidr_refused(malformed[i], NULL);
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_cidr_refused(texts[i], NULL);
	assert_cidr_refused("intranet",
			    "\"intranet\" is neither an IP address nor ADDRESS/PREFIX");
}

static void text_of_an_error_is_harmless(void **state)
{
	char text[1000];
	struct cidr c;
	struct err e;

	(void)state;
	assert_cidr_refused("\x1b[2J\n", "\"\\x1b[2J\\x0a\" is neither an IP address nor "
					 "ADDRESS/PREFIX");
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cidr_parse(text, &c, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "\" is neither an IP address nor ADDRESS/PREFIX"));
}

static void bits_below_the_prefix_are_refused(void **state)
{
	(void)state;
	assert_cidr_refused("10.0.0.1/8",
			    "\"10.0.0.1/8\" sets bits below its prefix (10.0.0.0/8?)");
	assert_cidr_refused("128.0.0.0/0",
			    "\"128.0.0.0/0\" sets bits below its prefix (0.0.0.0/0?)");
	assert_cidr_refused("1.2.3.5/31",
			    "\"1.2.3.5/31\" sets bits below its prefix (1.2.3.4/31?)");
	assert_cidr_refused("10.128.0.0/8", NULL);
	assert_cidr_refused("10.64.0.0/9", NULL);
	assert_cidr_refused("2001:db8::1/32", "\"2001:db8::1/32\" sets bits below its "
					      "prefix (2001:db8::/32?)");
	assert_cidr_refused("::3/127",
			    "\"::3/127\" sets bits below its prefix (::2/127?)");
	assert_cidr_refused("::1/0", "\"::1/0\" sets bits below its prefix (::/0?)");
}

/* The kernel sends to them by IPv4: as a rule for IPv6, a denial would fail open. */
static void mapped_networks_are_refused(void **state)
{
	assert_cidr_refused("::ffff:10.0.0.1", "\"::ffff:10.0.0.1\" is reached by IPv4: "
					       "write it as IPv4");
	assert_cidr_refused("::ffff:10.0.0.0/104", NULL);
	assert_cidr_refused("::ffff:0:0/97", NULL);
	assert_cidr_refused("::ffff:ffff:ffff/128", NULL);
	(void)state;
	assert_cidr("::ffff:0:0/96", "::ffff:0.0.0.0/96");
	assert_cidr("::fffe:0:0/128", "::fffe:0:0/128");
	assert_cidr("::1:ffff:0:0/128", "::1:ffff:0:0/128");
}

/* Adds 1 or −1 to the address. */
static struct ip neighbour(struct ip a, int step)
{
	size_t i = a.family == AF_INET ? 4 : 16;

	while (i) {
		uint8_t *byte = &a.addr[--i];

		*byte = (uint8_t)(*byte + step);
		if (*byte != (step > 0 ? 0 : 0xff))
			break;
	}
	return a;
}

static void assert_bounds(int family, unsigned prefix)
{
	struct cidr c = { .ip.family = family, .prefix = prefix };
	struct ip first, last;

	for (unsigned bit = 0; bit < prefix; bit++) /* 1010...: neither end of anything */
		c.ip.addr[bit / 8] |= (uint8_t)(bit % 2 ? 0 : 0x80 >> bit % 8);
	first = last = c.ip;
	for (unsigned bit = prefix; bit < (family == AF_INET ? 32 : 128); bit++)
		last.addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	assert_true(cidr_contains(&c, &first));
	assert_true(cidr_contains(&c, &last));
	if (prefix) {
		first = neighbour(first, -1);
		last = neighbour(last, 1);
		assert_false(cidr_contains(&c, &first));
		assert_false(cidr_contains(&c, &last));
	}
}

static void network_ends_where_its_prefix_says(void **state)
{
	(void)state;
	for (unsigned prefix = 0; prefix <= 32; prefix++)
		assert_bounds(AF_INET, prefix);
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		assert_bounds(AF_INET6, prefix);
}

static bool contains(const char *network, const char *address)
{
	struct cidr c = cidr(network);
	struct ip a = ip(address);

	return cidr_contains(&c, &a);
}

static void network_contains_its_addresses(void **state)
{
	(void)state;
	assert_true(contains("172.16.0.0/12", "172.16.0.0"));
	assert_true(contains("172.16.0.0/12", "172.31.255.255"));
	assert_false(contains("172.16.0.0/12", "172.15.255.255"));
	assert_false(contains("172.16.0.0/12", "172.32.0.0"));
	assert_true(contains("::2/127", "::3"));
	assert_false(contains("::2/127", "::1"));
	assert_false(contains("::2/127", "::4"));
	assert_true(contains("0.0.0.0/0", "255.255.255.255"));
	assert_true(contains("::/0", "ffff::"));
}

static void network_contains_nothing_of_the_other_family(void **state)
{
	(void)state;
	assert_false(contains("0.0.0.0/0", "::"));
	assert_false(contains("::/0", "0.0.0.0"));
	assert_false(contains("::/96", "1.2.3.4"));
	assert_false(contains("10.0.0.0/8", "a00::"));
}

static bool overlap(const char *one, const char *other)
{
	struct cidr a = cidr(one), b = cidr(other);

	assert_int_equal(cidr_overlaps(&a, &b), cidr_overlaps(&b, &a));
	return cidr_overlaps(&a, &b);
}

static void networks_overlap_when_they_share_an_address(void **state)
{
	(void)state;
	assert_true(overlap("10.0.0.0/8", "10.0.0.0/8"));
	assert_true(overlap("10.0.0.0/8", "10.255.255.255"));
	assert_true(overlap("10.0.0.0/8", "0.0.0.0/0"));
	assert_true(overlap("2000::/3", "3fff::/20"));
	assert_false(overlap("10.0.0.0/8", "11.0.0.0/8"));
	assert_false(overlap("10.0.0.0/9", "10.128.0.0/9"));
	assert_false(overlap("1.2.3.4", "1.2.3.5"));
	assert_false(overlap("2000::/3", "4000::/3"));
	assert_false(overlap("::/0", "0.0.0.0/0"));
}

/* ---- networks with ports ---- */

static void assert_port(const char *text, const char *network, unsigned port)
{
	char buf[CIDR_TEXT_MAX];
	struct cidr_port c;
	struct err e;

	if (cidr_port_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	assert_string_equal(cidr_format(buf, &c.cidr), network);
	assert_int_equal(c.port, port);
}

static void port_follows_the_network(void **state)
{
	(void)state;
	assert_port("10.1.0.0/16:443", "10.1.0.0/16", 443);
	assert_port("10.1.2.3:1", "10.1.2.3/32", 1);
	assert_port("0.0.0.0/0:65535", "0.0.0.0/0", 65535);
	assert_port("[2001:db8::/32]:443", "2001:db8::/32", 443);
	assert_port("[2001:db8::1]:8080", "2001:db8::1/128", 8080);
	assert_port("[::/0]:53", "::/0", 53);
	assert_port("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128]:65535",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 65535);
}

static void without_a_port_every_port_is_meant(void **state)
{
	(void)state;
	assert_port("10.1.0.0/16", "10.1.0.0/16", 0);
	assert_port("10.1.2.3", "10.1.2.3/32", 0);
	assert_port("2001:db8::/32", "2001:db8::/32", 0);
	assert_port("[2001:db8::/32]", "2001:db8::/32", 0);
	assert_port("2001:db8::1:443", "2001:db8::1:443/128", 0);
}

static void assert_port_refused(const char *text)
{
	struct cidr_port before, after;
	struct err e = { 0 };

	memset(&before, 0xee, sizeof(before));
	after = before;
	if (cidr_port_parse(text, &after, &e) != -EINVAL)
		fail_msg("\"%s\" is accepted", text);
	assert_int_equal(e.code, -EINVAL);
	assert_memory_equal(&after, &before, sizeof(before));
	assert_int_equal(e.msg[0], '"');
}

static void malformed_ports_and_brackets_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		":443",
		"10.0.0.0/8:",
		"10.0.0.0/8:0",
		"10.0.0.0/8:65536",
		"10.0.0.0/8:0443",
		"10.0.0.0/8:+1",
		"10.0.0.0/8:-1",
		"10.0.0.0/8:https",
		"10.0.0.0/8:1:2",
		"10.0.0.0/8:1-2",
		"10.0.0.0/8 :1",
		"10.0.0.0:443/8",
		"10.0.0.1/8:443",
		"[10.0.0.0/8]:443",
		"[10.0.0.0/8]",
		"10.0.0.0/8]:443",
		"2001:db8::/32:443",
		"2001:db8::/32]:443",
		"[2001:db8::/32",
		"[2001:db8::/32:443",
		"[2001:db8::/32]443",
		"[2001:db8::/32]:",
		"[2001:db8::/32]:0",
		"[2001:db8::/32]:65536",
		"[2001:db8::/32]]:443",
		"[[2001:db8::/32]]:443",
		"[2001:db8::]/32",
		"[2001:db8::]/32:443",
		"[2001:db8::1/32]:443",
		"[]:443",
		"[",
		"]",
		"[]",
		"[:]",
		"example.com:443",
		"::ffff:10.0.0.1",
		"[::ffff:10.0.0.1]:443",
		"1111111111111111111111111111111111111111111111111111111111111111111111"
		"1111111111111111111111111111111111111111111111111111111111111111:443",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_port_refused(texts[i]);
}

static void wrong_port_shows_how_one_is_written(void **state)
{
	struct cidr_port c;
	struct err e;

	(void)state;
	assert_int_equal(cidr_port_parse("[2001:db8::/32]443", &c, &e), -EINVAL);
	assert_string_equal(e.msg, "\"[2001:db8::/32]443\" is not CIDR[:PORT], nor "
				   "[CIDR]:PORT as IPv6 needs it: for example "
				   "10.1.0.0/16:443 or [2001:db8::/32]:443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_reads_ipv4),
		cmocka_unit_test(ip_reads_ipv6),
		cmocka_unit_test(ip_refuses_what_is_no_address),
		cmocka_unit_test(ip_reads_what_it_writes),
		cmocka_unit_test(address_without_a_family_is_a_wrong_program),
		cmocka_unit_test(cidr_reads_networks),
		cmocka_unit_test(bare_address_is_a_network_of_one),
		cmocka_unit_test(cidr_refuses_what_is_no_network),
		cmocka_unit_test(text_of_an_error_is_harmless),
		cmocka_unit_test(bits_below_the_prefix_are_refused),
		cmocka_unit_test(mapped_networks_are_refused),
		cmocka_unit_test(network_ends_where_its_prefix_says),
		cmocka_unit_test(network_contains_its_addresses),
		cmocka_unit_test(network_contains_nothing_of_the_other_family),
		cmocka_unit_test(networks_overlap_when_they_share_an_address),
		cmocka_unit_test(port_follows_the_network),
		cmocka_unit_test(without_a_port_every_port_is_meant),
		cmocka_unit_test(malformed_ports_and_brackets_are_refused),
		cmocka_unit_test(wrong_port_shows_how_one_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
