/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "tools/cidr_file.h"
#include "tools/config.h"
#include "tools/run_options.h"
#include "tools/value.h"

static int set_memory(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->asked.memory = true;
	return value_limit(value, num_parse_size, "512m", &a->spec.limits.memory, e);
}

static int set_cpus(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->asked.cpu = true;
	return value_limit(value, num_parse_milli, "1.5", &a->spec.limits.cpu_milli, e);
}

static int set_pids(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->asked.pids = true;
	return value_limit(value, value_count, "256", &a->spec.limits.pids, e);
}

static int set_ulimit(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--ulimit";
	if (rlimit_list_set(&a->spec.rlimits, value, e) < 0)
		return err_wrap(e, "%s", value);
	return 0;
}

static int set_timeout(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return value_time(value, &a->spec.timeout_ms, e);
}

static int set_max_duration(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return value_time(value, &a->max_duration_ms, e);
}

/* A sandbox whose command is running is never idle, so for `run` it only gets checked. */
static int set_idle_timeout(void *context, char *value, struct err *e)
{
	uint64_t ignored;

	(void)context;
	return value_time(value, &ignored, e);
}

static int set_user(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return value_user(value, &a->spec.uid, &a->spec.gid, e);
}

static int set_rootfs(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--rootfs";
	if (!*value)
		return err_say(e, EINVAL, "an empty name");
	if (!strcmp(value, "host")) {
		a->spec.files.rootfs = NULL;
		return 0;
	}
	a->spec.files.rootfs = value;
	return strchr(value, '/') ? 0 : store_check_name(value, e);
}

static int set_workspace(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--workspace";
	a->workspace = value;
	return rootfs_plan_workspace(&a->spec.files, value, e);
}

static int add_volume(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--volume";
	return rootfs_plan_volume(&a->spec.files, value, e);
}

static int add_tmpfs(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--tmpfs";
	return rootfs_plan_tmpfs(&a->spec.files, value, e);
}

static int add_env(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return environment_set(&a->env, value, e);
}

static int add_env_file(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return environment_read(&a->env, value, e);
}

static int set_directory(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->spec.directory = value;
	return value_directory(value, e);
}

static int set_hostname(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)e;
	a->spec.files.hostname = value;
	return 0;
}

static int set_network(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return value_network(value, &a->spec.network.egress, e);
}

static int add_deny(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->network_option = "--deny";
	/* An unset variable of a script's must not pass for a denial. */
	if (!value[strspn(value, " ,\t")])
		return err_say(e, EINVAL, "no network in \"%s\"", value);
	return cidr_list_parse(value, &a->spec.network.deny4, &a->spec.network.deny6, e);
}

static int add_allow(void *context, char *value, struct err *e)
{
	struct run_args *a = context;
	struct netns_plan *plan = &a->spec.network;
	int r;

	a->network_option = "--allow";
	if (plan->allow_count == NETNS_ALLOW_MAX)
		return err_say(e, E2BIG, "more than %d exceptions", NETNS_ALLOW_MAX);
	r = cidr_port_parse(value, &plan->allow[plan->allow_count], e);
	if (r == 0)
		plan->allow_count++;
	return r;
}

static int add_dns(void *context, char *value, struct err *e)
{
	struct run_args *a = context;
	struct netns_plan *plan = &a->spec.network;

	a->network_option = "--dns";
	if (plan->dns_count == NETNS_DNS_MAX)
		return err_say(e, E2BIG, "more than %d resolvers", NETNS_DNS_MAX);
	if (ip_parse(value, &plan->dns[plan->dns_count]) < 0)
		return err_say(e, EINVAL, "\"%s\" is not an address", value);
	plan->dns_count++;
	return 0;
}

static int set_ipv6(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)value;
	(void)e;
	a->network_option = "--ipv6";
	a->spec.network.ipv6 = true;
	return 0;
}

static int add_label(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	if (!*value || *value == '=')
		return err_say(e, EINVAL, "a label without a name");
	if (strcspn(value, "=") > LABEL_NAME_MAX)
		return err_say(e, E2BIG, "a label's name of more than %d bytes",
			       LABEL_NAME_MAX);
	if (a->label_count == LABELS_MAX)
		return err_say(e, E2BIG, "more than %d labels", LABELS_MAX);
	a->labels[a->label_count++] = value;
	return 0;
}

static int set_terminal(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)value;
	(void)e;
	a->spec.terminal = true;
	return 0;
}

/* Standard input is always the caller's; the switch is there for docker's habits. */
static int set_interactive(void *context, char *value, struct err *e)
{
	(void)context;
	(void)value;
	(void)e;
	return 0;
}

static int set_result_fd(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	return value_descriptor(value, &a->result_fd, e);
}

static int set_result_file(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)e;
	a->result_file = value;
	return 0;
}

static int set_config(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--config";
	(void)e;
	a->config_path = value;
	return 0;
}

static int set_host(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)e;
	a->host = value;
	return 0;
}

static int set_policy(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	a->local_option = "--policy";
	(void)e;
	a->policy_path = value;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct run_args *a = context;

	(void)value;
	(void)e;
	a->help = true;
	return 0;
}

const struct option_row run_options[] = {
	{ "rootfs", 0, "host|NAME|DIR",
	  "root directory (host: a read-only view of the host's /usr); see carrel rootfs",
	  set_rootfs },
	{ "workspace", 0, "DIR",
	  "directory at /workspace, which becomes the working directory", set_workspace },
	{ "volume", 'v', "SRC:DST[:ro]", "directory or file SRC of the host at DST",
	  add_volume },
	{ "tmpfs", 0, "DST[:size=64m]", "empty directory in memory at DST", add_tmpfs },
	{ "env", 'e', "K[=V]", "environment variable; without =V, the caller's",
	  add_env },
	{ "env-file", 0, "FILE", "environment variables, one K[=V] a line",
	  add_env_file },
	{ "workdir", 'w', "DIR", "working directory inside", set_directory },
	{ "user", 'u', "UID[:GID]", "ids inside, 1 to 65534 (1000:1000)", set_user },
	{ "memory", 'm', "SIZE", "memory limit, without swap (512m)", set_memory },
	{ "cpus", 0, "N", "processors, such as 1.5 (1)", set_cpus },
	{ "pids-limit", 0, "N", "processes and threads (256)", set_pids },
	{ "ulimit", 0, "NAME=SOFT[:HARD]", "limit of each process, such as nofile=1024",
	  set_ulimit },
	{ "network", 0, "none|egress",
	  "only a loopback interface, or a way to the public internet (none)",
	  set_network },
	{ "deny", 0, "CIDR", "egress: deny it as well; CARREL_DENY holds more",
	  add_deny },
	{ "allow", 0, "CIDR[:PORT]", "egress: an exception to what is denied",
	  add_allow },
	{ "dns", 0, "IP", "egress: resolver, instead of the host's", add_dns },
	{ "ipv6", 0, NULL, "egress: IPv6 too", set_ipv6 },
	{ "hostname", 0, "NAME", "hostname inside (carrel)", set_hostname },
	{ "label", 0, "K=V", "label, repeated in the result", add_label },
	{ "timeout", 0, "TIME", "end the command after TIME, with status 124",
	  set_timeout },
	{ "max-duration", 0, "TIME", "end the sandbox after TIME, with status 124",
	  set_max_duration },
	{ "idle-timeout", 0, "TIME",
	  "accepted: a sandbox that runs a command is not idle", set_idle_timeout },
	{ "tty", 't', NULL,
	  "a terminal of the sandbox's own as standard input and output", set_terminal },
	{ "interactive", 'i', NULL, "accepted: standard input is always the caller's",
	  set_interactive },
	{ "result-fd", 0, "N", "write the result as JSON to descriptor N",
	  set_result_fd },
	{ "result-file", 0, "FILE", "write the result as JSON to FILE", set_result_file },
	{ "policy", 0, "FILE", "what the sandbox may have at most", set_policy },
	{ "config", 0, "FILE", "configuration (" CONFIG_PATH ")", set_config },
	{ "host", 0, "unix://PATH", "through the carreld that listens there", set_host },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};
