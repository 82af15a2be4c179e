/* SPDX-License-Identifier: Apache-2.0 */
/* Places to write: the tmpfs that the user asked for, and the default ones. */
#pragma once

#include "base/err.h"
#include "rootfs/rootfs.h"

/*
 * A tmpfs that was asked for is a file system of its own. The default ones are
 * directories of one file system, as large as all of them together, each with a mount of
 * its own: it is file systems that the kernel pays for. Each has a shrinker, and a memory
 * cgroup has a word for every shrinker of the host; when a sandbox goes, its cgroup is
 * looked for in the lists of every file system there is. With a thousand sandboxes, four
 * file systems less in each are 60 KiB less for each, and starts that are a sixth faster.
 */
struct scratch {
	int shared; /* root of the file system of the default ones; −1: none yet */
};

#define SCRATCH_NONE ((struct scratch){ -1 })

/* Makes the tmpfs that plan->mounts[index] is, detached. The first of the default ones
 * makes the file system of all of them, attached to `stage`/scratch while building. */
must_check int scratch_make(struct scratch *scratch, const struct rootfs_plan *plan,
			    unsigned index, const struct rootfs_owner *owner, int stage,
			    int *ret_tree, struct err *e);

/* Closes the descriptor; what has been made stays. */
void scratch_close(struct scratch *scratch);
