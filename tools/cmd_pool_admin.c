/* SPDX-License-Identifier: Apache-2.0 */
/* carrel info, metrics, top: the daemon as a whole. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/carrel.h"
#include "tools/verb.h"

static void print_field(const char *name, const char *value)
{
	char shown[512];

	printf("%-14s %s\n", name, str_escape(shown, sizeof(shown), value));
}

static void print_info(const json_t *info)
{
	char profiles[1024];
	struct str s = str_over(profiles, sizeof(profiles));
	size_t i;
	json_t *profile;

	json_array_foreach(json_object_get(info, "profiles"), i, profile)
		str_add(&s, "%s%s", i ? ", " : "",
			json_string_value(profile) ? json_string_value(profile) : "");
	print_field("Version:", client_text(info, "version"));
	print_field("Client:", client_text(info, "client"));
	print_field("Profiles:", profiles);
	printf("%-14s %lld of %lld\n",
	       "Sandboxes:", (long long)client_int(info, "sandboxes"),
	       (long long)client_int(info, "max_sandboxes"));
	printf("%-14s %lld at most\n",
	       "Execs:", (long long)client_int(info, "max_execs"));
}

static int info(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, "Info", json_object(), &reply, e);

	(void)words;
	if (r == 0 && a->json)
		r = verb_print_json(json_incref(reply), false, e);
	else if (r == 0)
		print_info(reply);
	json_decref(reply);
	return r;
}

int cmd_info(char **argv)
{
	static const struct option_row options[] = {
		VERB_FORMAT_ROW,
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "info",
		.words = "",
		.text = "Says which carreld listens and what you may have of it.\n",
		.options = options,
		.act = info,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int metrics(struct verb_args *a, struct client_link *c, char **words,
		   struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, "Metrics", json_object(), &reply, e);

	(void)a;
	(void)words;
	if (r == 0)
		fputs(client_text(reply, "text"), stdout);
	json_decref(reply);
	return r;
}

int cmd_metrics(char **argv)
{
	static const struct option_row options[] = {
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "metrics",
		.words = "",
		.text = "Prints figures on your sandboxes in Prometheus' text format.\n",
		.options = options,
		.act = metrics,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}
