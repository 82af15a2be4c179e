/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/state_dir.h"
#include "base/str.h"

static int open_parent_checked(int parent, const char *name, int *ret, struct err *e)
{
	struct stat st;

	*ret = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret < 0)
		return err_set(e, errno, "open %s", name);
	if (fstat(*ret, &st) < 0)
		return err_set(e, errno, "stat %s", name);
	/* Whoever can write a parent can put another directory in its place (E-08). */
	if (st.st_uid != 0 || (st.st_mode & 022))
		return err_say(e, EPERM,
			       "%s belongs to uid %u with mode %o: must be root's alone "
			       "to write",
			       name, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	return 0;
}

int state_dir_open(const char *path, int *ret, struct err *e)
{
	auto_fd dir = -1;
	char part[NAME_MAX + 1];
	int r = open_parent_checked(AT_FDCWD, "/", &dir, e);

	if (*path != '/')
		return err_say(e, EINVAL, "not an absolute path");
	while (r == 0 && *path) {
		size_t len = strcspn(++path, "/");
		int next = -1;

		r = str_format(part, sizeof(part), "%.*s", (int)len, path);
		if (r < 0)
			return err_set(e, -r, "open %s", path);
		path += len;
		if (!len)
			continue;
		if (!*path && mkdirat(dir, part, 0700) < 0 && errno != EEXIST)
			return err_set(e, errno, "make %s", part);
		r = open_parent_checked(dir, part, &next, e);
		fd_close(&dir);
		dir = next;
	}
	if (r == 0)
		*ret = fd_take(&dir);
	return r;
}
