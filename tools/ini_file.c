/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "tools/ini_file.h"

enum { SECTION_MAX = 49 }; /* bytes; what the parser keeps of a section's name */

struct reader {
	const struct ini_table *tables;
	const struct ini_watch *watch; /* NULL: nobody */
	const char *path;
	FILE *file;
	unsigned line; /* last one handed out */
	unsigned error; /* the one that *e is about */
	char section[SECTION_MAX + 1]; /* the named one that has begun; "": none */
	struct err *e;
};

/* Is the section of the row's kind? A kind with names has them all. */
static bool is_of_kind(const struct ini_row *row, const char *section, bool named)
{
	size_t len = strlen(row->section);

	return !strncmp(section, row->section, len) &&
	       (section[len] == '\0' || (named && section[len] == ' '));
}

/* The row for a key, or with "" the one that the section's name is for. */
static const struct ini_row *find_row(const struct ini_table *tables, const char *section,
				      const char *key, bool named, void **ret_context)
{
	for (; tables->rows; tables++) {
		for (const struct ini_row *row = tables->rows; row->key; row++) {
			if (strcmp(key, row->key) != 0 ||
			    !is_of_kind(row, section, named))
				continue;
			*ret_context = tables->context;
			return row;
		}
	}
	return NULL;
}

static void tell(const struct reader *rd, const char *section, const char *key)
{
	if (rd->watch)
		rd->watch->taken(rd->watch->context, section, key, rd->path, rd->line);
}

/* Tells whom it concerns that a section with a name begins. The parser says nothing of a
 * section in which nothing stands. */
static void begin_section(struct reader *rd, const char *line)
{
	char *section = rd->section;
	const struct ini_row *row;
	void *context = NULL;
	const char *name;

	if (rd->line == 1 && !strncmp(line, "\xef\xbb\xbf", 3))
		line += 3; /* so does the parser */
	if (*line != '[' || !strchr(line, ']'))
		return;
	*section = '\0';
	line++;
	if (str_format(section, sizeof(rd->section), "%.*s", (int)strcspn(line, "]"),
		       line) < 0)
		/* Of an unnamed kind, or of none: no key of it will be known. */
		err_ignore(str_format(section, sizeof(rd->section), "%.*s",
				      (int)strcspn(line, " ]"), line) < 0);
	row = find_row(rd->tables, section, "", true, &context);
	if (!row) {
		*section = '\0';
		return;
	}
	name = section + strcspn(section, " ");
	name += *name == ' ';
	if (context && row->set(context, name, rd->e) < 0)
		err_wrap(rd->e, "%s:%u: [%s]", rd->path, rd->line, section);
	else
		tell(rd, section, "");
}

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
	begin_section(rd, buf);
	if (!rd->e->code)
		return got;
	rd->error = rd->line;
	return NULL;
}

static const struct ini_row *find_key(const struct reader *rd, const char *section,
				      const char *key, void **ret_context)
{
	/* The two readings of a section's line must agree on who is meant. */
	bool named = *rd->section && !strcmp(section, rd->section);

	return *key ? find_row(rd->tables, section, key, named, ret_context) : NULL;
}

/* inih wants 1 for success and stops at 0 only if built to; the first error stays. */
static int take(void *user, const char *section, const char *key, const char *value)
{
	struct reader *rd = user;
	void *context = NULL;
	const struct ini_row *row = find_key(rd, section, key, &context);

	if (rd->e->code)
		return 0;
	rd->error = rd->line;
	if (row && (!context || row->set(context, value, rd->e) == 0)) {
		tell(rd, section, key);
		return 1;
	}
	if (row)
		err_wrap(rd->e, "%s:%u: [%s] %s = %s", rd->path, rd->line, section, key,
			 value);
	else
		err_say(rd->e, EINVAL, "%s:%u: unknown key \"%s\" in section [%s]",
			rd->path, rd->line, key, section);
	return 0;
}

int ini_file_read(FILE *file, const char *path, const struct ini_table *tables,
		  struct err *e)
{
	return ini_file_read_watched(file, path, tables, NULL, e);
}

int ini_file_read_watched(FILE *file, const char *path, const struct ini_table *tables,
			  const struct ini_watch *watch, struct err *e)
{
	struct reader rd = {
		.tables = tables, .watch = watch, .path = path, .file = file, .e = e
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
