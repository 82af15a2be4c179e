/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what comes from the host, with the rights and in the namespace of carrel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

#define NTFS3_MAGIC 0x7366746e /* fs/ntfs3/ntfs_fs.h */

#define PTS_MAX "256" /* of the 4096 that all of the host shares, kernel.pty.max */

enum { TTY_GID = 5 }; /* Debian's group tty, base-passwd */

/* Opens a directory or regular file. Refusing every symbolic link, also those in the
 * middle, leaves nothing to race with (E-02, E-40, E-49). */
static int open_source(const char *path, int *ret_fd, struct stat *ret_st, struct err *e)
{
	auto_fd fd = sys_openat2(AT_FDCWD, path, O_PATH,
				 RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_say(e, ELOOP, "%s is or passes through a symbolic link", path);
	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", path);
	*ret_fd = fd_take(&fd);
	*ret_st = st;
	return 0;
}

/* Of the store, the directory comes with a lock for as long as somebody needs it. */
static int find_rootfs(const struct rootfs_plan *plan, int *ret_dir, int *ret_lock,
		       struct err *e)
{
	struct stat st;

	if (strchr(plan->rootfs, '/'))
		return open_source(plan->rootfs, ret_dir, &st, e);
	return store_use(plan->store ? plan->store : STORE_DIR, plan->rootfs, ret_dir,
			 ret_lock, e);
}

static int open_rootfs(const struct rootfs_plan *plan, struct rootfs_source *ret,
		       int *ret_lock, struct err *e)
{
	/* If one of these is not a plain directory, somebody wants a mount to land
	 * elsewhere (E-01). */
	static const char *const places[] = { "proc", "dev", "sys", "etc", "tmp", "run" };
	const char *path = plan->rootfs;
	auto_fd dir = -1;
	struct stat st;
	int r = find_rootfs(plan, &dir, ret_lock, e);

	if (r < 0)
		return r;
	if (fstat(dir, &st) < 0)
		return err_set(e, errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_say(e, ENOTDIR, "%s is not a directory", path);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (fstatat(dir, places[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return err_set(e, errno, "stat %s/%s", path, places[i]);
		}
		if (!S_ISDIR(st.st_mode))
			return err_say(e, ENOTDIR, "%s/%s is not a directory", path,
				       places[i]);
	}
	ret->directory = true;
	r = tree_clone(dir, "", &ret->tree, e);
	return r < 0 ? r : tree_make_private(ret->tree, e);
}

/* Shows files of uid:gid on disk as the sandbox's user. *ret_able says whether the file
 * system can do that. */
static int map_ids(int tree, const struct stat *st, const struct rootfs_owner *owner,
		   bool *ret_able, struct err *e)
{
	struct userns_map map = {
		.owner = owner->id_base,
		.uid = { { st->st_uid, owner->host_uid, 1 } },
		.gid = { { st->st_gid, owner->host_gid, 1 } },
	};
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	auto_fd ns = -1;
	int r = userns_create(&map, -1, &ns, e);

	if (r < 0)
		return r;
	attr.userns_fd = (uint64_t)ns;
	*ret_able = mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
	if (!*ret_able && errno != EINVAL && errno != EOPNOTSUPP)
		return err_set(e, errno, "id-map it");
	return 0;
}

/* Gives the sandbox's user the ids of the volume's owner. There is one such user, and
 * root of the host is never let in. */
static int map_directly(struct rootfs_sources *all, struct rootfs_owner *owner,
			const struct stat *st, struct err *e)
{
	if (st->st_uid == 0 || st->st_gid == 0)
		return err_say(
			e, ENOTSUP,
			"its file system cannot be id-mapped and it belongs to root; "
			"give it to another user and group, or use another file system");
	if (all->direct &&
	    (owner->host_uid != st->st_uid || owner->host_gid != st->st_gid))
		return err_say(
			e, ENOTSUP,
			"its file system cannot be id-mapped and another such volume "
			"has a different owner");
	all->direct = true;
	owner->host_uid = st->st_uid;
	owner->host_gid = st->st_gid;
	return 0;
}

/* Refuses file systems on which whoever may write attributes can make a file set-uid root
 * on disk: nothing inside can be kept from doing so. */
static int check_file_system(int fd, struct err *e)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return err_set(e, errno, "ask for its file system");
	if (fs.f_type == NTFS3_MAGIC)
		return err_say(e, ENOTSUP,
			       "ntfs3 lets its users choose owner and mode of files");
	return 0;
}

/* Who has opened it already has seen to where it lies. */
static int find_source(const struct rootfs_mount *m, int *ret_fd, struct stat *ret_st,
		       struct err *e)
{
	auto_fd fd = -1;

	if (!m->source_fd)
		return open_source(m->source, ret_fd, ret_st, e);
	fd = fcntl(m->source_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, errno, "take %s", m->source);
	if (fstat(fd, ret_st) < 0)
		return err_set(e, errno, "stat %s", m->source);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int open_volume(const struct rootfs_mount *m, struct rootfs_owner *owner,
		       struct rootfs_sources *all, struct rootfs_source *ret,
		       struct err *e)
{
	auto_fd fd = -1;
	struct stat st;
	bool able = false;
	int r = find_source(m, &fd, &st, e);

	if (r < 0)
		return r;
	if (m->workspace && !S_ISDIR(st.st_mode))
		return err_say(e, ENOTDIR, "%s is not a directory", m->source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_say(e, EINVAL, "%s is neither a directory nor a regular file",
			       m->source);
	ret->directory = S_ISDIR(st.st_mode);
	r = check_file_system(fd, e);
	if (r == 0)
		r = tree_clone(fd, "", &ret->tree, e);
	if (r == 0)
		r = tree_make_private(ret->tree, e);
	if (r < 0)
		return err_wrap(e, "%s", m->source);
	r = map_ids(ret->tree, &st, owner, &able, e);
	if (r == 0 && !able)
		r = map_directly(all, owner, &st, e);
	if (r < 0)
		return err_wrap(e, "%s", m->source);
	return tree_set(ret->tree, TREE_FILES | (m->read_only ? MOUNT_ATTR_RDONLY : 0), 0,
			e);
}

/* The terminals of the sandbox. Made here so that carrel can open the master's side. */
static int make_pts(const struct rootfs_owner *owner, int *ret_tree, struct err *e)
{
	char gid[16];
	const struct tree_option options[] = {
		{ "newinstance", NULL }, { "ptmxmode", "0666" }, { "mode", "0620" },
		{ "gid", gid },          { "max", PTS_MAX },     { NULL, NULL },
	};
	int r = str_format(gid, sizeof(gid), "%u", owner->id_base + TTY_GID);

	if (r < 0)
		return err_set(e, -r, "name a group");
	return tree_make("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			 ret_tree, e);
}

static int open_volumes(const struct rootfs_plan *plan, struct rootfs_owner *owner,
			struct rootfs_sources *s, struct err *e)
{
	for (unsigned i = 0; i < plan->count; i++) {
		const struct rootfs_mount *m = &plan->mounts[i];
		int r;

		if (m->type != ROOTFS_VOLUME)
			continue;
		fd_close(&s->volumes[i].tree);
		r = open_volume(m, owner, s, &s->volumes[i], e);
		if (r < 0)
			return err_wrap(e, "mount %s on %s",
					m->workspace ? "the workspace" : "a volume",
					m->target);
	}
	return 0;
}

static int open_all(const struct rootfs_plan *plan, struct rootfs_owner *owner,
		    struct rootfs_sources *s, struct err *e)
{
	int r = 0;

	owner->host_uid = owner->id_base + owner->uid;
	owner->host_gid = owner->id_base + owner->gid;
	if (plan->rootfs)
		r = open_rootfs(plan, &s->rootfs, &s->lock, e);
	if (r < 0)
		return err_wrap(e, "use rootfs %s", plan->rootfs);
	r = open_volumes(plan, owner, s, e);
	/* One of them decides who the user is on the host: map the others to that. */
	if (r == 0 && s->direct)
		r = open_volumes(plan, owner, s, e);
	if (r == 0)
		r = make_pts(owner, &s->pts, e);
	return r;
}

int rootfs_open(const struct rootfs_plan *plan, struct rootfs_owner *owner,
		struct rootfs_sources *ret, struct err *e)
{
	int r;

	*ret = (struct rootfs_sources){ .rootfs.tree = -1, .lock = -1, .pts = -1 };
	for (int i = 0; i < ROOTFS_MOUNTS_MAX; i++)
		ret->volumes[i].tree = -1;
	r = open_all(plan, owner, ret, e);
	if (r < 0)
		rootfs_close(ret);
	return r;
}

void rootfs_close(struct rootfs_sources *sources)
{
	fd_close(&sources->rootfs.tree);
	fd_close(&sources->lock);
	for (int i = 0; i < ROOTFS_MOUNTS_MAX; i++)
		fd_close(&sources->volumes[i].tree);
	fd_close(&sources->pts);
}
