/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "netns/loopback.h"
#include "tests/unit/in_namespaces.h"

static void call(void *context)
{
	void (*const *body)(void) = context;

	(*body)();
}

static void in_netns(void (*body)(void))
{
	in_namespaces(CLONE_NEWNET, call, &body);
}

static int loopback_flags(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	assert_int_equal(ioctl(sock, SIOCGIFFLAGS, &ifr), 0);
	return ifr.ifr_flags;
}

static int lowest_free_descriptor(void)
{
	auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd;
}

static void bring_up(void)
{
	struct err e = { 0 };

	if (netns_loopback_up(&e) != 0)
		fail_msg("%s", e.msg);
}

static void look_before_and_after(void)
{
	assert_int_equal(loopback_flags() & IFF_UP, 0);
	bring_up();
	assert_int_equal(loopback_flags() & (IFF_UP | IFF_RUNNING | IFF_LOOPBACK),
			 IFF_UP | IFF_RUNNING | IFF_LOOPBACK);
}

static void loopback_is_down_before_and_up_after(void **state)
{
	(void)state;
	in_netns(look_before_and_after);
}

static void bring_up_twice(void)
{
	bring_up();
	bring_up();
	assert_true(loopback_flags() & IFF_UP);
}

static void twice_is_as_good_as_once(void **state)
{
	(void)state;
	in_netns(bring_up_twice);
}

static void send_to_itself(const struct sockaddr *address, socklen_t size)
{
	struct sockaddr_storage bound;
	socklen_t bound_size = sizeof(bound);
	char byte = 0;
	auto_fd a = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_fd b = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(bind(a, address, size), 0);
	assert_int_equal(getsockname(a, (struct sockaddr *)&bound, &bound_size), 0);
	assert_int_equal(connect(b, (struct sockaddr *)&bound, bound_size), 0);
	assert_int_equal(send(b, "x", 1, 0), 1);
	assert_int_equal(recv(a, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
}

static void talk_over_ipv4(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	bring_up();
	send_to_itself((const struct sockaddr *)&address, sizeof(address));
}

static void packets_reach_127_0_0_1(void **state)
{
	(void)state;
	in_netns(talk_over_ipv4);
}

static void talk_over_ipv6(void)
{
	const struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					      .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	bring_up();
	/* A kernel may be without it. */
	if (access("/proc/self/net/if_inet6", F_OK) == 0)
		send_to_itself((const struct sockaddr *)&address, sizeof(address));
}

static void packets_reach_the_ipv6_loopback(void **state)
{
	(void)state;
	in_netns(talk_over_ipv6);
}

static void connect_elsewhere(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(53) };
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	bring_up();
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &address.sin_addr), 1);
	assert_int_equal(connect(sock, (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, ENETUNREACH);
}

static void nothing_else_can_be_reached(void **state)
{
	(void)state;
	in_netns(connect_elsewhere);
}

static void count_descriptors(void)
{
	struct err e = { 0 };
	int before = lowest_free_descriptor();

	bring_up();
	assert_int_equal(lowest_free_descriptor(), before);
	assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_true(netns_loopback_up(&e) < 0);
	assert_int_equal(lowest_free_descriptor(), before);
}

static void no_descriptor_stays_open(void **state)
{
	(void)state;
	in_netns(count_descriptors);
}

static void try_without_privilege(void)
{
	struct err e = { 0 };

	assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(netns_loopback_up(&e), -EPERM);
	assert_int_equal(e.code, -EPERM);
	assert_string_equal(e.msg,
			    "bring up the loopback interface: Operation not permitted");
	assert_int_equal(loopback_flags() & IFF_UP, 0);
}

static void without_privilege_it_is_an_error(void **state)
{
	(void)state;
	in_netns(try_without_privilege);
}

static void try_without_descriptors(void)
{
	const struct rlimit none = { 0, 0 };
	struct err e = { 0 };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(netns_loopback_up(&e), -EMFILE);
	assert_string_equal(e.msg, "open a socket in the new network namespace: "
				   "Too many open files");
}

static void without_a_socket_it_is_an_error(void **state)
{
	(void)state;
	in_netns(try_without_descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_is_down_before_and_up_after),
		cmocka_unit_test(twice_is_as_good_as_once),
		cmocka_unit_test(packets_reach_127_0_0_1),
		cmocka_unit_test(packets_reach_the_ipv6_loopback),
		cmocka_unit_test(nothing_else_can_be_reached),
		cmocka_unit_test(no_descriptor_stays_open),
		cmocka_unit_test(without_privilege_it_is_an_error),
		cmocka_unit_test(without_a_socket_it_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
