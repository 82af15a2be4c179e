/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/sys.h"
#include "tools/user_file.h"

int user_file_open(const char *path, long max, FILE **ret, struct err *e)
{
	auto_fd fd = sys_openat2(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
				 RESOLVE_NO_SYMLINKS);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_say(e, ELOOP, "%s is or passes through a symbolic link", path);
	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_say(e, EINVAL, "%s is not a regular file", path);
	if (st.st_size > max)
		return err_say(e, EFBIG, "%s has more than %ld bytes", path, max);
	*ret = fdopen(fd, "r");
	if (!*ret)
		return err_set(e, errno, "open %s", path);
	fd_take(&fd);
	return 0;
}

int user_file_lines(const char *path, long max,
		    int (*take)(void *context, char *line, size_t len, struct err *e),
		    void *context, struct err *e)
{
	char *line = NULL; /* freed by hand: the analyser loses track of getline() */
	unsigned number = 0;
	size_t size = 0;
	ssize_t len;
	FILE *f = NULL;
	int r = user_file_open(path, max, &f, e);

	if (r < 0)
		return r;
	while (r == 0 && (len = getline(&line, &size, f)) >= 0) {
		number++;
		r = take(context, line, (size_t)len, e);
		if (r < 0)
			err_wrap(e, "%s:%u", path, number);
	}
	if (r == 0 && ferror(f))
		r = err_set(e, errno, "read %s", path);
	free(line);
	fclose(f);
	return r;
}
