/* SPDX-License-Identifier: Apache-2.0 */
/* Detached execs: output that is kept for who asks for it. */
#include "tests/unit/test_runtime_front_running.h"

/* Starts one and returns what the broker has of it. */
static struct running start_detached(const struct lab *lab, int client)
{
	struct running x;

	lab_say(client, LAB_EXEC(",\"detach\":true"));
	x = take_exec(lab);
	started(lab, &x);
	lab_assert_heard(client, "{\"parameters\":{\"started\":\"e1\"}}");
	return x;
}

static json_t *output(int client, const char *stream, uint64_t offset)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"method\":\"io.carrel.Pool.Output\",\"parameters\":{\"name\":"
		 "\"alice\","
		 "\"exec\":\"e1\",\"stream\":\"%s\",\"offset\":%llu}}",
		 stream, (unsigned long long)offset);
	lab_say(client, text);
	return lab_hear(client);
}

static void assert_output(int client, uint64_t offset, uint64_t start, const char *base64,
			  uint64_t next, bool end)
{
	json_t *message = output(client, "stdout", offset);

	assert_int_equal(json_integer_value(lab_value(message, "start")), start);
	assert_string_equal(json_string_value(lab_value(message, "data")), base64);
	assert_int_equal(json_integer_value(lab_value(message, "next")), next);
	assert_int_equal(json_is_true(lab_value(message, "end")), end);
	json_decref(message);
}

static void assert_no_such_exec(int client)
{
	json_t *message = output(client, "stdout", 0);

	assert_string_equal(json_string_value(json_object_get(message, "error")),
			    "io.carrel.Pool.NoSuchExec");
	json_decref(message);
}

static void output_of_a_detached_exec_is_read_later(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x = start_detached(&lab, client);
	json_t *message;

	(void)state;
	assert_output(client, 0, 0, "", 0, false);
	assert_int_equal(write(x.out, "hello", 5), 5);
	assert_int_equal(write(x.error, "hi", 2), 2);
	usleep(50000);
	/* The connection that began it may go. */
	close(client);
	assert_false(lab_asked(&lab, 50));
	client = lab_connect(&lab);
	assert_output(client, 0, 0, "aGVsbG8=", 5, false);
	assert_output(client, 3, 3, "bG8=", 5, false);
	assert_output(client, 99, 5, "", 5, false);
	close_streams(&x);
	usleep(50000);
	assert_output(client, 5, 5, "", 5, true);
	message = output(client, "stderr", 0);
	assert_string_equal(json_string_value(lab_value(message, "data")), "aGk=");
	json_decref(message);
	close(client);
	lab_end(&lab);
}

static void last_output_of_a_detached_exec_is_kept(void **state)
{
	const uint64_t size = 50000000;
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), status;
	struct running x = start_detached(&lab, client);
	char *text = malloc((1 << 20) + 1);
	pid_t pid = flood(&x, size);
	struct lab_request got;
	json_t *message;
	size_t len = 0;

	(void)state;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	usleep(100000);
	message = output(client, "stdout", 17);
	assert_int_equal(json_integer_value(lab_value(message, "start")),
			 size - FRONT_RING_SIZE);
	assert_int_equal(json_integer_value(lab_value(message, "next")), size);
	append(text, &len, lab_value(message, "data"));
	assert_int_equal(len, FRONT_RING_SIZE);
	assert_flood(text, size - FRONT_RING_SIZE, len);
	json_decref(message);
	free(text);
	lab_say(client, "{\"method\":\"io.carrel.Pool.Wait\",\"parameters\":"
			"{\"name\":\"alice\",\"exec\":\"e1\"}}");
	got = lab_take(&lab);
	lab_reply(&lab, got.rq.tag, lab_result(WIRE_EXITED, 0), -1);
	message = lab_hear(client);
	assert_int_equal(lab_result_number(message, "truncated"), size - FRONT_RING_SIZE);
	json_decref(message);
	close(client);
	lab_end(&lab);
}

static void detached_exec_is_forgotten_when_waited_for(void **state)
{
	static const char wait_keep[] =
		"{\"method\":\"io.carrel.Pool.Wait\",\"parameters\":"
		"{\"name\":\"alice\",\"exec\":\"e1\",\"keep\":true}}";
	static const char wait_last[] =
		"{\"method\":\"io.carrel.Pool.Wait\",\"parameters\":"
		"{\"name\":\"alice\",\"exec\":\"e1\"}}";
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x = start_detached(&lab, client);
	struct lab_request got;
	json_t *message;

	(void)state;
	close_streams(&x);
	for (int last = 0; last <= 1; last++) {
		lab_say(client, last ? wait_last : wait_keep);
		got = lab_take(&lab);
		assert_int_equal(got.rq.type, WIRE_WAIT);
		assert_string_equal(got.rq.exec_ref.exec, "e1");
		assert_int_equal(got.rq.exec_ref.keep, !last);
		lab_reply(&lab, got.rq.tag, lab_result(WIRE_EXITED, 4), -1);
		message = lab_hear(client);
		assert_int_equal(lab_result_number(message, "exit_code"), 4);
		json_decref(message);
		if (!last)
			assert_output(client, 0, 0, "", 0, true);
	}
	assert_no_such_exec(client);
	close(client);
	lab_end(&lab);
}

static void detached_exec_is_forgotten_in_the_end(void **state)
{
	struct front_limits limits = front_limits_defaults();
	struct lab lab;
	struct running x;
	unsigned before;
	int client;

	(void)state;
	limits.forget_ms = 200;
	lab = lab_start(&limits);
	client = lab_connect(&lab);
	assert_no_such_exec(client);
	before = lab_count_fds(lab.pid);
	x = start_detached(&lab, client);
	usleep(300000);
	/* Not while it runs. */
	assert_output(client, 0, 0, "", 0, false);
	close_streams(&x);
	usleep(50000);
	assert_output(client, 0, 0, "", 0, true);
	usleep(300000);
	assert_no_such_exec(client);
	lab_assert_fds(&lab, before);
	close(client);
	lab_end(&lab);
}

/* FI-08: the client goes before it can know that it has started. */
static void detached_exec_lives_on_without_its_client(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x;

	(void)state;
	lab_say(client, LAB_EXEC(",\"detach\":true"));
	x = take_exec(&lab);
	close(client);
	assert_false(lab_asked(&lab, 50));
	started(&lab, &x);
	assert_int_equal(write(x.out, "hello", 5), 5);
	usleep(50000);
	client = lab_connect(&lab);
	assert_output(client, 0, 0, "aGVsbG8=", 5, false);
	close_streams(&x);
	close(client);
	lab_end(&lab);
}

/* What is kept would be lost with the front. */
static void front_that_keeps_output_is_not_idle(void **state)
{
	struct front_limits limits = front_limits_defaults();
	struct lab lab;
	struct running x;
	int client;

	(void)state;
	limits.forget_ms = 200;
	lab = lab_start(&limits);
	client = lab_connect(&lab);
	lab_say(client, LAB_EXEC(",\"detach\":true"));
	x = take_exec(&lab);
	/* Neither before it has started, nor after it has ended. */
	close(client);
	lab_assert_left(&lab, 1, false);
	started(&lab, &x);
	assert_false(lab_readable(lab.broker, 50));
	close_streams(&x);
	lab_assert_left(&lab, 1, true);
	client = lab_connect(&lab);
	close(client);
	lab_assert_left(&lab, 2, true);
	lab_end(&lab);
}

static void oldest_ended_detached_exec_makes_room(void **state)
{
	struct front_limits limits = front_limits_defaults();
	struct lab lab;
	int client;
	struct running x;

	(void)state;
	limits.memory = 3 << 20;
	lab = lab_start(&limits);
	client = lab_connect(&lab);
	x = start_detached(&lab, client);
	lab_say(client, LAB_EXEC(""));
	{
		json_t *message = lab_hear(client);

		assert_string_equal(json_string_value(json_object_get(message, "error")),
				    "io.carrel.Pool.Busy");
		json_decref(message);
	}
	close_streams(&x);
	usleep(50000);
	lab_say(client, LAB_EXEC(""));
	x = take_exec(&lab);
	close_streams(&x);
	close(client);
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_of_a_detached_exec_is_read_later),
		cmocka_unit_test(last_output_of_a_detached_exec_is_kept),
		cmocka_unit_test(detached_exec_is_forgotten_when_waited_for),
		cmocka_unit_test(detached_exec_is_forgotten_in_the_end),
		cmocka_unit_test(detached_exec_lives_on_without_its_client),
		cmocka_unit_test(front_that_keeps_output_is_not_idle),
		cmocka_unit_test(oldest_ended_detached_exec_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
