/* SPDX-License-Identifier: Apache-2.0 */
/* carrel-rootfs: the parts of the program that `carrel rootfs` runs. */
#pragma once

#include <sha2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/rootfs.h"
#include "tools/about.h"

/*
 * Theory of operation
 *
 *	carrel-rootfs (root; looks after the store, reads nothing of an image)
 *	  └─ child	unpacks; sees the import's directory and the source alone
 *
 * The child has mount, pid, network, IPC, UTS and cgroup namespaces of its own, the
 * directory of the import as its root, no capability, and a system call filter. What it
 * has to say is one struct and a JSON text of bounded size. As soon as there is a child,
 * the parent gives its own capabilities up as well: files of root's are all it has to do
 * with from then on.
 *
 * In that directory, ROOT is what will be the rootfs; TRASH is for trees that are removed
 * while that is made; SOURCE shows a directory that is imported; IMAGE is what ROOT was
 * before its content turned out to be an image's layers.
 */

#define IMPORT_ROOT   "root"
#define IMPORT_TRASH  "trash"
#define IMPORT_SOURCE "source"
#define IMPORT_IMAGE  "image"

/* What the options say. */
struct rootfs_args {
	const char *config_path, *store;
	bool help, json, quiet, replace;
	struct unpack_limits limits;
};

/* --- carrel-rootfs_import.c */

/* Imports `source` (a path, or "-" for standard input) into the store at `path` as
 * `name`. *ret_signal: a signal ended it, and nothing is left. *ret is for about_free().
 */
must_check int import(const char *path, const struct rootfs_args *a, const char *name,
		      const char *source, struct about *ret, int *ret_signal,
		      struct err *e);

/* --- carrel-rootfs_child.c */

/* What the child is to do. */
struct child_order {
	int tree; /* of the import's directory, with ROOT, TRASH and SOURCE in it */
	int lock; /* that says that it is under way: for as long as the child lives */
	int source; /* see rootfs_alone_tree() for trees */
	bool directory; /* `source` is a tree; otherwise a stream */
	struct unpack_limits limits;
};

/* Unpacks in a child, and gives this process's capabilities up. On failure all of
 * *ret is untouched. *ret_signal as above. */
must_check int child_unpack(const struct child_order *order, struct about *ret,
			    int *ret_signal, struct err *e);

/* --- carrel-rootfs_archive.c: in the child */

enum archive_pass {
	ARCHIVE_ALL, /* everything is made as it is */
	ARCHIVE_REMOVE, /* a layer: only what it does to the layers below */
	ARCHIVE_MAKE, /* a layer: what it adds */
};

/* Reads a tar archive, compressed or not, to the end of the stream, and says what the
 * stream's bytes were. */
must_check int archive_unpack(int stream, enum archive_pass pass, struct unpack *u,
			      char ret_digest[SHA256_DIGEST_STRING_LENGTH],
			      uint64_t *ret_size, struct err *e);

/* --- carrel-rootfs_copy.c: in the child */

/* Copies the directory, which is somebody's who may change it meanwhile. */
must_check int copy_directory(int source, struct unpack *u, struct err *e);

/* --- carrel-rootfs_image.c: in the child */

/* Is the content of the directory an image? ABOUT_DOCKER, ABOUT_OCI or ABOUT_UNKNOWN. */
enum about_source image_detect(int dir);

/* Unpacks its layers, one over the other, and says what it was. */
must_check int image_unpack(int dir, enum about_source kind, struct unpack *u,
			    struct about *ret, struct err *e);
