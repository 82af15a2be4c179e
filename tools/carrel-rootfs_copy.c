/* SPDX-License-Identifier: Apache-2.0 */
/* A directory, copied: by descriptors, for it may change while it is read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/carrel-rootfs.h"

enum { BUFFER_SIZE = 256 << 10, PATH_SIZE = 4096 };

/* A file that has several names: the one that was copied. */
struct twin {
	dev_t dev;
	ino_t ino;
	char path[];
};

struct copy {
	struct unpack *u;
	void *twins; /* tree of them */
	struct twin *newest; /* in the tree, too; which gcc's analyser cannot see */
	char path[PATH_SIZE]; /* of what is being copied, relative */
	char buffer[BUFFER_SIZE];
};

static int copy_entries(struct copy *c, DIR *dir, struct err *e);

/* It is not ours to read, and nobody inside could. */
static bool is_private(struct copy *c)
{
	if (errno != EACCES && errno != EPERM)
		return false;
	c->u->counts.unreadable++;
	return true;
}

static int by_inode(const void *a, const void *b)
{
	const struct twin *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino == y->ino ? 0 : x->ino < y->ino ? -1 : 1;
}

/* NULL: this is the first name that is seen of it, and it is remembered. */
static int find_twin(struct copy *c, const struct stat *st, const char **ret,
		     struct err *e)
{
	size_t size = strlen(c->path) + 1;
	struct twin *new = malloc(sizeof(*new) + size), **found;

	if (!new)
		return err_set(e, ENOMEM, "remember a hard link");
	new->dev = st->st_dev;
	new->ino = st->st_ino;
	memcpy(new->path, c->path, size);
	found = tsearch(new, &c->twins, by_inode);
	if (!found || *found != new)
		free(new);
	if (!found)
		return err_set(e, ENOMEM, "remember a hard link");
	if (*found == new)
		c->newest = new;
	*ret = *found == new ? NULL : (*found)->path;
	return 0;
}

/* Data alone, so that holes stay holes. */
static int copy_data(struct copy *c, int from, struct unpack_file *to, struct err *e)
{
	off_t at = 0, start, end;
	int r = 0;

	while (r == 0 && (start = lseek(from, at, SEEK_DATA)) >= 0 &&
	       (uint64_t)start < to->size) {
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0 || (uint64_t)end > to->size)
			end = (off_t)to->size;
		for (at = start; r == 0 && at < end;) {
			size_t room = sizeof(c->buffer);
			ssize_t n;

			if (room > (size_t)(end - at))
				room = (size_t)(end - at);
			n = pread(from, c->buffer, room, at);
			if (n < 0)
				return err_set(e, errno, "read %.100s", c->path);
			if (n == 0)
				return 0; /* it has become shorter */
			r = unpack_write(to, c->buffer, (size_t)n, (uint64_t)at, e);
			at += n;
		}
	}
	return r;
}

static int copy_content(struct copy *c, int from, const struct stat *st, struct err *e)
{
	struct unpack_meta meta = { st->st_mode, st->st_mtim, (uint64_t)st->st_size };
	struct unpack_file to = { .fd = -1 };
	struct err ignored;
	int r = unpack_open(c->u, c->path, &meta, &to, e);

	if (r < 0)
		return r;
	r = copy_data(c, from, &to, e);
	if (r == 0)
		return unpack_close(&to, e);
	err_ignore(unpack_close(&to, &ignored) < 0);
	return r;
}

static int copy_file(struct copy *c, int dir, const char *name, struct err *e)
{
	auto_fd from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *twin = NULL;
	struct stat st;
	int r = 0;

	if (from < 0 || fstat(from, &st) < 0)
		return is_private(c) ? 0 : err_set(e, errno, "read %.100s", c->path);
	if (!S_ISREG(st.st_mode))
		return err_say(e, EBUSY, "%.100s changes while it is read", c->path);
	if (st.st_nlink > 1)
		r = find_twin(c, &st, &twin, e);
	if (r == 0)
		r = unpack_admit(c->u, twin ? 0 : (uint64_t)st.st_size, e);
	if (r < 0)
		return r;
	return twin ? unpack_hardlink(c->u, c->path, twin, e)
		    : copy_content(c, from, &st, e);
}

static int copy_link(struct copy *c, int dir, const char *name, struct err *e)
{
	char target[PATH_SIZE];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	int r = unpack_admit(c->u, 0, e);

	if (r < 0)
		return r;
	if (n < 0)
		return err_set(e, errno, "read link %.100s", c->path);
	target[n] = '\0';
	return unpack_symlink(c->u, c->path, target, e);
}

static int copy_dir(struct copy *c, int dir, const char *name, const struct stat *st,
		    struct err *e)
{
	struct unpack_meta meta = { .mode = st->st_mode };
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list) {
		r = is_private(c) ? 0 : err_set(e, errno, "list %.100s", c->path);
		fd_close(&fd);
		return r;
	}
	r = unpack_admit(c->u, 0, e);
	/* Refuses what is too deep, before this goes too deep. */
	if (r == 0)
		r = unpack_directory(c->u, c->path, &meta, e);
	if (r == 0)
		r = copy_entries(c, list, e);
	closedir(list);
	return r;
}

static int copy_one(struct copy *c, int dir, const char *name, struct err *e)
{
	struct stat st;
	int r;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return is_private(c) ? 0 : err_set(e, errno, "look at %.100s", c->path);
	if (S_ISDIR(st.st_mode))
		return copy_dir(c, dir, name, &st, e);
	if (S_ISREG(st.st_mode))
		return copy_file(c, dir, name, e);
	if (S_ISLNK(st.st_mode))
		return copy_link(c, dir, name, e);
	r = unpack_admit(c->u, 0, e);
	if (r == 0)
		unpack_leave_out(c->u, st.st_mode);
	return r;
}

static int copy_entries(struct copy *c, DIR *dir, struct err *e)
{
	size_t len = strlen(c->path);
	struct dirent *d;
	int r = 0;

	while (r == 0 && (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		r = str_format(c->path + len, sizeof(c->path) - len, "/%s", d->d_name);
		r = r < 0 ? err_set(e, -r, "copy %.100s", d->d_name)
			  : copy_one(c, dirfd(dir), d->d_name, e);
		c->path[len] = '\0';
	}
	return r;
}

int copy_directory(int source, struct unpack *u, struct err *e)
{
	static struct copy c;
	int fd = openat(source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		err_set(e, errno, "list the directory");
		fd_close(&fd);
		return e->code;
	}
	c.u = u;
	r = copy_entries(&c, dir, e);
	closedir(dir);
	tdestroy(c.twins, free);
	return r;
}
