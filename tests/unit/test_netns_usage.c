/* SPDX-License-Identifier: Apache-2.0 */
/* What sandboxes send, receive and are refused; the uplink leads nowhere. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>

#include "base/fd.h"
#include "netns/netns.h"
#include "tests/unit/in_netns.h"

/* A sandbox with egress, and the host that it is on. */
struct fixture {
	struct netns_settings settings;
	struct netns_plan plan;
	struct netns ns;
	int host;
};

static void prepare(struct fixture *f, bool ipv6)
{
	make_uplink();
	make_uplink6();
	*f = (struct fixture){ .ns = NETNS_NONE };
	netns_settings_init(&f->settings);
	netns_plan_init(&f->plan);
	f->plan.egress = true;
	f->plan.ipv6 = ipv6;
}

/* Nobody will look for what is left. */
static int forget(void *context, const char *host_end, struct err *e)
{
	(void)context;
	(void)host_end;
	(void)e;
	return 0;
}

/* The kernel takes packets for an IPv6 address from a work queue's next turn on. */
static void wait_for_ipv6(void)
{
	static const char address[] = "local fd63:6172:7265:6c00::1 ";

	for (int i = 0; i < 500 && !ip_says("-6 route show table local", address); i++)
		usleep(1000);
	assert_ip_says("-6 route show table local", address);
}

/* Leaves the caller in the sandbox's namespace. */
static void enter_sandbox(struct fixture *f)
{
	const struct netns_place place = { .procfs = -1, .record = forget };
	struct err e = { 0 };

	f->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(f->host >= 0);
	if (netns_create(&f->settings, &f->plan, &place, &f->ns, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(setns(f->ns.fd, CLONE_NEWNET), 0);
	if (f->plan.ipv6)
		wait_for_ipv6();
}

static void leave_sandbox(struct fixture *f)
{
	struct err e = { 0 };

	assert_int_equal(setns(f->host, CLONE_NEWNET), 0);
	assert_int_equal(netns_destroy(&f->ns, &e), 0);
	fd_close(&f->host);
	netns_settings_free(&f->settings);
	netns_plan_free(&f->plan);
}

static struct netns_usage read_usage(const struct fixture *f)
{
	struct netns_usage usage;
	struct err e = { 0 };

	memset(&usage, 0xee, sizeof(usage));
	if (netns_read_usage(&f->ns, &usage, &e) != 0)
		fail_msg("%s", e.msg);
	return usage;
}

/* Fills an address with a port; returns its size. */
static socklen_t address_of(struct sockaddr_storage *ret, const char *address,
			    uint16_t port)
{
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, address, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons(port);
		return sizeof(*a4);
	}
	assert_int_equal(inet_pton(AF_INET6, address, &a6->sin6_addr), 1);
	a6->sin6_family = AF_INET6;
	a6->sin6_port = htons(port);
	return sizeof(*a6);
}

static void send_udp(const char *address, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t size = address_of(&to, address, port);
	auto_fd sock = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	/* What is refused is told by an error. */
	err_ignore(sendto(sock, "0123456789", 10, 0, (void *)&to, size) < 0);
}

static int connect_tcp(const char *address, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t size = address_of(&to, address, port);
	auto_fd sock = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	return connect(sock, (void *)&to, size) == 0 ? 0 : errno;
}

static void send_echo(const char *address)
{
	/* Type and checksum; that of IPv6 is the kernel's to fill in. */
	static const uint8_t echo4[8] = { 8, 0, 0xf7, 0xff }, echo6[8] = { 128 };
	struct sockaddr_storage to;
	socklen_t size = address_of(&to, address, 0);
	bool v4 = to.ss_family == AF_INET;
	auto_fd sock = socket(to.ss_family, SOCK_RAW | SOCK_CLOEXEC,
			      v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	assert_true(sock >= 0);
	err_ignore(sendto(sock, v4 ? echo4 : echo6, 8, 0, (void *)&to, size) < 0);
}

static void assert_denied(const struct netns_usage *usage, const char *address,
			  uint8_t protocol, uint16_t port, uint64_t count)
{
	char text[IP_TEXT_MAX];

	for (unsigned i = 0; i < usage->denial_count; i++) {
		const struct netns_denial *d = &usage->denials[i];

		if (strcmp(ip_format(text, &d->address), address) != 0 ||
		    d->protocol != protocol || d->port != port)
			continue;
		assert_int_equal(d->count, count);
		return;
	}
	fail_msg("%s, protocol %d, port %d was not denied", address, protocol, port);
}

/* ---- what goes through ---- */

static void be_silent(void)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct netns_usage usage;
		struct fixture f;

		if (ipv6)
			assert_int_equal(unshare(CLONE_NEWNET), 0);
		prepare(&f, ipv6);
		enter_sandbox(&f);
		/* Longer than it takes to look for routers and duplicates. */
		usleep(300000);
		usage = read_usage(&f);
		assert_int_equal(usage.tx_packets, 0);
		assert_int_equal(usage.tx_bytes, 0);
		assert_int_equal(usage.denial_count, 0);
		netns_usage_free(&usage);
		leave_sandbox(&f);
	}
}

static void sandbox_sends_nothing_by_itself(void **state)
{
	(void)state;
	in_netns(be_silent);
}

static void send_some(void)
{
	struct netns_usage usage;
	struct fixture f;

	prepare(&f, true);
	enter_sandbox(&f);
	for (int i = 0; i < 5; i++)
		send_udp("8.8.8.8", 443);
	for (int i = 0; i < 3; i++)
		send_udp("2606:4700::1111", 443);
	usage = read_usage(&f);
	assert_int_equal(usage.tx_packets, 8);
	/* Ethernet, IP and UDP around ten bytes. */
	assert_int_equal(usage.tx_bytes, 5 * (14 + 20 + 8 + 10) + 3 * (14 + 40 + 8 + 10));
	assert_int_equal(usage.denial_count, 0);
	assert_null(usage.denials);
	assert_int_equal(usage.denials_lost, 0);
	netns_usage_free(&usage);
	leave_sandbox(&f);
}

static void what_is_sent_is_counted(void **state)
{
	(void)state;
	in_netns(send_some);
}

/* Right after the start: whatever is sent to the sandbox before is lost. */
static void assert_host_end_sends(const struct fixture *f, int host_sock)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, f->ns.host_end, IFNAMSIZ);
	assert_int_equal(ioctl(host_sock, SIOCGIFFLAGS, &ifr), 0);
	assert_true(ifr.ifr_flags & IFF_RUNNING);
}

static void ask_the_host_for_names(void)
{
	struct netns_usage usage;
	struct sockaddr_storage to;
	socklen_t size;
	auto_fd resolver = -1, sock = -1;
	struct pollfd ready;
	struct fixture f;
	char bytes[16];

	prepare(&f, false);
	f.settings.dns_count = 1;
	assert_int_equal(ip_parse("198.18.0.2", &f.settings.dns[0]), 0);
	size = address_of(&to, "198.18.0.2", 53);
	resolver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(resolver, (void *)&to, size), 0);
	enter_sandbox(&f);
	assert_host_end_sends(&f, resolver);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(sock, "name", 4, 0, (void *)&to, size), 4);
	ready = (struct pollfd){ .fd = resolver, .events = POLLIN };
	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(recvfrom(resolver, bytes, sizeof(bytes), 0, (void *)&to, &size),
			 4);
	assert_int_equal(sendto(resolver, "address", 7, 0, (void *)&to, size), 7);
	ready.fd = sock;
	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(recv(sock, bytes, sizeof(bytes), 0), 7);
	usage = read_usage(&f);
	assert_int_equal(usage.rx_packets, 1);
	assert_int_equal(usage.rx_bytes, 14 + 20 + 8 + 7);
	assert_int_equal(usage.tx_packets, 1);
	netns_usage_free(&usage);
	leave_sandbox(&f);
}

static void what_comes_back_is_counted(void **state)
{
	(void)state;
	in_netns(ask_the_host_for_names);
}

/* ---- what is refused ---- */

static void send_what_is_denied(void)
{
	struct netns_usage usage;
	struct fixture f;

	prepare(&f, true);
	enter_sandbox(&f);
	send_udp("10.9.9.9", 53);
	for (int i = 0; i < 3; i++)
		send_udp("169.254.169.254", 65535);
	assert_int_equal(connect_tcp("10.9.9.9", 80), ECONNREFUSED);
	/* The host itself, another sandbox, somebody else's resolver. */
	assert_int_equal(connect_tcp("198.18.0.2", 22), ECONNREFUSED);
	assert_int_equal(connect_tcp("10.213.0.3", 22), ECONNREFUSED);
	assert_int_equal(connect_tcp("8.8.8.8", 853), ECONNREFUSED);
	send_echo("10.9.9.9");
	send_udp("fd00:ec2::254", 80);
	assert_int_equal(connect_tcp("2002::1", 443), ECONNREFUSED);
	usage = read_usage(&f);
	assert_denied(&usage, "10.9.9.9", IPPROTO_UDP, 53, 1);
	assert_denied(&usage, "169.254.169.254", IPPROTO_UDP, 65535, 3);
	assert_denied(&usage, "10.9.9.9", IPPROTO_TCP, 80, 1);
	assert_denied(&usage, "198.18.0.2", IPPROTO_TCP, 22, 1);
	assert_denied(&usage, "10.213.0.3", IPPROTO_TCP, 22, 1);
	assert_denied(&usage, "8.8.8.8", IPPROTO_TCP, 853, 1);
	assert_denied(&usage, "10.9.9.9", IPPROTO_ICMP, 0, 1);
	assert_denied(&usage, "fd00:ec2::254", IPPROTO_UDP, 80, 1);
	assert_denied(&usage, "2002::1", IPPROTO_TCP, 443, 1);
	assert_int_equal(usage.denial_count, 9);
	assert_int_equal(usage.denials_lost, 0);
	assert_int_equal(usage.tx_packets, 0);
	netns_usage_free(&usage);
	assert_null(usage.denials);
	assert_int_equal(usage.denial_count, 0);
	leave_sandbox(&f);
}

static void what_is_refused_is_listed(void **state)
{
	(void)state;
	in_netns(send_what_is_denied);
}

static void send_by_plan(void)
{
	struct netns_usage usage;
	struct fixture f;
	struct cidr c;
	struct err e = { 0 };

	prepare(&f, false);
	assert_int_equal(cidr_parse("9.9.9.0/24", &c, &e), 0);
	assert_int_equal(ip_ranges_add(&f.settings.deny4, &c, &e), 0);
	assert_int_equal(cidr_parse("9.9.8.0/24", &c, &e), 0);
	assert_int_equal(ip_ranges_add(&f.plan.deny4, &c, &e), 0);
	enter_sandbox(&f);
	send_udp("9.9.9.9", 443);
	send_udp("9.9.8.8", 443);
	send_udp("9.9.7.7", 443);
	/* No IPv6 at all. */
	send_udp("2606:4700::1111", 443);
	usage = read_usage(&f);
	assert_denied(&usage, "9.9.9.9", IPPROTO_UDP, 443, 1);
	assert_denied(&usage, "9.9.8.8", IPPROTO_UDP, 443, 1);
	assert_int_equal(usage.denial_count, 2);
	assert_int_equal(usage.tx_packets, 1);
	netns_usage_free(&usage);
	leave_sandbox(&f);
}

static void operators_and_own_denials_hold_inside(void **state)
{
	(void)state;
	in_netns(send_by_plan);
}

static void send_to_many(void)
{
	struct netns_usage usage;
	uint64_t listed = 0;
	struct fixture f;

	prepare(&f, false);
	enter_sandbox(&f);
	for (int i = 0; i < 300; i++) {
		char address[32];

		snprintf(address, sizeof(address), "10.1.%d.%d", i / 256, i % 256);
		send_udp(address, 80);
	}
	usage = read_usage(&f);
	assert_int_equal(usage.denial_count, NETNS_DENIALS_MAX);
	for (unsigned i = 0; i < usage.denial_count; i++)
		listed += usage.denials[i].count;
	assert_int_equal(listed + usage.denials_lost, 300);
	assert_true(usage.denials_lost >= 300 - NETNS_DENIALS_MAX);
	assert_int_equal(usage.tx_packets, 0);
	netns_usage_free(&usage);
	leave_sandbox(&f);
}

static void more_than_can_be_listed_is_refused_and_counted(void **state)
{
	(void)state;
	in_netns(send_to_many);
}

static void open_too_many_flows(void)
{
	struct netns_usage usage;
	struct fixture f;

	prepare(&f, false);
	f.settings.flows = 4;
	f.settings.rate = 0;
	enter_sandbox(&f);
	for (uint16_t port = 1; port <= 10; port++)
		send_udp("8.8.8.8", (uint16_t)(1000 + port));
	usage = read_usage(&f);
	assert_int_equal(usage.tx_packets, 4);
	/* Listed or not: it is not the address that was wrong. */
	assert_int_equal(usage.denial_count + usage.denials_lost, 6);
	netns_usage_free(&usage);
	leave_sandbox(&f);
}

static void flows_beyond_the_limit_are_refused(void **state)
{
	(void)state;
	in_netns(open_too_many_flows);
}

static void read_from_a_closed_socket(void)
{
	struct netns_usage usage;
	struct fixture f;
	struct err e = { 0 };
	int rules;

	prepare(&f, false);
	enter_sandbox(&f);
	rules = f.ns.rules;
	f.ns.rules = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(netns_read_usage(&f.ns, &usage, &e), -ENOTSOCK);
	netns_usage_free(&usage);
	fd_close(&f.ns.rules);
	f.ns.rules = rules;
	leave_sandbox(&f);
}

static void usage_that_cannot_be_read_is_an_error(void **state)
{
	(void)state;
	in_netns(read_from_a_closed_socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandbox_sends_nothing_by_itself),
		cmocka_unit_test(what_is_sent_is_counted),
		cmocka_unit_test(what_comes_back_is_counted),
		cmocka_unit_test(what_is_refused_is_listed),
		cmocka_unit_test(operators_and_own_denials_hold_inside),
		cmocka_unit_test(more_than_can_be_listed_is_refused_and_counted),
		cmocka_unit_test(flows_beyond_the_limit_are_refused),
		cmocka_unit_test(usage_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
