/* SPDX-License-Identifier: Apache-2.0 */
/* Places to write: the tmpfs that the user asked for, and the default ones. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "rootfs/rootfs.h"

/*
 * A tmpfs that was asked for is a file system of its own. The default ones are
 * directories of the skeleton, each with a mount of its own, because what costs is the
 * file system. Each has a shrinker, and a memory cgroup has a word for every shrinker of
 * the host; and when a cgroup goes, it is looked for in two lists of every file system
 * there is.
 */

/* An inode for each page, but at least so many. The kernel's own default is one for each
 * page of all memory (E-50). */
#define SCRATCH_INODES_MIN 1024

/* What the default ones may hold together, in bytes. */
uint64_t scratch_size(const struct rootfs_plan *plan);

/* Makes the directories of the default ones in `dir`, named by their place in the plan.
 */
must_check int scratch_fill(int dir, const struct rootfs_plan *plan,
			    const struct rootfs_owner *owner, struct err *e);

/* The detached mount of the tmpfs that plan->mounts[index] is: of a directory in `dir`,
 * which scratch_fill() has filled, or of a new file system. */
must_check int scratch_mount(int dir, const struct rootfs_plan *plan, unsigned index,
			     const struct rootfs_owner *owner, int *ret_tree,
			     struct err *e);
