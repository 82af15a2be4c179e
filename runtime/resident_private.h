/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of resident_*.c share. */
#pragma once

#include "runtime/resident.h"

/* Its groups, for policy/. Nothing of it is owned. */
struct cgroup_place resident_place(const struct resident *r,
				   const struct cgroup_host *host);

/* Opens /proc/PID of PID 1, O_PATH, which stays that process's. −ESRCH: it is dead. */
must_check int resident_open_proc(const struct resident *r, int *ret_dir, struct err *e);

/* The host's ids behind those inside. */
must_check int resident_host_ids(const struct resident *r, uid_t uid, gid_t gid,
				 uid_t *ret_uid, gid_t *ret_gid, struct err *e);
