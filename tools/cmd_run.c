/* SPDX-License-Identifier: Apache-2.0 */
/* carrel run: options in, one sandbox, one command, its exit status out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/carrel.h"
#include "tools/cidr_file.h"
#include "tools/config.h"
#include "tools/config_network.h"
#include "tools/result.h"
#include "tools/result_file.h"
#include "tools/run_options.h"
#include "tools/run_pool.h"

static int print_help(void)
{
	printf("Usage: carrel run [OPTIONS] [--] COMMAND [ARG...]\n\n"
	       "Runs COMMAND in a sandbox of its own and takes it down afterwards. "
	       "Options end\n"
	       "at the first word that is none.\n\n");
	options_print(run_options);
	printf("\nSIZE: b, k, m, g (1024). TIME: 30, 30s, 5m, 1h. Limits: \"unlimited\" "
	       "lifts one.\n"
	       "\nExit status: the command's own; 124 timeout; 125 carrel itself failed; "
	       "126 the\n"
	       "command cannot be executed; 127 it is not found; 128+N it died of signal "
	       "N.\n");
	if (fflush(stdout) == 0)
		return 0;
	perror("carrel: run: write to standard output");
	return RUN_STATUS_FAILED;
}

/* Denials of the environment, resolvers of the host, and whether all may be had. */
static int complete_network(struct run_args *a, struct config *config, struct err *e)
{
	struct netns_plan *plan = &a->spec.network;
	const char *more = getenv("CARREL_DENY");
	int r = 0;

	if (!plan->egress && a->network_option)
		return err_say(e, EINVAL, "%s needs --network egress", a->network_option);
	if (!plan->egress)
		return 0;
	if (more && cidr_list_parse(more, &plan->deny4, &plan->deny6, e) < 0)
		return err_wrap(e, "CARREL_DENY");
	ip_ranges_merge(&plan->deny4);
	ip_ranges_merge(&plan->deny6);
	config_network_finish(config);
	r = exceptions_check(&config->allow, plan, "the configuration", e);
	if (r == 0)
		r = config_network_resolv_conf(config, plan, a->resolv_conf,
					       sizeof(a->resolv_conf), e);
	a->spec.files.resolv_conf = a->resolv_conf;
	return r;
}

static int obey_policy(struct run_args *a, struct err *e)
{
	struct policy policy;
	int r = policy_read(a->policy_path, &policy, e);

	if (r == 0)
		r = policy_apply(&policy, &a->asked, &a->spec, e);
	else
		err_wrap(e, "--policy");
	policy_free(&policy);
	return r;
}

static int complete_terminal(struct run_args *a, struct err *e)
{
	if (a->spec.terminal && !isatty(0))
		return err_say(e, ENOTTY, "--tty: standard input is not a terminal");
	if (a->spec.terminal && !environment_has(&a->env, "TERM"))
		return environment_set(&a->env, "TERM", e);
	return 0;
}

/* From words to a spec that can be run. */
static int parse(struct run_args *a, char **argv, struct config *config, struct err *e)
{
	char **command = NULL;
	int r = environment_init(&a->env, e);

	if (r == 0)
		r = options_parse(run_options, a, argv, &command, e);
	if (r < 0 || a->help)
		return r;
	a->spec.argv = command;
	if (run_pool_wanted(a))
		return complete_terminal(a, e); /* the rest is checked by carreld */
	r = config_read(a->config_path, config, e);
	if (r < 0)
		return r;
	if (!a->spec.directory)
		a->spec.directory = a->workspace ? ROOTFS_WORKSPACE : "/";
	r = complete_network(a, config, e);
	if (r == 0 && a->policy_path)
		r = obey_policy(a, e);
	if (r < 0)
		return r;
	if (a->max_duration_ms &&
	    (!a->spec.timeout_ms || a->max_duration_ms < a->spec.timeout_ms))
		a->spec.timeout_ms = a->max_duration_ms;
	r = complete_terminal(a, e);
	if (r < 0)
		return r;
	a->spec.envp = a->env.list;
	a->spec.files.store = config->runtime.rootfs_store;
	return spec_check(&a->spec, e);
}

static int write_results(const struct run_args *a, int file,
			 const struct run_result *result, struct err *e)
{
	int r = file < 0 ? 0 : result_write(file, result, a->labels, e);

	if (r == 0 && a->result_fd >= 0)
		r = result_write(a->result_fd, result, a->labels, e);
	return r;
}

static int run(struct run_args *a, const struct config *config, int *ret_status,
	       struct err *e)
{
	struct run_result result;
	auto_fd file = -1;
	struct err write_err;
	int r = probe_privilege(e), written;

	if (r == 0 && a->result_file)
		r = result_file_open(a->result_file, &file, e);
	if (r < 0)
		return r;
	if (a->result_fd >= 0 && fcntl(a->result_fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(e, errno, "--result-fd %d", a->result_fd);
	r = run_command(&config->runtime, &a->spec, &result, e);
	*ret_status = result.exit_code;
	written = write_results(a, file, &result, &write_err);
	netns_usage_free(&result.network);
	if (r == 0 && written < 0) {
		*ret_status = RUN_STATUS_FAILED;
		*e = write_err;
		return written;
	}
	return r;
}

/* What a message quotes may be anything: nothing of it shall move the cursor or pass for
 * a line of its own (E-38). */
static void print_error(const struct err *e)
{
	char shown[4 * sizeof(e->msg)];

	fprintf(stderr, "carrel: run: %s\n", str_escape(shown, sizeof(shown), e->msg));
}

int cmd_run(char **argv)
{
	struct run_args a = { .result_fd = -1 };
	struct config config = { 0 };
	struct err e;
	int status = RUN_STATUS_FAILED, r;

	spec_init(&a.spec);
	r = parse(&a, argv, &config, &e);
	if (r == 0 && a.help)
		status = print_help();
	else if (r == 0 && run_pool_wanted(&a))
		r = run_pool(&a, &status, &e);
	else if (r == 0)
		r = run(&a, &config, &status, &e);
	if (r < 0)
		print_error(&e);
	environment_free(&a.env);
	netns_plan_free(&a.spec.network);
	config_free(&config);
	return status;
}
