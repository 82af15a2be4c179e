/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include "tools/carrel.h"

#define NOTHING "{\"parameters\":{}}"
#define NO_SUCH(name)                                                                  \
	"{\"error\":\"io.carrel.Pool.NoSuchSandbox\",\"parameters\":{\"name\":\"" name \
	"\"}}"

static void each_name_is_asked_for_and_printed(void **state)
{
	static const struct {
		int (*command)(char **);
		const char *first, *second;
	} verbs[] = {
		{ cmd_pause, "Pause\",\"parameters\":{\"name\":\"a\"}}",
		  "Pause\",\"parameters\":{\"name\":\"b\"}}" },
		{ cmd_unpause, "Unpause\",\"parameters\":{\"name\":\"a\"}}",
		  "Unpause\",\"parameters\":{\"name\":\"b\"}}" },
		{ cmd_touch, "Touch\",\"parameters\":{\"name\":\"a\"}}",
		  "Touch\",\"parameters\":{\"name\":\"b\"}}" },
		{ cmd_stop, "Stop\",\"parameters\":{\"name\":\"a\"}}",
		  "Stop\",\"parameters\":{\"name\":\"b\"}}" },
		{ cmd_rm, "Remove\",\"parameters\":{\"name\":\"a\",\"force\":false}}",
		  "Remove\",\"parameters\":{\"name\":\"b\",\"force\":false}}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		const struct exchange script[] = {
			{ .expect = verbs[i].first, .replies = { NOTHING } },
			{ .expect = verbs[i].second, .replies = { NOTHING } },
			{ .expect = NULL },
		};

		script_expect(verbs[i].command, script, WORDS("a", "b"), 0, "a\nb\n", "");
	}
}

static void a_failure_is_told_and_the_next_name_is_done(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Touch\",\"parameters\":{\"name\":\"a\"}}",
		  .replies = { NO_SUCH("a") } },
		{ .expect = "Touch\",\"parameters\":{\"name\":\"b\"}}",
		  .replies = { NOTHING } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_touch, script, WORDS("a", "b"), 125, "b\n",
		      "carrel: touch: no sandbox is called \"a\"\n");
}

static void a_connection_that_ends_ends_it(void **state)
{
	static const struct exchange script[] = { { .expect = NULL } };

	(void)state;
	script_expect(cmd_touch, script, WORDS("a", "b"), 125, "",
		      "carrel: touch: carreld has closed the connection\n");
}

static void rm_by_force_takes_what_is_absent_for_removed(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Remove\",\"parameters\":{\"name\":\"a\",\"force\":true}}",
		  .replies = { NO_SUCH("a") } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_rm, script, WORDS("-f", "a"), 0, "a\n", "");
}

static void stop_says_how_long_to_wait(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Stop\",\"parameters\":{\"name\":\"a\",\"grace\":0}}",
		  .replies = { NOTHING } },
		{ .expect = NULL },
	};
	static const struct exchange longer[] = {
		{ .expect = "Stop\",\"parameters\":{\"name\":\"a\",\"grace\":90000}}",
		  .replies = { NOTHING } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_stop, script, WORDS("-t", "0", "a"), 0, "a\n", "");
	script_expect(cmd_stop, longer, WORDS("--time=90s", "a"), 0, "a\n", "");
	script_expect(cmd_stop, longer, WORDS("-t", "soon", "a"), 125, "",
		      "carrel: stop: -t: \"soon\" is not a duration such as 30s, or 0\n");
}

static void reap_and_shutdown_say_how_many(void **state)
{
	static const struct exchange reap[] = {
		{ .expect = "Reap\",\"parameters\":{}}",
		  .replies = { "{\"parameters\":{\"stopped\":3}}" } },
		{ .expect = NULL },
	};
	static const struct exchange shutdown[] = {
		{ .expect = "Shutdown\",\"parameters\":{\"remove\":true}}",
		  .replies = { "{\"parameters\":{\"stopped\":12}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_reap, reap, WORDS(), 0, "stopped: 3\n", "");
	script_expect(cmd_shutdown, shutdown, WORDS("--rm"), 0, "stopped: 12\n", "");
}

static void wrong_words_are_one_line_and_nothing_is_asked(void **state)
{
	static const struct exchange script[] = { { .expect = NULL } };

	(void)state;
	script_expect(cmd_stop, script, WORDS(), 125, "",
		      "carrel: stop: expected NAME...; see carrel stop --help\n");
	script_expect(cmd_reap, script, WORDS("now\x1b"), 125, "",
		      "carrel: reap: one word too many: \"now\\x1b\"\n");
	script_expect(cmd_rm, script, WORDS("\xff"), 125, "",
		      "carrel: rm: an argument is not UTF-8, in which carreld is spoken "
		      "to: \"\\xff\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_is_asked_for_and_printed),
		cmocka_unit_test(a_failure_is_told_and_the_next_name_is_done),
		cmocka_unit_test(a_connection_that_ends_ends_it),
		cmocka_unit_test(rm_by_force_takes_what_is_absent_for_removed),
		cmocka_unit_test(stop_says_how_long_to_wait),
		cmocka_unit_test(reap_and_shutdown_say_how_many),
		cmocka_unit_test(wrong_words_are_one_line_and_nothing_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
