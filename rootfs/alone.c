/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "base/sys.h"
#include "rootfs/alone.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

static int make_private(struct err *e)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };

	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_set(e, errno, "make all mounts private");
	return 0;
}

int rootfs_alone_tree(int dir, bool read_only, int *ret_tree, struct err *e)
{
	auto_fd tree = -1;
	int r = tree_clone(dir, "", &tree, e);

	if (r == 0)
		r = tree_make_private(tree, e);
	if (r == 0)
		r = tree_set(tree, TREE_INERT | (read_only ? MOUNT_ATTR_RDONLY : 0), 0,
			     e);
	if (r == 0)
		*ret_tree = fd_take(&tree);
	return r;
}

int rootfs_alone(int tree, int shown, const char *shown_at, struct err *e)
{
	int r = make_private(e);

	/* lint: in a namespace of our own */
	if (r == 0 && move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = err_set(e, errno, "attach a root of its own");
	if (r == 0 && shown >= 0)
		r = tree_attach(shown, tree, shown_at, e);
	return r == 0 ? rootfs_enter(tree, e) : r;
}
