/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/table.h"

enum { GAP = 3 }; /* spaces between columns, as docker has it */

struct table table_over(const char *const *heads)
{
	struct table t = { .heads = heads };

	while (heads[t.columns])
		t.columns++;
	bug_on(t.columns > TABLE_COLUMNS_MAX);
	return t;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	*t = (struct table){ 0 };
}

static char *escaped(const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	char *copy = malloc(size);

	if (copy)
		str_escape(copy, size, text);
	return copy;
}

void table_add(struct table *t, const char *const *texts)
{
	size_t used = t->rows * t->columns;
	struct table_cell *grown =
		reallocarray(t->cells, used + t->columns, sizeof(*t->cells));

	if (!grown) {
		t->failed = true;
		return;
	}
	t->cells = grown;
	for (unsigned i = 0; i < t->columns; i++) {
		grown[used + i] = (struct table_cell){ .text = escaped(texts[i]) };
		if (!grown[used + i].text)
			t->failed = true;
	}
	t->rows++;
}

void table_colour(struct table *t, unsigned column, const char *colour)
{
	if (t->rows && column < t->columns)
		t->cells[(t->rows - 1) * t->columns + column].colour = colour;
}

static int width_of(const struct table *t, unsigned column)
{
	size_t width = strlen(t->heads[column]);

	for (size_t row = 0; row < t->rows; row++) {
		size_t len = strlen(t->cells[row * t->columns + column].text);

		if (len > width)
			width = len;
	}
	return (int)width;
}

/* The last column is not filled up: no line ends with spaces. */
static void write_cell(FILE *out, const char *text, const char *colour, int width)
{
	fprintf(out, "%s%s%s", colour ? colour : "", text, colour ? "\033[0m" : "");
	if (width)
		fprintf(out, "%*s", width + GAP - (int)strlen(text), "");
	else
		fputc('\n', out);
}

int table_text(const struct table *t, bool coloured, char **ret, struct err *e)
{
	int widths[TABLE_COLUMNS_MAX] = { 0 };
	auto_free char *text = NULL;
	size_t size;
	FILE *out = t->failed ? NULL : open_memstream(&text, &size);

	if (!out)
		return err_set(e, ENOMEM, "print a table");
	for (unsigned i = 0; i + 1 < t->columns; i++)
		widths[i] = width_of(t, i);
	for (unsigned i = 0; i < t->columns; i++)
		write_cell(out, t->heads[i], NULL, widths[i]);
	for (size_t i = 0; i < t->rows * t->columns; i++)
		write_cell(out, t->cells[i].text, coloured ? t->cells[i].colour : NULL,
			   widths[i % t->columns]);
	if (fclose(out) != 0 || !text)
		return err_set(e, ENOMEM, "print a table");
	*ret = text;
	text = NULL;
	return 0;
}

int table_print(const struct table *t, struct err *e)
{
	auto_free char *text = NULL;
	int r = table_text(t, table_wants_colour(), &text, e);

	if (text)
		fputs(text, stdout);
	return r;
}

bool table_wants_colour(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       !(term && !strcmp(term, "dumb"));
}
