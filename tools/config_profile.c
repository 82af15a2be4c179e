/* SPDX-License-Identifier: Apache-2.0 */
/* Section [profile NAME] of the configuration. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "tools/cidr_file.h"
#include "tools/config_daemon.h"
#include "tools/exceptions.h"

enum {
	WARM_MAX = 1024,
	TEXT_MAX = 192, /* bytes of a value; a line has no more */
};

static struct profile *profile_of(void *context)
{
	struct config_daemon *d = context;

	return d->profile;
}

/* A section can be gone on with, also in another file. */
static int begin(void *context, const char *name, struct err *e)
{
	struct config_daemon *d = context;
	struct access *a = d->access;
	int r = config_check_name(name, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < a->profile_count; i++) {
		d->profile = &a->profiles[i];
		if (!strcmp(d->profile->name, name))
			return 0;
	}
	if (a->profile_count == ACCESS_PROFILES_MAX)
		return err_say(e, E2BIG, "more than %d profiles", ACCESS_PROFILES_MAX);
	d->profile = &a->profiles[a->profile_count++];
	*d->profile = d->usual_profile;
	return str_format(d->profile->name, sizeof(d->profile->name), "%s", name);
}

static int set_rootfs(void *context, const char *value, struct err *e)
{
	struct profile *p = profile_of(context);

	if (!strcmp(value, "host")) {
		*p->rootfs = '\0';
		return 0;
	}
	/* Whether there is one of that name is seen when a sandbox is to have it. */
	if (store_is_name(value) &&
	    str_format(p->rootfs, sizeof(p->rootfs), "%s", value) == 0)
		return 0;
	if (config_parse_path(value, p->rootfs, sizeof(p->rootfs), e) < 0)
		return err_wrap(e, "neither host, a name nor a directory");
	return 0;
}

static int set_memory(void *context, const char *value, struct err *e)
{
	return config_parse_memory(value, &profile_of(context)->limits.memory, e);
}

static int set_cpus(void *context, const char *value, struct err *e)
{
	return config_parse_cpus(value, &profile_of(context)->limits.cpu_milli, e);
}

static int set_pids(void *context, const char *value, struct err *e)
{
	return config_parse_pids(value, &profile_of(context)->limits.pids, e);
}

static int set_user(void *context, const char *value, struct err *e)
{
	struct profile *p = profile_of(context);
	const char *group = strchr(value, ':');
	uint64_t uid, gid;
	char user[16];

	if (str_format(user, sizeof(user), "%.*s", (int)strcspn(value, ":"), value) < 0 ||
	    num_parse(user, 1, SPEC_ID_MAX, &uid) < 0 ||
	    num_parse(group ? group + 1 : user, 1, SPEC_ID_MAX, &gid) < 0)
		return err_say(e, EINVAL, "expected UID[:GID], each of 1 to %d",
			       SPEC_ID_MAX);
	p->uid = (uid_t)uid;
	p->gid = (gid_t)gid;
	return 0;
}

static int set_network(void *context, const char *value, struct err *e)
{
	return config_parse_word(value, "none", "egress", &profile_of(context)->egress,
				 e);
}

static int add_deny(void *context, const char *value, struct err *e)
{
	struct netns_plan *plan = &profile_of(context)->network;

	return cidr_list_parse(value, &plan->deny4, &plan->deny6, e);
}

static int add_deny_file(void *context, const char *value, struct err *e)
{
	struct netns_plan *plan = &profile_of(context)->network;

	return cidr_file_read(value, &plan->deny4, &plan->deny6, e);
}

static int add_allow(void *context, const char *value, struct err *e)
{
	struct netns_plan *plan = &profile_of(context)->network;

	while (value) {
		char item[CIDR_TEXT_MAX + 16];
		int r;

		list_next(&value, item, sizeof(item));
		if (plan->allow_count == NETNS_ALLOW_MAX)
			return err_say(e, E2BIG, "more than %d exceptions",
				       NETNS_ALLOW_MAX);
		r = cidr_port_parse(item, &plan->allow[plan->allow_count], e);
		if (r < 0)
			return r;
		plan->allow_count++;
	}
	return 0;
}

static int set_dns(void *context, const char *value, struct err *e)
{
	struct netns_plan *plan = &profile_of(context)->network;

	plan->dns_count = 0;
	while (value) {
		char item[IP_TEXT_MAX];

		list_next(&value, item, sizeof(item));
		if (plan->dns_count == NETNS_DNS_MAX)
			return err_say(e, E2BIG, "more than %d resolvers", NETNS_DNS_MAX);
		if (ip_parse(item, &plan->dns[plan->dns_count]) < 0)
			return err_say(e, EINVAL, "\"%s\" is not an address", item);
		plan->dns_count++;
	}
	return 0;
}

static int set_ipv6(void *context, const char *value, struct err *e)
{
	return config_parse_word(value, "no", "yes", &profile_of(context)->network.ipv6,
				 e);
}

/* Appends a copy to a NULL-terminated list with room for `max`. */
static int append(char **list, size_t max, const char *text, struct err *e)
{
	char **end = list;

	while (*end)
		end++;
	if (end == list + max)
		return err_say(e, E2BIG, "more than %zu", max);
	if (asprintf(end, "%s", text) >= 0)
		return 0;
	*end = NULL;
	return err_set(e, ENOMEM, "keep it");
}

/* Would all of them together make a plan? */
static int check_tmpfs(char *const *texts, struct err *e)
{
	char copies[ACCESS_MOUNTS_MAX][TEXT_MAX];
	struct rootfs_plan plan;
	int r = 0;

	rootfs_plan_init(&plan);
	for (size_t i = 0; r == 0 && texts[i]; i++) {
		if (str_format(copies[i], sizeof(copies[i]), "%s", texts[i]) < 0)
			return err_set(e, ENAMETOOLONG, "%s", texts[i]);
		r = rootfs_plan_tmpfs(&plan, copies[i], e);
	}
	return r;
}

static int add_tmpfs(void *context, const char *value, struct err *e)
{
	struct profile *p = profile_of(context);

	while (value) {
		char item[TEXT_MAX];
		int r;

		list_next(&value, item, sizeof(item));
		r = append(p->tmpfs, ACCESS_MOUNTS_MAX, item, e);
		if (r == 0)
			r = check_tmpfs(p->tmpfs, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_env(void *context, const char *value, struct err *e)
{
	if (!access_is_variable(value))
		return err_say(e, EINVAL,
			       "expected NAME=VALUE, with letters, digits and \"_\" in "
			       "the name");
	return append(profile_of(context)->env, ACCESS_ENV_MAX, value, e);
}

static int set_time(const char *value, uint64_t *ret, struct err *e)
{
	uint64_t ms;

	if (!strcmp(value, "never")) {
		*ret = 0;
		return 0;
	}
	if (num_parse_duration(value, &ms) < 0 || ms < ACCESS_TIME_MIN ||
	    ms > ACCESS_TIME_MAX)
		return err_say(e, EINVAL,
			       "expected a duration of 1s to 8784h, such as 5m, or "
			       "\"never\"");
	*ret = ms;
	return 0;
}

static int set_idle_timeout(void *context, const char *value, struct err *e)
{
	return set_time(value, &profile_of(context)->idle_timeout_ms, e);
}

static int set_max_duration(void *context, const char *value, struct err *e)
{
	return set_time(value, &profile_of(context)->max_duration_ms, e);
}

static int set_freeze_after(void *context, const char *value, struct err *e)
{
	return set_time(value, &profile_of(context)->freeze_after_ms, e);
}

static int set_reclaim_after(void *context, const char *value, struct err *e)
{
	return set_time(value, &profile_of(context)->reclaim_after_ms, e);
}

static int set_warm(void *context, const char *value, struct err *e)
{
	uint64_t warm;

	if (num_parse(value, 0, WARM_MAX, &warm) < 0)
		return err_say(e, EINVAL, "expected a number of 0 to %d", WARM_MAX);
	profile_of(context)->warm = (uint32_t)warm;
	return 0;
}

const struct ini_row config_profile_rows[] = {
	{ "profile", "", begin },
	{ "profile", "rootfs", set_rootfs },
	{ "profile", "memory", set_memory },
	{ "profile", "cpus", set_cpus },
	{ "profile", "pids", set_pids },
	{ "profile", "user", set_user },
	{ "profile", "network", set_network },
	{ "profile", "deny", add_deny },
	{ "profile", "deny_file", add_deny_file },
	{ "profile", "allow", add_allow },
	{ "profile", "dns", set_dns },
	{ "profile", "ipv6", set_ipv6 },
	{ "profile", "tmpfs", add_tmpfs },
	{ "profile", "env", add_env },
	{ "profile", "idle_timeout", set_idle_timeout },
	{ "profile", "max_duration", set_max_duration },
	{ "profile", "freeze_after", set_freeze_after },
	{ "profile", "reclaim_after", set_reclaim_after },
	{ "profile", "warm", set_warm },
	{ NULL, NULL, NULL },
};

int config_profiles_finish(struct config_daemon *d, const struct netns_settings *network,
			   struct err *e)
{
	for (unsigned i = 0; i < d->access->profile_count; i++) {
		struct profile *p = &d->access->profiles[i];

		ip_ranges_merge(&p->network.deny4);
		ip_ranges_merge(&p->network.deny6);
		if (netns_plan_check(network, &p->network, e) < 0)
			return err_wrap(e, "[profile %s]", p->name);
	}
	return 0;
}
