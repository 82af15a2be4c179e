/* SPDX-License-Identifier: Apache-2.0 */
/* Where slot.c keeps its state: only what nobody but root can have put there. */
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/slot.h"

enum { FIRST = 0x70000000, RANGES = 8 };

#define TABLE "state/slots-70000000"

/* One state directory, removed after each case with what is in it. */
struct fixture {
	char top[32];
	int dir;
	char state_dir[64];
	struct runtime_config config;
	struct slot slot;
};

static int set_up(void **state)
{
	static struct fixture f;

	*state = NULL;
	if (geteuid() != 0)
		return 0; /* fixture() says so */
	f = (struct fixture){ .top = "/run/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top))
		return -1;
	f.dir = open(f.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(f.state_dir, sizeof(f.state_dir), "%s/state", f.top);
	f.config = (struct runtime_config){ .state_dir = f.state_dir,
					    .id_first = FIRST,
					    .id_ranges = RANGES };
	f.slot = SLOT_NONE;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int status = -1;
	pid_t pid;

	if (!f)
		return 0;
	slot_release(&f->slot);
	fd_close(&f->dir);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--one-file-system", f->top, NULL);
		_exit(9);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static struct fixture *fixture(void **state)
{
	const char *must_run = getenv("MUST_RUN");

	if (*state)
		return *state;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs root");
	print_message("skipped: needs root\n");
	skip();
	abort(); /* not reached */
}

static void acquire(struct fixture *f)
{
	struct err e = { 0 };

	if (slot_acquire(&f->config, &f->slot, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(f->slot.index, 0);
}

static void assert_refused(struct fixture *f, int code, const char *part)
{
	struct slot slot;
	struct err e = { 0 };

	assert_int_equal(slot_acquire(&f->config, &slot, &e), code);
	assert_int_equal(slot.state_dir, -1);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, part);
	assert_non_null(strstr(e.msg, "take an id range in "));
	slot_release(&slot);
}

static bool exists(const struct fixture *f, const char *name)
{
	return faccessat(f->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void state_directory_is_made_for_root_alone(void **state)
{
	static const char *const names[] = { "state", "state/run", TABLE };
	struct fixture *f = fixture(state);

	acquire(f);
	for (size_t i = 0; i < 3; i++) {
		struct stat st;

		assert_int_equal(fstatat(f->dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_uid, 0);
		assert_int_equal(st.st_mode & 077, 0);
	}
}

static void table_that_is_no_file_is_refused(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(mkdirat(f->dir, "state", 0700), 0);
	assert_int_equal(symlinkat("elsewhere", f->dir, TABLE), 0);
	assert_refused(f, -ELOOP, "open slots-70000000");
	assert_false(exists(f, "state/elsewhere"));
	assert_int_equal(unlinkat(f->dir, TABLE, 0), 0);
	assert_int_equal(mkdirat(f->dir, TABLE, 0700), 0);
	assert_refused(f, -EISDIR, "open slots-70000000");
}

static void directory_that_others_may_write_is_refused(void **state)
{
	static const mode_t modes[] = { 0770, 0720, 0702, 0777, 01777 };
	struct fixture *f = fixture(state);

	assert_int_equal(mkdirat(f->dir, "state", 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		assert_int_equal(fchmodat(f->dir, "state", modes[i], 0), 0);
		assert_refused(f, -EPERM, "must be root's alone to write");
	}
	assert_int_equal(fchmodat(f->dir, "state", 0755, 0), 0);
	acquire(f);
}

static void parent_that_others_may_write_is_refused(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(fchmod(f->dir, 0770), 0);
	assert_refused(f, -EPERM, "must be root's alone to write");
	assert_int_equal(fchmod(f->dir, 01777), 0);
	assert_refused(f, -EPERM, "with mode 1777");
	assert_int_equal(fchmod(f->dir, 0700), 0);
	assert_int_equal(fchown(f->dir, 1000, 0), 0);
	assert_refused(f, -EPERM, "belongs to uid 1000");
	assert_int_equal(fchown(f->dir, 0, 0), 0);
	assert_false(exists(f, TABLE));
}

static void state_directory_is_reached_without_links(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(mkdirat(f->dir, "real", 0700), 0);
	assert_int_equal(symlinkat("real", f->dir, "state"), 0);
	assert_refused(f, -ENOTDIR, "open state");
	snprintf(f->state_dir, sizeof(f->state_dir), "%s/state/below", f->top);
	assert_refused(f, -ENOTDIR, "open state");
	assert_false(exists(f, "real/below"));
}

static void only_the_last_part_is_made(void **state)
{
	struct fixture *f = fixture(state);

	snprintf(f->state_dir, sizeof(f->state_dir), "%s/no/state", f->top);
	assert_refused(f, -ENOENT, "open no: No such file or directory");
	assert_false(exists(f, "no"));
}

static void state_directory_is_an_absolute_path(void **state)
{
	struct fixture *f = fixture(state);

	f->config.state_dir = "state";
	assert_refused(f, -EINVAL, "not an absolute path");
	f->config.state_dir = "";
	assert_refused(f, -EINVAL, "not an absolute path");
}

static void slashes_may_be_doubled(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(mkdirat(f->dir, "state", 0700), 0);
	snprintf(f->state_dir, sizeof(f->state_dir), "/%s//state/", f->top);
	acquire(f);
	assert_true(exists(f, TABLE));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(state_directory_is_made_for_root_alone),
		CASE(table_that_is_no_file_is_refused),
		CASE(directory_that_others_may_write_is_refused),
		CASE(parent_that_others_may_write_is_refused),
		CASE(state_directory_is_reached_without_links),
		CASE(only_the_last_part_is_made),
		CASE(state_directory_is_an_absolute_path),
		CASE(slashes_may_be_doubled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
