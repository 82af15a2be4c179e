/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

#include "runtime/varlink.h"

static const struct varlink_service service = {
	.vendor = "v",
	.product = "p",
	.version = "1",
	.url = "u",
	.interface = "a.b",
	.description = "interface a.b\n",
	.description_size = 14,
};

static int parse(const char *text)
{
	struct varlink_call call = { 0 };
	struct varlink_error error;
	int r = varlink_call_parse(text, strlen(text), &call, &error);

	varlink_call_free(&call);
	return r;
}

/* What the call is answered with by the service itself, as text for free(). */
static char *answer(const char *text)
{
	struct varlink_call call = { 0 };
	struct varlink_error error;
	json_t *parameters = NULL;
	char *message;
	int r = varlink_call_parse(text, strlen(text), &call, &error);

	assert_int_not_equal(r, -EPROTO);
	if (r == 0)
		r = varlink_service_answer(&service, &call, &parameters, &error);
	message = r == 0 ? varlink_reply(parameters, false) : varlink_error_reply(&error);
	varlink_call_free(&call);
	assert_non_null(message);
	return message;
}

static void assert_answer(const char *text, const char *expected)
{
	char *message = answer(text);

	assert_string_equal(message, expected);
	free(message);
}

static void message_ends_with_its_nul(void **state)
{
	(void)state;
	assert_int_equal(varlink_message_length("ab\0c\0", 5, 0), 2);
	assert_int_equal(varlink_message_length("abc", 3, 0), 3);
	assert_int_equal(varlink_message_length("abc\0", 4, 3), 3);
	assert_int_equal(varlink_message_length("\0", 1, 0), 0);
}

static void call_is_taken_apart(void **state)
{
	const char text[] =
		"{\"method\":\"a.b.C\",\"more\":true,\"parameters\":{\"x\":1}}";
	struct varlink_call call = { 0 };
	struct varlink_error error;

	(void)state;
	assert_int_equal(varlink_call_parse(text, strlen(text), &call, &error), 0);
	assert_string_equal(call.method, "a.b.C");
	assert_true(call.more);
	assert_false(call.oneway);
	assert_int_equal(json_integer_value(json_object_get(call.parameters, "x")), 1);
	assert_string_equal(varlink_method_of(&call, "a.b"), "C");
	assert_null(varlink_method_of(&call, "a"));
	assert_null(varlink_method_of(&call, "a.b.C"));
	varlink_call_free(&call);
	assert_null(call.message);
}

static void nobody_reads_more_of_a_oneway_call(void **state)
{
	const char text[] = "{\"method\":\"a.b.C\",\"more\":true,\"oneway\":true}";
	struct varlink_call call = { 0 };
	struct varlink_error error;

	(void)state;
	assert_int_equal(varlink_call_parse(text, strlen(text), &call, &error), 0);
	assert_true(call.oneway);
	assert_false(call.more);
	varlink_call_free(&call);
}

static void what_is_no_call_ends_the_connection(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"{",
		"nonsense",
		"null",
		"[]",
		"\"method\"",
		"{}",
		"{\"method\":null}",
		"{\"method\":7}",
		"{\"parameters\":{}}",
		"{\"method\":\"a.b.C\",\"parameters\":[]}",
		"{\"method\":\"a.b.C\",\"parameters\":7}",
		"{\"method\":\"a.b.C\"}x",
		"{\"method\":\"a.b.C\"}{\"method\":\"a.b.C\"}",
		"{\"method\":\"a.b.C\",\"method\":\"a.b.C\"}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":1,\"x\":1}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":99999999999999999999}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"a\\u0000b\"}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"a\\u0000b\":1}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\xff\"}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\xc0\xaf\"}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\\ud800\"}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"a\nb\"}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (parse(wrong[i]) != -EPROTO)
			fail_msg("%s is taken", wrong[i]);
	}
}

/* `open` count times around a value, closed again. */
static char *nested(unsigned count, const char *open, const char *close)
{
	char *text = calloc(count, strlen(open) + strlen(close) + 1);
	size_t len = 0, room = count * (strlen(open) + strlen(close) + 1);
	char *whole = malloc(room + 64);

	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, "%s", open);
	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, "%s", close);
	snprintf(whole, room + 64, "{\"method\":\"a.b.C\",\"parameters\":{\"x\":%s}}",
		 text);
	free(text);
	return whole;
}

static void nesting_is_bounded(void **state)
{
	char *text;

	(void)state;
	text = nested(VARLINK_DEPTH_MAX - 2, "[", "]");
	assert_int_equal(parse(text), 0);
	free(text);
	text = nested(VARLINK_DEPTH_MAX - 1, "[", "]");
	assert_int_equal(parse(text), -EPROTO);
	free(text);
	text = nested(200000, "[", "]");
	assert_int_equal(parse(text), -EPROTO);
	free(text);
	text = nested(200000, "{\"a\":", "}");
	assert_int_equal(parse(text), -EPROTO);
	free(text);
}

static char *many(const char *one, unsigned count)
{
	size_t room = (strlen(one) + 1) * count + 64, len;
	char *text = malloc(room);

	len = (size_t)snprintf(text, room,
			       "{\"method\":\"a.b.C\",\"parameters\":{\"x\":[%s", one);
	for (unsigned i = 1; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, ",%s", one);
	snprintf(text + len, room - len, "]}}");
	return text;
}

static void number_of_values_and_objects_is_bounded(void **state)
{
	static const struct {
		const char *one;
		unsigned count;
		int result;
	} cases[] = {
		{ "1", 16384, 0 },
		{ "1", VARLINK_VALUES_MAX + 2, -EPROTO },
		{ "{}", VARLINK_OBJECTS_MAX - 3, 0 },
		{ "{}", VARLINK_OBJECTS_MAX, -EPROTO },
		{ "[]", VARLINK_OBJECTS_MAX, -EPROTO },
		/* Not in strings, also behind an escaped quote. */
		{ "\"{[,{[,\"", 1000, 0 },
		{ "\"\\\"{[,\\\\\"", 1000, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *text = many(cases[i].one, cases[i].count);

		if (parse(text) != cases[i].result)
			fail_msg("%u times %s", cases[i].count, cases[i].one);
		free(text);
	}
}

static void message_that_is_too_long_is_none(void **state)
{
	size_t size = VARLINK_MESSAGE_MAX + 1;
	char *text = malloc(size + 1);

	(void)state;
	memset(text, ' ', size);
	memcpy(text, "{\"method\":\"a.b.C\"}", 18);
	text[size] = '\0';
	assert_int_equal(parse(text), -EPROTO);
	text[size - 1] = '\0';
	assert_int_equal(parse(text), 0);
	free(text);
}

static void flags_and_fields_that_are_unknown_are_named(void **state)
{
	(void)state;
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\",\"more\":1}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"more\"}}");
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\",\"upgrade\":true}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"upgrade\"}}");
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\",\"foo\":true}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"foo\"}}");
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\","
		      "\"parameters\":{\"bar\":1}}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"bar\"}}");
}

static void service_says_who_it_is(void **state)
{
	const char info[] = "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\","
			    "\"version\":\"1\",\"url\":\"u\",\"interfaces\":"
			    "[\"org.varlink.service\",\"a.b\"]}}";

	(void)state;
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\"}", info);
	assert_answer("{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":null,"
		      "\"upgrade\":false}",
		      info);
}

static void service_describes_its_interfaces(void **state)
{
	char *own;

	(void)state;
	assert_answer("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		      "\"parameters\":{\"interface\":\"a.b\"}}",
		      "{\"parameters\":{\"description\":\"interface a.b\\n\"}}");
	own = answer("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		     "\"parameters\":{\"interface\":\"org.varlink.service\"}}");
	assert_non_null(strstr(own, "method GetInfo() -> ("));
	free(own);
	assert_answer("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		      "\"parameters\":{\"interface\":\"a.c\"}}",
		      "{\"error\":\"org.varlink.service.InterfaceNotFound\","
		      "\"parameters\":{\"interface\":\"a.c\"}}");
	assert_answer("{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"interface\"}}");
}

static void unknown_methods_are_told_apart(void **state)
{
	(void)state;
	assert_answer("{\"method\":\"a.b.Nothing\"}",
		      "{\"error\":\"org.varlink.service.MethodNotFound\","
		      "\"parameters\":{\"method\":\"a.b.Nothing\"}}");
	assert_answer("{\"method\":\"org.varlink.service.Nothing\"}",
		      "{\"error\":\"org.varlink.service.MethodNotFound\","
		      "\"parameters\":{\"method\":\"org.varlink.service.Nothing\"}}");
	assert_answer("{\"method\":\"a.c.Nothing\"}",
		      "{\"error\":\"org.varlink.service.InterfaceNotFound\","
		      "\"parameters\":{\"interface\":\"a.c\"}}");
	assert_answer("{\"method\":\"nothing\"}",
		      "{\"error\":\"org.varlink.service.InvalidParameter\","
		      "\"parameters\":{\"parameter\":\"method\"}}");
}

static void names_that_are_too_long_are_cut_between_characters(void **state)
{
	char text[VARLINK_NAME_MAX + 100], *message;
	struct varlink_error error;

	(void)state;
	/* 254 bytes, then characters of two bytes each. */
	memset(text, 'x', 254);
	for (size_t i = 254; i + 1 < sizeof(text) - 1; i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	error = varlink_invalid(text);
	assert_int_equal(strlen(error.value), 254);
	message = varlink_error_reply(&error);
	assert_non_null(message);
	free(message);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	message = malloc(sizeof(text) + 32);
	snprintf(message, sizeof(text) + 32, "{\"method\":\"%s\"}", text);
	assert_answer(message, "{\"error\":\"org.varlink.service.InvalidParameter\","
			       "\"parameters\":{\"parameter\":\"method\"}}");
	free(message);
}

static void replies_say_whether_more_follow(void **state)
{
	char *text = varlink_reply(json_object(), true);

	(void)state;
	assert_string_equal(text, "{\"parameters\":{},\"continues\":true}");
	free(text);
	text = varlink_reply_text("{\"a\":1}", 7, true);
	assert_string_equal(text, "{\"parameters\":{\"a\":1},\"continues\":true}");
	free(text);
	text = varlink_reply_text("{\"a\":1}", 7, false);
	assert_string_equal(text, "{\"parameters\":{\"a\":1}}");
	free(text);
	assert_null(varlink_reply(NULL, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_ends_with_its_nul),
		cmocka_unit_test(call_is_taken_apart),
		cmocka_unit_test(nobody_reads_more_of_a_oneway_call),
		cmocka_unit_test(what_is_no_call_ends_the_connection),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(number_of_values_and_objects_is_bounded),
		cmocka_unit_test(message_that_is_too_long_is_none),
		cmocka_unit_test(flags_and_fields_that_are_unknown_are_named),
		cmocka_unit_test(service_says_who_it_is),
		cmocka_unit_test(service_describes_its_interfaces),
		cmocka_unit_test(unknown_methods_are_told_apart),
		cmocka_unit_test(names_that_are_too_long_are_cut_between_characters),
		cmocka_unit_test(replies_say_whether_more_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
