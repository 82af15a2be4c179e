/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and records. */
#include "tests/unit/test_runtime_front_lab.h"

/* --- calls */

static void front_ends_when_the_broker_does(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int idle, asked;

	(void)state;
	idle = lab_connect(&lab);
	asked = lab_connect(&lab);
	lab_say(asked, LAB_TOUCH);
	lab_take(&lab);
	lab_end(&lab);
	lab_assert_closed(idle);
	lab_assert_closed(asked);
	close(idle);
	close(asked);
}

static void service_is_answered_without_the_broker(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	json_t *message;
	FILE *file = fopen("tools/io.carrel.Pool.varlink", "re");
	char *text = calloc(1, 1 << 16);

	(void)state;
	lab_say(client, "{\"method\":\"org.varlink.service.GetInfo\"}");
	message = lab_hear(client);
	assert_string_equal(json_string_value(lab_value(message, "product")), "carreld");
	json_decref(message);
	lab_say(client, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
			"\"parameters\":{\"interface\":\"io.carrel.Pool\"}}");
	message = lab_hear(client);
	assert_non_null(file);
	assert_true(fread(text, 1, 1 << 16, file) > 1000);
	fclose(file);
	assert_string_equal(json_string_value(lab_value(message, "description")), text);
	json_decref(message);
	free(text);
	close(client);
	lab_end(&lab);
}

static void request_becomes_a_record_and_reply_a_message(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	struct wire_reply rp = { .type = WIRE_SANDBOX };
	int client = lab_connect(&lab);
	struct err e = { 0 };
	struct lab_request got;
	json_t *message;
	char **strings;

	(void)state;
	lab_say(client, "{\"method\":\"io.carrel.Pool.Ensure\",\"parameters\":{"
			"\"name\":\"alice\",\"env\":{\"A\":\"1\",\"B\":\"\"},"
			"\"labels\":{\"job\":\"42\"},\"network\":\"egress\","
			"\"limits\":{\"pids\":7}}}");
	got = lab_take(&lab);
	assert_int_equal(got.rq.type, WIRE_ENSURE);
	assert_string_equal(got.rq.ensure.name, "alice");
	assert_int_equal(got.rq.ensure.limits.pids, 7);
	assert_int_equal(got.rq.ensure.network, WIRE_NETWORK_EGRESS);
	assert_int_equal(got.count, 1);
	assert_int_equal(wire_strings_read(got.fds[0], 4, &strings, &e), 0);
	assert_string_equal(strings[0], "A=1");
	assert_string_equal(strings[1], "B=");
	assert_string_equal(strings[2], "job");
	assert_string_equal(strings[3], "42");
	free(strings);
	lab_close_fds(&got);
	snprintf(rp.sandbox.name, sizeof(rp.sandbox.name), "alice");
	rp.sandbox.state = WIRE_RUNNING;
	rp.sandbox.network = WIRE_NETWORK_EGRESS;
	rp.sandbox.created_now = 1;
	lab_reply(&lab, got.rq.tag, rp, -1);
	message = lab_hear(client);
	assert_true(json_is_true(lab_value(message, "created")));
	assert_string_equal(json_string_value(json_object_get(
				    lab_value(message, "sandbox"), "state")),
			    "running");
	json_decref(message);
	close(client);
	lab_end(&lab);
}

/* Two on one connection; the sandbox of the first goes by itself. */
static void what_a_connection_holds_is_dropped_with_it(void **state)
{
	static const char ensure[] =
		"{\"method\":\"io.carrel.Pool.Ensure\",\"parameters\":{"
		"\"name\":\"a\",\"auto_remove\":true}}";
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	struct wire_reply held = { .type = WIRE_SANDBOX,
				   .sandbox = { .network = WIRE_NETWORK_NONE,
						.held = 1 } };
	int client = lab_connect(&lab);
	struct lab_request got;
	uint32_t tags[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		lab_say(client, ensure);
		got = lab_take(&lab);
		assert_int_equal(got.rq.ensure.auto_remove, 1);
		tags[i] = got.rq.tag;
		lab_reply(&lab, tags[i], held, -1);
		json_decref(lab_hear(client));
	}
	lab_reply(&lab, tags[0], (struct wire_reply){ .type = WIRE_DONE }, -1);
	/* The connection goes on as if nothing were. */
	lab_say(client, "{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":{"
			"\"name\":\"a\"}}");
	got = lab_take(&lab);
	assert_int_equal(got.rq.type, WIRE_TOUCH);
	lab_reply(&lab, got.rq.tag, (struct wire_reply){ .type = WIRE_DONE }, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	close(client);
	got = lab_take(&lab);
	assert_int_equal(got.rq.type, WIRE_DROP);
	assert_int_equal(got.rq.tag, tags[1]);
	assert_false(lab_asked(&lab, 50));
	lab_end(&lab);
}

static void errors_carry_what_was_asked_for(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	struct wire_reply rp = { .type = WIRE_ERROR };
	int client = lab_connect(&lab);
	struct lab_request got;

	(void)state;
	lab_say(client, "{\"method\":\"io.carrel.Pool.Kill\",\"parameters\":{"
			"\"name\":\"alice\",\"exec\":\"e1\",\"signal\":15}}");
	got = lab_take(&lab);
	assert_int_equal(got.rq.exec_ref.signal, 15);
	rp.error.code = WIRE_NO_SUCH_EXEC;
	lab_reply(&lab, got.rq.tag, rp, -1);
	lab_assert_heard(client,
			 "{\"error\":\"io.carrel.Pool.NoSuchExec\",\"parameters\":"
			 "{\"name\":\"alice\",\"exec\":\"e1\"}}");
	close(client);
	lab_end(&lab);
}

/* Other connections do not wait for each other. */
static void pipelined_calls_are_answered_in_their_order(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply done = { .type = WIRE_DONE };
	int client = lab_connect(&lab);
	struct lab_request got;

	(void)state;
	lab_say(client, LAB_TOUCH);
	lab_say(client, "{\"method\":\"io.carrel.Pool.Nothing\"}");
	lab_say(client, LAB_TOUCH);
	got = lab_take(&lab);
	assert_false(lab_readable(client, 50));
	assert_false(lab_asked(&lab, 0));
	lab_assert_alive(&lab);
	lab_reply(&lab, got.rq.tag, done, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	lab_assert_heard(
		client,
		"{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
		"{\"method\":\"io.carrel.Pool.Nothing\"}}");
	got = lab_take(&lab);
	lab_reply(&lab, got.rq.tag, done, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	close(client);
	lab_end(&lab);
}

static void very_many_pipelined_calls_do_not_keep_others_waiting(void **state)
{
	enum { CALLS = 30000 };
	static const char call[] = "{\"method\":\"io.carrel.Pool.Nothing\"}";
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	pid_t pid = fork();
	unsigned heard = 0;
	int status = 0;

	(void)state;
	if (pid == 0) {
		for (int i = 0; i < CALLS; i++)
			lab_send(client, call, sizeof(call), NULL, 0);
		_exit(0);
	}
	for (; heard < CALLS; heard++) {
		json_t *message = lab_hear(client);

		assert_non_null(json_object_get(message, "error"));
		json_decref(message);
		if (heard == CALLS / 2)
			lab_assert_alive(&lab);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(client);
	lab_end(&lab);
}

static void oneway_calls_have_no_reply(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply done = { .type = WIRE_DONE };
	int client = lab_connect(&lab);
	struct lab_request got;

	(void)state;
	lab_say(client, "{\"method\":\"io.carrel.Pool.Touch\",\"oneway\":true,"
			"\"parameters\":{\"name\":\"alice\"}}");
	lab_say(client, "{\"method\":\"io.carrel.Pool.Nothing\",\"oneway\":true}");
	lab_say(client, "{\"method\":\"org.varlink.service.GetInfo\",\"oneway\":true}");
	got = lab_take(&lab);
	lab_reply(&lab, got.rq.tag, done, -1);
	lab_say(client, "{\"method\":\"org.varlink.service.Last\"}");
	lab_assert_heard(
		client,
		"{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
		"{\"method\":\"org.varlink.service.Last\"}}");
	close(client);
	lab_end(&lab);
}

/* Whoever has only ended its side may still want the reply. */
static void half_closed_client_gets_its_reply(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply done = { .type = WIRE_DONE };
	int client = lab_connect(&lab);
	struct lab_request got;

	(void)state;
	lab_say(client, LAB_TOUCH);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	got = lab_take(&lab);
	assert_false(lab_readable(client, 50));
	lab_reply(&lab, got.rq.tag, done, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	lab_assert_closed(client);
	close(client);
	lab_end(&lab);
}

/* FI-08. */
static void client_that_goes_has_its_call_dropped(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply done = { .type = WIRE_DONE };
	struct lab_request got, drop;
	int client;

	(void)state;
	for (int i = 0; i < 3; i++) {
		client = lab_connect(&lab);
		lab_say(client, "{\"method\":\"io.carrel.Pool.Stop\","
				"\"parameters\":{\"name\":\"alice\"}}");
		got = lab_take(&lab);
		assert_int_equal(got.rq.stop.grace_ms, 15000);
		close(client);
		drop = lab_take(&lab);
		assert_int_equal(drop.rq.type, WIRE_DROP);
		assert_int_equal(drop.rq.tag, got.rq.tag);
		assert_int_equal(drop.rq.end.reason, WIRE_CANCELLED);
		/* Too late, and nobody's any more. */
		lab_reply(&lab, got.rq.tag, done, -1);
		lab_assert_alive(&lab);
	}
	lab_end(&lab);
}

/* FI-08: at each byte of the request. */
static void client_may_go_at_any_byte(void **state)
{
	static const char call[] = LAB_TOUCH;
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	unsigned before;

	(void)state;
	lab_assert_alive(&lab);
	before = lab_count_fds(lab.pid);
	for (size_t len = 0; len < sizeof(call); len++) {
		int client = lab_connect(&lab);

		assert_true(len == 0 || lab_send(client, call, len, NULL, 0));
		close(client);
	}
	lab_assert_alive(&lab);
	assert_true(lab_count_fds(lab.pid) <= before + 1);
	lab_end(&lab);
}

/* --- documents */

static void documents_go_through_and_end(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	struct wire_reply rp = { .type = WIRE_DOCUMENT };
	int client = lab_connect(&lab), fd;
	struct lab_request got;

	(void)state;
	lab_say(client, "{\"method\":\"io.carrel.Pool.List\"}");
	got = lab_take(&lab);
	fd = lab_document("{\"sandboxes\":[]}");
	lab_reply(&lab, got.rq.tag, rp, fd);
	lab_assert_heard(client, "{\"parameters\":{\"sandboxes\":[]}}");
	lab_say(client, "{\"method\":\"io.carrel.Pool.Events\",\"more\":true}");
	got = lab_take(&lab);
	assert_int_equal(got.rq.flagged.flag, 1);
	rp.more = 1;
	lab_reply(&lab, got.rq.tag, rp, fd);
	lab_reply(&lab, got.rq.tag, rp, fd);
	rp.more = 0;
	lab_reply(&lab, got.rq.tag, rp, fd);
	lab_assert_heard(client,
			 "{\"parameters\":{\"sandboxes\":[]},\"continues\":true}");
	lab_assert_heard(client,
			 "{\"parameters\":{\"sandboxes\":[]},\"continues\":true}");
	lab_assert_heard(client, "{\"parameters\":{\"sandboxes\":[]}}");
	close(fd);
	close(client);
	lab_end(&lab);
}

static void document_that_is_none_does_not_reach_the_client(void **state)
{
	static const char *const wrong[] = { "", "[]", "{\"a\":", "{}{}", "{} x" };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply rp = { .type = WIRE_DOCUMENT };
	int client = lab_connect(&lab);

	(void)state;
	for (size_t i = 0; i <= sizeof(wrong) / sizeof(*wrong); i++) {
		bool none = i == sizeof(wrong) / sizeof(*wrong);
		struct lab_request got;
		json_t *message;
		int fd;

		lab_say(client, "{\"method\":\"io.carrel.Pool.Metrics\"}");
		got = lab_take(&lab);
		fd = none ? -1 : lab_document(wrong[i]);
		lab_reply(&lab, got.rq.tag, rp, fd);
		message = lab_hear(client);
		assert_string_equal(json_string_value(json_object_get(message, "error")),
				    "io.carrel.Pool.Failed");
		json_decref(message);
		if (fd >= 0)
			close(fd);
	}
	close(client);
	lab_end(&lab);
}

/* --- the broker */

/* A broker that does not read for a while loses nothing. */
static void requests_wait_for_a_busy_broker(void **state)
{
	enum { CLIENTS = 250 };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply done = { .type = WIRE_DONE };
	int clients[CLIENTS];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = lab_connect(&lab);
		lab_say(clients[i], LAB_TOUCH);
		usleep(1000);
	}
	/* One has gone before the broker has heard of it, or is dropped. */
	close(clients[CLIENTS - 1]);
	for (int i = 0; i < CLIENTS - 1;) {
		struct lab_request got = lab_take(&lab);

		if (got.rq.type == WIRE_DROP)
			continue;
		assert_int_equal(got.rq.type, WIRE_TOUCH);
		lab_reply(&lab, got.rq.tag, done, -1);
		i++;
	}
	for (int i = 0; i < CLIENTS - 1; i++) {
		lab_assert_heard(clients[i], "{\"parameters\":{}}");
		close(clients[i]);
	}
	lab_end(&lab);
}

static void broker_is_told_who_has_left(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int clients[FRONT_CONNS_MAX], gone = 0;
	struct lab_request got;

	(void)state;
	/* Before anybody has come, there is nothing to be told. */
	assert_false(lab_readable(lab.broker, 50));
	for (int i = 0; i < FRONT_CONNS_MAX; i++)
		clients[i] = lab_connect(&lab);
	assert_false(lab_readable(lab.broker, 50));
	/* One that is turned away has come, too. */
	close(lab_connect(&lab));
	lab_assert_left(&lab, ++gone, false);
	for (int i = 1; i < 3; i++) {
		close(clients[i]);
		lab_assert_left(&lab, ++gone, false);
	}
	/* What the client had asked for is dropped first. */
	lab_say(clients[0], LAB_TOUCH);
	assert_int_equal(lab_take_next(&lab).rq.type, WIRE_TOUCH);
	close(clients[0]);
	assert_int_equal(lab_take_next(&lab).rq.type, WIRE_DROP);
	lab_assert_left(&lab, ++gone, false);
	for (int i = 3; i < FRONT_CONNS_MAX; i++)
		close(clients[i]);
	do {
		got = lab_take_next(&lab);
		assert_int_equal(got.rq.type, WIRE_LEFT);
		assert_int_equal(got.rq.left.idle,
				 got.rq.left.ended == FRONT_CONNS_MAX + 1);
	} while (!got.rq.left.idle);
	/* Again, and only at the end of that one. */
	clients[0] = lab_connect(&lab);
	assert_false(lab_readable(lab.broker, 50));
	close(clients[0]);
	lab_assert_left(&lab, FRONT_CONNS_MAX + 2, true);
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(front_ends_when_the_broker_does),
		cmocka_unit_test(service_is_answered_without_the_broker),
		cmocka_unit_test(request_becomes_a_record_and_reply_a_message),
		cmocka_unit_test(what_a_connection_holds_is_dropped_with_it),
		cmocka_unit_test(errors_carry_what_was_asked_for),
		cmocka_unit_test(pipelined_calls_are_answered_in_their_order),
		cmocka_unit_test(very_many_pipelined_calls_do_not_keep_others_waiting),
		cmocka_unit_test(oneway_calls_have_no_reply),
		cmocka_unit_test(half_closed_client_gets_its_reply),
		cmocka_unit_test(client_that_goes_has_its_call_dropped),
		cmocka_unit_test(client_may_go_at_any_byte),
		cmocka_unit_test(documents_go_through_and_end),
		cmocka_unit_test(document_that_is_none_does_not_reach_the_client),
		cmocka_unit_test(requests_wait_for_a_busy_broker),
		cmocka_unit_test(broker_is_told_who_has_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
