/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of a sandbox goes through between clone and exec, and before it. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/sys.h"

/* Refuses what would be a way to the host's files: a directory, or a descriptor that only
 * names a file (E-13). They will be descriptors 0, 1, 2, … of the command. */
must_check int command_check_fds(const int *fds, unsigned count, struct err *e);

/* Clones a child that runs fn(arg), which must not return, in our memory while we sleep:
 * a copy of the page tables, and of every page that either touches, would cost more than
 * all that the command's process does. It has descriptors, credentials and signal
 * handlers of its own; what it changes must be in arg and on its stack. Returns its pid
 * when it has exec'ed or died. */
must_check pid_t command_clone(struct clone_args *args, void (*fn)(void *arg), void *arg,
			       struct err *e);

/* In the child: gives the pipes among descriptors 0 to count − 1 to the command's user,
 * by host id. Anonymous pipes belong to who made them: without this, /dev/stdout could
 * not be opened by it. A file of the caller's stays the caller's. */
must_check int command_own_pipes(unsigned count, uid_t uid, gid_t gid, struct err *e);

/* In the child: enters the directory as the user who will work there, after everything
 * else: what the caller named cannot lead outside, and the kernel's word for "outside" is
 * looked for (E-13). */
must_check int command_enter_directory(const char *path, struct err *e);

/* In the child: executes argv[0], looked for in the PATH of envp where it has no slash,
 * without falling back to a shell. Returns only on failure. */
must_check int command_exec(char *const *argv, char *const *envp, struct err *e);
