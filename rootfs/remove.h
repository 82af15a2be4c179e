/* SPDX-License-Identifier: Apache-2.0 */
/* Removing trees of any depth, whoever has made them. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* What was removed with a tree. */
struct removed {
	uint64_t files; /* of any kind, directories too */
	uint64_t bytes; /* of regular files whose last name it was */
};

/* Removes `name` beneath dirfd, whatever it is; nothing is no error. Links are removed
 * and not followed. Takes two descriptors and no recursion however deep a tree is: what
 * lies deeper is moved up into `trash`, a directory of the caller's on the same file
 * system, and removed there (E-41). `removed` may be NULL. */
must_check int remove_tree(int dirfd, const char *name, int trash,
			   struct removed *removed, struct err *e);

/* Removes all that is in the directory, but for `keep` (NULL: nothing is kept); it is its
 * own trash. */
must_check int remove_content(int dirfd, const char *keep, struct removed *removed,
			      struct err *e);
