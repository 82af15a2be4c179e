/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include "tools/carrel.h"

#define STATS(name, cpu)                                                            \
	"{\"parameters\":{\"stats\":[{\"name\":\"" name "\",\"cpu_usage_us\":" cpu  \
	",\"memory\":1048576,\"memory_limit\":4194304,\"pids\":2,\"pids_limit\":9," \
	"\"rx_bytes\":2048,\"tx_bytes\":10,\"execs\":1}]},\"continues\":true}"

static void stats_to_a_pipe_are_one_table(void **state)
{
	/* The counter stands still, so that no clock matters. */
	static const struct exchange script[] = {
		{ .expect = "Stats\",\"parameters\":{\"interval\":1000,\"name\":\"a\"},"
			    "\"more\":true}",
		  .replies = { STATS("a", "5000"), STATS("a", "5000"),
			       STATS("a", "5000") } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(
		cmd_stats, script, WORDS("a"), 0,
		"NAME   CPU %   MEM USAGE / LIMIT   MEM %   NET I/O      PIDS   "
		"EXECS\n"
		"a      0.0%    1MiB / 4MiB         25.0%   2KiB / 10B   2      1\n",
		"");
	script_expect(cmd_stats, script, WORDS("--no-stream", "--format=json", "a"), 0,
		      "{\"Name\":\"a\",\"CPUPerc\":\"0.0%\",\"MemUsage\":\"1MiB / 4MiB\","
		      "\"MemPerc\":\"25.0%\",\"NetIO\":\"2KiB / 10B\",\"PIDs\":\"2\","
		      "\"Execs\":\"1\"}\n",
		      "");
}

static void events_are_a_line_each_until_the_connection_ends(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Events\",\"parameters\":{},\"more\":true}",
		  .replies = { "{\"parameters\":{\"events\":[{\"number\":1,\"time\":1000,"
			       "\"type\":\"start\",\"name\":\"a\\u001b\"}]},"
			       "\"continues\":"
			       "true}",
			       "{\"parameters\":{\"events\":[{\"number\":2,\"time\":2001,"
			       "\"type\":\"exec_end\",\"name\":\"a\",\"exec\":\"x1\","
			       "\"why\":\"oom\"}]},\"continues\":true}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_events, script, WORDS(), 125,
		      "1970-01-01T00:00:01.000Z start a\\x1b\n"
		      "1970-01-01T00:00:02.001Z exec_end a exec=x1 why=oom\n",
		      "carrel: events: carreld has closed the connection\n");
}

static void events_that_are_kept_are_asked_for_once(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Events\",\"parameters\":{}}",
		  .replies = { "{\"parameters\":{\"events\":[{\"number\":1,\"time\":1000,"
			       "\"type\":\"start\",\"name\":\"a\"}]}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_events, script, WORDS("--no-stream"), 0,
		      "1970-01-01T00:00:01.000Z start a\n", "");
	script_expect(cmd_events, script, WORDS("--no-stream", "--format=json"), 0,
		      "{\"number\":1,\"time\":1000,\"type\":\"start\",\"name\":\"a\"}\n",
		      "");
}

static void info_and_metrics_print_what_carreld_says(void **state)
{
	static const struct exchange info[] = {
		{ .expect = "Info\",\"parameters\":{}}",
		  .replies = { "{\"parameters\":{\"version\":\"1\",\"client\":\"me\","
			       "\"profiles\":[\"p\",\"q\"],\"max_sandboxes\":4,"
			       "\"max_execs\":5,\"sandboxes\":2}}" } },
		{ .expect = NULL },
	};
	static const struct exchange metrics[] = {
		{ .expect = "Metrics\",\"parameters\":{}}",
		  .replies = { "{\"parameters\":{\"text\":\"a 1\\nb 2\\n\"}}" } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_info, info, WORDS(), 0,
		      "Version:       1\nClient:        me\nProfiles:      p, q\n"
		      "Sandboxes:     2 of 4\nExecs:         5 at most\n",
		      "");
	script_expect(cmd_metrics, metrics, WORDS(), 0, "a 1\nb 2\n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_to_a_pipe_are_one_table),
		cmocka_unit_test(events_are_a_line_each_until_the_connection_ends),
		cmocka_unit_test(events_that_are_kept_are_asked_for_once),
		cmocka_unit_test(info_and_metrics_print_what_carreld_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
