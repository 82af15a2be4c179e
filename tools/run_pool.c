/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/attach.h"
#include "tools/result_file.h"
#include "tools/run_pool.h"
#include "tools/verb.h"

enum { NAME_SIZE = 32 };

bool run_pool_wanted(const struct run_args *a)
{
	struct err e;
	const char *path;

	if (a->host)
		return true;
	if (geteuid() == 0)
		return false;
	return client_socket_path(NULL, &path, &e) < 0 || access(path, F_OK) == 0;
}

static int make_name(char name[NAME_SIZE], struct err *e)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_set(e, errno, "find a name for the sandbox");
	return str_format(name, NAME_SIZE, "run-%016llx", (unsigned long long)number);
}

static int check(const struct run_args *a, struct err *e)
{
	const char *option = a->local_option ? a->local_option : a->network_option;

	if (!a->spec.argv[0])
		return err_say(e, EINVAL, "no command given");
	if (option)
		return err_say(e, EPERM,
			       "%s cannot be had of carreld: it takes root, or a profile "
			       "of carreld's that has it",
			       option);
	if ((a->asked.memory && !a->spec.limits.memory) ||
	    (a->asked.cpu && !a->spec.limits.cpu_milli) ||
	    (a->asked.pids && !a->spec.limits.pids))
		return err_say(e, EPERM, "carreld gives nothing without limit");
	return 0;
}

/* Limits of the profile apply where none was asked for. */
static struct verb_limits limits_of(const struct run_args *a)
{
	return (struct verb_limits){
		.memory = a->asked.memory ? a->spec.limits.memory : 0,
		.cpu_milli = a->asked.cpu ? a->spec.limits.cpu_milli : 0,
		.pids = a->asked.pids ? a->spec.limits.pids : 0,
	};
}

static int ensure_parameters(const struct run_args *a, const char *name, json_t **ret,
			     struct err *e)
{
	const struct verb_limits limits = limits_of(a);
	/* If we are killed, it goes with our connection. */
	json_t *p =
		json_pack("{s:s, s:s, s:b}", "name", name, "network",
			  a->spec.network.egress ? "egress" : "none", "auto_remove", 1);
	int r = 0;

	if (!p || verb_add_text(p, "hostname", a->spec.files.hostname) < 0 ||
	    verb_add_limits(p, &limits) < 0 ||
	    verb_add_int(p, "max_duration", a->max_duration_ms) < 0)
		r = err_set(e, ENOMEM, "encode what the sandbox shall be");
	if (r == 0)
		r = verb_add_pairs(p, "labels", "label", a->labels, e);
	if (r < 0)
		json_decref(p);
	else
		*ret = p;
	return r;
}

static int exec_parameters(const struct run_args *a, const char *name, json_t **ret,
			   struct err *e)
{
	json_t *p = verb_named(name);
	int r = verb_add_words(p, "argv", "the command", a->spec.argv, e);

	if (r == 0 &&
	    (verb_add_text(p, "cwd", a->spec.directory ? a->spec.directory : "/") < 0 ||
	     verb_add_int(p, "uid", a->spec.uid) < 0 ||
	     verb_add_int(p, "gid", a->spec.gid) < 0 ||
	     verb_add_int(p, "timeout", a->spec.timeout_ms) < 0))
		r = err_set(e, ENOMEM, "encode the command");
	if (r == 0)
		r = verb_add_pairs(p, "env", "environment variable", a->env.list, e);
	if (r < 0)
		json_decref(p);
	else
		*ret = p;
	return r;
}

/* The result has the labels, as that of a run without carreld. */
static int add_labels(const struct run_args *a, struct attach_end *end, struct err *e)
{
	if (!end->result || !a->labels[0])
		return 0;
	return verb_add_pairs(end->result, "labels", "label", a->labels, e);
}

static int run_in(const struct run_args *a, struct client_link *c, const char *name,
		  int file, int *ret_status, struct err *e)
{
	struct attach how = { .host = a->host,
			      .name = name,
			      .interactive = true,
			      .terminal = a->spec.terminal };
	struct attach_end end = { 0 };
	json_t *parameters = NULL;
	int r = exec_parameters(a, name, &parameters, e);

	if (r == 0)
		r = attach_exec(c, &how, parameters, &end, e);
	if (r < 0)
		return r;
	*ret_status = attach_status(&end, "run");
	r = add_labels(a, &end, e);
	if (r == 0)
		r = attach_write_results(&end, file, a->result_fd, e);
	attach_end_free(&end);
	return r;
}

/* Over a connection of its own: the first may be amid the command. */
static void remove_sandbox(const struct run_args *a, const char *name)
{
	struct client_link c = CLIENT_NONE;
	struct err e;

	/* What cannot be removed so ends with the first. */
	if (client_open(a->host, &c, &e) == 0)
		err_ignore(client_order(&c, "Remove",
					json_pack("{s:s, s:b}", "name", name, "force", 1),
					&e) < 0);
	client_close(&c);
}

int run_pool(const struct run_args *a, int *ret_status, struct err *e)
{
	json_t *parameters = NULL, *reply = NULL;
	struct client_link c = CLIENT_NONE;
	auto_fd file = -1;
	char name[NAME_SIZE];
	int r = check(a, e);

	if (r == 0)
		r = make_name(name, e);
	if (r == 0 && a->result_file)
		r = result_file_open(a->result_file, &file, e);
	if (r == 0)
		r = ensure_parameters(a, name, &parameters, e);
	if (r < 0)
		return r;
	r = client_open(a->host, &c, e);
	if (r < 0)
		json_decref(parameters);
	else
		r = client_call(&c, "Ensure", parameters, &reply, e);
	json_decref(reply);
	if (r == 0) {
		r = run_in(a, &c, name, file, ret_status, e);
		remove_sandbox(a, name);
	}
	client_close(&c);
	return r;
}
