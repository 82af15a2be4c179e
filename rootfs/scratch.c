/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "rootfs/scratch.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

enum { NAME_SIZE = 12 };

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

static void name_part(char *name, unsigned index)
{
	bug_on(str_format(name, NAME_SIZE, "%u", index) < 0);
}

uint64_t scratch_size(const struct rootfs_plan *plan)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < plan->count; i++) {
		if (is_shared(&plan->mounts[i]))
			size += plan->mounts[i].size;
	}
	return size;
}

int scratch_fill(int dir, const struct rootfs_plan *plan,
		 const struct rootfs_owner *owner, struct err *e)
{
	for (unsigned i = 0; i < plan->count; i++) {
		const struct rootfs_mount *m = &plan->mounts[i];
		char name[NAME_SIZE];
		int r;

		if (!is_shared(m))
			continue;
		name_part(name, i);
		r = skeleton_dir(dir, name, m->mode, e);
		if (r < 0)
			return r;
		if (fchownat(dir, name, uid_of(m, owner), gid_of(m, owner),
			     AT_SYMLINK_NOFOLLOW) < 0)
			return err_set(e, errno, "give %s to the user", m->target);
	}
	return 0;
}

static int mount_new(const struct rootfs_mount *m, const struct rootfs_owner *owner,
		     int *ret_tree, struct err *e)
{
	char size[24], inodes[24], mode[8], uid[12], gid[12];
	uint64_t pages = m->size / 4096;
	const struct tree_option options[] = {
		{ "size", size }, { "nr_inodes", inodes }, { "mode", mode },
		{ "uid", uid },   { "gid", gid },          { NULL, NULL },
	};
	int r = str_format(size, sizeof(size), "%" PRIu64, m->size);

	if (r == 0)
		r = str_format(inodes, sizeof(inodes), "%" PRIu64,
			       pages > SCRATCH_INODES_MIN ? pages : SCRATCH_INODES_MIN);
	if (r == 0)
		r = str_format(mode, sizeof(mode), "%o", (unsigned)m->mode);
	if (r == 0)
		r = str_format(uid, sizeof(uid), "%u", uid_of(m, owner));
	if (r == 0)
		r = str_format(gid, sizeof(gid), "%u", gid_of(m, owner));
	if (r < 0)
		return err_set(e, -r, "describe a tmpfs");
	return tree_make("tmpfs", options,
			 TREE_FILES | (m->no_exec ? MOUNT_ATTR_NOEXEC : 0), ret_tree, e);
}

int scratch_mount(int dir, const struct rootfs_plan *plan, unsigned index,
		  const struct rootfs_owner *owner, int *ret_tree, struct err *e)
{
	const struct rootfs_mount *m = &plan->mounts[index];
	char name[NAME_SIZE];
	int r;

	if (!is_shared(m))
		return mount_new(m, owner, ret_tree, e);
	name_part(name, index);
	r = tree_clone(dir, name, ret_tree, e);
	/* The skeleton is inert, and read-only by now. */
	if (r == 0)
		r = tree_set(*ret_tree, 0,
			     MOUNT_ATTR_RDONLY | (m->no_exec ? 0 : MOUNT_ATTR_NOEXEC), e);
	return r;
}
