/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of a sandbox: lives as long as its lifeline says, and does nothing else. */

/*
 * Without libc: a few hundred bytes of code, no heap, nothing of carrel's memory. It is
 * started with SIGCHLD ignored, so the kernel reaps orphans by itself. Descriptor 0 is
 * the read end of a pipe whose other end carrel holds: when carrel is gone, read()
 * returns, PID 1 exits, and the kernel kills everything else in the pid namespace.
 * Descriptor 1 is the gate that the command waits at: one byte says that PID 1 has given
 * everything up.
 *
 * One byte from the lifeline says that the sandbox is to outlive carrel. From then on
 * descriptor 2 is read, which is an eventfd that nobody else has: that never returns.
 * Without one, it returns at once.
 */

#ifndef __x86_64__
#error "carrel-init is written for x86-64"
#endif

enum {
	SYS_READ = 0,
	SYS_WRITE = 1,
	SYS_CLOSE = 3,
	SYS_PRCTL = 157,
	SYS_EXIT_GROUP = 231
};
enum { SET_NAME = 15 }; /* PR_SET_NAME */

static long call(long nr, long a, const void *b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

void _start(void);

__attribute__((noreturn)) void _start(void)
{
	enum { EINTR = 4 };
	char bytes[8]; /* what an eventfd wants to hand over */
	long n;

	call(SYS_PRCTL, SET_NAME, "carrel-init", 0);
	call(SYS_WRITE, 1, "", 1);
	call(SYS_CLOSE, 1, (void *)0, 0);
	do {
		n = call(SYS_READ, 0, bytes, 1);
	} while (n == -EINTR);
	if (n > 0)
		call(SYS_CLOSE, 0, (void *)0, 0);
	while (n > 0 || n == -EINTR)
		n = call(SYS_READ, 2, bytes, sizeof(bytes));
	for (;;)
		call(SYS_EXIT_GROUP, 0, 0, 0);
}
