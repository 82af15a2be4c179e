/* SPDX-License-Identifier: Apache-2.0 */
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
#include "rootfs/remove.h"
#include "rootfs/store.h"

struct fixture {
	char top[32];
	char path[64];
	int store;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	*state = NULL;
	if (geteuid() != 0)
		return 0; /* fixture() says so */
	f = (struct fixture){ .top = "/run/carrel-unit-XXXXXX", .store = -1 };
	if (!mkdtemp(f.top))
		return -1;
	snprintf(f.path, sizeof(f.path), "%s/lib/store", f.top);
	*state = &f;
	return store_open(f.path, true, &f.store, &f.e);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	auto_fd dir = -1;
	int r;

	if (!f)
		return 0;
	fd_close(&f->store);
	dir = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_content(dir, NULL, NULL, &f->e);
	return r == 0 ? rmdir(f->top) : r;
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
	return NULL;
}

static void names_are_of_few_letters(void **state)
{
	static const char *const good[] = { "a", "0", "debian-12.1_x", "a..", "hosts" };
	static const char *const bad[] = {
		"",    ".",   "..",  "-a",   "_a",       ".tmp-00000000", "A",
		"a/b", "a b", "a\n", "host", "\xc3\xa4", ".lock"
	};
	char name[STORE_NAME_MAX + 2];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(store_is_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_false(store_is_name(bad[i]));
		assert_int_equal(store_check_name(bad[i], &e), -EINVAL);
	}
	memset(name, 'a', sizeof(name));
	name[STORE_NAME_MAX] = '\0';
	assert_true(store_is_name(name));
	name[STORE_NAME_MAX] = 'a';
	name[STORE_NAME_MAX + 1] = '\0';
	assert_false(store_is_name(name));
}

static int begin(struct fixture *f, struct store_import *import)
{
	int r = store_begin(f->store, import, &f->e);

	return r == 0 ? mkdirat(import->dir, "root", 0755) : r;
}

static void make(struct fixture *f, const char *name)
{
	struct store_import import;

	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(store_commit(f->store, &import, name, false, &f->e), 0);
	store_abandon(f->store, &import);
}

/* How many directories, of any name. */
static unsigned count(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->store, &st), 0);
	return (unsigned)st.st_nlink - 2;
}

static void an_import_has_a_name_when_it_is_committed(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import import;

	assert_int_equal(begin(f, &import), 0);
	assert_true(store_has(f->store, import.name));
	assert_false(store_has(f->store, "a"));
	assert_int_equal(store_commit(f->store, &import, "a", false, &f->e), 0);
	assert_true(store_has(f->store, "a"));
	store_abandon(f->store, &import);
	assert_true(store_has(f->store, "a"));
	assert_int_equal(count(f), 1);
}

static void an_abandoned_import_leaves_nothing(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import import;

	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(mkdirat(import.dir, "root/x", 0755), 0);
	store_abandon(f->store, &import);
	assert_int_equal(count(f), 0);
	assert_int_equal(import.dir, -1);
	store_abandon(f->store, &import);
}

static void a_sweep_takes_what_nobody_has_locked(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import alive, dead;

	assert_int_equal(begin(f, &alive), 0);
	assert_int_equal(begin(f, &dead), 0);
	fd_close(&dead.lock); /* as the kernel does it */
	assert_int_equal(mkdirat(f->store, ".tmp-12345678", 0700), 0);
	assert_int_equal(mkdirat(f->store, ".tmp-123456789012", 0700), 0);
	make(f, "a");
	assert_int_equal(store_sweep(f->store, &f->e), 0);
	assert_true(store_has(f->store, alive.name));
	assert_false(store_has(f->store, dead.name));
	assert_false(store_has(f->store, ".tmp-12345678"));
	assert_true(store_has(f->store, ".tmp-123456789012"));
	assert_true(store_has(f->store, "a"));
	fd_close(&dead.dir);
	store_abandon(f->store, &alive);
}

static void a_name_is_given_once_and_replaced_on_request(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import import;
	struct stat before, after;

	make(f, "a");
	assert_int_equal(fstatat(f->store, "a", &before, 0), 0);
	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(store_commit(f->store, &import, "a", false, &f->e), -EEXIST);
	assert_int_equal(store_commit(f->store, &import, "a", true, &f->e), 0);
	store_abandon(f->store, &import);
	assert_int_equal(fstatat(f->store, "a", &after, 0), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(count(f), 1);
	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(store_commit(f->store, &import, "b", true, &f->e), 0);
	store_abandon(f->store, &import);
	assert_int_equal(count(f), 2);
}

static void what_is_used_stays(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import import;
	int root = -1, lock = -1, copy;

	make(f, "a");
	assert_int_equal(store_use(f->path, "a", &root, &lock, &f->e), 0);
	copy = fcntl(lock, F_DUPFD_CLOEXEC, 0);
	fd_close(&lock);
	assert_int_equal(store_remove(f->store, "a", &f->e), -EBUSY);
	assert_true(store_has(f->store, "a"));
	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(store_commit(f->store, &import, "a", true, &f->e), 0);
	store_abandon(f->store, &import);
	assert_int_equal(count(f), 2);
	assert_int_equal(store_sweep(f->store, &f->e), 0);
	assert_int_equal(mkdirat(root, "still-there", 0755), 0);
	assert_int_equal(store_remove(f->store, "a", &f->e), 0);
	assert_int_equal(count(f), 1);
	fd_close(&copy);
	assert_int_equal(store_sweep(f->store, &f->e), 0);
	assert_int_equal(count(f), 0);
	fd_close(&root);
}

static void what_is_not_there_is_not_used(void **state)
{
	struct fixture *f = fixture(state);
	int root = -1, lock = -1;

	assert_int_equal(store_use(f->path, "a", &root, &lock, &f->e), -ENOENT);
	assert_string_equal(f->e.msg, "no rootfs is called \"a\"");
	assert_int_equal(store_use("/no/such", "a", &root, &lock, &f->e), -ENOENT);
	assert_int_equal(store_use(f->path, "../a", &root, &lock, &f->e), -EINVAL);
	assert_int_equal(store_remove(f->store, "a", &f->e), -ENOENT);
	assert_int_equal(root, -1);
	assert_int_equal(lock, -1);
	assert_int_equal(store_open("/run/no/such", false, &root, &f->e), -ENOENT);
}

/* E-08 */
static void a_store_is_roots_alone(void **state)
{
	struct fixture *f = fixture(state);
	int root = -1, lock = -1;

	make(f, "a");
	assert_int_equal(fchmod(f->store, 0770), 0);
	assert_int_equal(store_use(f->path, "a", &root, &lock, &f->e), -EPERM);
	assert_int_equal(fchmod(f->store, 0700), 0);
	assert_int_equal(chmod(f->top, 0777), 0);
	assert_int_equal(store_use(f->path, "a", &root, &lock, &f->e), -EPERM);
	assert_int_equal(chmod(f->top, 0755), 0);
	assert_int_equal(store_use(f->path, "a", &root, &lock, &f->e), 0);
	fd_close(&root);
	fd_close(&lock);
}

static int note(void *context, const char *name, int dir, struct err *e)
{
	char *names = context;

	(void)e;
	assert_true(dir >= 0);
	strncat(names, name, 8);
	return strcmp(name, "stop") ? 0 : err_say(e, ECANCELED, "stop");
}

static void each_is_listed_in_order(void **state)
{
	struct fixture *f = fixture(state);
	struct store_import import;
	char names[64] = "";

	make(f, "b");
	make(f, "a");
	assert_int_equal(begin(f, &import), 0);
	assert_int_equal(store_each(f->store, note, names, &f->e), 0);
	assert_string_equal(names, "ab");
	make(f, "stop");
	make(f, "z");
	assert_int_equal(store_each(f->store, note, names, &f->e), -ECANCELED);
	assert_string_equal(names, "ababstop");
	store_abandon(f->store, &import);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_of_few_letters),
		CASE(an_import_has_a_name_when_it_is_committed),
		CASE(an_abandoned_import_leaves_nothing),
		CASE(a_sweep_takes_what_nobody_has_locked),
		CASE(a_name_is_given_once_and_replaced_on_request),
		CASE(what_is_used_stays),
		CASE(what_is_not_there_is_not_used),
		CASE(a_store_is_roots_alone),
		CASE(each_is_listed_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
