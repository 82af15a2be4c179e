/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include "tools/carrel.h"

#define STARTED "{\"parameters\":{\"started\":\"x1\"},\"continues\":true}"
#define ENDED(reason, code, more)                                           \
	"{\"parameters\":{\"result\":{\"exec\":\"x1\",\"reason\":\"" reason \
	"\",\"exit_code\":" #code more "}}}"

static void descriptors_are_passed_and_the_status_is_the_commands(void **state)
{
	static const struct exchange script[] = {
		{ .expect =
			  "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\",\"-i\"],"
			  "\"descriptors\":3},\"more\":true}",
		  .replies = { STARTED, ENDED("exit", 7, "") },
		  .fds = 3,
		  .write = "from inside" },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_exec, script, WORDS("a", "--", "x", "-i"), 7, "from inside",
		      "");
	script_expect(cmd_exec, script, WORDS("a", "x", "-i"), 7, "from inside", "");
}

static void options_become_parameters_with_their_units(void **state)
{
	static const struct exchange script[] = {
		{ .expect =
			  "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			  "\"cwd\":\"/tmp\",\"uid\":7,\"gid\":8,\"timeout\":1500,"
			  "\"limits\":{\"memory\":67108864,\"cpu_milli\":500,\"pids\":9},"
			  "\"env\":{\"A\":\"1=2\",\"B\":\"\"},\"descriptors\":3},"
			  "\"more\":true}",
		  .replies = { STARTED, ENDED("exit", 0, "") },
		  .fds = 3 },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_exec, script,
		      WORDS("-w/tmp", "-u", "7:8", "--timeout=1500ms", "-m64m",
			    "--cpus=.5", "a", "x"),
		      125, "",
		      "carrel: exec: --cpus: \".5\" is neither a limit such as 1.5 nor "
		      "\"unlimited\"\n");
	script_expect(cmd_exec, script,
		      WORDS("-w/tmp", "-u7:8", "--timeout=1500ms", "-m64m", "--cpus=0.5",
			    "--pids-limit=9", "-eA=1=2", "-e", "B=", "a", "x"),
		      0, "", "");
}

static void streams_are_decoded_and_what_was_dropped_is_told(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			    "\"max_output\":4096,\"end_on_max_output\":true},"
			    "\"more\":true}",
		  .replies = { STARTED,
			       "{\"parameters\":{\"stdout\":\"aGk=\",\"stderr\":\"bm8K\"}"
			       ","
			       "\"continues\":true}",
			       "{\"parameters\":{\"stdout\":\"IQ==\"},\"continues\":"
			       "true}",
			       ENDED("output", 137, ",\"truncated\":12") } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_exec, script,
		      WORDS("--max-output", "4k", "--end-on-max-output", "a", "x"), 137,
		      "hi!",
		      "no\ncarrel: exec: ended: it has written more than --max-output\n"
		      "carrel: exec: 12 bytes of output were dropped\n");
}

static void output_that_is_no_base64_is_an_error(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			    "\"max_output\":1},\"more\":true}",
		  .replies = { "{\"parameters\":{\"stdout\":\"a\"},\"continues\":"
			       "true}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_exec, script, WORDS("--max-output=1", "a", "x"), 125, "",
		      "carrel: exec: the output that carreld sends is no base64\n");
}

static void standard_input_goes_along_where_streams_do(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			    "\"max_output\":1024,\"stdin\":\"aGVsbG8=\"},\"more\":true}",
		  .replies = { STARTED, ENDED("exit", 0, "") } },
		{ .expect = NULL },
	};
	static struct outcome o;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "hello", 5), 5);
	close(fds[1]);
	script_run(cmd_exec, script, WORDS("-i", "--max-output=1k", "a", "x"), fds[0],
		   &o);
	close(fds[0]);
	assert_string_equal(o.err, "");
	assert_int_equal(o.status, 0);
}

static void a_directory_as_input_means_streams(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			    "\"descriptors\":3},\"more\":true}",
		  .replies = { STARTED, ENDED("exit", 0, "") },
		  .fds = 3 },
		{ .expect = NULL },
	};
	static struct outcome o;
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	/* Without -i it is not passed at all. */
	script_run(cmd_exec, script, WORDS("a", "x"), directory, &o);
	assert_string_equal(o.err, "");
	script_run(cmd_exec, script, WORDS("-i", "a", "x"), directory, &o);
	assert_string_equal(o.err, "carrel: exec: read standard input: Is a directory\n");
	assert_int_equal(o.status, 125);
	close(directory);
}

static void how_it_ended_is_told_where_the_status_does_not(void **state)
{
	static const struct {
		const char *reply, *err;
		int status;
	} ends[] = {
		{ ENDED("start_failed", 127, ",\"error\":\"x: not found\\u001b\""),
		  "carrel: exec: x: not found\\x1b\n", 127 },
		{ ENDED("timeout", 124, ""), "", 124 },
		{ ENDED("cancelled", 137, ""), "carrel: exec: ended: it was cancelled\n",
		  137 },
		{ ENDED("stopped", 143, ""),
		  "carrel: exec: ended: its sandbox was stopped\n", 143 },
		{ ENDED("signal", 137, ""), "", 137 },
		{ "{\"parameters\":{}}", "carrel: exec: carreld has sent no result\n",
		  125 },
		{ "[]", "carrel: exec: what carreld says is not Varlink\n", 125 },
		{ "{\"error\":\"io.carrel.Pool.Busy\",\"parameters\":{\"what\":\"execs\","
		  "\"limit\":4}}",
		  "carrel: exec: the limit of execs is reached, 4\n", 125 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		const struct exchange script[] = {
			{ .expect =
				  "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"]"
				  ",\"descriptors\":3},\"more\":true}",
			  .replies = { ends[i].reply },
			  .fds = 3 },
			{ .expect = NULL },
		};

		script_expect(cmd_exec, script, WORDS("a", "x"), ends[i].status, "",
			      ends[i].err);
	}
}

static void detached_prints_the_id_and_does_not_wait(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Exec\",\"parameters\":{\"name\":\"a\",\"argv\":[\"x\"],"
			    "\"detach\":true}}",
		  .replies = { "{\"parameters\":{\"started\":\"x9\"}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_exec, script, WORDS("-d", "a", "x"), 0, "x9\n", "");
}

static void what_cannot_be_together_is_refused_before_anything_is_asked(void **state)
{
	static const struct exchange script[] = { { .expect = NULL } };
	static const struct {
		const char *words[6], *err;
	} wrong[] = {
		{ { "--end-on-max-output", "a", "x" },
		  "--end-on-max-output needs --max-output" },
		{ { "-t", "-d", "a", "x" }, "--tty and --detach exclude each other" },
		{ { "-t", "--max-output=1", "a", "x" },
		  "--tty and --max-output exclude each other" },
		{ { "-t", "a", "x" }, "--tty: standard input is not a terminal" },
		{ { "a", "--" }, "no command given" },
		{ { "-m", "unlimited", "a", "x" },
		  "-m: carreld gives nothing without limit" },
		{ { "-eA=\xff", "a", "x" },
		  "environment variable is not UTF-8, in which carreld is spoken to: "
		  "\"A=\\xff\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char err[256];

		assert_int_equal(
			str_format(err, sizeof(err), "carrel: exec: %s\n", wrong[i].err),
			0);
		script_expect(cmd_exec, script, wrong[i].words, 125, "", err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_passed_and_the_status_is_the_commands),
		cmocka_unit_test(options_become_parameters_with_their_units),
		cmocka_unit_test(streams_are_decoded_and_what_was_dropped_is_told),
		cmocka_unit_test(output_that_is_no_base64_is_an_error),
		cmocka_unit_test(standard_input_goes_along_where_streams_do),
		cmocka_unit_test(a_directory_as_input_means_streams),
		cmocka_unit_test(how_it_ended_is_told_where_the_status_does_not),
		cmocka_unit_test(detached_prints_the_id_and_does_not_wait),
		cmocka_unit_test(
			what_cannot_be_together_is_refused_before_anything_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
