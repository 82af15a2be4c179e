/* SPDX-License-Identifier: Apache-2.0 */
/* A single group: made, limited, watched, counted, removed. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "policy/cgroup.h"

/* Where `dirs` is asked for: the group's directory in each tree of the host, O_PATH; −1
 * where it has none. */

/* The tree that limits the controller, or −1. */
int cgroup_tree_of(const struct cgroup_host *host, enum cgroup_controller controller);

/* Makes a group, which must not be there. The caller owns *ret_fd (O_PATH). */
must_check int cgroup_make_dir(int parent, const char *name, int *ret_fd, struct err *e);

/* Opens the file through which a process joins a v1 group. */
must_check int cgroup_open_tasks(int dir, const char *name, int *ret_fd, struct err *e);

/* Puts the calling single-threaded process into the v1 groups with these `tasks`; −1:
 * none. */
must_check int cgroup_join_tasks(const int *tasks, const char *name, struct err *e);

/* Sets the limits that are not 0. `others` is how many processes there will be that do
 * not count. */
must_check int cgroup_set_limits(const struct cgroup_host *host, const int *dirs,
				 const struct cgroup_limits *limits, unsigned others,
				 struct err *e);

/* Reads back the limits, as they stand; 0: none. */
must_check int cgroup_get_limits(const struct cgroup_host *host, const int *dirs,
				 struct cgroup_limits *ret, struct err *e);

/* Has the kernel kill all of the group when it kills one for want of memory. Only v2
 * can. */
must_check int cgroup_die_together(const struct cgroup_host *host, const int *dirs,
				   struct err *e);

/* See cgroup_watch_oom(). */
must_check int cgroup_watch_oom_of(const struct cgroup_host *host, const int *dirs,
				   const char *name, int *ret_fd, struct err *e);

/* Reads the counters; `cpu` is the v2 group whose time counts. */
must_check int cgroup_count(const struct cgroup_host *host, const int *dirs, int cpu,
			    struct cgroup_usage *ret, struct err *e);

/* Waits, at most five seconds, until no process is left below the v2 directory. */
must_check int cgroup_wait_empty(int dir, struct err *e);

/* Waits as long until a line of the group's cgroup.events is this. */
must_check int cgroup_wait_event(int dir, const char *line, struct err *e);

/* Removes the group, which has nobody inside and nothing below. */
must_check int cgroup_remove_dir(int parent, const char *name, struct err *e);

/* Calls `found` for each group right below, of whatever hierarchy. Ends with the first
 * failure. */
must_check int cgroup_each_below(int dir,
				 int (*found)(void *context, int dir, const char *name,
					      struct err *e),
				 void *context, struct err *e);

/* Removes all groups right below, which must be empty. Goes on after a failure and
 * reports the first. */
must_check int cgroup_remove_below(int dir, struct err *e);
