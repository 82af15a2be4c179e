/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces between two namespaces; what became of them is told by ip(8) and /proc. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>

#include "base/fd.h"
#include "base/procfs.h"
#include "netns/link.h"
#include "tests/unit/in_netns.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct link_end inside = {
	.index = LINK_INSIDE,
	.name = "eth0",
	.mac = { 2, 1, 10, 213, 0, 1 },
	.peer_mac = { 2, 0, 10, 213, 0, 1 },
};

static const struct link_end outside = {
	.name = "cr0ad50001",
	.mac = { 2, 0, 10, 213, 0, 1 },
	.peer_mac = { 2, 1, 10, 213, 0, 1 },
	.group = 0xca55e1,
	.forwarding = true,
};

static const struct ip inside4 = { AF_INET, { 10, 213, 0, 1 } };
static const struct ip outside4 = { AF_INET, { 10, 213, 0, 0 } };
static const struct ip inside6 = { AF_INET6, { 0xfd, [15] = 1 } };
static const struct ip outside6 = { AF_INET6, { 0xfd } };

/* The host's namespace, which the child is in, and a sandbox's. */
struct pair {
	int host, sandbox;
	int route, route_host; /* sockets */
};

static int open_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int open_route(void)
{
	struct err e = { 0 };
	int sock = -1;

	if (nl_open(NETLINK_ROUTE, &sock, &e) != 0)
		fail_msg("%s", e.msg);
	return sock;
}

static void enter(int netns)
{
	assert_int_equal(setns(netns, CLONE_NEWNET), 0);
}

static struct pair make_pair(void)
{
	struct pair p = { .host = open_netns(), .route_host = open_route() };

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	p.sandbox = open_netns();
	p.route = open_route();
	return p;
}

static void close_pair(struct pair *p)
{
	fd_close(&p->host);
	fd_close(&p->sandbox);
	fd_close(&p->route);
	fd_close(&p->route_host);
}

static void send_batch(int sock, struct nl_batch *b)
{
	struct err e = { 0 };

	if (nl_send(sock, b, &e) != 0)
		fail_msg("%s", e.msg);
}

static void assert_refused(int sock, struct nl_batch *b, int code, const char *words)
{
	struct err e = { 0 };

	assert_int_equal(nl_send(sock, b, &e), code);
	if (strncmp(e.msg, words, strlen(words)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", e.msg, words);
}

/* Leaves the caller in the sandbox's namespace. */
static struct pair make_veth(void)
{
	struct pair p = make_pair();
	auto_nl_batch b = { 0 };

	link_add_veth(&b, &inside, &outside, p.host);
	send_batch(p.route, &b);
	return p;
}

static struct link_end host_end(void)
{
	struct link_end end = outside;

	end.index = if_nametoindex(end.name);
	assert_true(end.index != 0);
	return end;
}

static void look_at_both_ends(void)
{
	struct pair p = make_veth();

	assert_int_equal(if_nametoindex("eth0"), LINK_INSIDE);
	assert_ip_says("link show eth0", "link/ether 02:01:0a:d5:00:01");
	assert_ip_says("link show eth0", "state DOWN");
	assert_ip_says("link show eth0", "group default");
	assert_int_equal(if_nametoindex(outside.name), 0);
	enter(p.host);
	assert_int_equal(if_nametoindex("eth0"), 0);
	assert_ip_says("link show cr0ad50001", "link/ether 02:00:0a:d5:00:01");
	assert_ip_says("link show cr0ad50001", "state DOWN");
	/* 0xca55e1 */
	assert_ip_says("link show cr0ad50001", "group 13260257");
	close_pair(&p);
}

static void ends_are_made_where_they_belong_and_down(void **state)
{
	(void)state;
	in_netns(look_at_both_ends);
}

static void make_veth_again(void)
{
	struct link_end third = inside, other = outside;
	struct pair p = make_veth();
	auto_nl_batch b = { 0 };

	third.name = "eth1";
	third.index = 3;
	link_add_veth(&b, &third, &outside, p.host);
	assert_refused(p.route, &b, -EEXIST, "make a veth: ");
	assert_int_equal(if_nametoindex("eth1"), 0);
	other.name = "cr0ad50003";
	link_add_veth(&b, &inside, &other, p.host);
	assert_refused(p.route, &b, -EEXIST, "make a veth: ");
	third.index = LINK_INSIDE;
	link_add_veth(&b, &third, &other, p.host);
	assert_true(nl_send(p.route, &b, &(struct err){ 0 }) < 0);
	enter(p.host);
	assert_int_equal(if_nametoindex("cr0ad50003"), 0);
	close_pair(&p);
}

static void name_or_index_that_is_taken_is_refused(void **state)
{
	(void)state;
	in_netns(make_veth_again);
}

/* ---- hardening ---- */

static const struct {
	const char *key;
	char value;
} hardened[] = {
	{ "accept_redirects", '0' },	 { "send_redirects", '0' },
	{ "secure_redirects", '0' },	 { "accept_source_route", '0' },
	{ "route_localnet", '0' },	 { "proxy_arp", '0' },
	{ "rp_filter", '1' },		 { "arp_ignore", '1' },
}, hardened6[] = {
	{ "accept_ra", '0' },		 { "accept_redirects", '0' },
	{ "autoconf", '0' },		 { "accept_dad", '0' },
	{ "addr_gen_mode", '1' },	 { "accept_source_route", '0' },
	{ "disable_ipv6", '0' },
};

static void assert_sysctl(const char *family, const char *name, const char *key,
			  char value)
{
	char what[96], found;

	snprintf(what, sizeof(what), "%s/conf/%s/%s", family, name, key);
	found = read_sysctl(what);
	if (found != value)
		fail_msg("%s is %c and not %c", what, found, value);
}

static void assert_hardened(const char *name)
{
	for (size_t i = 0; i < COUNT(hardened); i++)
		assert_sysctl("ipv4", name, hardened[i].key, hardened[i].value);
}

static void harden_both_ends(void)
{
	struct pair p = make_veth();
	struct link_end end;
	auto_nl_batch b = { 0 };

	link_harden(&b, &inside, false);
	send_batch(p.route, &b);
	assert_hardened("eth0");
	assert_sysctl("ipv4", "eth0", "forwarding", '0');
	enter(p.host);
	end = host_end();
	/* What a host may have by default. */
	write_sysctl("ipv4/conf/cr0ad50001/route_localnet", '1');
	write_sysctl("ipv4/conf/cr0ad50001/proxy_arp", '1');
	write_sysctl("ipv4/conf/cr0ad50001/accept_source_route", '1');
	link_harden(&b, &end, true);
	send_batch(p.route_host, &b);
	assert_hardened(outside.name);
	assert_sysctl("ipv4", outside.name, "forwarding", '1');
	assert_sysctl("ipv6", outside.name, "addr_gen_mode", '1');
	end.index = 77;
	link_harden(&b, &end, false);
	assert_refused(p.route_host, &b, -ENODEV, "harden a veth: ");
	close_pair(&p);
}

static void ends_are_hardened_by_netlink(void **state)
{
	(void)state;
	in_netns(harden_both_ends);
}

static void harden_sysctls(void)
{
	struct pair p = make_veth();
	struct err e = { 0 };

	assert_int_equal(link_harden_by_sysctl(-1, "eth0", true, &e), 0);
	for (size_t i = 0; i < COUNT(hardened6); i++)
		assert_sysctl("ipv6", "eth0", hardened6[i].key, hardened6[i].value);
	assert_int_equal(link_harden_by_sysctl(-1, "eth0", false, &e), 0);
	assert_sysctl("ipv6", "eth0", "disable_ipv6", '1');
	assert_int_equal(link_harden_by_sysctl(-1, "eth9", true, &e), -ENOENT);
	assert_string_equal(e.msg, "write 0 to /proc/sys/net/ipv6/conf/eth9/"
				   "disable_ipv6: No such file or directory");
	/* As if the kernel had no IPv6. */
	assert_int_equal(link_harden_by_sysctl(-1, "eth9", false, &e), 0);
	close_pair(&p);
}

static void ends_are_hardened_by_sysctl(void **state)
{
	(void)state;
	in_netns(harden_sysctls);
}

static void harden_whole_namespaces(void)
{
	struct err e = { 0 };

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct pair p = make_pair();

		assert_int_equal(link_harden_namespace(-1, ipv6, &e), 0);
		ip_do("link add late0 type veth peer name late1");
		assert_sysctl("ipv6", "late0", "disable_ipv6", ipv6 ? '0' : '1');
		if (ipv6)
			assert_sysctl("ipv6", "late0", "accept_ra", '0');
		assert_sysctl("ipv4", "all", "accept_redirects", '0');
		assert_sysctl("ipv4", "all", "send_redirects", '0');
		assert_sysctl("ipv4", "all", "secure_redirects", '0');
		enter(p.host);
		assert_sysctl("ipv6", "default", "disable_ipv6", '0');
		close_pair(&p);
	}
}

static void interfaces_to_come_are_hardened_in_one_namespace(void **state)
{
	(void)state;
	in_netns(harden_whole_namespaces);
}

/* ---- addresses and routes ---- */

static void connect_inside(const struct pair *p)
{
	auto_nl_batch b = { 0 };

	enter(p->sandbox);
	link_up(&b, LINK_LOOPBACK);
	link_add_address(&b, &inside, &inside4, &outside4);
	link_add_address(&b, &inside, &inside6, &outside6);
	link_up(&b, LINK_INSIDE);
	link_add_default_route(&b, LINK_INSIDE, &outside4);
	link_add_default_route(&b, LINK_INSIDE, &outside6);
	send_batch(p->route, &b);
}

static void connect_host(const struct pair *p)
{
	struct link_end end;
	auto_nl_batch b = { 0 };

	enter(p->host);
	end = host_end();
	link_add_address(&b, &end, &outside4, &inside4);
	link_add_address(&b, &end, &outside6, &inside6);
	link_up(&b, end.index);
	send_batch(p->route_host, &b);
}

static void look_at_addresses(void)
{
	struct pair p = make_veth();

	connect_host(&p);
	connect_inside(&p);
	assert_ip_says("-4 -o address show dev eth0", "inet 10.213.0.1/31 scope global");
	assert_ip_says("-6 -o address show dev eth0", "inet6 fd00::1/127 scope global");
	assert_ip_says("-4 neighbour show dev eth0",
		       "10.213.0.0 lladdr 02:00:0a:d5:00:01 PERMANENT");
	assert_ip_says("-6 neighbour show dev eth0",
		       "fd00:: lladdr 02:00:0a:d5:00:01 PERMANENT");
	assert_ip_says("-4 route", "default via 10.213.0.0 dev eth0");
	assert_ip_says("-6 route", "default via fd00:: dev eth0");
	assert_ip_says("link show lo", "UP");
	assert_ip_says("link show eth0", "state UP");
	enter(p.host);
	assert_ip_says("-4 -o address show", "inet 10.213.0.0/31 scope global");
	assert_ip_says("-4 neighbour", "10.213.0.1 dev cr0ad50001 lladdr "
				       "02:01:0a:d5:00:01 PERMANENT");
	assert_ip_says("-6 neighbour", "fd00::1 dev cr0ad50001 lladdr "
				       "02:01:0a:d5:00:01 PERMANENT");
	assert_false(ip_says("-4 route", "default"));
	close_pair(&p);
}

static void ends_have_addresses_neighbours_and_a_route(void **state)
{
	(void)state;
	in_netns(look_at_addresses);
}

/* The other end comes up while the wait is on. */
static void wait_for_the_other_end(void)
{
	struct pair p = make_veth();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };
	struct pollfd begun;
	struct link_end end;
	int fds[2], status;
	pid_t pid;

	enter(p.host);
	end = host_end();
	link_up(&b, end.index);
	send_batch(p.route_host, &b);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		usleep(50000);
		link_up(&b, LINK_INSIDE);
		_exit(write(fds[1], "", 1) != 1 || nl_send(p.route, &b, &e) != 0);
	}
	assert_true(pid > 0);
	assert_int_equal(link_wait(p.route_host, end.index, end.name, &e), 0);
	begun = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	assert_int_equal(poll(&begun, 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(link_wait(p.route_host, 77, "none", &e), -ENODEV);
	close(fds[0]);
	close(fds[1]);
	close_pair(&p);
}

static void wait_ends_when_the_other_end_is_up(void **state)
{
	(void)state;
	in_netns(wait_for_the_other_end);
}

static void connect_wrongly(void)
{
	static const struct ip elsewhere = { AF_INET, { 192, 0, 2, 1 } };
	struct pair p = make_veth();
	auto_nl_batch b = { 0 };
	struct link_end missing = inside;

	link_add_default_route(&b, LINK_INSIDE, &outside4);
	assert_true(nl_send(p.route, &b, &(struct err){ 0 }) < 0);
	connect_host(&p);
	connect_inside(&p);
	link_add_address(&b, &inside, &inside4, &outside4);
	assert_refused(p.route, &b, -EEXIST, "add an address to a veth: ");
	link_add_default_route(&b, LINK_INSIDE, &outside4);
	assert_refused(p.route, &b, -EEXIST, "add the default route: ");
	link_add_default_route(&b, LINK_INSIDE, &elsewhere);
	assert_refused(p.route, &b, -ENETUNREACH, "add the default route: ");
	missing.index = 77;
	link_add_address(&b, &missing, &elsewhere, &outside4);
	assert_refused(p.route, &b, -ENODEV, "add an address to a veth: ");
	link_up(&b, 77);
	assert_refused(p.route, &b, -ENODEV, "bring up an interface: ");
	close_pair(&p);
}

static void refused_messages_are_named(void **state)
{
	(void)state;
	in_netns(connect_wrongly);
}

static int bind_udp(const struct ip *ip)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(7) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
	bool v4 = ip->family == AF_INET;
	int sock = socket(ip->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&a4.sin_addr, ip->addr, 4);
	memcpy(&a6.sin6_addr, ip->addr, 16);
	assert_true(sock >= 0);
	assert_int_equal(
		bind(sock, v4 ? (void *)&a4 : (void *)&a6, v4 ? sizeof(a4) : sizeof(a6)),
		0);
	return sock;
}

static void send_over(const struct pair *p, const struct ip *from, const struct ip *to)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	auto_fd there = -1, here = -1;
	struct pollfd ready;
	char byte = 0;

	enter(p->host);
	there = bind_udp(to);
	assert_int_equal(getsockname(there, (struct sockaddr *)&address, &size), 0);
	enter(p->sandbox);
	here = bind_udp(from);
	ready = (struct pollfd){ .fd = there, .events = POLLIN };
	/* An IPv6 address is the kernel's own from a work queue's next turn on. */
	for (int i = 0; i < 50 && !ready.revents; i++) {
		assert_int_equal(
			sendto(here, "x", 1, 0, (struct sockaddr *)&address, size), 1);
		assert_true(poll(&ready, 1, 10) >= 0);
	}
	assert_true(ready.revents & POLLIN);
	assert_int_equal(recv(there, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
}

static void send_both_families(void)
{
	struct pair p = make_veth();
	auto_nl_batch b = { 0 };
	struct err e = { 0 };

	/* Without accept_dad=0, the address would not be there for a second. */
	assert_int_equal(link_harden_by_sysctl(-1, "eth0", true, &e), 0);
	link_harden(&b, &inside, true);
	send_batch(p.route, &b);
	connect_host(&p);
	connect_inside(&p);
	send_over(&p, &inside4, &outside4);
	send_over(&p, &inside6, &outside6);
	close_pair(&p);
}

static void packets_go_over_at_once(void **state)
{
	(void)state;
	in_netns(send_both_families);
}

/* ---- sysctls ---- */

static void read_and_write_through(int procfs)
{
	struct err e = { 0 };
	char value = 'x';

	assert_int_equal(link_read_sysctl(procfs, "ipv4", "lo", "forwarding", &value, &e),
			 0);
	assert_int_equal(value, '0');
	assert_int_equal(link_write_sysctl(procfs, "ipv4", "lo", "forwarding", '1', &e),
			 0);
	assert_int_equal(link_read_sysctl(procfs, "ipv4", "lo", "forwarding", &value, &e),
			 0);
	assert_int_equal(value, '1');
	assert_int_equal(
		link_read_sysctl(procfs, "ipv4", "no0", "forwarding", &value, &e),
		-ENOENT);
	assert_string_equal(e.msg, "read /proc/sys/net/ipv4/conf/no0/forwarding: "
				   "No such file or directory");
	assert_int_equal(link_write_sysctl(procfs, "ipv6", "no0", "accept_ra", '2', &e),
			 -ENOENT);
	assert_string_equal(e.msg, "write 2 to /proc/sys/net/ipv6/conf/no0/accept_ra: "
				   "No such file or directory");
	assert_int_equal(link_write_sysctl(procfs, "ipv4", "lo", "forwarding", 'x', &e),
			 -EINVAL);
	assert_int_equal(value, '1');
	assert_int_equal(link_write_sysctl(procfs, "ipv4", "lo", "forwarding", '0', &e),
			 0);
}

static void read_and_write(void)
{
	auto_fd procfs = -1;
	struct err e = { 0 };

	read_and_write_through(-1);
	assert_int_equal(procfs_open(&procfs, &e), 0);
	read_and_write_through(procfs);
}

static void sysctls_are_read_and_written(void **state)
{
	(void)state;
	in_netns(read_and_write);
}

static void name_too_much(void)
{
	static const char key[] = "a_key_that_is_longer_than_any_that_the_kernel_has_and"
				  "_than_there_is_room_for";
	struct err e = { 0 };
	char value = 'x';

	assert_int_equal(link_read_sysctl(-1, "ipv4", "lo", key, &value, &e),
			 -ENAMETOOLONG);
	assert_int_equal(link_write_sysctl(-1, "ipv4", "lo", key, '1', &e),
			 -ENAMETOOLONG);
	assert_int_equal(value, 'x');
}

static void sysctl_with_a_long_name_is_an_error(void **state)
{
	(void)state;
	in_netns(name_too_much);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_are_made_where_they_belong_and_down),
		cmocka_unit_test(name_or_index_that_is_taken_is_refused),
		cmocka_unit_test(ends_are_hardened_by_netlink),
		cmocka_unit_test(ends_are_hardened_by_sysctl),
		cmocka_unit_test(interfaces_to_come_are_hardened_in_one_namespace),
		cmocka_unit_test(ends_have_addresses_neighbours_and_a_route),
		cmocka_unit_test(wait_ends_when_the_other_end_is_up),
		cmocka_unit_test(refused_messages_are_named),
		cmocka_unit_test(packets_go_over_at_once),
		cmocka_unit_test(sysctls_are_read_and_written),
		cmocka_unit_test(sysctl_with_a_long_name_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
