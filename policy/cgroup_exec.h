/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of a sandbox that stays, and of each command in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "policy/cgroup.h"

/*
 * Theory of operation
 *
 *	PARENT/NAME		limits of the sandbox, a label (v2); in each hierarchy
 *	PARENT/NAME/init	v2 only: carrel-init
 *	PARENT/NAME/ID		a command and all it starts: v2; and those v1 hierarchies
 *				that have memory or pids, or in which it has a limit
 *
 * In v2, only what hands controllers down may not have processes: hence NAME/init. When
 * memory runs out, all of one command is killed, and not its neighbours. What a group has
 * used and who was killed in it is its own, in v1 as in v2.
 *
 * In v1 the processes of a command are also in v2's NAME/ID, which is where they are
 * killed. So that is made first and removed last.
 */

/* The groups of a sandbox that is there: NAME in each tree, O_PATH; −1 where it has none.
 * Nothing of it is owned. */
struct cgroup_place {
	const struct cgroup_host *host;
	int dir[CGROUP_TREE_MAX];
};

/* The groups of one command. */
struct cgroup_exec {
	int dir[CGROUP_TREE_MAX]; /* NAME/ID; −1: none in this tree */
	int tasks[CGROUP_TREE_MAX]; /* of the v1 group it joins: NAME/ID or NAME */
};

#define CGROUP_EXEC_NONE \
	((struct cgroup_exec){ .dir = { -1, -1, -1, -1 }, .tasks = { -1, -1, -1, -1 } })

/* Makes the group of cgroup_create(), which must be empty, one that stays: labels it, has
 * controllers handed down, and makes the group where PID 1 is born. */
must_check int cgroup_stay(struct cgroup *cg, const void *label, size_t size,
			   struct err *e);

/* Labels a v2 group, or replaces its label in one step. */
must_check int cgroup_set_label(int dir, const void *label, size_t size, struct err *e);

/* Reads the label of a v2 group. *ret is for free(). −ENODATA: it has none. */
must_check int cgroup_read_label(int dir, void **ret, size_t *ret_size, struct err *e);

/* Notes whose v2 group it is, by any short text. */
must_check int cgroup_set_owner(int dir, const char *owner, struct err *e);
/* Is it noted to be just that one's? */
bool cgroup_has_owner(int dir, const char *owner);

/* Reads back the limits of the sandbox, without what carrel-init needs; 0: none. */
must_check int cgroup_read_limits(const struct cgroup_place *place,
				  struct cgroup_limits *ret, struct err *e);

/* Is the v2 group frozen, by whoever it was? */
must_check int cgroup_is_frozen(int dir, bool *ret, struct err *e);

/* Makes a command's groups with limits of their own; 0: none. `prepared`: they may be
 * there already. *ret is for cgroup_exec_close(). −EEXIST: the sandbox has one of that
 * name. On failure nothing is left. */
must_check int cgroup_exec_create(const struct cgroup_place *place, const char *id,
				  const struct cgroup_limits *limits, bool prepared,
				  struct cgroup_exec *ret, struct err *e);

/* Makes groups for a command to come, whose cgroup_exec_create() says that they may be
 * there: it takes what there is and makes the rest, also while this is at work. *ret is
 * for cgroup_exec_close(). What is left of it after a failure is for
 * cgroup_exec_remove(). */
must_check int cgroup_exec_prepare(const struct cgroup_place *place, const char *id,
				   struct cgroup_exec *ret, struct err *e);

/* Opens those that are there, but for `tasks`. −ENOENT: none has that name. */
must_check int cgroup_exec_open(const struct cgroup_place *place, const char *id,
				struct cgroup_exec *ret, struct err *e);
void cgroup_exec_close(struct cgroup_exec *x);

/* See cgroup_join(), cgroup_watch_oom() and cgroup_read_usage(). */
must_check int cgroup_exec_join(const struct cgroup_exec *x, struct err *e);
must_check int cgroup_exec_watch_oom(const struct cgroup_place *place,
				     const struct cgroup_exec *x, int *ret_fd,
				     struct err *e);
must_check int cgroup_exec_read_usage(const struct cgroup_place *place,
				      const struct cgroup_exec *x,
				      struct cgroup_usage *ret, struct err *e);

/* Kills all processes of a v2 group and below, frozen or not. */
must_check int cgroup_kill_all(int dir, struct err *e);

/* Removes a command's groups. −EBUSY: somebody is still in there. None of that name is no
 * error. */
must_check int cgroup_exec_remove(const struct cgroup_place *place, const char *id,
				  struct err *e);

/* Kills and removes every command the sandbox has. −EBUSY: some are still dying. */
must_check int cgroup_exec_sweep(const struct cgroup_place *place, struct err *e);

/* Freezes or thaws a v2 group with all below; returns when the kernel says so. On failure
 * (−EBUSY: not within five seconds) it is thawed. */
must_check int cgroup_freeze(int dir, bool frozen, struct err *e);

/* Has the kernel take back what memory it can of the group, which `dirs` has in each
 * hierarchy (CGROUP_TREE_MAX; −1: not there). −ENOTSUP: it has no means for that. */
must_check int cgroup_reclaim_memory(const int *dirs, struct err *e);
