/* SPDX-License-Identifier: Apache-2.0 */
/* Making the files that an archive or a directory has, beneath one directory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "rootfs/remove.h"

/*
 * Theory of operation
 *
 * An image is a stranger's. What it has is made by a process that has no capability and
 * whose root directory is that of the import (rootfs_alone()), and here once more by
 * descriptor: each path is taken apart, its parent is opened with openat2() and may not
 * leave the tree, and the last part is made with a call that follows no link.
 *
 * Links in the middle of a path are followed inside the tree, as if it were the root:
 * layers rely on that ("lib/x" after "lib -> usr/lib").
 *
 * Everything belongs to whoever unpacks: a sandbox sees the owner of all files of its
 * rootfs as nobody, so other ids would mean nothing to it. So the owner's bits mean
 * nothing either, and he may always read, write and enter. There are no set-id bits,
 * attributes or access lists, and nothing but directories, regular files and links.
 */

/* How much may be made: what is read of an archive counts, whether it is kept or not. */
struct unpack_limits {
	uint64_t bytes; /* in regular files; a hole counts as what it stands for */
	uint64_t files; /* of any kind */
};

/* What is there so far, and what was left out. */
struct unpack_counts {
	uint64_t bytes, files;
	uint64_t devices; /* device nodes */
	uint64_t specials; /* FIFOs, sockets and what nobody knows */
	uint64_t unreadable; /* of a directory that was copied */
};

/* One tree under construction. */
struct unpack {
	int root; /* descriptor of its root directory */
	int trash; /* of an empty directory beside it */
	struct unpack_limits limits;
	struct unpack_counts counts;
	uint64_t seen_bytes, seen_files; /* against the limits: never less again */
};

/* What an entry is, besides its path. */
struct unpack_meta {
	mode_t mode; /* with its type */
	struct timespec mtime;
	uint64_t size; /* of a regular file */
};

/* A regular file while its content is written. */
struct unpack_file {
	int fd; /* −1: none */
	uint64_t size;
	struct timespec mtime;
};

/* Counts one more entry of the archive, with as many bytes of content. −E2BIG: that is
 * more than may be. Must be called once for each, before it is made or left out. */
must_check int unpack_admit(struct unpack *u, uint64_t bytes, struct err *e);

/* Each makes one entry, with its parents where they are missing, in place of what had the
 * name before; a directory stays when it is to be one. Paths are as in the archive. */
must_check int unpack_directory(struct unpack *u, const char *path,
				const struct unpack_meta *meta, struct err *e);
must_check int unpack_symlink(struct unpack *u, const char *path, const char *target,
			      struct err *e);
must_check int unpack_hardlink(struct unpack *u, const char *path, const char *target,
			       struct err *e);

/* *ret is for unpack_close(). */
must_check int unpack_open(struct unpack *u, const char *path,
			   const struct unpack_meta *meta, struct unpack_file *ret,
			   struct err *e);

/* Writes a part of the content; what lies between parts is a hole. −EFBIG beyond the size
 * that was told. */
must_check int unpack_write(struct unpack_file *f, const void *data, size_t size,
			    uint64_t offset, struct err *e);

/* Gives the file its size and time, and closes it. */
must_check int unpack_close(struct unpack_file *f, struct err *e);

/* Leaves an entry out that is none of these, and counts it. */
void unpack_leave_out(struct unpack *u, mode_t mode);

/* In a layer, is it an entry like another, and not one that removes something? */
must_check int unpack_is_plain(const char *path, bool *ret, struct err *e);

/* Does what the entry does to the layers below: nothing, if it is plain. */
must_check int unpack_whiteout(struct unpack *u, const char *path, struct err *e);
