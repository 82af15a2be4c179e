/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes that outlive the process that made them, and commands inside. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/process.h"
#include "runtime/runtime.h"
#include "runtime/wire.h"

/*
 * Theory of operation
 *
 * A resident sandbox is what carrel run makes, without a command: PID 1 in its
 * namespaces, limits, network, mounts. Its life is tied to nobody's: it has no lifeline,
 * and its slot belongs to its PID 1, not to who made it.
 *
 *	PARENT/carrel-SLOT-GEN		limits, in each hierarchy that is needed
 *	PARENT/carrel-SLOT-GEN/init	v2: carrel-init
 *	PARENT/carrel-SLOT-GEN/ID	each exec; v2 always, and where v1 has memory or
 *					pids, there too: its own peaks and limits
 *
 * What it is stands in the kernel: the v2 group carries the extended attributes
 * trusted.carrel_owner, which names the state directory, and trusted.carrel with the
 * label that the maker gave, set before anything else is made inside;
 * /run/carrel/run/BASE lists what to clean up, and names PID 1 with its start time.
 *Whoever comes later (after the daemon was killed) finds all of it by that.
 *
 * Functions that are said to block are for a worker (worker.h): a hostile workspace, a
 * frozen or throttled group can hold them up for as long as it likes.
 */

enum { RESIDENT_LABEL_SIZE = 48 << 10 }; /* bytes at most; the kernel takes 64 KiB */

/* A living sandbox, as descriptors. */
struct resident {
	uint32_t slot; /* index in the table of slots */
	uint32_t id_base;
	char id[CGROUP_NAME_MAX]; /* carrel-SLOT-GEN */
	struct process init; /* pidfd; pid 0 where it is not a child of ours */
	uint64_t init_start; /* of PID 1: field 22 of /proc/PID/stat */
	int cgroup; /* v2 group, O_PATH */
	int v1[CGROUP_TREE_MAX]; /* v1 groups, O_PATH, by index of cgroup_host; −1 */
	char host_end[16]; /* of its veth; "": none */
	struct ip address4, address6; /* family 0: none */
	bool ids_direct; /* its user is one of the host's, see rootfs_sources.direct */
};

#define RESIDENT_NONE       \
	((struct resident){ \
		.init = PROCESS_NONE, .cgroup = -1, .v1 = { -1, -1, -1, -1 } })

/* Builds one, without workspace if spec->files has none, and returns when PID 1 has given
 * everything up. PID 1 is a child of the *parent* of the calling process, which is a
 * single-threaded worker; blocks. *ret_slot is the index of its slot. On failure nothing
 * is left. */
must_check int resident_build(const struct runtime_config *config,
			      const struct spec *spec, const void *label,
			      size_t label_size, uint32_t *ret_slot, struct err *e);

/* Opens the one in that slot, after resident_build() or after a restart: its record is
 * there, says that it is a resident's, and PID 1 lives, is the process that was recorded
 * (pid, start time) and is in the group that was recorded. −ENOENT: no resident has that
 * slot. −ESRCH: one had, and is dead: for resident_remove(). *ret is for
 * resident_close(), its label for free(). */
must_check int resident_open(const struct runtime_config *config,
			     const struct cgroup_host *host, uint32_t slot,
			     struct resident *ret, void **ret_label,
			     size_t *ret_label_size, struct err *e);

/* Closes the descriptors; the sandbox lives on. */
void resident_close(struct resident *r);

/* Gives it another label, in one step. */
must_check int resident_set_label(const struct resident *r, const void *label,
				  size_t label_size, struct err *e);

/* Calls `found` for each slot that has a resident's record, dead or alive, in this state
 * directory. Those of `carrel run` are not touched. */
must_check int resident_each(const struct runtime_config *config,
			     int (*found)(void *context, uint32_t slot, struct err *e),
			     void *context, struct err *e);

/* Has its PID 1 ended, or begun to? The kernel may take a while for that, in which
 * nothing can be started in it any more and nobody is told yet. Does not block. */
bool resident_is_dying(const struct resident *r);

/* Kills everything inside at once. Does not block. */
must_check int resident_kill(const struct resident *r, struct err *e);

/* The name of who has that slot, dead or alive, as far as its record says it. −ENOENT:
 * nobody. */
must_check int resident_find_id(const struct runtime_config *config, uint32_t slot,
				char ret[CGROUP_NAME_MAX], struct err *e);

/* Ends what is left in that slot and removes every trace: processes, groups, network,
 * record, slot. Nothing to do where no resident has the slot, or one of another name than
 * `id` (NULL: whoever it is): a dead one's slot is free for the next. Blocks. */
must_check int resident_remove(const struct runtime_config *config, uint32_t slot,
			       const char *id, struct err *e);

/* Calls `found` for each group in the daemon's v2 directory that is said to be a resident
 * of this state directory, whether that has a record of it or not. */
must_check int resident_each_group(const struct runtime_config *config,
				   const struct cgroup_host *host,
				   int (*found)(void *context, const char *id,
						struct err *e),
				   void *context, struct err *e);

/* The slot that is in a resident's name, or UINT32_MAX. */
uint32_t resident_slot_of(const char *id);

/* Ends and removes groups of that name, of which no slot knows, in all hierarchies. What
 * else that sandbox had cannot be known. Blocks. */
must_check int resident_remove_groups(const struct cgroup_host *host, const char *id,
				      struct err *e);

/* Freezes or thaws all of it; returns when the kernel says so. Blocks. */
must_check int resident_freeze(const struct resident *r, bool frozen, struct err *e);

/* Has the kernel take back what memory it can (v2: memory.reclaim; v1: force_empty).
 * Blocks. */
must_check int resident_reclaim_memory(const struct resident *r, struct err *e);

/* Attaches a workspace to a sandbox that was built without one and in which nothing has
 * run yet: `tree` is a detached mount (see rootfs/), id-mapped already. The target must
 * be there: plan a small tmpfs for it. Blocks. */
must_check int resident_attach_workspace(const struct resident *r, int tree,
					 const char *target, struct err *e);

/* The terminal's two ends, of the sandbox's own devpts; the slave belongs to the uid
 * (inside). */
must_check int resident_open_terminal(const struct resident *r, uid_t uid,
				      int *ret_master, int *ret_slave, struct err *e);

/* --- commands ---------------------------------------------------------------------- */

/* What to run. */
struct resident_command {
	char id[WIRE_EXEC_MAX + 1]; /* names its group; unique in the sandbox */
	char *const *argv;
	char *const *envp;
	const char *cwd; /* inside */
	uid_t uid; /* inside: 1 to 65534 */
	gid_t gid;
	struct rlimit_list rlimits;
	struct cgroup_limits limits; /* 0: the sandbox's own suffice */
	int fds[WIRE_FDS_MAX]; /* become 0, 1, 2, … */
	unsigned fd_count; /* 3 at least */
	bool terminal; /* 0 is a terminal and becomes the controlling one */
	bool prepared; /* its groups may be there: resident_exec_prepare() */
};

/* Groups of a command to come, opened by who has made them. */
struct resident_prepared {
	char sandbox[CGROUP_NAME_MAX], id[WIRE_EXEC_MAX + 1]; /* "": of none */
	struct cgroup_exec groups;
	int oom; /* see struct resident_exec */
};

#define RESIDENT_PREPARED_NONE \
	((struct resident_prepared){ .groups = CGROUP_EXEC_NONE, .oom = -1 })

/* A running (or ended) command. */
struct resident_exec {
	char id[WIRE_EXEC_MAX + 1];
	struct process main; /* the caller's parent's child (see resident_exec_start()) */
	int cgroup; /* v2 group, O_PATH; to be watched by cgroup.events */
	int oom; /* eventfd that polls readable when memory ran out (v1); −1: v2 */
};

#define RESIDENT_EXEC_NONE \
	((struct resident_exec){ .main = PROCESS_NONE, .cgroup = -1, .oom = -1 })

/* Makes the exec's groups, or takes those of `prepared` if they are for this command, and
 * starts the command in them, with the same posture as that of `carrel run`. Returns when
 * it has exec'ed or failed. The process is a child of the *parent* of the calling worker,
 * and is killed when that dies; blocks. *ret is for resident_exec_close(). On failure
 * nothing is left but, until that parent waits for it, a zombie, whose pid is then in
 * ret->main; *ret_status is then 126 or 127 if the command itself could not be executed,
 * otherwise 125.
 *
 * Must be called by a single-threaded process. Must not be followed by anything but an
 * exit if the error says that it could not return to its pid namespace. */
must_check int resident_exec_start(const struct resident *r,
				   const struct cgroup_host *host,
				   const struct resident_command *command,
				   struct resident_prepared *prepared,
				   struct resident_exec *ret, int *ret_status,
				   struct err *e);

/* Opens the groups of an exec that another process has started. ret->main is left as it
 * is. −ENOENT: there is none of that name. */
must_check int resident_exec_open(const struct resident *r,
				  const struct cgroup_host *host, const char *id,
				  struct resident_exec *ret, struct err *e);

/* Closes the descriptors, also that of the process. */
void resident_exec_close(struct resident_exec *x);

/* Kills all of it at once: neither fork nor setsid escapes, frozen or not. */
must_check int resident_exec_kill(const struct resident_exec *x, struct err *e);

/* What it has used so far; oom_kills are its own. */
must_check int resident_exec_usage(const struct resident *r,
				   const struct cgroup_host *host,
				   const struct resident_exec *x,
				   struct cgroup_usage *ret, struct err *e);

/* Makes the groups of a command to come, which is then started sooner. Empty ones cost
 * memory: resident_exec_remove() takes them away. *ret, which must be none, is for
 * resident_prepared_close(); without it, whoever starts the command opens what is there.
 * Does not block. */
must_check int resident_exec_prepare(const struct resident *r,
				     const struct cgroup_host *host, const char *id,
				     struct resident_prepared *ret, struct err *e);

/* Closes the descriptors; the groups stay. */
void resident_prepared_close(struct resident_prepared *p);

/* Removes its groups. −EBUSY: somebody is still dying in there; to be tried again. Does
 * not block. */
must_check int resident_exec_remove(const struct resident *r,
				    const struct cgroup_host *host, const char *id,
				    struct err *e);

/* Ends and removes every exec that the sandbox has: what is left of an earlier daemon's.
 * Returns without waiting for the processes to be gone; −EBUSY: try again. */
must_check int resident_exec_sweep(const struct resident *r,
				   const struct cgroup_host *host, struct err *e);

/* What the kernel says of the sandbox, as one JSON object text for free(): namespaces
 * (inodes), ids (maps), capabilities, NoNewPrivs, seccomp of PID 1; limits as they stand
 * in the groups; mounts as PID 1 sees them; the number of rules and of elements in its
 * own nftables table. Blocks. */
must_check int resident_inspect(const struct resident *r, const struct cgroup_host *host,
				char **ret_json, struct err *e);
