/* SPDX-License-Identifier: Apache-2.0 */
/* carrel ps, inspect: which sandboxes there are, and what one is. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "tools/carrel.h"
#include "tools/human.h"
#include "tools/table.h"
#include "tools/verb.h"

static int set_all(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->all = true;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now); /* lint: for people */
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "Up 5 minutes", "Up 5 minutes (Paused)", "Stopped", "Creating". */
static const char *status_of(const json_t *sandbox, char *buf, size_t size)
{
	const char *state = client_text(sandbox, "state");
	bool paused = !strcmp(state, "paused");
	struct str s = str_over(buf, size);
	char span[HUMAN_MAX];

	if (paused || !strcmp(state, "running"))
		str_add(&s, "Up %s%s",
			human_span(span, now_ms() - client_int(sandbox, "started")),
			paused ? " (Paused)" : "");
	else
		str_add(&s, "%c%s", toupper((unsigned char)*state),
			*state ? state + 1 : "");
	return buf;
}

static const char *ago_of(const json_t *sandbox, char *buf, size_t size)
{
	struct str s = str_over(buf, size);
	char span[HUMAN_MAX];

	str_add(&s, "%s ago",
		human_span(span, now_ms() - client_int(sandbox, "created")));
	return buf;
}

static const char *colour_of(const json_t *sandbox)
{
	const char *state = client_text(sandbox, "state");

	if (!strcmp(state, "running"))
		return TABLE_GREEN;
	return strcmp(state, "stopped") ? TABLE_YELLOW : NULL;
}

static void add_sandbox(struct table *t, const json_t *sandbox)
{
	char status[64], ago[64], execs[24];
	struct str s = str_over(execs, sizeof(execs));

	str_add(&s, "%lld", (long long)client_int(sandbox, "execs"));
	table_add(t, (const char *const[]){
			     client_text(sandbox, "name"),
			     client_text(sandbox, "id"),
			     status_of(sandbox, status, sizeof(status)),
			     client_text(sandbox, "profile"),
			     client_text(sandbox, "workspace"),
			     execs,
			     ago_of(sandbox, ago, sizeof(ago)),
		     });
	table_colour(t, 2, colour_of(sandbox));
}

/* As docker has them: "a=1,b=2". */
static json_t *labels_text(const json_t *labels)
{
	char text[16384];
	struct str s = str_over(text, sizeof(text));
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
		str_add(&s, "%s%s=%s", s.len ? "," : "", key,
			json_string_value(value) ? json_string_value(value) : "");
	return json_string(text);
}

/* docker's keys, as far as there is something behind them; then our own. */
static json_t *listed(const json_t *sandbox)
{
	char status[64], ago[64], created[HUMAN_MAX];

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:I}",
			 "Names", client_text(sandbox, "name"), "ID",
			 client_text(sandbox, "id"), "State",
			 client_text(sandbox, "state"), "Status",
			 status_of(sandbox, status, sizeof(status)), "CreatedAt",
			 human_time(created, client_int(sandbox, "created")),
			 "RunningFor", ago_of(sandbox, ago, sizeof(ago)), "Networks",
			 client_text(sandbox, "network"), "Labels",
			 labels_text(json_object_get(sandbox, "labels")), "Profile",
			 client_text(sandbox, "profile"), "Workspace",
			 client_text(sandbox, "workspace"), "Execs",
			 (json_int_t)client_int(sandbox, "execs"), "Generation",
			 (json_int_t)client_int(sandbox, "generation"));
}

/* For a program as it is, so that it can be an argument again; for people escaped. */
static void print_name(const char *name)
{
	char shown[1024];

	printf("%s\n",
	       isatty(STDOUT_FILENO) ? str_escape(shown, sizeof(shown), name) : name);
}

static int print_sandboxes(const struct verb_args *a, const json_t *sandboxes,
			   struct err *e)
{
	static const char *const heads[] = { "NAME",      "ID",    "STATUS",  "PROFILE",
					     "WORKSPACE", "EXECS", "CREATED", NULL };
	struct table t = table_over(heads);
	size_t i;
	json_t *sandbox;
	int r = 0;

	json_array_foreach(sandboxes, i, sandbox) {
		if (a->quiet)
			print_name(client_text(sandbox, "name"));
		else if (a->json)
			r = verb_print_json(listed(sandbox), false, e);
		else
			add_sandbox(&t, sandbox);
		if (r < 0)
			break;
	}
	if (r == 0 && !a->quiet && !a->json)
		r = table_print(&t, e);
	table_free(&t);
	return r;
}

static int ps(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, "List", json_pack("{s:b}", "all", a->all), &reply, e);

	(void)words;
	if (r == 0)
		r = print_sandboxes(a, json_object_get(reply, "sandboxes"), e);
	json_decref(reply);
	return r;
}

int cmd_ps(char **argv)
{
	static const struct option_row options[] = {
		{ "all", 'a', NULL, "those that are stopped too", set_all },
		{ "quiet", 'q', NULL, "names only", verb_set_quiet },
		VERB_FORMAT_ROW,
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "ps",
		.words = "",
		.text = "Lists your sandboxes. As JSON: one object a line, with docker's "
			"keys.\n",
		.options = options,
		.act = ps,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static json_t *state_object(const json_t *sandbox)
{
	const char *state = client_text(sandbox, "state");
	bool paused = !strcmp(state, "paused");
	char started[HUMAN_MAX];

	return json_pack("{s:s, s:b, s:b, s:s}", "Status", state, "Running",
			 paused || !strcmp(state, "running"), "Paused", paused,
			 "StartedAt",
			 human_time(started, client_int(sandbox, "started")));
}

static json_t *host_config(const json_t *sandbox)
{
	const json_t *limits = json_object_get(sandbox, "limits");

	return json_pack("{s:I, s:I, s:I, s:s}", "Memory",
			 (json_int_t)client_int(limits, "memory"), "NanoCpus",
			 (json_int_t)client_int(limits, "cpu_milli") * 1000000,
			 "PidsLimit", (json_int_t)client_int(limits, "pids"),
			 "NetworkMode", client_text(sandbox, "network"));
}

/* What it was asked to be in docker's keys, and over that what the kernel says. */
static json_t *inspected(const json_t *reply)
{
	const json_t *sandbox = json_object_get(reply, "sandbox");
	json_t *kernel = json_object_get(reply, "inspect");
	char created[HUMAN_MAX];
	json_t *object = json_pack(
		"{s:s, s:s, s:s, s:o, s:o, s:{s:O?}, s:s, s:s, s:I, s:I, s:I, s:I}",
		"Name", client_text(sandbox, "name"), "Id", client_text(sandbox, "id"),
		"Created", human_time(created, client_int(sandbox, "created")), "State",
		state_object(sandbox), "HostConfig", host_config(sandbox), "Config",
		"Labels", json_object_get(sandbox, "labels"), "Profile",
		client_text(sandbox, "profile"), "Workspace",
		client_text(sandbox, "workspace"), "Execs",
		(json_int_t)client_int(sandbox, "execs"), "Generation",
		(json_int_t)client_int(sandbox, "generation"), "IdleTimeoutMs",
		(json_int_t)client_int(sandbox, "idle_timeout"), "MaxDurationMs",
		(json_int_t)client_int(sandbox, "max_duration"));

	if (object && kernel && json_object_update_recursive(object, kernel) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* All that exist are printed, as one array; then the first failure is told. */
static int inspect(struct verb_args *a, struct client_link *c, char **words,
		   struct err *e)
{
	json_t *array = json_array();
	struct err first = { 0 };
	int r;

	(void)a;
	for (; *words; words++) {
		json_t *reply = NULL;

		r = client_call(c, "Inspect", verb_named(*words), &reply, e);
		if (r == 0 && json_array_append_new(array, inspected(reply)) < 0)
			r = err_set(e, ENOMEM, "encode what carreld says");
		json_decref(reply);
		if (r < 0 && first.code == 0)
			first = *e;
		if (r == -EPIPE)
			break;
	}
	r = verb_print_json(array, true, e);
	if (first.code == 0)
		return r;
	*e = first;
	return first.code;
}

int cmd_inspect(char **argv)
{
	static const struct option_row options[] = {
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "inspect",
		.words = "NAME...",
		.text = "Prints, as JSON with docker's keys, what is enforced on the "
			"sandboxes now.\n",
		.options = options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.act = inspect,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}
