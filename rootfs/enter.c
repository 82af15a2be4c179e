/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

enum { LAYERS_MAX = 16 }; /* that lie on each other at "/" */

/*
 * What pivot_root(2) does, but for one thing: it also goes through all processes there
 * are, with the lock held that fork and exit wait for, to move those whose root is the
 * old one. In a mount namespace of our own there is none but ourselves. Beside a thousand
 * sandboxes that was a quarter of a start.
 *
 * Below every root is the kernel's own first mount, empty since the boot, which nobody
 * can detach. What lies on it is detached, and the new root is attached in its stead:
 * how an initramfs hands over to the root that it has mounted.
 */

/* What is detached from a shared mount is detached from all of its peers: the host's root
 * from the host. Whether the mount that "/" lies on is one can be neither seen nor
 * changed, but pivot_root(2) looks at that, and then finds that nothing would move. */
static bool is_detachable(void)
{
	return sys_pivot_root("/", "/") < 0 && errno == EBUSY;
}

/* Detaches what lies topmost at "/"; what is topmost then becomes the root. 1, or 0 where
 * that is the first mount of all. */
static int detach_topmost(int self, struct err *e)
{
	int r = tree_make_all_private(e);

	if (r < 0)
		return r;
	/* lint: in a namespace of our own */
	if (!is_detachable() || umount2("/", MNT_DETACH) < 0)
		return errno == EINVAL ? 0 : err_set(e, errno, "detach the root");
	if (setns(self, CLONE_NEWNS) < 0)
		return err_set(e, errno, "go to what is below the root");
	return 1;
}

static int detach_all(struct err *e)
{
	auto_fd self = pidfd_open(getpid(), 0);

	if (self < 0)
		return err_set(e, errno, "open our own process");
	for (int i = 0; i < LAYERS_MAX; i++) {
		int r = detach_topmost(self, e);

		if (r == 0 && i == 0)
			return err_say(
				e, EINVAL,
				"the host's root cannot be detached: it is that of "
				"its initramfs, or lies on a shared mount");
		if (r <= 0)
			return r;
	}
	return err_say(e, ELOOP, "more than %d mounts lie on each other at /",
		       LAYERS_MAX);
}

int rootfs_enter(int tree, struct err *e)
{
	int r = detach_all(e);

	if (r < 0)
		return r;
	if (fchdir(tree) < 0)
		return err_set(e, errno, "enter the new root");
	/* lint: in a namespace of our own */
	if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(e, errno, "attach the new root");
	if (chroot(".") < 0 || chdir("/") < 0)
		return err_set(e, errno, "make the new root ours");
	return 0;
}
