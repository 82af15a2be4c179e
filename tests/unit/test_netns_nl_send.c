/* SPDX-License-Identifier: Apache-2.0 */
/* What nl.c says to the kernel, and what it makes of the answers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netns/nl.h"
#include "tests/unit/in_netns.h"

enum {
	ADDRESSES = 3000, /* more than 64 KiB of messages, many packets of answers */
	LOOPBACK = 1,
};

static int open_route(void)
{
	struct err e = { 0 };
	int sock = -1;

	if (nl_open(NETLINK_ROUTE, &sock, &e) != 0)
		fail_msg("%s", e.msg);
	return sock;
}

static void add_link(struct nl_batch *b, const char *kind, const char *name,
		     const char *what)
{
	const struct ifinfomsg head = { 0 };
	size_t info;

	nl_message(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head), what);
	nl_put_string(b, IFLA_IFNAME, name);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_string(b, IFLA_INFO_KIND, kind);
	nl_nest_end(b, info);
}

static void add_address(struct nl_batch *b, uint32_t address, const char *what)
{
	const struct ifaddrmsg head = { .ifa_family = AF_INET,
					.ifa_prefixlen = 32,
					.ifa_index = LOOPBACK };

	nl_message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head), what);
	nl_put_be32(b, IFA_LOCAL, address);
}

static void ask_for_addresses(struct nl_batch *b)
{
	const struct ifaddrmsg head = { .ifa_family = AF_INET };

	nl_message(b, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head), "list addresses");
}

static int count_one(const struct nlmsghdr *message, void *context, struct err *e)
{
	(void)e;
	assert_int_equal(message->nlmsg_type, RTM_NEWADDR);
	++*(unsigned *)context;
	return 0;
}

static unsigned count_addresses(int sock)
{
	auto_nl_batch b = { 0 };
	unsigned count = 0;
	struct err e = { 0 };

	ask_for_addresses(&b);
	if (nl_ask(sock, &b, count_one, &count, &e) != 0)
		fail_msg("%s", e.msg);
	return count;
}

/* ---- opening ---- */

static void open_sockets(void)
{
	auto_fd first = open_route();
	struct err e = { 0 };
	int sock = 1234;

	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	/* No such protocol. */
	assert_int_equal(nl_open(31, &sock, &e), -EPROTONOSUPPORT);
	assert_string_equal(e.msg, "open a netlink socket: Protocol not supported");
	assert_int_equal(sock, 1234);
	ip_do("link add one type veth peer name two");
	assert_int_equal(count_addresses(first), 0);
}

static void socket_is_opened_close_on_exec_or_not_at_all(void **state)
{
	(void)state;
	in_netns(open_sockets);
}

static void open_and_move_on(void)
{
	auto_fd sock = open_route(), here = -1;
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	here = open_route();
	add_address(&b, 0x7f000002, "add an address");
	assert_int_equal(nl_send(sock, &b, &e), 0);
	assert_int_equal(count_addresses(sock), 1);
	assert_int_equal(count_addresses(here), 0);
}

static void socket_stays_with_the_namespace_it_was_opened_in(void **state)
{
	(void)state;
	in_netns(open_and_move_on);
}

static void open_without_descriptors(void)
{
	struct rlimit none, before;
	struct err e = { 0 };
	int sock = -1;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(nl_open(NETLINK_ROUTE, &sock, &e), -EMFILE);
	assert_string_equal(e.msg, "open a netlink socket: Too many open files");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void open_fails_without_descriptors(void **state)
{
	(void)state;
	in_netns(open_without_descriptors);
}

/* ---- sending ---- */

static void assert_refused(int sock, struct nl_batch *b, int code, const char *words)
{
	struct err e = { 0 };

	assert_int_equal(nl_send(sock, b, &e), code);
	assert_int_equal(e.code, code);
	assert_string_equal(e.msg, words);
	assert_int_equal(b->len, 0);
	assert_int_equal(b->count, 0);
}

static void make_unknown_kind(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };

	add_link(&b, "nosuchkind", "x0", "make an interface");
	assert_refused(sock, &b, -EOPNOTSUPP,
		       "make an interface: Unknown device type: Operation not supported");
}

static void refusal_has_the_words_of_the_kernel(void **state)
{
	(void)state;
	in_netns(make_unknown_kind);
}

static void make_address_twice(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	add_address(&b, 0x7f000002, "first");
	add_address(&b, 0x7f000003, "second");
	add_address(&b, 0x7f000003, "third");
	add_link(&b, "nosuchkind", "x0", "fourth");
	add_address(&b, 0x7f000004, "fifth");
	assert_int_equal(nl_send(sock, &b, &e), -EEXIST);
	/* Linux 6.8 and later have words for it, which come between. */
	assert_memory_equal(e.msg, "third: ", 7);
	assert_non_null(strstr(e.msg, ": File exists"));
	/* rtnetlink takes them one by one. */
	assert_int_equal(count_addresses(sock), 3);
}

static void first_refused_message_of_a_batch_is_named(void **state)
{
	(void)state;
	in_netns(make_address_twice);
}

static void send_again_after_a_refusal(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	for (int i = 0; i < 50; i++) {
		add_link(&b, "nosuchkind", "x0", "make an interface");
		add_link(&b, "nosuchkind", "x0", "make another");
		assert_int_equal(nl_send(sock, &b, &e), -EOPNOTSUPP);
		assert_non_null(strstr(e.msg, "make an interface: "));
		add_address(&b, 0x7f000002 + (uint32_t)i, "add an address");
		assert_int_equal(nl_send(sock, &b, &e), 0);
	}
	assert_int_equal(count_addresses(sock), 50);
}

static void refusal_leaves_batch_and_socket_in_order(void **state)
{
	(void)state;
	in_netns(send_again_after_a_refusal);
}

static void send_a_large_batch(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	for (uint32_t i = 0; i < ADDRESSES; i++)
		add_address(&b, 0x7f000002 + i, "add an address");
	assert_true(b.len > 65536);
	if (nl_send(sock, &b, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(count_addresses(sock), ADDRESSES);
	add_address(&b, 0x7f000002 + ADDRESSES - 1, "the last one");
	assert_int_equal(nl_send(sock, &b, &e), -EEXIST);
}

static void batch_of_more_than_64_kib_goes_at_once(void **state)
{
	(void)state;
	in_netns(send_a_large_batch);
}

static void send_wrongly(void)
{
	auto_nl_batch b = { 0 };

	add_address(&b, 0x7f000002, "add an address");
	assert_refused(-1, &b, -EBADF,
		       "send a netlink batch of 32 bytes: Bad file descriptor");
}

static void send_without_a_socket_is_an_error(void **state)
{
	(void)state;
	in_netns(send_wrongly);
}

static void send_without_privilege(void)
{
	auto_fd sock = -1;
	auto_nl_batch b = { 0 };
	unsigned count = 0;
	struct err e = { 0 };

	assert_int_equal(setresuid(65534, 65534, 65534), 0);
	sock = open_route();
	add_address(&b, 0x7f000002, "add an address");
	assert_refused(sock, &b, -EPERM, "add an address: Operation not permitted");
	ask_for_addresses(&b);
	assert_int_equal(nl_ask(sock, &b, count_one, &count, &e), 0);
}

static void send_without_privilege_is_refused(void **state)
{
	(void)state;
	in_netns(send_without_privilege);
}

/* ---- asking ---- */

static int take_index(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[IFLA_IFNAME + 1];
	unsigned *count = context;

	(void)e;
	assert_int_equal(message->nlmsg_type, RTM_NEWLINK);
	nl_attributes(message, sizeof(struct ifinfomsg), a, IFLA_IFNAME);
	assert_string_equal(nl_payload(a[IFLA_IFNAME], 3), "lo");
	++*count;
	return 0;
}

static void ask_for_link(struct nl_batch *b, int index)
{
	const struct ifinfomsg head = { .ifi_index = index };

	nl_message(b, RTM_GETLINK, 0, &head, sizeof(head), "look at an interface");
}

static void ask_for_one(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	unsigned count = 0;
	struct err e = { 0 };

	for (unsigned i = 1; i <= 3; i++) {
		ask_for_link(&b, LOOPBACK);
		assert_int_equal(nl_ask(sock, &b, take_index, &count, &e), 0);
		assert_int_equal(count, i);
		assert_int_equal(b.count, 0);
	}
	ask_for_link(&b, 77);
	assert_int_equal(nl_ask(sock, &b, take_index, &count, &e), -ENODEV);
	assert_string_equal(e.msg, "look at an interface: No such device");
	assert_int_equal(count, 3);
	/* Nothing is left to be taken for the next answer. */
	ask_for_link(&b, LOOPBACK);
	assert_int_equal(nl_ask(sock, &b, take_index, &count, &e), 0);
	assert_int_equal(count, 4);
}

static void single_object_is_handed_over_or_its_absence_named(void **state)
{
	(void)state;
	in_netns(ask_for_one);
}

struct stop {
	unsigned after, count;
};

static int stop_at(const struct nlmsghdr *message, void *context, struct err *e)
{
	struct stop *stop = context;

	(void)message;
	if (++stop->count < stop->after)
		return 0;
	return err_say(e, ENOTUNIQ, "enough");
}

static void stop_in_between(void)
{
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	ip_do("link set lo up");
	ip_do("address add 127.0.0.2/32 dev lo");
	for (unsigned after = 1; after <= 3; after++) {
		auto_fd sock = open_route();
		struct stop stop = { .after = after };
		int r;

		ask_for_addresses(&b);
		r = nl_ask(sock, &b, stop_at, &stop, &e);
		assert_int_equal(r, after < 3 ? -ENOTUNIQ : 0);
		assert_int_equal(stop.count, after < 3 ? after : 2);
	}
	assert_string_equal(e.msg, "enough");
}

static void listener_ends_it_with_an_error_of_its_own(void **state)
{
	(void)state;
	in_netns(stop_in_between);
}

/* At the first answer there is more than one packet of them to come. */
static int change_the_list(const struct nlmsghdr *message, void *context, struct err *e)
{
	(void)message;
	(void)e;
	if (++*(unsigned *)context == 1)
		ip_do("address add 127.1.0.1/32 dev lo");
	return 0;
}

static void change_while_reading(void)
{
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	unsigned count = 0;
	struct err e = { 0 };

	for (uint32_t i = 0; i < ADDRESSES; i++)
		add_address(&b, 0x7f000002 + i, "add an address");
	assert_int_equal(nl_send(sock, &b, &e), 0);
	ask_for_addresses(&b);
	assert_int_equal(nl_ask(sock, &b, change_the_list, &count, &e), -EINTR);
	assert_string_equal(e.msg, "list addresses: changed while it was read: "
				   "Interrupted system call");
	/* The socket is at the end of that list, and is asked again. */
	assert_int_equal(count_addresses(sock), ADDRESSES + 1);
}

static void list_that_changes_while_it_is_read_is_told(void **state)
{
	(void)state;
	in_netns(change_while_reading);
}

/* A filter that the kernel does not know is an error and not passed over. */
static void ask_with_an_unknown_filter(void)
{
	const struct ifinfomsg head = { 0 };
	auto_fd sock = open_route();
	auto_nl_batch b = { 0 };
	unsigned count = 0;
	struct err e = { 0 };

	nl_message(&b, RTM_GETLINK, NLM_F_DUMP, &head, sizeof(head), "list interfaces");
	nl_put_u32(&b, IFLA_MTU, 1500);
	assert_int_equal(nl_ask(sock, &b, take_index, &count, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "list interfaces: Unsupported attribute"));
	assert_int_equal(count, 0);
}

static void unknown_filters_of_lists_are_refused(void **state)
{
	(void)state;
	in_netns(ask_with_an_unknown_filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(socket_is_opened_close_on_exec_or_not_at_all),
		cmocka_unit_test(socket_stays_with_the_namespace_it_was_opened_in),
		cmocka_unit_test(open_fails_without_descriptors),
		cmocka_unit_test(refusal_has_the_words_of_the_kernel),
		cmocka_unit_test(first_refused_message_of_a_batch_is_named),
		cmocka_unit_test(refusal_leaves_batch_and_socket_in_order),
		cmocka_unit_test(batch_of_more_than_64_kib_goes_at_once),
		cmocka_unit_test(send_without_a_socket_is_an_error),
		cmocka_unit_test(send_without_privilege_is_refused),
		cmocka_unit_test(single_object_is_handed_over_or_its_absence_named),
		cmocka_unit_test(listener_ends_it_with_an_error_of_its_own),
		cmocka_unit_test(list_that_changes_while_it_is_read_is_told),
		cmocka_unit_test(unknown_filters_of_lists_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
