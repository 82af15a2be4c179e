/* SPDX-License-Identifier: Apache-2.0 */
/* The door of policy/: what a sandbox may do, and how much it may use. */
#pragma once

/*
 * Theory of operation
 *
 * Four independent locks, each applied by the process that it binds, in this order:
 *
 *	cgroup	pids, memory and processor time, from birth on	(cgroup.h)
 *	rlimit	what the kernel counts per process		(rlimit.h)
 *	caps	no capability in any set, and no way back	(caps.h)
 *	seccomp	the system calls and arguments that exist	(seccomp.h)
 *
 * Everything here either takes effect or returns an error; the caller then must not run
 * the payload.
 */

#include "policy/caps.h"
#include "policy/cgroup.h"
#include "policy/cgroup_exec.h"
#include "policy/rlimit.h"
#include "policy/seccomp.h"
