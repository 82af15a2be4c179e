/* SPDX-License-Identifier: Apache-2.0 */
/* Putting the tree together, in the order in which things come to lie on each other. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "rootfs/etc.h"
#include "rootfs/proc.h"
#include "rootfs/rootfs.h"
#include "rootfs/scratch.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

static int open_below(int dirfd, const char *path, int *ret, struct err *e)
{
	/* Not with O_NOFOLLOW, which would open a link at the end of the path itself. */
	*ret = sys_openat2(dirfd, path, O_PATH,
			   RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (*ret < 0 && errno == ELOOP)
		return err_say(e, ELOOP, "%s is or passes through a symbolic link", path);
	if (*ret < 0)
		return err_set(e, errno, "open %s", path);
	return 0;
}

/* Directories of the host, opened in this mount namespace: an overlay takes no layers
 * from another one. */
struct host_dirs {
	int top, usr, etc;
};

static int open_host_dir(const char *path, int *ret, struct err *e)
{
	*ret = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (*ret < 0)
		return err_set(e, errno, "open %s", path);
	return 0;
}

static int open_host_dirs(struct host_dirs *ret, struct err *e)
{
	int r = open_host_dir("/", &ret->top, e);

	if (r == 0)
		r = open_host_dir("/usr", &ret->usr, e);
	if (r == 0)
		r = open_host_dir("/etc", &ret->etc, e);
	return r;
}

static void close_host_dirs(struct host_dirs *host)
{
	fd_close(&host->top);
	fd_close(&host->usr);
	fd_close(&host->etc);
}

/* A read-only overlay of a directory of the host, attached to stage/NAME. */
static int stage_host_dir(const struct skeleton *s, const char *name, int lower,
			  int empty, int *ret, struct err *e)
{
	int r = tree_overlay(lower, empty, ret, e);

	if (r == 0)
		r = skeleton_dir(s->stage, name, 0755, e);
	if (r == 0)
		r = tree_attach(*ret, s->stage, name, e);
	if (r < 0)
		return err_wrap(e, "show the host's /%s", name);
	return 0;
}

static int mount_id(int fd, uint64_t *ret, struct err *e)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return err_set(e, errno, "look at a directory of the host");
	*ret = sx.stx_mnt_id;
	return 0;
}

/* What an overlay shows of /NAME, which `dir` is: of `overlay`, which is one of /, unless
 * something else is mounted there. Each overlay costs an RCU grace period when it goes.
 */
static int show_host_dir(const struct skeleton *s, const struct host_dirs *host,
			 const char *name, int dir, int overlay, int *ret, struct err *e)
{
	uint64_t top_id = 0, id = 0;
	auto_fd empty = -1;
	int r = mount_id(host->top, &top_id, e);

	if (r == 0)
		r = mount_id(dir, &id, e);
	if (r == 0 && id == top_id)
		return open_below(overlay, name, ret, e);
	if (r == 0)
		r = open_below(s->cover, "dir", &empty, e);
	if (r == 0)
		r = stage_host_dir(s, name, dir, empty, ret, e);
	return r;
}

/* root/ of the skeleton with the host's /usr and parts of its /etc on it. */
static int build_host_root(const struct skeleton *s, const struct host_dirs *host,
			   int *ret_root, struct err *e)
{
	auto_fd top = -1, usr = -1, etc = -1, empty = -1, usr_tree = -1, new_etc = -1;
	int r = open_below(s->cover, "dir", &empty, e);

	if (r == 0)
		r = stage_host_dir(s, "host", host->top, empty, &top, e);
	if (r == 0)
		r = show_host_dir(s, host, "usr", host->usr, top, &usr, e);
	if (r == 0)
		r = show_host_dir(s, host, "etc", host->etc, top, &etc, e);
	if (r == 0)
		r = tree_clone(s->root, "", ret_root, e);
	if (r == 0)
		r = skeleton_dir(s->stage, "root", 0755, e);
	if (r == 0)
		r = tree_attach(*ret_root, s->stage, "root", e);
	if (r == 0)
		r = tree_clone(usr, "", &usr_tree, e);
	if (r == 0)
		r = tree_attach(usr_tree, *ret_root, "usr", e);
	if (r == 0)
		r = open_below(*ret_root, "etc", &new_etc, e);
	if (r == 0)
		r = etc_show_host(host->etc, etc, new_etc, e);
	return r;
}

/* The given directory with root/ of the skeleton laid over it: every mount point is
 * there without a single write to the directory. */
static int build_dir_root(const struct skeleton *s, struct rootfs_source *source,
			  int *ret_root, struct err *e)
{
	int r = skeleton_dir(s->stage, "lower", 0755, e);

	if (r == 0)
		r = skeleton_dir(s->stage, "root", 0755, e);
	if (r == 0)
		r = tree_attach(source->tree, s->stage, "lower", e);
	if (r == 0)
		r = tree_overlay(s->root, source->tree, ret_root, e);
	if (r == 0)
		r = tree_attach(*ret_root, s->stage, "root", e);
	return r;
}

static int attach_dev(const struct skeleton *s, int pts, int root, struct err *e)
{
	auto_fd dev = -1;
	int r = tree_clone(s->dev, "", &dev, e);

	/* The only files inside that are devices, and nothing else can be one. */
	if (r == 0)
		r = tree_set(dev, 0, MOUNT_ATTR_NODEV, e);
	if (r == 0)
		r = tree_attach(dev, root, "dev", e);
	if (r == 0)
		r = tree_attach(pts, root, "dev/pts", e);
	return r;
}

/* Attaches what the user asked for, parents first. By then the workspace may be among
 * what a path passes through: links are refused, and nothing is created (E-02). */
static int attach_mounts(const struct rootfs_plan *plan, struct rootfs_sources *sources,
			 const struct rootfs_owner *owner, int scratch, int root,
			 struct err *e)
{
	for (unsigned i = 0; i < plan->count; i++) {
		const struct rootfs_mount *m = &plan->mounts[i];
		int *tree = &sources->volumes[i].tree, r = 0;
		auto_fd target = -1;

		if (m->type == ROOTFS_TMPFS)
			r = scratch_mount(scratch, plan, i, owner, tree, e);
		if (r == 0)
			r = open_below(root, m->target, &target, e);
		if (r == 0)
			r = tree_attach(*tree, target, "", e);
		if (r < 0)
			return err_wrap(e, "mount on %s", m->target);
	}
	return 0;
}

static int build(const struct rootfs_plan *plan, struct rootfs_sources *sources,
		 const struct rootfs_owner *owner, const struct host_dirs *host,
		 struct skeleton *s, int *root, struct err *e)
{
	int r = skeleton_make(plan, sources, owner, s, e);

	if (r == 0 && plan->rootfs)
		r = build_dir_root(s, &sources->rootfs, root, e);
	if (r == 0 && !plan->rootfs)
		r = build_host_root(s, host, root, e);
	if (r < 0)
		return r;
	/* Nothing is made up from here on; what is cloned from now on is read-only too.
	 */
	r = tree_set(s->mount, MOUNT_ATTR_RDONLY, 0, e);
	if (r == 0 && !plan->rootfs)
		r = tree_set(*root, MOUNT_ATTR_RDONLY, 0, e);
	if (r == 0)
		r = proc_attach(s->proc, *root, s->cover, e);
	if (r == 0)
		r = attach_dev(s, sources->pts, *root, e);
	if (r == 0)
		r = attach_mounts(plan, sources, owner, s->scratch, *root, e);
	return r;
}

int rootfs_build(const struct rootfs_plan *plan, struct rootfs_sources *sources,
		 const struct rootfs_owner *owner, int *ret_root, struct err *e)
{
	struct skeleton s = SKELETON_NONE;
	struct host_dirs host = { -1, -1, -1 };
	auto_fd root = -1;
	int r = tree_make_all_private(e);

	if (r == 0)
		r = open_host_dirs(&host, e);
	if (r == 0)
		r = build(plan, sources, owner, &host, &s, &root, e);
	/* What is on it has had to be attached, and it with it, to the host's tree. */
	if (r == 0)
		r = tree_clone_whole(root, ret_root, e);
	close_host_dirs(&host);
	skeleton_close(&s);
	return r;
}
