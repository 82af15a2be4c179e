/* SPDX-License-Identifier: Apache-2.0 */
/* INI files: every key is in a table, and everything else is an error with its line. */
#pragma once

#include <stdio.h>

#include "base/err.h"

/* One key. `context` is the table's; on failure, e says what is wrong with the value.
 *
 * A row with the key "" makes its section one that has a name, as in "[client NAME]": it
 * gets the name when such a section begins, and what the other rows get after that is
 * about it. Rows name the section without it. */
struct ini_row {
	const char *section, *key;
	int (*set)(void *context, const char *value, struct err *e);
};

/* Rows, with an entry without a key behind them. Without a context, what they say is
 * passed over. */
struct ini_table {
	const struct ini_row *rows;
	void *context;
};

/* Hears of every value that a row has taken, and of every section with a name that has
 * begun (key ""), in their order. */
struct ini_watch {
	void (*taken)(void *context, const char *section, const char *key,
		      const char *path, unsigned line);
	void *context;
};

/* Reads an open file, which stays the caller's, and hands each value to its row. `tables`
 * ends with an entry without rows. An error names the file as `path` has it, and the
 * line; the values before it have been set. */
must_check int ini_file_read(FILE *file, const char *path, const struct ini_table *tables,
			     struct err *e);

/* The same, watched. Without a watch, nobody hears. */
must_check int ini_file_read_watched(FILE *file, const char *path,
				     const struct ini_table *tables,
				     const struct ini_watch *watch, struct err *e);
