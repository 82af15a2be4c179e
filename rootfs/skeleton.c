/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/procfs.h"
#include "base/str.h"
#include "rootfs/scratch.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

/* Covered while building: of the host's root, and then of the new one, where it is
 * nobody's target. */
#define PLACE_ON_HOST "/usr"
#define PLACE         "sys"

#define MADE_UP_SIZE   (UINT64_C(1) << 20) /* bytes for what is made up */
#define MADE_UP_INODES UINT64_C(2048)

int skeleton_dir(int dirfd, const char *name, mode_t mode, struct err *e)
{
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return err_set(e, errno, "make directory %s", name);
	return 0;
}

int skeleton_file(int dirfd, const char *name, const char *content, struct err *e)
{
	auto_fd fd = openat(dirfd, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return err_set(e, errno, "make file %s", name);
	r = fd_write_all(fd, content, strlen(content));
	if (r < 0)
		return err_set(e, -r, "write file %s", name);
	return 0;
}

int skeleton_link(int dirfd, const char *name, const char *target, struct err *e)
{
	if (symlinkat(target, dirfd, name) < 0)
		return err_set(e, errno, "make link %s to %s", name, target);
	return 0;
}

int skeleton_path(int dirfd, const char *path, bool directory, struct err *e)
{
	auto_fd owned = -1;
	int dir = dirfd;

	for (const char *p = path + 1;;) {
		size_t len = strcspn(p, "/");
		char part[NAME_MAX + 1];
		int r;

		if (str_format(part, sizeof(part), "%.*s", (int)len, p) < 0)
			return err_set(e, ENAMETOOLONG, "make mount point %s", path);
		if (p[len] || directory)
			r = mkdirat(dir, part, 0755);
		else
			r = mknodat(dir, part, S_IFREG | 0644, 0);
		if (r < 0 && errno != EEXIST)
			return err_set(e, errno, "make mount point %s", path);
		if (!p[len])
			return 0;
		dir = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0)
			return err_set(e, errno, "make mount point %s", path);
		fd_close(&owned);
		owned = dir;
		p += len + 1;
	}
}

/* Mount points and links of a root that shows the host's /usr. */
static int fill_host_root(int root, struct err *e)
{
	static const char *const links[] = { "bin",   "sbin",  "lib",
					     "lib32", "lib64", "libx32" };
	char target[PATH_MAX];
	int r = skeleton_dir(root, "usr", 0755, e);

	for (size_t i = 0; r == 0 && i < sizeof(links) / sizeof(*links); i++) {
		char path[16];
		ssize_t n;

		r = str_format(path, sizeof(path), "/%s", links[i]);
		if (r < 0)
			return err_set(e, -r, "name /%s", links[i]);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0 && errno == ENOENT)
			continue;
		if (n < 0)
			return err_say(
				e, ENOTSUP,
				"this host is not usrmerged (%s is no link): name a "
				"directory with --rootfs",
				path);
		target[n] = '\0';
		r = skeleton_link(root, links[i], target, e);
	}
	if (r == 0)
		r = skeleton_dir(root, "var", 0755, e);
	if (r == 0)
		r = skeleton_link(root, "var/tmp", "../tmp", e);
	return r;
}

static int fill_mount_points(int root, const struct rootfs_plan *plan,
			     const struct rootfs_sources *sources, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < plan->count; i++) {
		const struct rootfs_mount *m = &plan->mounts[i];
		bool directory = m->type == ROOTFS_TMPFS || sources->volumes[i].directory;

		if (strcmp(m->target, "/dev/shm"))
			r = skeleton_path(root, m->target, directory, e);
	}
	return r;
}

static int fill_root(int root, const struct rootfs_plan *plan,
		     const struct rootfs_sources *sources,
		     const struct rootfs_owner *owner, struct err *e)
{
	static const char *const places[] = { "proc", "dev", "sys", "etc", "tmp", "run" };
	auto_fd etc = -1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(*places); i++)
		r = skeleton_dir(root, places[i], 0755, e);
	if (r == 0 && !plan->rootfs)
		r = fill_host_root(root, e);
	if (r < 0)
		return r;
	etc = openat(root, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (etc < 0)
		return err_set(e, errno, "open the new /etc");
	r = etc_fill(etc, plan, owner, !plan->rootfs, e);
	/* Last: a volume may lie on what has just been made up. */
	if (r == 0)
		r = fill_mount_points(root, plan, sources, e);
	return r;
}

static int open_part(const struct skeleton *s, const char *name, int *ret, struct err *e)
{
	int r = skeleton_dir(s->mount, name, 0755, e);

	if (r < 0)
		return r;
	*ret = openat(s->mount, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret < 0)
		return err_set(e, errno, "open %s of the skeleton", name);
	return 0;
}

/* Of what is made up, and of the default tmpfs. */
static int make_tmpfs(const struct rootfs_plan *plan, int *ret_tree, struct err *e)
{
	uint64_t scratch = scratch_size(plan);
	char size[24], inodes[24];
	const struct tree_option options[] = {
		{ "size", size },
		{ "nr_inodes", inodes },
		{ "mode", "0755" },
		{ NULL, NULL },
	};
	int r = str_format(size, sizeof(size), "%" PRIu64, MADE_UP_SIZE + scratch);

	if (r == 0)
		r = str_format(inodes, sizeof(inodes), "%" PRIu64,
			       MADE_UP_INODES + scratch / 4096);
	if (r < 0)
		return err_set(e, -r, "describe a tmpfs");
	return tree_make("tmpfs", options, TREE_INERT, ret_tree, e);
}

static int open_parts(struct skeleton *s, struct err *e)
{
	int r = open_part(s, "root", &s->root, e);

	if (r == 0)
		r = open_part(s, "dev", &s->dev, e);
	if (r == 0)
		r = open_part(s, "cover", &s->cover, e);
	if (r == 0)
		r = open_part(s, "scratch", &s->scratch, e);
	if (r == 0)
		r = open_part(s, "stage", &s->stage, e);
	return r;
}

static int make(const struct rootfs_plan *plan, const struct rootfs_sources *sources,
		const struct rootfs_owner *owner, struct skeleton *s, struct err *e)
{
	int r = make_tmpfs(plan, &s->mount, e);

	if (r == 0)
		r = tree_attach(s->mount, AT_FDCWD, PLACE_ON_HOST, e);
	if (r == 0)
		r = open_parts(s, e);
	if (r == 0)
		r = fill_root(s->root, plan, sources, owner, e);
	if (r == 0)
		r = dev_fill(s->dev, e);
	if (r == 0)
		r = proc_fill_cover(s->proc, s->cover, e);
	if (r == 0)
		r = scratch_fill(s->scratch, plan, owner, e);
	return r;
}

int skeleton_make(const struct rootfs_plan *plan, const struct rootfs_sources *sources,
		  const struct rootfs_owner *owner, struct skeleton *ret, struct err *e)
{
	int r;

	*ret = SKELETON_NONE;
	r = procfs_open(&ret->proc, e);
	if (r == 0)
		r = make(plan, sources, owner, ret, e);
	if (r < 0) {
		skeleton_close(ret);
		return err_wrap(e, "make the skeleton");
	}
	return 0;
}

int skeleton_lift(struct skeleton *s, struct err *e)
{
	int r = tree_clone(s->mount, "", &s->lifted, e);

	return r < 0 ? err_wrap(e, "keep the skeleton") : 0;
}

static void close_parts(struct skeleton *s)
{
	fd_close(&s->mount);
	fd_close(&s->root);
	fd_close(&s->dev);
	fd_close(&s->cover);
	fd_close(&s->scratch);
	fd_close(&s->stage);
}

int skeleton_settle(struct skeleton *s, int root, struct err *e)
{
	int r = tree_attach(s->lifted, root, PLACE, e);

	if (r == 0) {
		close_parts(s);
		s->mount = fd_take(&s->lifted);
		r = open_parts(s, e);
	}
	return r < 0 ? err_wrap(e, "take the skeleton along") : 0;
}

int skeleton_detach(const struct skeleton *s, struct err *e)
{
	if (fchdir(s->mount) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_set(e, errno, "detach the skeleton");
	return 0;
}

void skeleton_close(struct skeleton *s)
{
	close_parts(s);
	fd_close(&s->lifted);
	fd_close(&s->proc);
}
