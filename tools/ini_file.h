/* SPDX-License-Identifier: Apache-2.0 */
/* INI files: every key is in a table, and everything else is an error with its line. */
#pragma once

#include <stdio.h>

#include "base/err.h"

/* One key. `context` is the caller's; on failure, e says what is wrong with the value. */
struct ini_row {
	const char *section, *key;
	int (*set)(void *context, const char *value, struct err *e);
};

/* Reads an open file, which stays the caller's, and hands each value to its row. `tables`
 * is NULL-terminated; a table ends with an entry without a key. An error names the file
 * as `path` has it, and the line; the values before it have been set. */
must_check int ini_file_read(FILE *file, const char *path,
			     const struct ini_row *const *tables, void *context,
			     struct err *e);
