/* SPDX-License-Identifier: Apache-2.0 */
/* Execs: output that the front carries, and detached ones. */
#include <sys/stat.h>

#include "base/base64.h"
#include "tests/unit/test_runtime_front_lab.h"

/* A command as the broker sees it. */
struct running {
	uint32_t tag;
	int in, out, error;
};

static struct running take_exec(const struct lab *lab)
{
	struct lab_request got = lab_take(lab);

	assert_int_equal(got.rq.type, WIRE_EXEC);
	assert_int_equal(got.count, 4);
	close(got.fds[0]);
	return (struct running){ got.rq.tag, got.fds[1], got.fds[2], got.fds[3] };
}

static void started(const struct lab *lab, const struct running *x)
{
	lab_reply(lab, x->tag,
		  (struct wire_reply){ .type = WIRE_STARTED, .started.exec = "e1" }, -1);
}

static void close_streams(struct running *x)
{
	fd_close(&x->in);
	fd_close(&x->out);
	fd_close(&x->error);
}

static void end_exec(const struct lab *lab, struct running *x, uint32_t reason,
		     int exit_code)
{
	close_streams(x);
	lab_reply(lab, x->tag, lab_result(reason, exit_code), -1);
}

/* What base64 stands for, appended to text. */
static void append(char *text, size_t *len, const json_t *value)
{
	size_t n = 0;

	if (!value)
		return;
	assert_int_equal(base64_decode(json_string_value(value),
				       json_string_length(value), text + *len, &n),
			 0);
	*len += n;
	text[*len] = '\0';
}

static void assert_reason(const json_t *message, const char *reason)
{
	const json_t *result = lab_value(message, "result");

	assert_string_equal(json_string_value(json_object_get(result, "reason")), reason);
}

/* --- output */

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

/* Writes `size` bytes that can be told apart, in a process of its own. */
static pid_t flood(struct running *x, uint64_t size)
{
	pid_t pid = fork();
	uint64_t done = 0;

	if (pid != 0) {
		close_streams(x);
		return pid;
	}
	signal(SIGPIPE, SIG_DFL);
	while (done < size) {
		unsigned char block[65536];
		size_t len = size - done < sizeof(block) ? (size_t)(size - done)
							 : sizeof(block);
		ssize_t n;

		for (size_t i = 0; i < len; i++)
			block[i] = (unsigned char)((done + i) % 251);
		n = write(x->out, block, len);
		if (n <= 0)
			_exit(1);
		done += (uint64_t)n;
	}
	_exit(0);
}

static void assert_flood(const char *text, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] != (from + i) % 251)
			fail_msg("byte %zu is another one", i);
	}
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

/* --- detached execs */

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
