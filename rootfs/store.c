/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/state_dir.h"
#include "base/str.h"
#include "rootfs/remove.h"
#include "rootfs/store.h"

#define TMP  ".tmp-"
#define LOCK "lock"

static const char name_first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char name_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

/* --- names ------------------------------------------------------------------------- */

bool store_is_name(const char *name)
{
	return *name && strchr(name_first, *name) && str_only(name, name_letters) &&
	       strlen(name) <= STORE_NAME_MAX && strcmp(name, STORE_HOST) != 0;
}

int store_check_name(const char *name, struct err *e)
{
	if (store_is_name(name))
		return 0;
	if (!strcmp(name, STORE_HOST))
		return err_say(e, EINVAL, "\"%s\" is the host's own", name);
	return err_say(e, EINVAL,
		       "\"%.80s\" is no name of a rootfs: expected up to %d of a-z, 0-9, "
		       "\"_\", \".\" and \"-\", the first a letter or digit",
		       name, STORE_NAME_MAX);
}

/* --- directories ------------------------------------------------------------------- */

static int open_dir(int parent, const char *name, int *ret, struct err *e)
{
	*ret = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? err_set(e, errno, "open %s", name) : 0;
}

/* `path` without its last part. */
static int make_above(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char above[PATH_MAX];
	auto_fd dir = -1;

	if (!slash || slash == path)
		return 0;
	if (str_format(above, sizeof(above), "%.*s", (int)(slash - path), path) < 0)
		return err_set(e, ENAMETOOLONG, "open %.80s", path);
	return state_dir_open(above, &dir, e);
}

int store_open(const char *path, bool make, int *ret, struct err *e)
{
	int r = 0;

	/* lint: nothing is opened here, and the path is the administrator's */
	if (!make && access(path, F_OK) < 0)
		return err_set(e, errno, "open the store %s", path);
	if (make)
		r = make_above(path, e);
	if (r == 0)
		r = state_dir_open(path, ret, e);
	return r < 0 ? err_wrap(e, "open the store %s", path) : 0;
}

static int lock_store(int store, int *ret, struct err *e)
{
	/* Not to be written: who only uses a rootfs may have it on a read-only disk. */
	auto_fd fd =
		openat(store, ".lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_set(e, errno, "lock the store");
	*ret = fd_take(&fd);
	return 0;
}

/* The lock of the rootfs in `dir`. −EBUSY: somebody else has it. */
static int lock_dir(int dir, int how, int *ret, struct err *e)
{
	auto_fd fd = openat(dir, LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, errno, "open its lock");
	if (flock(fd, how | LOCK_NB) < 0)
		return err_set(e, errno == EWOULDBLOCK ? EBUSY : errno, "lock it");
	*ret = fd_take(&fd);
	return 0;
}

static int make_tmp_name(char name[STORE_TMP_MAX], struct err *e)
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_set(e, errno, "get random bytes");
	bug_on(str_format(name, STORE_TMP_MAX, TMP "%08" PRIx32, number) < 0);
	return 0;
}

/* --- rubbish ----------------------------------------------------------------------- */

/* The lock goes last: until then the directory is seen to be somebody's. */
static int clear(int store, const char *name, int dir, struct err *e)
{
	int r = remove_content(dir, LOCK, NULL, e);

	if (r == 0 && unlinkat(dir, LOCK, 0) < 0 && errno != ENOENT)
		r = err_set(e, errno, "remove its lock");
	if (r == 0 && unlinkat(store, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = err_set(e, errno, "remove %s", name);
	return r;
}

/* One that nobody has locked becomes ours. Without a lock at all, it was being made or
 * removed when that was killed. With the store's lock held. */
static bool claim(int store, const char *name, struct store_import *ret)
{
	struct err ignored;
	int r = open_dir(store, name, &ret->dir, &ignored);

	if (r == 0)
		r = lock_dir(ret->dir, LOCK_EX, &ret->lock, &ignored);
	if (r < 0 && (r != -ENOENT || ret->dir < 0)) {
		fd_close(&ret->dir);
		return false;
	}
	bug_on(str_format(ret->name, sizeof(ret->name), "%s", name) < 0);
	return true;
}

static bool is_tmp(const char *name)
{
	return !strncmp(name, TMP, strlen(TMP)) && strlen(name) < STORE_TMP_MAX;
}

static void let_go(struct store_import *import)
{
	fd_close(&import->dir);
	fd_close(&import->lock);
	*import->name = '\0';
}

/* One that can be claimed, if there is any. −ENOENT: there is none. */
static int claim_any(int store, struct store_import *ret, struct err *e)
{
	auto_fd lock = -1;
	struct dirent *d;
	DIR *list;
	int fd = -1, r = lock_store(store, &lock, e);

	if (r == 0)
		r = open_dir(store, ".", &fd, e);
	list = r == 0 ? fdopendir(fd) : NULL;
	if (r == 0 && !list) {
		r = err_set(e, errno, "list the store");
		fd_close(&fd);
	}
	if (r < 0 || !list)
		return r;
	r = -ENOENT;
	while (r < 0 && (d = readdir(list))) {
		if (is_tmp(d->d_name) && claim(store, d->d_name, ret))
			r = 0;
	}
	closedir(list);
	return r;
}

int store_sweep(int store, struct err *e)
{
	for (;;) {
		struct store_import rubbish = STORE_IMPORT_NONE;
		int r = claim_any(store, &rubbish, e);

		if (r == -ENOENT)
			return 0;
		if (r == 0)
			r = clear(store, rubbish.name, rubbish.dir, e);
		let_go(&rubbish);
		if (r < 0)
			return err_wrap(e, "clear the store");
	}
}

/* --- imports ----------------------------------------------------------------------- */

static int make_import(int store, struct store_import *import, struct err *e)
{
	auto_fd lock = -1, made = -1;
	int r = make_tmp_name(import->name, e);

	if (r == 0)
		r = lock_store(store, &lock, e);
	if (r < 0)
		return r;
	if (mkdirat(store, import->name, 0700) < 0) {
		err_set(e, errno, "make %s", import->name);
		*import->name = '\0';
		return e->code;
	}
	r = open_dir(store, import->name, &import->dir, e);
	if (r < 0)
		return r;
	made = openat(import->dir, LOCK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (made < 0)
		return err_set(e, errno, "make its lock");
	return lock_dir(import->dir, LOCK_EX, &import->lock, e);
}

int store_begin(int store, struct store_import *ret, struct err *e)
{
	int r;

	*ret = STORE_IMPORT_NONE;
	r = store_sweep(store, e);
	if (r == 0)
		r = make_import(store, ret, e);
	if (r < 0)
		store_abandon(store, ret);
	return r;
}

static int give_name(int store, const struct store_import *import, const char *name,
		     bool replace, struct err *e)
{
	/* With EXCHANGE the old one is at once what the new one was: rubbish. */
	unsigned how =
		replace && store_has(store, name) ? RENAME_EXCHANGE : RENAME_NOREPLACE;

	if (renameat2(store, import->name, store, name, how) == 0)
		return 0;
	if (errno == EEXIST)
		return err_say(e, EEXIST,
			       "there is a rootfs called \"%s\"; --replace puts this one "
			       "in its place",
			       name);
	return err_set(e, errno, "give it the name %s", name);
}

int store_commit(int store, struct store_import *import, const char *name, bool replace,
		 struct err *e)
{
	char old[STORE_TMP_MAX];
	auto_fd lock = -1;
	bool replaced;
	int r;

	if (syncfs(import->dir) < 0)
		return err_set(e, errno, "write it to disk");
	r = lock_store(store, &lock, e);
	if (r < 0)
		return r;
	replaced = store_has(store, name);
	r = give_name(store, import, name, replace, e);
	if (r < 0)
		return r;
	memcpy(old, import->name, sizeof(old));
	let_go(import); /* it is everybody's now */
	if (fsync(store) < 0)
		return err_set(e, errno, "write the store to disk");
	replaced = replaced && claim(store, old, import);
	fd_close(&lock);
	if (replaced)
		store_abandon(store, import);
	return 0;
}

void store_abandon(int store, struct store_import *import)
{
	struct err ignored;

	/* What cannot be removed now is rubbish to the next one. */
	if (*import->name && import->dir >= 0)
		err_ignore(clear(store, import->name, import->dir, &ignored) < 0);
	else if (*import->name)
		unlinkat(store, import->name, AT_REMOVEDIR);
	let_go(import);
}

/* --- those that there are ---------------------------------------------------------- */

bool store_has(int store, const char *name)
{
	struct stat st;

	return fstatat(store, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int missing(const char *name, struct err *e)
{
	return err_say(e, ENOENT, "no rootfs is called \"%s\"", name);
}

int store_use(const char *path, const char *name, int *ret_root, int *ret_lock,
	      struct err *e)
{
	auto_fd store = -1, dir = -1, lock = -1, store_lock = -1;
	int r = store_check_name(name, e);

	if (r == 0)
		r = store_open(path, false, &store, e);
	if (r < 0)
		return r == -ENOENT ? missing(name, e) : r;
	/* Only what is removed is locked by somebody alone, and no longer has its name
	 * when we look at it with the store's lock held. */
	r = lock_store(store, &store_lock, e);
	if (r < 0)
		return r;
	if (!store_has(store, name))
		return missing(name, e);
	r = open_dir(store, name, &dir, e);
	if (r == 0)
		r = lock_dir(dir, LOCK_SH, &lock, e);
	if (r == 0)
		r = open_dir(dir, "root", ret_root, e);
	if (r == 0)
		*ret_lock = fd_take(&lock);
	return r;
}

/* Takes the name away, by which it becomes rubbish of ours. */
static int take_name(int store, const char *name, struct store_import *ret, struct err *e)
{
	char tmp[STORE_TMP_MAX];
	auto_fd lock = -1;
	int r = make_tmp_name(tmp, e);

	if (r == 0)
		r = lock_store(store, &lock, e);
	if (r < 0)
		return r;
	if (!store_has(store, name))
		return missing(name, e);
	r = open_dir(store, name, &ret->dir, e);
	if (r == 0)
		r = lock_dir(ret->dir, LOCK_EX, &ret->lock, e);
	if (r == -EBUSY)
		return err_say(e, EBUSY, "a sandbox uses \"%s\"", name);
	/* One without a lock is not of our making, or damaged: it can go all the same. */
	if (r < 0 && (r != -ENOENT || ret->dir < 0))
		return r;
	if (renameat2(store, name, store, tmp, RENAME_NOREPLACE) < 0)
		return err_set(e, errno, "remove %s", name);
	memcpy(ret->name, tmp, sizeof(tmp));
	return 0;
}

int store_remove(int store, const char *name, struct err *e)
{
	struct store_import old = STORE_IMPORT_NONE;
	int r = store_check_name(name, e);

	if (r == 0)
		r = take_name(store, name, &old, e);
	if (r == 0)
		r = clear(store, old.name, old.dir, e);
	let_go(&old);
	return r;
}

static int is_entry(const struct dirent *d)
{
	return store_is_name(d->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int store_each(int store,
	       int (*each)(void *context, const char *name, int dir, struct err *e),
	       void *context, struct err *e)
{
	struct dirent **entries = NULL;
	int n = scandirat(store, ".", &entries, is_entry, by_name), r = 0;

	if (n < 0)
		return err_set(e, errno, "list the store");
	for (int i = 0; i < n; i++) {
		auto_fd dir = -1;
		struct err gone;

		/* It may have been removed since. */
		if (r == 0 && open_dir(store, entries[i]->d_name, &dir, &gone) == 0)
			r = each(context, entries[i]->d_name, dir, e);
		free(entries[i]);
	}
	free(entries);
	return r;
}
