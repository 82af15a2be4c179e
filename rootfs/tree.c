/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "rootfs/tree.h"

/* What the kernel said about a file system context ("e overlay: …"), or "". */
static void read_message(int context, char *buf, size_t size)
{
	ssize_t n = read(context, buf, size - 1);

	if (n < 0)
		n = 0;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (n > 2 && buf[1] == ' ')
		memmove(buf, buf + 2, strlen(buf + 2) + 1);
}

static int make_failed(int context, int errnum, const char *type, const char *what,
		       struct err *e)
{
	char said[128];

	read_message(context, said, sizeof(said));
	return err_set(e, errnum, "make %s: %s%s%s", type, what, *said ? ": " : "", said);
}

int tree_make(const char *type, const struct tree_option *options, uint64_t attrs,
	      int *ret_tree, struct err *e)
{
	auto_fd context = fsopen(type, FSOPEN_CLOEXEC);
	int tree;

	if (context < 0)
		return err_set(e, errno, "open file system type %s", type);
	for (const struct tree_option *o = options; o && o->key; o++) {
		unsigned cmd = o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (fsconfig(context, cmd, o->key, o->value, 0) < 0)
			return make_failed(context, errno, type, o->key, e);
	}
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return make_failed(context, errno, type, "create", e);
	tree = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attrs);
	if (tree < 0)
		return make_failed(context, errno, type, "mount", e);
	*ret_tree = tree;
	return 0;
}

int tree_clone(int dirfd, const char *name, int *ret_tree, struct err *e)
{
	int tree = open_tree(dirfd, name,
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW |
				     AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH));

	if (tree < 0)
		return err_set(e, errno, "clone the mount of \"%s\"", name);
	*ret_tree = tree;
	return 0;
}

int tree_make_private(int tree, struct err *e)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };

	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_set(e, errno, "make a mount private");
	return 0;
}

int tree_make_all_private(struct err *e)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };

	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_set(e, errno, "make all mounts private");
	return 0;
}

int tree_set(int tree, uint64_t set, uint64_t clear, struct err *e)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };

	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_set(e, errno, "set mount flags %#llx",
			       (unsigned long long)set);
	return 0;
}

int tree_attach(int tree, int dirfd, const char *name, struct err *e)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

	if (move_mount(tree, "", dirfd, name, flags) < 0)
		return err_set(e, errno, "attach a mount to \"%s\"", name);
	return 0;
}

int tree_overlay(int upper, int lower, int *ret_tree, struct err *e)
{
	char dirs[64];
	const struct tree_option options[] = {
		{ "lowerdir", dirs },
		/* The rootfs may come from elsewhere: its overlay attributes mean
		   nothing. */
		{ "redirect_dir", "nofollow" },
		{ "metacopy", "off" },
		{ NULL, NULL },
	};
	int r = str_format(dirs, sizeof(dirs), "/proc/self/fd/%d:/proc/self/fd/%d", upper,
			   lower);

	if (r < 0)
		return err_set(e, -r, "name overlay layers");
	return tree_make("overlay", options, MOUNT_ATTR_RDONLY | TREE_FILES, ret_tree, e);
}
