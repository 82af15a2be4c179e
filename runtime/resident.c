/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox that stays: built, found again, changed, removed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "runtime/command.h"
#include "runtime/resident_private.h"
#include "runtime/sandbox.h"
#include "runtime/slot.h"
#include "runtime/steps.h"

/* --- building ---------------------------------------------------------------------- */

static int build(struct sandbox *sb, struct err *e)
{
	int r = sandbox_start(sb, e);

	fd_close(&sb->procfs);
	/* Once for the mounts, and once for all that it has given up. */
	for (int i = 0; r == 0 && i < 2; i++)
		r = steps_wait_at_gate(sb->gate[0], e);
	if (r < 0)
		return sandbox_find_cause(sb, e);
	return sandbox_leave(sb, e);
}

int resident_build(const struct runtime_config *config, const struct spec *spec,
		   const void *label, size_t label_size, uint32_t *ret_slot,
		   struct err *e)
{
	const struct sandbox_label named = { label, label_size };
	struct sandbox sb;
	struct err ignored;
	uint32_t slot;
	int r;

	if (label_size > RESIDENT_LABEL_SIZE)
		return err_say(e, E2BIG, "a label of %zu bytes", label_size);
	r = netns_plan_check(&config->network, &spec->network, e);
	if (r == 0)
		r = sandbox_prepare(config, spec, &named, &sb, e);
	if (r < 0)
		return r;
	slot = sb.slot.index;
	r = build(&sb, e);
	if (r < 0) {
		err_ignore(sandbox_destroy(&sb, &ignored) < 0);
		return r;
	}
	*ret_slot = slot;
	return 0;
}

/* --- finding ----------------------------------------------------------------------- */

/* Is the process that was recorded alive? Asked again when its number has been used: as
 * long as it has not been waited for, nobody else has that. */
static int open_init(const struct record *record, struct resident *ret, struct err *e)
{
	uint64_t start = 0;
	siginfo_t info;
	int r;

	if (record->init <= 0)
		return err_say(e, ESRCH, "it was never complete");
	ret->init.pidfd = pidfd_open(record->init, 0);
	if (ret->init.pidfd < 0)
		return err_set(e, errno, "open process %d", (int)record->init);
	r = sandbox_start_time(record->init, &start, e);
	if (r < 0)
		return r;
	if (start != record->init_start ||
	    pidfd_send_signal(ret->init.pidfd, 0, NULL, 0) < 0)
		return err_say(e, ESRCH, "process %d is not its PID 1 any more",
			       (int)record->init);
	ret->init_start = start;
	if (waitid((idtype_t)P_PIDFD, (id_t)ret->init.pidfd, &info,
		   WEXITED | WNOHANG | WNOWAIT) == 0)
		ret->init.pid = record->init;
	return 0;
}

/* Only one hierarchy has the device of a group's directory. */
static int index_of(const struct cgroup_host *host, int group)
{
	struct stat st, tree;

	if (fstat(group, &st) < 0)
		return -1;
	for (unsigned i = 0; i < host->ntrees; i++) {
		if (fstat(host->trees[i].dir, &tree) == 0 && tree.st_dev == st.st_dev)
			return (int)i;
	}
	return -1;
}

static int open_groups(const struct record *record, const struct cgroup_host *host,
		       struct resident *ret, struct err *e)
{
	for (unsigned i = 0; i < record->group_count; i++) {
		const char *path = record->groups[i];
		auto_fd fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY,
					 RESOLVE_NO_SYMLINKS);
		int tree;

		if (fd < 0)
			return err_set(e, errno == ENOENT ? ESRCH : errno,
				       "open cgroup %s", path);
		tree = index_of(host, fd);
		if (tree < 0 || (tree == 0) != (i == 0))
			return err_say(e, EPROTO, "%s is in no hierarchy of this host",
				       path);
		if (tree == 0)
			ret->cgroup = fd_take(&fd);
		else if (ret->v1[tree] < 0)
			ret->v1[tree] = fd_take(&fd);
	}
	return 0;
}

/* Where nobody but PID 1 has ever been. */
static int check_member(const struct record *record, const struct resident *r,
			struct err *e)
{
	char text[64], pid[16];
	ssize_t n = fd_read_at(r->cgroup, "init/cgroup.procs", text, sizeof(text));

	if (n < 0)
		return err_set(e, n == -ENOENT ? ESRCH : (int)-n, "read cgroup.procs");
	bug_on(str_format(pid, sizeof(pid), "%d", (int)record->init) < 0);
	if (strcmp(text, pid) != 0)
		return err_say(e, ESRCH, "process %s is not in its cgroup any more", pid);
	return 0;
}

static int open_all(const struct slot *slot, const struct record *record,
		    const struct cgroup_host *host, struct resident *ret, struct err *e)
{
	int r = open_init(record, ret, e);

	if (r == 0)
		r = open_groups(record, host, ret, e);
	if (r == 0)
		r = check_member(record, ret, e);
	ret->slot = slot->index;
	ret->id_base = slot->id_base;
	ret->ids_direct = record->ids_direct;
	ret->address4 = record->address4;
	ret->address6 = record->address6;
	memcpy(ret->id, slot->name, sizeof(ret->id));
	memcpy(ret->host_end, record->host_end, sizeof(ret->host_end));
	return r;
}

int resident_open(const struct runtime_config *config, const struct cgroup_host *host,
		  uint32_t slot, struct resident *ret, void **ret_label,
		  size_t *ret_label_size, struct err *e)
{
	struct resident found = RESIDENT_NONE;
	struct slot s = SLOT_NONE;
	struct record record;
	int r = slot_open(config, slot, &s, &record, e);

	if (r == 0)
		r = open_all(&s, &record, host, &found, e);
	if (r == 0)
		r = cgroup_read_label(found.cgroup, ret_label, ret_label_size, e);
	slot_close(&s);
	/* What is unreadable cannot be used either. */
	if (r == -EPROTO || r == -ENODATA)
		r = e->code = -ESRCH;
	if (r < 0) {
		resident_close(&found);
		return r;
	}
	*ret = found;
	return 0;
}

int resident_find_id(const struct runtime_config *config, uint32_t slot,
		     char ret[CGROUP_NAME_MAX], struct err *e)
{
	struct slot s = SLOT_NONE;
	struct record record;
	int r = slot_open(config, slot, &s, &record, e);

	/* Also of one that is dead, half-built or damaged. */
	memcpy(ret, s.name, CGROUP_NAME_MAX);
	slot_close(&s);
	return *ret ? 0 : r;
}

void resident_close(struct resident *r)
{
	fd_close(&r->init.pidfd);
	fd_close(&r->cgroup);
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		fd_close(&r->v1[i]);
	*r = RESIDENT_NONE;
}

int resident_each(const struct runtime_config *config,
		  int (*found)(void *context, uint32_t slot, struct err *e),
		  void *context, struct err *e)
{
	return slot_each_resident(config, found, context, e);
}

struct cgroup_place resident_place(const struct resident *r,
				   const struct cgroup_host *host)
{
	struct cgroup_place place = { .host = host };

	memcpy(place.dir, r->v1, sizeof(place.dir));
	place.dir[0] = r->cgroup;
	return place;
}

static int pid_of(int pidfd, pid_t *ret, struct err *e)
{
	char path[40], text[512];
	const char *line;
	ssize_t n;

	bug_on(str_format(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd) < 0);
	n = fd_read_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return err_set(e, (int)-n, "read %s", path);
	line = strstr(text, "Pid:");
	if (!line || sscanf(line, "Pid: %d", ret) != 1 || *ret <= 0)
		return err_say(e, ESRCH, "PID 1 of the sandbox is dead");
	return 0;
}

int resident_open_proc(const struct resident *r, int *ret_dir, struct err *e)
{
	auto_fd dir = -1;
	char path[24];
	pid_t pid = 0;
	int code = pid_of(r->init.pidfd, &pid, e);

	if (code < 0)
		return code;
	bug_on(str_format(path, sizeof(path), "/proc/%d", (int)pid) < 0);
	dir = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (dir < 0)
		return err_set(e, errno == ENOENT ? ESRCH : errno, "open %s", path);
	/* If it lives, the number has been its own all the time. */
	if (pidfd_send_signal(r->init.pidfd, 0, NULL, 0) < 0)
		return err_say(e, ESRCH, "PID 1 of the sandbox is dead");
	*ret_dir = fd_take(&dir);
	return 0;
}

static int map_id(int proc, const char *file, uint32_t inside, uint32_t *ret,
		  struct err *e)
{
	char text[1024];
	ssize_t n = fd_read_at(proc, file, text, sizeof(text));
	unsigned first, outside, count;

	if (n < 0)
		return err_set(e, (int)-n, "read %s", file);
	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (sscanf(p, "%u %u %u", &first, &outside, &count) == 3 &&
		    inside >= first && inside - first < count) {
			*ret = outside + (inside - first);
			return 0;
		}
	}
	return err_say(e, EINVAL, "%s has no id %u", file, inside);
}

int resident_host_ids(const struct resident *r, uid_t uid, gid_t gid, uid_t *ret_uid,
		      gid_t *ret_gid, struct err *e)
{
	auto_fd proc = -1;
	int code;

	*ret_uid = r->id_base + uid;
	*ret_gid = r->id_base + gid;
	if (!r->ids_direct)
		return 0;
	code = resident_open_proc(r, &proc, e);
	if (code == 0)
		code = map_id(proc, "uid_map", uid, ret_uid, e);
	if (code == 0)
		code = map_id(proc, "gid_map", gid, ret_gid, e);
	return code;
}

/* --- ending ------------------------------------------------------------------------ */

int resident_kill(const struct resident *r, struct err *e)
{
	return cgroup_kill_all(r->cgroup, e) < 0 ? err_wrap(e, "kill %s", r->id) : 0;
}

/* The network namespace of one that lives. A dead one's is gone, or about to be. */
static int open_network(const struct record *record, struct netns *ret, struct err *e)
{
	struct resident r = RESIDENT_NONE;
	auto_fd proc = -1;
	int code = *record->host_end ? open_init(record, &r, e) : -ESRCH;

	if (code == 0)
		code = resident_open_proc(&r, &proc, e);
	fd_close(&r.init.pidfd);
	if (code < 0)
		return code == -ESRCH ? 0 : code;
	ret->fd = openat(proc, "ns/net", O_RDONLY | O_CLOEXEC);
	if (ret->fd < 0 && (errno == ENOENT || errno == ESRCH))
		return 0;
	if (ret->fd < 0)
		return err_set(e, errno, "open the network namespace of a sandbox");
	memcpy(ret->host_end, record->host_end, sizeof(ret->host_end));
	ret->address4 = record->address4;
	ret->address6 = record->address6;
	ret->special = record->special;
	return netns_open(ret, e);
}

/* processes, groups, network, record. */
static int take_down(const struct slot *slot, const struct record *record, struct err *e)
{
	struct netns netns = NETNS_NONE;
	int opened = open_network(record, &netns, e), r;

	/* If its network cannot be had, the sandbox must end all the same; the next one
	 * to come finds a dead one. */
	if (opened < 0) {
		struct err ignored;

		netns_close(&netns);
		err_ignore(cgroup_reclaim(record->groups[0], &ignored) < 0);
		return opened;
	}
	r = cgroup_reclaim(record->groups[0], e);
	if (r < 0) {
		netns_close(&netns);
		return r;
	}
	r = netns_destroy(&netns, e);
	return r == 0 ? record_reclaim(slot->state_dir, slot->id_base, e) : r;
}

int resident_remove(const struct runtime_config *config, uint32_t slot, const char *id,
		    struct err *e)
{
	struct slot s = SLOT_NONE;
	struct record record;
	int r = slot_claim(config, slot, id, &s, &record, e);

	if (r == 0) {
		r = take_down(&s, &record, e);
		if (r == 0)
			slot_release(&s);
		else
			slot_give_back(&s);
	}
	slot_close(&s);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? err_wrap(e, "remove the sandbox of slot %" PRIu32, slot) : 0;
}

/* --- changing ---------------------------------------------------------------------- */

int resident_freeze(const struct resident *r, bool frozen, struct err *e)
{
	int code = cgroup_freeze(r->cgroup, frozen, e);

	return code < 0 ? err_wrap(e, "%s %s", frozen ? "freeze" : "thaw", r->id) : 0;
}

int resident_reclaim_memory(const struct resident *r, struct err *e)
{
	int dirs[CGROUP_TREE_MAX], code;

	memcpy(dirs, r->v1, sizeof(dirs));
	dirs[0] = r->cgroup;
	code = cgroup_reclaim_memory(dirs, e);
	return code < 0 ? err_wrap(e, "%s", r->id) : 0;
}

/* What a child does in the mount namespace of a sandbox, in our memory. */
struct visit {
	int init, tree;
	const char *target;
	int code;
	struct err err;
};

static int attach(const struct visit *v, struct err *e)
{
	auto_fd target = -1;

	if (setns(v->init, CLONE_NEWNS) < 0)
		return err_set(e, errno, "enter the sandbox's mounts");
	target = sys_openat2(AT_FDCWD, v->target, O_PATH | O_DIRECTORY,
			     RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (target < 0)
		return err_set(e, errno, "open %s", v->target);
	if (move_mount(v->tree, "", target, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set(e, errno, "mount on %s", v->target);
	return 0;
}

static void attach_in_child(void *context)
{
	struct visit *v = context;

	v->code = attach(v, &v->err);
	_exit(0);
}

int resident_attach_workspace(const struct resident *r, int tree, const char *target,
			      struct err *e)
{
	struct visit v = { .init = r->init.pidfd,
			   .tree = tree,
			   .target = target,
			   .code = -ECHILD,
			   .err = { -ECHILD, "the process that enters it was killed" } };
	auto_process child = PROCESS_NONE;
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uintptr_t)&child.pidfd,
				   .exit_signal = SIGCHLD };

	child.pid = command_clone(&args, attach_in_child, &v, e);
	if (child.pid < 0) {
		child = PROCESS_NONE;
		return e->code;
	}
	if (v.code < 0) {
		*e = v.err;
		return err_wrap(e, "attach a workspace");
	}
	return 0;
}

int resident_set_label(const struct resident *r, const void *label, size_t label_size,
		       struct err *e)
{
	if (label_size > RESIDENT_LABEL_SIZE)
		return err_say(e, E2BIG, "a label of %zu bytes", label_size);
	return cgroup_set_label(r->cgroup, label, label_size, e);
}

/* From outside: nothing of it is entered, and no link of it followed. */
int resident_open_terminal(const struct resident *r, uid_t uid, int *ret_master,
			   int *ret_slave, struct err *e)
{
	auto_fd proc = -1, root = -1, master = -1;
	uid_t host_uid = 0;
	gid_t host_gid = 0;
	struct statfs fs;
	int code = resident_host_ids(r, uid, 0, &host_uid, &host_gid, e);

	if (code == 0)
		code = resident_open_proc(r, &proc, e);
	if (code < 0)
		return code;
	root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_set(e, errno, "open the sandbox's root");
	master = sys_openat2(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY,
			     RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS |
				     RESOLVE_NO_MAGICLINKS);
	if (master < 0)
		return err_set(e, errno, "open the sandbox's ptmx");
	if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_say(e, EPROTO, "the sandbox's ptmx is something else");
	code = terminal_open_slave(master, host_uid, r->id_base, ret_slave, e);
	if (code == 0)
		*ret_master = fd_take(&master);
	return code;
}
