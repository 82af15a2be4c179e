/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the user names. */
#pragma once

#include <stdio.h>

#include "base/err.h"

/* Opens it for reading. The file may lie where somebody hostile can write: no link is
 * followed to a file that only we can read, and neither a FIFO nor an endless device is
 * waited for (E-40, E-42). −EFBIG above `max` bytes. */
must_check int user_file_open(const char *path, long max, FILE **ret, struct err *e);

/* Opens it so, and hands over line by line, each with its newline if it has one; `len`
 * is more than strlen() when a NUL byte is in it. The first error ends it, with file and
 * line. */
must_check int user_file_lines(const char *path, long max,
			       int (*take)(void *context, char *line, size_t len,
					   struct err *e),
			       void *context, struct err *e);
