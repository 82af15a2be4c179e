/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/seccomp.h"
#include "policy/seccomp_default.h"

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

int seccomp_install(struct err *e)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, seccomp_program()) != 0)
		return err_set(e, errno, "install the system call filter");
	return 0;
}
