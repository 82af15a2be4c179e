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
	int userns; /* of the payload and of carrel-init */
	struct cgroup cgroup;
	int init_image; /* carrel-init in a sealed memfd */
	int lifeline[2]; /* [1]: the keeper's; when it closes, everything ends */
	int gate[2]; /* [0]: one byte comes when PID 1 has given everything up */
	struct process init;
};

/* Prepares everything that can fail without a process. */
must_check int sandbox_prepare(const struct runtime_config *config,
			       const struct spec *spec, struct sandbox *ret,
			       struct err *e);

/* Starts PID 1 and waits until the namespaces can be joined. */
must_check int sandbox_start(struct sandbox *sb, struct err *e);

/* Ends every process and leaves nothing behind. Accepts half-built ones. Goes on after a
 * failure and reports the first. */
int sandbox_destroy(struct sandbox *sb, struct err *e);

/* The life of PID 1 from clone to exec, in the child. Must be called in new mount, pid,
 * ipc, uts and network namespaces. */
void init_main(struct sandbox *sb, int report_fd) __attribute__((noreturn));

/* The command, joined to the sandbox: what it needs beyond that. */
struct payload {
	struct sandbox *sb;
	int terminal; /* slave side; −1: keep descriptors 0, 1 and 2 as they are */
	int report;
};

/* Clones the command into its cgroup and the sandbox's pid namespace, and waits until it
 * has exec'ed. A failure of the step "exec" means that the command could not be run;
 * *ret_exec_failed tells. From then on every child of this process is born into the
 * sandbox's pid namespace. */
must_check int payload_start(struct sandbox *sb, int terminal, struct process *ret,
			     bool *ret_exec_failed, struct err *e);

/* carrel-init as a sealed memfd, so that nobody can change what is executed (E-12). */
must_check int init_image_open(int *ret_fd, struct err *e);

/* A pair of terminal ends from the sandbox's own devpts: the keeper's and the payload's,
 * which belongs to the sandbox's user. */
must_check int terminal_open(const struct sandbox *sb, int *ret_master, int *ret_slave,
			     struct err *e);
