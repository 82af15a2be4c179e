/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and records, and what clients do that they should not. */
#include "tests/unit/test_runtime_front_lab.h"

static struct front_limits quick(void)
{
	struct front_limits limits = front_limits_defaults();

	limits.message_ms = 300;
	limits.stall_ms = 500;
	return limits;
}

/* The front still does its work for others. */
static void assert_alive(const struct lab *lab)
{
	const struct wire_reply done = { .type = WIRE_DONE };
	struct lab_request got;
	int client = lab_connect(lab);

	lab_say(client, LAB_TOUCH);
	got = lab_take(lab);
	assert_int_equal(got.rq.type, WIRE_TOUCH);
	lab_reply(lab, got.rq.tag, done, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	close(client);
}

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
	assert_alive(&lab);
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
			assert_alive(&lab);
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
		assert_alive(&lab);
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
	assert_alive(&lab);
	before = lab_count_fds(lab.pid);
	for (size_t len = 0; len < sizeof(call); len++) {
		int client = lab_connect(&lab);

		assert_true(len == 0 || lab_send(client, call, len, NULL, 0));
		close(client);
	}
	assert_alive(&lab);
	assert_true(lab_count_fds(lab.pid) <= before + 1);
	lab_end(&lab);
}

/* --- documents */

static int document(const char *text)
{
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(wire_memfd("test", text, strlen(text), &fd, &e), 0);
	return fd;
}

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
	fd = document("{\"sandboxes\":[]}");
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
		fd = none ? -1 : document(wrong[i]);
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

/* --- bad input */

static void what_is_no_call_closes_the_connection_and_no_other(void **state)
{
	static const char *const wrong[] = {
		"",
		"x",
		"{}",
		"[1]",
		"{\"method\":",
		"{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":"
		"{\"name\":\"a\\u0000b\"}}",
		"{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":{\"name\":\"\xff\"}"
		"}",
		"{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":"
		"{\"name\":\"a\",\"name\":\"b\"}}",
	};
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	unsigned before;

	(void)state;
	assert_alive(&lab);
	before = lab_count_fds(lab.pid);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		int client = lab_connect(&lab);

		lab_say(client, wrong[i]);
		lab_assert_closed(client);
		close(client);
	}
	assert_alive(&lab);
	assert_true(lab_count_fds(lab.pid) <= before + 1);
	lab_end(&lab);
}

static void what_is_wrong_with_a_call_is_named(void **state)
{
	static const struct {
		const char *parameters, *wrong;
	} cases[] = {
		{ "{}", LAB_INVALID("name") },
		{ "{\"name\":\"\"}", LAB_INVALID("name") },
		{ "{\"name\":7}", LAB_INVALID("name") },
		{ "{\"name\":\"a\\nb\"}", LAB_INVALID("name") },
		{ "{\"name\":\"a\",\"x\":1}", LAB_INVALID("x") },
	};
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	char text[512], name[WIRE_NAME_MAX + 2];
	struct lab_request got;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":%s}",
			 cases[i].parameters);
		lab_say(client, text);
		lab_assert_heard(client, cases[i].wrong);
	}
	/* 128 bytes are a name, 129 are none. */
	memset(name, 'n', sizeof(name));
	for (int len = WIRE_NAME_MAX; len <= WIRE_NAME_MAX + 1; len++) {
		snprintf(text, sizeof(text),
			 "{\"method\":\"io.carrel.Pool.Touch\",\"parameters\":"
			 "{\"name\":\"%.*s\"}}",
			 len, name);
		lab_say(client, text);
		if (len == WIRE_NAME_MAX) {
			got = lab_take(&lab);
			assert_int_equal(strlen(got.rq.name.name), WIRE_NAME_MAX);
			lab_reply(&lab, got.rq.tag,
				  (struct wire_reply){ .type = WIRE_DONE }, -1);
			lab_assert_heard(client, "{\"parameters\":{}}");
		} else {
			lab_assert_heard(client, LAB_INVALID("name"));
		}
	}
	close(client);
	lab_end(&lab);
}

/* E-54: nothing of it is kept beyond the most that a message may have. */
static void message_without_end_is_cut_off(void **state)
{
	enum { PIECE = 1 << 20, ALL = 100 };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), sent = 0;
	char *piece = malloc(PIECE);

	(void)state;
	memset(piece, ' ', PIECE);
	while (sent < ALL && lab_send(client, piece, PIECE, NULL, 0))
		sent++;
	free(piece);
	assert_true(sent < 5);
	close(client);
	assert_alive(&lab);
	assert_true(lab_memory(lab.pid) < 16 << 10);
	lab_end(&lab);
}

static void slow_message_is_not_waited_for(void **state)
{
	const struct front_limits limits = quick();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), idle = lab_connect(&lab), sent = 0;
	uint64_t begin = lab_now();

	(void)state;
	/* A byte now and then does not begin the time anew. */
	while (lab_send(client, " ", 1, NULL, 0) && sent < 100) {
		sent++;
		usleep(20000);
	}
	assert_true(sent < 100);
	assert_in_range(lab_now() - begin, 250, 1500);
	/* Who has not begun a message may wait as long as it likes. */
	lab_say(idle, LAB_TOUCH);
	lab_take(&lab);
	usleep(400000);
	assert_false(lab_readable(idle, 0));
	close(client);
	close(idle);
	lab_end(&lab);
}

static void deep_nesting_closes_the_connection(void **state)
{
	enum { DEEP = 500000 };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	char *text = malloc(DEEP + 1);

	(void)state;
	memset(text, '[', DEEP);
	text[DEEP] = '\0';
	lab_send(client, text, DEEP + 1, NULL, 0);
	free(text);
	lab_assert_closed(client);
	close(client);
	assert_alive(&lab);
	lab_end(&lab);
}

/* What a client does not read is bounded, and after a while the client is gone. */
static void client_that_never_reads_is_closed(void **state)
{
	static const char call[] =
		"{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		"\"parameters\":{\"interface\":\"io.carrel.Pool\"}}";
	const struct front_limits limits = quick();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), sent = 0;
	uint64_t begin = lab_now();

	(void)state;
	while (sent < 100000 && lab_send(client, call, sizeof(call), NULL, 0))
		sent++;
	assert_true(sent < 20000);
	assert_in_range(lab_now() - begin, 400, 5000);
	assert_alive(&lab);
	assert_true(lab_memory(lab.pid) < 16 << 10);
	close(client);
	lab_end(&lab);
}

static void events_that_nobody_reads_close_the_connection(void **state)
{
	enum { SIZE = 100000 };
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	const struct wire_reply rp = { .type = WIRE_DOCUMENT, .more = 1 };
	int client = lab_connect(&lab), fd, sent = 0;
	struct lab_request got;
	char *text = malloc(SIZE);

	(void)state;
	memset(text, ' ', SIZE);
	memcpy(text, "{\"events\":[]}", 13);
	text[SIZE - 1] = '\0';
	fd = document(text);
	free(text);
	lab_say(client, "{\"method\":\"io.carrel.Pool.Events\",\"more\":true}");
	got = lab_take(&lab);
	while (!lab_asked(&lab, 5)) {
		lab_reply(&lab, got.rq.tag, rp, fd);
		assert_true(++sent < 200);
	}
	got = lab_take(&lab);
	assert_int_equal(got.rq.type, WIRE_DROP);
	assert_true(sent > 30);
	assert_true(lab_memory(lab.pid) < 32 << 10);
	close(fd);
	close(client);
	lab_end(&lab);
}

/* --- places */

/* FI-16. */
static void connections_beyond_the_most_are_told_so(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int clients[FRONT_CONNS_MAX], more;

	(void)state;
	for (int i = 0; i < FRONT_CONNS_MAX; i++) {
		clients[i] = lab_connect(&lab);
		lab_say(clients[i], "{\"method\":\"a.b.c\"}");
		json_decref(lab_hear(clients[i]));
	}
	more = lab_connect(&lab);
	lab_assert_heard(more, "{\"error\":\"io.carrel.Pool.Busy\",\"parameters\":"
			       "{\"what\":\"connections\",\"limit\":256}}");
	lab_assert_closed(more);
	close(more);
	close(clients[17]);
	usleep(50000);
	assert_alive(&lab);
	for (int i = 0; i < FRONT_CONNS_MAX; i++) {
		if (i != 17)
			close(clients[i]);
	}
	lab_end(&lab);
}

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
		cmocka_unit_test(what_is_no_call_closes_the_connection_and_no_other),
		cmocka_unit_test(what_is_wrong_with_a_call_is_named),
		cmocka_unit_test(message_without_end_is_cut_off),
		cmocka_unit_test(slow_message_is_not_waited_for),
		cmocka_unit_test(deep_nesting_closes_the_connection),
		cmocka_unit_test(client_that_never_reads_is_closed),
		cmocka_unit_test(events_that_nobody_reads_close_the_connection),
		cmocka_unit_test(connections_beyond_the_most_are_told_so),
		cmocka_unit_test(requests_wait_for_a_busy_broker),
		cmocka_unit_test(broker_is_told_who_has_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
