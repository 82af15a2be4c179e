/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "rootfs/scratch.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

static bool is_shared(const struct rootfs_mount *m)
{
	return m->type == ROOTFS_TMPFS && m->by_default;
}

static uint32_t uid_of(const struct rootfs_mount *m, const struct rootfs_owner *owner)
{
	return m->owned ? owner->host_uid : owner->id_base;
}

static uint32_t gid_of(const struct rootfs_mount *m, const struct rootfs_owner *owner)
{
	return m->owned ? owner->host_gid : owner->id_base;
}

/* A tmpfs whose root has the given mode and owner. */
static int make(uint64_t bytes, mode_t root_mode, uint32_t root_uid, uint32_t root_gid,
		uint64_t attrs, int *ret_tree, struct err *e)
{
	char size[24], inodes[24], mode[8], uid[12], gid[12];
	/* The kernel's own default is an inode a page of all memory (E-50). */
	uint64_t count = bytes / 4096 > 1024 ? bytes / 4096 : 1024;
	const struct tree_option options[] = {
		{ "size", size }, { "nr_inodes", inodes }, { "mode", mode },
		{ "uid", uid },   { "gid", gid },          { NULL, NULL },
	};
	int r = str_format(size, sizeof(size), "%" PRIu64, bytes);

	if (r == 0)
		r = str_format(inodes, sizeof(inodes), "%" PRIu64, count);
	if (r == 0)
		r = str_format(mode, sizeof(mode), "%o", (unsigned)root_mode);
	if (r == 0)
		r = str_format(uid, sizeof(uid), "%u", root_uid);
	if (r == 0)
		r = str_format(gid, sizeof(gid), "%u", root_gid);
	if (r < 0)
		return err_set(e, -r, "describe a tmpfs");
	return tree_make("tmpfs", options, TREE_FILES | attrs, ret_tree, e);
}

/* A mount can be cloned of what is attached, not of what is detached, before Linux 6.15:
 * hence the stage. */
static int make_shared(struct scratch *scratch, const struct rootfs_plan *plan, int stage,
		       struct err *e)
{
	uint64_t bytes = 0;
	int r;

	for (unsigned i = 0; i < plan->count; i++) {
		if (is_shared(&plan->mounts[i]))
			bytes += plan->mounts[i].size;
	}
	r = make(bytes, 0755, 0, 0, 0, &scratch->shared, e);
	if (r == 0)
		r = tree_attach(scratch->shared, stage, "scratch", e);
	return r;
}

/* One directory of it, named by its place in the plan. */
static int make_part(const struct scratch *scratch, const struct rootfs_plan *plan,
		     unsigned index, const struct rootfs_owner *owner, int *ret_tree,
		     struct err *e)
{
	const struct rootfs_mount *m = &plan->mounts[index];
	char name[12];
	int r = str_format(name, sizeof(name), "%u", index);

	if (r < 0)
		return err_set(e, -r, "name a directory");
	r = skeleton_dir(scratch->shared, name, m->mode, e);
	if (r < 0)
		return r;
	/* The sticky bit, and whatever a umask has taken away. */
	if (fchownat(scratch->shared, name, uid_of(m, owner), gid_of(m, owner),
		     AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(scratch->shared, name, m->mode, 0) < 0)
		return err_set(e, errno, "give a directory to the user");
	r = tree_clone(scratch->shared, name, ret_tree, e);
	if (r == 0 && m->no_exec)
		r = tree_set(*ret_tree, MOUNT_ATTR_NOEXEC, 0, e);
	return r;
}

int scratch_make(struct scratch *scratch, const struct rootfs_plan *plan, unsigned index,
		 const struct rootfs_owner *owner, int stage, int *ret_tree,
		 struct err *e)
{
	const struct rootfs_mount *m = &plan->mounts[index];
	int r = 0;

	if (!is_shared(m))
		return make(m->size, m->mode, uid_of(m, owner), gid_of(m, owner),
			    m->no_exec ? MOUNT_ATTR_NOEXEC : 0, ret_tree, e);
	if (scratch->shared < 0)
		r = make_shared(scratch, plan, stage, e);
	if (r == 0)
		r = make_part(scratch, plan, index, owner, ret_tree, e);
	return r;
}

void scratch_close(struct scratch *scratch)
{
	fd_close(&scratch->shared);
}
