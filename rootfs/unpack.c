/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "rootfs/entry.h"
#include "rootfs/unpack.h"

#define PERMISSIONS (S_IRWXU | S_IRWXG | S_IRWXO)

/* What a message quotes of a path: it may be long. */
#define SHOWN "\"%.80s\""

/* An entry's path, and its parent opened. */
struct place {
	struct entry_path path;
	int parent;
};

/* --- where it goes ----------------------------------------------------------------- */

/* The process has no other root than the tree's surroundings; here it is the tree itself
 * that nothing leads out of. */
static int open_in(const struct unpack *u, const char *path)
{
	const uint64_t how = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
	int fd;

	/* A rename anywhere on the machine makes the kernel unsure of a ".." in a link.
	 */
	do {
		fd = sys_openat2(u->root, path, O_PATH | O_DIRECTORY, how);
	} while (fd < 0 && errno == EAGAIN);
	return fd;
}

/* Cuts the path at each of its slashes in turn, and makes what is there so far. */
static int make_parents(struct unpack *u, char *path, struct err *e)
{
	for (char *p = path; p;) {
		struct unpack_meta meta = { .mode = S_IFDIR | 0755 };
		auto_fd there = -1;
		int r = 0;

		p = strchr(p, '/');
		if (p)
			*p = '\0';
		there = open_in(u, path);
		if (there < 0 && errno == ENOENT)
			r = unpack_admit(u, 0, e);
		if (there < 0 && r == 0)
			r = unpack_directory(u, path, &meta, e);
		if (p)
			*p++ = '/';
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_place(struct unpack *u, const char *path, bool make, struct place *ret,
		      struct err *e)
{
	int r = entry_path_parse(path, &ret->path, e);

	if (r < 0)
		return r;
	ret->parent = open_in(u, ret->path.parent);
	if (ret->parent < 0 && errno == ENOENT && make) {
		r = make_parents(u, ret->path.parent, e);
		if (r < 0)
			return r;
		ret->parent = open_in(u, ret->path.parent);
	}
	if (ret->parent < 0)
		return err_set(e, errno, "enter the directory of " SHOWN, path);
	return 0;
}

/* Whatever had the name before goes. */
static int clear_place(struct unpack *u, const struct place *place, struct err *e)
{
	struct removed removed = { 0 };
	struct stat st;
	int r;

	if (fstatat(place->parent, place->path.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "look for a file");
	r = remove_tree(place->parent, place->path.name, u->trash, &removed, e);
	u->counts.files -= removed.files;
	u->counts.bytes -= removed.bytes;
	return r;
}

/* The place for something that is no directory, with nothing there. */
static int take_place(struct unpack *u, const char *path, struct place *ret,
		      struct err *e)
{
	int r = find_place(u, path, true, ret, e);

	if (r == 0 && !*ret->path.name)
		r = err_say(e, EINVAL, "the root is no directory");
	return r == 0 ? clear_place(u, ret, e) : r;
}

/* --- what goes there --------------------------------------------------------------- */

int unpack_admit(struct unpack *u, uint64_t bytes, struct err *e)
{
	if (u->seen_files >= u->limits.files)
		return err_say(e, E2BIG, "more than %" PRIu64 " files; see --max-files",
			       u->limits.files);
	if (bytes > u->limits.bytes - u->seen_bytes)
		return err_say(e, E2BIG, "more than %" PRIu64 " bytes; see --max-size",
			       u->limits.bytes);
	u->seen_files++;
	u->seen_bytes += bytes;
	return 0;
}

/* The root is everybody's to enter, whatever the archive says of it: an image that was
 * made in a private directory would be of no use otherwise. */
static int make_directory(struct unpack *u, const struct place *place, mode_t mode,
			  struct err *e)
{
	const char *name = place->path.name;
	struct stat st;
	int r;

	if (!*name)
		return 0;
	if (fstatat(place->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode)) {
		if (fchmodat(place->parent, name, mode, 0) < 0)
			return err_set(e, errno, "set the mode of " SHOWN, name);
		return 0;
	}
	r = clear_place(u, place, e);
	if (r < 0)
		return r;
	if (mkdirat(place->parent, name, mode) < 0)
		return err_set(e, errno, "make directory " SHOWN, name);
	u->counts.files++;
	return 0;
}

int unpack_directory(struct unpack *u, const char *path, const struct unpack_meta *meta,
		     struct err *e)
{
	mode_t mode = (meta->mode & (PERMISSIONS | S_ISVTX)) | S_IRWXU;
	struct place place = { .parent = -1 };
	int r = find_place(u, path, true, &place, e);

	if (r == 0)
		r = make_directory(u, &place, mode, e);
	fd_close(&place.parent);
	return r;
}

int unpack_symlink(struct unpack *u, const char *path, const char *target, struct err *e)
{
	struct place place = { .parent = -1 };
	int r = take_place(u, path, &place, e);

	if (r == 0 && symlinkat(target, place.parent, place.path.name) < 0)
		r = err_set(e, errno, "make link " SHOWN, path);
	if (r == 0)
		u->counts.files++;
	fd_close(&place.parent);
	return r;
}

/* A second name of itself is nothing to do; taking its place would remove it. */
static bool is_same(const struct place *a, const struct place *b)
{
	struct stat x, y;

	return fstatat(a->parent, a->path.name, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(b->parent, b->path.name, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int link_places(struct unpack *u, const struct place *from, const struct place *to,
		       struct err *e)
{
	int r;

	if (!*to->path.name || !*from->path.name)
		return err_say(e, EINVAL, "a hard link to or in place of the root");
	if (is_same(from, to))
		return 0;
	r = clear_place(u, to, e);
	if (r < 0)
		return r;
	/* Without AT_SYMLINK_FOLLOW it is the link itself that gets another name. */
	if (linkat(from->parent, from->path.name, to->parent, to->path.name, 0) < 0)
		return err_set(e, errno, "make hard link " SHOWN, to->path.name);
	u->counts.files++;
	return 0;
}

int unpack_hardlink(struct unpack *u, const char *path, const char *target, struct err *e)
{
	struct place from = { .parent = -1 }, to = { .parent = -1 };
	int r = find_place(u, target, false, &from, e);

	if (r == 0)
		r = find_place(u, path, true, &to, e);
	if (r == 0)
		r = link_places(u, &from, &to, e);
	fd_close(&from.parent);
	fd_close(&to.parent);
	return r;
}

int unpack_open(struct unpack *u, const char *path, const struct unpack_meta *meta,
		struct unpack_file *ret, struct err *e)
{
	mode_t mode = (meta->mode & PERMISSIONS) | S_IRUSR | S_IWUSR;
	struct place place = { .parent = -1 };
	int r = take_place(u, path, &place, e);

	ret->fd = -1;
	if (r == 0) {
		ret->fd = openat(place.parent, place.path.name,
				 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 mode);
		if (ret->fd < 0)
			r = err_set(e, errno, "make file " SHOWN, path);
	}
	fd_close(&place.parent);
	if (r < 0)
		return r;
	ret->size = meta->size;
	ret->mtime = meta->mtime;
	u->counts.files++;
	u->counts.bytes += meta->size;
	return 0;
}

int unpack_write(struct unpack_file *f, const void *data, size_t size, uint64_t offset,
		 struct err *e)
{
	const char *p = data;

	if (offset > f->size || size > f->size - offset)
		return err_say(e, EFBIG, "a file goes on behind its end");
	while (size) {
		ssize_t n = pwrite(f->fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "write a file");
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int unpack_close(struct unpack_file *f, struct err *e)
{
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, f->mtime };
	int r = 0;

	if (ftruncate(f->fd, (off_t)f->size) < 0)
		r = err_set(e, errno, "set the size of a file");
	/* Only for looks: a time that the file system does not know is not worth it. */
	err_ignore(futimens(f->fd, times) < 0);
	fd_close(&f->fd);
	return r;
}

void unpack_leave_out(struct unpack *u, mode_t mode)
{
	if (S_ISCHR(mode) || S_ISBLK(mode))
		u->counts.devices++;
	else
		u->counts.specials++;
}

/* --- layers ------------------------------------------------------------------------ */

static int clear_directory(struct unpack *u, int parent, struct err *e)
{
	struct removed removed = { 0 };
	auto_fd dir = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir < 0)
		return err_set(e, errno, "open an opaque directory");
	r = remove_content(dir, NULL, &removed, e);
	u->counts.files -= removed.files;
	u->counts.bytes -= removed.bytes;
	return r;
}

static int apply(struct unpack *u, enum entry_whiteout what, const struct place *place,
		 struct err *e)
{
	if (what == ENTRY_WHITEOUT)
		return clear_place(u, place, e);
	return what == ENTRY_OPAQUE ? clear_directory(u, place->parent, e) : 0;
}

static int parse(const char *path, struct entry_path *ret, enum entry_whiteout *ret_what,
		 struct err *e)
{
	int r = entry_path_parse(path, ret, e);

	return r == 0 ? entry_whiteout(ret, ret_what, e) : r;
}

int unpack_is_plain(const char *path, bool *ret, struct err *e)
{
	enum entry_whiteout what = ENTRY_PLAIN;
	struct entry_path parsed;
	int r = parse(path, &parsed, &what, e);

	*ret = what == ENTRY_PLAIN;
	return r;
}

int unpack_whiteout(struct unpack *u, const char *path, struct err *e)
{
	enum entry_whiteout what = ENTRY_PLAIN;
	struct place place = { .parent = -1 };
	int r = parse(path, &place.path, &what, e);

	if (r < 0 || what == ENTRY_PLAIN)
		return r;
	place.parent = open_in(u, place.path.parent);
	/* Nothing below has the directory: there is nothing to remove. */
	if (place.parent < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (place.parent < 0)
		return err_set(e, errno, "enter the directory of " SHOWN, path);
	r = apply(u, what, &place, e);
	fd_close(&place.parent);
	return r;
}
