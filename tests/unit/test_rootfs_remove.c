/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rootfs/remove.h"

struct fixture {
	char top[32];
	int dir, trash;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .top = "/tmp/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top))
		return -1;
	f.dir = open(f.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(f.dir, "trash", 0700) < 0)
		return -1;
	f.trash = openat(f.dir, "trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int r;

	fd_close(&f->trash);
	r = remove_content(f->dir, NULL, NULL, &f->e);
	fd_close(&f->dir);
	return r == 0 ? rmdir(f->top) : r;
}

static void make(int dir, const char *name, size_t size)
{
	auto_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

static bool there(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void whatever_has_the_name_goes_and_is_counted(void **state)
{
	struct fixture *f = *state;
	struct removed removed = { 0 };

	assert_int_equal(mkdirat(f->dir, "d", 0755), 0);
	assert_int_equal(mkdirat(f->dir, "d/e", 0755), 0);
	make(f->dir, "d/e/f", 5);
	make(f->dir, "d/g", 7);
	assert_int_equal(linkat(f->dir, "d/g", f->dir, "other", 0), 0);
	assert_int_equal(symlinkat("/etc", f->dir, "d/link"), 0);
	make(f->dir, "stays", 0);
	assert_int_equal(remove_tree(f->dir, "d", f->trash, &removed, &f->e), 0);
	assert_false(there(f->dir, "d"));
	assert_true(there(f->dir, "stays"));
	assert_int_equal(removed.files, 5);
	/* g has another name still. */
	assert_int_equal(removed.bytes, 5);
	assert_int_equal(remove_tree(f->dir, "other", f->trash, &removed, &f->e), 0);
	assert_int_equal(removed.bytes, 12);
	assert_int_equal(remove_tree(f->dir, "nothing", f->trash, &removed, &f->e), 0);
	assert_int_equal(removed.files, 6);
}

/* E-41 */
static void links_are_removed_and_not_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdirat(f->dir, "outside", 0755), 0);
	make(f->dir, "outside/file", 1);
	assert_int_equal(mkdirat(f->dir, "d", 0755), 0);
	assert_int_equal(symlinkat("../outside", f->dir, "d/link"), 0);
	assert_int_equal(symlinkat("outside", f->dir, "link"), 0);
	assert_int_equal(remove_tree(f->dir, "d", f->trash, NULL, &f->e), 0);
	assert_int_equal(remove_tree(f->dir, "link", f->trash, NULL, &f->e), 0);
	assert_true(there(f->dir, "outside/file"));
}

static void a_tree_may_be_deeper_than_there_are_descriptors(void **state)
{
	enum { DEPTH = 3000, FILES = 16 };
	struct fixture *f = *state;
	struct rlimit before, few;
	struct removed removed = { 0 };
	int dir = f->dir, r;

	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(dir, "deep", 0755), 0);
		make(dir, "moved-0", 1); /* a name that is wanted */
		next = openat(dir, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		if (dir != f->dir)
			close(dir);
		dir = next;
	}
	close(dir);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = FILES;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = remove_tree(f->dir, "deep", f->trash, &removed, &f->e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(r, 0);
	assert_int_equal(removed.files, 2 * DEPTH - 1);
	assert_false(there(f->dir, "deep"));
	assert_true(there(f->dir, "moved-0"));
}

static void a_tree_may_have_the_names_that_are_given_on_the_way(void **state)
{
	static const char *const tails[] = { "", "/x", "/x/y" };
	struct fixture *f = *state;
	char path[32];

	/* So many that some of the others come first in any order. */
	for (int i = 0; i < 30; i++) {
		for (size_t k = 0; k < sizeof(tails) / sizeof(*tails); k++) {
			snprintf(path, sizeof(path), "%d%s", i, tails[k]);
			assert_int_equal(mkdirat(f->dir, path, 0755), 0);
			snprintf(path, sizeof(path), "moved-%d%s", i, tails[k]);
			assert_int_equal(mkdirat(f->dir, path, 0755), 0);
		}
	}
	assert_int_equal(remove_content(f->dir, "trash", NULL, &f->e), 0);
	assert_false(there(f->dir, "0") || there(f->dir, "moved-0"));
}

static void content_goes_but_for_one_name(void **state)
{
	struct fixture *f = *state;

	make(f->dir, "keep", 1);
	make(f->dir, "a", 1);
	assert_int_equal(mkdirat(f->dir, "d", 0755), 0);
	make(f->dir, "d/keep", 1);
	fd_close(&f->trash);
	assert_int_equal(remove_content(f->dir, "keep", NULL, &f->e), 0);
	assert_true(there(f->dir, "keep"));
	assert_false(there(f->dir, "a"));
	assert_false(there(f->dir, "d"));
	assert_false(there(f->dir, "trash"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(whatever_has_the_name_goes_and_is_counted),
		CASE(links_are_removed_and_not_followed),
		CASE(a_tree_may_be_deeper_than_there_are_descriptors),
		CASE(a_tree_may_have_the_names_that_are_given_on_the_way),
		CASE(content_goes_but_for_one_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
