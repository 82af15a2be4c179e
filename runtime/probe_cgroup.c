/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of control groups. Each makes groups as a sandbox does, under a record that lets
 * the next carrel remove them should this one be killed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "runtime/probe.h"
#include "runtime/slot.h"

enum { FREEZE_WAIT_MS = 2000 };

/* Groups made for a probe. */
struct test_group {
	struct cgroup_host host;
	struct slot slot;
	struct cgroup group;
};

/* A record of what cannot be removed stays for the next one to read. */
static int remove_group(struct test_group *t, struct err *e)
{
	int r = cgroup_destroy(&t->group, e);

	if (r == 0)
		slot_release(&t->slot);
	else
		fd_close(&t->slot.state_dir);
	cgroup_host_close(&t->host);
	return r;
}

static int make_group(const struct runtime_config *config,
		      const struct cgroup_limits *limits, struct test_group *t,
		      struct err *e)
{
	struct err ignored;
	int r = cgroup_host_open(limits, &t->host, e);

	t->group = CGROUP_NONE;
	t->slot = SLOT_NONE;
	if (r < 0)
		return r;
	r = slot_acquire(config, &t->slot, e);
	if (r == 0)
		r = slot_record(&t->slot, &t->host, e);
	if (r == 0)
		r = cgroup_create(&t->host, t->slot.name, &t->group, e);
	if (r == 0)
		r = cgroup_complete(&t->group, limits, e);
	if (r < 0)
		err_ignore(remove_group(t, &ignored)); /* the first failure is told */
	return r;
}

typedef int (*group_fn)(const struct cgroup *cg, const struct probe *self,
			struct str *found, struct err *e);

/* Calls fn with groups that are gone afterwards. */
static int with_group(const struct probe *self, const struct runtime_config *config,
		      group_fn fn, struct str *found, struct err *e)
{
	static const struct cgroup_limits none = { 0 };
	struct test_group t;
	struct err remove_err;
	int r = make_group(config, &none, &t, e);

	if (r < 0)
		return r;
	r = fn(&t.group, self, found, e);
	if (remove_group(&t, &remove_err) < 0 && r == 0) {
		*e = remove_err;
		r = e->code;
	}
	return r;
}

static int say_where(const struct cgroup *cg, const struct probe *self, struct str *found,
		     struct err *e)
{
	(void)self;
	(void)e;
	str_add(found, "%s", cg->host->trees[0].path);
	return 0;
}

static int try_v2(const struct probe *self, const struct runtime_config *config,
		  struct str *found, struct err *e)
{
	return with_group(self, config, say_where, found, e);
}

static int expect_member(const struct cgroup *cg, pid_t pid, struct err *e)
{
	char text[64], want[16];
	ssize_t n = fd_read_at(cg->exec, "cgroup.procs", text, sizeof(text));

	if (n < 0)
		return err_set(e, (int)-n, "read cgroup.procs");
	if (str_format(want, sizeof(want), "%d", (int)pid) < 0 || strcmp(text, want) != 0)
		return err_say(e, EPROTO, "the child was not born into its cgroup");
	return 0;
}

static int clone_into(const struct cgroup *cg, const struct probe *self,
		      struct str *found, struct err *e)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	auto_process child = PROCESS_NONE;
	int r;

	(void)self;
	args.flags = CLONE_PIDFD | CLONE_INTO_CGROUP;
	args.pidfd = (uintptr_t)&child.pidfd;
	args.cgroup = (uint64_t)cg->exec;
	child.pid = sys_clone3(&args);
	if (child.pid < 0) {
		child = PROCESS_NONE;
		return err_set(e, errno, "clone3 with CLONE_INTO_CGROUP");
	}
	if (child.pid == 0)
		_exit(probe_pause(NULL));
	if (child.pidfd < 0)
		return err_say(e, EPROTO, "clone3 gave no pidfd");
	r = expect_member(cg, child.pid, e);
	if (r == 0)
		str_add(found, "a child was born into a cgroup, with a pidfd");
	return r;
}

static int try_clone3(const struct probe *self, const struct runtime_config *config,
		      struct str *found, struct err *e)
{
	return with_group(self, config, clone_into, found, e);
}

/* A process in the exec group, moved there without the help of clone3. */
static int start_member(const struct cgroup *cg, struct process *ret, struct err *e)
{
	char pid[16];
	int r = probe_spawn(probe_pause, NULL, ret, e);

	if (r < 0)
		return r;
	r = str_format(pid, sizeof(pid), "%d", (int)ret->pid);
	if (r == 0)
		r = fd_write_at(cg->exec, "cgroup.procs", pid);
	if (r < 0)
		return err_set(e, -r, "move a process into a cgroup");
	return 0;
}

static int kill_group(const struct cgroup *cg, const struct probe *self,
		      struct str *found, struct err *e)
{
	auto_process child = PROCESS_NONE;
	int status = 0;
	int r = start_member(cg, &child, e);

	(void)self;
	if (r == 0)
		r = cgroup_kill_exec(cg, e);
	if (r == 0)
		r = process_wait(&child, &status, NULL, e);
	if (r < 0)
		return r;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return err_say(e, EPROTO, "cgroup.kill did not kill");
	str_add(found, "killed a process");
	return 0;
}

static int try_kill(const struct probe *self, const struct runtime_config *config,
		    struct str *found, struct err *e)
{
	return with_group(self, config, kill_group, found, e);
}

/* Freezes or thaws, and waits until the kernel says that it is so. */
static int set_frozen(const struct cgroup *cg, bool frozen, struct err *e)
{
	const char *want = frozen ? "frozen 1" : "frozen 0";
	char text[128];
	int r = fd_write_at(cg->exec, "cgroup.freeze", frozen ? "1" : "0");

	if (r < 0)
		return err_set(e, -r, "write cgroup.freeze");
	for (int ms = 0; ms < FREEZE_WAIT_MS; ms++) {
		ssize_t n = fd_read_at(cg->exec, "cgroup.events", text, sizeof(text));

		if (n < 0)
			return err_set(e, (int)-n, "read cgroup.events");
		if (strstr(text, want))
			return 0;
		usleep(1000);
	}
	return err_say(e, ETIMEDOUT, "cgroup.events never said \"%s\"", want);
}

static int freeze_group(const struct cgroup *cg, const struct probe *self,
			struct str *found, struct err *e)
{
	auto_process child = PROCESS_NONE;
	int r = start_member(cg, &child, e);

	(void)self;
	if (r == 0)
		r = set_frozen(cg, true, e);
	if (r == 0)
		r = set_frozen(cg, false, e);
	if (r == 0)
		str_add(found, "froze and thawed a process");
	return r;
}

static int try_freeze(const struct probe *self, const struct runtime_config *config,
		      struct str *found, struct err *e)
{
	return with_group(self, config, freeze_group, found, e);
}

/* A small limit, and what the kernel must then say where. */
static const struct {
	struct cgroup_limits limits;
	const char *file_v2, *want_v2, *file_v1, *want_v1;
} controllers[] = {
	/* carrel-init is in the v2 group, and there is room for it. */
	[CGROUP_PIDS] = { { .pids = 7 }, "pids.max", "8", "pids.max", "7" },
	[CGROUP_MEMORY] = { { .memory = 8 << 20 },
			    "memory.max",
			    "8388608",
			    "memory.limit_in_bytes",
			    "8388608" },
	[CGROUP_CPU] = { { .cpu_milli = 100 },
			 "cpu.max",
			 "10000 100000",
			 "cpu.cfs_quota_us",
			 "10000" },
};

/* The index of the hierarchy that limits the controller; 0 if it is none but v2. */
static unsigned tree_of(const struct cgroup *cg, int controller)
{
	unsigned i = cg->host->ntrees - 1;

	while (i && !(cg->host->trees[i].controllers & (1u << controller)))
		i--;
	return i;
}

static int check_limit(const struct cgroup *cg, const struct probe *self,
		       struct str *found, struct err *e)
{
	unsigned tree = tree_of(cg, self->arg);
	const char *file =
		tree ? controllers[self->arg].file_v1 : controllers[self->arg].file_v2;
	const char *want =
		tree ? controllers[self->arg].want_v1 : controllers[self->arg].want_v2;
	char text[64];
	ssize_t n = fd_read_at(cg->dir[tree], file, text, sizeof(text));

	if (n < 0)
		return err_set(e, (int)-n, "read %s", file);
	if (strcmp(text, want) != 0)
		return err_say(e, EPROTO, "%s is %s instead of %s", file, text, want);
	str_add(found, "v%d, %s", tree ? 1 : 2, cg->host->trees[tree].path);
	return 0;
}

static int try_controller(const struct probe *self, const struct runtime_config *config,
			  struct str *found, struct err *e)
{
	struct test_group t;
	struct err remove_err;
	int r = make_group(config, &controllers[self->arg].limits, &t, e);

	if (r < 0)
		return r;
	r = check_limit(&t.group, self, found, e);
	if (remove_group(&t, &remove_err) < 0 && r == 0) {
		*e = remove_err;
		r = e->code;
	}
	return r;
}

static bool has_file(const struct cgroup *cg, unsigned tree, const char *name)
{
	return faccessat(cg->dir[tree], name, F_OK, 0) == 0;
}

/* /proc/swaps has a heading, and then a line each. */
static bool swap_is_on(void)
{
	char text[4096];
	ssize_t n = fd_read_at(AT_FDCWD, "/proc/swaps", text, sizeof(text));

	return n == -EFBIG || (n > 0 && strchr(text, '\n'));
}

static int check_swap(const struct cgroup *cg, const struct probe *self,
		      struct str *found, struct err *e)
{
	unsigned tree = tree_of(cg, CGROUP_MEMORY);
	const char *file = tree ? "memory.memsw.limit_in_bytes" : "memory.swap.max";

	(void)self;
	if (has_file(cg, tree, file))
		str_add(found, "%s", file);
	else if (swap_is_on())
		return err_say(e, ENOTSUP, "swap is on, but there is no %s", file);
	else
		str_add(found, "none, but swap is off");
	return 0;
}

static int try_swap(const struct probe *self, const struct runtime_config *config,
		    struct str *found, struct err *e)
{
	return with_group(self, config, check_swap, found, e);
}

static int check_peaks(const struct cgroup *cg, const struct probe *self,
		       struct str *found, struct err *e)
{
	unsigned memory = tree_of(cg, CGROUP_MEMORY), pids = tree_of(cg, CGROUP_PIDS);
	const char *memory_file = memory ? "memory.max_usage_in_bytes" : "memory.peak";
	bool has_memory = has_file(cg, memory, memory_file);
	bool has_pids = has_file(cg, pids, "pids.peak");

	(void)self;
	if (!has_memory || !has_pids)
		return err_say(e, ENOTSUP, "no %s%s%s", has_memory ? "" : memory_file,
			       has_memory || has_pids ? "" : ", no ",
			       has_pids ? "" : "pids.peak");
	str_add(found, "%s, pids.peak", memory_file);
	return 0;
}

static int try_peaks(const struct probe *self, const struct runtime_config *config,
		     struct str *found, struct err *e)
{
	return with_group(self, config, check_peaks, found, e);
}

#define CONTROLLER(word, number)                                                        \
	{                                                                               \
		.id = "controller-" word, .name = word " limit", .run = try_controller, \
		.arg = (number),                                                        \
		.remedy = "a kernel with the controller (not cgroup_disable=" word      \
			  "), and write access to its hierarchy"                        \
	}

static const struct probe rows[] = {
	{ .id = "cgroup2",
	  .name = "cgroup v2",
	  .run = try_v2,
	  .remedy = "mount -t cgroup2 cgroup2 /sys/fs/cgroup; writable, and not a part "
		    "of it only" },
	{ .id = "clone3",
	  .name = "clone3 into a cgroup",
	  .run = try_clone3,
	  .remedy = "Linux 5.7; where it is new enough, what carrel runs in denies it" },
	{ .id = "cgroup-kill",
	  .name = "cgroup.kill",
	  .run = try_kill,
	  .remedy = "Linux 5.14" },
	{ .id = "cgroup-freeze",
	  .name = "cgroup.freeze",
	  .run = try_freeze,
	  .remedy = "Linux 5.2" },
	CONTROLLER("pids", CGROUP_PIDS),
	CONTROLLER("memory", CGROUP_MEMORY),
	CONTROLLER("cpu", CGROUP_CPU),
	{ .id = "swap-accounting",
	  .name = "swap accounting",
	  .run = try_swap,
	  .advice = true,
	  .remedy = "swapoff -a, or boot with swapaccount=1" },
	{ .id = "peaks",
	  .name = "peak figures",
	  .run = try_peaks,
	  .advice = true,
	  .remedy = "Linux 6.1 and cgroup v2; until then results say 0" },
};

const struct probe_table probe_cgroup = { rows, sizeof(rows) / sizeof(*rows) };
