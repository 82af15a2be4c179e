/* SPDX-License-Identifier: Apache-2.0 */
/* The tmpfs that holds everything made up: mount points, /etc, /dev, covers. */
#pragma once

#include "base/err.h"
#include "rootfs/rootfs.h"

/* Descriptors into the skeleton, all O_PATH. It looks like this:
 *
 *	root/	the future root directory: mount points, links, /etc
 *	dev/	device nodes, for a mount of its own that allows them
 *	cover/	dir/ and file, empty, and sys/, the few sysctls that programs read
 *	scratch/ what the default tmpfs show, the one part that is written to inside
 *	stage/	where trees are attached for the time of building
 */
struct skeleton {
	int mount; /* the tmpfs itself */
	int lifted; /* a detached clone of that */
	int root;
	int dev;
	int cover;
	int scratch;
	int stage;
	int proc; /* not part of it: the future /proc, attached nowhere yet */
};

#define SKELETON_NONE ((struct skeleton){ -1, -1, -1, -1, -1, -1, -1, -1 })

/* Makes the future /proc, of the calling process's pid namespace. Makes and fills the
 * skeleton and attaches it over /usr of the calling process's mount
 * namespace. Whoever needs the host's /usr must have opened it before. */
must_check int skeleton_make(const struct rootfs_plan *plan,
			     const struct rootfs_sources *sources,
			     const struct rootfs_owner *owner, struct skeleton *ret,
			     struct err *e);

/* The skeleton goes with the host's tree. skeleton_lift(), before, keeps a detached
 * clone, and skeleton_settle() attaches that to /sys of `root`, the new root directory of
 * the calling process, and opens its parts there. */
must_check int skeleton_lift(struct skeleton *s, struct err *e);
must_check int skeleton_settle(struct skeleton *s, int root, struct err *e);

/* Detaches it from there; what has been cloned from it stays. Leaves the calling process
 * in "/". Nothing must lie on /sys by then, which no plan allows: it would be detached in
 * its stead. */
must_check int skeleton_detach(const struct skeleton *s, struct err *e);

/* Closes the descriptors; what has been cloned from the skeleton stays. */
void skeleton_close(struct skeleton *s);

/* Small steps of filling a directory, shared by those who fill it. */
must_check int skeleton_dir(int dirfd, const char *name, mode_t mode, struct err *e);
must_check int skeleton_file(int dirfd, const char *name, const char *content,
			     struct err *e);
must_check int skeleton_link(int dirfd, const char *name, const char *target,
			     struct err *e);

/* Makes the directories of an absolute path below dirfd, and its last part as a directory
 * or an empty file. What exists stays. Does not follow symbolic links. */
must_check int skeleton_path(int dirfd, const char *path, bool directory, struct err *e);

/* Fills dev/. */
must_check int dev_fill(int dir, struct err *e);

/* Fills cover/ with what `proc` says. */
must_check int proc_fill_cover(int proc, int dir, struct err *e);

/* Fills root/etc: names, hosts and the like, for a rootfs without its own (`whole`) or
 * only what belongs to this sandbox rather than to an image. */
must_check int etc_fill(int dir, const struct rootfs_plan *plan,
			const struct rootfs_owner *owner, bool whole, struct err *e);
