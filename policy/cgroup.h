/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of one sandbox: limits, membership, kill and usage. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * Membership, cgroup.kill and cpu time always come from the v2 hierarchy. A controller
 * that the host still binds to v1 (hybrid hosts) is limited through its v1 hierarchy.
 * The shape is the same everywhere:
 *
 *	PARENT/NAME		limits; one in each hierarchy that is needed
 *	PARENT/NAME/exec	v2 only: the command and all it starts
 *
 * carrel-init is in the v2 group NAME. The v1 groups hold the command and all it starts
 * and nothing else, so that they can be removed while carrel-init is still dying. A
 * sandbox that stays has groups of another shape, see cgroup_exec.h.
 *
 * Processes are born into their v2 group by CLONE_INTO_CGROUP. A v1 group is joined by
 * the process itself, writing "0" to `tasks` through a descriptor opened beforehand: for
 * a thread that moves itself, the kernel skips the lock that costs every other migration
 * an RCU grace period.
 */

enum cgroup_controller {
	CGROUP_PIDS,
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_CONTROLLER_MAX,
};

enum {
	CGROUP_TREE_MAX = 1 + CGROUP_CONTROLLER_MAX, /* v2 and at most one v1 tree each */
	CGROUP_PATH_MAX = 1024, /* bytes of a directory's path */
	CGROUP_NAME_MAX = 64,
};

/* What a sandbox may use at most. Zero: no limit is asked for. */
struct cgroup_limits {
	uint64_t pids; /* processes and threads */
	uint64_t memory; /* bytes; swap is always 0 */
	uint64_t cpu_milli; /* thousandths of a processor */
};

/* One hierarchy of the host and the directory in it below which we create. */
struct cgroup_tree {
	bool v2;
	unsigned controllers; /* bit per enum cgroup_controller that is limited here */
	int dir; /* O_PATH of the parent */
	char path[CGROUP_PATH_MAX];
};

/* The host's hierarchies. trees[0] is v2. */
struct cgroup_host {
	struct cgroup_tree trees[CGROUP_TREE_MAX];
	unsigned ntrees;
};

/* The groups of one sandbox; −1 where a tree has none. */
struct cgroup {
	const struct cgroup_host *host;
	char name[CGROUP_NAME_MAX];
	int dir[CGROUP_TREE_MAX]; /* NAME in each tree */
	int tasks[CGROUP_TREE_MAX]; /* `tasks` of each v1 NAME, for writing */
	int exec; /* v2 NAME/exec, for CLONE_INTO_CGROUP */
	int init; /* v2 NAME/init, where PID 1 is born; −1: in NAME itself */
};

#define CGROUP_NONE                                    \
	((struct cgroup){ .dir = { -1, -1, -1, -1 },   \
			  .tasks = { -1, -1, -1, -1 }, \
			  .exec = -1,                  \
			  .init = -1 })

/* What a sandbox has used so far. */
struct cgroup_usage {
	uint64_t cpu_user_us, cpu_sys_us;
	uint64_t memory_peak; /* bytes; 0 where the kernel keeps no such figure */
	uint64_t pids_peak; /* without carrel-init; 0 likewise */
	uint64_t oom_kills;
};

/* The kernel's name of a controller: "pids", "memory", "cpu". */
const char *cgroup_controller_name(enum cgroup_controller controller);

/* Finds the hierarchies of this host and the place below our own group where new ones
 * can be made. A limit in `limits` whose controller cannot be used is an error that
 * names it. *ret holds descriptors: release with cgroup_host_close(). */
must_check int cgroup_host_open(const struct cgroup_limits *limits,
				struct cgroup_host *ret, struct err *e);

/* The same with v2 groups below the directory `parent` and nowhere else, wherever we are
 * ourselves; NULL: as above. No process may be in it. */
must_check int cgroup_host_open_below(const char *parent,
				      const struct cgroup_limits *limits,
				      struct cgroup_host *ret, struct err *e);

/* Harmless on one that was never opened, whose directories are −1. */
void cgroup_host_close(struct cgroup_host *host);

/* Makes the v2 group called `name`, where PID 1 can be born. `host` must outlive *ret,
 * which on failure too is for cgroup_destroy(). */
must_check int cgroup_create(const struct cgroup_host *host, const char *name,
			     struct cgroup *ret, struct err *e);

/* Makes the other groups and sets the limits. Must come before the payload is cloned. */
must_check int cgroup_complete(struct cgroup *cg, const struct cgroup_limits *limits,
			       struct err *e);

/* Puts the calling single-threaded process into the v1 groups. Nothing to do on pure v2.
 * Must run before anything of the payload does. */
must_check int cgroup_join(const struct cgroup *cg, struct err *e);

/* A descriptor that polls readable when the kernel ran out of the sandbox's memory and
 * does not end the rest of the group itself (v1); −1 in *ret_fd where it does (v2). */
must_check int cgroup_watch_oom(const struct cgroup *cg, int *ret_fd, struct err *e);

/* Kills every process of the sandbox at once; neither fork nor setsid escapes. */
must_check int cgroup_kill(const struct cgroup *cg, struct err *e);

/* Kills every process of the exec, and leaves carrel-init alive. */
must_check int cgroup_kill_exec(const struct cgroup *cg, struct err *e);

/* Reads the counters of the sandbox. What a kernel does not count is 0. */
must_check int cgroup_read_usage(const struct cgroup *cg, struct cgroup_usage *ret,
				 struct err *e);

/* Removes the groups that hold the payload alone if they are empty: work that need not
 * wait for PID 1 to die. */
void cgroup_forget_payload(const struct cgroup *cg);

/* Ends what still runs, removes the groups and closes the descriptors. Idempotent; goes
 * on after a failure and reports the first. */
int cgroup_destroy(struct cgroup *cg, struct err *e);

/* Closes the descriptors and leaves the groups alone. */
void cgroup_close(struct cgroup *cg);

/* Ends and removes the group, with what is below, at `path` (absolute, as in a struct
 * cgroup_tree, with the name behind it) that a killed carrel left. A path that is already
 * gone is no error. −EPERM if the last component does not start with "carrel-". */
must_check int cgroup_reclaim(const char *path, struct err *e);
