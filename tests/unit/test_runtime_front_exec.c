/* SPDX-License-Identifier: Apache-2.0 */
/* Execs whose client waits: output that the front carries. */
#include <sys/stat.h>

#include "tests/unit/test_runtime_front_running.h"

static void output_comes_with_the_only_reply(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x;
	char text[64];
	size_t len = 0;
	json_t *message;
	struct stat st;

	(void)state;
	lab_say(client, LAB_EXEC(",\"stdin\":\"aW5wdXQ=\""));
	x = take_exec(&lab);
	started(&lab, &x);
	/* Read at once, by whoever; written to, by no one. */
	assert_int_equal(read(x.in, text, sizeof(text)), 5);
	assert_memory_equal(text, "input", 5);
	assert_int_equal(write(x.in, "x", 1), -1);
	assert_int_equal(fstat(x.out, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0622);
	assert_int_equal(fcntl(x.out, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(write(x.out, "hel", 3), 3);
	assert_int_equal(write(x.error, "oops\0", 5), 5);
	usleep(20000);
	assert_int_equal(write(x.out, "lo", 2), 2);
	assert_false(lab_readable(client, 20));
	end_exec(&lab, &x, WIRE_EXITED, 3);
	message = lab_hear(client);
	assert_null(json_object_get(message, "continues"));
	append(text, &len, lab_value(message, "stdout"));
	assert_string_equal(text, "hello");
	len = 0;
	append(text, &len, lab_value(message, "stderr"));
	assert_int_equal(len, 5);
	assert_int_equal(lab_result_number(message, "exit_code"), 3);
	assert_int_equal(lab_result_number(message, "truncated"), 0);
	assert_reason(message, "exit");
	json_decref(message);
	close(client);
	lab_end(&lab);
}

static void no_output_is_empty_output(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x;
	json_t *message;
	char byte;

	(void)state;
	for (int i = 0; i < 3; i++) {
		lab_say(client, LAB_EXEC(""));
		x = take_exec(&lab);
		started(&lab, &x);
		assert_int_equal(read(x.in, &byte, 1), 0);
		end_exec(&lab, &x, WIRE_SIGNALLED, 137);
		message = lab_hear(client);
		assert_string_equal(json_string_value(lab_value(message, "stdout")), "");
		assert_string_equal(json_string_value(lab_value(message, "stderr")), "");
		assert_reason(message, "signal");
		json_decref(message);
	}
	close(client);
	lab_end(&lab);
}

static void output_comes_in_pieces_to_who_wants_more(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x;
	json_t *message;

	(void)state;
	lab_say(client, LAB_EXEC_MORE(""));
	x = take_exec(&lab);
	started(&lab, &x);
	lab_assert_heard(client,
			 "{\"parameters\":{\"started\":\"e1\"},\"continues\":true}");
	assert_int_equal(write(x.out, "hi", 2), 2);
	lab_assert_heard(client,
			 "{\"parameters\":{\"stdout\":\"aGk=\"},\"continues\":true}");
	assert_int_equal(write(x.error, "hi", 2), 2);
	lab_assert_heard(client,
			 "{\"parameters\":{\"stderr\":\"aGk=\"},\"continues\":true}");
	end_exec(&lab, &x, WIRE_EXITED, 0);
	message = lab_hear(client);
	assert_null(json_object_get(message, "continues"));
	assert_null(lab_value(message, "stdout"));
	assert_int_equal(lab_result_number(message, "truncated"), 0);
	json_decref(message);
	close(client);
	lab_end(&lab);
}

/* FI-14: head and tail are kept, memory stays as it is, the count is exact. */
static void flood_is_drained_counted_and_cut(void **state)
{
	const uint64_t size = 600ull << 20;
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);

	(void)state;
	for (int more = 0; more <= 1; more++) {
		int client = lab_connect(&lab), status = -1;
		char *text = malloc(4 << 20);
		struct running x;
		size_t len = 0;
		json_t *message;
		pid_t pid;

		lab_say(client, more ? LAB_EXEC_MORE(",\"max_output\":1000001")
				     : LAB_EXEC(",\"max_output\":1000001"));
		x = take_exec(&lab);
		started(&lab, &x);
		pid = flood(&x, size);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_true(lab_memory(lab.pid) < 8 << 10);
		lab_reply(&lab, x.tag, lab_result(WIRE_EXITED, 0), -1);
		do {
			message = lab_hear(client);
			append(text, &len, lab_value(message, "stdout"));
			if (!lab_value(message, "result"))
				json_decref(message);
		} while (!lab_value(message, "result"));
		assert_int_equal(len, 1000001);
		assert_flood(text, 0, 500001);
		assert_flood(text + 500001, size - 500000, 500000);
		assert_int_equal(lab_result_number(message, "truncated"), size - 1000001);
		json_decref(message);
		free(text);
		close(client);
	}
	lab_end(&lab);
}

static void command_that_writes_too_much_is_ended(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), status;
	struct lab_request drop;
	char text[256];
	struct running x;
	size_t len = 0;
	json_t *message;
	pid_t pid;

	(void)state;
	lab_say(client, LAB_EXEC(",\"max_output\":100,\"end_on_max_output\":true"));
	x = take_exec(&lab);
	started(&lab, &x);
	assert_int_equal(write(x.out, "0123456789", 10), 10);
	assert_false(lab_asked(&lab, 30));
	pid = flood(&x, 1ull << 40);
	drop = lab_take(&lab);
	assert_int_equal(drop.rq.type, WIRE_DROP);
	assert_int_equal(drop.rq.tag, x.tag);
	assert_int_equal(drop.rq.end.reason, WIRE_OUTPUT);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	lab_reply(&lab, x.tag, lab_result(WIRE_OUTPUT, 137), -1);
	message = lab_hear(client);
	assert_reason(message, "output");
	append(text, &len, lab_value(message, "stdout"));
	assert_int_equal(len, 100);
	assert_memory_equal(text, "0123456789", 10);
	assert_flood(text + 10, 0, 90);
	assert_true(lab_result_number(message, "truncated") > 0);
	assert_false(lab_asked(&lab, 30));
	json_decref(message);
	close(client);
	lab_end(&lab);
}

/* E-39. */
static void survivor_with_the_pipe_does_not_delay_the_reply(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct running x;
	json_t *message;
	uint64_t begin;

	(void)state;
	lab_say(client, LAB_EXEC(""));
	x = take_exec(&lab);
	started(&lab, &x);
	assert_int_equal(write(x.out, "hi", 2), 2);
	begin = lab_now();
	lab_reply(&lab, x.tag, lab_result(WIRE_EXITED, 0), -1);
	usleep(30000);
	assert_int_equal(write(x.out, "ho", 2), 2);
	message = lab_hear(client);
	assert_in_range(lab_now() - begin, 90, 1000);
	assert_string_equal(json_string_value(lab_value(message, "stdout")), "aGlobw==");
	json_decref(message);
	close_streams(&x);
	close(client);
	lab_end(&lab);
}

/* E-37: one exec's flood leaves others their turn; a client that does not read holds up
 * neither its command nor the front. */
static void client_that_does_not_read_holds_nothing_up(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab), other = lab_connect(&lab), status;
	struct running x;
	uint64_t worst = 0;
	pid_t pid;

	(void)state;
	lab_say(client, LAB_EXEC_MORE(",\"max_output\":16777216"));
	x = take_exec(&lab);
	started(&lab, &x);
	pid = flood(&x, 400ull << 20);
	for (int i = 0; i < 50; i++) {
		uint64_t begin = lab_now();

		lab_say(other, "{\"method\":\"a.b.C\"}");
		json_decref(lab_hear(other));
		worst = lab_now() - begin > worst ? lab_now() - begin : worst;
	}
	assert_true(worst < 500);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(lab_memory(lab.pid) < 24 << 10);
	close(client);
	close(other);
	lab_end(&lab);
}

/* FI-08: at each byte of the replies; the command's pipes go with the client. */
static void client_that_goes_has_its_command_cancelled(void **state)
{
	static const char reply[] =
		"{\"parameters\":{\"started\":\"e1\"},\"continues\":true}";
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	struct lab_request drop;
	unsigned before = 0;

	(void)state;
	for (size_t bytes = 0; bytes <= sizeof(reply); bytes++) {
		int client = lab_connect(&lab);
		char text[64];
		struct running x;

		lab_say(client, LAB_EXEC_MORE(""));
		x = take_exec(&lab);
		started(&lab, &x);
		for (size_t i = 0; i < bytes; i++) {
			assert_true(lab_readable(client, LAB_WAIT_MS));
			assert_int_equal(recv(client, text, 1, 0), 1);
		}
		close(client);
		drop = lab_take(&lab);
		assert_int_equal(drop.rq.type, WIRE_DROP);
		assert_int_equal(drop.rq.end.reason, WIRE_CANCELLED);
		signal(SIGPIPE, SIG_IGN);
		for (int i = 0; i < 100 && write(x.out, "x", 1) == 1; i++)
			usleep(1000);
		assert_int_equal(write(x.out, "x", 1), -1);
		end_exec(&lab, &x, WIRE_CANCELLED, 137);
		usleep(1000);
		if (bytes == 0)
			before = lab_count_fds(lab.pid);
	}
	assert_true(lab_count_fds(lab.pid) <= before);
	lab_end(&lab);
}

static void exec_that_cannot_start_is_an_error(void **state)
{
	const struct front_limits limits = front_limits_defaults();
	struct lab lab = lab_start(&limits);
	int client = lab_connect(&lab);
	struct wire_reply rp = {
		.type = WIRE_ERROR,
		.error = { .code = WIRE_BUSY, .limit = 3, .what = "execs" }
	};
	struct running x;

	(void)state;
	lab_say(client, LAB_EXEC_MORE(""));
	x = take_exec(&lab);
	lab_reply(&lab, x.tag, rp, -1);
	lab_assert_heard(client, "{\"error\":\"io.carrel.Pool.Busy\",\"parameters\":"
				 "{\"what\":\"execs\",\"limit\":3}}");
	close_streams(&x);
	close(client);
	lab_end(&lab);
}

static void memory_for_output_is_bounded(void **state)
{
	struct front_limits limits = front_limits_defaults();
	struct lab lab;
	int clients[3];
	struct running x[2];
	json_t *message;

	(void)state;
	limits.memory = (2 * 2 + 1) << 20;
	lab = lab_start(&limits);
	for (int i = 0; i < 3; i++) {
		clients[i] = lab_connect(&lab);
		lab_say(clients[i], LAB_EXEC(""));
		if (i < 2)
			x[i] = take_exec(&lab);
	}
	message = lab_hear(clients[2]);
	assert_string_equal(json_string_value(json_object_get(message, "error")),
			    "io.carrel.Pool.Busy");
	json_decref(message);
	started(&lab, &x[0]);
	end_exec(&lab, &x[0], WIRE_EXITED, 0);
	json_decref(lab_hear(clients[0]));
	lab_say(clients[2], LAB_EXEC(""));
	x[0] = take_exec(&lab);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close_streams(&x[0]);
	close_streams(&x[1]);
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_comes_with_the_only_reply),
		cmocka_unit_test(no_output_is_empty_output),
		cmocka_unit_test(output_comes_in_pieces_to_who_wants_more),
		cmocka_unit_test(flood_is_drained_counted_and_cut),
		cmocka_unit_test(command_that_writes_too_much_is_ended),
		cmocka_unit_test(survivor_with_the_pipe_does_not_delay_the_reply),
		cmocka_unit_test(client_that_does_not_read_holds_nothing_up),
		cmocka_unit_test(client_that_goes_has_its_command_cancelled),
		cmocka_unit_test(exec_that_cannot_start_is_an_error),
		cmocka_unit_test(memory_for_output_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
