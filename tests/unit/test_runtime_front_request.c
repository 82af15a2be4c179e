/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that come with calls (E-56). */
#include <sys/eventfd.h>

#include "tests/unit/test_runtime_front_lab.h"

static void descriptors_reach_the_broker_in_their_order(void **state)
{
	static const char call[] = LAB_EXEC(",\"descriptors\":4");
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), pipes[2][2], null;
	struct lab_request got;
	unsigned before;

	(void)state;
	usleep(50000);
	before = lab_count_fds(lab.pid);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(pipes[0], O_CLOEXEC), 0);
	assert_int_equal(pipe2(pipes[1], O_CLOEXEC), 0);
	assert_true(lab_send(client, call, sizeof(call),
			     (int[]){ null, pipes[0][1], pipes[1][1], client }, 4));
	got = lab_take(&lab);
	assert_int_equal(got.rq.exec.fds, 4);
	assert_int_equal(got.count, 5);
	assert_true(fd_same_file(got.fds[1], null));
	assert_true(fd_same_file(got.fds[2], pipes[0][1]));
	assert_true(fd_same_file(got.fds[3], pipes[1][1]));
	assert_true(fd_same_file(got.fds[4], client));
	lab_close_fds(&got);
	/* The front has kept none. */
	lab_assert_fds(&lab, before);
	lab_reply(&lab, got.rq.tag,
		  (struct wire_reply){ .type = WIRE_STARTED, .started.exec = "e1" }, -1);
	lab_reply(&lab, got.rq.tag, lab_result(WIRE_EXITED, 7), -1);
	{
		json_t *message = lab_hear(client);

		assert_int_equal(lab_result_number(message, "exit_code"), 7);
		assert_null(lab_value(message, "stdout"));
		json_decref(message);
	}
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	close(null);
	close(client);
	lab_end(&lab);
}

/* Each as descriptor 3, beside three that are right. */
static void descriptors_of_other_kinds_are_refused(void **state)
{
	static const char call[] = LAB_EXEC(",\"descriptors\":4");
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int wrong[] = {
		open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		open("/dev/null", O_PATH | O_CLOEXEC),
		open("/tmp", O_PATH | O_CLOEXEC),
		open("/dev/zero", O_RDWR | O_CLOEXEC),
		open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC),
		eventfd(0, EFD_CLOEXEC),
	};
	unsigned before;

	(void)state;
	lab_say(client, "{\"method\":\"a.b.C\"}");
	json_decref(lab_hear(client));
	before = lab_count_fds(lab.pid);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_true(wrong[i] >= 0);
		assert_true(lab_send(client, call, sizeof(call),
				     (int[]){ null, null, null, wrong[i] }, 4));
		lab_assert_heard(client, LAB_INVALID("descriptors"));
		close(wrong[i]);
	}
	lab_assert_fds(&lab, before);
	assert_false(lab_asked(&lab, 0));
	close(null);
	close(client);
	lab_end(&lab);
}

static void descriptors_are_opened_for_what_they_are_used_for(void **state)
{
	static const char call[] = LAB_EXEC(",\"descriptors\":3");
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	int reads = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int writes = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const int wrong[][3] = { { writes, writes, writes },
				 { reads, reads, writes },
				 { reads, writes, reads } };
	struct lab_request got;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(lab_send(client, call, sizeof(call), wrong[i], 3));
		lab_assert_heard(client, LAB_INVALID("descriptors"));
	}
	assert_true(lab_send(client, call, sizeof(call), (int[]){ reads, writes, writes },
			     3));
	got = lab_take(&lab);
	lab_close_fds(&got);
	close(reads);
	close(writes);
	close(client);
	lab_end(&lab);
}

/* A call that is refused for another reason has had its descriptors, too. */
static void refused_call_takes_its_descriptors_with_it(void **state)
{
	static const char call[] = LAB_EXEC(",\"descriptors\":3,\"uid\":0");
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	unsigned before = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_true(lab_send(client, call, sizeof(call),
				     (int[]){ client, client, client }, 3));
		lab_assert_heard(client, LAB_INVALID("uid"));
		if (i == 0)
			before = lab_count_fds(lab.pid);
	}
	lab_assert_fds(&lab, before);
	close(client);
	lab_end(&lab);
}

static void descriptors_nobody_asked_for_close_the_connection(void **state)
{
	static const struct {
		const char *call;
		unsigned fds;
	} cases[] = {
		{ LAB_TOUCH, 1 },
		{ "{\"method\":\"org.varlink.service.GetInfo\"}", 3 },
		{ LAB_EXEC(""), 3 },
		{ LAB_EXEC(",\"descriptors\":3"), 4 },
		{ LAB_EXEC(",\"descriptors\":18"), 19 },
		{ LAB_EXEC(",\"terminal\":true,\"detach\":true"), 1 },
		{ "{\"method\":", 253 },
		{ LAB_EXEC(",\"descriptors\":3"), 253 },
	};
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int fds[253], first = lab_connect(&lab);
	unsigned before;

	(void)state;
	for (int i = 0; i < 253; i++)
		fds[i] = 1;
	lab_say(first, "{\"method\":\"a.b.C\"}");
	json_decref(lab_hear(first));
	before = lab_count_fds(lab.pid);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int client = lab_connect(&lab), fd;
		char *text;

		assert_true(lab_send(client, cases[i].call, strlen(cases[i].call) + 1,
				     fds, cases[i].fds));
		/* An answer may come first. */
		text = lab_hear_text(client, &fd);
		if (text)
			lab_assert_closed(client);
		free(text);
		close(client);
		while (lab_asked(&lab, 0)) {
			struct lab_request got = lab_take(&lab);

			lab_close_fds(&got);
		}
	}
	lab_say(first, "{\"method\":\"a.b.C\"}");
	json_decref(lab_hear(first));
	lab_assert_fds(&lab, before);
	close(first);
	lab_end(&lab);
}

static void flood_of_descriptors_leaves_none_behind(void **state)
{
	enum { MESSAGES = 10000 };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int fds[253], client = lab_connect(&lab);
	unsigned before, most = 0;

	(void)state;
	for (int i = 0; i < 253; i++)
		fds[i] = 1;
	lab_say(client, "{\"method\":\"a.b.C\"}");
	json_decref(lab_hear(client));
	before = lab_count_fds(lab.pid);
	for (int i = 0; i < MESSAGES; i++) {
		int flood = lab_connect(&lab);

		lab_send(flood, " ", 1, fds, 253);
		if (i % 100 == 0) {
			unsigned now = lab_count_fds(lab.pid);

			most = now > most ? now : most;
			lab_assert_closed(flood);
		}
		close(flood);
	}
	assert_true(most < before + 300);
	lab_say(client, "{\"method\":\"a.b.C\"}");
	json_decref(lab_hear(client));
	usleep(50000);
	lab_assert_fds(&lab, before);
	close(client);
	lab_end(&lab);
}

static void terminal_comes_with_started(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply rp = { .type = WIRE_STARTED, .started.exec = "e1" };
	int client = lab_connect(&lab), master = -1;
	struct lab_request got;
	unsigned before;
	char *text;

	(void)state;
	lab_say(client, LAB_EXEC(",\"terminal\":true"));
	lab_assert_heard(client, "{\"error\":\"org.varlink.service.ExpectedMore\","
				 "\"parameters\":{}}");
	before = lab_count_fds(lab.pid);
	lab_say(client, LAB_EXEC_MORE(",\"terminal\":true"));
	got = lab_take(&lab);
	assert_int_equal(got.rq.exec.terminal, 1);
	assert_int_equal(got.rq.exec.fds, 0);
	lab_close_fds(&got);
	lab_reply(&lab, got.rq.tag, rp, client);
	text = lab_hear_text(client, &master);
	assert_string_equal(text,
			    "{\"parameters\":{\"started\":\"e1\"},\"continues\":true}");
	assert_true(fd_same_file(master, client));
	close(master);
	free(text);
	lab_reply(&lab, got.rq.tag, lab_result(WIRE_EXITED, 0), -1);
	json_decref(lab_hear(client));
	lab_assert_fds(&lab, before);
	close(client);
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_reach_the_broker_in_their_order),
		cmocka_unit_test(descriptors_of_other_kinds_are_refused),
		cmocka_unit_test(descriptors_are_opened_for_what_they_are_used_for),
		cmocka_unit_test(refused_call_takes_its_descriptors_with_it),
		cmocka_unit_test(descriptors_nobody_asked_for_close_the_connection),
		cmocka_unit_test(flood_of_descriptors_leaves_none_behind),
		cmocka_unit_test(terminal_comes_with_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
