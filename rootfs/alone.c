/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mount.h>

#include "base/fd.h"
#include "rootfs/alone.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

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
	int r = rootfs_enter(tree, e);

	if (r == 0 && shown >= 0)
		r = tree_attach(shown, tree, shown_at, e);
	return r;
}
