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

/* A directory of the host that is shown. */
struct host_dir {
	int dir; /* itself, opened in this mount namespace: what an overlay asks for */
	int overlay; /* of it; −1: it is part of the overlay of / */
	int shown; /* the same directory as an overlay has it; −1 for / */
};

struct host_view {
	struct host_dir top, usr, etc;
};

#define HOST_VIEW_NONE \
	((struct host_view){ { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 } })

static void close_host_view(struct host_view *v)
{
	struct host_dir *const dirs[] = { &v->top, &v->usr, &v->etc };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		fd_close(&dirs[i]->dir);
		fd_close(&dirs[i]->overlay);
		fd_close(&dirs[i]->shown);
	}
}

static int open_host_dir(const char *path, int *ret, struct err *e)
{
	*ret = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (*ret < 0)
		return err_set(e, errno, "open %s", path);
	return 0;
}

/* Before anything is attached over them. */
static int open_host_dirs(struct host_view *v, struct err *e)
{
	int r = open_host_dir("/", &v->top.dir, e);

	if (r == 0)
		r = open_host_dir("/usr", &v->usr.dir, e);
	if (r == 0)
		r = open_host_dir("/etc", &v->etc.dir, e);
	return r;
}

static int mount_id(int fd, uint64_t *ret, struct err *e)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return err_set(e, errno, "look at a directory of the host");
	*ret = sx.stx_mnt_id;
	return 0;
}

static int overlay_dir(struct host_dir *d, int empty, struct err *e)
{
	int r = tree_overlay(d->dir, empty, &d->overlay, e);

	return r == 0 ? open_below(d->overlay, "/", &d->shown, e) : r;
}

/* /NAME is part of the overlay of /, unless something else is mounted there: each overlay
 * costs an RCU grace period when it goes. */
static int overlay_part(const struct host_dir *top, const char *name, struct host_dir *d,
			int empty, struct err *e)
{
	uint64_t top_id = 0, id = 0;
	int r = mount_id(top->dir, &top_id, e);

	if (r == 0)
		r = mount_id(d->dir, &id, e);
	if (r == 0)
		r = id == top_id ? open_below(top->overlay, name, &d->shown, e)
				 : overlay_dir(d, empty, e);
	return r < 0 ? err_wrap(e, "show the host's /%s", name) : 0;
}

static int overlay_host(const struct skeleton *s, struct host_view *v, struct err *e)
{
	auto_fd empty = -1;
	int r = open_below(s->cover, "dir", &empty, e);

	if (r == 0 && tree_overlay(v->top.dir, empty, &v->top.overlay, e) < 0)
		r = err_wrap(e, "show the host's /");
	if (r == 0)
		r = overlay_part(&v->top, "usr", &v->usr, empty, e);
	if (r == 0)
		r = overlay_part(&v->top, "etc", &v->etc, empty, e);
	return r;
}

/* Only of what is attached can parts be cloned. */
static int stage_overlay(const struct skeleton *s, const char *name,
			 const struct host_dir *d, struct err *e)
{
	int r;

	if (d->overlay < 0)
		return 0;
	r = skeleton_dir(s->stage, name, 0755, e);
	return r == 0 ? tree_attach(d->overlay, s->stage, name, e) : r;
}

/* Attaches the host's /usr and parts of its /etc. */
static int show_host(const struct skeleton *s, const struct host_view *v, int root,
		     struct err *e)
{
	auto_fd usr = -1, etc = -1;
	int r = stage_overlay(s, "host", &v->top, e);

	if (r == 0)
		r = stage_overlay(s, "usr", &v->usr, e);
	if (r == 0)
		r = stage_overlay(s, "etc", &v->etc, e);
	if (r == 0)
		r = tree_clone(v->usr.shown, "", &usr, e);
	if (r == 0)
		r = tree_attach(usr, root, "usr", e);
	if (r == 0)
		r = open_below(root, "etc", &etc, e);
	if (r == 0)
		r = etc_show_host(v->etc.dir, v->etc.shown, etc, e);
	return r;
}

/* The given directory with root/ of the skeleton laid over it: every mount point is
 * there without a single write to the directory. */
static int overlay_rootfs(const struct skeleton *s, struct rootfs_source *source,
			  int *ret_root, struct err *e)
{
	int r = skeleton_dir(s->stage, "lower", 0755, e);

	if (r == 0)
		r = tree_attach(source->tree, s->stage, "lower", e);
	if (r == 0)
		r = tree_overlay(s->root, source->tree, ret_root, e);
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

/* Makes what takes the host's tree to be there, and leaves that. */
static int leave_host(const struct rootfs_plan *plan, struct rootfs_sources *sources,
		      const struct rootfs_owner *owner, struct host_view *v,
		      struct skeleton *s, int *root, struct err *e)
{
	int r = tree_make_all_private(e);

	if (r == 0)
		r = open_host_dirs(v, e);
	if (r == 0)
		r = skeleton_make(plan, sources, owner, s, e);
	if (r == 0 && plan->rootfs)
		r = overlay_rootfs(s, &sources->rootfs, root, e);
	if (r == 0 && !plan->rootfs)
		r = overlay_host(s, v, e);
	if (r == 0 && !plan->rootfs)
		r = tree_clone(s->root, "", root, e);
	if (r == 0)
		r = skeleton_lift(s, e);
	if (r == 0)
		r = rootfs_enter(*root, e);
	return r == 0 ? skeleton_settle(s, *root, e) : r;
}

static int furnish(const struct rootfs_plan *plan, struct rootfs_sources *sources,
		   const struct rootfs_owner *owner, const struct host_view *v,
		   const struct skeleton *s, int root, struct err *e)
{
	int r = plan->rootfs ? 0 : show_host(s, v, root, e);

	/* Nothing is made up from here on; what is cloned from now on is read-only too.
	 */
	if (r == 0)
		r = tree_set(s->mount, MOUNT_ATTR_RDONLY, 0, e);
	if (r == 0)
		r = tree_set(root, MOUNT_ATTR_RDONLY, 0, e);
	if (r == 0)
		r = proc_attach(s->proc, root, s->cover, e);
	if (r == 0)
		r = attach_dev(s, sources->pts, root, e);
	if (r == 0)
		r = attach_mounts(plan, sources, owner, s->scratch, root, e);
	return r;
}

int rootfs_build(const struct rootfs_plan *plan, struct rootfs_sources *sources,
		 const struct rootfs_owner *owner, struct err *e)
{
	struct skeleton s = SKELETON_NONE;
	struct host_view view = HOST_VIEW_NONE;
	auto_fd root = -1;
	int r = leave_host(plan, sources, owner, &view, &s, &root, e);

	if (r == 0)
		r = furnish(plan, sources, owner, &view, &s, root, e);
	if (r == 0)
		r = skeleton_detach(&s, e);
	close_host_view(&view);
	skeleton_close(&s);
	return r;
}
