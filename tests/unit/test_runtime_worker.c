/* SPDX-License-Identifier: Apache-2.0 */
/* One worker at the other end of a socket pair: this process is the broker. */
#include <sys/socket.h>

#include "runtime/worker.h"
#include "tests/unit/test_runtime_in_worker.h"

static struct access access_rules;
static pid_t worker;
static int sock, secret = -1; /* secret: a descriptor of the broker's */

static int set_up_worker(void **state)
{
	int r = set_up(state), pair[2];
	struct fixture *f = *state;

	if (r < 0 || !f)
		return r;
	access_init(&access_rules);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	secret = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	fflush(NULL);
	worker = fork();
	if (worker == 0)
		worker_main(pair[1], &f->config, &access_rules);
	close(pair[1]);
	sock = pair[0];
	return worker > 0 ? 0 : -1;
}

static int tear_down_worker(void **state)
{
	if (*state) {
		fd_close(&sock);
		fd_close(&secret);
		kill(worker, SIGKILL);
		waitpid(worker, NULL, 0);
		access_free(&access_rules);
	}
	return tear_down(state);
}

static struct worker_order an_order(enum worker_type type)
{
	return (struct worker_order){ .type = type, .resident = RESIDENT_NONE };
}

/* False: the worker has gone. */
static bool wait_for_answer(struct worker_result *ret, int *fds, unsigned *count)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };

	*count = 0;
	assert_int_equal(poll(&pfd, 1, 30000), 1);
	return wire_receive(sock, ret, sizeof(*ret), fds, WORKER_FDS_MAX, count) == 1;
}

static struct worker_result ask(const struct worker_order *o, const int *fds,
				unsigned count)
{
	struct worker_result result;
	int got[WORKER_FDS_MAX];
	unsigned got_count;

	assert_int_equal(wire_send(sock, o, sizeof(*o), fds, count), 0);
	assert_true(wait_for_answer(&result, got, &got_count));
	for (unsigned i = 0; i < got_count; i++)
		close(got[i]);
	return result;
}

/* The sandbox's descriptors, and after them those of the order. */
static struct worker_result ask_about(const struct fixture *f, struct worker_order *o,
				      const int *more, unsigned count)
{
	int fds[WORKER_FDS_MAX];
	unsigned n;

	o->resident = f->resident;
	n = worker_resident_fds(&f->resident, fds);
	for (unsigned i = 0; i < count; i++)
		fds[n++] = more[i];
	return ask(o, fds, n);
}

static void residents_descriptors_come_back_where_they_were(void **state)
{
	struct resident r = RESIDENT_NONE, copy;
	int fds[WORKER_FDS_MAX];

	(void)state;
	r.init.pidfd = 10;
	r.cgroup = 11;
	r.v1[1] = 12;
	r.v1[3] = 13;
	assert_int_equal(worker_resident_fds(&r, fds), 4);
	for (int i = 0; i < 4; i++)
		fds[i] += 100;
	copy = r;
	assert_int_equal(worker_put_resident_fds(&copy, fds), 4);
	assert_int_equal(copy.init.pidfd, 110);
	assert_int_equal(copy.cgroup, 111);
	assert_int_equal(copy.v1[0], -1);
	assert_int_equal(copy.v1[1], 112);
	assert_int_equal(copy.v1[2], -1);
	assert_int_equal(copy.v1[3], 113);
}

static void order_that_makes_no_sense_is_answered_with_an_error(void **state)
{
	struct worker_order o = an_order(WORKER_TYPE_MAX);

	fixture(state);
	assert_int_equal(ask(&o, NULL, 0).code, -EPROTO);
	o = an_order(WORKER_EXEC);
	assert_int_equal(ask(&o, NULL, 0).code, -EPROTO);
	o = an_order(WORKER_BUILD);
	assert_int_equal(ask(&o, NULL, 0).code, -EINVAL);
	snprintf(o.ensure.profile, sizeof(o.ensure.profile), "unknown");
	assert_int_equal(ask(&o, (int[]){ STDERR_FILENO }, 1).code, -EINVAL);
	/* Nothing has that slot. */
	o = an_order(WORKER_REMOVE);
	o.slot = 3;
	assert_int_equal(ask(&o, NULL, 0).code, 0);
}

static void sandbox_is_built_frozen_inspected_and_removed(void **state)
{
	struct fixture *f = fixture(state);
	struct worker_order o = an_order(WORKER_BUILD);
	struct worker_result result;
	auto_fd label = -1;
	struct err e;

	assert_int_equal(wire_memfd("label", "label", 5, &label, &e), 0);
	o.client = 4711;
	snprintf(o.ensure.profile, sizeof(o.ensure.profile), "default");
	snprintf(o.ensure.hostname, sizeof(o.ensure.hostname), "h");
	o.ensure.network = WIRE_NETWORK_NONE;
	result = ask(&o, &label, 1);
	if (result.code < 0)
		fail_msg("%s", result.err.msg);
	open_slot(f, result.slot);
	o = an_order(WORKER_FREEZE);
	assert_int_equal(ask_about(f, &o, NULL, 0).code, 0);
	o = an_order(WORKER_THAW);
	assert_int_equal(ask_about(f, &o, NULL, 0).code, 0);
	o = an_order(WORKER_INSPECT);
	assert_int_equal(ask_about(f, &o, NULL, 0).code, 0);
	/* Without strings, and without stdio. */
	o = an_order(WORKER_EXEC);
	o.exec.argc = 1;
	assert_int_equal(ask_about(f, &o, NULL, 0).code, -EPROTO);
	o = an_order(WORKER_REMOVE);
	o.slot = f->resident.slot;
	/* Who had the slot before is gone; who has it now is not meant. */
	snprintf(o.resident.id, sizeof(o.resident.id), "carrel-0-other");
	assert_int_equal(ask(&o, NULL, 0).code, 0);
	open_slot(f, f->resident.slot);
	memcpy(o.resident.id, f->resident.id, sizeof(o.resident.id));
	assert_int_equal(ask(&o, NULL, 0).code, 0);
	assert_nothing_left(f);
}

static void command_is_started_with_its_own_strings_and_descriptors(void **state)
{
	const char *const strings[] = { "/bin/sh", "-c", "echo $A; exit 3", "A=b" };
	struct fixture *f = fixture(state);
	struct worker_order o = an_order(WORKER_EXEC);
	int fds[4], got[WORKER_FDS_MAX], out[2];
	struct worker_result result;
	char text[8] = "";
	unsigned count;
	struct err e;
	int sent[WORKER_FDS_MAX];

	build(f);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(wire_strings_make(strings, 4, &fds[0], &e), 0);
	fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[2] = out[1];
	fds[3] = fds[1];
	o.exec.argc = 3;
	o.exec.env_count = 1;
	o.exec.fds = 3;
	o.exec.uid = o.exec.gid = 1000;
	snprintf(o.exec.cwd, sizeof(o.exec.cwd), "/");
	snprintf(o.exec_id, sizeof(o.exec_id), "x1");
	o.resident = f->resident;
	count = worker_resident_fds(&f->resident, sent);
	memcpy(sent + count, fds, sizeof(fds));
	assert_int_equal(wire_send(sock, &o, sizeof(o), sent, count + 4), 0);
	assert_true(wait_for_answer(&result, got, &count));
	if (result.code < 0)
		fail_msg("%s", result.err.msg);
	assert_true(count >= 2 && result.pid > 0 && result.at_ms > 0);
	assert_false(result.master);
	/* It is our child, not the worker's. */
	assert_int_equal(wait_for(f, result.pid, 10000), 3 << 8);
	close(out[1]);
	assert_int_equal(read(out[0], text, sizeof(text) - 1), 2);
	assert_string_equal(text, "b\n");
	close(out[0]);
	close(fds[0]);
	close(fds[1]);
	for (unsigned i = 0; i < count; i++)
		close(got[i]);
}

/* It cannot know any more what it is talking about. */
static void record_of_another_size_ends_it(void **state)
{
	struct worker_order o = an_order(WORKER_REMOVE);
	struct worker_result result;
	int fds[WORKER_FDS_MAX];
	unsigned count;

	fixture(state);
	assert_int_equal(wire_send(sock, &o, sizeof(o) - 1, NULL, 0), 0);
	assert_false(wait_for_answer(&result, fds, &count));
}

static void it_ends_with_the_broker_and_has_nothing_of_it(void **state)
{
	struct fixture *f = fixture(state);
	struct worker_order o = an_order(WORKER_TYPE_MAX);
	char path[64], name[64];
	struct worker_result result = ask(&o, NULL, 0);
	FILE *comm;

	assert_int_equal(result.code, -EPROTO);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", secret);
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW), 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)worker, secret);
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW), -1);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)worker);
	comm = fopen(path, "re");
	assert_non_null(comm);
	assert_non_null(fgets(name, sizeof(name), comm));
	fclose(comm);
	assert_string_equal(name, "carreld-worker\n");
	fd_close(&sock);
	assert_int_equal(wait_for(f, worker, 10000), 0);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up_worker, tear_down_worker)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(residents_descriptors_come_back_where_they_were),
		CASE(order_that_makes_no_sense_is_answered_with_an_error),
		CASE(sandbox_is_built_frozen_inspected_and_removed),
		CASE(command_is_started_with_its_own_strings_and_descriptors),
		CASE(record_of_another_size_ends_it),
		CASE(it_ends_with_the_broker_and_has_nothing_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
