/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of how the host is set up, and of a sandbox as a whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/probe.h"
#include "runtime/slot.h"

static int try_usrmerged(const struct probe *self, const struct runtime_config *config,
			 struct str *found, struct err *e)
{
	static const char *const links[] = { "/bin", "/sbin", "/lib", "/lib64" };
	char target[64];

	(void)self;
	(void)config;
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		if (readlink(links[i], target, sizeof(target)) < 0 && errno != ENOENT)
			return err_say(e, ENOTSUP, "%s is not a link into /usr",
				       links[i]);
	}
	str_add(found, "/bin, /sbin and /lib lead into /usr");
	return 0;
}

static int try_state_dir(const struct probe *self, const struct runtime_config *config,
			 struct str *found, struct err *e)
{
	struct slot slot;
	int r = slot_acquire(config, &slot, e);

	(void)self;
	if (r < 0)
		return r;
	str_add(found, "%s, range %" PRIu32 " of %" PRIu32 " is free", config->state_dir,
		slot.index, config->id_ranges);
	slot_release(&slot);
	return 0;
}

/* A file with ids: lines of fields between colons. */
static const struct {
	const char *path;
	int first, count; /* fields that hold the first id and how many; −1: one */
} id_files[] = {
	{ "/etc/passwd", 2, -1 },
	{ "/etc/group", 2, -1 },
	{ "/etc/subuid", 1, 2 },
	{ "/etc/subgid", 1, 2 },
};

/* The number in field i of the line; UINT64_MAX if there is none. */
static uint64_t field(const char *line, int i)
{
	char *end;
	uint64_t value;

	for (; i > 0 && line; i--) {
		line = strchr(line, ':');
		line = line ? line + 1 : NULL;
	}
	if (!line || *line < '0' || *line > '9')
		return UINT64_MAX;
	value = strtoull(line, &end, 10);
	return *end == ':' || *end == '\n' || !*end ? value : UINT64_MAX;
}

/* Looks for a line that touches the block. */
static int check_ids(unsigned file, const struct runtime_config *config, struct err *e)
{
	uint64_t start = config->id_first;
	uint64_t end = start + (uint64_t)config->id_ranges * SPEC_ID_RANGE;
	char line[1024];
	FILE *f = fopen(id_files[file].path, "re");
	int r = 0;

	if (!f && errno == ENOENT)
		return 0;
	if (!f)
		return err_set(e, errno, "read %s", id_files[file].path);
	while (r == 0 && fgets(line, sizeof(line), f)) {
		uint64_t id = field(line, id_files[file].first);
		uint64_t count =
			id_files[file].count < 0 ? 1 : field(line, id_files[file].count);

		if (id > UINT32_MAX || count > UINT32_MAX || id >= end ||
		    id + count <= start)
			continue;
		r = err_say(e, EEXIST, "%.*s in %s has ids from %" PRIu64 " on",
			    (int)strcspn(line, ":"), line, id_files[file].path, id);
	}
	fclose(f);
	return r;
}

static int try_ids(const struct probe *self, const struct runtime_config *config,
		   struct str *found, struct err *e)
{
	uint64_t end = config->id_first + (uint64_t)config->id_ranges * SPEC_ID_RANGE - 1;
	int r = 0;

	(void)self;
	for (unsigned i = 0; r == 0 && i < sizeof(id_files) / sizeof(*id_files); i++)
		r = check_ids(i, config, e);
	if (r == 0)
		str_add(found, "%" PRIu32 " to %" PRIu64 ", no account's",
			config->id_first, end);
	return r;
}

static int try_sandbox(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	char *argv[] = { "/usr/bin/true", NULL }, *envp[] = { NULL };
	struct run_result result;
	struct spec spec;
	int r;

	(void)self;
	spec_init(&spec);
	spec.argv = argv;
	spec.envp = envp;
	spec.directory = "/";
	r = spec_check(&spec, e);
	if (r == 0)
		r = run_command(config, &spec, &result, e);
	if (r < 0)
		return r;
	if (result.exit_code)
		return err_say(e, EPROTO, "%s ended with %d", argv[0], result.exit_code);
	str_add(found, "%s ran in one", argv[0]);
	return 0;
}

static const struct probe rows[] = {
	{ .id = "state-dir",
	  .name = "state directory",
	  .run = try_state_dir,
	  .remedy = "chown root and chmod go-w it and its parents, or set [state] dir" },
	{ .id = "ids",
	  .name = "host ids of sandboxes",
	  .run = try_ids,
	  .advice = true,
	  .remedy = "set [ids] first in carrel.conf to where nobody else is" },
	{ .id = "usrmerged",
	  .name = "usrmerged host",
	  .run = try_usrmerged,
	  .advice = true,
	  .remedy = "name a directory with --rootfs" },
	{ .id = "sandbox",
	  .name = "a whole sandbox",
	  .run = try_sandbox,
	  .remedy = "first mend what is missing above" },
};

const struct probe_table probe_host = { rows, sizeof(rows) / sizeof(*rows) };
