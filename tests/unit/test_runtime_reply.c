/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

#include "runtime/reply.h"

static const struct reply_context plain = { .name = "alice", .exec = "e1" };

static void assert_message(const struct reply_context *c, struct wire_reply rp,
			   const char *expected)
{
	char *text = reply_message(c, &rp);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void done_is_empty_or_counts(void **state)
{
	const struct wire_reply rp = { .type = WIRE_DONE, .number = 3 };
	struct reply_context c = plain;

	(void)state;
	c.type = WIRE_STOP;
	assert_message(&c, rp, "{\"parameters\":{}}");
	c.type = WIRE_REAP;
	assert_message(&c, rp, "{\"parameters\":{\"stopped\":3}}");
	c.type = WIRE_SHUTDOWN;
	assert_message(&c, rp, "{\"parameters\":{\"stopped\":3}}");
}

static void started_is_followed_only_if_more_was_asked_for(void **state)
{
	const struct wire_reply rp = { .type = WIRE_STARTED, .started.exec = "e7" };
	struct reply_context c = plain;

	(void)state;
	assert_message(&c, rp, "{\"parameters\":{\"started\":\"e7\"}}");
	c.more = true;
	assert_message(&c, rp,
		       "{\"parameters\":{\"started\":\"e7\"},\"continues\":true}");
}

static void every_error_has_its_parameters(void **state)
{
#define ERROR(name, parameters) \
	"{\"error\":\"io.carrel.Pool." name "\",\"parameters\":{" parameters "}}"
	static const char *const expected[] = {
		[WIRE_NO_SUCH_SANDBOX] = ERROR("NoSuchSandbox", "\"name\":\"alice\""),
		[WIRE_NO_SUCH_EXEC] =
			ERROR("NoSuchExec", "\"name\":\"alice\",\"exec\":\"e1\""),
		[WIRE_CONFLICT] =
			ERROR("Conflict", "\"name\":\"alice\",\"field\":\"thing\""),
		[WIRE_REFUSED] =
			ERROR("Refused", "\"what\":\"thing\",\"why\":\"because\""),
		[WIRE_BUSY] = ERROR("Busy", "\"what\":\"thing\",\"limit\":9"),
		[WIRE_WRONG_STATE] =
			ERROR("WrongState", "\"name\":\"alice\",\"state\":\"paused\""),
		[WIRE_FAILED_START] =
			ERROR("StartFailed", "\"name\":\"alice\",\"step\":\"thing\","
					     "\"why\":\"because\""),
		[WIRE_FAILED] = ERROR("Failed", "\"why\":\"because\""),
	};

	(void)state;
	for (uint32_t code = 0; code < WIRE_ERROR_MAX; code++) {
		const struct wire_reply rp = {
			.type = WIRE_ERROR,
			.error = { .code = code,
				   .state = WIRE_PAUSED,
				   .limit = 9,
				   .what = "thing",
				   .why = "because" },
		};

		assert_message(&plain, rp, expected[code]);
	}
#undef ERROR
}

static void sandbox_has_every_field(void **state)
{
	const struct wire_reply rp = {
		.type = WIRE_SANDBOX,
		.sandbox = { .name = "alice",
			     .id = "carrel-3-7",
			     .profile = "p",
			     .workspace = "w",
			     .state = WIRE_IS_STOPPED,
			     .created_now = 1,
			     .execs = 2,
			     .network = WIRE_NETWORK_EGRESS,
			     .limits = { .memory = 5, .pids = 6 },
			     .generation = 7,
			     .created = 8,
			     .started = 9,
			     .used = 10,
			     .idle_timeout_ms = 11,
			     .max_duration_ms = 12 },
	};

	(void)state;
	assert_message(
		&plain, rp,
		"{\"parameters\":{\"sandbox\":{\"name\":\"alice\",\"id\":"
		"\"carrel-3-7\",\"generation\":7,\"state\":\"stopped\",\"profile\":"
		"\"p\",\"workspace\":\"w\",\"created\":8,\"started\":9,\"used\":10,"
		"\"execs\":2,\"limits\":{\"memory\":5,\"pids\":6},\"network\":"
		"\"egress\",\"idle_timeout\":11,\"max_duration\":12},\"created\":"
		"true}}");
}

static void result_has_every_field(void **state)
{
	const struct wire_result result = {
		.exec = "e1",
		.reason = WIRE_OOM,
		.exit_code = 137,
		.signal = 9,
		.oom = 1,
		.wall_ms = 1,
		.cpu_user_ms = 2,
		.cpu_sys_ms = 3,
		.mem_peak = 4,
		.pids_peak = 5,
		.error = "e",
	};
	static const char expected[] =
		"{\"exec\":\"e1\",\"reason\":\"oom\",\"exit_code\":137,\"signal\":9,"
		"\"wall_ms\":1,\"cpu_user_ms\":2,\"cpu_sys_ms\":3,\"mem_peak\":4,"
		"\"pids_peak\":5,\"oom\":true,\"truncated\":6,\"error\":\"e\"}";
	const struct wire_reply rp = { .type = WIRE_RESULT, .result = result };
	struct reply_context c = plain;
	char whole[512], *text = reply_result_text(&result, 6);

	(void)state;
	assert_string_equal(text, expected);
	free(text);
	snprintf(whole, sizeof(whole), "{\"parameters\":{\"result\":%s}}", expected);
	c.truncated = 6;
	assert_message(&c, rp, whole);
}

static void every_reason_has_its_name(void **state)
{
	static const char *const names[] = { "exit",    "signal",      "timeout",
					     "oom",     "output",      "cancelled",
					     "stopped", "start_failed" };

	(void)state;
	for (uint32_t reason = 0; reason < WIRE_REASON_MAX; reason++) {
		const struct wire_result result = { .reason = reason };
		char *text = reply_result_text(&result, 0), expected[64];

		snprintf(expected, sizeof(expected), "\"reason\":\"%s\"", names[reason]);
		assert_non_null(strstr(text, expected));
		free(text);
	}
}

static void large_numbers_stay_numbers(void **state)
{
	const struct wire_result result = { .wall_ms = UINT64_MAX,
					    .mem_peak = INT64_MAX,
					    .exit_code = INT32_MIN };
	char *text = reply_result_text(&result, UINT64_MAX);

	(void)state;
	assert_non_null(strstr(text, "\"wall_ms\":9223372036854775807"));
	assert_non_null(strstr(text, "\"mem_peak\":9223372036854775807"));
	assert_non_null(strstr(text, "\"truncated\":9223372036854775807"));
	assert_non_null(strstr(text, "\"exit_code\":-2147483648"));
	free(text);
}

static void bytes_that_are_no_utf8_do_not_cost_the_message(void **state)
{
	const struct wire_reply rp = {
		.type = WIRE_ERROR, .error = { .code = WIRE_FAILED, .why = "\xff\"\n" }
	};

	(void)state;
	assert_message(&plain, rp,
		       "{\"error\":\"io.carrel.Pool.Failed\",\"parameters\":{\"why\":"
		       "\"\\\\xff\\\"\\\\x0a\"}}");
}

/* As where a message was cut to fit. */
static void half_a_character_does_not_cost_the_result(void **state)
{
	const struct wire_result result = { .reason = WIRE_START_FAILED,
					    .error = "exec \xc3" };
	char *text = reply_result_text(&result, 0);

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "\"error\":\"exec \\\\xc3\""));
	free(text);
}

static void values_without_a_name_make_no_message(void **state)
{
	struct wire_reply rp = { .type = WIRE_SANDBOX,
				 .sandbox = { .state = WIRE_STATE_MAX,
					      .network = WIRE_NETWORK_NONE } };

	(void)state;
	assert_null(reply_message(&plain, &rp));
	rp.sandbox.state = WIRE_RUNNING;
	rp.sandbox.network = WIRE_NETWORK_UNSET;
	assert_null(reply_message(&plain, &rp));
	rp = (struct wire_reply){ .type = WIRE_RESULT,
				  .result = { .reason = WIRE_REASON_MAX } };
	assert_null(reply_message(&plain, &rp));
	rp = (struct wire_reply){ .type = WIRE_ERROR,
				  .error = { .code = WIRE_ERROR_MAX } };
	assert_null(reply_message(&plain, &rp));
	rp.type = 9999;
	assert_null(reply_message(&plain, &rp));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(done_is_empty_or_counts),
		cmocka_unit_test(started_is_followed_only_if_more_was_asked_for),
		cmocka_unit_test(every_error_has_its_parameters),
		cmocka_unit_test(sandbox_has_every_field),
		cmocka_unit_test(result_has_every_field),
		cmocka_unit_test(every_reason_has_its_name),
		cmocka_unit_test(large_numbers_stay_numbers),
		cmocka_unit_test(bytes_that_are_no_utf8_do_not_cost_the_message),
		cmocka_unit_test(half_a_character_does_not_cost_the_result),
		cmocka_unit_test(values_without_a_name_make_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
