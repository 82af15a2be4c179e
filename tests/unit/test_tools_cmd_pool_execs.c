/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include "tools/carrel.h"

#define RESULT "{\"exec\":\"x1\",\"reason\":\"exit\",\"exit_code\":3}"

static void execs_are_listed_with_their_words_cut_and_escaped(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Execs\",\"parameters\":{\"name\":\"a\"}}",
		  .replies = { "{\"parameters\":{\"execs\":[{\"id\":\"x1\",\"argv\":["
			       "\"sh\","
			       "\"-c\",\"\\u001b[2J\"],\"running\":true,\"detached\":"
			       "false,"
			       "\"started\":1000},{\"id\":\"x2\",\"argv\":[\"0123456789"
			       "0123456789012345678901234567890\"],\"running\":false,"
			       "\"detached\":true,\"started\":0,\"result\":" RESULT
			       "}]}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(
		cmd_execs, script, WORDS("a"), 0,
		"ID   COMMAND                                   STATUS            "
		"DETACHED   STARTED\n"
		"x1   sh -c \\x1b[2J                             Running           no "
		"        1970-01-01T00:00:01.000Z\n"
		"x2   012345678901234567890123456789012345...   Ended: exit (3)   yes"
		"        \n",
		"");
	script_expect(cmd_execs, script, WORDS("-q", "a"), 0, "x1\nx2\n", "");
}

static void kill_sends_the_signal_that_is_named(void **state)
{
	static const struct {
		const char *words[4], *expect;
	} kills[] = {
		{ { "a", "x1" },
		  "Kill\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\",\"signal\":9}"
		  "}" },
		{ { "-sterm", "a", "x1" },
		  "Kill\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\",\"signal\":15}"
		  "}" },
		{ { "--signal=SIGUSR1", "a", "x1" },
		  "Kill\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\",\"signal\":10}"
		  "}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kills) / sizeof(*kills); i++) {
		const struct exchange script[] = {
			{ .expect = kills[i].expect,
			  .replies = { "{\"parameters\":{}}" } },
			{ .expect = NULL },
		};

		script_expect(cmd_kill, script, kills[i].words, 0, "", "");
	}
}

static void cancel_names_the_exec(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Cancel\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\"}}",
		  .replies = { "{\"error\":\"io.carrel.Pool.NoSuchExec\",\"parameters\":{"
			       "\"name\":\"a\",\"exec\":\"x1\"}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_cancel, script, WORDS("a", "x1"), 125, "",
		      "carrel: cancel: \"a\" has no exec \"x1\"\n");
}

static void wait_prints_the_status_or_the_whole_result(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Wait\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\","
			    "\"keep\":"
			    "false}}",
		  .replies = { "{\"parameters\":{\"result\":" RESULT "}}" } },
		{ .expect = NULL },
	};
	static const struct exchange keep[] = {
		{ .expect = "Wait\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\","
			    "\"keep\":"
			    "true}}",
		  .replies = { "{\"parameters\":{\"result\":" RESULT "}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_wait, script, WORDS("a", "x1"), 0, "3\n", "");
	script_expect(cmd_wait, keep, WORDS("--keep", "--format=json", "a", "x1"), 0,
		      RESULT "\n", "");
}

static void logs_go_on_from_the_offset_and_say_what_is_gone(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Output\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\","
			    "\"stream\":\"stderr\",\"offset\":2}}",
		  .replies = { "{\"parameters\":{\"start\":5,\"data\":\"aGk=\",\"next\":"
			       "7,"
			       "\"end\":false}}" } },
		{ .expect = "Output\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\","
			    "\"stream\":\"stderr\",\"offset\":7}}",
		  .replies = { "{\"parameters\":{\"start\":7,\"data\":\"\",\"next\":7,"
			       "\"end\":false}}" } },
		{ .expect = "Output\",\"parameters\":{\"name\":\"a\",\"exec\":\"x1\","
			    "\"stream\":\"stderr\",\"offset\":7}}",
		  .replies = { "{\"parameters\":{\"start\":7,\"data\":\"IQ==\",\"next\":"
			       "8,"
			       "\"end\":true}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_logs, script, WORDS("--stderr", "--offset=2", "a", "x1"), 0,
		      "hi", "carrel: logs: 3 bytes are gone\n");
	script_expect(cmd_logs, script, WORDS("-f", "--stderr", "--offset=2", "a", "x1"),
		      0, "hi!", "carrel: logs: 3 bytes are gone\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(execs_are_listed_with_their_words_cut_and_escaped),
		cmocka_unit_test(kill_sends_the_signal_that_is_named),
		cmocka_unit_test(cancel_names_the_exec),
		cmocka_unit_test(wait_prints_the_status_or_the_whole_result),
		cmocka_unit_test(logs_go_on_from_the_offset_and_say_what_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
