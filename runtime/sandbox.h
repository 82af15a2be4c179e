/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox as a whole: what it holds, how it is started and taken down. */
#pragma once

#include "base/process.h"
#include "runtime/runtime.h"
#include "runtime/slot.h"

/* Everything a sandbox is made of, as descriptors. Filled in this order, taken down in
 * the opposite one. */
struct sandbox {
	const struct spec *spec;
	struct cgroup_host host;
	struct slot slot;
	struct rootfs_owner owner;
	struct rootfs_sources sources;
	const struct netns_settings *settings;
	struct netns netns;
	int procfs; /* what sysctls of namespaces are set through; −1: none yet */
	int userns; /* of the payload and of carrel-init */
	struct cgroup cgroup;
	int init_image; /* carrel-init in a sealed memfd */
	int lifeline[2]; /* [1]: the keeper's; when it closes, everything ends */
	int channel[2]; /* [0]: the keeper's; what PID 1 gets while it is at work */
	/* [0]: the command's. One byte comes when the namespaces can be joined, another
	 * when PID 1 has given everything up. */
	int gate[2];
	int report; /* PID 1's pipe, for reading */
	struct process init;
	const struct sandbox_label *label; /* of one that stays; NULL: ends with us */
	pid_t parents_child; /* PID 1 of one that stays: not ours to wait for */
};

/* What a sandbox that stays is called by who made it. */
struct sandbox_label {
	const void *data;
	size_t size;
};

/* Prepares what PID 1 needs at once. `label`: for a sandbox that stays, otherwise NULL.
 */
must_check int sandbox_prepare(const struct runtime_config *config,
			       const struct spec *spec, const struct sandbox_label *label,
			       struct sandbox *ret, struct err *e);

/* Clones PID 1, and prepares the rest while that builds the mounts. */
must_check int sandbox_start(struct sandbox *sb, struct err *e);

/* After a failure that may only be the consequence of PID 1's: if PID 1 has said why it
 * failed, or has died without a word, puts that into *e. Returns e->code. */
int sandbox_find_cause(struct sandbox *sb, struct err *e);

/* Lets one that stays go its own way, once PID 1 has given everything up: completes its
 * record, makes the slot PID 1's, and closes what we have of it. If it fails, or we die
 * meanwhile, the sandbox ends. *sb is then for sandbox_destroy(). */
must_check int sandbox_leave(struct sandbox *sb, struct err *e);

/* When the process began: field 22 of /proc/PID/stat. −ESRCH: there is none. */
must_check int sandbox_start_time(pid_t pid, uint64_t *ret, struct err *e);

/* Ends every process and leaves nothing behind. Accepts half-built ones. Goes on after a
 * failure and reports the first. */
int sandbox_destroy(struct sandbox *sb, struct err *e);

/* The life of PID 1 from clone to exec, in the child. Must be called in new mount, pid,
 * ipc and uts namespaces. */
void init_main(struct sandbox *sb, int report_fd) __attribute__((noreturn));

/* How the start of the command ended. */
struct payload_start {
	uint64_t at_ms; /* CLOCK_MONOTONIC, right before exec; 0: not so far */
	bool exec_failed; /* the command itself could not be executed */
};

/* Clones the command into its cgroup and the sandbox's pid namespace, and returns when it
 * has exec'ed or failed: in both cases after PID 1 has. `terminal` is the slave side of
 * one, or −1: descriptors 0, 1 and 2 stay as they are. *ret is the process, also when it
 * has failed. From then on every child of this process is born into the sandbox's pid
 * namespace. */
must_check int payload_start(struct sandbox *sb, int terminal, struct process *ret,
			     struct payload_start *ret_start, struct err *e);

/* Kills and waits. Must come before the end of PID 1, which cannot finish dying while a
 * process of its namespace is not waited for. Harmless on PROCESS_NONE. */
void payload_end(struct process *payload);

/* carrel-init as a sealed memfd, so that nobody can change what is executed (E-12). */
must_check int init_image_open(int *ret_fd, struct err *e);

/* A pair of terminal ends from the sandbox's own devpts: the keeper's and the payload's,
 * which belongs to the sandbox's user. */
must_check int terminal_open(const struct sandbox *sb, int *ret_master, int *ret_slave,
			     struct err *e);

/* The other end of a master that was just opened. It belongs to the host's `uid` and to
 * the group of terminals in the range of ids from id_base on. */
must_check int terminal_open_slave(int master, uid_t uid, uint32_t id_base,
				   int *ret_slave, struct err *e);
