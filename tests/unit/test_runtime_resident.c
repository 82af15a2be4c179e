/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes that outlive who made them, on the real kernel. */
#include <jansson.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "runtime/slot.h"
#include "tests/unit/test_runtime_in_worker.h"

static void assert_error(int code, int wanted, const struct err *e, const char *part)
{
	assert_int_equal(code, wanted);
	if (!strstr(e->msg, part))
		fail_msg("\"%s\" does not say \"%s\"", e->msg, part);
}

static int open_again(struct fixture *f, uint32_t slot, struct err *e)
{
	struct resident r = RESIDENT_NONE;
	void *label = NULL;
	size_t size;
	int code = resident_open(&f->config, &f->host, slot, &r, &label, &size, e);

	free(label);
	resident_close(&r);
	return code;
}

static int kill_init(struct fixture *f)
{
	return pidfd_send_signal(f->resident.init.pidfd, SIGKILL, NULL, 0);
}

static int open_from_afresh(struct fixture *f, struct err *e)
{
	return open_again(f, f->resident.slot, e);
}

static void sandbox_outlives_its_maker_and_leaves_no_trace(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	assert_true(f->resident.init.pid > 0);
	assert_int_equal(wait_for(f, f->resident.init.pid, 50), -1);
	/* A process that has seen nothing of it: the daemon after a restart. */
	must(f, open_from_afresh);
	must(f, remove_one_slot);
	assert_int_equal(wait_for(f, f->resident.init.pid, 5000), SIGKILL);
	assert_nothing_left(f);
	must(f, remove_one_slot);
}

static int build_with_label(struct fixture *f, struct err *e)
{
	auto_free char *label = malloc(RESIDENT_LABEL_SIZE + 1);

	for (int i = 0; i <= RESIDENT_LABEL_SIZE; i++)
		label[i] = (char)(i * 7);
	f->said->status = resident_build(&f->config, &f->spec, label,
					 RESIDENT_LABEL_SIZE + 1, &f->said->slot, e);
	return resident_build(&f->config, &f->spec, label, RESIDENT_LABEL_SIZE,
			      &f->said->slot, e);
}

static void label_comes_back_whole(void **state)
{
	struct fixture *f = fixture(state);
	auto_free void *label = NULL;
	struct err e = { 0 };
	size_t size = 0;

	must(f, build_with_label);
	assert_int_equal(f->said->status, -E2BIG);
	assert_int_equal(resident_open(&f->config, &f->host, f->said->slot, &f->resident,
				       &label, &size, &e),
			 0);
	assert_int_equal(size, RESIDENT_LABEL_SIZE);
	for (int i = 0; i < RESIDENT_LABEL_SIZE; i++) {
		if (((char *)label)[i] != (char)(i * 7))
			fail_msg("byte %d of the label differs", i);
	}
}

static void slot_without_resident_is_not_there(void **state)
{
	struct fixture *f = fixture(state);
	struct slot slot = SLOT_NONE;
	struct err e = { 0 };

	assert_int_equal(open_again(f, 0, &e), -ENOENT);
	assert_int_equal(open_again(f, f->config.id_ranges, &e), -ENOENT);
	/* One of `carrel run`. */
	assert_int_equal(slot_acquire(&f->config, &slot, &e), 0);
	assert_int_equal(slot_record(&slot, &f->host, &e), 0);
	assert_int_equal(open_again(f, slot.index, &e), -ENOENT);
	f->resident.slot = slot.index;
	must(f, remove_one_slot);
	must(f, remove_all);
	assert_true(is_file(f, "run/71000000"));
	slot_release(&slot);
}

/* FI-04, FI-05 */
static void dead_one_is_found_dead_and_removed(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	build(f);
	assert_int_equal(kill_init(f), 0);
	assert_int_equal(wait_for(f, f->resident.init.pid, 5000), SIGKILL);
	assert_int_equal(open_again(f, f->resident.slot, &e), -ESRCH);
	must(f, remove_all);
	assert_nothing_left(f);
	assert_int_equal(open_again(f, f->resident.slot, &e), -ENOENT);
}

static void zombie_is_dead(void **state)
{
	struct fixture *f = fixture(state);
	struct pollfd pfd = { .events = POLLIN };
	struct err e = { 0 };

	build(f);
	pfd.fd = f->resident.init.pidfd;
	assert_int_equal(kill_init(f), 0);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(open_again(f, f->resident.slot, &e), -ESRCH);
}

static int acquire_slot(struct fixture *f, struct err *e)
{
	struct slot slot;
	int r = slot_acquire(&f->config, &slot, e);

	f->said->slot = slot.index;
	slot_release(&slot);
	return r;
}

static void living_ones_slot_is_nobody_elses(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	must(f, acquire_slot);
	assert_int_not_equal(f->said->slot, f->resident.slot);
	/* That of a dead one is for whoever comes next, who removes what it left. */
	assert_int_equal(kill_init(f), 0);
	assert_int_equal(wait_for(f, f->resident.init.pid, 5000), SIGKILL);
	must(f, acquire_slot);
	assert_int_equal(f->said->slot, f->resident.slot);
	assert_nothing_left(f);
}

static void another_process_with_its_number_is_not_it(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };
	char path[128], text[4096], *line;
	FILE *file;
	size_t n;

	build(f);
	/* As if the number had gone round: the record names another start time. */
	snprintf(path, sizeof(path), "%s/run/%x", f->state_dir, f->resident.id_base);
	file = fopen(path, "r+e");
	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	line = strstr(text, "\ninit ");
	assert_non_null(line);
	fseek(file, line + 1 - text, SEEK_SET);
	fprintf(file, "init %d %llu\n", (int)f->resident.init.pid,
		(unsigned long long)f->resident.init_start + 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(open_again(f, f->resident.slot, &e), -ESRCH);
}

static void record_that_makes_no_sense_is_no_reason_to_fail(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };
	char path[128];
	FILE *file;

	build(f);
	snprintf(path, sizeof(path), "%s/run/%x", f->state_dir, f->resident.id_base);
	file = fopen(path, "ae");
	assert_non_null(file);
	fputs("init nobody\n", file);
	fclose(file);
	assert_int_equal(open_again(f, f->resident.slot, &e), -ESRCH);
	must(f, remove_all);
	assert_nothing_left(f);
}

static int build_what_cannot_be(struct fixture *f, struct err *e)
{
	f->spec.files.rootfs = "/nonexistent";
	return build_one(f, e);
}

static int build_what_fails_inside(struct fixture *f, struct err *e)
{
	/* Found out by PID 1, halfway through the mounts. */
	f->spec.files.rootfs = "/proc/self";
	return build_one(f, e);
}

static void failure_leaves_nothing(void **state)
{
	struct fixture *f = fixture(state);

	assert_error(in_worker(f, build_what_cannot_be), -ENOENT, &f->said->err,
		     "/nonexistent");
	assert_nothing_left(f);
	assert_true(in_worker(f, build_what_fails_inside) < 0);
	assert_true(*f->said->err.msg);
	assert_nothing_left(f);
}

/* FI-02: at any moment of its making. */
static void killed_worker_leaves_what_can_be_removed(void **state)
{
	struct fixture *f = fixture(state);
	unsigned alive = 0, seed = (unsigned)getpid(), took = time_of(f, build_one);

	must(f, remove_all);
	for (int i = 0; i < 60; i++) {
		pid_t worker = start_worker(f, build_one);
		struct err e = { 0 };
		int code;

		usleep((unsigned)rand_r(&seed) % took);
		kill(worker, SIGKILL);
		assert_int_not_equal(wait_for(f, worker, 5000), -1);
		/* Either complete, or found dead, or nothing at all. */
		code = open_again(f, 0, &e);
		if (code != 0 && code != -ESRCH && code != -ENOENT)
			fail_msg("%d: %s", code, e.msg);
		alive += code == 0;
		must(f, remove_all);
		/* Of one that had made nothing yet, the slot is for the next to free. */
		must(f, acquire_slot);
		assert_nothing_left(f);
	}
	print_message("%u of 60 were complete\n", alive);
}

/* What a killed worker has begun, whoever comes next ends: with their own hands. */
static void killed_remover_can_be_run_again(void **state)
{
	struct fixture *f = fixture(state);
	unsigned seed = (unsigned)getpid(), took;

	build(f);
	took = time_of(f, remove_one_slot);
	for (int i = 0; i < 30; i++) {
		pid_t worker;

		build(f);
		worker = start_worker(f, remove_one_slot);
		usleep((unsigned)rand_r(&seed) % took);
		kill(worker, SIGKILL);
		assert_int_not_equal(wait_for(f, worker, 5000), -1);
		must(f, remove_one_slot);
		assert_nothing_left(f);
	}
}

static int freeze(struct fixture *f, struct err *e)
{
	return resident_freeze(&f->resident, true, e);
}

static int thaw(struct fixture *f, struct err *e)
{
	return resident_freeze(&f->resident, false, e);
}

static void assert_frozen(const struct fixture *f, const char *wanted)
{
	char text[256];

	assert_true(fd_read_at(f->resident.cgroup, "cgroup.events", text, sizeof(text)) >
		    0);
	assert_non_null(strstr(text, wanted));
}

/* FI-23 */
static void frozen_one_is_thawed_killed_and_removed(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };

	build(f);
	must(f, freeze);
	assert_frozen(f, "frozen 1");
	must(f, thaw);
	assert_frozen(f, "frozen 0");
	must(f, freeze);
	assert_int_equal(resident_kill(&f->resident, &e), 0);
	assert_int_equal(wait_for(f, f->resident.init.pid, 5000), SIGKILL);
	must(f, remove_one_slot);
	build(f);
	must(f, freeze);
	must(f, remove_one_slot);
	assert_nothing_left(f);
}

static int reclaim_memory(struct fixture *f, struct err *e)
{
	return resident_reclaim_memory(&f->resident, e);
}

static void memory_is_given_back(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	must(f, reclaim_memory);
	must(f, open_from_afresh);
}

/* A tmpfs with a file in it, as a detached mount. */
static int make_tree(void)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), tree, file;

	assert_int_equal(fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	tree = fsmount(context, FSMOUNT_CLOEXEC, 0);
	assert_true(tree >= 0);
	file = openat(tree, "here", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(file >= 0);
	close(file);
	close(context);
	return tree;
}

static int attach(struct fixture *f, struct err *e)
{
	auto_fd tree = make_tree();

	return resident_attach_workspace(&f->resident, tree, "/workspace", e);
}

static int attach_nowhere(struct fixture *f, struct err *e)
{
	auto_fd tree = make_tree();

	return resident_attach_workspace(&f->resident, tree, "/nowhere", e);
}

/* A link in the sandbox leads nowhere. */
static int attach_by_link(struct fixture *f, struct err *e)
{
	auto_fd tree = make_tree();

	return resident_attach_workspace(&f->resident, tree, "/var/tmp", e);
}

static void workspace_is_attached_later(void **state)
{
	struct fixture *f = fixture(state);
	char target[] = "/workspace:size=4k", path[64];
	struct err e = { 0 };

	assert_int_equal(rootfs_plan_tmpfs(&f->spec.files, target, &e), 0);
	assert_int_equal(rootfs_plan_finish(&f->spec.files, &e), 0);
	build(f);
	assert_error(in_worker(f, attach_nowhere), -ENOENT, &f->said->err, "/nowhere");
	assert_error(in_worker(f, attach_by_link), -ELOOP, &f->said->err, "/var/tmp");
	must(f, attach);
	snprintf(path, sizeof(path), "/proc/%d/root/workspace/here",
		 (int)f->resident.init.pid);
	assert_int_equal(access(path, F_OK), 0);
	must(f, remove_one_slot);
	assert_nothing_left(f);
}

static void terminal_is_the_sandboxes_own(void **state)
{
	struct fixture *f = fixture(state);
	auto_fd master = -1, slave = -1;
	struct err e = { 0 };
	struct stat st;
	char bytes[8];

	build(f);
	if (resident_open_terminal(&f->resident, 1234, &master, &slave, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(isatty(master) && isatty(slave));
	assert_int_equal(fstat(slave, &st), 0);
	assert_int_equal(st.st_uid, f->resident.id_base + 1234);
	assert_int_equal(st.st_gid, f->resident.id_base + 5);
	assert_int_equal(write(slave, "x", 1), 1);
	assert_int_equal(read(master, bytes, sizeof(bytes)), 1);
	/* Not the host's: whose is at that name is another one. */
	assert_int_equal(ioctl(master, TIOCGPTN, bytes), 0);
	assert_int_equal(*(int *)bytes, 0);
	assert_true(fcntl(master, F_GETFD) & FD_CLOEXEC);
}

static long long number(const json_t *object, const char *a, const char *b)
{
	return json_integer_value(json_object_get(json_object_get(object, a), b));
}

static const char *text_of(const json_t *object, const char *a, const char *b)
{
	return json_string_value(json_object_get(json_object_get(object, a), b));
}

static void assert_inspected(const struct fixture *f, const json_t *seen)
{
	static const char *const caps[] = { "cap_inheritable", "cap_permitted",
					    "cap_effective", "cap_bounding",
					    "cap_ambient" };
	const json_t *map = json_array_get(json_object_get(seen, "uid_map"), 0);
	struct stat st;
	char path[64];

	for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++)
		assert_string_equal(text_of(seen, "process", caps[i]),
				    "0000000000000000");
	assert_int_equal(number(seen, "process", "no_new_privs"), 1);
	assert_int_equal(number(seen, "process", "seccomp"), 2);
	assert_int_equal(number(seen, "limits", "memory"), f->spec.limits.memory);
	assert_int_equal(number(seen, "limits", "pids"), f->spec.limits.pids);
	assert_int_equal(number(seen, "limits", "cpu_milli"), f->spec.limits.cpu_milli);
	assert_int_equal(json_integer_value(json_object_get(map, "host")),
			 f->resident.id_base);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)f->resident.init.pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(number(seen, "namespaces", "net"), st.st_ino);
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)f->resident.init.pid);
	assert_int_equal(json_array_size(json_object_get(seen, "mounts")),
			 count_lines(path));
	assert_string_equal(text_of(seen, "network", "mode"), "none");
}

static void inspect_says_what_the_kernel_has(void **state)
{
	struct fixture *f = fixture(state);
	auto_free char *text = NULL;
	struct err e = { 0 };
	json_t *seen;

	build(f);
	if (resident_inspect(&f->resident, &f->host, &text, &e) < 0)
		fail_msg("%s", e.msg);
	seen = json_loads(text, 0, NULL);
	assert_non_null(seen);
	assert_inspected(f, seen);
	assert_false(json_is_true(json_object_get(seen, "frozen")));
	json_decref(seen);
	assert_int_equal(kill_init(f), 0);
	assert_int_equal(wait_for(f, f->resident.init.pid, 5000), SIGKILL);
	assert_int_equal(resident_inspect(&f->resident, &f->host, &text, &e), -ESRCH);
}

static void descriptors_are_closed_again(void **state)
{
	struct fixture *f = fixture(state);
	int lowest;

	build(f);
	resident_close(&f->resident);
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	open_slot(f, 0);
	resident_close(&f->resident);
	assert_int_equal(fcntl(0, F_DUPFD_CLOEXEC, 0), lowest);
	close(lowest);
}

static int build_five(struct fixture *f, struct err *e)
{
	int r = 0;

	for (int i = 0; r == 0 && i < 5; i++)
		r = build_one(f, e);
	return r;
}

static int count_one(void *context, uint32_t slot, struct err *e)
{
	unsigned *seen = context;

	(void)e;
	*seen |= 1u << slot;
	return 0;
}

static void each_names_all_of_them(void **state)
{
	struct fixture *f = fixture(state);
	unsigned seen = 0;
	struct err e = { 0 };

	assert_int_equal(resident_each(&f->config, count_one, &seen, &e), 0);
	assert_int_equal(seen, 0);
	must(f, build_five);
	assert_int_equal(resident_each(&f->config, count_one, &seen, &e), 0);
	assert_int_equal(seen, 0x1f);
	must(f, remove_all);
	assert_nothing_left(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sandbox_outlives_its_maker_and_leaves_no_trace),
		CASE(label_comes_back_whole),
		CASE(slot_without_resident_is_not_there),
		CASE(dead_one_is_found_dead_and_removed),
		CASE(zombie_is_dead),
		CASE(living_ones_slot_is_nobody_elses),
		CASE(another_process_with_its_number_is_not_it),
		CASE(record_that_makes_no_sense_is_no_reason_to_fail),
		CASE(failure_leaves_nothing),
		CASE(killed_worker_leaves_what_can_be_removed),
		CASE(killed_remover_can_be_run_again),
		CASE(frozen_one_is_thawed_killed_and_removed),
		CASE(memory_is_given_back),
		CASE(workspace_is_attached_later),
		CASE(terminal_is_the_sandboxes_own),
		CASE(inspect_says_what_the_kernel_has),
		CASE(descriptors_are_closed_again),
		CASE(each_names_all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
