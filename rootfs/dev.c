/* SPDX-License-Identifier: Apache-2.0 */
/* The made-up /dev. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rootfs/skeleton.h"

/* Numbers: Documentation/admin-guide/devices.txt of the kernel. */
static const struct {
	const char *name;
	unsigned major, minor;
} nodes[] = {
	{ "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
	{ "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },
};

int dev_fill(int dir, struct err *e)
{
	int r = skeleton_dir(dir, "pts", 0755, e);

	if (r == 0)
		r = skeleton_dir(dir, "shm", 0755, e);
	for (size_t i = 0; r == 0 && i < sizeof(links) / sizeof(*links); i++)
		r = skeleton_link(dir, links[i].name, links[i].target, e);
	if (r < 0)
		return r;
	/* Nodes of our own rather than binds of the host's: a lock on /dev/null would
	 * otherwise be seen by everybody (E-27). The umask is 0 here. */
	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		if (mknodat(dir, nodes[i].name, S_IFCHR | 0666,
			    makedev(nodes[i].major, nodes[i].minor)) < 0)
			return err_set(e, errno, "make device node /dev/%s",
				       nodes[i].name);
	}
	return 0;
}
