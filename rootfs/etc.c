/* SPDX-License-Identifier: Apache-2.0 */
/* The made-up /etc, and what of the host's /etc shows through it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "rootfs/etc.h"
#include "rootfs/skeleton.h"
#include "rootfs/tree.h"

static int fill_names(int dir, const struct rootfs_owner *owner, struct err *e)
{
	char text[512];
	struct str s = str_over(text, sizeof(text));
	int r;

	str_add(&s, "root:x:0:0:root:/root:/usr/sbin/nologin\n");
	str_add(&s, "user:x:%u:%u:user:" ROOTFS_HOME ":/bin/bash\n", (unsigned)owner->uid,
		(unsigned)owner->gid);
	str_add(&s, "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
	r = skeleton_file(dir, "passwd", text, e);
	if (r < 0)
		return r;
	s = str_over(text, sizeof(text));
	str_add(&s, "root:x:0:\ntty:x:5:\n");
	str_add(&s, "user:x:%u:\n", (unsigned)owner->gid);
	str_add(&s, "nogroup:x:65534:\n");
	return skeleton_file(dir, "group", text, e);
}

/* What does not depend on this sandbox. */
static int fill_constants(int dir, struct err *e)
{
	char zone[PATH_MAX];
	ssize_t n;
	int r = skeleton_file(dir, "nsswitch.conf",
			      "passwd: files\ngroup: files\nhosts: files dns\n"
			      "services: files\nprotocols: files\n",
			      e);

	if (r == 0)
		r = skeleton_link(dir, "os-release", "../usr/lib/os-release", e);
	if (r == 0)
		r = skeleton_link(dir, "mtab", "../proc/self/mounts", e);
	if (r < 0)
		return r;
	/* A link into /usr/share/zoneinfo; anything else is the host's own business. */
	n = readlink("/etc/localtime", zone, sizeof(zone) - 1);
	if (n < 0)
		return 0;
	zone[n] = '\0';
	if (strncmp(zone, "/usr/share/zoneinfo/", 20))
		return 0;
	return skeleton_link(dir, "localtime", zone, e);
}

int etc_fill(int dir, const struct rootfs_plan *plan, const struct rootfs_owner *owner,
	     bool whole, struct err *e)
{
	char text[512];
	struct str s = str_over(text, sizeof(text));
	int r;

	str_add(&s, "127.0.0.1\tlocalhost %s\n::1\tlocalhost %s\n", plan->hostname,
		plan->hostname);
	r = skeleton_file(dir, "hosts", text, e);
	if (r < 0)
		return r;
	s = str_over(text, sizeof(text));
	str_add(&s, "%s\n", plan->hostname);
	r = skeleton_file(dir, "hostname", text, e);
	if (r == 0)
		r = skeleton_file(dir, "resolv.conf", "", e);
	if (r == 0 && whole)
		r = fill_names(dir, owner, e);
	if (r == 0 && whole)
		r = fill_constants(dir, e);
	return r;
}

/* What of the host's /etc programs in /usr need to find, and nothing that is the host's
 * own: no names, no keys, no network configuration. */
static const char *const shown[] = {
	"alternatives", "fonts",           "java-*-openjdk", "ld.so.cache",
	"mime.types",   "protocols",       "python3*",       "services",
	"ssl/certs",    "ssl/openssl.cnf", "terminfo",
};

static int show(int host_etc, int root, const char *name, struct err *e)
{
	char path[NAME_MAX + 32];
	auto_fd tree = -1, target = -1;
	struct stat st;
	int r;

	if (fstatat(host_etc, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(e, errno, "stat /etc/%s", name);
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0;
	r = str_format(path, sizeof(path), "/etc/%s", name);
	if (r < 0)
		return err_set(e, -r, "name /etc/%s", name);
	r = skeleton_path(root, path, S_ISDIR(st.st_mode), e);
	if (r == 0)
		r = tree_clone(host_etc, name, &tree, e);
	if (r == 0)
		r = tree_attach(tree, root, path + 1, e);
	return r;
}

static int show_matching(int host_etc, int root, const char *pattern, struct err *e)
{
	int fd = openat(host_etc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		fd_close(&fd);
		return err_set(e, errno, "list /etc");
	}
	while (r == 0 && (d = readdir(dir))) {
		if (fnmatch(pattern, d->d_name, FNM_PERIOD) == 0)
			r = show(host_etc, root, d->d_name, e);
	}
	closedir(dir);
	return r;
}

int etc_show_host(int host_etc, int root, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(shown) / sizeof(*shown); i++) {
		if (strchr(shown[i], '*'))
			r = show_matching(host_etc, root, shown[i], e);
		else
			r = show(host_etc, root, shown[i], e);
	}
	return r;
}
