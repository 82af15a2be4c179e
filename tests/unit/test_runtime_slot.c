/* SPDX-License-Identifier: Apache-2.0 */
/* In a state directory of its own below /run; plain directories stand for cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
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
#include "base/process.h"
#include "runtime/slot.h"

enum {
	FIRST = 0x70000000,
	RANGES = 8,
	RACERS = 20,
	DEAD = 3,
	/* The table: magic, boot id, …, and two words an entry, at the end. */
	MAGIC_AT = 0,
	BOOT_ID_AT = 8,
	ENTRY_SIZE = 8,
};

#define TABLE "state/slots-70000000"

/* One state directory, removed after each case with everything that was acquired. */
struct fixture {
	char top[32];
	int dir;
	char state_dir[64];
	struct runtime_config config;
	struct slot slots[RANGES];
	struct process children[RANGES];
	unsigned count;
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
	for (int i = 0; i < RANGES; i++) {
		f.slots[i] = SLOT_NONE;
		f.children[i] = PROCESS_NONE;
	}
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
	for (int i = 0; i < RANGES; i++) {
		slot_release(&f->slots[i]);
		process_end(&f->children[i]);
	}
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

static struct slot *acquire(struct fixture *f)
{
	struct slot *slot = &f->slots[f->count++];
	struct err e = { 0 };

	assert_true(f->count <= RANGES);
	if (slot_acquire(&f->config, slot, &e) != 0)
		fail_msg("%s", e.msg);
	return slot;
}

static void assert_busy(struct fixture *f, const char *sentence)
{
	struct slot slot;
	struct err e = { 0 };

	assert_int_equal(slot_acquire(&f->config, &slot, &e), -EBUSY);
	assert_int_equal(slot.state_dir, -1);
	assert_non_null(strstr(e.msg, sentence));
}

static bool exists(const struct fixture *f, const char *name)
{
	return faccessat(f->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_record(const struct fixture *f, uint32_t index)
{
	char name[64];

	snprintf(name, sizeof(name), "state/run/%" PRIx32, FIRST + index * SPEC_ID_RANGE);
	return exists(f, name);
}

/* A "host" whose only tree is the fixture's directory, or another one. */
static const struct cgroup_host *host_at(const char *path)
{
	static struct cgroup_host host;

	memset(&host, 0, sizeof(host));
	host.ntrees = 1;
	snprintf(host.trees[0].path, sizeof(host.trees[0].path), "%s", path);
	return &host;
}

static void record(const struct slot *slot, const char *path)
{
	struct err e = { 0 };

	assert_int_equal(slot_record(slot, host_at(path), &e), 0);
}

/* Has a child take the next slot, record it if `path` is given, make what it has recorded
 * if that is below our own directory, and die without cleaning up. */
static void leave_behind(struct fixture *f, const char *path)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct slot *slot;

		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		slot = acquire(f);
		if (path)
			record(slot, path);
		if (path && !strcmp(path, f->top))
			assert_int_equal(mkdirat(f->dir, slot->name, 0755), 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void poke(const struct fixture *f, off_t at, const void *data, size_t size)
{
	auto_fd fd = openat(f->dir, TABLE, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, at), size);
}

static off_t entry_at(const struct fixture *f, unsigned index)
{
	struct stat st;

	assert_int_equal(fstatat(f->dir, TABLE, &st, 0), 0);
	return st.st_size - RANGES * ENTRY_SIZE + (off_t)index * ENTRY_SIZE;
}

static void defaults_are_ids_that_nobody_else_uses(void **state)
{
	struct runtime_config c = runtime_config_defaults();

	(void)state;
	assert_string_equal(c.state_dir, "/run/carrel");
	assert_int_equal(c.id_first, 0x70000000);
	assert_int_equal(c.id_first % SPEC_ID_RANGE, 0);
	assert_int_equal(c.id_first + c.id_ranges * SPEC_ID_RANGE - 1, 0x7ffdffff);
}

static void first_slot_is_the_first_range(void **state)
{
	struct fixture *f = fixture(state);
	struct slot *slot = acquire(f);
	char prefix[] = "carrel-0-";

	assert_int_equal(slot->index, 0);
	assert_int_equal(slot->id_base, FIRST);
	assert_int_equal(slot->id_first, FIRST);
	assert_memory_equal(slot->name, prefix, strlen(prefix));
	assert_int_equal(strlen(slot->name), strlen(prefix) + 8);
}

static void ranges_are_distinct(void **state)
{
	struct fixture *f = fixture(state);

	for (unsigned i = 0; i < RANGES; i++) {
		struct slot *slot = acquire(f);

		assert_int_equal(slot->index, i);
		assert_int_equal(slot->id_base, FIRST + i * SPEC_ID_RANGE);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(slot->name, f->slots[j].name);
	}
}

static void all_taken_is_busy(void **state)
{
	struct fixture *f = fixture(state);

	for (unsigned i = 0; i < RANGES; i++)
		acquire(f);
	assert_busy(f, "all 8 id ranges are in use");
	slot_release(&f->slots[5]);
	f->count = 5;
	assert_int_equal(acquire(f)->index, 5);
}

static void lowest_free_range_is_used_again(void **state)
{
	struct fixture *f = fixture(state);
	char name[CGROUP_NAME_MAX];

	for (unsigned i = 0; i < 4; i++)
		acquire(f);
	memcpy(name, f->slots[1].name, sizeof(name));
	slot_release(&f->slots[2]);
	slot_release(&f->slots[1]);
	f->count = 1;
	assert_int_equal(acquire(f)->index, 1);
	assert_int_equal(acquire(f)->index, 2);
	/* Of the same range, and yet not the same. */
	assert_string_not_equal(f->slots[1].name, name);
}

static void release_can_be_repeated(void **state)
{
	struct fixture *f = fixture(state);
	struct slot none = SLOT_NONE, *slot = acquire(f);

	slot_release(slot);
	assert_int_equal(slot->state_dir, -1);
	slot_release(slot);
	slot_release(&none);
	f->count = 0;
	assert_int_equal(acquire(f)->index, 0);
}

static void record_lists_a_group_in_every_tree(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_host host = { .ntrees = 2 };
	struct slot *slot = acquire(f);
	char text[512], wanted[512];
	struct err e = { 0 };

	snprintf(host.trees[0].path, CGROUP_PATH_MAX, "/one");
	snprintf(host.trees[1].path, CGROUP_PATH_MAX, "/two/three");
	assert_int_equal(slot_record(slot, &host, &e), 0);
	assert_true(fd_read_at(f->dir, "state/run/70000000", text, sizeof(text)) > 0);
	snprintf(wanted, sizeof(wanted), "/one/%s\n/two/three/%s", slot->name,
		 slot->name);
	assert_string_equal(text, wanted);
	slot_release(slot);
	assert_false(has_record(f, 0));
}

static void range_of_a_dead_owner_is_free_again(void **state)
{
	struct fixture *f = fixture(state);

	leave_behind(f, NULL);
	assert_int_equal(acquire(f)->index, 0);
	assert_int_equal(acquire(f)->index, 1);
}

static void what_a_dead_owner_recorded_is_removed(void **state)
{
	struct fixture *f = fixture(state);
	char text[512], *slash;

	leave_behind(f, f->top);
	assert_true(fd_read_at(f->dir, "state/run/70000000", text, sizeof(text)) > 0);
	slash = strrchr(text, '/');
	assert_non_null(slash);
	assert_true(exists(f, slash + 1));
	assert_int_equal(acquire(f)->index, 0);
	assert_false(exists(f, slash + 1));
	assert_false(has_record(f, 0));
}

static void several_dead_owners_are_cleaned_up_at_once(void **state)
{
	struct fixture *f = fixture(state);

	acquire(f);
	for (int i = 0; i < 3; i++) {
		f->children[i].pid = fork();
		if (f->children[i].pid == 0) {
			record(acquire(f), f->top);
			for (;;)
				pause();
		}
		while (!has_record(f, (uint32_t)i + 1))
			usleep(1000);
	}
	for (int i = 0; i < 3; i++)
		process_end(&f->children[i]);
	assert_int_equal(acquire(f)->index, 1);
	for (uint32_t i = 1; i < 4; i++)
		assert_false(has_record(f, i));
}

static void range_of_a_living_owner_is_left_alone(void **state)
{
	struct fixture *f = fixture(state);

	f->children[0].pid = fork();
	if (f->children[0].pid == 0) {
		record(acquire(f), f->top);
		for (;;)
			pause();
	}
	while (!has_record(f, 0))
		usleep(1000);
	assert_int_equal(acquire(f)->index, 1);
	assert_true(has_record(f, 0));
}

static void range_that_cannot_be_cleaned_up_goes_to_nobody(void **state)
{
	struct fixture *f = fixture(state);

	leave_behind(f, f->top);
	/* Not a name of ours: what the record says is not done. */
	{
		auto_fd fd = openat(f->dir, "state/run/70000000",
				    O_WRONLY | O_TRUNC | O_CLOEXEC);

		assert_int_equal(write(fd, "/run/foreign\n", 13), 13);
	}
	assert_int_equal(acquire(f)->index, 1);
	assert_true(has_record(f, 0));
	assert_int_equal(acquire(f)->index, 2);
}

static void owner_in_another_pid_namespace_cannot_be_judged(void **state)
{
	struct fixture *f = fixture(state);
	const uint32_t other = 4711;

	leave_behind(f, NULL);
	poke(f, entry_at(f, 0) + 4, &other, sizeof(other));
	assert_int_equal(acquire(f)->index, 1);
}

static void table_of_another_boot_is_started_over(void **state)
{
	struct fixture *f = fixture(state);

	record(acquire(f), f->top);
	poke(f, BOOT_ID_AT, "x", 1);
	assert_int_equal(acquire(f)->index, 0);
	assert_false(has_record(f, 0));
	/* Two have it now: only one may give it back. */
	fd_close(&f->slots[0].state_dir);
}

static void damaged_table_is_started_over(void **state)
{
	struct fixture *f = fixture(state);

	leave_behind(f, NULL);
	poke(f, MAGIC_AT, "X", 1);
	assert_int_equal(acquire(f)->index, 0);
	assert_int_equal(acquire(f)->index, 1);
}

static void damaged_table_does_not_free_what_has_a_record(void **state)
{
	struct fixture *f = fixture(state);

	record(acquire(f), f->top);
	poke(f, MAGIC_AT, "X", 1);
	assert_int_equal(acquire(f)->index, 1);
	assert_true(has_record(f, 0));
}

static void table_of_zeros_or_of_any_size_is_started_over(void **state)
{
	static const off_t sizes[] = { 0, 1, 7, 48, 55, 56, 60, 100, 4096, 100000 };
	struct fixture *f = fixture(state);

	slot_release(acquire(f));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		auto_fd fd = openat(f->dir, TABLE, O_RDWR | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		f->count = 0;
		assert_int_equal(acquire(f)->index, 0);
		assert_int_equal(acquire(f)->index, 1);
		slot_release(&f->slots[0]);
		slot_release(&f->slots[1]);
	}
}

static void table_of_noise_is_started_over(void **state)
{
	struct fixture *f = fixture(state);
	char noise[400];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 37 + 11);
	slot_release(acquire(f));
	poke(f, 0, noise, sizeof(noise));
	f->count = 0;
	assert_int_equal(acquire(f)->index, 0);
	assert_int_equal(acquire(f)->index, 1);
}

static void more_ranges_leave_the_taken_ones_taken(void **state)
{
	struct fixture *f = fixture(state);

	f->config.id_ranges = 2;
	acquire(f);
	acquire(f);
	assert_busy(f, "all 2 id ranges");
	f->config.id_ranges = 5;
	assert_int_equal(acquire(f)->index, 2);
}

static void fewer_ranges_leave_the_taken_ones_taken(void **state)
{
	struct fixture *f = fixture(state);

	for (int i = 0; i < 4; i++)
		acquire(f);
	slot_release(&f->slots[0]);
	f->config.id_ranges = 2;
	f->count = 4;
	assert_int_equal(acquire(f)->index, 0);
	assert_busy(f, "all 2 id ranges");
	f->config.id_ranges = RANGES;
	assert_int_equal(acquire(f)->index, 4);
}

static void blocks_of_other_ids_have_their_own_table(void **state)
{
	struct fixture *f = fixture(state);

	acquire(f);
	f->config.id_first = 0x60000000;
	assert_int_equal(acquire(f)->index, 0);
	assert_int_equal(f->slots[1].id_base, 0x60000000);
	assert_true(exists(f, "state/slots-60000000"));
}

/* What one racer does: takes a slot, says which, and holds it until told to go on. */
static void race(struct fixture *f, int result, int go_on)
{
	struct slot *slot = acquire(f);
	char byte;

	assert_int_equal(write(result, &slot->index, sizeof(slot->index)),
			 sizeof(slot->index));
	assert_int_equal(read(go_on, &byte, 1), 0);
	slot_release(slot);
	_exit(0);
}

static void race_once(struct fixture *f)
{
	unsigned seen = 0;
	int result[2], go_on[2], status;
	pid_t pids[RACERS];

	assert_int_equal(pipe2(result, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			setenv("CMOCKA_TEST_ABORT", "1", 1);
			signal(SIGABRT, SIG_DFL);
			alarm(60);
			fd_close(&go_on[1]);
			race(f, result[1], go_on[0]);
		}
		assert_true(pids[i] > 0);
	}
	fd_close(&result[1]);
	for (int i = 0; i < RACERS; i++) {
		uint32_t index = UINT32_MAX;

		assert_int_equal(read(result[0], &index, sizeof(index)), sizeof(index));
		assert_in_range(index, 0, RACERS + DEAD - 1);
		assert_int_equal(seen & (1u << index), 0);
		seen |= 1u << index;
	}
	fd_close(&go_on[1]);
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	fd_close(&go_on[0]);
	fd_close(&result[0]);
}

static void twenty_at_a_time_get_twenty_slots(void **state)
{
	struct fixture *f = fixture(state);

	f->config.id_ranges = RACERS;
	for (int round = 0; round < 5; round++)
		race_once(f);
	assert_int_equal(acquire(f)->index, 0);
}

static void twenty_at_a_time_clean_up_after_dead_owners(void **state)
{
	struct fixture *f = fixture(state);

	/* Ranges that somebody is cleaning up are taken meanwhile. */
	f->config.id_ranges = RACERS + DEAD;
	for (int i = 0; i < DEAD; i++)
		leave_behind(f, f->top);
	race_once(f);
	assert_int_equal(acquire(f)->index, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_ids_that_nobody_else_uses),
		CASE(first_slot_is_the_first_range),
		CASE(ranges_are_distinct),
		CASE(all_taken_is_busy),
		CASE(lowest_free_range_is_used_again),
		CASE(release_can_be_repeated),
		CASE(record_lists_a_group_in_every_tree),
		CASE(range_of_a_dead_owner_is_free_again),
		CASE(what_a_dead_owner_recorded_is_removed),
		CASE(several_dead_owners_are_cleaned_up_at_once),
		CASE(range_of_a_living_owner_is_left_alone),
		CASE(range_that_cannot_be_cleaned_up_goes_to_nobody),
		CASE(owner_in_another_pid_namespace_cannot_be_judged),
		CASE(table_of_another_boot_is_started_over),
		CASE(damaged_table_is_started_over),
		CASE(damaged_table_does_not_free_what_has_a_record),
		CASE(table_of_zeros_or_of_any_size_is_started_over),
		CASE(table_of_noise_is_started_over),
		CASE(more_ranges_leave_the_taken_ones_taken),
		CASE(fewer_ranges_leave_the_taken_ones_taken),
		CASE(blocks_of_other_ids_have_their_own_table),
		CASE(twenty_at_a_time_get_twenty_slots),
		CASE(twenty_at_a_time_clean_up_after_dead_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
