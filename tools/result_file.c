/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "tools/result_file.h"

/* openat2(2) makes no file under a umask of its own: the mode is ours to give. */
static int open_result(const char *path)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.mode = 0644,
		.resolve = RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

int result_file_open(const char *path, int *ret_fd, struct err *e)
{
	auto_fd fd = open_result(path);
	struct stat st;

	if (fd < 0)
		return err_set(e, errno, "--result-file: open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return err_say(
			e, EINVAL,
			"--result-file: %s is not a regular file with a single name",
			path);
	if (ftruncate(fd, 0) < 0)
		return err_set(e, errno, "--result-file: empty %s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}
