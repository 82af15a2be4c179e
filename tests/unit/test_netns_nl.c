/* SPDX-License-Identifier: Apache-2.0 */
/* What nl.c builds is compared with what libmnl does; what it sends goes to the kernel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "netns/nl.h"
#include "tests/unit/aborts.h"
#include "tests/unit/in_netns.h"

#include <libmnl/libmnl.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct ifinfomsg no_link = { 0 };

static void begin(struct nl_batch *b, const char *what)
{
	nl_message(b, RTM_GETLINK, 0, &no_link, sizeof(no_link), what);
}

/* Makes the message before it whole, as sending would. */
static size_t close_last(struct nl_batch *b)
{
	size_t len = b->len;

	begin(b, "end");
	return len;
}

/* ---- building ---- */

static struct nlmsghdr *build_by_libmnl(void *buf)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct nlattr *outer, *inner;

	m->nlmsg_type = RTM_NEWLINK;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	m->nlmsg_seq = 1;
	((struct ifinfomsg *)mnl_nlmsg_put_extra_header(m, sizeof(no_link)))->ifi_index =
		7;
	mnl_attr_put_strz(m, 1, "name");
	mnl_attr_put_u8(m, 2, 200);
	outer = mnl_attr_nest_start(m, 3);
	mnl_attr_put_u32(m, 4, 0x12345678);
	inner = mnl_attr_nest_start(m, 5);
	mnl_attr_put_u32(m, 6, htonl(0x12345678));
	mnl_attr_nest_end(m, inner);
	mnl_attr_put(m, 7, 0, NULL);
	mnl_attr_nest_end(m, outer);
	mnl_attr_put(m, 8, 5, "bytes");
	return m;
}

static void build_by_ourselves(struct nl_batch *b)
{
	const struct ifinfomsg head = { .ifi_index = 7 };
	size_t outer, inner;

	nl_message(b, RTM_NEWLINK, NLM_F_CREATE, &head, sizeof(head), "make it");
	nl_put_string(b, 1, "name");
	nl_put_u8(b, 2, 200);
	outer = nl_nest(b, 3);
	nl_put_u32(b, 4, 0x12345678);
	inner = nl_nest(b, 5);
	nl_put_be32(b, 6, 0x12345678);
	nl_nest_end(b, inner);
	nl_put(b, 7, NULL, 0);
	nl_nest_end(b, outer);
	nl_put(b, 8, "bytes", 5);
}

static void messages_are_what_libmnl_makes_of_the_same(void **state)
{
	uint8_t buf[1024] = { 0 };
	struct nlmsghdr *m = build_by_libmnl(buf);
	auto_nl_batch b = { 0 };

	(void)state;
	build_by_ourselves(&b);
	assert_int_equal(close_last(&b), m->nlmsg_len);
	assert_memory_equal(b.data, m, m->nlmsg_len);
}

static void messages_are_numbered_from_1_on(void **state)
{
	static const char *const names[] = { "first", "second", "third" };
	auto_nl_batch b = { 0 };
	struct nlmsghdr *m;
	int left;

	(void)state;
	for (int i = 0; i < 3; i++)
		begin(&b, names[i]);
	m = (struct nlmsghdr *)b.data;
	left = (int)close_last(&b);
	for (int i = 0; i < 3; i++) {
		assert_true(mnl_nlmsg_ok(m, left));
		assert_int_equal(m->nlmsg_seq, i + 1);
		assert_string_equal(b.what[i], names[i]);
		m = mnl_nlmsg_next(m, &left);
	}
	assert_int_equal(left, 0);
}

static void copied_message_only_changes_its_number(void **state)
{
	uint8_t buf[1024] = { 0 };
	struct nlmsghdr *m = build_by_libmnl(buf);
	auto_nl_batch b = { 0 };
	size_t at;

	(void)state;
	begin(&b, "first");
	at = b.len;
	nl_copy(&b, m, m->nlmsg_len, "copied");
	assert_int_equal(close_last(&b), at + m->nlmsg_len);
	assert_int_equal(((struct nlmsghdr *)b.data)->nlmsg_len, at);
	m->nlmsg_seq = 2;
	assert_memory_equal(b.data + at, m, m->nlmsg_len);
}

static void raw_bytes_are_padded_and_are_no_attribute(void **state)
{
	static const uint8_t expected[] = { 'a', 'b', 'c', 'd', 'e', 0, 0, 0 };
	auto_nl_batch b = { 0 };
	size_t at;

	(void)state;
	begin(&b, "it");
	at = b.len;
	nl_put_raw(&b, "abcde", 5);
	assert_int_equal(b.len, at + 8);
	assert_memory_equal(b.data + at, expected, 8);
}

/* What an earlier message left in the buffer would go to the kernel. */
static void padding_is_zero_in_a_batch_that_is_used_again(void **state)
{
	auto_nl_batch b = { 0 };
	size_t at;

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&b, "it");
		at = b.len;
		nl_put(&b, 1, i ? "x" : "\xff\xff\xff\xff", i ? 1 : 4);
		if (!i)
			b.len = b.count = 0;
	}
	assert_memory_equal(b.data + at + NLA_HDRLEN, "x\0\0\0", 4);
}

static void batch_grows_and_keeps_what_is_in_it(void **state)
{
	enum { MESSAGES = 20000 };
	auto_nl_batch b = { 0 };
	struct nlmsghdr *m;
	int left;

	(void)state;
	for (uint32_t i = 0; i < MESSAGES; i++) {
		begin(&b, "one");
		nl_put_u32(&b, 9, i);
	}
	left = (int)close_last(&b);
	m = (struct nlmsghdr *)b.data;
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct nlattr *a = mnl_nlmsg_get_payload_offset(m, sizeof(no_link));

		if (!mnl_nlmsg_ok(m, left) || m->nlmsg_seq != i + 1 ||
		    mnl_attr_get_type(a) != 9 || mnl_attr_get_u32(a) != i)
			fail_msg("message %u is not what it was", i);
		m = mnl_nlmsg_next(m, &left);
	}
	assert_int_equal(left, 0);
}

static void nest_knows_its_size_while_it_grows(void **state)
{
	auto_nl_batch b = { 0 };
	size_t nest;

	(void)state;
	begin(&b, "it");
	nest = nl_nest(&b, 1);
	assert_int_equal(nl_nest_size(&b, nest), 4);
	nl_put_u8(&b, 2, 3);
	assert_int_equal(nl_nest_size(&b, nest), 12);
	nl_nest_end(&b, nest);
	assert_int_equal(((struct nlattr *)(b.data + nest))->nla_len, 12);
}

static void fill_a_nest(size_t size)
{
	static const uint8_t zeros[60000];
	auto_nl_batch b = { 0 };
	size_t nest;

	begin(&b, "it");
	nest = nl_nest(&b, 1);
	nl_put_raw(&b, zeros, sizeof(zeros));
	nl_put_raw(&b, zeros, size - sizeof(zeros) - NLA_HDRLEN);
	nl_nest_end(&b, nest);
}

static void fill_a_nest_too_far(void)
{
	fill_a_nest(65536);
}

static void put_too_much(void)
{
	static const uint8_t zeros[65532];
	auto_nl_batch b = { 0 };

	begin(&b, "it");
	nl_put(&b, 1, zeros, sizeof(zeros));
}

static void send_nothing(void)
{
	auto_nl_batch b = { 0 };
	struct err e;

	err_ignore(nl_send(-1, &b, &e));
}

static int take_any(const struct nlmsghdr *message, void *context, struct err *e)
{
	(void)message;
	(void)e;
	++*(unsigned *)context;
	return 0;
}

static void ask_two_things(void)
{
	auto_nl_batch b = { 0 };
	struct err e;

	begin(&b, "one");
	begin(&b, "another");
	err_ignore(nl_ask(-1, &b, take_any, NULL, &e));
}

static void what_does_not_fit_is_a_wrong_program(void **state)
{
	(void)state;
	fill_a_nest(65532);
	assert_true(aborts(fill_a_nest_too_far));
	assert_true(aborts(put_too_much));
	assert_true(aborts(send_nothing));
	assert_true(aborts(ask_two_things));
}

static void assert_out_of_memory(struct nl_batch *b)
{
	unsigned answers = 0;
	struct err e = { 0 };

	assert_int_equal(nl_send(-1, b, &e), -ENOMEM);
	assert_string_equal(e.msg, "build netlink messages: Cannot allocate memory");
	assert_int_equal(nl_ask(-1, b, take_any, &answers, &e), -ENOMEM);
	assert_string_equal(e.msg, "build a netlink message: Cannot allocate memory");
	assert_int_equal(answers, 0);
}

#ifndef __SANITIZE_ADDRESS__
static void use_up_the_memory(void)
{
	const struct rlimit little = { 64 << 20, 64 << 20 };
	static const uint8_t zeros[60000];
	auto_nl_batch b = { 0 };
	size_t nest;

	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	for (int i = 0; i < 2000 && !b.failed; i++) {
		begin(&b, "one");
		nl_put(&b, 1, zeros, sizeof(zeros));
	}
	assert_true(b.failed);
	nest = nl_nest(&b, 2);
	nl_put_u32(&b, 3, 4);
	nl_nest_end(&b, nest);
	nl_copy(&b, zeros, 16, "another");
	begin(&b, "the last");
	assert_out_of_memory(&b);
}
#endif

static void lack_of_memory_is_told_when_it_is_sent(void **state)
{
	struct nl_batch b = { .failed = true };

	(void)state;
	assert_out_of_memory(&b);
#ifndef __SANITIZE_ADDRESS__
	in_netns(use_up_the_memory);
#endif
}

/* ---- reading ---- */

/* Attributes behind a header of four bytes, and which payload types 1 to 3 then have. */
static const struct {
	const char *bytes;
	size_t size;
	const char *payloads[3];
} readings[] = {
	{ "", 0, { NULL, NULL, NULL } },
	{ "\5\0\1\0a\0\0\0\6\0\3\0bc", 14, { "a", NULL, "bc" } },
	{ "\4\0\1\0", 4, { "", NULL, NULL } },
	/* The last of a type counts; a nest is known by its type alone. */
	{ "\5\0\1\0a\0\0\0\5\0\1\x80z\0\0\0", 16, { "z", NULL, NULL } },
	{ "\5\0\2\x40q\0\0\0", 8, { NULL, "q", NULL } },
	/* Types above are passed over. */
	{ "\5\0\4\0a\0\0\0\5\0\0\1b\0\0\0\5\0\2\0c\0\0\0", 24, { NULL, "c", NULL } },
	/* What is cut off ends the list. */
	{ "\5\0\1\0a\0\0\0\4\0", 10, { "a", NULL, NULL } },
	{ "\5\0\1\0a\0\0\0\6\0\2\0x", 13, { "a", NULL, NULL } },
	{ "\5\0\1\0a\0\0\0\3\0\2\0\5\0\3\0b\0\0\0", 20, { "a", NULL, NULL } },
	{ "\0\0\1\0\5\0\2\0b\0\0\0", 12, { NULL, NULL, NULL } },
	{ "\xff\xff\1\0a\0\0\0", 8, { NULL, NULL, NULL } },
};

/* In memory of exactly that size, so that a sanitizer sees a step beyond. */
static struct nlmsghdr *message_of(const void *bytes, size_t size)
{
	struct nlmsghdr *m = malloc(NLMSG_HDRLEN + 4 + size);

	assert_non_null(m);
	memset(m, 0, NLMSG_HDRLEN + 4);
	m->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + 4 + size);
	if (size)
		memcpy((uint8_t *)m + NLMSG_HDRLEN + 4, bytes, size);
	return m;
}

static void assert_payload(const struct nlattr *a, const char *expected)
{
	if (!expected) {
		assert_null(a);
		return;
	}
	assert_non_null(a);
	assert_int_equal(nl_payload_size(a), strlen(expected));
	assert_memory_equal(nl_payload(a, 0), expected, strlen(expected));
}

static void attributes_are_found_by_type_and_never_beyond_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(readings); i++) {
		struct nlmsghdr *m = message_of(readings[i].bytes, readings[i].size);
		const struct nlattr *a[4];

		memset(a, 0xee, sizeof(a));
		nl_attributes(m, 1, a, 3);
		for (int type = 1; type <= 3; type++)
			assert_payload(a[type], readings[i].payloads[type - 1]);
		free(m);
	}
}

static void nested_attributes_are_found_the_same_way(void **state)
{
	struct nlmsghdr *m =
		message_of("\x10\0\2\x80\5\0\1\0a\0\0\0\5\0\3\0\5\0\1\0z\0\0\0", 24);
	const struct nlattr *a[4], *inner[4];

	(void)state;
	nl_attributes(m, 4, a, 3);
	nl_nested(a[2], inner, 3);
	assert_payload(inner[1], "a");
	assert_null(inner[2]);
	/* Cut off by the end of what it is in. */
	assert_null(inner[3]);
	assert_payload(a[1], "z");
	free(m);
}

static void header_beyond_the_message_leaves_no_attributes(void **state)
{
	struct nlmsghdr *m = message_of("\5\0\1\0a\0\0\0", 8);
	const struct nlattr *a[4];

	(void)state;
	nl_attributes(m, 12, a, 3);
	assert_null(a[1]);
	nl_attributes(m, 4096, a, 3);
	assert_null(a[1]);
	free(m);
}

static void payload_is_there_or_it_is_not(void **state)
{
	struct nlmsghdr *m = message_of("\7\0\1\0abc\0", 8);
	const struct nlattr *a[2];

	(void)state;
	nl_attributes(m, 4, a, 1);
	assert_ptr_equal(nl_payload(a[1], 3), (const uint8_t *)a[1] + 4);
	assert_null(nl_payload(a[1], 4));
	assert_int_equal(nl_payload_size(a[1]), 3);
	assert_null(nl_payload(NULL, 0));
	assert_int_equal(nl_payload_size(NULL), 0);
	free(m);
}

static void random_bytes_lead_nowhere_else(void **state)
{
	uint64_t seed = 88172645463325252u;
	uint8_t bytes[64];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t size = (size_t)i % sizeof(bytes);
		const struct nlattr *a[8];
		struct nlmsghdr *m;

		for (size_t j = 0; j < size; j++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			bytes[j] = (uint8_t)(seed >> 24 & (j % 4 == 1 ? 0 : 31));
		}
		m = message_of(bytes, size);
		nl_attributes(m, 4, a, 7);
		for (int type = 0; type < 8; type++) {
			const uint8_t *p = nl_payload(a[type], 0);

			if (p)
				assert_true(p + nl_payload_size(a[type]) <=
					    (const uint8_t *)m + m->nlmsg_len);
		}
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_what_libmnl_makes_of_the_same),
		cmocka_unit_test(messages_are_numbered_from_1_on),
		cmocka_unit_test(copied_message_only_changes_its_number),
		cmocka_unit_test(raw_bytes_are_padded_and_are_no_attribute),
		cmocka_unit_test(padding_is_zero_in_a_batch_that_is_used_again),
		cmocka_unit_test(batch_grows_and_keeps_what_is_in_it),
		cmocka_unit_test(nest_knows_its_size_while_it_grows),
		cmocka_unit_test(what_does_not_fit_is_a_wrong_program),
		cmocka_unit_test(lack_of_memory_is_told_when_it_is_sent),
		cmocka_unit_test(attributes_are_found_by_type_and_never_beyond_the_end),
		cmocka_unit_test(nested_attributes_are_found_the_same_way),
		cmocka_unit_test(header_beyond_the_message_leaves_no_attributes),
		cmocka_unit_test(payload_is_there_or_it_is_not),
		cmocka_unit_test(random_bytes_lead_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
