/* SPDX-License-Identifier: Apache-2.0 */
/* Detached mounts: made, cloned, given their flags and attached, all by descriptor. */
#pragma once

#include <stdint.h>
#include <sys/mount.h>

#include "base/err.h"

/* The flags of everything that is mounted; what is less says so where it is made. */
#define TREE_INERT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
#define TREE_FILES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* One mount option; value NULL for a flag. */
struct tree_option {
	const char *key, *value;
};

/* Makes a new superblock of the type and a detached mount of it. Options end with a NULL
 * key. The error carries the kernel's own message where it left one. */
must_check int tree_make(const char *type, const struct tree_option *options,
			 uint64_t attrs, int *ret_tree, struct err *e);

/* Clones the mount of what `name` beneath dirfd is ("" for dirfd itself). Symbolic links
 * are not followed. Mounts below it are not taken along. */
must_check int tree_clone(int dirfd, const char *name, int *ret_tree, struct err *e);

/* Cuts a clone off from the mounts it was cloned from: what is attached below one of them
 * does not appear below the others. Must be done to every clone of a mount of the host's
 * before it is attached (E-11). */
must_check int tree_make_private(int tree, struct err *e);

/* The same for every mount that is seen from "/": nothing that is mounted in this
 * namespace, or taken away, reaches the host from here on, or the other way round. */
must_check int tree_make_all_private(struct err *e);

/* Sets and clears flags of a mount, attached or not. */
must_check int tree_set(int tree, uint64_t set, uint64_t clear, struct err *e);

/* Attaches a detached mount to `name` beneath dirfd ("" for dirfd itself), without
 * following a symbolic link. */
must_check int tree_attach(int tree, int dirfd, const char *name, struct err *e);

/* Makes the read-only overlay of two directories, `upper` in front of `lower`; both must
 * be in the calling process's mount namespace. */
must_check int tree_overlay(int upper, int lower, int *ret_tree, struct err *e);
