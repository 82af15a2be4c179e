/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own place in the cgroup hierarchies. */
#pragma once

#include "base/err.h"

/* Moves this process where sandboxes' groups can be made beside it: where its own group
 * is to hand controllers down, into a group of its own called "daemon", for a group with
 * processes cannot. */
must_check int daemon_cgroup_enter(struct err *e);
