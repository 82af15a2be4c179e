/* SPDX-License-Identifier: Apache-2.0 */
/* What clients do that they should not. */
#include "tests/unit/test_runtime_front_lab.h"

static struct front_limits quick(void)
{
	struct front_limits limits = front_limits_defaults();

	limits.message_ms = 300;
	limits.stall_ms = 500;
	return limits;
}

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
	lab_assert_alive(&lab);
	before = lab_count_fds(lab.pid);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		int client = lab_connect(&lab);

		lab_say(client, wrong[i]);
		lab_assert_closed(client);
		close(client);
	}
	lab_assert_alive(&lab);
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
	lab_assert_alive(&lab);
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
	lab_assert_alive(&lab);
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
	lab_assert_alive(&lab);
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
	fd = lab_document(text);
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
	lab_assert_alive(&lab);
	for (int i = 0; i < FRONT_CONNS_MAX; i++) {
		if (i != 17)
			close(clients[i]);
	}
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_call_closes_the_connection_and_no_other),
		cmocka_unit_test(what_is_wrong_with_a_call_is_named),
		cmocka_unit_test(message_without_end_is_cut_off),
		cmocka_unit_test(slow_message_is_not_waited_for),
		cmocka_unit_test(deep_nesting_closes_the_connection),
		cmocka_unit_test(client_that_never_reads_is_closed),
		cmocka_unit_test(events_that_nobody_reads_close_the_connection),
		cmocka_unit_test(connections_beyond_the_most_are_told_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
