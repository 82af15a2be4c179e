/* SPDX-License-Identifier: Apache-2.0 */
/* Deciding what a client may have: requests and configuration in, an answer out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "runtime/access.h"
#include "runtime/runtime.h"

void access_init(struct access *a)
{
	struct profile *p = &a->profiles[0];
	struct client *c = &a->clients[0];

	*a = (struct access){
		.profile_count = 1,
		.client_count = 1,
		.pool = { .sandboxes = 1024, .waiters = 4096 },
		.keep_running = true,
	};
	*p = (struct profile){
		.name = "default",
		.limits = SPEC_LIMITS,
		.uid = 1000,
		.gid = 1000,
		.idle_timeout_ms = 5 * 60 * 1000,
	};
	netns_plan_init(&p->network);
	*c = (struct client){
		.name = "any",
		.uid = ACCESS_ANYBODY,
		.egress = true,
		.ceilings = { .memory = 4096ull << 20, .cpu_milli = 4000, .pids = 4096 },
		.pool = { .sandboxes = 64,
			  .definitions = 1024,
			  .execs = 256,
			  .waiters = 256 },
		.profile_count = 1,
	};
}

void access_free(struct access *a)
{
	for (unsigned i = 0; i < a->profile_count; i++) {
		struct profile *p = &a->profiles[i];

		netns_plan_free(&p->network);
		for (char **s = p->tmpfs; *s; s++)
			free(*s);
		for (char **s = p->env; *s; s++)
			free(*s);
	}
	a->profile_count = 0;
	a->client_count = 0;
}

const struct client *access_find(const struct access *a, uid_t uid)
{
	const struct client *anybody = NULL;

	/* A process without an id that is known here is nobody in particular. */
	if (uid == ACCESS_ANYBODY)
		return NULL;
	for (unsigned i = 0; i < a->client_count; i++) {
		if (a->clients[i].uid == uid)
			return &a->clients[i];
		if (a->clients[i].uid == ACCESS_ANYBODY)
			anybody = &a->clients[i];
	}
	return anybody;
}

const struct profile *access_find_profile(const struct access *a, const char *name)
{
	for (unsigned i = 0; i < a->profile_count; i++) {
		if (!strcmp(a->profiles[i].name, name))
			return &a->profiles[i];
	}
	return NULL;
}

/* --- text -------------------------------------------------------------------------- */

/* The length of the character's encoding, by its first byte; 0: nothing begins so. */
static size_t utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0) /* 0xc0 and 0xc1 begin nothing but overlong */
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/* Reads the character at *text and moves behind it; false: it is none. Every character
 * has one encoding, so that no two texts that look the same to us differ to others. */
static bool utf8_next(const char **text, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)*text;
	size_t len = utf8_length(*p);
	uint32_t c = len == 1 ? *p : *p & (0x7fu >> len);

	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return false;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (!len || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return false;
	*text += len;
	*ret = c;
	return true;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static bool is_utf8(const char *text, bool controls)
{
	uint32_t c;

	while (*text) {
		if (!utf8_next(&text, &c) || (!controls && is_control(c)))
			return false;
	}
	return true;
}

bool access_is_name(const char *name)
{
	size_t len = strnlen(name, WIRE_NAME_MAX + 1);

	return len > 0 && len <= WIRE_NAME_MAX && is_utf8(name, false);
}

bool access_is_workspace(const char *path)
{
	if (strnlen(path, WIRE_PATH_MAX + 1) > WIRE_PATH_MAX || !is_utf8(path, false))
		return false;
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* As spec_check() has it. */
static bool is_hostname(const char *name)
{
	size_t len = strnlen(name, WIRE_HOSTNAME_MAX + 1);

	if (len == 0 || len > WIRE_HOSTNAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(name[i]) &&
		    ((name[i] != '-' && name[i] != '.') || i == 0 || i == len - 1))
			return false;
	}
	return true;
}

/* --- refusals ---------------------------------------------------------------------- */

static int refuse(struct wire_error *e, const char *what, const char *why, ...)
	printf_like(3, 4);

static int refuse(struct wire_error *e, const char *what, const char *why, ...)
{
	struct str s;
	va_list ap;

	*e = (struct wire_error){ .code = WIRE_REFUSED };
	s = str_over(e->what, sizeof(e->what));
	str_add(&s, "%s", what);
	s = str_over(e->why, sizeof(e->why));
	va_start(ap, why);
	str_addv(&s, why, ap);
	va_end(ap);
	return -EPERM;
}

/* --- ensure ------------------------------------------------------------------------ */

static int check_name(const struct client *c, const struct wire_ensure *ensure,
		      struct wire_error *e)
{
	if (!access_is_name(ensure->name))
		return refuse(
			e, "name",
			"a name is 1 to %d bytes of UTF-8 without control characters",
			WIRE_NAME_MAX);
	if (strncmp(ensure->name, c->name_prefix, strlen(c->name_prefix)))
		return refuse(e, "name", "names of this client begin with \"%s\"",
			      c->name_prefix);
	return 0;
}

/* What is not allowed and what there is not have the same answer: it tells nothing. */
static int find_profile(const struct access *a, const struct client *c,
			const struct wire_ensure *ensure, const struct profile **ret,
			struct wire_error *e)
{
	for (unsigned i = 0; i < c->profile_count; i++) {
		const struct profile *p = &a->profiles[c->profiles[i]];

		if (!*ensure->profile || !strcmp(ensure->profile, p->name)) {
			*ret = p;
			return 0;
		}
	}
	return refuse(e, "profile", "this client has no such profile");
}

static int check_workspace(const struct client *c, const struct wire_ensure *ensure,
			   struct wire_error *e)
{
	if (!*ensure->workspace)
		return 0;
	if (!*c->workspace_root)
		return refuse(e, "workspace", "this client may not have workspaces");
	if (!access_is_workspace(ensure->workspace))
		return refuse(e, "workspace",
			      "a workspace is a relative path without empty, \".\" or "
			      "\"..\" parts and without control characters");
	return 0;
}

static int set_hostname(struct wire_ensure *ensure, struct wire_error *e)
{
	if (!*ensure->hostname)
		memcpy(ensure->hostname, ACCESS_HOSTNAME, sizeof(ACCESS_HOSTNAME));
	else if (!is_hostname(ensure->hostname))
		return refuse(e, "hostname",
			      "a hostname is 1 to %d letters, digits, \"-\" and \".\", "
			      "with neither of the last two at its ends",
			      WIRE_HOSTNAME_MAX);
	return 0;
}

/* A limit of either kind, and what it can be at all. */
struct limit {
	const char *name;
	uint64_t least, most;
};

static const struct limit memory_limit = { "memory", SPEC_MEMORY_MIN, SPEC_MEMORY_MAX };
static const struct limit cpu_limit = { "cpu_milli", SPEC_CPU_MILLI_MIN,
					SPEC_CPU_MILLI_MAX };
static const struct limit pids_limit = { "pids", 1, SPEC_PIDS_MAX };

/* 0 is "not asked for"; as a ceiling, "none". */
static int check_limit(const struct limit *l, uint64_t asked, uint64_t ceiling,
		       const char *whose, struct wire_error *e)
{
	if (!asked)
		return 0;
	if (ceiling && asked > ceiling)
		return refuse(e, "limits", "%s of %llu is more than the %llu that %s",
			      l->name, (unsigned long long)asked,
			      (unsigned long long)ceiling, whose);
	if (asked < l->least || asked > l->most)
		return refuse(e, "limits", "%s of %llu is not within %llu to %llu",
			      l->name, (unsigned long long)asked,
			      (unsigned long long)l->least, (unsigned long long)l->most);
	return 0;
}

static int check_limits(const struct wire_limits *asked, const struct wire_limits *most,
			const char *whose, struct wire_error *e)
{
	int r = check_limit(&memory_limit, asked->memory, most->memory, whose, e);

	if (r == 0)
		r = check_limit(&cpu_limit, asked->cpu_milli, most->cpu_milli, whose, e);
	if (r == 0)
		r = check_limit(&pids_limit, asked->pids, most->pids, whose, e);
	return r;
}

static struct wire_limits ceilings_of(const struct client *c)
{
	return (struct wire_limits){ .memory = c->ceilings.memory,
				     .cpu_milli = c->ceilings.cpu_milli,
				     .pids = c->ceilings.pids };
}

/* What nobody has asked for gives way to the ceiling. */
static void complete_limit(uint64_t *limit, uint64_t usual, uint64_t ceiling)
{
	if (*limit)
		return;
	*limit = ceiling && (!usual || usual > ceiling) ? ceiling : usual;
}

static int set_limits(const struct profile *p, const struct client *c,
		      struct wire_limits *limits, struct wire_error *e)
{
	const struct wire_limits most = ceilings_of(c);
	int r = check_limits(limits, &most, "this client may have", e);

	if (r < 0)
		return r;
	complete_limit(&limits->memory, p->limits.memory, most.memory);
	complete_limit(&limits->cpu_milli, p->limits.cpu_milli, most.cpu_milli);
	complete_limit(&limits->pids, p->limits.pids, most.pids);
	return 0;
}

static int set_network(const struct profile *p, const struct client *c,
		       struct wire_ensure *ensure, struct wire_error *e)
{
	if (ensure->network == WIRE_NETWORK_UNSET)
		ensure->network =
			p->egress && c->egress ? WIRE_NETWORK_EGRESS : WIRE_NETWORK_NONE;
	if (ensure->network != WIRE_NETWORK_NONE &&
	    ensure->network != WIRE_NETWORK_EGRESS)
		return refuse(e, "network", "a network is none or egress");
	if (ensure->network == WIRE_NETWORK_EGRESS && !c->egress)
		return refuse(e, "network", "this client may not have egress");
	return 0;
}

/* 0 is "without end": more than any time. */
static int set_time(const char *what, uint64_t *ms, uint64_t usual, uint64_t most,
		    struct wire_error *e)
{
	if (*ms == WIRE_UNSET)
		*ms = usual;
	if (*ms == usual)
		return 0;
	if (most && (!*ms || *ms > most))
		return refuse(e, what, "%s is more than %llu ms",
			      *ms ? "that" : "without end", (unsigned long long)most);
	if (*ms && (*ms < ACCESS_TIME_MIN || *ms > ACCESS_TIME_MAX))
		return refuse(e, what, "%llu ms is not within %llu to %llu",
			      (unsigned long long)*ms, ACCESS_TIME_MIN, ACCESS_TIME_MAX);
	return 0;
}

static int set_times(const struct profile *p, struct wire_ensure *ensure,
		     struct wire_error *e)
{
	uint64_t idle = p->idle_timeout_ms, most = idle;
	int r;

	/* A profile without an end to idling has no bound for it either. */
	if (idle && idle < ACCESS_IDLE_TIMEOUT_MAX)
		most = ACCESS_IDLE_TIMEOUT_MAX;
	r = set_time("idle_timeout", &ensure->idle_timeout_ms, idle, most, e);
	if (r == 0)
		r = set_time("max_duration", &ensure->max_duration_ms, p->max_duration_ms,
			     p->max_duration_ms, e);
	return r;
}

int access_check_ensure(const struct access *a, const struct client *c,
			struct wire_ensure *ensure, struct wire_error *ret_error)
{
	struct wire_ensure whole = *ensure;
	const struct profile *p = NULL;
	struct wire_error e;
	int r = check_name(c, &whole, &e);

	if (r == 0)
		r = find_profile(a, c, &whole, &p, &e);
	if (r == 0)
		r = check_workspace(c, &whole, &e);
	if (r == 0)
		r = set_hostname(&whole, &e);
	if (r == 0)
		r = set_limits(p, c, &whole.limits, &e);
	if (r == 0)
		r = set_network(p, c, &whole, &e);
	if (r == 0)
		r = set_times(p, &whole, &e);
	if (r < 0) {
		*ret_error = e;
		return r;
	}
	memset(whole.profile, 0, sizeof(whole.profile));
	memcpy(whole.profile, p->name, strlen(p->name));
	*ensure = whole;
	return 0;
}

/* --- strings ----------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The length of a variable's name with its "="; 0: it is not NAME=VALUE. */
static size_t variable_name(const char *text)
{
	size_t len = 0;

	while (is_alnum(text[len]) || text[len] == '_')
		len++;
	if (len == 0 || (text[0] >= '0' && text[0] <= '9') || text[len] != '=')
		return 0;
	return len + 1;
}

bool access_is_variable(const char *text)
{
	return variable_name(text) > 0;
}

static int check_variables(char **strings, size_t count, struct wire_error *e)
{
	for (size_t i = 0; i < count; i++) {
		if (!variable_name(strings[i]))
			return refuse(e, "env",
				      "a variable's name is letters, digits and \"_\", "
				      "and does not begin with a digit");
	}
	if (!count)
		return 0;
	qsort(strings, count, sizeof(*strings), by_text);
	for (size_t i = 1; i < count; i++) {
		/* Whatever sorts in between begins with the same name too. */
		if (!strncmp(strings[i - 1], strings[i], variable_name(strings[i])))
			return refuse(e, "env", "a variable is there twice");
	}
	return 0;
}

static int check_labels(char **strings, size_t count, struct wire_error *e)
{
	for (size_t i = 0; i < 2 * count; i += 2) {
		size_t len = strnlen(strings[i], ACCESS_LABEL_KEY_MAX + 1);

		if (len == 0 || len > ACCESS_LABEL_KEY_MAX || !is_utf8(strings[i], false))
			return refuse(e, "labels",
				      "a label's name is 1 to %d bytes of UTF-8 without "
				      "control characters",
				      ACCESS_LABEL_KEY_MAX);
		if (!is_utf8(strings[i + 1], true))
			return refuse(e, "labels", "a label's value is UTF-8");
	}
	qsort(strings, count, 2 * sizeof(*strings), by_text);
	for (size_t i = 2; i < 2 * count; i += 2) {
		if (!strcmp(strings[i - 2], strings[i]))
			return refuse(e, "labels", "a label is there twice");
	}
	return 0;
}

int access_check_strings(const struct wire_ensure *ensure, char **strings,
			 struct wire_error *ret_error)
{
	size_t env = ensure->env_count, labels = ensure->label_count, size = 0;
	int r;

	if (labels > ACCESS_LABELS_MAX)
		return refuse(ret_error, "labels", "more than %d labels",
			      ACCESS_LABELS_MAX);
	for (size_t i = 0; i < env + 2 * labels; i++) {
		size += strlen(strings[i]) + 1;
		if (size > ACCESS_STRINGS_SIZE)
			return refuse(ret_error, i < env ? "env" : "labels",
				      "variables and labels of more than %d bytes in all",
				      ACCESS_STRINGS_SIZE);
	}
	r = check_variables(strings, env, ret_error);
	if (r < 0 || !labels)
		return r;
	return check_labels(strings + env, labels, ret_error);
}

/* --- exec -------------------------------------------------------------------------- */

static int check_id(const char *what, uint32_t id, struct wire_error *e)
{
	if (id != UINT32_MAX && (id < 1 || id > SPEC_ID_MAX))
		return refuse(e, what, "an id inside is 1 to %d", SPEC_ID_MAX);
	return 0;
}

int access_check_exec(const struct client *c, const struct wire_exec *exec,
		      const struct wire_limits *sandbox, struct wire_error *ret_error)
{
	const struct wire_limits most = ceilings_of(c);
	int r = 0;

	if (!exec->argc)
		return refuse(ret_error, "argv", "a command has at least one word");
	if (*exec->cwd && *exec->cwd != '/')
		return refuse(ret_error, "cwd", "a directory inside begins with \"/\"");
	if (exec->timeout_ms > ACCESS_TIME_MAX)
		return refuse(ret_error, "timeout", "%llu ms is more than %llu",
			      (unsigned long long)exec->timeout_ms, ACCESS_TIME_MAX);
	r = check_id("uid", exec->uid, ret_error);
	if (r == 0)
		r = check_id("gid", exec->gid, ret_error);
	if (r == 0)
		r = check_limits(&exec->limits, sandbox, "the sandbox has", ret_error);
	/* It can have more than the client may, since the configuration changed. */
	if (r == 0)
		r = check_limits(&exec->limits, &most, "this client may have", ret_error);
	return r;
}
