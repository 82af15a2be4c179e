/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/procfs.h"
#include "base/str.h"
#include "base/sys.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

enum { DEATH_WAIT_MS = 5000 }; /* of a PID 1 that is not our child */

/* The whole 64 Ki range, but for the user's id where that stands for another of the
 * host's (see rootfs_sources.direct). */
static void map_range(struct userns_range *ranges, uint32_t base, uint32_t inside,
		      uint32_t outside)
{
	if (outside == base + inside) {
		ranges[0] = (struct userns_range){ 0, base, SPEC_ID_RANGE };
		return;
	}
	ranges[0] = (struct userns_range){ 0, base, inside };
	ranges[1] = (struct userns_range){ inside, outside, 1 };
	ranges[2] = (struct userns_range){ inside + 1, base + inside + 1,
					   SPEC_ID_RANGE - inside - 1 };
}

static int make_userns(struct sandbox *sb, struct err *e)
{
	const struct rootfs_owner *o = &sb->owner;
	struct userns_map map = { .owner = o->id_base };

	map_range(map.uid, o->id_base, o->uid, o->host_uid);
	map_range(map.gid, o->id_base, o->gid, o->host_gid);
	return userns_create(&map, sb->procfs, &sb->userns, e);
}

static int make_pipe(int *fds, struct err *e)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	return 0;
}

/* The group says by itself what it is and whose: its record may be lost. */
static int stay(struct sandbox *sb, struct err *e)
{
	char owner[SLOT_OWNER_SIZE];
	int r = slot_owner(sb->slot.state_dir, owner, e);

	if (r == 0)
		r = cgroup_set_owner(sb->cgroup.dir[0], owner, e);
	if (r == 0)
		r = cgroup_stay(&sb->cgroup, sb->label->data, sb->label->size, e);
	return r;
}

static int prepare(const struct runtime_config *config, struct sandbox *sb, struct err *e)
{
	const struct spec *spec = sb->spec;
	int r = cgroup_host_open_below(config->cgroup_parent, &spec->limits, &sb->host,
				       e);

	if (r == 0)
		r = slot_acquire(config, &sb->slot, e);
	if (r < 0)
		return r;
	sb->owner = (struct rootfs_owner){ .uid = spec->uid,
					   .gid = spec->gid,
					   .id_base = sb->slot.id_base };
	r = rootfs_open(&spec->files, &sb->owner, &sb->sources, e);
	if (r == 0)
		r = make_pipe(sb->lifeline, e);
	if (r == 0)
		r = make_pipe(sb->gate, e);
	if (r == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sb->channel) < 0)
		r = err_set(e, errno, "make a socket pair");
	if (r == 0)
		r = sb->label ? slot_record_resident(&sb->slot, &sb->host, e)
			      : slot_record(&sb->slot, &sb->host, e);
	if (r == 0)
		r = cgroup_create(&sb->host, sb->slot.name, &sb->cgroup, e);
	if (r == 0 && sb->label)
		r = stay(sb, e);
	return r;
}

int sandbox_prepare(const struct runtime_config *config, const struct spec *spec,
		    const struct sandbox_label *label, struct sandbox *ret, struct err *e)
{
	struct err ignored;
	int r;

	*ret = (struct sandbox){
		.spec = spec,
		.label = label,
		.slot = SLOT_NONE,
		.settings = &config->network,
		.netns = NETNS_NONE,
		.procfs = -1,
		.userns = -1,
		.cgroup = CGROUP_NONE,
		.init_image = -1,
		.lifeline = { -1, -1 },
		.channel = { -1, -1 },
		.gate = { -1, -1 },
		.report = -1,
		.init = PROCESS_NONE,
	};
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		ret->host.trees[i].dir = -1;
	ret->sources.rootfs.tree = -1;
	ret->sources.lock = -1;
	ret->sources.pts = -1;
	for (int i = 0; i < ROOTFS_MOUNTS_MAX; i++)
		ret->sources.volumes[i].tree = -1;
	r = prepare(config, ret, e);
	if (r < 0)
		sandbox_destroy(ret, &ignored);
	return r;
}

static int record_network(void *slot, const char *host_end, struct err *e)
{
	return slot_record_network(slot, host_end, e);
}

/* What PID 1 needs only in the end, made while it builds the mounts on another
 * processor. Sent in the order in which init.c takes it. */
static int send_late(struct sandbox *sb, struct err *e)
{
	struct netns_place place = { .first = sb->slot.index,
				     .record = record_network,
				     .context = &sb->slot };
	int r = procfs_open(&sb->procfs, e);

	place.procfs = sb->procfs;
	if (r == 0)
		r = netns_create(sb->settings, &sb->spec->network, &place, &sb->netns, e);
	if (r == 0)
		r = make_userns(sb, e);
	if (r == 0)
		r = init_image_open(&sb->init_image, e);
	if (r == 0)
		r = cgroup_complete(&sb->cgroup, &sb->spec->limits, e);
	if (r < 0)
		return r;
	return steps_send_fds(sb->channel[0],
			      (int[]){ sb->netns.fd, sb->userns, sb->init_image }, 3, e);
}

/* PID 1 of a sandbox that stays is born as our parent's child, which we cannot wait for:
 * its descriptor is all we have. */
static int clone_init(struct sandbox *sb, struct err *e)
{
	struct clone_args args = { .flags = CLONE_PIDFD | CLONE_INTO_CGROUP |
					    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
					    CLONE_NEWUTS };
	pid_t pid;

	if (sb->label)
		args.flags |= CLONE_PARENT;
	else
		args.exit_signal = SIGCHLD;
	args.pidfd = (uintptr_t)&sb->init.pidfd;
	args.cgroup =
		(uint64_t)(sb->cgroup.init >= 0 ? sb->cgroup.init : sb->cgroup.dir[0]);
	pid = sys_clone3(&args);
	if (pid < 0) {
		sb->init = PROCESS_NONE;
		return err_set(e, errno, "clone PID 1 into %s", sb->cgroup.name);
	}
	if (sb->label)
		sb->parents_child = pid;
	else
		sb->init.pid = pid;
	return pid;
}

int sandbox_start(struct sandbox *sb, struct err *e)
{
	auto_fd read_end = -1, write_end = -1;
	int fds[2], pid;

	if (make_pipe(fds, e) < 0)
		return e->code;
	read_end = fds[0];
	write_end = fds[1];
	pid = clone_init(sb, e);
	if (pid < 0)
		return e->code;
	if (pid == 0)
		init_main(sb, write_end);
	sb->report = fd_take(&read_end);
	/* Held by PID 1 alone, their ends say when it is gone. */
	fd_close(&sb->gate[1]);
	fd_close(&sb->channel[1]);
	return send_late(sb, e);
}

static bool has_word(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&pfd, 1, 0) > 0;
}

int sandbox_find_cause(struct sandbox *sb, struct err *e)
{
	struct report report;
	struct err ignored;

	/* A report is written before its writer dies, so it is there by now. */
	if (has_word(sb->report) &&
	    steps_read_report(sb->report, &report, &ignored) == 0 &&
	    report.type == REPORT_FAILED) {
		*e = report.err;
		return err_wrap(e, "%s", report.step);
	}
	/* The pidfd of a process that has died polls readable. */
	if (has_word(sb->init.pidfd))
		return err_say(e, ECHILD, "carrel-init was killed during the start");
	return e->code;
}

/* Field 22 of /proc/PID/stat; the second one, in parentheses, can hold anything. */
int sandbox_start_time(pid_t pid, uint64_t *ret, struct err *e)
{
	char path[32], text[1024];
	const char *p;
	ssize_t n;

	bug_on(str_format(path, sizeof(path), "/proc/%d/stat", (int)pid) < 0);
	n = fd_read_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return err_set(e, n == -ENOENT ? ESRCH : (int)-n, "read %s", path);
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return err_say(e, EPROTO, "%s makes no sense", path);
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

/* All that is closed when its owner has let go of it. */
static void close_all(struct sandbox *sb)
{
	fd_close(&sb->lifeline[0]);
	fd_close(&sb->lifeline[1]);
	fd_close(&sb->channel[0]);
	fd_close(&sb->channel[1]);
	fd_close(&sb->gate[0]);
	fd_close(&sb->gate[1]);
	fd_close(&sb->report);
	fd_close(&sb->init_image);
	fd_close(&sb->procfs);
	rootfs_close(&sb->sources);
}

int sandbox_leave(struct sandbox *sb, struct err *e)
{
	struct record record = { .special = sb->netns.special,
				 .ids_direct = sb->sources.direct,
				 .address4 = sb->netns.address4,
				 .address6 = sb->netns.address6,
				 .init = sb->parents_child };
	int r = sandbox_start_time(record.init, &record.init_start, e);

	memcpy(record.host_end, sb->netns.host_end, sizeof(record.host_end));
	if (r == 0)
		r = slot_hand_over(&sb->slot, &record, e);
	/* The last act: until PID 1 has read this, it ends when we do. */
	if (r == 0 && write(sb->lifeline[1], "", 1) != 1)
		r = err_set(e, errno, "let go of PID 1");
	if (r < 0)
		return r;
	close_all(sb);
	fd_close(&sb->init.pidfd);
	fd_close(&sb->userns);
	netns_close(&sb->netns);
	cgroup_close(&sb->cgroup);
	cgroup_host_close(&sb->host);
	slot_close(&sb->slot);
	return 0;
}

/* One that stays is its parent's to wait for; that it has died is ours to see. */
static void end_init(struct sandbox *sb)
{
	struct pollfd pfd = { .fd = sb->init.pidfd, .events = POLLIN };

	if (!sb->label) {
		process_end(&sb->init);
		return;
	}
	if (sb->init.pidfd >= 0) {
		pidfd_send_signal(sb->init.pidfd, SIGKILL, NULL, 0);
		poll(&pfd, 1, DEATH_WAIT_MS);
	}
	fd_close(&sb->init.pidfd);
}

int sandbox_destroy(struct sandbox *sb, struct err *e)
{
	struct err ignored, one;
	int r = 0;

	/* Everything at once, so that nothing inside sees half of it go. If it cannot be
	 * done, the end of PID 1 does it a moment later. */
	if (sb->cgroup.host)
		err_ignore(cgroup_kill(&sb->cgroup, &ignored));
	/* Meanwhile PID 1 dies, which takes as long as all mounts of it. */
	if (sb->cgroup.exec >= 0)
		cgroup_forget_payload(&sb->cgroup);
	close_all(sb);
	end_init(sb);
	if (sb->cgroup.host)
		r = cgroup_destroy(&sb->cgroup, e);
	if (netns_destroy(&sb->netns, &one) < 0 && r == 0) {
		*e = one;
		r = e->code;
	}
	fd_close(&sb->userns);
	/* A record of something that is still there must stay for the next one to read.
	 */
	if (r == 0)
		slot_release(&sb->slot);
	else
		fd_close(&sb->slot.state_dir);
	cgroup_host_close(&sb->host);
	return r;
}
