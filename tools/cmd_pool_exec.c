/* SPDX-License-Identifier: Apache-2.0 */
/* carrel exec: a command in a sandbox that carreld keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "runtime/runtime.h"
#include "tools/attach.h"
#include "tools/attach_input.h"
#include "tools/carrel.h"
#include "tools/result_file.h"
#include "tools/value.h"
#include "tools/verb.h"

struct exec_args {
	struct verb_args verb; /* the first: options see it alone */
	struct environment env;
	const char *directory, *result_file;
	uid_t uid;
	gid_t gid;
	struct verb_limits limits;
	uint64_t timeout_ms, max_output;
	bool interactive, terminal, detach, end_on_max_output;
	int result_fd;
};

static int set_interactive(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	(void)value;
	(void)e;
	a->interactive = true;
	return 0;
}

static int set_terminal(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	(void)value;
	(void)e;
	a->terminal = true;
	return 0;
}

static int set_detach(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	(void)value;
	(void)e;
	a->detach = true;
	return 0;
}

static int add_env(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return environment_set(&a->env, value, e);
}

static int add_env_file(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return environment_read(&a->env, value, e);
}

static int set_directory(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;
	int r = value_directory(value, e);

	a->directory = value;
	return r == 0 ? verb_check_utf8("the path", value, e) : r;
}

static int set_user(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return value_user(value, &a->uid, &a->gid, e);
}

static int set_timeout(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return value_time(value, &a->timeout_ms, e);
}

static int set_max_output(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	if (num_parse_size(value, &a->max_output) < 0 || a->max_output == 0)
		return err_say(e, EINVAL, "\"%s\" is not a size such as 64k", value);
	return 0;
}

static int set_end_on_max_output(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	(void)value;
	(void)e;
	a->end_on_max_output = true;
	return 0;
}

static int set_memory(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return verb_limit(value, num_parse_size, "512m", &a->limits.memory, e);
}

static int set_cpus(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return verb_limit(value, num_parse_milli, "1.5", &a->limits.cpu_milli, e);
}

static int set_pids(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return verb_limit(value, value_count, "256", &a->limits.pids, e);
}

static int set_result_fd(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	return value_descriptor(value, &a->result_fd, e);
}

static int set_result_file(void *context, char *value, struct err *e)
{
	struct exec_args *a = context;

	(void)e;
	a->result_file = value;
	return 0;
}

static const struct option_row options[] = {
	{ "interactive", 'i', NULL, "standard input is the caller's, not empty",
	  set_interactive },
	{ "tty", 't', NULL, "a terminal of the sandbox's own; with it comes -i",
	  set_terminal },
	{ "detach", 'd', NULL, "print the command's id and do not wait", set_detach },
	{ "env", 'e', "K[=V]", "environment variable", add_env },
	{ "env-file", 0, "FILE", "environment variables, one a line", add_env_file },
	{ "workdir", 'w', "DIR", "working directory inside", set_directory },
	{ "user", 'u', "UID[:GID]", "ids inside (the profile's)", set_user },
	{ "timeout", 0, "TIME", "end the command after TIME, with status 124",
	  set_timeout },
	{ "max-output", 0, "SIZE",
	  "head and tail of each stream, what is between is lost", set_max_output },
	{ "end-on-max-output", 0, NULL, "end it when it has written more",
	  set_end_on_max_output },
	{ "memory", 'm', "SIZE", "memory, less than the sandbox's", set_memory },
	{ "cpus", 0, "N", "processor time, less than the sandbox's", set_cpus },
	{ "pids-limit", 0, "N", "processes, less than the sandbox's", set_pids },
	{ "result-fd", 0, "N", "write the result as JSON to descriptor N",
	  set_result_fd },
	{ "result-file", 0, "FILE", "write the result as JSON to FILE", set_result_file },
	VERB_HOST_ROW,
	VERB_HELP_ROW,
	VERB_LAST_ROW,
};

static int check(const struct exec_args *a, struct err *e)
{
	if (a->end_on_max_output && !a->max_output)
		return err_say(e, EINVAL, "--end-on-max-output needs --max-output");
	if (a->terminal && a->max_output)
		return err_say(e, EINVAL, "--tty and --max-output exclude each other");
	if (a->terminal && a->detach)
		return err_say(e, EINVAL, "--tty and --detach exclude each other");
	if (a->detach && (a->result_fd >= 0 || a->result_file))
		return err_say(e, EINVAL,
			       "--detach: the result comes later; carrel wait prints it");
	if (a->terminal && !isatty(0))
		return err_say(e, ENOTTY, "--tty: standard input is not a terminal");
	return 0;
}

static int parameters_of(const struct exec_args *a, const char *name, char **command,
			 json_t **ret, struct err *e)
{
	json_t *p = verb_named(name);
	int r = verb_add_words(p, "argv", "the command", command, e);

	if (r == 0 &&
	    (verb_add_text(p, "cwd", a->directory) < 0 ||
	     verb_add_int(p, "uid", a->uid) < 0 || verb_add_int(p, "gid", a->gid) < 0 ||
	     verb_add_int(p, "timeout", a->timeout_ms) < 0 ||
	     verb_add_limits(p, &a->limits) < 0 ||
	     verb_add_int(p, "max_output", a->max_output) < 0 ||
	     (a->end_on_max_output &&
	      json_object_set_new(p, "end_on_max_output", json_true()) < 0)))
		r = err_set(e, ENOMEM, "encode the command");
	if (r == 0)
		r = verb_add_pairs(p, "env", "environment variable", a->env.list, e);
	if (r < 0)
		json_decref(p);
	else
		*ret = p;
	return r;
}

/* Standard input, if it is wanted, goes along: nobody is there to send it later. */
static int exec_detached(const struct exec_args *a, struct client_link *c,
			 json_t *parameters, struct err *e)
{
	json_t *reply = NULL;
	int r = 0;

	if (json_object_set_new(parameters, "detach", json_true()) < 0)
		r = err_set(e, ENOMEM, "encode the command");
	if (r == 0 && a->interactive)
		r = attach_read_input(parameters, e);
	if (r < 0) {
		json_decref(parameters);
		return r;
	}
	r = client_call(c, "Exec", parameters, &reply, e);
	if (r == 0)
		printf("%s\n", client_text(reply, "started"));
	json_decref(reply);
	return r;
}

static int exec_attached(struct exec_args *a, struct client_link *c, const char *name,
			 json_t *parameters, struct err *e)
{
	struct attach how = { .host = a->verb.host,
			      .name = name,
			      .interactive = a->interactive,
			      .terminal = a->terminal,
			      .streams = a->max_output > 0 };
	auto_fd file = -1;
	struct attach_end end = { 0 };
	int r = 0;

	if (a->result_file)
		r = result_file_open(a->result_file, &file, e);
	if (r < 0) {
		json_decref(parameters);
		return r;
	}
	r = attach_exec(c, &how, parameters, &end, e);
	if (r < 0)
		return r;
	a->verb.status = attach_status(&end, "exec");
	r = attach_write_results(&end, file, a->result_fd, e);
	attach_end_free(&end);
	return r;
}

static int exec(struct verb_args *verb_args, struct client_link *c, char **words,
		struct err *e)
{
	struct exec_args *a = (struct exec_args *)verb_args;
	char **command = words + 1;
	json_t *parameters = NULL;
	int r = check(a, e);

	if (r == 0 && !strcmp(*command, "--"))
		command++;
	if (r == 0 && !*command)
		r = err_say(e, EINVAL, "no command given");
	if (r == 0 && a->terminal && !environment_has(&a->env, "TERM"))
		r = environment_set(&a->env, "TERM", e);
	if (r == 0)
		r = parameters_of(a, words[0], command, &parameters, e);
	if (r < 0)
		return r;
	return a->detach ? exec_detached(a, c, parameters, e)
			 : exec_attached(a, c, words[0], parameters, e);
}

int cmd_exec(char **argv)
{
	static const struct verb verb = {
		.name = "exec",
		.words = "NAME [--] COMMAND [ARG...]",
		.text = "Runs COMMAND in the sandbox of that name, which is started if "
			"it "
			"is stopped. Its\noutput is the caller's. Signals are passed on "
			"to "
			"it; if carrel goes away, it is\nended with all that it has "
			"started.\n\nExit status: the command's own; 124 timeout; 125 "
			"carrel failed; 126 the command\ncannot be executed; 127 it is "
			"not "
			"found; 128+N it died of signal N.\n",
		.options = options,
		.least = 2,
		.most = VERB_WORDS_ANY,
		.act = exec,
	};
	struct exec_args a = { .result_fd = -1 };
	int status = verb_main(&verb, &a.verb, argv);

	environment_free(&a.env);
	return status;
}
