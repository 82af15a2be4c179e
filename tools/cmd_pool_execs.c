/* SPDX-License-Identifier: Apache-2.0 */
/* carrel execs, kill, cancel, wait, logs: commands inside, by their ids. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "tools/attach_input.h"
#include "tools/carrel.h"
#include "tools/human.h"
#include "tools/table.h"
#include "tools/value.h"
#include "tools/verb.h"

enum {
	COMMAND_WIDTH = 40, /* of a table; longer ones are cut */
	FOLLOW_MS = 200,
};

static int set_signal(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	return value_signal(value, &a->signal, e);
}

static int set_keep(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->keep = true;
	return 0;
}

static int set_follow(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->follow = true;
	return 0;
}

static int set_standard_error(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->standard_error = true;
	return 0;
}

static int set_offset(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	if (num_parse(value, 0, INT64_MAX, &a->offset) < 0)
		return err_say(e, EINVAL, "\"%s\" is not a number of bytes", value);
	return 0;
}

/* The words of a command, as one text that may be cut. */
static void join_words(const json_t *argv, char *buf, size_t size)
{
	struct str s = str_over(buf, size);
	size_t i;
	json_t *word;

	json_array_foreach(argv, i, word)
		str_add(&s, "%s%s", i ? " " : "", json_string_value(word));
	if (s.cut)
		memcpy(buf + size - 4, "...", 4);
}

/* "Running", "Exited (7) 3 minutes ago". */
static void describe_exec(const json_t *exec, char *buf, size_t size)
{
	const json_t *result = json_object_get(exec, "result");
	struct str s = str_over(buf, size);

	if (client_flag(exec, "running") || !result)
		str_add(&s, "Running");
	else
		str_add(&s, "Ended: %s (%lld)", client_text(result, "reason"),
			(long long)client_int(result, "exit_code"));
}

static void add_exec(struct table *t, const json_t *exec)
{
	char command[COMMAND_WIDTH], status[64], started[HUMAN_MAX];

	join_words(json_object_get(exec, "argv"), command, sizeof(command));
	describe_exec(exec, status, sizeof(status));
	table_add(t, (const char *const[]){
			     client_text(exec, "id"),
			     command,
			     status,
			     client_flag(exec, "detached") ? "yes" : "no",
			     human_time(started, client_int(exec, "started")),
		     });
}

static int print_execs(const struct verb_args *a, const json_t *execs, struct err *e)
{
	static const char *const heads[] = { "ID",       "COMMAND", "STATUS",
					     "DETACHED", "STARTED", NULL };
	struct table t = table_over(heads);
	size_t i;
	json_t *exec;
	int r = 0;

	json_array_foreach(execs, i, exec) {
		if (a->quiet)
			printf("%s\n", client_text(exec, "id"));
		else if (a->json)
			r = verb_print_json(json_incref(exec), false, e);
		else
			add_exec(&t, exec);
		if (r < 0)
			break;
	}
	if (r == 0 && !a->quiet && !a->json)
		r = table_print(&t, e);
	table_free(&t);
	return r;
}

static int execs(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, "Execs", verb_named(words[0]), &reply, e);

	if (r == 0)
		r = print_execs(a, json_object_get(reply, "execs"), e);
	json_decref(reply);
	return r;
}

int cmd_execs(char **argv)
{
	static const struct option_row options[] = {
		{ "quiet", 'q', NULL, "ids only", verb_set_quiet },
		VERB_FORMAT_ROW,
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "execs",
		.words = "NAME",
		.text = "Lists the commands that run in a sandbox, and detached ones "
			"that "
			"have ended and\nhave not been waited for.\n",
		.options = options,
		.least = 1,
		.most = 1,
		.act = execs,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int kill_exec(struct verb_args *a, struct client_link *c, char **words,
		     struct err *e)
{
	return client_order(c, "Kill",
			    json_pack("{s:s, s:s, s:i}", "name", words[0], "exec",
				      words[1], "signal", a->signal),
			    e);
}

int cmd_kill(char **argv)
{
	static const struct option_row options[] = {
		{ "signal", 's', "SIGNAL", "name or number (KILL)", set_signal },
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "kill",
		.words = "NAME EXEC",
		.text = "Sends a signal to the main process of one command.\n",
		.options = options,
		.least = 2,
		.most = 2,
		.act = kill_exec,
	};
	struct verb_args a = { .signal = SIGKILL };

	return verb_main(&verb, &a, argv);
}

static int cancel(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	(void)a;
	return client_order(c, "Cancel", verb_exec_named(words[0], words[1]), e);
}

int cmd_cancel(char **argv)
{
	static const struct option_row options[] = {
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "cancel",
		.words = "NAME EXEC",
		.text = "Ends one command and all that it has started, at once.\n",
		.options = options,
		.least = 2,
		.most = 2,
		.act = cancel,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int wait_exec(struct verb_args *a, struct client_link *c, char **words,
		     struct err *e)
{
	json_t *reply = NULL, *result;
	int r = client_call(c, "Wait",
			    json_pack("{s:s, s:s, s:b}", "name", words[0], "exec",
				      words[1], "keep", a->keep),
			    &reply, e);

	if (r < 0)
		return r;
	result = json_object_get(reply, "result");
	if (a->json)
		r = verb_print_json(json_incref(result), false, e);
	else
		printf("%lld\n", (long long)client_int(result, "exit_code"));
	json_decref(reply);
	return r;
}

int cmd_wait(char **argv)
{
	static const struct option_row options[] = {
		{ "keep", 0, NULL, "do not forget the result", set_keep },
		VERB_FORMAT_ROW,
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "wait",
		.words = "NAME EXEC",
		.text = "Waits for the end of a detached command and prints its exit "
			"status.\n",
		.options = options,
		.least = 2,
		.most = 2,
		.act = wait_exec,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

/* Writes what one reply brings, and says what is gone. */
static int write_output(const json_t *reply, uint64_t offset, struct err *e)
{
	uint64_t start = (uint64_t)client_int(reply, "start");

	if (start > offset)
		fprintf(stderr, "carrel: logs: %llu bytes are gone\n",
			(unsigned long long)(start - offset));
	return attach_write(STDOUT_FILENO, json_object_get(reply, "data"), e);
}

static json_t *output_parameters(const struct verb_args *a, char **words)
{
	return json_pack("{s:s, s:s, s:s, s:I}", "name", words[0], "exec", words[1],
			 "stream", a->standard_error ? "stderr" : "stdout", "offset",
			 (json_int_t)a->offset);
}

static int logs(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	static const struct timespec pause = { .tv_nsec = FOLLOW_MS * 1000000 };
	bool more = true;

	while (more) {
		json_t *reply = NULL;
		uint64_t next;
		int r = client_call(c, "Output", output_parameters(a, words), &reply, e);

		if (r == 0)
			r = write_output(reply, a->offset, e);
		next = (uint64_t)client_int(reply, "next");
		more = !client_flag(reply, "end") && (a->follow || next > a->offset);
		json_decref(reply);
		if (r < 0)
			return r;
		if (more && next == a->offset)
			nanosleep(&pause, NULL);
		a->offset = next;
	}
	return 0;
}

int cmd_logs(char **argv)
{
	static const struct option_row options[] = {
		{ "follow", 'f', NULL, "until the command has ended", set_follow },
		{ "stderr", 0, NULL, "standard error instead of standard output",
		  set_standard_error },
		{ "offset", 0, "N", "from byte N on (0)", set_offset },
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "logs",
		.words = "NAME EXEC",
		.text = "Prints what a detached command has written.\n",
		.options = options,
		.least = 2,
		.most = 2,
		.act = logs,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}
