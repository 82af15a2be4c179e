/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "tools/config_daemon.h"
#include "tools/config_network.h"

enum { PATH_SIZE = 1024 };

/* --- values ------------------------------------------------------------------------ */

int config_check_name(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > CONFIG_NAME_MAX ||
	    !str_only(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789._-"))
		return err_say(e, EINVAL,
			       "expected a name of 1 to %d letters, digits, \".\", \"_\" "
			       "and \"-\"",
			       CONFIG_NAME_MAX);
	return 0;
}

static bool is_unlimited(const char *value, uint64_t *ret)
{
	if (strcmp(value, "unlimited") != 0)
		return false;
	*ret = 0;
	return true;
}

int config_parse_memory(const char *value, uint64_t *ret, struct err *e)
{
	uint64_t size;

	if (is_unlimited(value, ret))
		return 0;
	if (num_parse_size(value, &size) < 0 || size < SPEC_MEMORY_MIN ||
	    size > SPEC_MEMORY_MAX)
		return err_say(e, EINVAL,
			       "expected a size of 6m or more, such as 512m, or "
			       "\"unlimited\"");
	*ret = size;
	return 0;
}

int config_parse_cpus(const char *value, uint64_t *ret, struct err *e)
{
	uint64_t milli;

	if (is_unlimited(value, ret))
		return 0;
	if (num_parse_milli(value, &milli) < 0 || milli < SPEC_CPU_MILLI_MIN ||
	    milli > SPEC_CPU_MILLI_MAX)
		return err_say(e, EINVAL,
			       "expected a number of 0.01 or more, such as 1.5, or "
			       "\"unlimited\"");
	*ret = milli;
	return 0;
}

int config_parse_pids(const char *value, uint64_t *ret, struct err *e)
{
	uint32_t pids = 0;
	int r = config_parse_count(value, SPEC_PIDS_MAX, &pids, e);

	if (r == 0)
		*ret = pids;
	return r;
}

int config_parse_count(const char *value, uint32_t most, uint32_t *ret, struct err *e)
{
	uint64_t count;

	if (!is_unlimited(value, &count) && num_parse(value, 1, most, &count) < 0)
		return err_say(e, EINVAL, "expected a number of 1 to %u or \"unlimited\"",
			       most);
	*ret = (uint32_t)count;
	return 0;
}

int config_parse_word(const char *value, const char *no, const char *yes, bool *ret,
		      struct err *e)
{
	bool is_yes = !strcmp(value, yes);

	if (!is_yes && strcmp(value, no) != 0)
		return err_say(e, EINVAL, "expected %s or %s", no, yes);
	*ret = is_yes;
	return 0;
}

int config_parse_path(const char *value, char *buf, size_t size, struct err *e)
{
	/* What follows the slash has the same rules as a workspace. */
	if (*value != '/' || !access_is_workspace(value + 1) ||
	    str_format(buf, size, "%s", value) < 0)
		return err_say(e, EINVAL,
			       "expected an absolute path without \".\", \"..\" or "
			       "\"//\"");
	return 0;
}

/* --- [pool] ------------------------------------------------------------------------ */

static int set_max_sandboxes(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;

	return config_parse_count(value, 65535, &d->access->pool.sandboxes, e);
}

static int set_max_waiters(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;

	return config_parse_count(value, 1000000, &d->access->pool.waiters, e);
}

static int set_metrics_file(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;

	return config_parse_path(value, d->access->metrics_file,
				 sizeof(d->access->metrics_file), e);
}

static int set_keep_running(void *context, const char *value, struct err *e)
{
	struct config_daemon *d = context;

	return config_parse_word(value, "no", "yes", &d->access->keep_running, e);
}

const struct ini_row config_pool_rows[] = {
	{ "pool", "max_sandboxes", set_max_sandboxes },
	{ "pool", "max_waiters", set_max_waiters },
	{ "pool", "metrics_file", set_metrics_file },
	{ "pool", "keep_running", set_keep_running },
	{ NULL, NULL, NULL },
};

/* --- files ------------------------------------------------------------------------- */

static int finish(struct config_daemon *d, const struct config *c, const char *path,
		  struct err *e)
{
	int r = config_profiles_finish(d, &c->runtime.network, e);

	if (r == 0)
		r = config_clients_finish(d, e);
	return r < 0 ? err_wrap(e, "%s", path) : 0;
}

static int read_policy(struct config_daemon *d, const struct config *c, const char *path,
		       struct err *e)
{
	const struct ini_table tables[] = { { config_profile_rows, d },
					    { config_client_rows, d },
					    { NULL, NULL } };
	FILE *file = fopen(path, "re");
	int r;

	if (!file)
		return err_set(e, errno, "open %s", path);
	r = ini_file_read_watched(file, path, tables, d->reading->watch, e);
	fclose(file);
	return r < 0 ? r : finish(d, c, path, e);
}

static int is_policy(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return *entry->d_name != '.' && len > strlen(".conf") &&
	       !strcmp(entry->d_name + len - strlen(".conf"), ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Would the entry be read before the file that is to be tried? */
static bool is_before(const char *entry, const char *candidate)
{
	const char *slash = candidate ? strrchr(candidate, '/') : NULL;

	return !candidate || strcmp(entry, slash ? slash + 1 : candidate) < 0;
}

static int read_policies(struct config_daemon *d, const struct config *c,
			 const char *directory, struct err *e)
{
	struct dirent **entries = NULL;
	int n = scandir(directory, &entries, is_policy, by_name), r = 0;
	const char *candidate = d->reading->candidate;

	if (n < 0 && errno != ENOENT)
		return err_set(e, errno, "read %s", directory);
	for (int i = 0; i < n; i++) {
		bool skip = !is_before(entries[i]->d_name, candidate);
		char path[PATH_SIZE];

		if (r == 0 && !skip &&
		    str_format(path, sizeof(path), "%s/%s", directory,
			       entries[i]->d_name) < 0)
			r = err_set(e, ENAMETOOLONG, "read %s", directory);
		if (r == 0 && !skip)
			r = read_policy(d, c, path, e);
		free(entries[i]);
	}
	free(entries);
	return r == 0 && candidate ? read_policy(d, c, candidate, e) : r;
}

static int read_all(struct config_daemon *d, const char *path, struct config *c,
		    struct err *e)
{
	const char *name = path ? path : CONFIG_PATH, *slash = strrchr(name, '/');
	char directory[PATH_SIZE];
	int r = config_read_with(path, d, d->reading->watch, c, e);

	if (r < 0)
		return r;
	config_network_finish(c);
	r = finish(d, c, name, e);
	if (r < 0)
		return r;
	if (str_format(directory, sizeof(directory), "%.*spolicy.d",
		       slash ? (int)(slash + 1 - name) : 0, name) < 0)
		return err_set(e, ENAMETOOLONG, "%s", name);
	return read_policies(d, c, directory, e);
}

int config_daemon_read(const char *path, struct access *ret, struct err *e)
{
	const struct config_reading reading = { 0 };
	struct config c;
	int r = config_daemon_read_for(path, &reading, ret, &c, e);

	config_free(&c);
	return r;
}

int config_daemon_read_for(const char *path, const struct config_reading *reading,
			   struct access *ret, struct config *ret_config, struct err *e)
{
	struct config_daemon d = { .reading = reading, .access = ret };

	access_init(ret);
	d.usual_profile = ret->profiles[0];
	d.usual_client = ret->clients[0];
	return read_all(&d, path, ret_config, e);
}
