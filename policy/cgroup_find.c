/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup_find.h"

enum { OWN_CGROUP_MAX = 8192 }; /* of /proc/self/cgroup: a dozen paths */

/* --- /proc/self/cgroup ------------------------------------------------------------- */

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

unsigned cgroup_controllers_in(const char *list, char sep)
{
	unsigned mask = 0;

	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (list_has(list, sep, cgroup_controller_name(c)))
			mask |= 1u << c;
	}
	return mask;
}

/* A line "ID:CONTROLLERS:PATH", whose list is empty for v2. */
struct own_line {
	char list[256], path[CGROUP_PATH_MAX];
};

/* The first line that there is at *text, which is moved behind it. False at the end. */
static bool next_line(const char **text, struct own_line *ret)
{
	while (**text) {
		const char *line = *text, *end = strchrnul(line, '\n');
		const char *list = memchr(line, ':', (size_t)(end - line));
		const char *path =
			list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;

		*text = *end ? end + 1 : end;
		if (path &&
		    str_format(ret->list, sizeof(ret->list), "%.*s",
			       (int)(path - list - 1), list + 1) == 0 &&
		    str_format(ret->path, sizeof(ret->path), "%.*s",
			       (int)(end - path - 1), path + 1) == 0)
			return true;
	}
	return false;
}

/* Our own path in the hierarchy: v2's where no controller is asked for, or that of the v1
 * one which has one of them. */
static int own_path(const char *self, unsigned controllers, struct own_line *ret,
		    struct err *e)
{
	while (next_line(&self, ret)) {
		if (controllers ? cgroup_controllers_in(ret->list, ',') & controllers
				: !*ret->list)
			return 0;
	}
	return err_say(e, ENOENT, "our own cgroup is not in /proc/self/cgroup");
}

/* --- the usual places -------------------------------------------------------------- */

#define USUAL_PLACE "/sys/fs/cgroup"

/* False where the directory is not there or of another file system. */
static bool open_at(const char *place, const char *list, const char *own, long magic,
		    struct cgroup_tree *t)
{
	struct statfs fs;

	if (str_format(t->path, sizeof(t->path), "%s%s%s%s", place, *list ? "/" : "",
		       list, strcmp(own, "/") ? own : "") < 0)
		return false;
	t->dir = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return t->dir >= 0 && fstatfs(t->dir, &fs) == 0 && fs.f_type == magic;
}

static bool find_v2_usually(const char *own, struct cgroup_tree *t, size_t *ret_mount_len)
{
	static const char *const places[] = { USUAL_PLACE, USUAL_PLACE "/unified" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		bool found = open_at(places[i], "", own, CGROUP2_SUPER_MAGIC, t);

		fd_close(&t->dir);
		*ret_mount_len = strlen(places[i]);
		if (found)
			return true;
	}
	return false;
}

/* Nearly every host has its hierarchies where systemd mounts them, and reading the list
 * of mounts takes as long as making all the groups. One that is mounted elsewhere, or
 * only in part, has no such directory. */
static bool find_usually(const char *self, struct cgroup_host *host,
			 size_t *ret_mount_len)
{
	struct own_line line;
	bool found = false;

	while (next_line(&self, &line)) {
		unsigned mask = cgroup_controllers_in(line.list, ',');
		struct cgroup_tree *t = &host->trees[host->ntrees];

		/* Ours is not below what is mounted. */
		if (!strncmp(line.path, "/..", 3))
			return false;
		if (!*line.list)
			found = find_v2_usually(line.path, &host->trees[0],
						ret_mount_len);
		if (!mask)
			continue;
		/* The kernel names no controller twice. */
		if (host->ntrees == CGROUP_TREE_MAX)
			return false;
		t->controllers = mask;
		host->ntrees++;
		if (!open_at(USUAL_PLACE, line.list, line.path, CGROUP_SUPER_MAGIC, t))
			return false;
	}
	return found;
}

/* --- the list of mounts ------------------------------------------------------------ */

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

/* Joins mount point and own path; the mount's root is what part of the hierarchy it
 * shows. */
static int join_path(const struct mount_line *m, const char *own, char *buf, size_t size,
		     struct err *e)
{
	size_t len = strcmp(m->root, "/") ? strlen(m->root) : 0;
	int r;

	if (len && (strncmp(own, m->root, len) || (own[len] && own[len] != '/')))
		return err_say(e, ENOENT,
			       "our cgroup %s is outside of what is mounted on %s", own,
			       m->point);
	own += len;
	r = str_format(buf, size, "%s%s", m->point, strcmp(own, "/") ? own : "");
	if (r < 0)
		return err_set(e, -r, "use the cgroup below %s", m->point);
	return 0;
}

static int add_v2(struct cgroup_host *host, const char *self, const struct mount_line *m,
		  size_t *ret_mount_len, struct err *e)
{
	struct cgroup_tree *t = &host->trees[0];
	struct own_line own;
	int r = own_path(self, 0, &own, e);

	*ret_mount_len = strlen(m->point);
	return r == 0 ? join_path(m, own.path, t->path, sizeof(t->path), e) : r;
}

static int add_v1(struct cgroup_host *host, const char *self, const struct mount_line *m,
		  unsigned controllers, struct err *e)
{
	struct cgroup_tree *t = &host->trees[host->ntrees];
	struct own_line own;
	int r = own_path(self, controllers, &own, e);

	if (r == 0)
		r = join_path(m, own.path, t->path, sizeof(t->path), e);
	if (r < 0)
		return r;
	t->controllers = controllers;
	host->ntrees++;
	t->dir = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return t->dir < 0 ? err_set(e, errno, "open cgroup %s", t->path) : 0;
}

/* trees[0].path stays empty without a v2 mount. */
static int find_in_mounts(const char *self, struct cgroup_host *host,
			  size_t *ret_mount_len, struct err *e)
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
			r = add_v2(host, self, &m, ret_mount_len, e);
		if (strcmp(m.type, "cgroup"))
			continue;
		mask = cgroup_controllers_in(m.options, ',') & ~seen;
		if (!mask)
			continue;
		seen |= mask;
		r = add_v1(host, self, &m, mask, e);
	}
	fclose(f);
	return r;
}

static void forget(struct cgroup_host *host)
{
	for (unsigned i = 0; i < CGROUP_TREE_MAX; i++) {
		fd_close(&host->trees[i].dir);
		host->trees[i] = (struct cgroup_tree){ .v2 = i == 0, .dir = -1 };
	}
	host->ntrees = 1;
}

int cgroup_find(struct cgroup_host *host, size_t *ret_mount_len, struct err *e)
{
	char self[OWN_CGROUP_MAX];
	ssize_t n = fd_read_at(AT_FDCWD, "/proc/self/cgroup", self, sizeof(self));
	int r;

	if (n < 0)
		return err_set(e, (int)-n, "read /proc/self/cgroup");
	forget(host);
	if (find_usually(self, host, ret_mount_len))
		return 0;
	forget(host);
	r = find_in_mounts(self, host, ret_mount_len, e);
	if (r == 0 && !host->trees[0].path[0])
		return err_say(e, ENOTSUP,
			       "no cgroup2 file system is mounted on this host");
	return r;
}
