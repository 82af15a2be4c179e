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

#include "netns/resolver.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { MAX = 3 };

/* A resolv.conf and the nameservers that are found in it, with blanks in between. */
static const struct {
	const char *text, *expected;
} texts[] = {
	{ "", "" },
	{ "\n\n\n", "" },
	{ "nameserver 192.0.2.1\n", "192.0.2.1" },
	{ "nameserver 192.0.2.1", "192.0.2.1" },
	{ "nameserver 192.0.2.1\r\nnameserver 192.0.2.2\r\n", "192.0.2.1 192.0.2.2" },
	{ "nameserver\t \t192.0.2.1 \t \n", "192.0.2.1" },
	{ "search a.example b.example\noptions ndots:2\nnameserver 192.0.2.1\n",
	  "192.0.2.1" },
	{ "nameserver 2001:db8::1\nnameserver 192.0.2.1\n", "2001:db8::1 192.0.2.1" },
	{ "nameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
	  "192.0.2.2 192.0.2.1 192.0.2.2" },
	/* No more than there is room for. */
	{ "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	  "nameserver 192.0.2.4\n",
	  "192.0.2.1 192.0.2.2 192.0.2.3" },
	/* Comments. */
	{ "# nameserver 192.0.2.1\n;nameserver 192.0.2.2\nnameserver 192.0.2.3\n",
	  "192.0.2.3" },
	{ "#nameserver 192.0.2.1", "" },
	/* Other keys. */
	{ "nameservers 192.0.2.1\nNameserver 192.0.2.1\nserver 192.0.2.1\n", "" },
	{ "nameserver192.0.2.1\nnameserver\nnameserver \nnameserver", "" },
	{ "search nameserver 192.0.2.1\n nameserver 192.0.2.1\n", "" },
	/* What is no address. */
	{ "nameserver 192.0.2\nnameserver 192.0.2.256\nnameserver 010.0.0.1\n"
	  "nameserver one.one.one.one\nnameserver 192.0.2.1,192.0.2.2\n",
	  "" },
	{ "nameserver [2001:db8::1]\nnameserver 2001:db8::1:\nnameserver 192.0.2.1/32\n",
	  "" },
	/* This host itself. */
	{ "nameserver 127.0.0.53\nnameserver 127.255.255.255\nnameserver 0.0.0.0\n"
	  "nameserver ::1\nnameserver ::\n",
	  "" },
	{ "nameserver 126.255.255.255\nnameserver 128.0.0.0\nnameserver ::2\n",
	  "126.255.255.255 128.0.0.0 ::2" },
	{ "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver 127.0.0.2\n"
	  "nameserver 192.0.2.2\nnameserver 192.0.2.3\n",
	  "192.0.2.1 192.0.2.2 192.0.2.3" },
	/* What has a zone, and what would need one. */
	{ "nameserver fe80::1%eth0\nnameserver fe80::1\nnameserver febf::1\n", "" },
	{ "nameserver fec0::1\nnameserver fe7f::1\nnameserver fd00::53\n",
	  "fec0::1 fe7f::1 fd00::53" },
	/* An address that somebody else answers for may be as private as it likes. */
	{ "nameserver 10.0.0.2\nnameserver 169.254.169.253\nnameserver 192.168.1.1\n",
	  "10.0.0.2 169.254.169.253 192.168.1.1" },
};

static void assert_list(const char *text, const struct ip *list, unsigned count,
			const char *expected)
{
	char found[256] = "", address[IP_TEXT_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(found + len, sizeof(found) - len, "%s%s",
					i ? " " : "", ip_format(address, &list[i]));
	if (strcmp(found, expected) != 0)
		fail_msg("\"%s\": \"%s\" instead of \"%s\"", text, found, expected);
}

static void nameservers_are_found_that_others_answer_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct ip list[MAX];
		unsigned count = resolver_parse(texts[i].text, list, MAX);

		assert_true(count <= MAX);
		assert_list(texts[i].text, list, count, texts[i].expected);
	}
}

static void nothing_is_written_beyond_the_maximum(void **state)
{
	static const char text[] = "nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
	struct ip list[2], before;

	(void)state;
	memset(list, 0xee, sizeof(list));
	before = list[1];
	assert_int_equal(resolver_parse(text, list, 0), 0);
	assert_memory_equal(&list[0], &before, sizeof(before));
	assert_int_equal(resolver_parse(text, list, 1), 1);
	assert_memory_equal(&list[1], &before, sizeof(before));
}

/* Much longer than any address, and then something. */
static void long_lines_are_passed_over_whole(void **state)
{
	static char text[70000];
	struct ip list[MAX];
	unsigned count;

	(void)state;
	memset(text, '1', sizeof(text) - 1);
	memcpy(text, "nameserver ", 11);
	memcpy(text + sizeof(text) - 23, "\nnameserver 192.0.2.1\n", 23);
	count = resolver_parse(text, list, MAX);
	assert_list("long", list, count, "192.0.2.1");
}

static struct ip ip(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		fail_msg("\"%s\" is refused", text);
	return ip;
}

static void format_writes_what_parse_reads(void **state)
{
	const struct ip list[] = { ip("192.0.2.1"), ip("2001:db8::1"), ip("192.0.2.3") };
	struct ip again[MAX];
	char text[256];

	(void)state;
	assert_int_equal(resolver_format(text, sizeof(text), list, 3), 0);
	assert_string_equal(text, "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"
				  "nameserver 192.0.2.3\n");
	assert_int_equal(resolver_parse(text, again, MAX), 3);
	assert_memory_equal(again, list, sizeof(list));
}

static void no_nameserver_is_an_empty_text(void **state)
{
	char text[4] = "xxx";

	(void)state;
	assert_int_equal(resolver_format(text, 1, NULL, 0), 0);
	assert_string_equal(text, "");
}

static void format_fits_whole_or_is_an_error(void **state)
{
	static const char expected[] = "nameserver 192.0.2.1\nnameserver 192.0.2.22\n";
	const struct ip list[] = { ip("192.0.2.1"), ip("192.0.2.22") };

	(void)state;
	for (size_t size = 1; size <= sizeof(expected); size++) {
		char *text = malloc(size);
		int r = resolver_format(text, size, list, 2);

		assert_int_equal(r, size < sizeof(expected) ? -ENAMETOOLONG : 0);
		if (r == 0)
			assert_string_equal(text, expected);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameservers_are_found_that_others_answer_for),
		cmocka_unit_test(nothing_is_written_beyond_the_maximum),
		cmocka_unit_test(long_lines_are_passed_over_whole),
		cmocka_unit_test(format_writes_what_parse_reads),
		cmocka_unit_test(no_nameserver_is_an_empty_text),
		cmocka_unit_test(format_fits_whole_or_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
