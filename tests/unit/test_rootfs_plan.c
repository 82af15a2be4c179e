/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rootfs/rootfs.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The plan refers to the texts that it was given. */
struct fixture {
	struct rootfs_plan plan;
	struct err e;
	char text[ROOTFS_MOUNTS_MAX + 2][2 * ROOTFS_TARGET_MAX];
	unsigned texts;
};

/* A fresh plan with its defaults; one for each case, one at a time. */
static struct fixture *fresh(void)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	rootfs_plan_init(&f.plan);
	return &f;
}

/* A copy that can be cut and lives as long as the plan. */
static char *keep(struct fixture *f, const char *text)
{
	char *copy = f->text[f->texts++];

	assert_true(strlen(text) < sizeof(f->text[0]));
	memcpy(copy, text, strlen(text) + 1);
	return copy;
}

static int volume(struct fixture *f, const char *text)
{
	return rootfs_plan_volume(&f->plan, keep(f, text), &f->e);
}

static int tmpfs(struct fixture *f, const char *text)
{
	return rootfs_plan_tmpfs(&f->plan, keep(f, text), &f->e);
}

/* The mount on target, which must be there. */
static const struct rootfs_mount *at(const struct fixture *f, const char *target)
{
	const struct rootfs_mount *m = f->plan.mounts;

	while (m < f->plan.mounts + f->plan.count && strcmp(m->target, target))
		m++;
	if (m == f->plan.mounts + f->plan.count)
		fail_msg("no mount on %s", target);
	return m;
}

/* "/" and then len - 1 times 'x', with tail behind it. */
static const char *long_target(char *buf, size_t len, const char *tail)
{
	memset(buf, 'x', len);
	buf[0] = '/';
	memcpy(buf + len, tail, strlen(tail) + 1);
	return buf;
}

static void assert_volume_refused(const char *text, int code)
{
	struct fixture *f = fresh();

	if (volume(f, text) != code)
		fail_msg("volume \"%s\": code %d: %s", text, f->e.code, f->e.msg);
	assert_int_equal(f->e.code, code);
	assert_true(f->e.msg[0]);
	assert_int_equal(f->plan.count, 4);
}

static void assert_tmpfs_refused(const char *text, int code)
{
	struct fixture *f = fresh();

	if (tmpfs(f, text) != code)
		fail_msg("tmpfs \"%s\": code %d: %s", text, f->e.code, f->e.msg);
	assert_int_equal(f->e.code, code);
	assert_true(f->e.msg[0]);
	assert_int_equal(f->plan.count, 4);
}

static void assert_default(const struct fixture *f, const char *target, mode_t mode,
			   bool owned, bool no_exec)
{
	const struct rootfs_mount *m = at(f, target);

	assert_int_equal(m->type, ROOTFS_TMPFS);
	assert_null(m->source);
	assert_int_equal(m->size, ROOTFS_TMPFS_SIZE);
	assert_int_equal(m->mode, mode);
	assert_int_equal(m->owned, owned);
	assert_int_equal(m->no_exec, no_exec);
	assert_true(m->by_default);
	assert_false(m->read_only);
	assert_false(m->workspace);
}

static void init_plans_four_default_tmpfs(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(f->plan.count, 4);
	assert_default(f, "/tmp", 01777, false, false);
	assert_default(f, "/run", 0755, true, true);
	assert_default(f, "/dev/shm", 01777, false, true);
	assert_default(f, "/home/user", 0700, true, false);
}

static void init_names_the_host_and_no_rootfs(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_null(f->plan.rootfs);
	assert_string_equal(f->plan.hostname, "carrel");
}

static void volume_is_writable_unless_asked_otherwise(void **state)
{
	struct fixture *f = fresh();
	const struct rootfs_mount *m;

	(void)state;
	assert_int_equal(volume(f, "/src/of it:/data"), 0);
	assert_int_equal(f->plan.count, 5);
	m = at(f, "/data");
	assert_int_equal(m->type, ROOTFS_VOLUME);
	assert_string_equal(m->source, "/src/of it");
	assert_ptr_equal(m->source, f->text[0]);
	assert_false(m->read_only);
	assert_false(m->no_exec);
	assert_false(m->by_default);
	assert_false(m->workspace);
}

static void volume_modes_are_ro_and_rw(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(volume(f, "/src:/a:ro"), 0);
	assert_int_equal(volume(f, "/src:/b:rw"), 0);
	assert_true(at(f, "/a")->read_only);
	assert_false(at(f, "/b")->read_only);
	assert_string_equal(at(f, "/a")->source, "/src");
}

static void volume_refuses_other_modes(void **state)
{
	static const char *const texts[] = { "/s:/d:",      "/s:/d:RO",   "/s:/d:r",
					     "/s:/d:ro ",   "/s:/d:ro:x", "/s:/d:ro,rw",
					     "/s:/d:noexec" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_volume_refused(texts[i], -EINVAL);
}

static void volume_error_quotes_the_mode(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(volume(f, "/s:/d:rx"), -EINVAL);
	assert_string_equal(f->e.msg, "volume mode \"rx\" is neither ro nor rw");
}

static void volume_refuses_text_without_two_places(void **state)
{
	static const char *const texts[] = {
		"", ":", "/s", "/s:", ":/d", ":/d:ro", "::"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_volume_refused(texts[i], -EINVAL);
}

static const char *const abnormal[] = {
	"/",       "//",    "rel",    "./a",    "../a",   "/a/",     "/a//",  "//a",
	"/a//b",   "/.",    "/..",    "/./a",   "/../a",  "/a/.",    "/a/..", "/a/./b",
	"/a/../b", "/tmp/", "/tmp/.", "/../..", "~/data", "a:/b/..",
};

static void targets_are_absolute_and_normal(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(abnormal); i++) {
		snprintf(text, sizeof(text), "/s:%s", abnormal[i]);
		assert_volume_refused(text, -EINVAL);
		assert_tmpfs_refused(abnormal[i], -EINVAL);
	}
	assert_tmpfs_refused("", -EINVAL);
	assert_tmpfs_refused(":size=1m", -EINVAL);
}

static void target_error_quotes_the_target(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(tmpfs(f, "/a/../b"), -EINVAL);
	assert_non_null(strstr(f->e.msg, "mount point \"/a/../b\" is not"));
}

static void dots_are_allowed_within_names(void **state)
{
	static const char *const targets[] = { "/...",  "/.a", "/..a",  "/a..",  "/a.",
					       "/a..b", "/ ",  "/a/.b", "/a/..." };
	struct fixture *f = fresh();

	(void)state;
	for (size_t i = 0; i < COUNT(targets); i++)
		assert_int_equal(tmpfs(f, targets[i]), 0);
	assert_int_equal(f->plan.count, 4 + COUNT(targets));
}

static void reserved_places_are_refused(void **state)
{
	static const char *const targets[] = {
		"/proc",    "/proc/1", "/proc/sys/kernel", "/dev",       "/dev/null",
		"/dev/pts", "/sys",    "/sys/fs/cgroup",   "/dev/shm/x", "/dev/shmx",
		"/dev/sh"
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(targets); i++) {
		snprintf(text, sizeof(text), "/s:%s", targets[i]);
		assert_volume_refused(text, -EINVAL);
		assert_tmpfs_refused(targets[i], -EINVAL);
	}
}

static void reserved_error_names_the_place(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(tmpfs(f, "/sys/kernel"), -EINVAL);
	assert_string_equal(f->e.msg, "nothing can be mounted below /sys");
}

static void shm_is_for_tmpfs_only(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_volume_refused("/s:/dev/shm", -EINVAL);
	f = fresh();
	assert_int_equal(tmpfs(f, "/dev/shm:size=1m"), 0);
	assert_int_equal(f->plan.count, 4);
	assert_int_equal(at(f, "/dev/shm")->size, 1 << 20);
	assert_true(at(f, "/dev/shm")->no_exec);
}

static void names_that_begin_like_reserved_ones_are_free(void **state)
{
	static const char *const targets[] = { "/process", "/proc2", "/devel",
					       "/system",  "/sysx",  "/a/proc",
					       "/a/dev",   "/pro",   "/procfs/sys" };
	struct fixture *f = fresh();

	(void)state;
	for (size_t i = 0; i < COUNT(targets); i++)
		assert_int_equal(tmpfs(f, targets[i]), 0);
}

static void targets_may_be_as_long_as_their_field(void **state)
{
	struct fixture *f = fresh();
	char text[ROOTFS_TARGET_MAX + 64], volume_text[2 * ROOTFS_TARGET_MAX];

	(void)state;
	long_target(text, ROOTFS_TARGET_MAX - 1, "");
	assert_int_equal(tmpfs(f, text), 0);
	assert_string_equal(f->plan.mounts[4].target, text);
	text[1] = 'y';
	snprintf(volume_text, sizeof(volume_text), "/s:%s:ro", text);
	assert_int_equal(volume(f, volume_text), 0);
	assert_string_equal(f->plan.mounts[5].target, text);
	assert_true(f->plan.mounts[5].read_only);
}

static void longer_targets_are_refused(void **state)
{
	struct fixture *f = fresh();
	char text[ROOTFS_TARGET_MAX + 64], volume_text[2 * ROOTFS_TARGET_MAX];

	(void)state;
	long_target(text, ROOTFS_TARGET_MAX, "");
	assert_tmpfs_refused(text, -ENAMETOOLONG);
	snprintf(volume_text, sizeof(volume_text), "/s:%s", text);
	assert_volume_refused(volume_text, -ENAMETOOLONG);
	f = fresh();
	assert_int_equal(tmpfs(f, text), -ENAMETOOLONG);
	assert_non_null(strstr(f->e.msg, "/xxx"));
	assert_non_null(strstr(f->e.msg, "...: File name too long"));
}

static void source_may_be_longer_than_a_target(void **state)
{
	struct fixture *f = fresh();
	char text[ROOTFS_TARGET_MAX + 512];

	(void)state;
	long_target(text, ROOTFS_TARGET_MAX + 400, ":/data");
	assert_int_equal(volume(f, text), 0);
	assert_int_equal(strlen(at(f, "/data")->source), ROOTFS_TARGET_MAX + 400);
}

static void two_mounts_on_one_target_are_refused(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(volume(f, "/one:/data"), 0);
	assert_int_equal(volume(f, "/two:/data"), -EEXIST);
	assert_string_equal(f->e.msg, "two mounts on /data");
	assert_int_equal(tmpfs(f, "/data"), -EEXIST);
	assert_int_equal(f->plan.count, 5);
	assert_string_equal(at(f, "/data")->source, "/one");
}

static void default_gives_way_once(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(volume(f, "/one:/tmp"), 0);
	assert_int_equal(f->plan.count, 4);
	assert_int_equal(at(f, "/tmp")->type, ROOTFS_VOLUME);
	assert_int_equal(volume(f, "/two:/tmp"), -EEXIST);
	assert_int_equal(tmpfs(f, "/tmp"), -EEXIST);
	assert_string_equal(at(f, "/tmp")->source, "/one");
}

static void default_gives_way_to_a_tmpfs_of_another_size(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(tmpfs(f, "/tmp:size=2g"), 0);
	assert_int_equal(f->plan.count, 4);
	assert_int_equal(at(f, "/tmp")->size, 2ull << 30);
	assert_int_equal(at(f, "/tmp")->mode, 01777);
	assert_false(at(f, "/tmp")->by_default);
}

static void mount_below_a_default_leaves_it_alone(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(volume(f, "/one:/tmp/one"), 0);
	assert_int_equal(f->plan.count, 5);
	assert_default(f, "/tmp", 01777, false, false);
}

static void workspace_is_a_writable_volume_at_its_place(void **state)
{
	struct fixture *f = fresh();
	const char *directory = "/some:where";
	const struct rootfs_mount *m;

	(void)state;
	assert_int_equal(rootfs_plan_workspace(&f->plan, directory, &f->e), 0);
	m = at(f, "/workspace");
	assert_int_equal(m->type, ROOTFS_VOLUME);
	assert_ptr_equal(m->source, directory);
	assert_true(m->workspace);
	assert_false(m->read_only);
	assert_false(m->by_default);
}

static void workspace_can_be_given_only_once(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(rootfs_plan_workspace(&f->plan, "/one", &f->e), 0);
	assert_int_equal(rootfs_plan_workspace(&f->plan, "/two", &f->e), -EEXIST);
	assert_int_equal(volume(f, "/two:/workspace"), -EEXIST);
	assert_int_equal(volume(f, "/two:/workspace/sub"), 0);
	assert_string_equal(at(f, "/workspace")->source, "/one");
}

static void tmpfs_has_a_default_size_and_belongs_to_root(void **state)
{
	struct fixture *f = fresh();
	const struct rootfs_mount *m;

	(void)state;
	assert_int_equal(tmpfs(f, "/scratch"), 0);
	m = at(f, "/scratch");
	assert_int_equal(m->type, ROOTFS_TMPFS);
	assert_int_equal(m->size, ROOTFS_TMPFS_SIZE);
	assert_int_equal(m->mode, 01777);
	assert_false(m->owned);
	assert_false(m->no_exec);
	assert_false(m->by_default);
}

static void tmpfs_sizes_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} sizes[] = {
		{ "/a:size=1", 1 },
		{ "/b:size=4096", 4096 },
		{ "/c:size=64k", 64 << 10 },
		{ "/d:size=64M", 64 << 20 },
		{ "/e:size=3g", 3ull << 30 },
		{ "/f:size=18446744073709551615", UINT64_MAX },
	};
	struct fixture *f = fresh();

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(tmpfs(f, sizes[i].text), 0);
		assert_true(f->plan.mounts[4 + i].size == sizes[i].size);
	}
}

static void tmpfs_refuses_what_is_no_size(void **state)
{
	static const char *const texts[] = {
		"/a:",
		"/a:size",
		"/a:size=",
		"/a:size=0",
		"/a:size=0k",
		"/a:size=-1",
		"/a:size=1x",
		"/a:size=1m:",
		"/a:size= 1m",
		"/a:size=1m,ro",
		"/a:SIZE=1m",
		"/a:mode=0755",
		"/a:1m",
		"/a:size=1.5m",
		"/a:size=1m:size=1m",
		"/a:size=18446744073709551616",
		"/a:size=17179869184g",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_tmpfs_refused(texts[i], -EINVAL);
}

static void plan_holds_its_maximum_and_not_one_more(void **state)
{
	struct fixture *f = fresh();
	char text[32];

	(void)state;
	while (f->plan.count < ROOTFS_MOUNTS_MAX) {
		snprintf(text, sizeof(text), "/s:/v%u", f->plan.count);
		assert_int_equal(volume(f, text), 0);
	}
	assert_int_equal(tmpfs(f, "/more"), -E2BIG);
	assert_string_equal(f->e.msg, "more than 48 mounts");
	assert_int_equal(volume(f, "/s:/more"), -E2BIG);
	assert_int_equal(rootfs_plan_workspace(&f->plan, "/s", &f->e), -E2BIG);
	assert_int_equal(f->plan.count, ROOTFS_MOUNTS_MAX);
	/* There is always room in the place of a default. */
	assert_int_equal(tmpfs(f, "/tmp:size=1m"), 0);
	assert_int_equal(volume(f, "/s:/v4"), -EEXIST);
	assert_int_equal(rootfs_plan_finish(&f->plan, &f->e), 0);
	assert_int_equal(f->plan.count, ROOTFS_MOUNTS_MAX);
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && path[len] == '/';
}

static void finish_sorts_parents_before_what_is_below_them(void **state)
{
	static const char *const targets[] = { "/a/b/c", "/a/b", "/a-b",     "/a",
					       "/a.b/c", "/a.b", "/tmp/x/y", "/tmp/x",
					       "/a/b-c", "/ab",  "/a b",     "/home" };
	struct fixture *f = fresh();

	(void)state;
	for (size_t i = 0; i < COUNT(targets); i++)
		assert_int_equal(tmpfs(f, targets[i]), 0);
	assert_int_equal(rootfs_plan_finish(&f->plan, &f->e), 0);
	assert_int_equal(f->plan.count, 4 + COUNT(targets));
	for (unsigned i = 0; i < f->plan.count; i++) {
		for (unsigned j = i + 1; j < f->plan.count; j++)
			assert_false(is_below(f->plan.mounts[i].target,
					      f->plan.mounts[j].target));
	}
	for (size_t i = 0; i < COUNT(targets); i++)
		at(f, targets[i]);
}

static void finish_does_not_depend_on_the_order_given(void **state)
{
	struct fixture *f = fresh();
	struct rootfs_plan other;

	(void)state;
	rootfs_plan_init(&other);
	assert_int_equal(tmpfs(f, "/a"), 0);
	assert_int_equal(tmpfs(f, "/a/b:size=1m"), 0);
	assert_int_equal(rootfs_plan_tmpfs(&other, keep(f, "/a/b:size=1m"), &f->e), 0);
	assert_int_equal(rootfs_plan_tmpfs(&other, keep(f, "/a"), &f->e), 0);
	assert_int_equal(rootfs_plan_finish(&f->plan, &f->e), 0);
	assert_int_equal(rootfs_plan_finish(&other, &f->e), 0);
	for (unsigned i = 0; i < other.count; i++) {
		assert_string_equal(other.mounts[i].target, f->plan.mounts[i].target);
		assert_int_equal(other.mounts[i].size, f->plan.mounts[i].size);
	}
}

static void finish_accepts_a_plan_without_mounts(void **state)
{
	struct rootfs_plan plan = { .count = 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(rootfs_plan_finish(&plan, &e), 0);
	assert_int_equal(plan.count, 0);
}

static void finish_refuses_a_workspace_without_a_source(void **state)
{
	struct fixture *f = fresh();

	(void)state;
	assert_int_equal(rootfs_plan_workspace(&f->plan, "", &f->e), 0);
	assert_int_equal(rootfs_plan_finish(&f->plan, &f->e), -EINVAL);
	assert_string_equal(f->e.msg, "the volume for /workspace has no source");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_plans_four_default_tmpfs),
		cmocka_unit_test(init_names_the_host_and_no_rootfs),
		cmocka_unit_test(volume_is_writable_unless_asked_otherwise),
		cmocka_unit_test(volume_modes_are_ro_and_rw),
		cmocka_unit_test(volume_refuses_other_modes),
		cmocka_unit_test(volume_error_quotes_the_mode),
		cmocka_unit_test(volume_refuses_text_without_two_places),
		cmocka_unit_test(targets_are_absolute_and_normal),
		cmocka_unit_test(target_error_quotes_the_target),
		cmocka_unit_test(dots_are_allowed_within_names),
		cmocka_unit_test(reserved_places_are_refused),
		cmocka_unit_test(reserved_error_names_the_place),
		cmocka_unit_test(shm_is_for_tmpfs_only),
		cmocka_unit_test(names_that_begin_like_reserved_ones_are_free),
		cmocka_unit_test(targets_may_be_as_long_as_their_field),
		cmocka_unit_test(longer_targets_are_refused),
		cmocka_unit_test(source_may_be_longer_than_a_target),
		cmocka_unit_test(two_mounts_on_one_target_are_refused),
		cmocka_unit_test(default_gives_way_once),
		cmocka_unit_test(default_gives_way_to_a_tmpfs_of_another_size),
		cmocka_unit_test(mount_below_a_default_leaves_it_alone),
		cmocka_unit_test(workspace_is_a_writable_volume_at_its_place),
		cmocka_unit_test(workspace_can_be_given_only_once),
		cmocka_unit_test(tmpfs_has_a_default_size_and_belongs_to_root),
		cmocka_unit_test(tmpfs_sizes_have_units),
		cmocka_unit_test(tmpfs_refuses_what_is_no_size),
		cmocka_unit_test(plan_holds_its_maximum_and_not_one_more),
		cmocka_unit_test(finish_sorts_parents_before_what_is_below_them),
		cmocka_unit_test(finish_does_not_depend_on_the_order_given),
		cmocka_unit_test(finish_accepts_a_plan_without_mounts),
		cmocka_unit_test(finish_refuses_a_workspace_without_a_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
