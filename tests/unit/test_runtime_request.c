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

#include "runtime/request.h"
#include "runtime/stream.h"

/* A decoded call; for done(). */
struct decoded {
	struct varlink_call call;
	struct request rq;
	struct varlink_error error;
	int r;
};

static struct decoded decode_more(const char *method, const char *parameters, bool more)
{
	struct decoded d = { 0 };

	d.call.message = json_loads(parameters, 0, NULL);
	if (!d.call.message)
		fail_msg("%s is no JSON", parameters);
	d.call.parameters = d.call.message;
	d.call.more = more;
	d.r = request_parse(method, &d.call, &d.rq, &d.error);
	return d;
}

static struct decoded decode(const char *method, const char *parameters)
{
	return decode_more(method, parameters, false);
}

static void done(struct decoded *d)
{
	request_free(&d->rq);
	json_decref(d->call.message);
}

static void assert_invalid(const char *method, const char *parameters, const char *name)
{
	struct decoded d = decode(method, parameters);

	if (d.r != -EINVAL)
		fail_msg("%s(%s) gives %d", method, parameters, d.r);
	assert_string_equal(d.error.name, "org.varlink.service.InvalidParameter");
	if (strcmp(d.error.value, name) != 0)
		fail_msg("%s(%s) names %s", method, parameters, d.error.value);
	done(&d);
}

static void assert_valid(const char *method, const char *parameters)
{
	struct decoded d = decode(method, parameters);

	if (d.r != 0)
		fail_msg("%s(%s) is refused: %s", method, parameters, d.error.value);
	d.rq.wire.tag = 1;
	done(&d);
}

static void unknown_method_is_none(void **state)
{
	struct decoded d = decode("Nothing", "{}");

	(void)state;
	assert_int_equal(d.r, -ENOENT);
	done(&d);
	d = decode("exec", "{}");
	assert_int_equal(d.r, -ENOENT);
	done(&d);
}

static void methods_are_those_of_the_interface(void **state)
{
	FILE *file = fopen("tools/io.carrel.Pool.varlink", "re");
	char line[512], method[64];
	unsigned methods = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		struct decoded d;

		if (sscanf(line, "method %63[A-Za-z](", method) != 1)
			continue;
		d = decode(method, "{}");
		if (d.r == -ENOENT)
			fail_msg("%s is missing", method);
		done(&d);
		methods++;
	}
	fclose(file);
	assert_int_equal(methods, 20);
}

static void ensure_has_all_of_its_fields(void **state)
{
	struct decoded d =
		decode("Ensure",
		       "{\"name\":\"\xc3\xa4\",\"profile\":\"p\",\"workspace\":\"a/b\","
		       "\"env\":{\"A\":\"1\",\"_b2\":\"x=y\"},\"labels\":{\"k "
		       "y\":\"v\",\"e\":\"\"},"
		       "\"limits\":{\"memory\":1048576,\"cpu_milli\":1500,\"pids\":64},"
		       "\"network\":\"none\",\"hostname\":\"h\",\"idle_timeout\":0,"
		       "\"max_duration\":60000,\"auto_remove\":true}");
	const struct wire_ensure *x = &d.rq.wire.ensure;
	static const char *const strings[] = { "A=1", "_b2=x=y", "k y", "v", "e", "" };

	(void)state;
	assert_int_equal(d.r, 0);
	assert_int_equal(d.rq.wire.type, WIRE_ENSURE);
	assert_string_equal(x->name, "\xc3\xa4");
	assert_string_equal(x->profile, "p");
	assert_string_equal(x->workspace, "a/b");
	assert_string_equal(x->hostname, "h");
	assert_int_equal(x->limits.memory, 1048576);
	assert_int_equal(x->limits.cpu_milli, 1500);
	assert_int_equal(x->limits.pids, 64);
	assert_int_equal(x->network, WIRE_NETWORK_NONE);
	assert_int_equal(x->env_count, 2);
	assert_int_equal(x->label_count, 2);
	assert_int_equal(x->idle_timeout_ms, 0);
	assert_int_equal(x->max_duration_ms, 60000);
	assert_int_equal(x->auto_remove, 1);
	assert_int_equal(d.rq.string_count, 6);
	for (int i = 0; i < 6; i++)
		assert_string_equal(d.rq.strings[i], strings[i]);
	d.rq.wire.tag = 1;
	assert_true(wire_check_request(&d.rq.wire, 1));
	done(&d);
}

static void what_is_absent_or_null_keeps_the_profiles_value(void **state)
{
	static const char *const same[] = {
		"{\"name\":\"a\"}",
		"{\"name\":\"a\",\"profile\":null,\"workspace\":null,\"env\":null,"
		"\"labels\":null,\"limits\":null,\"network\":null,\"hostname\":null,"
		"\"idle_timeout\":null,\"max_duration\":null,\"auto_remove\":null}",
		"{\"name\":\"a\",\"limits\":{\"memory\":null},\"env\":{},\"labels\":{}}",
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct decoded d = decode("Ensure", same[i]);
		struct wire_ensure expected = { .name = "a",
						.idle_timeout_ms = WIRE_UNSET,
						.max_duration_ms = WIRE_UNSET };

		assert_int_equal(d.r, 0);
		assert_int_equal(d.rq.string_count, 0);
		assert_memory_equal(&d.rq.wire.ensure, &expected, sizeof(expected));
		d.rq.wire.tag = 1;
		assert_true(wire_check_request(&d.rq.wire, 0));
		done(&d);
	}
	assert_invalid("Ensure", "{\"name\":null}", "name");
}

static void exec_has_all_of_its_fields(void **state)
{
	struct decoded d = decode(
		"Exec",
		"{\"name\":\"a\",\"argv\":[\"sh\",\"-c\",\"\"],\"env\":{\"A\":\"\"},"
		"\"cwd\":\"/tmp\",\"uid\":1,\"gid\":65534,\"stdin\":\"Zm9v\","
		"\"descriptors\":0,\"terminal\":false,\"timeout\":5,"
		"\"limits\":{\"pids\":3},\"max_output\":16777216,"
		"\"end_on_max_output\":true,\"detach\":false}");
	const struct wire_exec *x = &d.rq.wire.exec;

	(void)state;
	assert_int_equal(d.r, 0);
	assert_int_equal(x->argc, 3);
	assert_int_equal(x->env_count, 1);
	assert_string_equal(x->cwd, "/tmp");
	assert_int_equal(x->uid, 1);
	assert_int_equal(x->gid, 65534);
	assert_int_equal(x->fds, 3);
	assert_int_equal(x->timeout_ms, 5);
	assert_int_equal(x->limits.pids, 3);
	assert_int_equal(d.rq.input_size, 3);
	assert_memory_equal(d.rq.input, "foo", 3);
	assert_int_equal(d.rq.max_output, STREAM_MAX_CEILING);
	assert_int_equal(d.rq.end_on_max_output, 1);
	assert_int_equal(d.rq.string_count, 4);
	assert_string_equal(d.rq.strings[2], "");
	assert_string_equal(d.rq.strings[3], "A=");
	d.rq.wire.tag = 1;
	assert_true(wire_check_request(&d.rq.wire, 4));
	done(&d);
}

static void exec_has_its_defaults(void **state)
{
	struct decoded d = decode("Exec", "{\"name\":\"a\",\"argv\":[\"x\"]}");

	(void)state;
	assert_int_equal(d.r, 0);
	assert_int_equal(d.rq.wire.exec.uid, UINT32_MAX);
	assert_int_equal(d.rq.wire.exec.gid, UINT32_MAX);
	assert_int_equal(d.rq.wire.exec.timeout_ms, 0);
	assert_int_equal(d.rq.max_output, STREAM_MAX_DEFAULT);
	assert_null(d.rq.input);
	done(&d);
	d = decode("Exec", "{\"name\":\"a\",\"argv\":[\"x\"],\"stdin\":\"\"}");
	assert_non_null(d.rq.input);
	assert_int_equal(d.rq.input_size, 0);
	done(&d);
	d = decode("Stop", "{\"name\":\"a\"}");
	assert_int_equal(d.rq.wire.stop.grace_ms, 15000);
	done(&d);
}

static void what_cannot_go_together_is_refused(void **state)
{
	static const struct {
		const char *fields, *wrong;
	} cases[] = {
		{ "\"descriptors\":1", "descriptors" },
		{ "\"descriptors\":2", "descriptors" },
		{ "\"descriptors\":19", "descriptors" },
		{ "\"descriptors\":-1", "descriptors" },
		{ "\"descriptors\":3,\"terminal\":true", "terminal" },
		{ "\"descriptors\":3,\"stdin\":\"\"", "stdin" },
		{ "\"terminal\":true,\"detach\":true,\"stdin\":\"\"", "stdin" },
		{ "\"descriptors\":3,\"max_output\":7", "max_output" },
		{ "\"detach\":true,\"max_output\":7", "max_output" },
		{ "\"detach\":true,\"end_on_max_output\":true", "end_on_max_output" },
		{ "\"descriptors\":3,\"end_on_max_output\":true", "end_on_max_output" },
		{ "\"max_output\":16777217", "max_output" },
	};
	struct decoded d;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];

		snprintf(text, sizeof(text), "{\"name\":\"a\",\"argv\":[\"x\"],%s}",
			 cases[i].fields);
		assert_invalid("Exec", text, cases[i].wrong);
	}
	assert_valid("Exec", "{\"name\":\"a\",\"argv\":[\"x\"],\"descriptors\":18}");
	/* Without `more`, there would be no reply for the terminal to come with. */
	d = decode("Exec", "{\"name\":\"a\",\"argv\":[\"x\"],\"terminal\":true}");
	assert_int_equal(d.r, -EINVAL);
	assert_string_equal(d.error.name, "org.varlink.service.ExpectedMore");
	done(&d);
	d = decode_more("Exec", "{\"name\":\"a\",\"argv\":[\"x\"],\"terminal\":true}",
			true);
	assert_int_equal(d.r, 0);
	assert_int_equal(d.rq.wire.exec.fds, 0);
	done(&d);
}

static const struct {
	const char *method, *fields, *wrong;
} wrong_values[] = {
	{ "Touch", "\"name\":\"\"", "name" },
	{ "Touch", "\"name\":\"a\\tb\"", "name" },
	{ "Touch", "\"name\":\"a\\u007f\"", "name" },
	{ "Touch", "\"name\":\"a\\u0085b\"", "name" },
	{ "Touch", "\"name\":[\"a\"]", "name" },
	{ "Ensure", "\"name\":\"a\",\"profile\":\"\"", "profile" },
	{ "Ensure", "\"name\":\"a\",\"profile\":1", "profile" },
	{ "Ensure", "\"name\":\"a\",\"workspace\":true", "workspace" },
	{ "Ensure", "\"name\":\"a\",\"env\":[\"A=1\"]", "env" },
	{ "Ensure", "\"name\":\"a\",\"env\":{\"A\":1}", "env" },
	{ "Ensure", "\"name\":\"a\",\"env\":{\"\":\"1\"}", "env" },
	{ "Ensure", "\"name\":\"a\",\"env\":{\"1A\":\"1\"}", "env" },
	{ "Ensure", "\"name\":\"a\",\"env\":{\"A=B\":\"1\"}", "env" },
	{ "Ensure", "\"name\":\"a\",\"env\":{\"A-B\":\"1\"}", "env" },
	{ "Ensure", "\"name\":\"a\",\"labels\":{\"\":\"1\"}", "labels" },
	{ "Ensure", "\"name\":\"a\",\"labels\":{\"k\":null}", "labels" },
	{ "Ensure", "\"name\":\"a\",\"limits\":7", "limits" },
	{ "Ensure", "\"name\":\"a\",\"limits\":{\"memory\":0}", "limits.memory" },
	{ "Ensure", "\"name\":\"a\",\"limits\":{\"memory\":\"1g\"}", "limits.memory" },
	{ "Ensure", "\"name\":\"a\",\"limits\":{\"pids\":-1}", "limits.pids" },
	{ "Ensure", "\"name\":\"a\",\"limits\":{\"cpu_milli\":1.5}", "limits.cpu_milli" },
	{ "Ensure", "\"name\":\"a\",\"limits\":{\"swap\":1}", "limits.swap" },
	{ "Ensure", "\"name\":\"a\",\"network\":\"host\"", "network" },
	{ "Ensure", "\"name\":\"a\",\"idle_timeout\":-1", "idle_timeout" },
	{ "Ensure", "\"name\":\"a\",\"idle_timeout\":9223372036854775807",
	  "idle_timeout" },
	{ "Ensure", "\"name\":\"a\",\"mounts\":[]", "mounts" },
	{ "Exec", "\"name\":\"a\"", "argv" },
	{ "Exec", "\"name\":\"a\",\"argv\":[]", "argv" },
	{ "Exec", "\"name\":\"a\",\"argv\":\"true\"", "argv" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\",1]", "argv" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"uid\":0", "uid" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"gid\":65535", "gid" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"uid\":4294967297", "uid" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"stdin\":\"=\"", "stdin" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"stdin\":7", "stdin" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"detach\":1", "detach" },
	{ "Exec", "\"name\":\"a\",\"argv\":[\"x\"],\"cwd\":\"\"", "cwd" },
	{ "Wait", "\"name\":\"a\",\"exec\":\"123456789012345678901234\"", "exec" },
	{ "Kill", "\"name\":\"a\",\"exec\":\"e\"", "signal" },
	{ "Kill", "\"name\":\"a\",\"exec\":\"e\",\"signal\":0", "signal" },
	{ "Kill", "\"name\":\"a\",\"exec\":\"e\",\"signal\":65", "signal" },
	{ "Output", "\"name\":\"a\",\"exec\":\"e\",\"offset\":0", "stream" },
	{ "Output", "\"name\":\"a\",\"exec\":\"e\",\"offset\":0,\"stream\":\"stdin\"",
	  "stream" },
	{ "Output", "\"name\":\"a\",\"exec\":\"e\",\"offset\":-1,\"stream\":\"stdout\"",
	  "offset" },
	{ "Stats", "\"interval\":99", "interval" },
	{ "Stats", "\"name\":\"\"", "name" },
	{ "Info", "\"x\":1", "x" },
};

static void wrong_types_and_ranges_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong_values) / sizeof(*wrong_values); i++) {
		char text[256];

		snprintf(text, sizeof(text), "{%s}", wrong_values[i].fields);
		assert_invalid(wrong_values[i].method, text, wrong_values[i].wrong);
	}
}

/* One byte more than each may have. */
static void strings_that_are_too_long_are_refused(void **state)
{
	static const struct {
		const char *method, *field;
		size_t most;
	} cases[] = {
		{ "Ensure", "name", WIRE_NAME_MAX },
		{ "Ensure", "profile", WIRE_PROFILE_MAX },
		{ "Ensure", "workspace", WIRE_PATH_MAX },
		{ "Ensure", "hostname", WIRE_HOSTNAME_MAX },
		{ "Exec", "cwd", WIRE_PATH_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool exec = strcmp(cases[i].method, "Exec") == 0;

		for (size_t more = 0; more <= 1; more++) {
			char value[WIRE_PATH_MAX + 2], text[2048];
			const char *name = "\"name\":\"a\",";

			memset(value, 'x', sizeof(value));
			value[cases[i].most + more] = '\0';
			if (strcmp(cases[i].field, "name") == 0)
				name = "";
			snprintf(text, sizeof(text), "{%s%s\"%s\":\"%s\"}", name,
				 exec ? "\"argv\":[\"x\"]," : "", cases[i].field, value);
			if (more)
				assert_invalid(cases[i].method, text, cases[i].field);
			else
				assert_valid(cases[i].method, text);
		}
	}
}

static char *long_argv(size_t count, size_t len)
{
	char *text = malloc(count * (len + 3) + 64), *to;

	to = text + snprintf(text, 64, "{\"name\":\"a\",\"argv\":[");
	for (size_t i = 0; i < count; i++) {
		*to++ = '"';
		memset(to, 'x', len);
		to += len;
		*to++ = '"';
		*to++ = ',';
	}
	memcpy(to - 1, "]}", 3);
	return text;
}

static void strings_are_bounded_in_number_and_size(void **state)
{
	static const struct {
		size_t count, len;
		bool fits;
	} cases[] = {
		{ WIRE_STRINGS_MAX, 1, true },
		{ WIRE_STRINGS_MAX + 1, 1, false },
		{ 1, WIRE_STRINGS_SIZE - 1, true },
		{ 1, WIRE_STRINGS_SIZE, false },
		{ 1024, 1023, true },
		{ 1024, 1024, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *text = long_argv(cases[i].count, cases[i].len);

		if (cases[i].fits)
			assert_valid("Exec", text);
		else
			assert_invalid("Exec", text, "argv");
		free(text);
	}
}

static void stats_and_events_follow_more(void **state)
{
	struct decoded d = decode_more("Stats", "{}", true);

	(void)state;
	assert_int_equal(d.rq.wire.stats.interval_ms, 1000);
	done(&d);
	d = decode_more("Stats", "{\"interval\":250,\"name\":\"a\"}", true);
	assert_int_equal(d.rq.wire.stats.interval_ms, 250);
	assert_string_equal(d.rq.wire.stats.name, "a");
	done(&d);
	d = decode("Stats", "{\"interval\":250}");
	assert_int_equal(d.rq.wire.stats.interval_ms, 0);
	done(&d);
	d = decode_more("Events", "{}", true);
	assert_int_equal(d.rq.wire.flagged.flag, 1);
	done(&d);
	d = decode("Events", "{}");
	assert_int_equal(d.rq.wire.flagged.flag, 0);
	done(&d);
}

static void output_is_the_fronts_own(void **state)
{
	struct decoded d = decode("Output", "{\"name\":\"a\",\"exec\":\"e\","
					    "\"stream\":\"stderr\",\"offset\":7}");

	(void)state;
	assert_int_equal(d.r, 0);
	assert_int_equal(d.rq.wire.type, REQUEST_WIRE_NONE);
	assert_string_equal(d.rq.wire.exec_ref.exec, "e");
	assert_int_equal(d.rq.stream, 1);
	assert_int_equal(d.rq.offset, 7);
	done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_method_is_none),
		cmocka_unit_test(methods_are_those_of_the_interface),
		cmocka_unit_test(ensure_has_all_of_its_fields),
		cmocka_unit_test(what_is_absent_or_null_keeps_the_profiles_value),
		cmocka_unit_test(exec_has_all_of_its_fields),
		cmocka_unit_test(exec_has_its_defaults),
		cmocka_unit_test(what_cannot_go_together_is_refused),
		cmocka_unit_test(wrong_types_and_ranges_are_named),
		cmocka_unit_test(strings_that_are_too_long_are_refused),
		cmocka_unit_test(strings_are_bounded_in_number_and_size),
		cmocka_unit_test(stats_and_events_follow_more),
		cmocka_unit_test(output_is_the_fronts_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
