/* SPDX-License-Identifier: Apache-2.0 */
/* The network of sandboxes that stay: on a host of the test's own. */
#include "tests/unit/in_netns.h"
#include "tests/unit/test_runtime_in_worker.h"

/* Runs body with a fixture in a network namespace where there is a way out. */
static void with_fixture(void (*body)(struct fixture *f))
{
	void *state = NULL;

	/* Of its own; a state directory wants parents that are root's alone. */
	assert_int_equal(chmod("/run", 0755), 0);
	assert_int_equal(set_up(&state), 0);
	make_uplink();
	body(state);
	assert_int_equal(tear_down(&state), 0);
}

/* A sandbox with a resolver of its own: something that the host holds for it alone. */
static void plan_egress(struct fixture *f)
{
	netns_plan_init(&f->spec.network);
	f->spec.network.egress = true;
	assert_int_equal(ip_parse("198.18.0.53", &f->spec.network.dns[0]), 0);
	f->spec.network.dns_count = 1;
}

static struct netns_host_state host_state(const struct fixture *f)
{
	struct netns_host_state host;
	struct err e = { 0 };

	if (netns_host_show(&f->config.network, &host, &e) < 0)
		fail_msg("%s", e.msg);
	return host;
}

/* Does the host's table hold something of the interface? */
static bool table_names(const char *host_end)
{
	static char text[1 << 20];
	size_t len = 0;
	int ends[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execlp("nft", "nft", "list", "table", "inet", "carrel", NULL);
		_exit(127);
	}
	close(ends[1]);
	while ((n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_non_null(strstr(text, "table inet carrel"));
	return strstr(text, host_end) != NULL;
}

/* Interfaces of namespaces that have ended go a moment later; only with the last of them
 * can the host's side be taken down. */
static void assert_host_is_free(void)
{
	struct err e = { 0 };

	if (netns_host_down(&e) < 0)
		fail_msg("%s", e.msg);
}

static void addresses_come_back(struct fixture *f)
{
	char command[64], address[IP_TEXT_MAX];

	plan_egress(f);
	build(f);
	assert_int_equal(host_state(f).sandboxes, 1);
	assert_int_equal(strncmp(f->resident.host_end, "cr", 2), 0);
	snprintf(command, sizeof(command), "route get %s",
		 ip_format(address, &f->resident.address4));
	assert_ip_says(command, f->resident.host_end);
	assert_true(table_names(f->resident.host_end));
	assert_int_equal(f->resident.address6.family, 0);
	must(f, remove_one_slot);
	assert_false(table_names(f->resident.host_end));
	assert_nothing_left(f);
	assert_host_is_free();
}

static void addresses_come_back_in_netns(void)
{
	with_fixture(addresses_come_back);
}

static void network_is_found_again_by_its_record(void **state)
{
	(void)state;
	in_netns(addresses_come_back_in_netns);
}

static int inspect(struct fixture *f, struct err *e)
{
	auto_free char *text = NULL;
	int r = resident_inspect(&f->resident, &f->host, &text, e);
	const char *rules = r == 0 ? strstr(text, "\"rules\":") : NULL;
	const char *elements = r == 0 ? strstr(text, "\"set_elements\":") : NULL;

	f->said->status = rules ? (int)strtol(rules + 8, NULL, 10) : 0;
	f->said->slot = elements ? (uint32_t)strtoul(elements + 15, NULL, 10) : 0;
	return r;
}

static void rules_are_counted(struct fixture *f)
{
	plan_egress(f);
	build(f);
	must(f, inspect);
	assert_true(f->said->status > 10);
	assert_true(f->said->slot > 10);
	must(f, remove_one_slot);
	assert_host_is_free();
}

static void rules_are_counted_in_netns(void)
{
	with_fixture(rules_are_counted);
}

static void inspect_counts_the_sandboxes_own_rules(void **state)
{
	(void)state;
	in_netns(rules_are_counted_in_netns);
}

/* That of a dead one is gone with its namespace; what the host held goes with it. */
static void dead_one_is_removed(struct fixture *f)
{
	struct err e = { 0 };

	plan_egress(f);
	build(f);
	assert_int_equal(resident_kill(&f->resident, &e), 0);
	assert_int_not_equal(wait_for(f, f->resident.init.pid, 5000), -1);
	assert_true(table_names(f->resident.host_end));
	must(f, remove_one_slot);
	must(f, remove_one_slot);
	assert_false(table_names(f->resident.host_end));
	assert_nothing_left(f);
	assert_host_is_free();
}

static void dead_one_is_removed_in_netns(void)
{
	with_fixture(dead_one_is_removed);
}

static void network_of_a_dead_one_leaves_nothing(void **state)
{
	(void)state;
	in_netns(dead_one_is_removed_in_netns);
}

static void killed_workers_leave_what_can_be_removed(struct fixture *f)
{
	unsigned seed = (unsigned)getpid(), took;

	plan_egress(f);
	took = time_of(f, build_one);
	must(f, remove_all);
	for (int i = 0; i < 30; i++) {
		pid_t worker = start_worker(f, build_one);

		usleep((unsigned)rand_r(&seed) % took);
		kill(worker, SIGKILL);
		assert_int_not_equal(wait_for(f, worker, 5000), -1);
		must(f, remove_all);
	}
	build(f);
	must(f, remove_one_slot);
	assert_nothing_left(f);
	assert_host_is_free();
}

static void killed_workers_in_netns(void)
{
	with_fixture(killed_workers_leave_what_can_be_removed);
}

/* FI-02 */
static void network_of_a_killed_worker_leaves_nothing(void **state)
{
	(void)state;
	in_netns(killed_workers_in_netns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_is_found_again_by_its_record),
		cmocka_unit_test(inspect_counts_the_sandboxes_own_rules),
		cmocka_unit_test(network_of_a_dead_one_leaves_nothing),
		cmocka_unit_test(network_of_a_killed_worker_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
