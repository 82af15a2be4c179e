/* SPDX-License-Identifier: Apache-2.0 */
/* Runs inside a sandbox and prints what the filter and the kernel answer to every call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * seccomp_sweep [FROM TO]	every call by three ABIs: "NUMBER NAME ABI ANSWER"
 * seccomp_sweep --sockets	the triples that opened: "FAMILY TYPE PROTOCOL"
 * seccomp_sweep --ioctl	filtered requests with each high bit: "REQUEST ANSWER"
 * seccomp_sweep --clone	namespaces and siblings by every way: "KIND CALL ABI
 * ANSWER" seccomp_sweep --modes	modes of files: "CALL FLAGS MODE ANSWER"
 *
 * ANSWER is ok, an errno by name, a signal by name, exit or timeout. All arguments of the
 * sweep are −1 but for those in special_args[], so that the kernel itself says EBADF,
 * EFAULT or EINVAL, and an errno of the filter's stands out (S-41). Each call has a child
 * and a time limit. Linked statically; needs no file.
 */

#define LIMIT_SECONDS 2
#define X32_BIT       0x40000000L
#define ARG_MAX_COUNT 6
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum abi {
	ABI_NATIVE,
	ABI_INT80,
	ABI_X32,
	ABI_MAX,
};

static const char *const abi_name[] = { "native", "int80", "x32" };
_Static_assert(ARRAY_SIZE(abi_name) == ABI_MAX, "a name for each ABI");

struct call {
	enum abi abi;
	long nr;
	long args[ARG_MAX_COUNT];
};

/* Written by the child, read by its parent. */
struct result {
	bool returned;
	long value;
};

/* The names come from the list that the answers are compared with; built from the
 * repository's root. */
__asm__(".section .rodata\n"
	"expect_text: .incbin \"tests/unit/seccomp_expect.txt\"\n"
	".byte 0\n"
	".previous\n");
extern const char expect_text[];

static void name_of(long nr, char *name, size_t size)
{
	const char *line = expect_text;

	snprintf(name, size, "-");
	while (line) {
		char word[32];
		char *end;

		if (strtol(line, &end, 10) == nr && end != line &&
		    sscanf(end, " %31s", word) == 1 && *end == ' ')
			snprintf(name, size, "%s", word);
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
}

/* ---- raw calls: inlined, because after vfork two processes share this stack ---- */

static inline __attribute__((always_inline)) long by_syscall(long nr, const long *a)
{
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The sixth argument would need the frame pointer; no rule looks at it. */
static inline __attribute__((always_inline)) long by_int80(long nr, const long *a)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}

/* Makes the call and exits at once in a process that it created. */
static inline __attribute__((always_inline)) long make_call(const struct call *c)
{
	static const long nothing[ARG_MAX_COUNT];
	long self = by_syscall(SYS_getpid, nothing);
	long ret;

	if (c->abi == ABI_INT80)
		ret = by_int80(c->nr, c->args);
	else
		ret = by_syscall(c->abi == ABI_X32 ? c->nr | X32_BIT : c->nr, c->args);
	if (ret == 0 && by_syscall(SYS_getpid, nothing) != self)
		by_syscall(SYS_exit_group, nothing);
	return ret;
}

static const char *answer_of(int status, const struct result *r)
{
	const char *name;

	if (r->returned) {
		name = r->value < 0 && r->value > -4096 ? strerrorname_np((int)-r->value)
							: "ok";
		return name ? name : "unknown";
	}
	if (!WIFSIGNALED(status))
		return "exit";
	if (WTERMSIG(status) == SIGALRM)
		return "timeout";
	name = sigabbrev_np(WTERMSIG(status));
	return name ? name : "unknown";
}

/* The answer to one call, made in a child of its own. */
static const char *try_call(const struct call *c)
{
	static struct result *shared;
	int status = 0;
	pid_t pid;

	if (!shared)
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		exit(2);
	*shared = (struct result){ 0 };
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core files */
		alarm(LIMIT_SECONDS);
		shared->value = make_call(c);
		shared->returned = true;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(2);
	return answer_of(status, shared);
}

/* ---- every call ---- */

/* Where −1 would do something, or hide behind an ENOSYS of the kernel's own. */
static const struct {
	long nr;
	long args[3];
} special_args[] = {
	{ SYS_futex, { -1, 0, 0 } },
	{ SYS_msgget, { -1, 0, 0 } },
	{ SYS_semget, { -1, 0, 0 } },
	{ SYS_shmget, { -1, -1, 0 } },
};

static void prepare(struct call *c, enum abi abi, long nr)
{
	*c = (struct call){ .abi = abi, .nr = nr, .args = { -1, -1, -1, -1, -1, -1 } };
	for (size_t i = 0; i < ARRAY_SIZE(special_args); i++) {
		if (abi != ABI_INT80 && special_args[i].nr == nr)
			memcpy(c->args, special_args[i].args,
			       sizeof(special_args[i].args));
	}
}

static int sweep(long from, long to)
{
	/* Without a filter the calls would be real: vhangup, sync, the i386 table. */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER) {
		fprintf(stderr, "seccomp_sweep: no filter is in force\n");
		return 2;
	}
	for (enum abi abi = ABI_NATIVE; abi < ABI_MAX; abi++) {
		for (long nr = from; nr <= to; nr++) {
			char name[32] = "-";
			struct call c;

			prepare(&c, abi, nr);
			if (abi != ABI_INT80)
				name_of(nr, name, sizeof(name));
			printf("%ld %s %s %s\n", nr, name, abi_name[abi], try_call(&c));
		}
	}
	return 0;
}

/* ---- --sockets ---- */

static int sweep_sockets(void)
{
	static const int more[] = { 41, 58, 132, 136, 255, 262 };

	for (int family = 0; family <= 50; family++) {
		for (int type = 1; type <= 6; type++) {
			for (int i = 0; i < 22 + (int)ARRAY_SIZE(more); i++) {
				int protocol = i < 22 ? i : more[i - 22];
				int fd = socket(family, type | SOCK_CLOEXEC, protocol);

				if (fd < 0)
					continue;
				printf("%d %d %d\n", family, type, protocol);
				close(fd);
			}
		}
	}
	return 0;
}

/* ---- --ioctl ---- */

static int sweep_ioctl(void)
{
	static const long request[] = {
		0x5412,     0x541c,     0x541d,     0x5423,     0x8914,     0x8916,
		0x8924,     0x8946,     0x89e0,     0x89f0,     0x8b00,     0x40046602,
		0x40086602, 0x401c5820, 0x40806685, 0x800c6613, 0xc0406618, 0xc0506617,
	};

	for (size_t i = 0; i < ARRAY_SIZE(request); i++) {
		for (int bit = 31; bit < 64; bit++) {
			long high = bit == 31 ? 0 : (long)(UINT64_C(1) << bit);
			struct call c = { .nr = SYS_ioctl,
					  .args = { -1, request[i] | high, -1 } };

			printf("%#lx %s\n", request[i] | high, try_call(&c));
		}
	}
	return 0;
}

/* ---- --clone ---- */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
	const char *name;
	long flag;
} kinds[] = {
	{ "mnt", CLONE_NEWNS },      { "cgroup", CLONE_NEWCGROUP },
	{ "uts", CLONE_NEWUTS },     { "ipc", CLONE_NEWIPC },
	{ "user", CLONE_NEWUSER },   { "pid", CLONE_NEWPID },
	{ "net", CLONE_NEWNET },     { "time", CLONE_NEWTIME },
	{ "sibling", CLONE_PARENT },
};

/* i386 numbers its calls differently; clone3 is 435 everywhere. */
static const struct {
	const char *name;
	long nr;
	long nr_i386;
} ways[] = {
	{ "unshare", SYS_unshare, 310 },
	{ "clone", SYS_clone, 120 },
	{ "clone3", SYS_clone3, 435 },
};

static int sweep_clone(void)
{
	/* i386 pointers have 32 bits. */
	struct clone_args *low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (low == MAP_FAILED)
		return 2;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
			for (enum abi abi = ABI_NATIVE; abi < ABI_MAX; abi++) {
				struct call c = { .abi = abi, .nr = ways[w].nr };

				/* In clone's flag word 0x80 is a part of the signal. */
				if (kinds[k].flag == CLONE_NEWTIME &&
				    ways[w].nr == SYS_clone)
					continue;
				if (abi == ABI_INT80)
					c.nr = ways[w].nr_i386;
				c.args[0] = kinds[k].flag;
				*low = (struct clone_args){
					.flags = (uint64_t)kinds[k].flag
				};
				if (c.nr == SYS_clone3) {
					c.args[0] = (long)low;
					c.args[1] = sizeof(*low);
				}
				printf("%s %s %s %s\n", kinds[k].name, ways[w].name,
				       abi_name[abi], try_call(&c));
			}
		}
	}
	return 0;
}

/* ---- --modes ---- */

static const struct {
	const char *name;
	long nr;
	int flags; /* the argument of the flags, or −1 */
	int mode; /* that of the mode */
} mode_calls[] = {
	{ "open", SYS_open, 1, 2 },        { "openat", SYS_openat, 2, 3 },
	{ "creat", SYS_creat, -1, 1 },     { "mkdir", SYS_mkdir, -1, 1 },
	{ "mkdirat", SYS_mkdirat, -1, 2 }, { "mknod", SYS_mknod, -1, 1 },
	{ "mknodat", SYS_mknodat, -1, 2 }, { "chmod", SYS_chmod, -1, 1 },
	{ "fchmod", SYS_fchmod, -1, 1 },   { "fchmodat", SYS_fchmodat, -1, 2 },
	{ "fchmodat2", 452, -1, 2 },       { "openat2", 437, -1, 2 },
};

/* The path is no pointer and the descriptor no descriptor: what the filter lets through
 * ends as EFAULT or EBADF, and nothing is made. */
static void sweep_modes_of(size_t i, long flags)
{
	static const long mode[] = { 0644,         01777,   02644,
				     04755,        06777,   0100000 | 04644,
				     ~0xffffffffL, ~06000L, -1 };

	for (size_t m = 0; m < ARRAY_SIZE(mode); m++) {
		struct call c = { .nr = mode_calls[i].nr, .args = { -1, -1, -1, -1 } };

		c.args[mode_calls[i].mode] = mode[m];
		if (mode_calls[i].flags >= 0)
			c.args[mode_calls[i].flags] = flags;
		printf("%s %#lx %#lx %s\n", mode_calls[i].name, flags, mode[m],
		       try_call(&c));
	}
}

static int sweep_modes(void)
{
	static const long flags[] = { O_RDONLY, O_CREAT | O_WRONLY, O_TMPFILE | O_RDWR };

	for (size_t i = 0; i < ARRAY_SIZE(mode_calls); i++) {
		size_t n = mode_calls[i].flags < 0 ? 1 : ARRAY_SIZE(flags);

		for (size_t f = 0; f < n; f++)
			sweep_modes_of(i, flags[f]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return sweep(0, 1023);
	if (argc == 3)
		return sweep(strtol(argv[1], NULL, 10), strtol(argv[2], NULL, 10));
	if (strcmp(argv[1], "--sockets") == 0)
		return sweep_sockets();
	if (strcmp(argv[1], "--ioctl") == 0)
		return sweep_ioctl();
	if (strcmp(argv[1], "--clone") == 0)
		return sweep_clone();
	if (strcmp(argv[1], "--modes") == 0)
		return sweep_modes();
	fprintf(stderr, "usage: seccomp_sweep [FROM TO | --sockets | --ioctl | --clone | "
			"--modes]\n");
	return 2;
}
