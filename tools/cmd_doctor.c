/* SPDX-License-Identifier: Apache-2.0 */
/* carrel doctor: what the host has of what carrel needs, as a table or as JSON. */
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/carrel.h"
#include "tools/config.h"
#include "tools/options.h"
#include "tools/table.h"

enum {
	STATUS_USABLE = 0,
	STATUS_UNUSABLE = 1,
	FOUND_WIDTH_MAX = 50, /* what is longer pushes the last column aside */
};

struct doctor {
	const char *config_path;
	bool json;
	bool help;
	struct probe_result *results;
	unsigned count;
	unsigned by_state[PROBE_STATE_MAX];
};

static int set_format(void *context, char *value, struct err *e)
{
	struct doctor *d = context;

	if (strcmp(value, "table") != 0 && strcmp(value, "json") != 0)
		return err_say(e, EINVAL, "\"%s\" is neither table nor json", value);
	d->json = !strcmp(value, "json");
	return 0;
}

static int set_config(void *context, char *value, struct err *e)
{
	struct doctor *d = context;

	(void)e;
	d->config_path = value;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct doctor *d = context;

	(void)value;
	(void)e;
	d->help = true;
	return 0;
}

static const struct option_row options[] = {
	{ "format", 0, "table|json", "how to print it (table)", set_format },
	{ "config", 0, "FILE", "configuration (" CONFIG_PATH ")", set_config },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: carrel doctor [OPTIONS]\n\n"
	       "Tries everything that carrel needs of this host and says what to do "
	       "where\n"
	       "it is missing. Also gives advice on settings that make the host safer; "
	       "it\n"
	       "changes none of them. Exit status: 0 usable, 1 not usable, 125 carrel\n"
	       "itself failed.\n\n");
	options_print(options);
}

static int run_all(struct doctor *d, const struct runtime_config *config, struct err *e)
{
	d->count = probe_count();
	d->results = calloc(d->count, sizeof(*d->results));
	if (!d->results)
		return err_set(e, ENOMEM, "run %u probes", d->count);
	for (unsigned i = 0; i < d->count; i++) {
		probe_run(config, i, &d->results[i]);
		d->by_state[d->results[i].state]++;
	}
	return 0;
}

static const char *colour_of(enum probe_state state)
{
	static const char *const colours[] = {
		[PROBE_OK] = "\033[32m",
		[PROBE_MISSING] = "\033[1;31m",
		[PROBE_ADVICE] = "\033[33m",
	};

	static_assert(sizeof(colours) / sizeof(*colours) == PROBE_STATE_MAX,
		      "one colour a state");
	return colours[state];
}

static int wider(int width, const char *text, int most)
{
	int len = (int)strlen(text);

	if (len > most)
		len = most;
	return len > width ? len : width;
}

static void print_row(const struct probe_result *p, bool colour, int name, int found)
{
	const char *on = colour ? colour_of(p->state) : "",
		   *off = colour ? "\033[0m" : "";

	if (*p->remedy)
		printf("%-*s  %s%-7s%s  %-*s  %s\n", name, p->name, on,
		       probe_state_name(p->state), off, found, p->detail, p->remedy);
	else
		printf("%-*s  %s%-7s%s  %s\n", name, p->name, on,
		       probe_state_name(p->state), off, p->detail);
}

static void print_table(const struct doctor *d)
{
	int name = (int)strlen("CHECK"), found = (int)strlen("FOUND");
	bool colour = table_wants_colour();

	for (unsigned i = 0; i < d->count; i++) {
		name = wider(name, d->results[i].name, FOUND_WIDTH_MAX);
		found = wider(found, d->results[i].detail, FOUND_WIDTH_MAX);
	}
	printf("%-*s  %-7s  %-*s  %s\n", name, "CHECK", "STATE", found, "FOUND",
	       "WHAT TO DO");
	for (unsigned i = 0; i < d->count; i++)
		print_row(&d->results[i], colour, name, found);
	printf("\n%s: %u ok, %u missing, %u advice\n",
	       d->by_state[PROBE_MISSING] ? "not usable" : "usable",
	       d->by_state[PROBE_OK], d->by_state[PROBE_MISSING],
	       d->by_state[PROBE_ADVICE]);
}

static json_t *results_array(const struct doctor *d)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < d->count; i++) {
		const struct probe_result *p = &d->results[i];

		json_array_append_new(
			array, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", p->id, "name",
					 p->name, "state", probe_state_name(p->state),
					 "found", p->detail, "remedy", p->remedy));
	}
	return array;
}

static int print_json(const struct doctor *d, struct err *e)
{
	json_t *object = json_pack(
		"{s:b, s:i, s:i, s:i, s:o}", "usable", d->by_state[PROBE_MISSING] == 0,
		"ok", (int)d->by_state[PROBE_OK], "missing",
		(int)d->by_state[PROBE_MISSING], "advice", (int)d->by_state[PROBE_ADVICE],
		"checks", results_array(d));
	auto_free char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;

	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "encode the result");
	printf("%s\n", text);
	return 0;
}

static int parse(struct doctor *d, char **argv, struct config *config, struct err *e)
{
	char **rest, shown[128];
	int r = options_parse(options, d, argv, &rest, e);

	if (r < 0)
		return r;
	if (*rest)
		return err_say(e, EINVAL, "takes no argument: %s",
			       str_escape(shown, sizeof(shown), *rest));
	return d->help ? 0 : config_read(d->config_path, config, e);
}

static int examine(struct doctor *d, const struct config *config, struct err *e)
{
	int r = run_all(d, &config->runtime, e);

	if (r == 0 && d->json)
		r = print_json(d, e);
	else if (r == 0)
		print_table(d);
	return r;
}

int cmd_doctor(char **argv)
{
	struct doctor d = { 0 };
	struct config config = { 0 };
	struct err e = { 0 };
	int status = STATUS_USABLE, r = parse(&d, argv, &config, &e);

	if (r == 0 && d.help)
		print_help();
	else if (r == 0)
		r = examine(&d, &config, &e);
	if (r == 0 && fflush(stdout) != 0)
		r = err_set(&e, errno, "write to standard output");
	free(d.results);
	config_free(&config);
	if (r < 0) {
		fprintf(stderr, "carrel: doctor: %s\n", e.msg);
		status = RUN_STATUS_FAILED;
	} else if (d.by_state[PROBE_MISSING]) {
		status = STATUS_UNUSABLE;
	}
	return status;
}
