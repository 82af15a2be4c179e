/* SPDX-License-Identifier: Apache-2.0 */
/* In a directory of the case's own: without the walls that the program has around this,
 * what leads out of the tree would lead to the canary beside it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rootfs/unpack.h"

#define CANARY "canary"

struct fixture {
	char top[32];
	int dir; /* of it: root, trash, outside */
	char outside[64]; /* path of a directory with a file in it */
	struct unpack u;
	struct err e;
};

static int open_dir(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int set_up(void **state)
{
	static struct fixture f;
	int fd;

	f = (struct fixture){ .top = "/tmp/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top))
		return -1;
	umask(0);
	f.dir = open_dir(AT_FDCWD, f.top);
	if (mkdirat(f.dir, "root", 0755) < 0 || mkdirat(f.dir, "trash", 0700) < 0 ||
	    mkdirat(f.dir, "outside", 0755) < 0)
		return -1;
	fd = openat(f.dir, "outside/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd_write_all(fd, CANARY, strlen(CANARY)) < 0)
		return -1;
	close(fd);
	snprintf(f.outside, sizeof(f.outside), "%s/outside", f.top);
	f.u = (struct unpack){ .root = open_dir(f.dir, "root"),
			       .trash = open_dir(f.dir, "trash"),
			       .limits = { 1000, 100 } };
	*state = &f;
	return 0;
}

/* The file outside is as it was, and alone. */
static void assert_canary(const struct fixture *f)
{
	char text[32] = "";
	struct stat st;
	auto_fd fd = openat(f->dir, "outside/file", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), strlen(CANARY));
	assert_string_equal(text, CANARY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(faccessat(f->dir, "outside/new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int r;

	assert_canary(f);
	fd_close(&f->u.root);
	fd_close(&f->u.trash);
	r = remove_content(f->dir, NULL, NULL, &f->e);
	fd_close(&f->dir);
	return r == 0 ? rmdir(f->top) : r;
}

static const struct unpack_meta directory = { .mode = S_IFDIR | 0755 };

static int make_file(struct fixture *f, const char *path, const char *text, mode_t mode)
{
	struct unpack_meta meta = { .mode = S_IFREG | mode, .size = strlen(text) };
	struct unpack_file file = { .fd = -1 };
	int r = unpack_open(&f->u, path, &meta, &file, &f->e);

	if (r == 0)
		r = unpack_write(&file, text, strlen(text), 0, &f->e);
	return r == 0 ? unpack_close(&file, &f->e) : r;
}

static const char *text_in(const struct fixture *f, const char *path)
{
	static char text[64];
	auto_fd fd = openat(f->u.root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return "(none)";
	text[n] = '\0';
	return text;
}

static mode_t mode_of(const struct fixture *f, const char *path)
{
	struct stat st;

	return fstatat(f->u.root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static void parents_are_made_and_modes_are_without_set_id_bits(void **state)
{
	struct fixture *f = *state;
	const struct unpack_meta odd = { .mode = S_IFDIR | 07007 };

	assert_int_equal(make_file(f, "a/b/c", "x", 06011), 0);
	assert_int_equal(mode_of(f, "a"), S_IFDIR | 0755);
	assert_int_equal(mode_of(f, "a/b/c"), S_IFREG | 0611);
	assert_int_equal(unpack_directory(&f->u, "a/b", &odd, &f->e), 0);
	assert_int_equal(mode_of(f, "a/b"), S_IFDIR | 01707);
	assert_int_equal(unpack_directory(&f->u, "./", &odd, &f->e), 0);
	assert_int_equal(mode_of(f, "."), S_IFDIR | 0755);
	assert_int_equal(f->u.counts.files, 3);
	assert_int_equal(f->u.counts.bytes, 1);
}

/* E-07, E-40 */
static void links_in_a_path_lead_nowhere_outside(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unpack_symlink(&f->u, "abs", f->outside, &f->e), 0);
	assert_int_equal(unpack_symlink(&f->u, "rel", "../outside", &f->e), 0);
	assert_int_equal(unpack_symlink(&f->u, "up", "../../../..", &f->e), 0);
	assert_int_equal(make_file(f, "abs/new", "1", 0644), 0);
	assert_int_equal(make_file(f, "rel/new", "2", 0644), 0);
	assert_int_equal(make_file(f, "up/new", "3", 0644), 0);
	assert_string_equal(text_in(f, "abs/new"), "1");
	assert_string_equal(text_in(f, "rel/new"), "2");
	assert_string_equal(text_in(f, "new"), "3");
}

static void links_in_a_path_are_followed_inside(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unpack_directory(&f->u, "usr/lib", &directory, &f->e), 0);
	assert_int_equal(unpack_symlink(&f->u, "lib", "/usr/lib", &f->e), 0);
	assert_int_equal(make_file(f, "lib/new", "1", 0644), 0);
	assert_string_equal(text_in(f, "usr/lib/new"), "1");
}

/* E-07 */
static void what_has_the_name_is_replaced_and_not_followed(void **state)
{
	struct fixture *f = *state;
	char path[96];

	snprintf(path, sizeof(path), "%s/file", f->outside);
	assert_int_equal(unpack_symlink(&f->u, "l", path, &f->e), 0);
	assert_int_equal(make_file(f, "l", "in", 0600), 0);
	assert_string_equal(text_in(f, "l"), "in");
	assert_int_equal(unpack_symlink(&f->u, "d", f->outside, &f->e), 0);
	assert_int_equal(unpack_directory(&f->u, "d", &directory, &f->e), 0);
	assert_int_equal(mode_of(f, "d"), S_IFDIR | 0755);
	assert_int_equal(make_file(f, "d/x/y", "in", 0600), 0);
	assert_int_equal(unpack_symlink(&f->u, "d", "l", &f->e), 0);
	assert_int_equal(f->u.counts.files, 2);
	assert_int_equal(f->u.counts.bytes, 2);
}

/* E-07, E-52 */
static void hard_links_are_of_what_is_inside(void **state)
{
	struct fixture *f = *state;
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "%s/file", f->outside);
	assert_int_equal(unpack_hardlink(&f->u, "h", path, &f->e), -ENOENT);
	assert_int_equal(unpack_hardlink(&f->u, "h", "../outside/file", &f->e), -EINVAL);
	assert_int_equal(unpack_symlink(&f->u, "out", "../outside", &f->e), 0);
	assert_int_equal(unpack_hardlink(&f->u, "h", "out/file", &f->e), -ENOENT);
	/* Of a link, it is the link that gets a name. */
	assert_int_equal(unpack_symlink(&f->u, "l", path, &f->e), 0);
	assert_int_equal(unpack_hardlink(&f->u, "h", "l", &f->e), 0);
	assert_int_equal(mode_of(f, "h") & S_IFMT, S_IFLNK);
	assert_int_equal(make_file(f, "a", "x", 0644), 0);
	assert_int_equal(unpack_hardlink(&f->u, "h", "/a", &f->e), 0);
	assert_int_equal(unpack_hardlink(&f->u, "h", "a", &f->e), 0);
	assert_int_equal(unpack_hardlink(&f->u, "a", "h", &f->e), 0);
	assert_int_equal(fstatat(f->u.root, "a", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(unpack_hardlink(&f->u, "b", "b", &f->e), -ENOENT);
	assert_true(unpack_hardlink(&f->u, ".", "a", &f->e) < 0);
}

/* E-41 */
static void whiteouts_remove_inside_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unpack_symlink(&f->u, "abs", f->outside, &f->e), 0);
	assert_int_equal(unpack_symlink(&f->u, "rel", "../outside", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, "abs/.wh.file", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, "rel/.wh.file", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, "abs/.wh..wh..opq", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, "rel/.wh..wh..opq", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, ".wh...", &f->e), -EINVAL);
	assert_int_equal(unpack_whiteout(&f->u, ".wh.abs", &f->e), 0);
	assert_int_equal(mode_of(f, "abs"), 0);
	assert_int_equal(make_file(f, "d/e/f", "x", 0644), 0);
	assert_int_equal(unpack_whiteout(&f->u, "d/.wh.e", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, "d/plain", &f->e), 0);
	assert_int_equal(unpack_whiteout(&f->u, ".wh..wh..opq", &f->e), 0);
	assert_int_equal(mode_of(f, "d"), 0);
	assert_int_equal(f->u.counts.files, 0);
	assert_int_equal(f->u.counts.bytes, 0);
}

static void limits_count_what_is_admitted_and_never_less(void **state)
{
	struct fixture *f = *state;

	f->u.limits = (struct unpack_limits){ .bytes = 10, .files = 5 };
	assert_int_equal(unpack_admit(&f->u, 11, &f->e), -E2BIG);
	assert_int_equal(unpack_admit(&f->u, UINT64_MAX, &f->e), -E2BIG);
	assert_int_equal(unpack_admit(&f->u, 10, &f->e), 0);
	assert_int_equal(unpack_admit(&f->u, 1, &f->e), -E2BIG);
	assert_int_equal(unpack_admit(&f->u, 0, &f->e), 0);
	/* Three more, and a path has four parents. */
	assert_int_equal(make_file(f, "a/b/c/d/e", "", 0644), -E2BIG);
}

static void content_stays_within_its_size_and_keeps_holes(void **state)
{
	struct fixture *f = *state;
	struct unpack_meta meta = { .mode = S_IFREG | 0644,
				    .size = 1 << 20,
				    .mtime = { .tv_sec = 1000000000 } };
	struct unpack_file file = { .fd = -1 };
	struct stat st;

	assert_int_equal(unpack_open(&f->u, "a", &meta, &file, &f->e), 0);
	assert_int_equal(unpack_write(&file, "x", 1, 1 << 19, &f->e), 0);
	assert_int_equal(unpack_write(&file, "x", 1, 1 << 20, &f->e), -EFBIG);
	assert_int_equal(unpack_write(&file, "xx", 2, (1 << 20) - 1, &f->e), -EFBIG);
	assert_int_equal(unpack_write(&file, "x", 1, UINT64_MAX, &f->e), -EFBIG);
	assert_int_equal(unpack_close(&file, &f->e), 0);
	assert_int_equal(fstatat(f->u.root, "a", &st, 0), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_true(st.st_blocks * 512 < 1 << 19);
}

static void what_is_left_out_is_counted(void **state)
{
	struct fixture *f = *state;

	unpack_leave_out(&f->u, S_IFCHR | 0666);
	unpack_leave_out(&f->u, S_IFBLK | 0666);
	unpack_leave_out(&f->u, S_IFIFO);
	unpack_leave_out(&f->u, 0);
	assert_int_equal(f->u.counts.devices, 2);
	assert_int_equal(f->u.counts.specials, 2);
	assert_int_equal(f->u.counts.files, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(parents_are_made_and_modes_are_without_set_id_bits),
		CASE(links_in_a_path_lead_nowhere_outside),
		CASE(links_in_a_path_are_followed_inside),
		CASE(what_has_the_name_is_replaced_and_not_followed),
		CASE(hard_links_are_of_what_is_inside),
		CASE(whiteouts_remove_inside_alone),
		CASE(limits_count_what_is_admitted_and_never_less),
		CASE(content_stays_within_its_size_and_keeps_holes),
		CASE(what_is_left_out_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
