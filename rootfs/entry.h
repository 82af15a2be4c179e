/* SPDX-License-Identifier: Apache-2.0 */
/* What the names in an archive mean: bytes of a stranger in, a path that can be walked
 * out, no system call. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum {
	ENTRY_PATH_MAX = 4096, /* bytes of a path with its NUL */
	ENTRY_NAME_MAX = 255, /* bytes of one part */
	ENTRY_DEPTH_MAX = 256, /* parts */
};

/* What an entry of a layer does to what the layers below it have made. */
enum entry_whiteout {
	ENTRY_PLAIN, /* nothing: it is a file */
	ENTRY_WHITEOUT, /* ".wh.NAME" removes NAME */
	ENTRY_OPAQUE, /* ".wh..wh..opq" empties the directory that it is in */
	ENTRY_IGNORED, /* ".wh..wh.…": another storage driver's own business */
	ENTRY_WHITEOUT_MAX,
};

/* A path, taken apart. */
struct entry_path {
	char parent[ENTRY_PATH_MAX]; /* relative; "." for the root */
	char name[ENTRY_NAME_MAX + 1]; /* "": the root itself */
};

/* Takes a path as archives have it: relative to the root, whether it begins with "/" or
 * "./". −EINVAL for "..", −ENAMETOOLONG for what no file system holds, −E2BIG for more
 * than ENTRY_DEPTH_MAX parts. */
must_check int entry_path_parse(const char *text, struct entry_path *ret, struct err *e);

/* What it does if it is in a layer. For ENTRY_WHITEOUT, the path becomes that of what is
 * to be removed. −EINVAL if that is no name (E-40: neither the directory nor its parent
 * can be removed that way). */
must_check int entry_whiteout(struct entry_path *path, enum entry_whiteout *ret,
			      struct err *e);
