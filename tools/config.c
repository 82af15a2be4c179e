/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "tools/config.h"
#include "tools/config_network.h"

enum {
	ID_FIRST_MIN = 65536, /* below are the host's own accounts */
	ID_LAST_MAX = 0x7fffffff, /* devpts of Linux 6.1 and 6.12 takes no group above */
};

static int set_id_first(struct config *c, const char *value, struct err *e)
{
	uint64_t first;

	if (num_parse(value, ID_FIRST_MIN, ID_LAST_MAX, &first) < 0)
		return err_say(e, EINVAL, "expected a host id of 65536 or more");
	c->runtime.id_first = (uint32_t)first;
	return 0;
}

static int set_id_ranges(struct config *c, const char *value, struct err *e)
{
	uint64_t ranges;

	if (num_parse(value, 1, 65535, &ranges) < 0)
		return err_say(e, EINVAL, "expected a number of 1 to 65535");
	c->runtime.id_ranges = (uint32_t)ranges;
	return 0;
}

static int set_state_dir(struct config *c, const char *value, struct err *e)
{
	if (*value != '/' ||
	    str_format(c->state_dir, sizeof(c->state_dir), "%s", value) < 0)
		return err_say(e, EINVAL, "expected an absolute path");
	c->runtime.state_dir = c->state_dir;
	return 0;
}

static const struct config_row own_rows[] = {
	{ "ids", "first", set_id_first },
	{ "ids", "ranges", set_id_ranges },
	{ "state", "dir", set_state_dir },
	{ NULL, NULL, NULL },
};

static const struct config_row *const tables[] = { own_rows, config_network_rows };

static const struct config_row *find_row(const char *section, const char *key)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		for (const struct config_row *row = tables[i]; row->key; row++) {
			if (!strcmp(section, row->section) && !strcmp(key, row->key))
				return row;
		}
	}
	return NULL;
}

struct reader {
	struct config *config;
	const char *path;
	FILE *file;
	unsigned line; /* last one handed out */
	unsigned error; /* the one that *e is about */
	struct err *e;
};

/* Is this the beginning of a long comment? Then its end is passed over. */
static bool skip_comment(const char *beginning, FILE *file)
{
	int c;

	beginning += strspn(beginning, " \t");
	if (*beginning != '#' && *beginning != ';')
		return false;
	do {
		c = fgetc(file);
	} while (c != '\n' && c != EOF);
	return true;
}

/* Feeds the parser and counts lines, so that an error can name one. The parser would take
 * the rest of a line that does not fit for a line of its own. */
static char *next_line(char *buf, int size, void *stream)
{
	struct reader *rd = stream;
	char *got = rd->e->code ? NULL : fgets(buf, size, rd->file);

	if (!got)
		return NULL;
	rd->line++;
	if (!strchr(buf, '\n') && !feof(rd->file)) {
		if (skip_comment(buf, rd->file))
			return buf;
		err_say(rd->e, E2BIG, "%s:%u: a line of more than %d bytes", rd->path,
			rd->line, size - 2);
		return NULL;
	}
	/* To the parser, a line that begins with a blank goes on with the value above. */
	if ((*buf == ' ' || *buf == '\t') && buf[strspn(buf, " \t\r\n")]) {
		err_say(rd->e, EINVAL, "%s:%u: a line that begins with a blank", rd->path,
			rd->line);
		return NULL;
	}
	return got;
}

/* inih wants 1 for success and stops at 0 only if built to; the first error stays. */
static int take(void *user, const char *section, const char *key, const char *value)
{
	struct reader *rd = user;
	const struct config_row *row = find_row(section, key);

	if (rd->e->code)
		return 0;
	rd->error = rd->line;
	if (row && row->set(rd->config, value, rd->e) == 0)
		return 1;
	if (row)
		err_wrap(rd->e, "%s:%u: [%s] %s = %s", rd->path, rd->line, section, key,
			 value);
	else
		err_say(rd->e, EINVAL, "%s:%u: unknown key \"%s\" in section [%s]",
			rd->path, rd->line, key, section);
	return 0;
}

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
	struct reader rd = { .config = ret, .path = path ? path : CONFIG_PATH, .e = e };
	int line;

	*e = (struct err){ 0 };
	*ret = (struct config){ .runtime = runtime_config_defaults(), .allow_any = true };
	rd.file = fopen(rd.path, "re");
	if (!rd.file && !path && errno == ENOENT)
		return 0;
	if (!rd.file)
		return err_set(e, errno, "open configuration %s", rd.path);
	/* next_line() gets the reader as its stream. */
	line = ini_parse_stream(next_line, &rd, take, &rd);
	if (!e->code && ferror(rd.file))
		err_set(e, errno, "read configuration %s", rd.path);
	fclose(rd.file);
	if (e->code && !(line > 0 && (unsigned)line < rd.error))
		return e->code;
	if (line)
		return err_say(e, EINVAL, "%s:%d: not a section, key = value or comment",
			       rd.path, line);
	return check(ret, rd.path, e);
}

void config_free(struct config *c)
{
	netns_settings_free(&c->runtime.network);
}
