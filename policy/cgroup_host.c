/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroup hierarchies this host has, and where in them we may create. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup.h"

enum { OWN_CGROUP_MAX = 8192 }; /* of /proc/self/cgroup: a dozen paths */

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

/* Is word one of the items of list, which are separated by sep? */
static bool list_has(const char *list, char sep, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, sep), p = p ? p + 1 : NULL) {
		if (!strncmp(p, word, len) && (p[len] == sep || p[len] == '\0'))
			return true;
	}
	return false;
}

/* The controllers of ours that a v1 mount's options name. */
static unsigned controllers_in(const char *list, char sep)
{
	unsigned mask = 0;

	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (list_has(list, sep, controller_names[c]))
			mask |= 1u << c;
	}
	return mask;
}

/* Our own path in the hierarchy, of what /proc/self/cgroup says (lines of
 * "ID:CONTROLLERS:PATH"): v2, or the v1 one that has `controller`. */
static int own_path(const char *self, bool v2, int controller, char *buf, size_t size,
		    struct err *e)
{
	for (const char *line = self; *line;
	     line += strcspn(line, "\n"), line += !!*line) {
		char list[256];
		const char *colon = strchr(line, ':');
		const char *path = colon ? strchr(colon + 1, ':') : NULL;
		int r;

		if (!path || str_format(list, sizeof(list), "%.*s",
					(int)(path - colon - 1), colon + 1) < 0)
			continue;
		path++;
		if (v2 ? *list != '\0'
		       : !list_has(list, ',', controller_names[controller]))
			continue;
		r = str_format(buf, size, "%.*s", (int)strcspn(path, "\n"), path);
		return r < 0 ? err_set(e, -r, "use our own cgroup") : 0;
	}
	return err_say(e, ENOENT, "our own cgroup is not in /proc/self/cgroup");
}

/* Joins mount point and own path; `root` is what part of the hierarchy is mounted. */
static int join_path(const char *mountpoint, const char *root, const char *own, char *buf,
		     size_t size, struct err *e)
{
	size_t len = strcmp(root, "/") ? strlen(root) : 0;
	int r;

	if (len && (strncmp(own, root, len) || (own[len] && own[len] != '/')))
		return err_say(e, ENOENT,
			       "our cgroup %s is outside of what is mounted on %s", own,
			       mountpoint);
	own += len;
	r = str_format(buf, size, "%s%s", mountpoint, strcmp(own, "/") ? own : "");
	if (r < 0)
		return err_set(e, -r, "use the cgroup below %s", mountpoint);
	return 0;
}

/* The fields of a line of /proc/self/mountinfo that matter here. */
struct mount_line {
	char root[CGROUP_PATH_MAX], point[CGROUP_PATH_MAX], type[32], options[512];
};

static bool parse_mount_line(const char *line, struct mount_line *ret)
{
	const char *dash = strstr(line, " - cgroup");

	return dash &&
	       sscanf(line, "%*d %*d %*s %1023s %1023s", ret->root, ret->point) == 2 &&
	       sscanf(dash, " - %31s %*s %511s", ret->type, ret->options) == 2;
}

static int add_tree(struct cgroup_host *host, const char *self,
		    const struct mount_line *m, unsigned controllers, struct err *e)
{
	bool v2 = controllers == 0;
	struct cgroup_tree *t = &host->trees[v2 ? 0 : host->ntrees];
	char own[CGROUP_PATH_MAX] = "";
	int r = own_path(self, v2, v2 ? 0 : __builtin_ctz(controllers), own, sizeof(own),
			 e);

	if (r < 0)
		return r;
	r = join_path(m->point, m->root, own, t->path, sizeof(t->path), e);
	if (r < 0)
		return r;
	t->v2 = v2;
	t->controllers = controllers;
	if (!v2)
		host->ntrees++;
	return 0;
}

/* Fills trees from the mount table; trees[0].path stays empty without a v2 mount. */
static int find_trees(struct cgroup_host *host, const char *self, struct err *e)
{
	char line[4096];
	unsigned seen = 0;
	int r = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return err_set(e, errno, "open /proc/self/mountinfo");
	while (r == 0 && fgets(line, sizeof(line), f)) {
		struct mount_line m;
		unsigned mask;

		if (!parse_mount_line(line, &m))
			continue;
		if (!strcmp(m.type, "cgroup2") && !host->trees[0].path[0])
			r = add_tree(host, self, &m, 0, e);
		if (strcmp(m.type, "cgroup"))
			continue;
		mask = controllers_in(m.options, ',') & ~seen;
		if (!mask)
			continue;
		seen |= mask;
		r = add_tree(host, self, &m, mask, e);
	}
	fclose(f);
	return r;
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
	ssize_t n = fd_read_at(dir, "cgroup.controllers", text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (wanted & ~controllers_in(text, ' '))
		return -ENOENT;
	n = fd_read_at(dir, "cgroup.subtree_control", text, sizeof(text));
	if (n < 0)
		return (int)n;
	wanted &= ~controllers_in(text, ' ');
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
	return controllers_in(text, ' ');
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

/* The length of the v2 mount point in path, which is own path appended to it. */
static int v2_mount_len(const char *self, const char *path, size_t *ret, struct err *e)
{
	char own[CGROUP_PATH_MAX] = "";
	int r = own_path(self, true, 0, own, sizeof(own), e);
	size_t len = strlen(path), tail = strcmp(own, "/") ? strlen(own) : 0;

	if (r < 0)
		return r;
	*ret = len >= tail && !strcmp(path + len - tail, own) ? len - tail : len;
	return 0;
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

static int host_open(const struct cgroup_limits *limits, struct cgroup_host *host,
		     struct err *e)
{
	struct cgroup_tree *v2 = &host->trees[0];
	unsigned bound_to_v1 = 0;
	size_t mount_len = 0;
	char self[OWN_CGROUP_MAX];
	ssize_t n = fd_read_at(AT_FDCWD, "/proc/self/cgroup", self, sizeof(self));
	int r;

	if (n < 0)
		return err_set(e, (int)-n, "read /proc/self/cgroup");
	r = find_trees(host, self, e);
	if (r < 0)
		return r;
	if (!v2->path[0])
		return err_say(e, ENOTSUP,
			       "no cgroup2 file system is mounted on this host");
	for (unsigned i = 1; i < host->ntrees; i++) {
		bound_to_v1 |= host->trees[i].controllers;
		r = open_tree_dir(&host->trees[i], e);
		if (r < 0)
			return r;
	}
	r = v2_mount_len(self, v2->path, &mount_len, e);
	if (r < 0)
		return r;
	v2->controllers = controllers_of_v2(v2->path, mount_len) & ~bound_to_v1;
	r = check_limits(host, limits, e);
	if (r < 0)
		return r;
	return settle_v2_parent(v2, mount_len, e);
}

int cgroup_host_open(const struct cgroup_limits *limits, struct cgroup_host *ret,
		     struct err *e)
{
	int r;

	*ret = (struct cgroup_host){ .ntrees = 1 };
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		ret->trees[i].dir = -1;
	ret->trees[0].v2 = true;
	r = host_open(limits, ret, e);
	if (r < 0)
		cgroup_host_close(ret);
	return r;
}

void cgroup_host_close(struct cgroup_host *host)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		fd_close(&host->trees[i].dir);
}
