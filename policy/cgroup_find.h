/* SPDX-License-Identifier: Apache-2.0 */
/* Where the cgroup hierarchies are mounted, and where in them this process is. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "policy/cgroup.h"

/* A bit per enum cgroup_controller that `list` names; its items are separated by sep. */
unsigned cgroup_controllers_in(const char *list, char sep);

/* Fills in the path and the controllers of the hierarchies that matter (trees[0]: v2;
 * then one for each v1 hierarchy with controllers of ours), each path that of our own
 * group. *ret_mount_len is the length of the part of the v2 path which is the mount
 * point. −ENOTSUP without a v2 hierarchy. Opens the v1 directories; trees[0].dir stays
 * −1. */
must_check int cgroup_find(struct cgroup_host *host, size_t *ret_mount_len,
			   struct err *e);
