/* SPDX-License-Identifier: Apache-2.0 */
/* carrel network: the host's side of filtered egress, set up, shown, removed. */
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
#include "tools/config_network.h"
#include "tools/options.h"

struct network_args {
	const char *config_path;
	bool json, ipv6, help;
};

static int set_format(void *context, char *value, struct err *e)
{
	struct network_args *a = context;

	a->json = !strcmp(value, "json");
	if (!a->json && strcmp(value, "table"))
		return err_say(e, EINVAL, "\"%s\" is neither \"table\" nor \"json\"",
			       value);
	return 0;
}

static int set_ipv6(void *context, char *value, struct err *e)
{
	struct network_args *a = context;

	(void)value;
	(void)e;
	a->ipv6 = true;
	return 0;
}

static int set_config(void *context, char *value, struct err *e)
{
	struct network_args *a = context;

	(void)e;
	a->config_path = value;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct network_args *a = context;

	(void)value;
	(void)e;
	a->help = true;
	return 0;
}

static const struct option_row options[] = {
	{ "ipv6", 0, NULL, "up: IPv6 too", set_ipv6 },
	{ "format", 0, "table|json", "show: how to print it (table)", set_format },
	{ "config", 0, "FILE", "configuration (" CONFIG_PATH ")", set_config },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};

static int up(const struct network_args *a, const struct config *c, struct err *e)
{
	return netns_host_up(&c->runtime.network, a->ipv6, e);
}

static int down(const struct network_args *a, const struct config *c, struct err *e)
{
	(void)a;
	(void)c;
	return netns_host_down(e);
}

static int print_json(const struct netns_host_state *state, struct err *e)
{
	json_t *object = json_pack("{s:b, s:b, s:s, s:i}", "up", state->up, "current",
				   state->current, "uplink", state->uplink, "sandboxes",
				   (int)state->sandboxes);
	auto_free char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;

	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "encode the state");
	printf("%s\n", text);
	return 0;
}

static int show(const struct network_args *a, const struct config *c, struct err *e)
{
	struct netns_host_state state;
	int r = netns_host_show(&c->runtime.network, &state, e);

	if (r < 0 || a->json)
		return r < 0 ? r : print_json(&state, e);
	printf("%-10s %s\n", "state",
	       !state.up       ? "down"
	       : state.current ? "up"
			       : "up, with other settings");
	printf("%-10s %s\n", "uplink", *state.uplink ? state.uplink : "-");
	printf("%-10s %u\n", "sandboxes", state.sandboxes);
	return 0;
}

static const struct verb {
	const char *name, *help;
	int (*run)(const struct network_args *a, const struct config *c, struct err *e);
} verbs[] = {
	{ "up", "set the host's side up, or change it to what the configuration says",
	  up },
	{ "down", "remove it; refused while sandboxes use it", down },
	{ "show", "say whether it is up", show },
};

static void print_help(void)
{
	printf("Usage: carrel network up|down|show [OPTIONS]\n\n"
	       "The host's side of `carrel run --network egress`: an nftables table of "
	       "its own and\n"
	       "the uplink's forwarding. `run` sets it up by itself.\n\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		printf("  %-30s %s\n", verbs[i].name, verbs[i].help);
	printf("\n");
	options_print(options);
	printf("\nExit status: 0, or 125 when it could not be done.\n");
}

static int find_verb(const char *name, const struct verb **ret, struct err *e)
{
	char shown[128];

	for (size_t i = 0; name && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!strcmp(name, verbs[i].name)) {
			*ret = &verbs[i];
			return 0;
		}
	}
	if (!name)
		return err_say(e, EINVAL, "expected up, down or show");
	return err_say(e, EINVAL, "\"%s\" is neither up, down nor show",
		       str_escape(shown, sizeof(shown), name));
}

static int parse(struct network_args *a, char **argv, const struct verb **ret,
		 struct config *config, struct err *e)
{
	char **rest = NULL, shown[128];
	bool asks = *argv && (!strcmp(*argv, "--help") || !strcmp(*argv, "-h"));
	int r = asks ? 0 : find_verb(*argv, ret, e);

	if (r == 0)
		r = options_parse(options, a, asks ? argv : argv + 1, &rest, e);
	if (r < 0 || a->help)
		return r;
	if (*ret && rest && *rest)
		return err_say(e, EINVAL, "%s takes no argument: %s", (*ret)->name,
			       str_escape(shown, sizeof(shown), *rest));
	r = config_read(a->config_path, config, e);
	if (r == 0)
		config_network_finish(config);
	return r;
}

int cmd_network(char **argv)
{
	struct network_args a = { 0 };
	struct config config = { 0 };
	const struct verb *verb = NULL;
	struct err e = { 0 };
	char shown[4 * sizeof(e.msg)];
	int r = parse(&a, argv, &verb, &config, &e);

	if (r == 0 && a.help)
		print_help();
	else if (r == 0)
		r = probe_privilege(&e);
	if (r == 0 && !a.help && verb) {
		r = verb->run(&a, &config, &e);
		if (r < 0)
			err_wrap(&e, "%s", verb->name);
	}
	if (r == 0 && fflush(stdout) != 0)
		r = err_set(&e, errno, "write to standard output");
	config_free(&config);
	if (r == 0)
		return 0;
	fprintf(stderr, "carrel: network: %s\n", str_escape(shown, sizeof(shown), e.msg));
	return RUN_STATUS_FAILED;
}
