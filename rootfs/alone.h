/* SPDX-License-Identifier: Apache-2.0 */
/* A process that sees one directory and nothing else of the host's files. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Clones the mount of a directory, without what is mounted below: a detached tree in
 * which no set-id bits, devices or programs work. To be done in the mount namespace that
 * the directory is in. */
must_check int rootfs_alone_tree(int dir, bool read_only, int *ret_tree, struct err *e);

/* Makes such a tree the root directory of the calling process, which must have a mount
 * namespace of its own. `shown` (−1: none), another such tree, is attached to `shown_at`
 * in it. Descriptors of directories of the host's that are still open lead out of it:
 * they must not stay. */
must_check int rootfs_alone(int tree, int shown, const char *shown_at, struct err *e);
