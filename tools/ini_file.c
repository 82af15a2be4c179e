/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#include "tools/ini_file.h"

static const struct ini_row *find_row(const struct ini_row *const *tables,
				      const char *section, const char *key)
{
	for (; *tables; tables++) {
		for (const struct ini_row *row = *tables; row->key; row++) {
			if (!strcmp(section, row->section) && !strcmp(key, row->key))
				return row;
		}
	}
	return NULL;
}

struct reader {
	const struct ini_row *const *tables;
	void *context;
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
	const struct ini_row *row = find_row(rd->tables, section, key);

	if (rd->e->code)
		return 0;
	rd->error = rd->line;
	if (row && row->set(rd->context, value, rd->e) == 0)
		return 1;
	if (row)
		err_wrap(rd->e, "%s:%u: [%s] %s = %s", rd->path, rd->line, section, key,
			 value);
	else
		err_say(rd->e, EINVAL, "%s:%u: unknown key \"%s\" in section [%s]",
			rd->path, rd->line, key, section);
	return 0;
}

int ini_file_read(FILE *file, const char *path, const struct ini_row *const *tables,
		  void *context, struct err *e)
{
	struct reader rd = {
		.tables = tables, .context = context, .path = path, .file = file, .e = e
	};
	int line;

	*e = (struct err){ 0 };
	/* next_line() gets the reader as its stream. */
	line = ini_parse_stream(next_line, &rd, take, &rd);
	if (!e->code && ferror(file))
		err_set(e, errno, "read %s", path);
	if (e->code && !(line > 0 && (unsigned)line < rd.error))
		return e->code;
	if (line)
		return err_say(e, EINVAL, "%s:%d: not a section, key = value or comment",
			       path, line);
	return 0;
}
