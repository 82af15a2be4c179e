/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pool_script.h"

#include <jansson.h>

#include "tools/carrel.h"

#define RUNNING                                                                         \
	"{\"name\":\"a\",\"id\":\"carrel-0-1\",\"generation\":2,\"state\":\"running\"," \
	"\"profile\":\"default\",\"workspace\":\"u/7\",\"labels\":{\"k\":\"v\","        \
	"\"l\":\"\"},\"created\":1000,\"started\":1000,\"execs\":3,"                    \
	"\"limits\":{\"memory\":67108864,\"cpu_milli\":1500,\"pids\":9},"               \
	"\"network\":\"none\",\"idle_timeout\":300000,\"max_duration\":0}"
#define STOPPED                                                                    \
	"{\"name\":\"b\\u001b[2J\",\"id\":\"\",\"generation\":1,\"state\":"        \
	"\"stopped\",\"profile\":\"default\",\"workspace\":\"\",\"created\":1000," \
	"\"started\":0,\"execs\":0,\"limits\":{},\"network\":\"egress\"}"

static const struct exchange all[] = {
	{ .expect = "List\",\"parameters\":{\"all\":true}}",
	  .replies = { "{\"parameters\":{\"sandboxes\":[" RUNNING "," STOPPED "]}}" } },
	{ .expect = NULL },
};

static void run(int (*command)(char **), const struct exchange *script,
		const char *const *words, struct outcome *ret)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	script_run(command, script, words, null, ret);
	close(null);
}

static void ps_prints_a_table_with_dockers_heads(void **state)
{
	static struct outcome o;

	(void)state;
	run(cmd_ps, all, WORDS("-a"), &o);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_ptr_equal(strstr(o.out, "NAME       ID           STATUS"), o.out);
	assert_non_null(strstr(o.out, "\na          carrel-0-1   Up "));
	assert_non_null(strstr(o.out, " days   default   u/7         3       "));
	assert_non_null(strstr(o.out, " days ago\n"));
	/* What a name holds cannot reach the terminal. */
	assert_non_null(strstr(o.out, "\nb\\x1b[2J                Stopped "));
	assert_null(strchr(o.out, '\033'));
}

static void ps_prints_names_alone(void **state)
{
	(void)state;
	/* Not to a terminal: as they are, so that they can be arguments. */
	script_expect(cmd_ps, all, WORDS("-aq"), 0, "a\nb\033[2J\n", "");
}

static void ps_prints_json_with_dockers_keys(void **state)
{
	static struct outcome o;
	json_t *first;
	char *line_end;

	(void)state;
	run(cmd_ps, all, WORDS("--all", "--format", "json"), &o);
	assert_int_equal(o.status, 0);
	line_end = strchr(o.out, '\n');
	assert_non_null(line_end);
	assert_null(strchr(o.out, '\033'));
	first = json_loadb(o.out, (size_t)(line_end - o.out), 0, NULL);
	assert_non_null(first);
	assert_string_equal(json_string_value(json_object_get(first, "Names")), "a");
	assert_string_equal(json_string_value(json_object_get(first, "ID")),
			    "carrel-0-1");
	assert_string_equal(json_string_value(json_object_get(first, "State")),
			    "running");
	assert_string_equal(json_string_value(json_object_get(first, "Labels")),
			    "k=v,l=");
	assert_string_equal(json_string_value(json_object_get(first, "CreatedAt")),
			    "1970-01-01T00:00:01.000Z");
	json_decref(first);
}

static void inspect_puts_what_the_kernel_says_over_what_was_asked(void **state)
{
	static const struct exchange script[] = {
		{ .expect = "Inspect\",\"parameters\":{\"name\":\"a\"}}",
		  .replies = { "{\"parameters\":{\"sandbox\":" RUNNING
			       ",\"inspect\":{\"HostConfig\":{\"Memory\":1},"
			       "\"Seccomp\":2}}}" } },
		{ .expect = "Inspect\",\"parameters\":{\"name\":\"z\"}}",
		  .replies = { "{\"error\":\"io.carrel.Pool.NoSuchSandbox\","
			       "\"parameters\":{\"name\":\"z\"}}" } },
		{ .expect = NULL },
	};
	static struct outcome o;
	json_t *array, *one, *host;

	(void)state;
	run(cmd_inspect, script, WORDS("a", "z"), &o);
	assert_int_equal(o.status, 125);
	assert_string_equal(o.err, "carrel: inspect: no sandbox is called \"z\"\n");
	array = json_loads(o.out, 0, NULL);
	assert_int_equal(json_array_size(array), 1);
	one = json_array_get(array, 0);
	host = json_object_get(one, "HostConfig");
	assert_string_equal(json_string_value(json_object_get(one, "Name")), "a");
	assert_true(
		json_is_true(json_object_get(json_object_get(one, "State"), "Running")));
	assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 1);
	assert_int_equal(json_integer_value(json_object_get(host, "NanoCpus")),
			 1500000000);
	assert_int_equal(json_integer_value(json_object_get(one, "Seccomp")), 2);
	json_decref(array);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps_prints_a_table_with_dockers_heads),
		cmocka_unit_test(ps_prints_names_alone),
		cmocka_unit_test(ps_prints_json_with_dockers_keys),
		cmocka_unit_test(inspect_puts_what_the_kernel_says_over_what_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
