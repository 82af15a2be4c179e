/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "tools/cidr_file.h"
#include "tools/ini_file.h"
#include "tools/policy_file.h"
#include "tools/user_file.h"

enum { FILE_SIZE_MAX = 1 << 20 }; /* of some lines; large lists are files of their own */

static int set_memory(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	if (num_parse_size(value, &p->limits.memory) < 0 || !p->limits.memory)
		return err_say(e, EINVAL, "expected a size such as 512m");
	return 0;
}

static int set_cpus(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	if (num_parse_milli(value, &p->limits.cpu_milli) < 0 || !p->limits.cpu_milli)
		return err_say(e, EINVAL, "expected a number such as 1.5");
	return 0;
}

static int set_pids(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	if (num_parse(value, 1, 4194304, &p->limits.pids) < 0)
		return err_say(e, EINVAL, "expected a number of 1 to 4194304");
	return 0;
}

static int set_network(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	p->no_egress = !strcmp(value, "none");
	if (!p->no_egress && strcmp(value, "egress"))
		return err_say(e, EINVAL, "expected none or egress");
	return 0;
}

static int add_deny(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	return cidr_list_parse(value, &p->deny4, &p->deny6, e);
}

static int add_deny_file(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	return cidr_file_read(value, &p->deny4, &p->deny6, e);
}

static int set_allow(void *context, const char *value, struct err *e)
{
	struct policy *p = context;

	return exceptions_parse(value, &p->allow, e);
}

static const struct ini_row rows[] = {
	{ "limits", "memory", set_memory }, { "limits", "cpus", set_cpus },
	{ "limits", "pids", set_pids },     { "network", "network", set_network },
	{ "network", "deny", add_deny },    { "network", "deny_file", add_deny_file },
	{ "network", "allow", set_allow },  { NULL, NULL, NULL },
};

int policy_read(const char *path, struct policy *ret, struct err *e)
{
	return policy_read_watched(path, NULL, ret, e);
}

int policy_read_watched(const char *path, const struct ini_watch *watch,
			struct policy *ret, struct err *e)
{
	const struct ini_table tables[] = { { rows, ret }, { NULL, NULL } };
	FILE *file = NULL;
	int r;

	*ret = (struct policy){ .deny4 = { .family = AF_INET },
				.deny6 = { .family = AF_INET6 },
				.allow = EXCEPTIONS_ANY };
	r = user_file_open(path, FILE_SIZE_MAX, &file, e);
	if (r < 0)
		return r;
	r = ini_file_read_watched(file, path, tables, watch, e);
	fclose(file);
	return r;
}

void policy_free(struct policy *p)
{
	ip_ranges_free(&p->deny4);
	ip_ranges_free(&p->deny6);
}

/* 0 is "unlimited", in what is wanted as in the ceiling. */
static int lower(uint64_t *wanted, uint64_t ceiling, bool asked, const char *option,
		 struct err *e)
{
	if (!ceiling || (*wanted && *wanted <= ceiling))
		return 0;
	if (asked)
		return err_say(e, EPERM, "%s: more than the policy permits", option);
	*wanted = ceiling;
	return 0;
}

static int add_denials(const struct ip_ranges *from, struct ip_ranges *to, struct err *e)
{
	int r = ip_ranges_add_all(to, from->list, from->count, e);

	ip_ranges_merge(to);
	return r;
}

int policy_apply(const struct policy *p, const struct policy_asked *asked,
		 struct spec *spec, struct err *e)
{
	struct cgroup_limits *l = &spec->limits;
	int r = lower(&l->memory, p->limits.memory, asked->memory, "--memory", e);

	if (r == 0)
		r = lower(&l->cpu_milli, p->limits.cpu_milli, asked->cpu, "--cpus", e);
	if (r == 0)
		r = lower(&l->pids, p->limits.pids, asked->pids, "--pids-limit", e);
	if (r == 0 && p->no_egress && spec->network.egress)
		r = err_say(e, EPERM, "--network: the policy permits none only");
	if (r == 0)
		r = exceptions_check(&p->allow, &spec->network, "the policy", e);
	if (r == 0)
		r = add_denials(&p->deny4, &spec->network.deny4, e);
	if (r == 0)
		r = add_denials(&p->deny6, &spec->network.deny6, e);
	return r;
}
