/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes' namespaces, made from a namespace that stands for the host's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "netns/netns.h"
#include "tests/unit/in_netns.h"
#include "tests/unit/nft_reader.h"

/* What a sandbox is made from; zero-initialised but for the lists. */
struct fixture {
	struct netns_settings settings;
	struct netns_plan plan;
	struct netns_place place;
	char recorded[4][IFNAMSIZ]; /* by record() */
	unsigned record_count;
	int record_fails; /* with this error number */
	size_t elements_then; /* in allow_of4, at that moment */
};

static int record(void *context, const char *host_end, struct err *e)
{
	struct fixture *f = context;

	assert_true(f->record_count < 4);
	snprintf(f->recorded[f->record_count++], IFNAMSIZ, "%s", host_end);
	f->elements_then = nft_count("allow_of4");
	return f->record_fails ? err_say(e, f->record_fails, "no record") : 0;
}

/* A host with an uplink, and a sandbox that shall have egress. */
static void prepare(struct fixture *f)
{
	make_uplink();
	*f = (struct fixture){ .place = {
				       .procfs = -1, .record = record, .context = f } };
	netns_settings_init(&f->settings);
	netns_plan_init(&f->plan);
	f->plan.egress = true;
}

static void allow(struct fixture *f, const char *text)
{
	struct err e = { 0 };

	assert_int_equal(cidr_port_parse(text, &f->plan.allow[f->plan.allow_count++], &e),
			 0);
}

static struct netns create(const struct fixture *f)
{
	ino_t here = netns_inode();
	struct netns ns;
	struct err e = { 0 };

	memset(&ns, 0xee, sizeof(ns));
	if (netns_create(&f->settings, &f->plan, &f->place, &ns, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(netns_inode(), here);
	return ns;
}

static void assert_refused(const struct fixture *f, int code, const char *words)
{
	struct netns ns = NETNS_NONE;
	ino_t here = netns_inode();
	unsigned descriptors = count_descriptors();
	struct err e = { 0 };

	assert_int_equal(netns_create(&f->settings, &f->plan, &f->place, &ns, &e), code);
	assert_string_equal(e.msg, words);
	assert_int_equal(ns.fd, -1);
	assert_int_equal(netns_inode(), here);
	assert_int_equal(count_descriptors(), descriptors);
}

static void destroy(struct netns *ns)
{
	struct err e = { 0 };

	if (netns_destroy(ns, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(ns->fd, -1);
	assert_int_equal(ns->route, -1);
	assert_int_equal(ns->rules, -1);
	assert_string_equal(ns->host_end, "");
}

/* The kernel takes an end away a moment after its namespace. */
static void assert_goes(const char *name)
{
	for (int i = 0; i < 1000 && if_nametoindex(name); i++)
		usleep(5000);
	assert_int_equal(if_nametoindex(name), 0);
}

static int open_here(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void enter(int netns)
{
	assert_int_equal(setns(netns, CLONE_NEWNET), 0);
}

static void assert_addresses(const struct netns *ns, const char *v4, const char *v6,
			     const char *host_end)
{
	char text[IP_TEXT_MAX];

	assert_string_equal(ip_format(text, &ns->address4), v4);
	if (v6)
		assert_string_equal(ip_format(text, &ns->address6), v6);
	else
		assert_int_equal(ns->address6.family, 0);
	assert_string_equal(ns->host_end, host_end);
}

/* ---- without egress ---- */

static void make_lonely(void)
{
	struct netns_settings settings;
	struct netns_plan plan;
	struct netns_usage usage, zero = { 0 };
	struct netns ns = NETNS_NONE;
	auto_fd here = open_here();
	struct err e = { 0 };

	netns_settings_init(&settings);
	netns_plan_init(&plan);
	destroy(&ns);
	assert_int_equal(netns_create(&settings, &plan, NULL, &ns, &e), 0);
	assert_true(fcntl(ns.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ns.route, -1);
	assert_int_equal(ns.rules, -1);
	assert_int_equal(ns.address4.family + ns.address6.family, 0);
	assert_int_equal(netns_read_usage(&ns, &usage, &e), 0);
	assert_memory_equal(&usage, &zero, sizeof(zero));
	netns_usage_free(&usage);
	enter(ns.fd);
	assert_ip_says("link show lo", "LOOPBACK,UP");
	assert_int_equal(if_nametoindex("eth0"), 0);
	assert_false(nft_has_table("carrel"));
	enter(here);
	assert_false(nft_has_table("carrel"));
	destroy(&ns);
	destroy(&ns);
}

static void without_egress_there_is_a_loopback_interface_alone(void **state)
{
	(void)state;
	in_netns(make_lonely);
}

/* ---- with egress ---- */

static void make_connected(void)
{
	auto_fd here = open_here();
	struct fixture f;
	struct netns ns;
	char end[IFNAMSIZ];

	prepare(&f);
	ns = create(&f);
	assert_addresses(&ns, "10.213.0.1", NULL, "cr0ad50001");
	assert_false(ns.special);
	assert_int_equal(f.record_count, 0);
	assert_ip_says("link show cr0ad50001", "group 13260257");
	assert_ip_says("-4 -o address show dev cr0ad50001", "inet 10.213.0.0/31");
	assert_true(nft_has_table("carrel"));
	enter(ns.fd);
	assert_ip_says("link show lo", "LOOPBACK,UP");
	assert_ip_says("link show eth0", "state UP");
	assert_ip_says("-4 -o address show dev eth0", "inet 10.213.0.1/31");
	assert_ip_says("-4 route", "default via 10.213.0.0 dev eth0");
	assert_int_equal(read_sysctl("ipv6/conf/eth0/disable_ipv6"), '1');
	assert_int_equal(read_sysctl("ipv4/conf/eth0/forwarding"), '0');
	assert_int_equal(nft_count("self4"), 1);
	assert_int_equal(nft_count("allow4"), 0);
	enter(here);
	memcpy(end, ns.host_end, sizeof(end));
	destroy(&ns);
	assert_goes(end);
}

static void with_egress_there_is_a_connected_interface(void **state)
{
	(void)state;
	in_netns(make_connected);
}

static void make_connected6(void)
{
	auto_fd here = open_here();
	struct fixture f;
	struct netns ns;

	prepare(&f);
	make_uplink6();
	f.plan.ipv6 = true;
	ns = create(&f);
	assert_addresses(&ns, "10.213.0.1", "fd63:6172:7265:6c00::1", "cr0ad50001");
	assert_ip_says("-6 -o address show dev cr0ad50001",
		       "inet6 fd63:6172:7265:6c00::/127");
	enter(ns.fd);
	assert_ip_says("-6 -o address show dev eth0", "inet6 fd63:6172:7265:6c00::1/127");
	assert_false(ip_says("-6 -o address show dev eth0", "fe80"));
	assert_ip_says("-6 route", "default via fd63:6172:7265:6c00:: dev eth0");
	assert_int_equal(nft_count("self6"), 1);
	enter(here);
	destroy(&ns);
}

static void with_ipv6_there_is_an_address_of_each_family(void **state)
{
	(void)state;
	in_netns(make_connected6);
}

/* Where the search begins in which pools, and whose address that is. */
static const struct {
	const char *pool4, *pool6;
	unsigned first;
	const char *address4, *address6, *host_end;
} places[] = {
	{ "10.213.0.0/19", NULL, 127, "10.213.0.255", NULL, "cr0ad500ff" },
	{ "10.213.0.0/19", NULL, 128, "10.213.1.1", NULL, "cr0ad50101" },
	{ "10.213.0.0/19", NULL, 4095, "10.213.31.255", NULL, "cr0ad51fff" },
	{ "10.213.0.0/19", NULL, 4096, "10.213.0.1", NULL, "cr0ad50001" },
	{ "10.213.0.0/19", NULL, 4294967295, "10.213.31.255", NULL, "cr0ad51fff" },
	{ "192.168.7.64/31", NULL, 0, "192.168.7.65", NULL, "crc0a80741" },
	{ "192.168.7.64/31", NULL, 9, "192.168.7.65", NULL, "crc0a80741" },
	{ "10.255.0.0/16", NULL, 32767, "10.255.255.255", NULL, "cr0affffff" },
	/* No more than 2^20 of a pool are used. */
	{ "10.0.0.0/8", NULL, 1048575, "10.31.255.255", NULL, "cr0a1fffff" },
	{ "10.0.0.0/8", NULL, 1048576, "10.0.0.1", NULL, "cr0a000001" },
	{ "10.0.0.0/8", NULL, 32768, "10.1.0.1", NULL, "cr0a010001" },
	{ "10.213.0.0/19", "fd00::/64", 128, "10.213.1.1", "fd00::101", "cr0ad50101" },
	{ "10.0.0.0/8", "fd00::/64", 1048575, "10.31.255.255", "fd00::1f:ffff",
	  "cr0a1fffff" },
	{ "10.213.0.0/19", "fd00::ff00/120", 127, "10.213.0.255", "fd00::ffff",
	  "cr0ad500ff" },
	{ "10.213.0.0/19", "fd00::ff:0/112", 4095, "10.213.31.255", "fd00::ff:1fff",
	  "cr0ad51fff" },
	/* The smaller pool says how many there are. */
	{ "10.213.0.0/19", "fd00::ff00/120", 128, "10.213.0.1", "fd00::ff01",
	  "cr0ad50001" },
	{ "10.213.0.0/30", "fd00::/64", 3, "10.213.0.3", "fd00::3", "cr0ad50003" },
};

static void make_at_places(void)
{
	struct fixture f;

	prepare(&f);
	make_uplink6();
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct netns ns;
		char end[IFNAMSIZ], text[64];

		f.settings.pool4 = cidr(places[i].pool4);
		f.plan.ipv6 = places[i].pool6 != NULL;
		if (f.plan.ipv6)
			f.settings.pool6 = cidr(places[i].pool6);
		f.place.first = places[i].first;
		ns = create(&f);
		assert_addresses(&ns, places[i].address4, places[i].address6,
				 places[i].host_end);
		/* The host's address is the one before. */
		ns.address4.addr[3]--;
		snprintf(text, sizeof(text), "inet %u.%u.%u.%u/31 ", ns.address4.addr[0],
			 ns.address4.addr[1], ns.address4.addr[2], ns.address4.addr[3]);
		assert_ip_says("-4 -o address", text);
		memcpy(end, ns.host_end, sizeof(end));
		destroy(&ns);
		assert_goes(end);
	}
}

static void addresses_follow_from_the_place_in_the_pool(void **state)
{
	(void)state;
	in_netns(make_at_places);
}

static void fill_a_small_pool(void)
{
	struct netns ns[2];
	struct fixture f;
	char end[IFNAMSIZ];

	prepare(&f);
	f.settings.pool4 = cidr("10.213.0.0/30");
	f.place.first = 1;
	ns[0] = create(&f);
	ns[1] = create(&f);
	assert_addresses(&ns[0], "10.213.0.3", NULL, "cr0ad50003");
	assert_addresses(&ns[1], "10.213.0.1", NULL, "cr0ad50001");
	assert_refused(&f, -EADDRNOTAVAIL,
		       "set up the network: all 2 addresses of the pool 10.213.0.0/30 "
		       "are in use");
	/* What is let go can be had again, when it has gone. */
	memcpy(end, ns[1].host_end, sizeof(end));
	destroy(&ns[1]);
	assert_goes(end);
	ns[1] = create(&f);
	assert_addresses(&ns[1], "10.213.0.1", NULL, "cr0ad50001");
	destroy(&ns[0]);
	destroy(&ns[1]);
}

static void pool_that_is_used_up_is_told(void **state)
{
	(void)state;
	in_netns(fill_a_small_pool);
}

/* Somebody has the name, and keeps it. */
static void meet_a_taken_name(void)
{
	struct fixture f;
	struct netns ns;

	prepare(&f);
	ip_do("link add cr0ad50001 type veth peer name x0");
	ip_do("link property add dev x0 altname cr0ad50003");
	ns = create(&f);
	assert_addresses(&ns, "10.213.0.5", NULL, "cr0ad50005");
	destroy(&ns);
}

static void address_whose_host_end_somebody_has_is_passed_over(void **state)
{
	(void)state;
	in_netns(meet_a_taken_name);
}

/* All begin at the same address, at once. */
static void race_for_addresses(void)
{
	enum { RACERS = 12 };
	int ready[2], status;
	unsigned seen = 0;
	pid_t pids[RACERS];
	struct fixture f;
	struct netns ns;
	char byte;

	prepare(&f);
	ns = create(&f); /* the host's side, too */
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct netns own = create(&f);

			/* Keeps it until all have one. */
			close(ready[1]);
			if (read(ready[0], &byte, 1) != 0)
				_exit(255);
			_exit(own.address4.addr[3]);
		}
	}
	for (int i = 0; i < 1000 && seen < RACERS; i++) {
		char name[IFNAMSIZ];

		usleep(5000);
		seen = 0;
		for (int j = 1; j <= RACERS; j++) {
			snprintf(name, sizeof(name), "cr0ad500%02x", 2 * j + 1);
			seen += if_nametoindex(name) != 0;
		}
	}
	close(ready[0]);
	close(ready[1]);
	seen = 0;
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status) % 2, 1);
		seen |= 1u << WEXITSTATUS(status) / 2;
	}
	/* Each of those after the first, once. */
	assert_int_equal(seen, (2u << RACERS) - 2);
	destroy(&ns);
}

static void nobody_gets_an_address_that_another_has(void **state)
{
	(void)state;
	in_netns(race_for_addresses);
}

/* ---- special sandboxes ---- */

static void make_special(void)
{
	auto_fd here = open_here();
	struct fixture f;
	struct netns ns;
	struct err e = { 0 };

	prepare(&f);
	allow(&f, "10.1.2.3:443");
	ns = create(&f);
	assert_true(ns.special);
	assert_ip_says("link show cr0ad50001", "group 13260258");
	assert_int_equal(f.record_count, 1);
	assert_string_equal(f.recorded[0], "cr0ad50001");
	/* It was recorded before there was anything to be forgotten. */
	assert_int_equal(f.elements_then, 0);
	assert_int_equal(nft_count("allow_of4"), 1);
	enter(ns.fd);
	assert_int_equal(nft_count("allow4"), 1);
	enter(here);
	destroy(&ns);
	assert_int_equal(nft_count("allow_of4"), 0);
	/* What a killed carrel would have left. */
	assert_goes("cr0ad50001");
	ns = create(&f);
	fd_close(&ns.fd);
	fd_close(&ns.route);
	fd_close(&ns.rules);
	assert_goes("cr0ad50001");
	assert_int_equal(nft_count("allow_of4"), 1);
	assert_int_equal(netns_reclaim("cr0ad50001", &e), 0);
	assert_int_equal(nft_count("allow_of4"), 0);
	assert_int_equal(netns_reclaim("cr0ad50001", &e), 0);
}

static void elements_of_special_sandboxes_are_recorded_and_removed(void **state)
{
	(void)state;
	in_netns(make_special);
}

static void fail_to_record(void)
{
	struct fixture f;
	struct err e = { 0 };

	prepare(&f);
	assert_int_equal(netns_reclaim("cr0ad50001", &e), 0);
	allow(&f, "10.1.2.3:443");
	f.record_fails = ENOSPC;
	assert_refused(&f, -ENOSPC, "set up the network: no record");
	assert_int_equal(nft_count("allow_of4"), 0);
	assert_goes("cr0ad50001");
}

static void without_a_record_there_is_no_sandbox(void **state)
{
	(void)state;
	in_netns(fail_to_record);
}

/* ---- failures ---- */

static void fail_early(void)
{
	struct netns_place place = { .procfs = -1, .record = record };
	struct fixture f;

	f = (struct fixture){ .place = place };
	netns_settings_init(&f.settings);
	netns_plan_init(&f.plan);
	f.plan.egress = true;
	assert_refused(&f, -ENETUNREACH,
		       "set up the network: no uplink: this host has no default route "
		       "for IPv4");
	assert_false(nft_has_table("carrel"));
	make_uplink();
	nft_add_table("carrel", NULL, 0);
	assert_refused(&f, -EEXIST,
		       "set up the network: nftables table inet carrel exists and is "
		       "not carrel's");
}

static void without_a_host_side_there_is_no_sandbox(void **state)
{
	(void)state;
	in_netns(fail_early);
}

/* Lets every opening of a descriptor fail once. */
static void run_out_of_descriptors(void)
{
	unsigned failures = 0, before = count_descriptors();
	ino_t here = netns_inode();
	struct rlimit limit;
	struct fixture f;

	prepare(&f);
	f.settings.pool4 = cidr("10.213.0.0/31");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (rlim_t n = 3; n < 30; n++) {
		struct netns ns = NETNS_NONE;
		struct err e = { 0 };
		int r;

		assert_int_equal(
			setrlimit(RLIMIT_NOFILE, &(struct rlimit){ n, limit.rlim_max }),
			0);
		r = netns_create(&f.settings, &f.plan, &f.place, &ns, &e);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(netns_inode(), here);
		if (r == 0) {
			destroy(&ns);
			assert_true(failures >= 5);
			break;
		}
		assert_int_equal(r, -EMFILE);
		assert_non_null(strstr(e.msg, ": Too many open files"));
		assert_int_equal(count_descriptors(), before);
		assert_goes("cr0ad50001");
		failures++;
	}
	assert_true(failures < 27);
}

static void failure_half_way_leaves_nothing_behind(void **state)
{
	(void)state;
	in_netns(run_out_of_descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_egress_there_is_a_loopback_interface_alone),
		cmocka_unit_test(with_egress_there_is_a_connected_interface),
		cmocka_unit_test(with_ipv6_there_is_an_address_of_each_family),
		cmocka_unit_test(addresses_follow_from_the_place_in_the_pool),
		cmocka_unit_test(pool_that_is_used_up_is_told),
		cmocka_unit_test(address_whose_host_end_somebody_has_is_passed_over),
		cmocka_unit_test(nobody_gets_an_address_that_another_has),
		cmocka_unit_test(elements_of_special_sandboxes_are_recorded_and_removed),
		cmocka_unit_test(without_a_record_there_is_no_sandbox),
		cmocka_unit_test(without_a_host_side_there_is_no_sandbox),
		cmocka_unit_test(failure_half_way_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
