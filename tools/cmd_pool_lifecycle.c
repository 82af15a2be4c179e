/* SPDX-License-Identifier: Apache-2.0 */
/* carrel stop, rm, pause, unpause, touch, reap, shutdown: the life of sandboxes. */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "tools/carrel.h"
#include "tools/verb.h"

static int set_grace(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	if (num_parse_duration(value, &a->grace_ms) < 0)
		return err_say(e, EINVAL, "\"%s\" is not a duration such as 30s, or 0",
			       value);
	a->grace_given = true;
	return 0;
}

static int set_force(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->force = true;
	return 0;
}

static int set_remove(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->remove = true;
	return 0;
}

static const struct option_row plain_options[] = {
	VERB_HOST_ROW,
	VERB_HELP_ROW,
	VERB_LAST_ROW,
};

static int stop_one(struct verb_args *a, struct client_link *c, const char *name,
		    struct err *e)
{
	json_t *parameters = verb_named(name);

	if (a->grace_given &&
	    json_object_set_new(parameters, "grace",
				json_integer((json_int_t)a->grace_ms)) < 0) {
		json_decref(parameters);
		parameters = NULL;
	}
	return client_order(c, "Stop", parameters, e);
}

int cmd_stop(char **argv)
{
	static const struct option_row options[] = {
		{ "time", 't', "TIME", "until what ignores SIGTERM is killed (15s)",
		  set_grace },
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "stop",
		.words = "NAME...",
		.text = "Ends everything in the sandboxes. What they were made with is "
			"kept: ensure and\nexec start them again.\n",
		.options = options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.each = stop_one,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

/* As with docker, what is not there any more has been removed by force. */
static int remove_one(struct verb_args *a, struct client_link *c, const char *name,
		      struct err *e)
{
	json_t *parameters = json_pack("{s:s, s:b}", "name", name, "force", a->force);
	int r = client_order(c, "Remove", parameters, e);

	return r == -ENOENT && a->force ? 0 : r;
}

int cmd_rm(char **argv)
{
	static const struct option_row options[] = {
		{ "force", 'f', NULL, "also those that run, and those that are not there",
		  set_force },
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "rm",
		.words = "NAME...",
		.text = "Forgets sandboxes that are stopped.\n",
		.options = options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.each = remove_one,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int pause_one(struct verb_args *a, struct client_link *c, const char *name,
		     struct err *e)
{
	(void)a;
	return client_order(c, "Pause", verb_named(name), e);
}

int cmd_pause(char **argv)
{
	static const struct verb verb = {
		.name = "pause",
		.words = "NAME...",
		.text = "Freezes all processes of the sandboxes.\n",
		.options = plain_options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.each = pause_one,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int unpause_one(struct verb_args *a, struct client_link *c, const char *name,
		       struct err *e)
{
	(void)a;
	return client_order(c, "Unpause", verb_named(name), e);
}

int cmd_unpause(char **argv)
{
	static const struct verb verb = {
		.name = "unpause",
		.words = "NAME...",
		.text = "Lets frozen sandboxes go on.\n",
		.options = plain_options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.each = unpause_one,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int touch_one(struct verb_args *a, struct client_link *c, const char *name,
		     struct err *e)
{
	(void)a;
	return client_order(c, "Touch", verb_named(name), e);
}

int cmd_touch(char **argv)
{
	static const struct verb verb = {
		.name = "touch",
		.words = "NAME...",
		.text = "Puts off the end of the sandboxes for being idle.\n",
		.options = plain_options,
		.least = 1,
		.most = VERB_WORDS_ANY,
		.each = touch_one,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

/* A call that tells how many it has stopped. */
static int stop_many(struct client_link *c, const char *method, json_t *parameters,
		     struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, method, parameters, &reply, e);

	if (r == 0)
		printf("stopped: %lld\n", (long long)client_int(reply, "stopped"));
	json_decref(reply);
	return r;
}

static int reap(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	(void)a;
	(void)words;
	return stop_many(c, "Reap", json_object(), e);
}

int cmd_reap(char **argv)
{
	static const struct verb verb = {
		.name = "reap",
		.words = "",
		.text = "Stops every sandbox that is idle, now.\n",
		.options = plain_options,
		.act = reap,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int shut_down(struct verb_args *a, struct client_link *c, char **words,
		     struct err *e)
{
	(void)words;
	return stop_many(c, "Shutdown", json_pack("{s:b}", "remove", a->remove), e);
}

int cmd_shutdown(char **argv)
{
	static const struct option_row options[] = {
		{ "rm", 0, NULL, "forget them too", set_remove },
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "shutdown",
		.words = "",
		.text = "Stops all sandboxes of yours. carreld goes on.\n",
		.options = options,
		.act = shut_down,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}
