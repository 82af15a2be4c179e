/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up identity and capabilities for good. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Is the capability (CAP_…) in our effective set? */
bool caps_have(int capability);

/* Becomes uid:gid and empties all five capability sets with the securebits locked, then
 * sets no_new_privs and makes the process non-dumpable.
 *
 * Must run inside the sandbox's user namespace, as the last act that needs privilege and
 * with supplementary groups already cleared. Must not be followed by anything but
 * seccomp_install() and exec. */
must_check int caps_give_up(uid_t uid, gid_t gid, struct err *e);
