/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include "tools/carrel.h"

#define REPLY "{\"parameters\":{\"sandbox\":{\"name\":\"a\"},\"created\":true}}"

static void a_name_alone_asks_for_nothing_else(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Ensure\",\"parameters\":{\"name\":\"a\"}}",
		  .replies = { REPLY } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_ensure, script, WORDS("a"), 0, "a\n", "");
	script_expect(cmd_ensure, script, WORDS("--format=json", "a"), 0,
		      "{\"sandbox\":{\"name\":\"a\"},\"created\":true}\n", "");
}

static void every_option_has_its_parameter(void **state)
{
	static const struct exchange script[] = {
		{ .expect =
			  "Ensure\",\"parameters\":{\"name\":\"a\",\"profile\":\"p\","
			  "\"workspace\":\"u/7\",\"hostname\":\"h\",\"network\":"
			  "\"egress\",\"limits\":{\"memory\":1048576,\"cpu_milli\":2000,"
			  "\"pids\":5},\"idle_timeout\":60000,\"max_duration\":3600000,"
			  "\"env\":{\"E\":\"1\"},\"labels\":{\"k\":\"v=w\",\"l\":\"\"}}}",
		  .replies = { REPLY } },
		{ .expect = NULL },
	};

	(void)state;
	script_expect(cmd_ensure, script,
		      WORDS("--profile=p", "--workspace=u/7", "--hostname=h",
			    "--network=egress", "-m1m", "--cpus=2", "--pids-limit=5",
			    "--idle-timeout=1m", "--max-duration=1h", "-eE=1",
			    "--label=k=v=w", "--label=l", "a"),
		      0, "a\n", "");
}

static void what_carreld_refuses_is_one_line(void **state)
{
	static const struct {
		const char *reply, *err;
	} refusals[] = {
		{ "{\"error\":\"io.carrel.Pool.Conflict\",\"parameters\":{\"name\":\"a\","
		  "\"field\":\"limits\"}}",
		  "carrel: ensure: \"a\" exists with other settings: limits\n" },
		{ "{\"error\":\"io.carrel.Pool.Refused\",\"parameters\":{\"what\":"
		  "\"profile\",\"why\":\"no\\nline\"}}",
		  "carrel: ensure: profile: no\\x0aline\n" },
		{ "{\"error\":\"io.carrel.Pool.StartFailed\",\"parameters\":{\"name\":"
		  "\"a\",\"step\":\"mount\",\"why\":\"no space\"}}",
		  "carrel: ensure: cannot be started: mount: no space\n" },
		{ "{\"error\":\"org.example.Other\"}",
		  "carrel: ensure: carreld answers org.example.Other, which this carrel "
		  "does not know\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct exchange script[] = {
			{ .expect = "Ensure\",\"parameters\":{\"name\":\"a\"}}",
			  .replies = { refusals[i].reply } },
			{ .expect = NULL },
		};

		script_expect(cmd_ensure, script, WORDS("a"), 125, "", refusals[i].err);
	}
}

static void wrong_values_are_told_with_their_option(void **state)
{
	static const struct exchange script[] = { { .expect = NULL } };

	(void)state;
	script_expect(cmd_ensure, script, WORDS("--workspace", "/x", "a"), 125, "",
		      "carrel: ensure: --workspace: \"/x\" is not relative to your "
		      "workspace root\n");
	script_expect(cmd_ensure, script, WORDS("--network=all", "a"), 125, "",
		      "carrel: ensure: --network: \"all\" is neither \"none\" nor "
		      "\"egress\"\n");
	script_expect(cmd_ensure, script, WORDS("--label==v", "a"), 125, "",
		      "carrel: ensure: --label: a label without a name\n");
	script_expect(
		cmd_ensure, script, WORDS("--profile=\xff", "a"), 125, "",
		"carrel: ensure: --profile is not UTF-8, in which carreld is spoken "
		"to: \"\\xff\"\n");
	script_expect(cmd_ensure, script, WORDS(), 125, "",
		      "carrel: ensure: expected NAME; see carrel ensure --help\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_alone_asks_for_nothing_else),
		cmocka_unit_test(every_option_has_its_parameter),
		cmocka_unit_test(what_carreld_refuses_is_one_line),
		cmocka_unit_test(wrong_values_are_told_with_their_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
