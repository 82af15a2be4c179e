/* SPDX-License-Identifier: Apache-2.0 */
/* carrel ensure: the sandbox of that name, made or started or found. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "tools/carrel.h"
#include "tools/value.h"
#include "tools/verb.h"

enum { LABELS_MAX = 64 };

struct ensure_args {
	struct verb_args verb; /* the first: options see it alone */
	struct environment env;
	const char *profile, *workspace, *hostname, *network;
	struct verb_limits limits;
	uint64_t idle_timeout_ms, max_duration_ms;
	char *labels[LABELS_MAX + 1];
	unsigned label_count;
};

static int set_profile(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	(void)e;
	a->profile = value;
	return 0;
}

static int set_workspace(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	if (*value == '/')
		return err_say(e, EINVAL, "\"%s\" is not relative to your workspace root",
			       value);
	a->workspace = value;
	return 0;
}

static int add_env(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return environment_set(&a->env, value, e);
}

static int add_env_file(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return environment_read(&a->env, value, e);
}

static int add_label(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	if (!*value || *value == '=')
		return err_say(e, EINVAL, "a label without a name");
	if (a->label_count == LABELS_MAX)
		return err_say(e, E2BIG, "more than %d labels", LABELS_MAX);
	a->labels[a->label_count++] = value;
	return 0;
}

static int set_memory(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return verb_limit(value, num_parse_size, "512m", &a->limits.memory, e);
}

static int set_cpus(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return verb_limit(value, num_parse_milli, "1.5", &a->limits.cpu_milli, e);
}

static int set_pids(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return verb_limit(value, value_count, "256", &a->limits.pids, e);
}

static int set_network(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;
	bool egress;

	a->network = value;
	return value_network(value, &egress, e);
}

static int set_hostname(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	(void)e;
	a->hostname = value;
	return 0;
}

static int set_idle_timeout(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return value_time(value, &a->idle_timeout_ms, e);
}

static int set_max_duration(void *context, char *value, struct err *e)
{
	struct ensure_args *a = context;

	return value_time(value, &a->max_duration_ms, e);
}

static const struct option_row options[] = {
	{ "profile", 0, "NAME", "kind of sandbox (your first in the configuration)",
	  set_profile },
	{ "workspace", 0, "REL", "directory at /workspace, below your workspace root",
	  set_workspace },
	{ "env", 'e', "K[=V]", "environment variable of all its commands", add_env },
	{ "env-file", 0, "FILE", "environment variables, one a line", add_env_file },
	{ "label", 0, "K=V", "label, shown by ps and inspect", add_label },
	{ "memory", 'm', "SIZE", "memory of all processes together", set_memory },
	{ "cpus", 0, "N", "processor time, such as 1.5", set_cpus },
	{ "pids-limit", 0, "N", "processes and threads", set_pids },
	{ "network", 0, "none|egress",
	  "only a loopback interface, or a way to the public internet", set_network },
	{ "hostname", 0, "NAME", "hostname inside (made of the name)", set_hostname },
	{ "idle-timeout", 0, "TIME", "stop it when it has been idle so long",
	  set_idle_timeout },
	{ "max-duration", 0, "TIME", "stop it after TIME in any case", set_max_duration },
	VERB_FORMAT_ROW,
	VERB_HOST_ROW,
	VERB_HELP_ROW,
	VERB_LAST_ROW,
};

static int parameters_of(const struct ensure_args *a, const char *name, json_t **ret,
			 struct err *e)
{
	json_t *p = verb_named(name);
	int r = 0;

	if (verb_add_text(p, "profile", a->profile) < 0 ||
	    verb_add_text(p, "workspace", a->workspace) < 0 ||
	    verb_add_text(p, "hostname", a->hostname) < 0 ||
	    verb_add_text(p, "network", a->network) < 0 ||
	    verb_add_limits(p, &a->limits) < 0 ||
	    verb_add_int(p, "idle_timeout", a->idle_timeout_ms) < 0 ||
	    verb_add_int(p, "max_duration", a->max_duration_ms) < 0)
		r = err_set(e, ENOMEM, "encode what the sandbox shall be");
	if (r == 0)
		r = verb_add_pairs(p, "env", "environment variable", a->env.list, e);
	if (r == 0)
		r = verb_add_pairs(p, "labels", "label", a->labels, e);
	if (r < 0)
		json_decref(p);
	else
		*ret = p;
	return r;
}

static int check_texts(const struct ensure_args *a, struct err *e)
{
	const char *texts[] = { a->profile, a->workspace, a->hostname };
	static const char *const names[] = { "--profile", "--workspace", "--hostname" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(texts) / sizeof(*texts); i++)
		r = texts[i] ? verb_check_utf8(names[i], texts[i], e) : 0;
	return r;
}

static int ensure(struct verb_args *verb_args, struct client_link *c, char **words,
		  struct err *e)
{
	struct ensure_args *a = (struct ensure_args *)verb_args;
	json_t *parameters = NULL, *reply = NULL;
	int r = check_texts(a, e);

	if (r == 0)
		r = parameters_of(a, words[0], &parameters, e);
	if (r == 0)
		r = client_call(c, "Ensure", parameters, &reply, e);
	if (r == 0 && a->verb.json)
		r = verb_print_json(json_incref(reply), false, e);
	else if (r == 0)
		printf("%s\n", words[0]);
	json_decref(reply);
	return r;
}

int cmd_ensure(char **argv)
{
	static const struct verb verb = {
		.name = "ensure",
		.words = "NAME",
		.text = "Makes the sandbox of that name, or starts it, or finds it "
			"running, and prints its\nname. With other settings than it was "
			"made with, that is an error. What is not\nsaid is as the "
			"profile "
			"has it.\n",
		.options = options,
		.least = 1,
		.most = 1,
		.act = ensure,
	};
	struct ensure_args a = { 0 };
	int status = verb_main(&verb, &a.verb, argv);

	environment_free(&a.env);
	return status;
}
