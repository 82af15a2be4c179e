/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of mounts. What is attached is attached in a mount namespace of our own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "runtime/probe.h"

/* Attached over, in our own namespace: every host has it. */
#define PLACE "/usr"

/* One option of a file system; value NULL for a flag. */
struct option {
	const char *key, *value;
};

/* Options end with a NULL key. */
static int make_fs(const char *type, const struct option *options, unsigned attrs,
		   int *ret, struct err *e)
{
	auto_fd context = fsopen(type, FSOPEN_CLOEXEC);

	if (context < 0)
		return err_set(e, errno, "fsopen %s", type);
	for (const struct option *o = options; o->key; o++) {
		if (fsconfig(context, o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
			     o->key, o->value, 0) < 0)
			return err_set(e, errno, "fsconfig %s %s", type, o->key);
	}
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(e, errno, "create a %s", type);
	*ret = fsmount(context, FSMOUNT_CLOEXEC, attrs);
	if (*ret < 0)
		return err_set(e, errno, "fsmount %s", type);
	return 0;
}

static int make_tmpfs(int *ret, struct err *e)
{
	static const struct option options[] = {
		{ "size", "1m" },
		{ "nr_inodes", "2048" },
		{ "mode", "0755" },
		{ NULL, NULL },
	};

	return make_fs("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, ret, e);
}

/* The old call: this must work where the new ones, which are tried, do not. */
static int leave_host_mounts(struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(e, errno, "make a mount namespace");
	/* lint: in a namespace of our own */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(e, errno, "make all mounts private");
	return 0;
}

static int open_dir(const char *path, int *ret, struct err *e)
{
	*ret = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	if (*ret < 0)
		return err_set(e, errno, "open %s", path);
	return 0;
}

static int clone_dir(int dir, int *ret, struct err *e)
{
	*ret = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (*ret < 0)
		return err_set(e, errno, "open_tree with OPEN_TREE_CLONE");
	return 0;
}

static int attach(int tree, const char *place, struct err *e)
{
	if (move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(e, errno, "move_mount to %s", place);
	return 0;
}

static int try_tmpfs(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	auto_fd tree = -1;
	struct statfs st;
	int r = make_tmpfs(&tree, e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	if (fstatfs(tree, &st) < 0 || st.f_type != TMPFS_MAGIC)
		return err_say(e, EPROTO, "what was made is no tmpfs");
	str_add(found, "made with size and inode limits");
	return 0;
}

static int try_proc(const struct probe *self, const struct runtime_config *config,
		    struct str *found, struct err *e)
{
	static const struct option none = { NULL, NULL };
	auto_fd tree = -1;
	int r = make_fs("proc", &none,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &tree,
			e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	if (faccessat(tree, "self/status", R_OK, 0) < 0)
		return err_set(e, errno, "look into a new proc");
	str_add(found, "made");
	return 0;
}

static int try_devpts(const struct probe *self, const struct runtime_config *config,
		      struct str *found, struct err *e)
{
	static const struct option options[] = { { "newinstance", NULL },
						 { "ptmxmode", "0666" },
						 { "mode", "0620" },
						 { NULL, NULL } };
	auto_fd tree = -1, master = -1;
	int number = -1;
	int r = make_fs("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &tree,
			e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	master = openat(tree, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return err_set(e, errno, "open a terminal in a new devpts");
	if (number != 0)
		return err_say(e, EPROTO, "a new devpts shares terminals with others");
	str_add(found, "an instance with a terminal 0 of its own");
	return 0;
}

static int try_open_tree(const struct probe *self, const struct runtime_config *config,
			 struct str *found, struct err *e)
{
	auto_fd dir = -1, tree = -1;
	int r = open_dir(PLACE, &dir, e);

	(void)self;
	(void)config;
	if (r == 0)
		r = clone_dir(dir, &tree, e);
	if (r < 0)
		return r;
	if (!fd_same_file(dir, tree))
		return err_say(e, EPROTO, "the clone of %s is something else", PLACE);
	str_add(found, "%s cloned", PLACE);
	return 0;
}

static int try_move_mount(const struct probe *self, const struct runtime_config *config,
			  struct str *found, struct err *e)
{
	auto_fd tree = -1, seen = -1;
	int r = leave_host_mounts(e);

	(void)self;
	(void)config;
	if (r == 0)
		r = make_tmpfs(&tree, e);
	if (r == 0)
		r = attach(tree, PLACE, e);
	if (r == 0)
		r = open_dir(PLACE, &seen, e);
	if (r < 0)
		return r;
	if (!fd_same_file(tree, seen))
		return err_say(e, EPROTO, "the mount is not where it was moved to");
	str_add(found, "attached");
	return 0;
}

static int try_mount_setattr(const struct probe *self,
			     const struct runtime_config *config, struct str *found,
			     struct err *e)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	auto_fd tree = -1;
	int r = make_tmpfs(&tree, e);

	(void)self;
	(void)config;
	if (r < 0)
		return r;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_set(e, errno, "mount_setattr");
	if (mkdirat(tree, "dir", 0755) == 0 || errno != EROFS)
		return err_say(e, EPROTO, "a mount made read-only can be written");
	str_add(found, "made a mount read-only");
	return 0;
}

/* The read-only overlay of a host directory in front of an empty one. */
static int overlay(int dir, int empty, int *ret, struct err *e)
{
	char dirs[64];
	const struct option options[] = { { "lowerdir", dirs },
					  { "redirect_dir", "nofollow" },
					  { "metacopy", "off" },
					  { NULL, NULL } };
	int r = str_format(dirs, sizeof(dirs), "/proc/self/fd/%d:/proc/self/fd/%d", dir,
			   empty);

	if (r < 0)
		return err_set(e, -r, "name overlay layers");
	return make_fs("overlay", options,
		       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, ret, e);
}

/* A file below PLACE that does nothing and succeeds when called "true"; NULL if there is
 * none. */
static const char *harmless_program(void)
{
	static const char *const candidates[] = { "/usr/bin/true", "/usr/bin/busybox" };

	for (size_t i = 0; i < sizeof(candidates) / sizeof(*candidates); i++) {
		if (faccessat(AT_FDCWD, candidates[i], X_OK, 0) == 0)
			return candidates[i];
	}
	return NULL;
}

static int exec_true(void *context)
{
	char *const argv[] = { "true", NULL }, *const envp[] = { NULL };
	const char *const *path = context;

	execve(*path, argv, envp);
	return errno;
}

/* Both directories as a sandbox shows them; /usr is then attached over itself. */
static int overlay_host(struct err *e)
{
	auto_fd usr = -1, etc = -1, tmpfs = -1, empty = -1, tree = -1, etc_tree = -1;
	int r = open_dir("/usr", &usr, e);

	if (r == 0)
		r = open_dir("/etc", &etc, e);
	if (r == 0)
		r = make_tmpfs(&tmpfs, e);
	if (r == 0)
		r = attach(tmpfs, PLACE, e);
	if (r < 0)
		return r;
	if (mkdirat(tmpfs, "empty", 0755) < 0)
		return err_set(e, errno, "make a directory in a tmpfs");
	empty = openat(tmpfs, "empty", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (empty < 0)
		return err_set(e, errno, "open a directory in a tmpfs");
	r = overlay(usr, empty, &tree, e);
	if (r < 0)
		return err_wrap(e, "/usr");
	r = overlay(etc, empty, &etc_tree, e);
	if (r < 0)
		return err_wrap(e, "/etc");
	return attach(tree, PLACE, e);
}

static int try_overlay(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	const char *program = harmless_program();
	int r = leave_host_mounts(e);

	(void)self;
	(void)config;
	if (r == 0)
		r = overlay_host(e);
	if (r == 0 && program)
		r = probe_call(exec_true, &program, "execute from the overlay", e);
	if (r < 0)
		return r;
	str_add(found, "/usr and /etc shown, ");
	if (program)
		str_add(found, "%s ran from it", program);
	else
		str_add(found, "no known program to run from it");
	return 0;
}

static int try_root(const struct probe *self, const struct runtime_config *config,
		    struct str *found, struct err *e)
{
	auto_fd tree = -1, root = -1;
	int r = leave_host_mounts(e);

	(void)self;
	(void)config;
	if (r == 0)
		r = make_tmpfs(&tree, e);
	if (r == 0)
		r = rootfs_enter(tree, e);
	if (r == 0)
		r = open_dir("/", &root, e);
	if (r < 0)
		return r;
	if (!fd_same_file(root, tree))
		return err_say(e, EPROTO, "the root is not the one that was entered");
	str_add(found, "entered another root");
	return 0;
}

/* The type of the file system that dir is in, from the mount table. */
static void name_fs(int dir, char *buf, size_t size)
{
	char line[4096];
	struct str name = str_over(buf, size);
	struct statx st;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (f && statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0) {
		while (!name.len && fgets(line, sizeof(line), f)) {
			const char *dash = strstr(line, " - ");
			unsigned long long id;

			if (dash && sscanf(line, "%llu", &id) == 1 && id == st.stx_mnt_id)
				str_add(&name, "%.*s", (int)strcspn(dash + 3, " "),
					dash + 3);
		}
	}
	if (f)
		fclose(f);
	if (!name.len)
		str_add(&name, "unknown");
}

/* Can a mount of the tree show one id as another? */
static bool can_map_ids(int tree, const struct runtime_config *config)
{
	const struct userns_map map = { .owner = config->id_first,
					.uid = { { 0, config->id_first, 1 } },
					.gid = { { 0, config->id_first, 1 } } };
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	auto_fd ns = -1;
	struct err e;

	if (userns_create(&map, -1, &ns, &e) < 0)
		return false;
	attr.userns_fd = (uint64_t)ns;
	return mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
}

/* Those of some file systems that can, and those that cannot. */
struct idmap_lists {
	struct str can, cannot;
	uint64_t seen[4]; /* mounts, so that none is named twice */
	unsigned count;
};

static bool is_new_mount(int dir, struct idmap_lists *lists)
{
	struct statx st;

	if (lists->count == sizeof(lists->seen) / sizeof(*lists->seen) ||
	    statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return false;
	for (unsigned i = 0; i < lists->count; i++) {
		if (lists->seen[i] == st.stx_mnt_id)
			return false;
	}
	lists->seen[lists->count++] = st.stx_mnt_id;
	return true;
}

/* Adds "TYPE (PATH)" to one of the lists. */
static void sort_by_idmap(const char *path, const struct runtime_config *config,
			  struct idmap_lists *lists)
{
	auto_fd dir = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0), tree = -1;
	char type[32];
	struct str *list;
	struct err e;

	if (dir < 0 || !is_new_mount(dir, lists) || clone_dir(dir, &tree, &e) < 0)
		return;
	name_fs(dir, type, sizeof(type));
	list = can_map_ids(tree, config) ? &lists->can : &lists->cannot;
	str_add(list, "%s%s (%s)", list->len ? ", " : "", type, path);
}

static int try_idmap(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	const char *const places[] = { ".", "/tmp", "/home", config->state_dir };
	char yes[PROBE_DETAIL_MAX / 2 - 8], no[PROBE_DETAIL_MAX / 2 - 8];
	struct idmap_lists lists = { .can = str_over(yes, sizeof(yes)),
				     .cannot = str_over(no, sizeof(no)) };
	auto_fd tmpfs = -1;
	int r = make_tmpfs(&tmpfs, e);

	(void)self;
	if (r < 0)
		return r;
	str_add(can_map_ids(tmpfs, config) ? &lists.can : &lists.cannot, "tmpfs");
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		sort_by_idmap(places[i], config, &lists);
	if (lists.cannot.len)
		return err_say(e, EOPNOTSUPP, "not %s%s%s", no, *yes ? "; but " : "",
			       yes);
	str_add(found, "%s", yes);
	return 0;
}

#define NEW_MOUNT_API                                                     \
	"Linux 5.2; where the kernel is new enough, what carrel runs in " \
	"denies the call"

static const struct probe rows[] = {
	{ .id = "fs-tmpfs",
	  .name = "fsopen, fsmount tmpfs",
	  .run = try_tmpfs,
	  .remedy = NEW_MOUNT_API },
	{ .id = "fs-proc",
	  .name = "fsmount proc",
	  .run = try_proc,
	  .remedy = NEW_MOUNT_API },
	{ .id = "fs-devpts",
	  .name = "fsmount devpts newinstance",
	  .run = try_devpts,
	  .remedy = NEW_MOUNT_API },
	{ .id = "open-tree",
	  .name = "open_tree clone",
	  .run = try_open_tree,
	  .remedy = NEW_MOUNT_API },
	{ .id = "move-mount",
	  .name = "move_mount",
	  .run = try_move_mount,
	  .remedy = NEW_MOUNT_API },
	{ .id = "mount-setattr",
	  .name = "mount_setattr",
	  .run = try_mount_setattr,
	  .remedy = "Linux 5.12; where it is new enough, what carrel runs in denies it" },
	{ .id = "overlay",
	  .name = "read-only overlay of /usr",
	  .run = try_overlay,
	  .remedy = "modprobe overlay; at most one overlay below /usr and /etc" },
	{ .id = "idmap",
	  .name = "id-mapped mounts",
	  .run = try_idmap,
	  .advice = true,
	  .remedy =
		  "keep workspaces on ext4, xfs or btrfs (tmpfs: Linux 6.3), or owned by "
		  "one user who is not root" },
	{ .id = "root",
	  .name = "a root of its own",
	  .run = try_root,
	  .remedy = "switch_root from the initramfs to a real root before" },
};

const struct probe_table probe_mount = { rows, sizeof(rows) / sizeof(*rows) };
