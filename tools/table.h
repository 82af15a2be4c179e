/* SPDX-License-Identifier: Apache-2.0 */
/* Plain tables for people: heads, and columns as wide as what is in them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define TABLE_GREEN  "\033[32m"
#define TABLE_YELLOW "\033[33m"
#define TABLE_RED    "\033[1;31m"

enum { TABLE_COLUMNS_MAX = 16 };

struct table_cell {
	char *text; /* owned; printable ASCII */
	const char *colour; /* NULL: none */
};

/* A table under construction. */
struct table {
	const char *const *heads; /* ended by NULL */
	unsigned columns;
	struct table_cell *cells; /* row after row */
	size_t rows;
	bool failed; /* without memory for a row */
};

/* Starts an empty table; `heads` must outlive it. It is for table_free(). */
struct table table_over(const char *const *heads);
void table_free(struct table *t);

/* Adds a row: as many texts as there are heads. They are copied, and everything in them
 * outside printable ASCII is escaped. What there is no memory for, table_text() reports.
 */
void table_add(struct table *t, const char *const *texts);

/* Gives a cell of the last row a colour (TABLE_…). */
void table_colour(struct table *t, unsigned column, const char *colour);

/* The whole as text: a line a row, the heads first. *ret is for free(). */
must_check int table_text(const struct table *t, bool coloured, char **ret,
			  struct err *e);

/* The same to standard output, coloured if that is a terminal. */
must_check int table_print(const struct table *t, struct err *e);

/* Is standard output a terminal that shall have colours? See no-color.org. */
bool table_wants_colour(void);
