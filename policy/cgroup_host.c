/* SPDX-License-Identifier: Apache-2.0 */
/* Which controllers this host has, and where we may make groups that have them. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup.h"
#include "policy/cgroup_find.h"

#define ALL_CONTROLLERS ((1u << CGROUP_CONTROLLER_MAX) - 1)

static const char *const controller_names[] = {
	[CGROUP_PIDS] = "pids",
	[CGROUP_MEMORY] = "memory",
	[CGROUP_CPU] = "cpu",
};

static_assert(sizeof(controller_names) / sizeof(*controller_names) ==
		      CGROUP_CONTROLLER_MAX,
	      "one name a controller");

const char *cgroup_controller_name(enum cgroup_controller controller)
{
	return controller_names[controller];
}

static int open_tree_dir(struct cgroup_tree *t, struct err *e)
{
	t->dir = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->dir < 0)
		return err_set(e, errno, "open cgroup %s", t->path);
	return 0;
}

/* Makes the children of the v2 directory have the controllers. −EBUSY when processes
 * live in it, −ENOENT when it does not have them itself. */
static int enable_controllers(int dir, unsigned wanted)
{
	char text[256], change[64];
	struct str s = str_over(change, sizeof(change));
	ssize_t n;

	if (!wanted)
		return 0;
	n = fd_read_at(dir, "cgroup.controllers", text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (wanted & ~cgroup_controllers_in(text, ' '))
		return -ENOENT;
	n = fd_read_at(dir, "cgroup.subtree_control", text, sizeof(text));
	if (n < 0)
		return (int)n;
	wanted &= ~cgroup_controllers_in(text, ' ');
	if (!wanted)
		return 0;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (wanted & (1u << c))
			str_add(&s, "+%s ", controller_names[c]);
	}
	return fd_write_at(dir, "cgroup.subtree_control", change);
}

/* Which of our controllers the v2 hierarchy offers at its mounted root. */
static unsigned controllers_of_v2(const char *path, size_t mount_len)
{
	char root[CGROUP_PATH_MAX], text[256];
	auto_fd dir = -1;

	if (str_format(root, sizeof(root), "%.*s", (int)mount_len, path) < 0)
		return 0;
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fd_read_at(dir, "cgroup.controllers", text, sizeof(text)) < 0)
		return 0;
	return cgroup_controllers_in(text, ' ');
}

/* Settles the v2 parent: our own group, or the nearest ancestor that can hand the
 * controllers down. A group that has processes of its own cannot ("no internal
 * processes"), which is the rule rather than the exception below systemd. */
static int settle_v2_parent(struct cgroup_tree *t, size_t mount_len, struct err *e)
{
	for (;;) {
		char *slash;
		int r = open_tree_dir(t, e);

		if (r < 0)
			return r;
		r = enable_controllers(t->dir, t->controllers);
		if (r == 0)
			return 0;
		slash = strrchr(t->path, '/');
		if (strlen(t->path) <= mount_len || !slash)
			return err_set(e, -r, "enable cgroup controllers below %s",
				       t->path);
		fd_close(&t->dir);
		*slash = '\0';
	}
}

/* Takes the v2 parent that was asked for. */
static int take_v2_parent(struct cgroup_tree *t, const char *parent, struct err *e)
{
	struct statfs fs;
	int r;

	if (str_format(t->path, sizeof(t->path), "%s", parent) < 0)
		return err_set(e, ENAMETOOLONG, "open cgroup %s", parent);
	r = open_tree_dir(t, e);
	if (r < 0)
		return r;
	if (fstatfs(t->dir, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_say(e, EINVAL, "%s is no directory of cgroup v2", parent);
	r = enable_controllers(t->dir, t->controllers);
	return r < 0 ? err_set(e, -r, "enable cgroup controllers below %s", parent) : 0;
}

static int check_limits(const struct cgroup_host *host,
			const struct cgroup_limits *limits, struct err *e)
{
	const uint64_t asked[] = {
		[CGROUP_PIDS] = limits->pids,
		[CGROUP_MEMORY] = limits->memory,
		[CGROUP_CPU] = limits->cpu_milli,
	};
	unsigned have = 0;

	for (unsigned i = 0; i < host->ntrees; i++)
		have |= host->trees[i].controllers;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (asked[c] && !(have & (1u << c)))
			return err_say(
				e, ENOTSUP,
				"cannot enforce the %s limit: this host has no cgroup "
				"controller \"%s\"",
				controller_names[c], controller_names[c]);
	}
	return 0;
}

static int host_open(const char *parent, const struct cgroup_limits *limits,
		     struct cgroup_host *host, struct err *e)
{
	struct cgroup_tree *v2 = &host->trees[0];
	unsigned bound_to_v1 = 0;
	size_t mount_len = 0;
	int r = cgroup_find(host, &mount_len, e);

	if (r < 0)
		return r;
	for (unsigned i = 1; i < host->ntrees; i++)
		bound_to_v1 |= host->trees[i].controllers;
	if (bound_to_v1 != ALL_CONTROLLERS)
		v2->controllers = controllers_of_v2(v2->path, mount_len) & ~bound_to_v1;
	r = check_limits(host, limits, e);
	if (r < 0)
		return r;
	return parent ? take_v2_parent(v2, parent, e)
		      : settle_v2_parent(v2, mount_len, e);
}

int cgroup_host_open(const struct cgroup_limits *limits, struct cgroup_host *ret,
		     struct err *e)
{
	return cgroup_host_open_below(NULL, limits, ret, e);
}

int cgroup_host_open_below(const char *parent, const struct cgroup_limits *limits,
			   struct cgroup_host *ret, struct err *e)
{
	int r;

	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		ret->trees[i].dir = -1;
	r = host_open(parent, limits, ret, e);
	if (r < 0)
		cgroup_host_close(ret);
	return r;
}

void cgroup_host_close(struct cgroup_host *host)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		fd_close(&host->trees[i].dir);
}
