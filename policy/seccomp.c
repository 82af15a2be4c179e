/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/seccomp.h"
#include "policy/seccomp_default.h"
#include "policy/seccomp_list.h"

#define PROGRAM_LEN (sizeof(seccomp_default_filter) / sizeof(seccomp_default_filter[0]))

_Static_assert(PROGRAM_LEN > 0 && PROGRAM_LEN <= BPF_MAXINSNS, "a program of legal size");

const struct sock_fprog *seccomp_program(void)
{
	/* The kernel's struct lacks the const; it only reads. */
	static const struct sock_fprog program = {
		.len = PROGRAM_LEN,
		.filter = (struct sock_filter *)seccomp_default_filter,
	};

	return &program;
}

void seccomp_count(unsigned *ret_allowed, unsigned *ret_by_arguments)
{
	*ret_allowed = SECCOMP_DEFAULT_ALLOWED;
	*ret_by_arguments = SECCOMP_DEFAULT_BY_ARGUMENTS;
}

/* What carrel-init.c calls, and the exec that starts it. */
static const struct sock_filter init_filter[] = {
	LOAD(arch),
	JUMP_IF(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
	ANSWER(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	JUMP_IF(BPF_JGE, X32_BIT, 8, 0),
	JUMP_IF(BPF_JEQ, SYS_read, 6, 0),
	JUMP_IF(BPF_JEQ, SYS_write, 5, 0),
	JUMP_IF(BPF_JEQ, SYS_close, 4, 0),
	JUMP_IF(BPF_JEQ, SYS_prctl, 3, 0),
	JUMP_IF(BPF_JEQ, SYS_exit_group, 2, 0),
	JUMP_IF(BPF_JEQ, SYS_execveat, 1, 0),
	ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
	ANSWER(SECCOMP_RET_ALLOW),
	ANSWER(SECCOMP_RET_KILL_PROCESS),
};

static int install(const struct sock_fprog *program, struct err *e)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) != 0)
		return err_set(e, errno, "install the system call filter");
	return 0;
}

int seccomp_install(struct err *e)
{
	return install(seccomp_program(), e);
}

int seccomp_install_list(const struct sock_filter *list, size_t count, struct err *e)
{
	/* The kernel's struct lacks the const; it only reads. */
	const struct sock_fprog program = {
		.len = (unsigned short)count,
		.filter = (struct sock_filter *)list,
	};

	return install(&program, e);
}

int seccomp_install_init(struct err *e)
{
	return seccomp_install_list(init_filter,
				    sizeof(init_filter) / sizeof(init_filter[0]), e);
}
