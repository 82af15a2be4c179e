/* SPDX-License-Identifier: Apache-2.0 */
/* An import, seen from the store: a directory for it, a child that fills it, a name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "tools/carrel-rootfs.h"

static uint64_t now_ms(void)
{
	struct timespec t;

	/* lint: for people to read */
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A FIFO is a stream like another, and waited for as everywhere else in a shell. */
static int open_source(const char *path, struct child_order *order, struct err *e)
{
	struct stat st;

	if (!strcmp(path, "-"))
		order->source = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		order->source = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (order->source < 0 || fstat(order->source, &st) < 0)
		return err_set(e, errno, "open %.100s", path);
	order->directory = S_ISDIR(st.st_mode);
	if (!order->directory && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
	    !S_ISSOCK(st.st_mode))
		return err_say(e, EINVAL, "%.100s is neither an archive nor a directory",
			       path);
	return 0;
}

/* Below it nothing else is seen that may be mounted there: no /proc, no other disk. */
static int show_directory(struct child_order *order, struct err *e)
{
	auto_fd dir = fd_take(&order->source);

	return rootfs_alone_tree(dir, true, &order->source, e);
}

static int make_dirs(int dir, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { IMPORT_ROOT, 0755 },
		     { IMPORT_TRASH, 0700 },
		     { IMPORT_SOURCE, 0700 } };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (mkdirat(dir, dirs[i].name, dirs[i].mode) < 0)
			return err_set(e, errno, "make %s", dirs[i].name);
	}
	return 0;
}

/* What was there for the child alone. */
static int tidy(int dir, struct err *e)
{
	static const char *const names[] = { IMPORT_SOURCE, IMPORT_IMAGE };
	auto_fd trash = openat(dir, IMPORT_TRASH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (trash < 0)
		return err_set(e, errno, "open " IMPORT_TRASH);
	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(*names); i++)
		r = remove_tree(dir, names[i], trash, NULL, e);
	if (r == 0 && unlinkat(dir, IMPORT_TRASH, AT_REMOVEDIR) < 0)
		r = err_set(e, errno, "remove " IMPORT_TRASH);
	return r;
}

static int fill(struct store_import *import, struct child_order *order, struct about *ret,
		int *ret_signal, struct err *e)
{
	int r = make_dirs(import->dir, e);

	order->lock = import->lock;
	if (r == 0)
		r = rootfs_alone_tree(import->dir, false, &order->tree, e);
	if (r == 0)
		r = child_unpack(order, ret, ret_signal, e);
	fd_close(&order->tree);
	if (r < 0)
		return r;
	ret->created = now_ms();
	r = tidy(import->dir, e);
	return r == 0 ? about_write(import->dir, ret, e) : r;
}

static int import_opened(int store, const struct rootfs_args *a, const char *name,
			 struct child_order *order, struct about *ret, int *ret_signal,
			 struct err *e)
{
	struct store_import import = STORE_IMPORT_NONE;
	int r;

	/* Before the work, and once more when it is done: somebody may be faster. */
	if (store_has(store, name) && !a->replace)
		return err_say(e, EEXIST,
			       "there is a rootfs called \"%s\"; --replace puts this one "
			       "in its place",
			       name);
	r = store_begin(store, &import, e);
	if (r == 0)
		r = fill(&import, order, ret, ret_signal, e);
	if (r == 0)
		r = store_commit(store, &import, name, a->replace, e);
	store_abandon(store, &import);
	return r;
}

int import(const char *path, const struct rootfs_args *a, const char *name,
	   const char *source, struct about *ret, int *ret_signal, struct err *e)
{
	struct child_order order = { .tree = -1, .source = -1, .limits = a->limits };
	auto_fd store = -1;
	int r = store_check_name(name, e);

	if (r < 0)
		return r;
	umask(022);
	r = open_source(source, &order, e);
	if (r == 0 && order.directory)
		r = show_directory(&order, e);
	if (r == 0)
		r = store_open(path, true, &store, e);
	if (r == 0)
		r = import_opened(store, a, name, &order, ret, ret_signal, e);
	fd_close(&order.source);
	return r < 0 ? err_wrap(e, "%s", name) : 0;
}
