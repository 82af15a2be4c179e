/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "rootfs/remove.h"

/* A walk over one directory after the other, with what is too deep put into `trash`. */
struct walk {
	int trash;
	uint64_t moved; /* names given so far */
	struct removed *removed;
};

static int open_dir(int dirfd, const char *name, DIR **ret, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret = fd < 0 ? NULL : fdopendir(fd);
	if (*ret)
		return 0;
	err_set(e, errno, "list %s", name);
	fd_close(&fd);
	return e->code;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static void count(const struct walk *w, int dirfd, const char *name)
{
	struct stat st;

	if (!w->removed || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	w->removed->files++;
	if (S_ISREG(st.st_mode) && st.st_nlink == 1)
		w->removed->bytes += (uint64_t)st.st_size;
}

/* Removes it unless it is a directory with something in it: −ENOTEMPTY. */
static int remove_one(const struct walk *w, int dirfd, const char *name, struct err *e)
{
	count(w, dirfd, name);
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_set(e, errno, "remove %s", name);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (w->removed && errno == ENOTEMPTY)
		w->removed->files--; /* it will be counted when it goes */
	return err_set(e, errno, "remove %s", name);
}

/* Under a name that nobody has there. */
static int move_up(struct walk *w, int dirfd, const char *name, struct err *e)
{
	char new_name[32];

	do {
		bug_on(str_format(new_name, sizeof(new_name), "moved-%" PRIu64,
				  w->moved++) < 0);
		if (renameat2(dirfd, name, w->trash, new_name, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return err_set(e, errno, "move %s out of the way", name);
}

/* Leaves `name`, a directory, empty: what is in it is removed or moved up. */
static int empty(struct walk *w, int parent, const char *name, struct err *e)
{
	struct dirent *d;
	DIR *dir = NULL;
	int r = open_dir(parent, name, &dir, e);

	while (r == 0 && dir && (d = readdir(dir))) {
		if (is_dots(d->d_name))
			continue;
		r = remove_one(w, dirfd(dir), d->d_name, e);
		if (r == -ENOTEMPTY)
			r = move_up(w, dirfd(dir), d->d_name, e);
	}
	if (dir)
		closedir(dir);
	return r;
}

/* One directory, and what is moved up on the way. */
static int remove_here(struct walk *w, int dirfd, const char *name, struct err *e)
{
	int r = remove_one(w, dirfd, name, e);

	/* Some file systems list an entry anew that they have listed already, or not at
	 * all while others go: so until it is empty. */
	while (r == -ENOTEMPTY) {
		r = empty(w, dirfd, name, e);
		if (r == 0)
			r = remove_one(w, dirfd, name, e);
	}
	return r;
}

/* Everything in the directory once over; *ret_found: was there anything? */
static int sweep_once(struct walk *w, int directory, const char *keep, bool *ret_found,
		      struct err *e)
{
	struct dirent *d;
	DIR *dir = NULL;
	int r = open_dir(directory, ".", &dir, e);

	*ret_found = false;
	while (r == 0 && dir && (d = readdir(dir))) {
		if (is_dots(d->d_name) || (keep && !strcmp(d->d_name, keep)))
			continue;
		*ret_found = true;
		r = remove_here(w, dirfd(dir), d->d_name, e);
	}
	if (dir)
		closedir(dir);
	return r;
}

int remove_content(int directory, const char *keep, struct removed *removed,
		   struct err *e)
{
	struct walk w = { .trash = directory, .removed = removed };
	bool found = true;
	int r = 0;

	while (r == 0 && found)
		r = sweep_once(&w, directory, keep, &found, e);
	return r;
}

int remove_tree(int directory, const char *name, int trash, struct removed *removed,
		struct err *e)
{
	struct walk w = { .trash = trash, .removed = removed };
	int r = remove_here(&w, directory, name, e);

	return r == 0 ? remove_content(trash, NULL, removed, e) : r;
}
