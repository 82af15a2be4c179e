/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/result.h"

enum { TEXT_MAX = 60000 };

static char *const no_labels[] = { NULL };

static const struct run_result plain = {
	.reason = RUN_EXIT,
	.exit_code = 7,
	.wall_ms = 1234,
	.usage = { .cpu_user_us = 5999,
		   .cpu_sys_us = 6001,
		   .memory_peak = 1ull << 40,
		   .pids_peak = 3 },
	.id_base = 0x7ffd0000,
};

/* What is written for the result, as text. */
static void write_result(const struct run_result *result, char *const *labels, char *text)
{
	struct err e = { 0 };
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if (result_write(fds[1], result, labels, &e) != 0)
		fail_msg("%s", e.msg);
	fd_close(&fds[1]);
	n = read(fds[0], text, TEXT_MAX - 1);
	fd_close(&fds[0]);
	assert_true(n > 0);
	text[n] = '\0';
}

/* The same parsed; for json_decref(). */
static json_t *parse(const struct run_result *result, char *const *labels)
{
	static char text[TEXT_MAX];
	json_error_t error;
	json_t *object;

	write_result(result, labels, text);
	object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		fail_msg("%s in %s", error.text, text);
	assert_true(json_is_object(object));
	return object;
}

static void assert_integer(const json_t *object, const char *key, json_int_t value)
{
	const json_t *field = json_object_get(object, key);

	if (!json_is_integer(field) || json_integer_value(field) != value)
		fail_msg("%s is not the integer %lld", key, (long long)value);
}

static void assert_text(const json_t *object, const char *key, const char *value)
{
	const json_t *field = json_object_get(object, key);

	if (!json_is_string(field))
		fail_msg("%s is no string", key);
	assert_string_equal(json_string_value(field), value);
}

static void assert_switch(const json_t *object, const char *key, bool value)
{
	const json_t *field = json_object_get(object, key);

	if (!json_is_boolean(field) || json_is_true(field) != value)
		fail_msg("%s is not %s", key, value ? "true" : "false");
}

static void result_has_every_field_with_its_type(void **state)
{
	json_t *object = parse(&plain, no_labels);

	(void)state;
	assert_text(object, "reason", "exit");
	assert_integer(object, "exit_code", 7);
	assert_integer(object, "signal", 0);
	assert_integer(object, "wall_ms", 1234);
	assert_integer(object, "cpu_user_ms", 5);
	assert_integer(object, "cpu_sys_ms", 6);
	assert_integer(object, "mem_peak", 1ll << 40);
	assert_integer(object, "pids_peak", 3);
	assert_switch(object, "oom", false);
	assert_switch(object, "truncated", false);
	assert_integer(object, "id_base", 0x7ffd0000);
	assert_text(object, "id_mapping", "mount");
	assert_text(object, "error", "");
	assert_true(json_is_object(json_object_get(object, "labels")));
	assert_int_equal(json_object_size(json_object_get(object, "labels")), 0);
	assert_text(json_object_get(object, "network"), "mode", "none");
	assert_true(json_is_array(json_object_get(object, "denials")));
	assert_int_equal(json_array_size(json_object_get(object, "denials")), 0);
	assert_integer(object, "denials_lost", 0);
	assert_int_equal(json_object_size(object), 17);
	json_decref(object);
}

static void result_is_one_line(void **state)
{
	static char text[TEXT_MAX];
	char *const labels[] = { "a=one\ntwo", NULL };

	(void)state;
	write_result(&plain, labels, text);
	assert_int_equal(text[0], '{');
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void every_reason_has_its_name(void **state)
{
	(void)state;
	for (int reason = 0; reason < RUN_REASON_MAX; reason++) {
		struct run_result result = plain;
		json_t *object;

		result.reason = (enum run_reason)reason;
		object = parse(&result, no_labels);
		assert_text(object, "reason", run_reason_name(result.reason));
		json_decref(object);
	}
}

static void signals_and_oom_kills_are_shown(void **state)
{
	struct run_result result = plain;
	json_t *object;

	(void)state;
	result.reason = RUN_OOM;
	result.signal = 9;
	result.exit_code = 137;
	result.usage.oom_kills = 2;
	object = parse(&result, no_labels);
	assert_text(object, "reason", "oom");
	assert_integer(object, "signal", 9);
	assert_integer(object, "exit_code", 137);
	assert_switch(object, "oom", true);
	json_decref(object);
}

static void direct_ids_are_shown(void **state)
{
	struct run_result result = plain;
	json_t *object;

	(void)state;
	result.ids_direct = true;
	object = parse(&result, no_labels);
	assert_text(object, "id_mapping", "direct");
	json_decref(object);
}

static void large_numbers_stay_whole(void **state)
{
	struct run_result result = plain;
	json_t *object;

	(void)state;
	result.wall_ms = INT64_MAX;
	result.usage.memory_peak = INT64_MAX;
	result.usage.cpu_user_us = UINT64_MAX;
	result.id_base = UINT32_MAX;
	object = parse(&result, no_labels);
	assert_integer(object, "wall_ms", INT64_MAX);
	assert_integer(object, "mem_peak", INT64_MAX);
	assert_integer(object, "cpu_user_ms", (json_int_t)(UINT64_MAX / 1000));
	assert_integer(object, "id_base", UINT32_MAX);
	json_decref(object);
}

static void error_is_shown(void **state)
{
	struct run_result result = plain;
	json_t *object;

	(void)state;
	result.reason = RUN_START_FAILED;
	snprintf(result.error, sizeof(result.error), "exec: \"x\"\t: No such file");
	object = parse(&result, no_labels);
	assert_text(object, "error", "exec: \"x\"\\x09: No such file");
	json_decref(object);
}

static void error_that_is_no_utf8_does_not_cost_the_result(void **state)
{
	struct run_result result = plain;
	json_t *object;

	(void)state;
	memset(result.error, 0xff, sizeof(result.error) - 1);
	object = parse(&result, no_labels);
	assert_int_equal(json_string_length(json_object_get(object, "error")),
			 4 * (sizeof(result.error) - 1));
	json_decref(object);
}

static void labels_are_an_object_of_strings(void **state)
{
	char *const labels[] = { "job=42",      "empty=",          "bare", "two=a=b",
				 "quoted=\"\\", "umlaut=\xc3\xa4", NULL };
	json_t *object = parse(&plain, labels);
	const json_t *shown = json_object_get(object, "labels");

	(void)state;
	assert_int_equal(json_object_size(shown), 6);
	assert_text(shown, "job", "42");
	assert_text(shown, "empty", "");
	assert_text(shown, "bare", "");
	assert_text(shown, "two", "a=b");
	assert_text(shown, "quoted", "\"\\");
	assert_text(shown, "umlaut", "\xc3\xa4");
	json_decref(object);
}

static void last_label_of_a_name_counts(void **state)
{
	char *const labels[] = { "a=1", "b=2", "a=3", NULL };
	json_t *object = parse(&plain, labels);
	const json_t *shown = json_object_get(object, "labels");

	(void)state;
	assert_int_equal(json_object_size(shown), 2);
	assert_text(shown, "a", "3");
	json_decref(object);
}

static void long_labels_are_written_whole(void **state)
{
	static char value[30002];
	char *const labels[] = { value, NULL };
	json_t *object;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	memcpy(value, "a=", 2);
	object = parse(&plain, labels);
	assert_text(json_object_get(object, "labels"), "a", value + 2);
	json_decref(object);
}

/* A label that JSON cannot hold may be an error, and must not be lost in silence. */
static void assert_not_lost(char *label)
{
	char *const labels[] = { label, NULL };
	static char text[TEXT_MAX];
	struct err e = { 0 };
	json_t *object;
	int fds[2], r;
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	r = result_write(fds[1], &plain, labels, &e);
	fd_close(&fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	fd_close(&fds[0]);
	if (r < 0)
		return;
	assert_true(n > 0);
	text[n] = '\0';
	object = json_loads(text, 0, NULL);
	assert_non_null(object);
	r = (int)json_object_size(json_object_get(object, "labels"));
	json_decref(object);
	assert_int_equal(r, 1);
}

static void labels_that_are_no_utf8_are_not_lost(void **state)
{
	char value[] = "key=\xff", key[] = "\xff=value";

	(void)state;
	assert_not_lost(value);
	assert_not_lost(key);
}

static void labels_with_long_names_are_not_lost(void **state)
{
	char label[400];

	(void)state;
	memset(label, 'k', sizeof(label));
	memcpy(label + 390, "=value", 7);
	assert_not_lost(label);
}

static void closed_descriptor_is_an_error(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(result_write(-1, &plain, no_labels, &e), -EBADF);
	assert_string_equal(e.msg, "write the result: Bad file descriptor");
}

static void reader_that_is_gone_is_an_error(void **state)
{
	struct err e = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fd_close(&fds[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(result_write(fds[1], &plain, no_labels, &e), -EPIPE);
	signal(SIGPIPE, SIG_DFL);
	fd_close(&fds[1]);
	assert_string_equal(e.msg, "write the result: Broken pipe");
}

static void full_device_is_an_error(void **state)
{
	auto_fd fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct err e = { 0 };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(result_write(fd, &plain, no_labels, &e), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_has_every_field_with_its_type),
		cmocka_unit_test(result_is_one_line),
		cmocka_unit_test(every_reason_has_its_name),
		cmocka_unit_test(signals_and_oom_kills_are_shown),
		cmocka_unit_test(direct_ids_are_shown),
		cmocka_unit_test(large_numbers_stay_whole),
		cmocka_unit_test(error_is_shown),
		cmocka_unit_test(error_that_is_no_utf8_does_not_cost_the_result),
		cmocka_unit_test(labels_are_an_object_of_strings),
		cmocka_unit_test(last_label_of_a_name_counts),
		cmocka_unit_test(long_labels_are_written_whole),
		cmocka_unit_test(labels_that_are_no_utf8_are_not_lost),
		cmocka_unit_test(labels_with_long_names_are_not_lost),
		cmocka_unit_test(closed_descriptor_is_an_error),
		cmocka_unit_test(reader_that_is_gone_is_an_error),
		cmocka_unit_test(full_device_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
