/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "policy/seccomp.h"
#include "tests/lib/bpf_eval.h"
#include "tests/lib/seccomp_expect.h"

/* Run from the repository's root. The Makefile says where it built the text. */
#ifndef SECCOMP_BUILT_PFC
#define SECCOMP_BUILT_PFC "build/gen/policy/seccomp_default.pfc"
#endif
#define EXPECT_FILE "tests/unit/seccomp_expect.txt"
#define DOCKER_FILE "tests/unit/docker_allowed.txt"
#define GOLDEN_FILE "policy/seccomp_default.pfc"

#define NR_MAX    1024
#define VALUE_MAX 512
#define X32_BIT   0x40000000U
#define LOW32     UINT64_C(0xffffffff)

static struct expect_list expected;
static struct expect_list docker;

static int read_lists(void **state)
{
	(void)state;
	expect_read(EXPECT_FILE, true, &expected);
	expect_read(DOCKER_FILE, false, &docker);
	return 0;
}

/* ---- asking the lists and the program ---- */

static uint32_t expected_answer(const struct expect_clause *c, const uint64_t *args)
{
	const char *name = c->name;

	for (; c; c = expect_next(&expected, c)) {
		if (expect_holds(c, args))
			return c->answer;
	}
	fail_msg("unclassified: no line of %s holds for all arguments", name);
	return 0;
}

static uint32_t answer_of(uint32_t arch, uint32_t nr, const uint64_t *args)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch };
	uint32_t answer = 0;

	memcpy(data.args, args, sizeof(data.args));
	assert_int_equal(bpf_eval(seccomp_program(), &data, &answer), 0);
	return answer;
}

static uint32_t native(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	const uint64_t args[6] = { a0, a1, a2 };

	return answer_of(AUDIT_ARCH_X86_64, nr, args);
}

#define ALLOWED     SECCOMP_RET_ALLOW
#define REFUSED(no) (SECCOMP_RET_ERRNO | (no))

/* ---- boundary arguments ---- */

struct values {
	uint64_t value[VALUE_MAX];
	size_t count;
};

static void add_value(struct values *v, uint64_t value)
{
	for (size_t i = 0; i < v->count; i++) {
		if (v->value[i] == value)
			return;
	}
	assert_true(v->count < VALUE_MAX);
	v->value[v->count++] = value;
}

/* A value, its neighbours, and all of them with high bits that must not count. */
static void add_around(struct values *v, uint64_t value)
{
	add_value(v, value);
	add_value(v, value - 1);
	add_value(v, value + 1);
	add_value(v, value << 32);
	add_value(v, value | (UINT64_C(1) << 32));
	add_value(v, value | (LOW32 << 32));
}

/* What argument arg is tried with: the usual suspects, and every value and mask that a
 * line of this number names for it. */
static void values_for(const struct expect_clause *c, unsigned int arg, struct values *v)
{
	v->count = 0;
	add_around(v, 0);
	add_value(v, UINT64_MAX);
	add_value(v, LOW32);
	add_value(v, UINT64_C(0x80000000));
	for (; c; c = expect_next(&expected, c)) {
		for (size_t i = 0; i < c->conds; i++) {
			if (c->cond[i].arg != arg)
				continue;
			add_around(v, c->cond[i].value);
			if (c->cond[i].mask == LOW32)
				continue;
			add_around(v, c->cond[i].mask);
			add_around(v, ~c->cond[i].mask);
			add_value(v, c->cond[i].value | (~c->cond[i].mask & LOW32));
			for (unsigned int bit = 0; bit < 32; bit++)
				add_value(v, c->cond[i].value ^ (UINT64_C(1) << bit));
		}
	}
}

static void check_native(const struct expect_clause *c, int nr, const uint64_t *args)
{
	uint32_t want = expected_answer(c, args);
	uint32_t got = answer_of(AUDIT_ARCH_X86_64, (uint32_t)nr, args);

	if (got != want)
		fail_msg("%d %s(%#llx, %#llx, %#llx, %#llx): %#x instead of %#x", nr,
			 c->name, (unsigned long long)args[0],
			 (unsigned long long)args[1], (unsigned long long)args[2],
			 (unsigned long long)args[3], got, want);
}

typedef void check_fn(const struct expect_clause *c, int nr, const uint64_t *args);

#define ASKED 4 /* no rule looks at the last two arguments */

/* Calls check with every combination of the boundary values of the arguments. */
static void for_all_arguments(const struct expect_clause *c, int nr, check_fn *check)
{
	static struct values v[ASKED];
	size_t combinations = 1;

	for (unsigned int i = 0; i < ASKED; i++) {
		values_for(c, i, &v[i]);
		combinations *= v[i].count;
	}
	for (size_t n = 0; n < combinations; n++) {
		uint64_t args[6] = { 0, 0, 0, 0, UINT64_MAX, n };
		size_t rest = n;

		for (unsigned int i = 0; i < ASKED; i++) {
			args[i] = v[i].value[rest % v[i].count];
			rest /= v[i].count;
		}
		check(c, nr, args);
	}
}

/* ---- cases ---- */

static void every_number_is_classified(void **state)
{
	(void)state;
	for (int nr = 0; nr < NR_MAX; nr++) {
		if (!expect_first(&expected, nr))
			fail_msg("unclassified: %d", nr);
	}
}

static void running_kernel_has_no_unclassified_number(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		for (int nr = 0; nr < NR_MAX; nr++) {
			/* 512 to 547 answered natively on old kernels. */
			if (strcmp(expect_first(&expected, nr)->name, "-") != 0 ||
			    (nr >= 512 && nr < 548))
				continue;
			if (syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L) == -1 &&
			    errno == ENOSYS)
				continue;
			print_message("unclassified: %d exists here\n", nr);
			_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void native_answers_are_the_expected_ones(void **state)
{
	(void)state;
	for (int nr = 0; nr < NR_MAX; nr++)
		for_all_arguments(expect_first(&expected, nr), nr, check_native);
}

/* By the specification, as `carrel policy show` has them by the tables. */
static void allowed_calls_are_counted(void **state)
{
	unsigned allowed, by_arguments, want_allowed = 0, want_by_arguments = 0;

	(void)state;
	for (int nr = 0; nr < NR_MAX; nr++) {
		const struct expect_clause *c = expect_first(&expected, nr);
		unsigned lines = 0, allowing = 0;

		for (; c; c = expect_next(&expected, c)) {
			lines++;
			allowing += c->answer == ALLOWED;
		}
		if (lines && allowing == lines)
			want_allowed++;
		else if (allowing)
			want_by_arguments++;
	}
	assert_true(want_allowed > 200 && want_by_arguments > 5);
	seccomp_count(&allowed, &by_arguments);
	assert_int_equal(allowed, want_allowed);
	assert_int_equal(by_arguments, want_by_arguments);
}

static void foreign_architecture_is_killed(void **state)
{
	static const uint32_t arch[] = { AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,
					 AUDIT_ARCH_ARM,  0,
					 UINT32_MAX,      AUDIT_ARCH_X86_64 ^ 1 };
	static const uint64_t filler[] = { 0, 1, LOW32, LOW32 << 32, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(arch) / sizeof(arch[0]); i++) {
		for (uint32_t nr = 0; nr < 2 * NR_MAX; nr++) {
			uint32_t number = nr < NR_MAX ? nr : X32_BIT + nr - NR_MAX;

			for (size_t k = 0; k < 5; k++) {
				uint64_t args[6];

				memset(args, (int)filler[k], sizeof(args));
				args[0] = filler[k];
				assert_int_equal(answer_of(arch[i], number, args),
						 SECCOMP_RET_KILL_PROCESS);
			}
		}
	}
}

static void x32_is_killed(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr < NR_MAX; nr++) {
		assert_int_equal(native(X32_BIT + nr, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(native(X32_BIT + nr, 1, 1, 0), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(native(X32_BIT + nr, UINT64_MAX, UINT64_MAX, UINT64_MAX),
				 SECCOMP_RET_KILL_PROCESS);
	}
	assert_int_equal(native(0x80000000U, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(native(0xfffffffeU, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

static void numbers_of_the_future_are_enosys(void **state)
{
	(void)state;
	for (uint32_t nr = NR_MAX; nr < 0x20000; nr++)
		assert_int_equal(native(nr, 0, 0, 0), REFUSED(ENOSYS));
	assert_int_equal(native(X32_BIT - 1, 0, 0, 0), REFUSED(ENOSYS));
	/* −1 is how a tracer skips a call. */
	assert_int_equal(native(UINT32_MAX, 0, 0, 0), REFUSED(ENOSYS));
}

static void socket_refuses_af_alg(void **state)
{
	(void)state;
	assert_int_equal(native(SYS_socket, 38, 5, 0), REFUSED(EAFNOSUPPORT));
	assert_int_equal(native(SYS_socket, 38 | (UINT64_C(1) << 32), 5, 0),
			 REFUSED(EAFNOSUPPORT));
}

/* Counted by hand: UNIX with every type and protocol tried; INET and INET6 with two
 * types of two protocols each; NETLINK with two types of one. */
static void socket_opens_the_listed_triples_only(void **state)
{
	static const uint64_t protocols[] = { 0,  1,  2,   6,   15,  17,
					      41, 58, 132, 136, 255, 262 };
	unsigned int opened[64] = { 0 };

	(void)state;
	for (unsigned int family = 0; family < 64; family++) {
		for (uint64_t type = 0; type < 16; type++) {
			for (size_t p = 0; p < 12; p++) {
				uint32_t plain =
					native(SYS_socket, family, type, protocols[p]);

				/* SOCK_CLOEXEC | SOCK_NONBLOCK change nothing. */
				assert_int_equal(native(SYS_socket, family,
							type | 02004000, protocols[p]),
						 plain);
				opened[family] += plain == ALLOWED;
			}
		}
	}
	for (unsigned int family = 0; family < 64; family++) {
		unsigned int want = family == 1                   ? 16 * 12
				    : family == 2 || family == 10 ? 4
				    : family == 16                ? 2
								  : 0;

		assert_int_equal(opened[family], want);
	}
}

static void socket_answers_mptcp_as_a_kernel_without_it(void **state)
{
	(void)state;
	assert_int_equal(native(SYS_socket, 2, 1, 262), REFUSED(EPROTONOSUPPORT));
	assert_int_equal(native(SYS_socket, 2, 2, 1), REFUSED(EPROTONOSUPPORT));
	assert_int_equal(native(SYS_socket, 10, 2, 58), REFUSED(EPROTONOSUPPORT));
}

static void ioctl_refuses_tiocsti_whatever_the_high_bits(void **state)
{
	(void)state;
	for (unsigned int bit = 32; bit < 64; bit++)
		assert_int_equal(native(SYS_ioctl, 0, 0x5412 | (UINT64_C(1) << bit), 0),
				 REFUSED(EPERM));
}

static void clone_refuses_each_namespace(void **state)
{
	static const uint64_t flag[] = { 0x00020000, 0x02000000, 0x04000000, 0x08000000,
					 0x10000000, 0x20000000, 0x40000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(flag) / sizeof(flag[0]); i++) {
		assert_int_equal(native(SYS_clone, flag[i] | 17, 0, 0), REFUSED(EPERM));
		assert_int_equal(native(SYS_clone, flag[i] | (LOW32 << 32), 0, 0),
				 REFUSED(EPERM));
		assert_int_equal(native(SYS_unshare, flag[i], 0, 0), REFUSED(EPERM));
	}
	assert_int_equal(native(SYS_clone, 0x3d0f00, 0, 0),
			 ALLOWED); /* a thread of glibc's */
	assert_int_equal(native(SYS_clone, 0x1200011, 0, 0), ALLOWED); /* its fork() */
	assert_int_equal(native(SYS_clone3, 0, 88, 0), REFUSED(ENOSYS));
}

static void clone_refuses_to_make_a_sibling(void **state)
{
	(void)state;
	assert_int_equal(native(SYS_clone, 0x8000 | 17, 0, 0), REFUSED(EPERM));
	assert_int_equal(native(SYS_clone, 0x3d0f00 | 0x8000, 0, 0), REFUSED(EPERM));
	assert_int_equal(native(SYS_clone, 0x8000 | (LOW32 << 32), 0, 0), REFUSED(EPERM));
}

/* Every mode of 16 bits, as wide as the kernel's umode_t, with high bits all or none. */
static void check_modes(uint32_t nr, unsigned int arg, uint64_t flags)
{
	for (uint64_t high = 0; high < 2; high++) {
		for (uint64_t mode = 0; mode < 0x10000; mode++) {
			uint64_t args[6] = { 3, 0, 0, 0 };
			uint32_t got;

			/* No device node: that is another rule. */
			if ((mode & 0xf000) == 0x2000 || (mode & 0xf000) == 0x6000)
				continue;
			args[arg - 1] = flags;
			args[arg] = mode | (high ? ~UINT64_C(0xffff) : 0);
			got = answer_of(AUDIT_ARCH_X86_64, nr, args);
			assert_int_equal(got, mode & 06000 ? REFUSED(EPERM) : ALLOWED);
		}
	}
}

static void chmod_refuses_set_id_bits(void **state)
{
	(void)state;
	check_modes(SYS_chmod, 1, UINT64_MAX);
	check_modes(SYS_fchmod, 1, 0);
	check_modes(SYS_fchmodat, 2, 0);
	check_modes(452, 2, UINT64_MAX); /* fchmodat2 */
}

static void mknod_and_creat_refuse_set_id_bits(void **state)
{
	(void)state;
	check_modes(SYS_creat, 1, 0);
	check_modes(SYS_mknod, 1, UINT64_MAX);
	check_modes(SYS_mknodat, 2, 0);
}

static void open_refuses_to_create_a_set_id_file(void **state)
{
	static const uint64_t flags[] = { O_CREAT,
					  O_TMPFILE | O_RDWR,
					  O_TMPFILE & ~O_DIRECTORY,
					  O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC,
					  O_CREAT | (LOW32 << 32),
					  UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		check_modes(SYS_open, 2, flags[i]);
		check_modes(SYS_openat, 3, flags[i]);
	}
	assert_int_equal(native(437, UINT64_MAX, 0, 0), REFUSED(ENOSYS)); /* openat2 */
}

static void open_without_creation_ignores_the_mode(void **state)
{
	static const uint64_t flags[] = { 0,
					  O_RDWR,
					  O_DIRECTORY | O_CLOEXEC,
					  O_PATH,
					  ~(uint64_t)(O_CREAT | O_TMPFILE),
					  LOW32 << 32 };

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		for (uint64_t mode = 0; mode < 0x10000; mode++) {
			const uint64_t args[6] = { 3, 0, flags[i], mode | LOW32 << 32 };

			assert_int_equal(native(SYS_open, 0, flags[i], mode), ALLOWED);
			assert_int_equal(answer_of(AUDIT_ARCH_X86_64, SYS_openat, args),
					 ALLOWED);
		}
	}
}

static void core_limit_can_be_read_but_not_set(void **state)
{
	(void)state;
	assert_int_equal(native(SYS_prlimit64, 0, 4, 0), ALLOWED);
	assert_int_equal(native(SYS_prlimit64, 0, 4, UINT64_C(0x7f0000000000)),
			 REFUSED(EPERM));
	assert_int_equal(native(SYS_prlimit64, 0, 4, 1), REFUSED(EPERM));
	assert_int_equal(native(SYS_prlimit64, 1, 7, 0), REFUSED(EPERM));
	assert_int_equal(native(SYS_prlimit64, 0, 7, 1), ALLOWED);
	assert_int_equal(native(SYS_setrlimit, 4, 1, 0), REFUSED(EPERM));
}

static bool docker_allows(const char *name, const uint64_t *args)
{
	for (size_t i = 0; i < docker.count; i++) {
		if (strcmp(docker.clause[i].name, name) == 0 &&
		    expect_holds(&docker.clause[i], args))
			return true;
	}
	return false;
}

/* What we allow and Docker's default does not, each with its reason. Empty. */
static const struct {
	const char *name;
	const char *reason;
} beyond_docker[] = { { NULL, NULL } };

static void check_docker(const struct expect_clause *c, int nr, const uint64_t *args)
{
	if (answer_of(AUDIT_ARCH_X86_64, (uint32_t)nr, args) != ALLOWED ||
	    docker_allows(c->name, args))
		return;
	for (size_t i = 0; beyond_docker[i].name; i++) {
		if (strcmp(beyond_docker[i].name, c->name) == 0)
			return;
	}
	fail_msg("%s(%#llx, ...) is allowed here, but not by Docker", c->name,
		 (unsigned long long)args[0]);
}

static void allows_nothing_that_docker_refuses(void **state)
{
	(void)state;
	for (int nr = 0; nr < NR_MAX; nr++)
		for_all_arguments(expect_first(&expected, nr), nr, check_docker);
}

static char *read_whole(const char *path, size_t *ret_size)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = test_malloc(1 << 20);
	ssize_t n = read(fd, text, 1 << 20);

	if (n < 0)
		fail_msg("cannot read %s", path);
	*ret_size = (size_t)n;
	return text;
}

static void text_is_the_golden_one(void **state)
{
	size_t golden_size;
	size_t built_size;
	char *golden = read_whole(GOLDEN_FILE, &golden_size);
	char *built = read_whole(SECCOMP_BUILT_PFC, &built_size);
	bool equal;

	(void)state;
	equal = golden_size == built_size && memcmp(golden, built, built_size) == 0;
	test_free(golden);
	test_free(built);
	if (!equal)
		fail_msg("the policy changed: review it, then run `make golden-seccomp`");
}

static void child_is_bound(void)
{
	struct err e = { 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || seccomp_install(&e) != 0)
		_exit(1);
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
		_exit(2);
	if (syscall(SYS_unshare, 0) != -1 || errno != EPERM)
		_exit(3);
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		_exit(4);
	_exit(0);
}

static void install_binds_the_caller(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		child_is_bound();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void evaluator_refuses_what_the_kernel_refuses(void **state)
{
	struct sock_filter bad[][2] = {
		{ { BPF_LD | BPF_W | BPF_ABS, 0, 0, 64 }, { BPF_RET | BPF_K, 0, 0, 0 } },
		{ { BPF_LD | BPF_W | BPF_ABS, 0, 0, 2 }, { BPF_RET | BPF_K, 0, 0, 0 } },
		{ { BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 }, { BPF_RET | BPF_K, 0, 0, 0 } },
		{ { BPF_JMP | BPF_JA, 0, 0, 1 }, { BPF_RET | BPF_K, 0, 0, 0 } },
		{ { BPF_JMP | BPF_JA, 0, 0, UINT32_MAX }, { BPF_RET | BPF_K, 0, 0, 0 } },
		{ { BPF_ST, 0, 0, 16 }, { BPF_RET | BPF_K, 0, 0, 0 } },
	};
	const struct seccomp_data data = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sock_fprog program = { .len = 2, .filter = bad[i] };
		uint32_t answer;

		assert_int_equal(bpf_eval(&program, &data, &answer), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(evaluator_refuses_what_the_kernel_refuses),
		cmocka_unit_test(every_number_is_classified),
		cmocka_unit_test(running_kernel_has_no_unclassified_number),
		cmocka_unit_test(native_answers_are_the_expected_ones),
		cmocka_unit_test(allowed_calls_are_counted),
		cmocka_unit_test(foreign_architecture_is_killed),
		cmocka_unit_test(x32_is_killed),
		cmocka_unit_test(numbers_of_the_future_are_enosys),
		cmocka_unit_test(socket_refuses_af_alg),
		cmocka_unit_test(socket_opens_the_listed_triples_only),
		cmocka_unit_test(socket_answers_mptcp_as_a_kernel_without_it),
		cmocka_unit_test(ioctl_refuses_tiocsti_whatever_the_high_bits),
		cmocka_unit_test(clone_refuses_each_namespace),
		cmocka_unit_test(clone_refuses_to_make_a_sibling),
		cmocka_unit_test(chmod_refuses_set_id_bits),
		cmocka_unit_test(mknod_and_creat_refuse_set_id_bits),
		cmocka_unit_test(open_refuses_to_create_a_set_id_file),
		cmocka_unit_test(open_without_creation_ignores_the_mode),
		cmocka_unit_test(core_limit_can_be_read_but_not_set),
		cmocka_unit_test(allows_nothing_that_docker_refuses),
		cmocka_unit_test(text_is_the_golden_one),
		cmocka_unit_test(install_binds_the_caller),
	};

	return cmocka_run_group_tests(tests, read_lists, NULL);
}
