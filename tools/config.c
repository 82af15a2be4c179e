/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "tools/config.h"
#include "tools/config_daemon.h"
#include "tools/config_network.h"

enum {
	ID_FIRST_MIN = 65536, /* below are the host's own accounts */
	ID_LAST_MAX = 0x7fffffff, /* devpts of Linux 6.1 and 6.12 takes no group above */
};

static int set_id_first(void *context, const char *value, struct err *e)
{
	struct config *c = context;
	uint64_t first;

	if (num_parse(value, ID_FIRST_MIN, ID_LAST_MAX, &first) < 0)
		return err_say(e, EINVAL, "expected a host id of 65536 or more");
	c->runtime.id_first = (uint32_t)first;
	return 0;
}

static int set_id_ranges(void *context, const char *value, struct err *e)
{
	struct config *c = context;
	uint64_t ranges;

	if (num_parse(value, 1, 65535, &ranges) < 0)
		return err_say(e, EINVAL, "expected a number of 1 to 65535");
	c->runtime.id_ranges = (uint32_t)ranges;
	return 0;
}

static int set_state_dir(void *context, const char *value, struct err *e)
{
	struct config *c = context;
	if (*value != '/' ||
	    str_format(c->state_dir, sizeof(c->state_dir), "%s", value) < 0)
		return err_say(e, EINVAL, "expected an absolute path");
	c->runtime.state_dir = c->state_dir;
	return 0;
}

static int set_rootfs_store(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	if (*value != '/' ||
	    str_format(c->rootfs_store, sizeof(c->rootfs_store), "%s", value) < 0)
		return err_say(e, EINVAL, "expected an absolute path");
	c->runtime.rootfs_store = c->rootfs_store;
	return 0;
}

static const struct ini_row own_rows[] = {
	{ "ids", "first", set_id_first },
	{ "ids", "ranges", set_id_ranges },
	{ "state", "dir", set_state_dir },
	{ "state", "rootfs", set_rootfs_store },
	{ NULL, NULL, NULL },
};

static int check(const struct config *c, const char *path, struct err *e)
{
	uint64_t end =
		c->runtime.id_first + (uint64_t)c->runtime.id_ranges * SPEC_ID_RANGE;

	if (end - 1 > ID_LAST_MAX)
		return err_say(
			e, ERANGE,
			"%s: [ids] %u ranges from %u on reach beyond the last host id",
			path, c->runtime.id_ranges, c->runtime.id_first);
	return 0;
}

int config_read(const char *path, struct config *ret, struct err *e)
{
	return config_read_with(path, NULL, NULL, ret, e);
}

int config_read_with(const char *path, void *daemon, const struct ini_watch *watch,
		     struct config *ret, struct err *e)
{
	const struct ini_table tables[] = { { own_rows, ret },
					    { config_network_rows, ret },
					    { config_pool_rows, daemon },
					    { config_profile_rows, daemon },
					    { config_client_rows, daemon },
					    { NULL, NULL } };
	const char *name = path ? path : CONFIG_PATH;
	FILE *file = fopen(name, "re");
	int r;

	*e = (struct err){ 0 };
	*ret = (struct config){ .runtime = runtime_config_defaults(),
				.allow = EXCEPTIONS_ANY };
	if (!file && !path && errno == ENOENT)
		return 0;
	if (!file)
		return err_set(e, errno, "open %s", name);
	r = ini_file_read_watched(file, name, tables, watch, e);
	fclose(file);
	return r == 0 ? check(ret, name, e) : r;
}

void config_free(struct config *c)
{
	netns_settings_free(&c->runtime.network);
}
