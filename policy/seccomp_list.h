/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that are a list of calls: how carrel's own processes are confined. */
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "base/err.h"

/*
 * A list is an array of struct sock_filter: LIST_BEGIN, an ALLOW for each call, LIST_END.
 * Whatever is not in it, and every call of another ABI, ends the process. Only files that
 * hold such a list include this.
 */

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_IF(op, value, yes, no) BPF_JUMP(BPF_JMP | (op) | BPF_K, (value), (yes), (no))
#define ANSWER(value)               BPF_STMT(BPF_RET | BPF_K, (value))
#define X32_BIT                     0x40000000

#define LIST_BEGIN                                             \
	LOAD(arch), JUMP_IF(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0), \
		ANSWER(SECCOMP_RET_KILL_PROCESS), LOAD(nr),    \
		JUMP_IF(BPF_JGE, X32_BIT, 0, 1), ANSWER(SECCOMP_RET_KILL_PROCESS)
#define LIST_END ANSWER(SECCOMP_RET_KILL_PROCESS)

/* The number is in the accumulator before each of these, and after those that did not
 * answer. Arguments are compared as the kernel reads them: 32 bits. */
#define ALLOW(call) JUMP_IF(BPF_JEQ, SYS_##call, 0, 1), ANSWER(SECCOMP_RET_ALLOW)
#define ALLOW_IF(call, arg, value)                                          \
	JUMP_IF(BPF_JEQ, SYS_##call, 0, 4), LOAD(args[arg]),                \
		JUMP_IF(BPF_JEQ, (value), 0, 1), ANSWER(SECCOMP_RET_ALLOW), \
		ANSWER(SECCOMP_RET_KILL_PROCESS)
#define ALLOW_WITHOUT(call, arg, bits)                                      \
	JUMP_IF(BPF_JEQ, SYS_##call, 0, 4), LOAD(args[arg]),                \
		JUMP_IF(BPF_JSET, (bits), 1, 0), ANSWER(SECCOMP_RET_ALLOW), \
		ANSWER(SECCOMP_RET_KILL_PROCESS)
#define ALLOW_IF_ANY(call, arg, a, b, c, d)                               \
	JUMP_IF(BPF_JEQ, SYS_##call, 0, 7), LOAD(args[arg]),              \
		JUMP_IF(BPF_JEQ, (a), 3, 0), JUMP_IF(BPF_JEQ, (b), 2, 0), \
		JUMP_IF(BPF_JEQ, (c), 1, 0), JUMP_IF(BPF_JEQ, (d), 0, 1), \
		ANSWER(SECCOMP_RET_ALLOW), ANSWER(SECCOMP_RET_KILL_PROCESS)

/* Binds the calling thread to a list of `count` instructions. There is no way back.
 *
 * Must: come last, when all that the list does not allow has been done; the caller is
 * single-threaded and has no_new_privs set (or CAP_SYS_ADMIN over its user namespace,
 * else −EACCES). Must not: be called twice, as filters add up. On failure nothing is
 * bound, and the caller must not go on to what it was to be confined for. */
must_check int seccomp_install_list(const struct sock_filter *list, size_t count,
				    struct err *e);
