/* SPDX-License-Identifier: Apache-2.0 */
/* Section [client NAME] of the configuration. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "tools/config_daemon.h"
#include "tools/exceptions.h"

enum {
	COUNT_MAX = 1000000,
	PART_SIZE = 256, /* of a path, with the NUL */
};

static struct client *client_of(void *context)
{
	struct config_daemon *d = context;

	return d->client;
}

/* Who says who the clients are says it of all. */
static int begin(void *context, const char *name, struct err *e)
{
	struct config_daemon *d = context;
	struct access *a = d->access;
	int r = config_check_name(name, e);

	if (r < 0)
		return r;
	if (!d->clients_named)
		a->client_count = 0;
	d->clients_named = true;
	for (unsigned i = 0; i < a->client_count; i++) {
		d->client = &a->clients[i];
		if (!strcmp(d->client->name, name))
			return 0;
	}
	if (a->client_count == ACCESS_CLIENTS_MAX)
		return err_say(e, E2BIG, "more than %d clients", ACCESS_CLIENTS_MAX);
	d->client = &a->clients[a->client_count++];
	*d->client = d->usual_client;
	return str_format(d->client->name, sizeof(d->client->name), "%s", name);
}

/* The C library's own look-up would load code at run time. */
static int find_user(const char *name, uid_t *ret, struct err *e)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *found;

	if (!file)
		return err_set(e, errno, "open /etc/passwd");
	while ((found = fgetpwent(file))) {
		if (!strcmp(found->pw_name, name))
			break;
	}
	if (found)
		*ret = found->pw_uid;
	fclose(file);
	return found ? 0 : err_say(e, ENOENT, "no user is called \"%s\"", name);
}

static int parse_user(const char *value, uid_t *ret, struct err *e)
{
	uint64_t uid;

	if (!strcmp(value, "any")) {
		*ret = ACCESS_ANYBODY;
		return 0;
	}
	if (!*value || !str_only(value, "0123456789"))
		return find_user(value, ret, e);
	if (num_parse(value, 0, ACCESS_ANYBODY - 1, &uid) < 0)
		return err_say(e, EINVAL, "not a user id");
	*ret = (uid_t)uid;
	return 0;
}

static int set_user(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;

	d->users_named[d->client - d->access->clients] = true;
	return parse_user(value, &d->client->uid, e);
}

static int set_workspace_root(void *context, const char *value, struct err *e)
{
	struct client *c = client_of(context);

	return config_parse_path(value, c->workspace_root, sizeof(c->workspace_root), e);
}

static int set_name_prefix(void *context, const char *value, struct err *e)
{
	struct client *c = client_of(context);

	if (!access_is_name(value) ||
	    str_format(c->name_prefix, sizeof(c->name_prefix), "%s", value) < 0)
		return err_say(e, EINVAL, "expected the beginning of a sandbox's name");
	return 0;
}

static int set_network(void *context, const char *value, struct err *e)
{
	return config_parse_word(value, "none", "egress", &client_of(context)->egress, e);
}

static int set_memory(void *context, const char *value, struct err *e)
{
	return config_parse_memory(value, &client_of(context)->ceilings.memory, e);
}

static int set_cpus(void *context, const char *value, struct err *e)
{
	return config_parse_cpus(value, &client_of(context)->ceilings.cpu_milli, e);
}

static int set_pids(void *context, const char *value, struct err *e)
{
	return config_parse_pids(value, &client_of(context)->ceilings.pids, e);
}

static int set_max_sandboxes(void *context, const char *value, struct err *e)
{
	return config_parse_count(value, 65535, &client_of(context)->pool.sandboxes, e);
}

static int set_max_definitions(void *context, const char *value, struct err *e)
{
	return config_parse_count(value, COUNT_MAX, &client_of(context)->pool.definitions,
				  e);
}

static int set_max_execs(void *context, const char *value, struct err *e)
{
	return config_parse_count(value, COUNT_MAX, &client_of(context)->pool.execs, e);
}

static int set_max_waiters(void *context, const char *value, struct err *e)
{
	return config_parse_count(value, COUNT_MAX, &client_of(context)->pool.waiters, e);
}

static int find_profile(const struct access *a, const char *name, uint32_t *ret,
			struct err *e)
{
	for (uint32_t i = 0; i < a->profile_count; i++) {
		if (!strcmp(a->profiles[i].name, name)) {
			*ret = i;
			return 0;
		}
	}
	return err_say(e, ENOENT, "no profile is called \"%s\" up to here", name);
}

static int set_profiles(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;
	struct client *c = d->client;

	c->profile_count = 0;
	while (value) {
		char name[CONFIG_NAME_MAX + 1];
		int r;

		list_next(&value, name, sizeof(name));
		if (c->profile_count == ACCESS_PROFILES_MAX)
			return err_say(e, E2BIG, "more than %d profiles",
				       ACCESS_PROFILES_MAX);
		r = find_profile(d->access, name, &c->profiles[c->profile_count], e);
		if (r < 0)
			return r;
		c->profile_count++;
	}
	return 0;
}

const struct ini_row config_client_rows[] = {
	{ "client", "", begin },
	{ "client", "user", set_user },
	{ "client", "workspace_root", set_workspace_root },
	{ "client", "name_prefix", set_name_prefix },
	{ "client", "profiles", set_profiles },
	{ "client", "network", set_network },
	{ "client", "memory", set_memory },
	{ "client", "cpus", set_cpus },
	{ "client", "pids", set_pids },
	{ "client", "max_sandboxes", set_max_sandboxes },
	{ "client", "max_definitions", set_max_definitions },
	{ "client", "max_execs", set_max_execs },
	{ "client", "max_waiters", set_max_waiters },
	{ NULL, NULL, NULL },
};

/* Whoever can write a directory can put something else where one below it was (E-49). */
static int check_directory(int fd, const char *part, uid_t other, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", part);
	if ((st.st_uid != 0 && st.st_uid != other) || (st.st_mode & 022))
		return err_say(e, EPERM,
			       "%s belongs to uid %u with mode %o: nobody but %s may "
			       "write there",
			       part, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777,
			       other ? "root or the client" : "root");
	return 0;
}

/* The last part may belong to the client. */
static int check_root(const struct client *c, struct err *e)
{
	auto_fd dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *path = c->workspace_root;
	char part[PART_SIZE];
	int r = dir < 0 ? err_set(e, errno, "open /") : 0;

	while (r == 0 && *path) {
		size_t len = strcspn(++path, "/");
		int next;

		r = str_format(part, sizeof(part), "%.*s", (int)len, path);
		if (r < 0)
			return err_set(e, -r, "open a part of it");
		path += len;
		next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		fd_close(&dir);
		dir = next;
		if (dir < 0)
			return err_set(e, errno, "open %s", part);
		r = check_directory(dir, part,
				    *path || c->uid == ACCESS_ANYBODY ? 0 : c->uid, e);
	}
	return r;
}

static int check_user(const struct access *a, const struct client *c, struct err *e)
{
	for (const struct client *other = a->clients; other < c; other++) {
		if (other->uid == c->uid)
			return err_say(e, EEXIST, "its user is that of [client %s]",
				       other->name);
	}
	return 0;
}

int config_clients_finish(struct config_daemon *d, struct err *e)
{
	for (unsigned i = 0; d->clients_named && i < d->access->client_count; i++) {
		struct client *c = &d->access->clients[i];
		int r = 0;

		if (!d->users_named[i])
			r = parse_user(c->name, &c->uid, e);
		if (r == 0)
			r = check_user(d->access, c, e);
		if (r == 0 && *c->workspace_root && check_root(c, e) < 0)
			r = err_wrap(e, "workspace_root = %s", c->workspace_root);
		if (r < 0)
			return err_wrap(e, "[client %s]", c->name);
	}
	return 0;
}
