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
		r = skeleton_file(dir, "resolv.conf", plan->resolv_conf, e);
	if (r == 0 && whole)
		r = fill_names(dir, owner, e);
	if (r == 0 && whole)
		r = fill_constants(dir, e);
	return r;
}

/* What of the host's /etc programs in /usr need to find, and nothing that is the host's
 * own: no names, no keys, no network configuration. */
static const char *const shown[] = {
	"alternatives", "fonts",    "ld.so.cache", "mime.types",
	"protocols",    "services", "ssl/certs",   "ssl/openssl.cnf",
};

/* The same for names that carry a version. */
static const char *const shown_patterns[] = { "java-*-openjdk", "python3*" };

static int show(int host_etc, int etc, const char *name, struct err *e)
{
	auto_fd tree = -1;
	struct stat st;
	int r = tree_clone(host_etc, name, &tree, e);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (fstat(tree, &st) < 0)
		return err_set(e, errno, "stat /etc/%s", name);
	if (S_ISDIR(st.st_mode))
		r = skeleton_dir(etc, name, 0755, e);
	else if (S_ISREG(st.st_mode))
		r = skeleton_file(etc, name, "", e);
	else
		return 0;
	if (r == 0)
		r = tree_attach(tree, etc, name, e);
	return r;
}

static bool matches(const char *name)
{
	for (size_t i = 0; i < sizeof(shown_patterns) / sizeof(*shown_patterns); i++) {
		if (fnmatch(shown_patterns[i], name, FNM_PERIOD) == 0)
			return true;
	}
	return false;
}

/* Names are read from the host's directory itself: listing an overlay means merging it.
 */
static int show_matching(int listed, int host_etc, int etc, struct err *e)
{
	int fd = openat(listed, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		fd_close(&fd);
		return err_set(e, errno, "list /etc");
	}
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (matches(d->d_name))
			r = show(host_etc, etc, d->d_name, e);
	}
	if (r == 0 && errno)
		r = err_set(e, errno, "list /etc");
	closedir(dir);
	return r;
}

int etc_show_host(int listed, int host_etc, int etc, struct err *e)
{
	int r = skeleton_dir(etc, "ssl", 0755, e);

	for (size_t i = 0; r == 0 && i < sizeof(shown) / sizeof(*shown); i++)
		r = show(host_etc, etc, shown[i], e);
	if (r == 0)
		r = show_matching(listed, host_etc, etc, e);
	return r;
}
