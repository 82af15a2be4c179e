/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
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

static int detach_all(struct err *e)
{
	auto_fd self = pidfd_open(getpid(), 0);

	if (self < 0)
		return err_set(e, errno, "open our own process");
	for (int i = 0; i < LAYERS_MAX; i++) {
		int r = tree_make_all_private(e);

		if (r < 0)
			return r;
		/* lint: in a namespace of our own */
		if (umount2("/", MNT_DETACH) < 0) {
			/* With nothing detached before, the host's root is that mount. */
			return errno == EINVAL && i > 0
				       ? 0
				       : err_set(e, errno, "detach the host's root");
		}
		/* What is topmost now becomes our root. */
		if (setns(self, CLONE_NEWNS) < 0)
			return err_set(e, errno, "go to what is below the root");
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
