/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/definition.h"
#include "tests/unit/in_namespaces.h"

/* A directory, emptied after each case, and what definition_each() said of it. */
struct fixture {
	char path[40];
	int dir;
	struct definition d;
	char key[DEFINITION_KEY_SIZE];
	unsigned found, skipped;
	uint64_t generation; /* of the last one that was found */
	char file[NAME_MAX + 1]; /* the last one that was skipped */
	struct err why, e;
};

static void name_it(struct fixture *f, const char *name)
{
	memset(f->d.asked.name, 0, sizeof(f->d.asked.name));
	snprintf(f->d.asked.name, sizeof(f->d.asked.name), "%s", name);
	f->d.completed = f->d.asked;
	f->d.completed.network = WIRE_NETWORK_NONE;
	memcpy(f->d.completed.profile, "default", 8);
	memcpy(f->d.completed.hostname, "box", 4);
	definition_key(f->d.client, name, f->key);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .path = "/tmp/carrel-unit-XXXXXX",
			      .d = { .client = 1000, .generation = 1 } };
	if (!mkdtemp(f.path))
		return -1;
	f.dir = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	name_it(&f, "one");
	*state = &f;
	return f.dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	DIR *dir = fdopendir(f->dir);
	const struct dirent *entry;

	while ((entry = readdir(dir))) {
		unlinkat(dirfd(dir), entry->d_name, 0);
		unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
	return rmdir(f->path);
}

static void store(struct fixture *f)
{
	if (definition_store(f->dir, &f->d, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static int take(void *context, struct definition *d, struct err *e)
{
	struct fixture *f = context;

	(void)e;
	f->found++;
	f->generation = d->generation;
	definition_free(d);
	return 0;
}

static void skip_it(void *context, const char *file, const struct err *why)
{
	struct fixture *f = context;

	f->skipped++;
	snprintf(f->file, sizeof(f->file), "%s", file);
	f->why = *why;
}

static void assert_walk(struct fixture *f, unsigned found, unsigned skipped)
{
	const struct definition_visitor visitor = { take, skip_it, f };

	f->found = f->skipped = 0;
	if (definition_each(f->dir, &visitor, &f->e) != 0)
		fail_msg("%s", f->e.msg);
	assert_int_equal(f->found, found);
	assert_int_equal(f->skipped, skipped);
}

static void assert_skipped(struct fixture *f, const char *file, const char *message)
{
	assert_walk(f, 0, 1);
	assert_string_equal(f->file, file);
	assert_int_equal(f->why.code, -EBADMSG);
	assert_string_equal(f->why.msg, message);
	/* Whoever looks after the host may want to look at it. */
	assert_int_equal(faccessat(f->dir, file, F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void write_file(struct fixture *f, const char *name, const void *data, size_t size)
{
	auto_fd fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, data, size), 0);
}

static void what_was_stored_is_found(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_walk(f, 0, 0);
	store(f);
	assert_int_equal(fstatat(f->dir, f->key, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_walk(f, 1, 0);
	name_it(f, "../two");
	store(f);
	f->d.client = 1001;
	name_it(f, "one");
	store(f);
	assert_walk(f, 3, 0);
}

static void the_last_one_that_was_stored_counts(void **state)
{
	struct fixture *f = *state;

	store(f);
	f->d.generation = 2;
	store(f);
	assert_walk(f, 1, 0);
	assert_int_equal(f->generation, 2);
}

static void what_was_removed_is_not_found(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(definition_remove(f->dir, 1000, "one", &f->e), 0);
	store(f);
	assert_int_equal(definition_remove(f->dir, 1001, "one", &f->e), 0);
	assert_int_equal(definition_remove(f->dir, 1000, "two", &f->e), 0);
	assert_walk(f, 1, 0);
	assert_int_equal(definition_remove(f->dir, 1000, "one", &f->e), 0);
	assert_walk(f, 0, 0);
}

/* FI-07: cut at each byte, each bit flipped, empty. */
static void damaged_files_are_skipped_and_stay(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[RESIDENT_LABEL_SIZE];
	size_t size;

	assert_int_equal(definition_encode(&f->d, block, &size, &f->e), 0);
	for (size_t cut = 0; cut < size; cut++) {
		write_file(f, f->key, block, cut);
		assert_walk(f, 0, 1);
	}
	for (size_t bit = 0; bit < 8 * size; bit += 5) {
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		write_file(f, f->key, block, size);
		assert_walk(f, 0, 1);
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	write_file(f, f->key, block, size - 1);
	assert_skipped(f, f->key, "a definition of another length");
	store(f);
	assert_walk(f, 1, 0);
}

static void files_of_others_are_skipped_and_stay(void **state)
{
	struct fixture *f = *state;
	char key[DEFINITION_KEY_SIZE];

	write_file(f, "README", "hello", 5);
	assert_skipped(f, "README", "not the name of a definition's file");
	assert_int_equal(unlinkat(f->dir, "README", 0), 0);
	store(f);
	definition_key(1000, "two", key);
	assert_int_equal(renameat(f->dir, f->key, f->dir, key), 0);
	assert_skipped(f, key, "the definition of another file");
	assert_int_equal(unlinkat(f->dir, key, 0), 0);
	write_file(f, ".hidden", "", 0);
	assert_skipped(f, ".hidden", "not the name of a definition's file");
}

static void nothing_but_files_is_read(void **state)
{
	struct fixture *f = *state;

	alarm(20); /* nobody will ever write into the pipe */
	assert_int_equal(mkfifoat(f->dir, f->key, 0600), 0);
	assert_skipped(f, f->key, "not a definition");
	assert_int_equal(unlinkat(f->dir, f->key, 0), 0);
	assert_int_equal(mkdirat(f->dir, f->key, 0700), 0);
	assert_skipped(f, f->key, "not a definition");
	assert_int_equal(unlinkat(f->dir, f->key, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/dev/zero", f->dir, f->key), 0);
	assert_walk(f, 0, 1);
	assert_int_equal(f->why.code, -ELOOP);
	assert_int_equal(unlinkat(f->dir, f->key, 0), 0);
	alarm(0);
}

static void huge_files_are_not_read(void **state)
{
	struct fixture *f = *state;
	auto_fd fd = openat(f->dir, f->key, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	assert_skipped(f, f->key, "not a definition");
}

static void drafts_of_a_killed_daemon_are_removed(void **state)
{
	struct fixture *f = *state;
	char draft[DEFINITION_KEY_SIZE + 1];

	store(f);
	snprintf(draft, sizeof(draft), ".%s", f->key);
	write_file(f, draft, "half", 4);
	assert_walk(f, 1, 0);
	assert_int_equal(faccessat(f->dir, draft, F_OK, 0), -1);
	/* Nor are they in the way of the next. */
	write_file(f, draft, "half", 4);
	store(f);
	assert_int_equal(faccessat(f->dir, draft, F_OK, 0), -1);
	assert_walk(f, 1, 0);
}

static int stop(void *context, struct definition *d, struct err *e)
{
	definition_free(d);
	(*(unsigned *)context)++;
	return err_say(e, ECANCELED, "enough");
}

static void a_failure_ends_the_walk(void **state)
{
	struct fixture *f = *state;
	unsigned count = 0;
	const struct definition_visitor visitor = { stop, skip_it, &count };

	store(f);
	name_it(f, "two");
	store(f);
	assert_int_equal(definition_each(f->dir, &visitor, &f->e), -ECANCELED);
	assert_string_equal(f->e.msg, "enough");
	assert_int_equal(count, 1);
}

/* The directory, in a mount namespace of its own, becomes a small file system. */
static struct fixture *on_small_disk(void *context)
{
	struct fixture *f = context;

	assert_int_equal(mount("unit", f->path, "tmpfs", 0, "size=64k"), 0);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f;
}

/* FI-12: the old one stays, and what is removed goes. */
static void fill_disk(void *context)
{
	struct fixture *f = on_small_disk(context);
	static char zeros[4096];
	auto_fd fd = -1;

	store(f);
	fd = openat(f->dir, "fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	f->d.generation = 2;
	assert_int_equal(definition_store(f->dir, &f->d, &f->e), -ENOSPC);
	assert_string_equal(f->e.msg, "write a definition: No space left on device");
	assert_walk(f, 1, 1);
	assert_int_equal(f->generation, 1);
	assert_string_equal(f->file, "fill");
	assert_int_equal(definition_remove(f->dir, 1000, "one", &f->e), 0);
	assert_walk(f, 0, 1);
}

static void a_full_disk_keeps_the_old_one(void **state)
{
	in_namespaces(CLONE_NEWNS, fill_disk, *state);
}

static void protect_disk(void *context)
{
	struct fixture *f = on_small_disk(context);

	store(f);
	assert_int_equal(mount(NULL, f->path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(definition_store(f->dir, &f->d, &f->e), -EROFS);
	assert_int_equal(definition_remove(f->dir, 1000, "one", &f->e), -EROFS);
	assert_string_equal(f->e.msg,
			    "remove a definition's file: Read-only file system");
	assert_walk(f, 1, 0);
}

static void a_read_only_disk_is_an_error_and_can_be_read(void **state)
{
	in_namespaces(CLONE_NEWNS, protect_disk, *state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_stored_is_found),
		CASE(the_last_one_that_was_stored_counts),
		CASE(what_was_removed_is_not_found),
		CASE(damaged_files_are_skipped_and_stay),
		CASE(files_of_others_are_skipped_and_stay),
		CASE(nothing_but_files_is_read),
		CASE(huge_files_are_not_read),
		CASE(drafts_of_a_killed_daemon_are_removed),
		CASE(a_failure_ends_the_walk),
		CASE(a_full_disk_keeps_the_old_one),
		CASE(a_read_only_disk_is_an_error_and_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
