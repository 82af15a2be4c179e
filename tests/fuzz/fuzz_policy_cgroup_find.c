/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's lists of hierarchies and mounts, whose paths others can have chosen: the
 * text of /proc/self/cgroup, a NUL, and lines of /proc/self/mountinfo. */

/* For its static functions: there is no other way in. */
#include "policy/cgroup_find.c"

#include "tests/fuzz/fuzz.h"

static void find(const char *self)
{
	struct cgroup_host host = { 0 };
	size_t mount_len = 0;

	for (unsigned i = 0; i < CGROUP_TREE_MAX; i++)
		host.trees[i].dir = -1;
	forget(&host);
	if (find_usually(self, &host, &mount_len))
		bug_on(host.ntrees > CGROUP_TREE_MAX);
	forget(&host);
}

static void join(const char *self, const char *line)
{
	char path[CGROUP_PATH_MAX];
	struct mount_line m;
	struct own_line own;
	struct err e;

	if (!parse_mount_line(line, &m))
		return;
	bug_on(strlen(m.type) >= sizeof(m.type));
	if (own_path(self, cgroup_controllers_in(m.options, ','), &own, &e) == 0 &&
	    join_path(&m, own.path, path, sizeof(path), &e) == 0)
		bug_on(strncmp(path, m.point, strlen(m.point)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[OWN_CGROUP_MAX + 1];
	size_t self;

	if (size > OWN_CGROUP_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	find(text);
	self = strlen(text);
	if (self < size)
		join(text, text + self + 1);
	return 0;
}
