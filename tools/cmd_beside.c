/* SPDX-License-Identifier: Apache-2.0 */
/* carrel top, carrel rootfs: other programs, so that this one stays free of the libraries
 * that they need. They lie beside it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/carrel.h"
#include "tools/verb.h"

enum { PATH_SIZE = 4096 };

static int find(const char *name, char path[PATH_SIZE])
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_SIZE - 1);
	char *slash;

	if (len < 0)
		return -errno;
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	return str_format(slash + 1, PATH_SIZE - (size_t)(slash + 1 - path), "%s", name);
}

/* Returns only on failure. */
static int become(const char *name, char **words, struct err *e)
{
	char path[PATH_SIZE];
	auto_free char **argv = NULL;
	size_t count = 0;
	int r = find(name, path);

	if (r < 0)
		return err_set(e, -r, "find %s", name);
	while (words[count])
		count++;
	argv = calloc(count + 2, sizeof(*argv));
	if (!argv)
		return err_set(e, ENOMEM, "run %s", name);
	argv[0] = path;
	memcpy(argv + 1, words, count * sizeof(*argv));
	execv(path, argv);
	if (errno == ENOENT)
		return err_say(e, ENOENT, "%s is not installed beside carrel", name);
	return err_set(e, errno, "run %s", name);
}

static int run(const char *verb, const char *name, char **words)
{
	struct err e = { 0 };

	err_ignore(become(name, words, &e) < 0); /* it is what is told */
	verb_complain(verb, &e);
	return RUN_STATUS_FAILED;
}

int cmd_top(char **argv)
{
	return run("top", "carrel-top", argv);
}

int cmd_rootfs(char **argv)
{
	return run("rootfs", "carrel-rootfs", argv);
}
