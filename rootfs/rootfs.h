/* SPDX-License-Identifier: Apache-2.0 */
/* The door of rootfs/: what a sandbox sees as its files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/userns.h"
#include "rootfs/alone.h"
#include "rootfs/remove.h"
#include "rootfs/store.h"
#include "rootfs/unpack.h"

/*
 * Theory of operation
 *
 *	rootfs_plan_*	decide what is mounted where			(pure)
 *	rootfs_open	open what comes from the host, as detached trees	(carrel)
 *	rootfs_build	put it together in a mount namespace of its own	(child),
 *			letting go of the host's on the way
 *
 * Every mount is a descriptor until it is attached, and is attached onto a descriptor.
 * No privileged call resolves a path through a directory that a payload can write, and
 * nothing is ever mounted in the host's namespace.
 *
 * The store (store.h) has root directories by name. What fills it, from archives of
 * strangers (unpack.h), is a program of its own.
 *
 * One tmpfs, the skeleton, holds all that is made up: mount points, /etc, device
 * nodes, and the empty files and directories that cover what /proc should not show. What
 * comes from the host's system directories goes through a read-only overlay: a superblock
 * of its own, so that file locks, leases and watches do not meet those of the host or of
 * other sandboxes (E-27).
 */

enum {
	ROOTFS_MOUNTS_MAX = 48, /* volumes and tmpfs of one sandbox */
	ROOTFS_TARGET_MAX = 1024, /* bytes of a mount point's path with its NUL */
};

#define ROOTFS_TMPFS_SIZE (64ull << 20) /* that a tmpfs adds unless asked for, bytes */
#define ROOTFS_WORKSPACE  "/workspace"
#define ROOTFS_HOME       "/home/user"

enum rootfs_mount_type {
	ROOTFS_TMPFS,
	ROOTFS_VOLUME,
	ROOTFS_MOUNT_TYPE_MAX,
};

/* One mount that the user decides about. */
struct rootfs_mount {
	enum rootfs_mount_type type;
	const char *source; /* volume: path on the host */
	int source_fd; /* volume: opened already, O_PATH; 0: by its path */
	const char *target; /* mount point inside */
	uint64_t size; /* tmpfs: bytes */
	mode_t mode; /* tmpfs: of its root */
	bool owned; /* tmpfs: belongs to the user, otherwise to root */
	bool read_only; /* volume */
	bool no_exec;
	/* Gives way to another mount on the same target. A tmpfs has no file system of
	 * its own: all default ones are on one, as large as all of them. */
	bool by_default;
	bool workspace; /* volume: named by --workspace */
};

/* Who the files belong to: ids inside, and the host's ids behind them. */
struct rootfs_owner {
	uid_t uid;
	gid_t gid;
	uint32_t id_base; /* first host id of the sandbox's range */
	uint32_t host_uid; /* of uid: id_base + uid, or see rootfs_sources.direct */
	uint32_t host_gid;
};

/* What the sandbox will see. Strings belong to the caller. */
struct rootfs_plan {
	/* With a "/": a directory on the host; otherwise a name in the store. NULL: the
	 * host's own /usr. */
	const char *rootfs;
	const char *store; /* directory of the store; NULL: STORE_DIR */
	const char *hostname; /* for /etc/hostname and /etc/hosts */
	const char *resolv_conf; /* the text of /etc/resolv.conf */
	struct rootfs_mount mounts[ROOTFS_MOUNTS_MAX];
	unsigned count;
};

/* An opened source on the host. */
struct rootfs_source {
	int tree; /* detached mount; −1: none */
	bool directory; /* or a regular file */
};

/* All that the child needs of the host, opened. */
struct rootfs_sources {
	struct rootfs_source rootfs;
	int lock; /* keeps a rootfs of the store from being removed; −1: none */
	struct rootfs_source volumes[ROOTFS_MOUNTS_MAX]; /* by index in the plan */
	int pts; /* devpts instance, detached */
	/* A volume is on a file system that cannot be id-mapped: the host ids of the
	 * sandbox's user are then those of its owner. */
	bool direct;
};

/* An empty plan with the default tmpfs: /tmp, /run, /dev/shm and the home directory. */
void rootfs_plan_init(struct rootfs_plan *plan);

/* Adds SRC:DST[:ro] or [:rw]. The text is cut in place and must outlive the plan. */
must_check int rootfs_plan_volume(struct rootfs_plan *plan, char *text, struct err *e);

/* Adds `directory` at /workspace. */
must_check int rootfs_plan_workspace(struct rootfs_plan *plan, const char *directory,
				     struct err *e);

/* Adds a default tmpfs at `target`, where nothing is mounted yet, for everybody to write
 * to. There must be room for it in the plan. */
void rootfs_plan_scratch(struct rootfs_plan *plan, const char *target);

/* Adds DST[:size=SIZE], replacing a default one. The text is cut in place and must
 * outlive the plan. */
must_check int rootfs_plan_tmpfs(struct rootfs_plan *plan, char *text, struct err *e);

/* Checks the plan as a whole and sorts it: parents before what is mounted below them. */
must_check int rootfs_plan_finish(struct rootfs_plan *plan, struct err *e);

/* Opens the sources with the caller's rights. No path may be or pass through a symbolic
 * link. Volumes are id-mapped: what the sandbox's user writes belongs on disk to the
 * owner of the volume's directory. Fills owner->host_uid and host_gid from the rest of
 * *owner. *ret is for rootfs_close(). */
must_check int rootfs_open(const struct rootfs_plan *plan, struct rootfs_owner *owner,
			   struct rootfs_sources *ret, struct err *e);
void rootfs_close(struct rootfs_sources *sources);

/* Builds the tree in the calling process's mount namespace, which must be private to it,
 * as the host's root, inside the sandbox's pid namespace, and makes it the root
 * directory. Nothing of the host's is mounted any more before the first volume is
 * attached. Must not be called in the host's mount namespace. */
must_check int rootfs_build(const struct rootfs_plan *plan,
			    struct rootfs_sources *sources,
			    const struct rootfs_owner *owner, struct err *e);

/* Makes a detached tree the root of the calling process's mount namespace, which must be
 * private to it, and its root and working directory. Nothing else stays mounted there.
 * Must not be called in the host's mount namespace, which would lose all that it has.
 * −EINVAL: the host runs from its initramfs, which cannot be detached, or its root lies
 * on a mount that is shared. */
must_check int rootfs_enter(int tree, struct err *e);
