/* SPDX-License-Identifier: Apache-2.0 */
/* Deciding what is mounted where: text in, sorted plan out, no system call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "rootfs/rootfs.h"

/* Places that are ours, and what a user may still mount there. */
static const char *const reserved[] = { "/proc", "/dev", "/sys" };

/* Is path equal to top, or below it? */
static bool is_within(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && (path[len] == '\0' || path[len] == '/');
}

/* An absolute path without empty, "." or ".." parts and without a slash at its end. */
static bool is_normal(const char *path)
{
	const char *part = path;

	if (*part != '/')
		return false;
	while (part) {
		size_t len = strcspn(++part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part = strchr(part, '/');
	}
	return true;
}

/* What would be shown differently in the mount table than it is. */
static bool has_control(const char *path)
{
	for (; *path; path++) {
		if ((unsigned char)*path < 0x20 || *path == 0x7f)
			return true;
	}
	return false;
}

static int check_target(const struct rootfs_mount *m, struct err *e)
{
	if (strlen(m->target) >= ROOTFS_TARGET_MAX)
		return err_set(e, ENAMETOOLONG, "mount on %.40s...", m->target);
	if (has_control(m->target))
		return err_say(e, EINVAL, "mount point \"%s\" has a control character",
			       m->target);
	if (!is_normal(m->target))
		return err_say(
			e, EINVAL,
			"mount point \"%s\" is not an absolute path without \".\", "
			"\"..\" or \"//\"",
			m->target);
	if (m->type == ROOTFS_TMPFS && !strcmp(m->target, "/dev/shm"))
		return 0;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
		if (is_within(m->target, reserved[i]))
			return err_say(e, EINVAL, "nothing can be mounted below %s",
				       reserved[i]);
	}
	return 0;
}

/* Takes a copy of *m into the plan. One that is already there for the same target gives
 * way if it is a default, and is an error otherwise. */
static int add(struct rootfs_plan *plan, const struct rootfs_mount *m, struct err *e)
{
	struct rootfs_mount new;
	unsigned i = 0;
	int r = check_target(m, e);

	if (r < 0)
		return r;
	while (i < plan->count && strcmp(plan->mounts[i].target, m->target))
		i++;
	if (i < plan->count && !plan->mounts[i].by_default)
		return err_say(e, EEXIST, "two mounts on %s", m->target);
	if (i == ROOTFS_MOUNTS_MAX)
		return err_say(e, E2BIG, "more than %d mounts", ROOTFS_MOUNTS_MAX);
	new = *m;
	/* Another size for /tmp or the home directory makes nothing else of it. */
	if (i < plan->count && m->type == ROOTFS_TMPFS) {
		new.mode = plan->mounts[i].mode;
		new.owned = plan->mounts[i].owned;
		new.no_exec = plan->mounts[i].no_exec;
	}
	plan->mounts[i] = new;
	if (i == plan->count)
		plan->count++;
	return 0;
}

static void add_default(struct rootfs_plan *plan, const char *target, mode_t mode,
			bool owned, bool no_exec)
{
	struct rootfs_mount m = {
		.type = ROOTFS_TMPFS,
		.target = target,
		.size = ROOTFS_TMPFS_SIZE,
		.mode = mode,
		.owned = owned,
		.no_exec = no_exec,
		.by_default = true,
	};
	struct err e;

	bug_on(add(plan, &m, &e) < 0);
}

void rootfs_plan_init(struct rootfs_plan *plan)
{
	*plan = (struct rootfs_plan){ .hostname = "carrel", .resolv_conf = "" };
	add_default(plan, "/tmp", 01777, false, false);
	add_default(plan, "/run", 0755, true, true);
	add_default(plan, "/dev/shm", 01777, false, true);
	add_default(plan, ROOTFS_HOME, 0700, true, false);
}

/* Cuts text at the first ':' and returns what follows it, or NULL. */
static char *cut(char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

int rootfs_plan_volume(struct rootfs_plan *plan, char *text, struct err *e)
{
	struct rootfs_mount m = { .type = ROOTFS_VOLUME, .source = text };
	char *target = cut(text);
	char *mode = target ? cut(target) : NULL;

	if (!target || !*text)
		return err_say(e, EINVAL, "expected SRC:DST[:ro]");
	if (mode && strcmp(mode, "ro") && strcmp(mode, "rw"))
		return err_say(e, EINVAL, "volume mode \"%s\" is neither ro nor rw",
			       mode);
	m.read_only = mode && !strcmp(mode, "ro");
	m.target = target;
	return add(plan, &m, e);
}

int rootfs_plan_workspace(struct rootfs_plan *plan, const char *directory, struct err *e)
{
	struct rootfs_mount m = { .type = ROOTFS_VOLUME,
				  .source = directory,
				  .target = ROOTFS_WORKSPACE,
				  .workspace = true };

	return add(plan, &m, e);
}

void rootfs_plan_scratch(struct rootfs_plan *plan, const char *target)
{
	for (unsigned i = 0; i < plan->count; i++) {
		if (!strcmp(plan->mounts[i].target, target))
			return;
	}
	add_default(plan, target, 01777, false, false);
}

int rootfs_plan_tmpfs(struct rootfs_plan *plan, char *text, struct err *e)
{
	struct rootfs_mount m = { .type = ROOTFS_TMPFS,
				  .target = text,
				  .size = ROOTFS_TMPFS_SIZE,
				  .mode = 01777 };
	const char *option = cut(text);

	if (option && (strncmp(option, "size=", 5) ||
		       num_parse_size(option + 5, &m.size) < 0 || m.size == 0))
		return err_say(e, EINVAL, "\"%s\" is not size=SIZE, such as size=64m",
			       option);
	return add(plan, &m, e);
}

static int by_target(const void *a, const void *b)
{
	const struct rootfs_mount *x = a, *y = b;

	return strcmp(x->target, y->target);
}

int rootfs_plan_finish(struct rootfs_plan *plan, struct err *e)
{
	/* A path sorts behind each of its own beginnings. */
	qsort(plan->mounts, plan->count, sizeof(*plan->mounts), by_target);
	for (unsigned i = 0; i < plan->count; i++) {
		const struct rootfs_mount *m = &plan->mounts[i];

		if (m->type == ROOTFS_VOLUME && !*m->source)
			return err_say(e, EINVAL, "the volume for %s has no source",
				       m->target);
	}
	return 0;
}
