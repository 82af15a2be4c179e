/* SPDX-License-Identifier: Apache-2.0 */
/* Build-time program: writes the blocklist as a C header. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netns/ip.h"

/*
 * blocklist_gen special-purpose.csv platform.csv OUT.h
 *
 * special-purpose.csv holds the registries of special-purpose addresses that IANA keeps
 * for IPv4 and IPv6, and what RFCs call multicast, reserved or deprecated besides. All of
 * it is denied, also what the registries call globally reachable: that is anycast which
 * no sandbox has a use for, and a translator to every IPv4 address.
 *
 * A wrong line stops the build: nothing is ever left out of the blocklist in silence.
 */

enum { LINE_SIZE = 512, FIELDS_MAX = 4 };

struct row {
	char line[LINE_SIZE];
	const char *field[FIELDS_MAX];
	unsigned fields;
};

struct sets {
	struct ip_ranges deny4, except6, platform4, platform6;
};

/* ---- what the rows mean ---- */

static int take_block(struct sets *sets, const struct row *row, struct err *e)
{
	static const struct cidr global = {
		.ip = { .family = AF_INET6, .addr = { 0x20 } },
		.prefix = 3,
	};
	struct cidr c;
	int r = cidr_parse(row->field[0], &c, e);

	if (r < 0)
		return r;
	if (c.ip.family == AF_INET)
		return ip_ranges_add(&sets->deny4, &c, e);
	/* What is outside of 2000::/3 is denied without being listed. */
	if (!cidr_overlaps(&global, &c))
		return 0;
	if (c.prefix <= global.prefix)
		return err_say(e, EINVAL, "%s leaves nothing of IPv6", row->field[0]);
	return ip_ranges_add(&sets->except6, &c, e);
}

static int take_platform(struct sets *sets, const struct row *row, struct err *e)
{
	struct cidr c;

	if (ip_parse(row->field[0], &c.ip) < 0)
		return err_say(e, EINVAL, "\"%s\" is not an address", row->field[0]);
	c.prefix = c.ip.family == AF_INET ? 32 : 128;
	return ip_ranges_add(c.ip.family == AF_INET ? &sets->platform4 : &sets->platform6,
			     &c, e);
}

struct table {
	const char *header; /* the first line */
	unsigned fields; /* of every line */
	int (*take)(struct sets *sets, const struct row *row, struct err *e);
};

static const struct table special_purpose = {
	"block,name,source,globally_reachable",
	4,
	take_block,
};
static const struct table platform = { "address,provider,source", 3, take_platform };

/* ---- reading ---- */

/* Reads a line without its end. 1 when there is none any more. */
static int read_line(FILE *f, char *line, struct err *e)
{
	size_t len = 0;
	int c;

	while ((c = getc(f)) != EOF && c != '\n') {
		if (c < ' ' || c > '~' || len == LINE_SIZE - 1)
			return err_say(e, EINVAL, "too long, or not plain text");
		line[len++] = (char)c;
	}
	line[len] = '\0';
	if (ferror(f))
		return err_set(e, errno, "read");
	return c == EOF && !len;
}

/* Ends the field that begins at *text, and moves *text to the next or to NULL. A field
 * with a comma stands in quotes; none is empty, and none contains a quote. */
static int cut_field(char **text, const char **ret)
{
	char *begin = *text, *end;

	if (*begin == '"') {
		end = strchr(++begin, '"');
		if (!end)
			return -EINVAL;
		*end++ = '\0';
	} else {
		end = begin + strcspn(begin, ",\"");
	}
	if (!*begin || *begin == ',' || (*end && *end != ','))
		return -EINVAL;
	*text = *end ? end + 1 : NULL;
	*end = '\0';
	*ret = begin;
	return 0;
}

static int split(struct row *row, unsigned fields, struct err *e)
{
	char *rest = row->line;

	for (row->fields = 0; rest && row->fields < fields; row->fields++) {
		if (cut_field(&rest, &row->field[row->fields]) < 0)
			return err_say(e, EINVAL, "field %u is malformed",
				       row->fields + 1);
	}
	if (rest || row->fields < fields)
		return err_say(e, EINVAL, "not %u fields", fields);
	return 0;
}

static int take_line(struct row *row, unsigned line, const struct table *t,
		     struct sets *sets, struct err *e)
{
	int r;

	if (line == 1 && strcmp(row->line, t->header))
		return err_say(e, EINVAL, "the first line is not \"%s\"", t->header);
	if (line == 1)
		return 0;
	r = split(row, t->fields, e);
	return r < 0 ? r : t->take(sets, row, e);
}

static int read_table(const char *path, const struct table *t, struct sets *sets,
		      struct err *e)
{
	FILE *f = fopen(path, "re");
	unsigned line = 1;
	struct row row;
	int r;

	if (!f)
		return err_set(e, errno, "open %s", path);
	while ((r = read_line(f, row.line, e)) == 0) {
		r = take_line(&row, line, t, sets, e);
		if (r < 0)
			break;
		line++;
	}
	if (r < 0)
		err_wrap(e, "%s:%u", path, line);
	fclose(f);
	return r < 0 ? r : 0;
}

/* ---- writing ---- */

static void write_addr(FILE *f, const uint8_t *addr, size_t size)
{
	fprintf(f, "{ ");
	for (size_t i = 0; i < size; i++)
		fprintf(f, "%#x, ", addr[i]);
	fprintf(f, "}");
}

static int write_set(FILE *f, const char *name, struct ip_ranges *set, struct err *e)
{
	size_t size = set->family == AF_INET ? 4 : 16;

	if (!set->count)
		return err_say(e, EINVAL, "the tables leave the list %s empty", name);
	ip_ranges_merge(set);
	fprintf(f, "\nstatic const struct ip_range %s[] = {\n", name);
	for (size_t i = 0; i < set->count; i++) {
		fprintf(f, "\t{ ");
		write_addr(f, set->list[i].first, size);
		fprintf(f, ", ");
		write_addr(f, set->list[i].last, size);
		fprintf(f, " },\n");
	}
	fprintf(f, "};\n");
	return 0;
}

static int write_header(const char *path, struct sets *sets, struct err *e)
{
	FILE *f = fopen(path, "we");
	int r;

	if (!f)
		return err_set(e, errno, "create %s", path);
	fprintf(f, "/* Made by netns/blocklist_gen.c; do not edit. */\n#pragma once\n\n"
		   "#include \"netns/ip.h\"\n");
	r = write_set(f, "deny4", &sets->deny4, e);
	if (r == 0)
		r = write_set(f, "except6", &sets->except6, e);
	if (r == 0)
		r = write_set(f, "platform4", &sets->platform4, e);
	if (r == 0)
		r = write_set(f, "platform6", &sets->platform6, e);
	if (r == 0 && (fflush(f) || ferror(f)))
		r = err_set(e, errno, "write %s", path);
	fclose(f);
	return r;
}

int main(int argc, char **argv)
{
	struct sets sets = {
		.deny4.family = AF_INET,
		.except6.family = AF_INET6,
		.platform4.family = AF_INET,
		.platform6.family = AF_INET6,
	};
	struct err e = { 0 };
	int r;

	if (argc != 4) {
		fprintf(stderr,
			"usage: blocklist_gen special-purpose.csv platform.csv OUT.h\n");
		return 2;
	}
	r = read_table(argv[1], &special_purpose, &sets, &e);
	if (r == 0)
		r = read_table(argv[2], &platform, &sets, &e);
	if (r == 0)
		r = write_header(argv[3], &sets, &e);
	ip_ranges_free(&sets.deny4);
	ip_ranges_free(&sets.except6);
	ip_ranges_free(&sets.platform4);
	ip_ranges_free(&sets.platform6);
	if (r) {
		fprintf(stderr, "blocklist_gen: %s\n", e.msg);
		return 1;
	}
	return 0;
}
