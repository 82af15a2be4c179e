/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/config.h"
#include "tools/config_daemon.h"
#include "tools/config_network.h"
#include "tools/facts.h"
#include "tools/origins.h"
#include "tools/policy_file.h"
#include "tools/policy_show.h"
#include "tools/verb.h"

enum { PLACES_MAX = 1024, SECTION_SIZE = 64, ITEM_SIZE = 256 };

/* What has been read. */
struct shown {
	struct access access;
	struct config config;
	struct origins origins; /* of the configuration's values */
	struct policy policy; /* the file's, if one is shown */
	struct origins policy_origins;
	struct facts facts;
	char places[PLACES_MAX]; /* behind facts.from */
};

static void shown_free(struct shown *s)
{
	access_free(&s->access);
	config_free(&s->config);
	policy_free(&s->policy);
	origins_free(&s->origins);
	origins_free(&s->policy_origins);
	facts_free(&s->facts);
	free(s);
}

static struct shown *shown_new(struct err *e)
{
	struct shown *s = calloc(1, sizeof(*s));

	if (s)
		s->facts = facts_begin();
	else
		err_set(e, ENOMEM, "read the configuration");
	return s;
}

/* What is added next was set by one of these keys (with blanks in between), or is the
 * default. A key that ends with "+" adds to what is there. */
static void from(struct shown *s, const struct origins *o, const char *section,
		 const char *keys)
{
	struct str places = str_over(s->places, sizeof(s->places));

	s->facts.from = FACTS_DEFAULT;
	while (*keys) {
		size_t len = strcspn(keys, " ");
		bool every = keys[len - 1] == '+';
		char key[32];

		bug_on(str_format(key, sizeof(key), "%.*s", (int)len - every, keys) < 0);
		if (places.len)
			str_add(&places, ", ");
		if (origins_add_to(o, section, key, every, &places))
			s->facts.from = s->places;
		else if (places.len)
			places.buf[places.len -= 2] = '\0';
		keys += len + strspn(keys + len, " ");
	}
}

/* --- the network ------------------------------------------------------------------- */

/* What no sandbox reaches: the lists, and of IPv6 all that is not 2000::/3. */
static void add_denied_always(struct shown *s)
{
	static const struct cidr closed6[] = {
		{ { AF_INET6, { 0 } }, 3 },
		{ { AF_INET6, { 0x40 } }, 2 },
		{ { AF_INET6, { 0x80 } }, 1 },
	};
	struct ip_ranges v4 = { .family = AF_INET }, v6 = { .family = AF_INET6 };
	struct err e;
	int r = ip_ranges_add_all(&v4, blocklist_deny4.list, blocklist_deny4.count, &e);

	if (r == 0)
		r = ip_ranges_add_all(&v4, blocklist_platform4.list,
				      blocklist_platform4.count, &e);
	if (r == 0)
		r = ip_ranges_add_all(&v6, blocklist_except6.list,
				      blocklist_except6.count, &e);
	if (r == 0)
		r = ip_ranges_add_all(&v6, blocklist_platform6.list,
				      blocklist_platform6.count, &e);
	for (size_t i = 0; r == 0 && i < sizeof(closed6) / sizeof(*closed6); i++)
		r = ip_ranges_add(&v6, &closed6[i], &e);
	s->facts.failed |= r < 0;
	ip_ranges_merge(&v4);
	ip_ranges_merge(&v6);
	s->facts.from = FACTS_FIXED;
	facts_add_ranges(&s->facts, "denied_always", &v4, &v6);
	ip_ranges_free(&v4);
	ip_ranges_free(&v6);
}

static void add_resolvers(struct shown *s, const struct netns_plan *plan,
			  const char *section)
{
	char texts[NETNS_DNS_MAX][IP_TEXT_MAX], *list[NETNS_DNS_MAX + 1] = { NULL };
	const struct ip *resolvers;
	unsigned count = netns_resolvers(&s->config.runtime.network, plan, &resolvers);

	for (unsigned i = 0; i < count; i++)
		list[i] = (char *)ip_format(texts[i], &resolvers[i]);
	from(s, &s->origins, plan->dns_count ? section : "network", "dns");
	facts_add_texts(&s->facts, "dns", list);
}

/* What holds for all sandboxes of the host. */
static void add_host_network(struct shown *s)
{
	const struct netns_settings *n = &s->config.runtime.network;

	add_denied_always(s);
	from(s, &s->origins, "network", "deny+ deny_file+");
	facts_add_ranges(&s->facts, "denied_by_host", &n->deny4, &n->deny6);
	from(s, &s->origins, "network", "connections");
	facts_add_count(&s->facts, "connections", n->flows);
	from(s, &s->origins, "network", "connection_rate");
	facts_add_count(&s->facts, "connection_rate", n->rate);
}

static void add_word(struct shown *s, const char *key, const char *word)
{
	facts_add(&s->facts, key, word, json_string(word));
}

static void add_yes(struct shown *s, const char *key, bool yes)
{
	facts_add(&s->facts, key, yes ? "yes" : "no", json_boolean(yes));
}

/* --- files and ids ----------------------------------------------------------------- */

static void add_user(struct shown *s, uid_t uid, gid_t gid)
{
	char text[32];
	struct str t = str_over(text, sizeof(text));

	str_add(&t, "%u:%u", (unsigned)uid, (unsigned)gid);
	add_word(s, "user", text);
}

/* Those that share one file system. */
static void add_shared(struct shown *s, const struct rootfs_plan *plan)
{
	char text[ITEM_SIZE];
	struct str t = str_over(text, sizeof(text));
	json_t *targets = json_array();
	uint64_t size = 0;

	for (unsigned i = 0; i < plan->count; i++) {
		if (!plan->mounts[i].by_default)
			continue;
		str_add(&t, "%s%s", size ? ", " : "", plan->mounts[i].target);
		size += plan->mounts[i].size;
		if (json_array_append_new(targets, json_string(plan->mounts[i].target)) <
		    0)
			s->facts.failed = true;
	}
	if (size) {
		str_add(&t, ": ");
		facts_size_text(&t, size);
		str_add(&t, " together");
	} else {
		str_add(&t, "none");
	}
	s->facts.from = FACTS_DEFAULT;
	facts_add(&s->facts, "scratch", text,
		  json_pack("{s:o, s:I}", "targets", targets, "size", (json_int_t)size));
}

/* Those that the profile adds, which take the place of usual ones, and what is left of
 * these. `workspace`: there is one at its place, too. */
static void add_tmpfs(struct shown *s, char *const *asked, bool workspace)
{
	char copies[ACCESS_MOUNTS_MAX][ITEM_SIZE], texts[ACCESS_MOUNTS_MAX][ITEM_SIZE],
		*list[ACCESS_MOUNTS_MAX + 1] = { NULL };
	struct rootfs_plan plan;
	unsigned count = 0;
	struct err e;

	rootfs_plan_init(&plan);
	for (unsigned i = 0; asked[i]; i++) {
		/* The configuration has been checked for it. */
		bug_on(str_format(copies[i], sizeof(copies[i]), "%s", asked[i]) < 0);
		bug_on(rootfs_plan_tmpfs(&plan, copies[i], &e) < 0);
	}
	if (workspace)
		rootfs_plan_scratch(&plan, ROOTFS_WORKSPACE);
	for (unsigned i = 0; i < plan.count; i++) {
		struct str t = str_over(texts[count], sizeof(texts[count]));

		if (plan.mounts[i].by_default)
			continue;
		str_add(&t, "%s:size=", plan.mounts[i].target);
		facts_size_text(&t, plan.mounts[i].size);
		list[count] = texts[count];
		count++;
	}
	facts_add_texts(&s->facts, "tmpfs", list);
	add_shared(s, &plan);
}

/* --- a profile --------------------------------------------------------------------- */

static int read_daemon(const struct policy_show *how, struct shown *s, struct err *e)
{
	struct ini_watch watch = origins_watch(&s->origins);
	const struct config_reading reading = { .watch = &watch };
	int r = config_daemon_read_for(how->config_path, &reading, &s->access, &s->config,
				       e);

	if (r == 0 && s->origins.failed)
		r = err_set(e, ENOMEM, "read the configuration");
	return r;
}

static void add_limits(struct shown *s, const struct profile *p, const char *section)
{
	from(s, &s->origins, section, "memory");
	facts_add_size(&s->facts, "memory", p->limits.memory);
	from(s, &s->origins, section, "cpus");
	facts_add_cpus(&s->facts, "cpus", p->limits.cpu_milli);
	from(s, &s->origins, section, "pids");
	facts_add_count(&s->facts, "pids", p->limits.pids);
}

static void add_times(struct shown *s, const struct profile *p, const char *section)
{
	char warm[16];
	struct str t = str_over(warm, sizeof(warm));

	from(s, &s->origins, section, "idle_timeout");
	facts_add_time(&s->facts, "idle_timeout", p->idle_timeout_ms);
	from(s, &s->origins, section, "max_duration");
	facts_add_time(&s->facts, "max_duration", p->max_duration_ms);
	from(s, &s->origins, section, "freeze_after");
	facts_add_time(&s->facts, "freeze_after", p->freeze_after_ms);
	from(s, &s->origins, section, "reclaim_after");
	facts_add_time(&s->facts, "reclaim_after", p->reclaim_after_ms);
	from(s, &s->origins, section, "warm");
	str_add(&t, "%u", p->warm);
	facts_add(&s->facts, "warm", warm, json_integer(p->warm));
}

static void add_files(struct shown *s, const struct profile *p, const char *section)
{
	from(s, &s->origins, section, "rootfs");
	add_word(s, "rootfs", *p->rootfs ? p->rootfs : "host");
	from(s, &s->origins, section, "tmpfs+");
	add_tmpfs(s, p->tmpfs, true);
	from(s, &s->origins, section, "env+");
	facts_add_texts(&s->facts, "env", p->env);
	from(s, &s->origins, section, "user");
	add_user(s, p->uid, p->gid);
}

static void add_network(struct shown *s, const struct profile *p, const char *section)
{
	from(s, &s->origins, section, "network");
	add_word(s, "network", p->egress ? "egress" : "none");
	from(s, &s->origins, section, "ipv6");
	add_yes(s, "ipv6", p->network.ipv6);
	add_resolvers(s, &p->network, section);
	from(s, &s->origins, section, "deny+ deny_file+");
	facts_add_ranges(&s->facts, "denied", &p->network.deny4, &p->network.deny6);
	from(s, &s->origins, section, "allow+");
	facts_add_exceptions(&s->facts, "allowed", p->network.allow,
			     p->network.allow_count);
	add_host_network(s);
}

static bool may_have(const struct client *c, uint32_t profile)
{
	for (unsigned i = 0; i < c->profile_count; i++) {
		if (c->profiles[i] == profile)
			return true;
	}
	return false;
}

static json_t *ceiling(uint64_t value)
{
	return value ? json_integer((json_int_t)value) : json_null();
}

static json_t *client_object(const struct client *c)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:s}", "name", c->name, "memory",
			 ceiling(c->ceilings.memory), "cpu_milli",
			 ceiling(c->ceilings.cpu_milli), "pids",
			 ceiling(c->ceilings.pids), "network",
			 c->egress ? "egress" : "none");
}

/* Who may have the profile, and what lowers it for them. */
static json_t *add_clients(struct shown *s, const struct profile *p)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < s->access.client_count; i++) {
		const struct client *c = &s->access.clients[i];
		char section[SECTION_SIZE], text[ITEM_SIZE];
		struct str t = str_over(text, sizeof(text));

		if (!may_have(c, (uint32_t)(p - s->access.profiles)))
			continue;
		str_add(&t, "at most memory ");
		facts_size_text(&t, c->ceilings.memory);
		str_add(&t, ", cpus ");
		facts_cpus_text(&t, c->ceilings.cpu_milli);
		str_add(&t, ", pids ");
		facts_count_text(&t, c->ceilings.pids);
		str_add(&t, ", network %s", c->egress ? "egress" : "none");
		bug_on(str_format(section, sizeof(section), "client %s", c->name) < 0);
		from(s, &s->origins, section, "+");
		table_add(&s->facts.table,
			  (const char *const[]){ section, text, s->facts.from });
		if (json_array_append_new(array, client_object(c)) < 0)
			s->facts.failed = true;
	}
	return array;
}

static int show_profile(struct shown *s, const struct profile *p, bool json,
			struct err *e)
{
	const struct rlimit_list rlimits = rlimit_defaults();
	char section[SECTION_SIZE];

	bug_on(str_format(section, sizeof(section), "profile %s", p->name) < 0);
	add_limits(s, p, section);
	add_times(s, p, section);
	add_files(s, p, section);
	add_network(s, p, section);
	s->facts.from = FACTS_DEFAULT;
	facts_add_locks(&s->facts, &rlimits);
	if (!json)
		printf("%s: a profile of carreld\n\n", p->name);
	return facts_print(&s->facts,
			   json_pack("{s:s, s:s, s:o}", "name", p->name, "kind",
				     "profile", "clients", add_clients(s, p)),
			   json, e);
}

int policy_show_profile(const struct policy_show *how, const char *name, struct err *e)
{
	struct shown *s = shown_new(e);
	const struct profile *p;
	int r = s ? read_daemon(how, s, e) : -ENOMEM;

	if (!s)
		return r;
	p = r == 0 ? access_find_profile(&s->access, name) : NULL;
	if (p)
		r = show_profile(s, p, how->json, e);
	else if (r == 0)
		r = err_say(e, ENOENT,
			    "no profile is called \"%.64s\"; a policy file is named with "
			    "a \"/\"",
			    name);
	shown_free(s);
	return r;
}

/* --- all profiles ------------------------------------------------------------------ */

static void list_profile(struct table *t, struct shown *s, const struct profile *p)
{
	char text[5][32];
	struct str memory = str_over(text[0], sizeof(text[0])),
		   cpus = str_over(text[1], sizeof(text[1])),
		   pids = str_over(text[2], sizeof(text[2])),
		   idle = str_over(text[3], sizeof(text[3])),
		   warm = str_over(text[4], sizeof(text[4]));

	facts_size_text(&memory, p->limits.memory);
	facts_cpus_text(&cpus, p->limits.cpu_milli);
	facts_count_text(&pids, p->limits.pids);
	facts_time_text(&idle, p->idle_timeout_ms);
	str_add(&warm, "%u", p->warm);
	table_add(t, (const char *const[]){ p->name, memory.buf, cpus.buf, pids.buf,
					    p->egress ? "egress" : "none", idle.buf,
					    warm.buf, s->facts.from });
}

static int print_profile(const struct shown *s, const struct profile *p, struct err *e)
{
	return verb_print_json(json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:i, s:s}",
					 "name", p->name, "kind", "profile", "memory",
					 ceiling(p->limits.memory), "cpu_milli",
					 ceiling(p->limits.cpu_milli), "pids",
					 ceiling(p->limits.pids), "network",
					 p->egress ? "egress" : "none", "idle_timeout_ms",
					 ceiling(p->idle_timeout_ms), "warm",
					 (int)p->warm, "from", s->facts.from),
			       false, e);
}

int policy_show_list(const struct policy_show *how, struct err *e)
{
	static const char *const heads[] = { "PROFILE", "MEMORY",  "CPUS",
					     "PIDS",    "NETWORK", "IDLE TIMEOUT",
					     "WARM",    "FROM",    NULL };
	struct table t = table_over(heads);
	struct shown *s = shown_new(e);
	int r = s ? read_daemon(how, s, e) : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < s->access.profile_count; i++) {
		const struct profile *p = &s->access.profiles[i];
		char section[SECTION_SIZE];

		bug_on(str_format(section, sizeof(section), "profile %s", p->name) < 0);
		from(s, &s->origins, section, "+");
		if (how->json)
			r = print_profile(s, p, e);
		else
			list_profile(&t, s, p);
	}
	if (r == 0 && !how->json)
		r = table_print(&t, e);
	table_free(&t);
	if (s)
		shown_free(s);
	return r;
}

/* --- a policy file ----------------------------------------------------------------- */

static int read_run(const struct policy_show *how, const char *file, struct shown *s,
		    struct err *e)
{
	struct ini_watch watch = origins_watch(&s->origins),
			 policy_watch = origins_watch(&s->policy_origins);
	int r = config_read_with(how->config_path, NULL, &watch, &s->config, e);

	if (r == 0) {
		config_network_finish(&s->config);
		r = policy_read_watched(file, &policy_watch, &s->policy, e);
	}
	if (r == 0 && (s->origins.failed || s->policy_origins.failed))
		r = err_set(e, ENOMEM, "read the policy");
	return r;
}

static void add_permitted(struct shown *s, const char *key, const struct exceptions *x)
{
	if (x->any)
		add_word(s, key, "any");
	else
		facts_add_exceptions(&s->facts, key, x->list, x->count);
}

/* What a run has that asks for nothing, and the most that it may ask for. */
static void add_ceilings(struct shown *s, const struct cgroup_limits *has)
{
	const struct cgroup_limits usual = SPEC_LIMITS, *most = &s->policy.limits;
	const struct origins *o = &s->policy_origins, none = { 0 };

	from(s, has->memory == usual.memory ? &none : o, "limits", "memory");
	facts_add_size(&s->facts, "memory", has->memory);
	from(s, o, "limits", "memory");
	facts_add_size(&s->facts, "memory_max", most->memory);
	from(s, has->cpu_milli == usual.cpu_milli ? &none : o, "limits", "cpus");
	facts_add_cpus(&s->facts, "cpus", has->cpu_milli);
	from(s, o, "limits", "cpus");
	facts_add_cpus(&s->facts, "cpus_max", most->cpu_milli);
	from(s, has->pids == usual.pids ? &none : o, "limits", "pids");
	facts_add_count(&s->facts, "pids", has->pids);
	from(s, o, "limits", "pids");
	facts_add_count(&s->facts, "pids_max", most->pids);
}

static void add_run_network(struct shown *s, const struct spec *spec)
{
	const struct origins *o = &s->policy_origins;

	s->facts.from = FACTS_DEFAULT;
	add_word(s, "network", "none");
	from(s, o, "network", "network");
	add_word(s, "network_max", s->policy.no_egress ? "none" : "egress");
	add_resolvers(s, &spec->network, "network");
	from(s, o, "network", "deny+ deny_file+");
	facts_add_ranges(&s->facts, "denied", &spec->network.deny4, &spec->network.deny6);
	from(s, o, "network", "allow");
	add_permitted(s, "may_allow", &s->policy.allow);
	from(s, &s->origins, "network", "allow");
	add_permitted(s, "may_allow_on_host", &s->config.allow);
	add_host_network(s);
}

static int show_file(struct shown *s, const char *file, struct spec *spec, bool json,
		     struct err *e)
{
	static const struct policy_asked nothing;
	char *no_tmpfs[] = { NULL }, shown[1024];
	int r = policy_apply(&s->policy, &nothing, spec, e);

	if (r < 0)
		return r;
	add_ceilings(s, &spec->limits);
	s->facts.from = FACTS_DEFAULT;
	facts_add_time(&s->facts, "timeout", spec->timeout_ms);
	add_word(s, "rootfs", "host");
	add_tmpfs(s, no_tmpfs, false);
	add_user(s, spec->uid, spec->gid);
	add_run_network(s, spec);
	s->facts.from = FACTS_DEFAULT;
	facts_add_locks(&s->facts, &spec->rlimits);
	if (!json)
		printf("%s: a policy for carrel run\n\n",
		       str_escape(shown, sizeof(shown), file));
	return facts_print(&s->facts,
			   json_pack("{s:s, s:s}", "name",
				     str_escape(shown, sizeof(shown), file), "kind",
				     "policy"),
			   json, e);
}

int policy_show_file(const struct policy_show *how, const char *file, struct err *e)
{
	struct shown *s = shown_new(e);
	struct spec spec;
	int r = s ? read_run(how, file, s, e) : -ENOMEM;

	if (!s)
		return r;
	spec_init(&spec);
	if (r == 0)
		r = show_file(s, file, &spec, how->json, e);
	netns_plan_free(&spec.network);
	shown_free(s);
	return r;
}
