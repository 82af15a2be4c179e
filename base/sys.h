/* SPDX-License-Identifier: Apache-2.0 */
/* Thin wrappers for system calls and constants that glibc 2.36 does not offer. */
#pragma once

#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/types.h>

/* clone3(2) without a stack of its own: returns 0 in the child, like fork(). −1/errno. */
pid_t sys_clone3(struct clone_args *args);

/* The same in this process's memory, on a stack of its own (args->stack, stack_size): the
 * child calls fn(arg), which must not return. For CLONE_VM | CLONE_VFORK, where the
 * caller sleeps until the child has exec'ed or died. −1/errno. */
pid_t sys_clone3_here(struct clone_args *args, void (*fn)(void *arg), void *arg);

/* openat2(2) with O_CLOEXEC added. −1/errno. */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t resolve);

/* pivot_root(2). −1/errno. */
int sys_pivot_root(const char *new_root, const char *put_old);

/* keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL): a new anonymous session keyring. −1/errno.
 */
long sys_new_session_keyring(void);

/* MFD_EXEC and MFD_NOEXEC_SEAL of Linux 6.3, absent from older headers. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
