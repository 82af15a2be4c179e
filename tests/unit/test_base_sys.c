/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/sys.h"

static void in_child(void (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* A failed assertion then ends the child. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		body();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void need_root(void)
{
	const char *must_run = getenv("MUST_RUN");

	if (geteuid() == 0)
		return;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs root");
	print_message("skipped: needs root\n");
	skip();
}

static void clone3_returns_twice_like_fork(void **state)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t parent = getpid(), pid = sys_clone3(&args);
	int status = -1;

	(void)state;
	if (pid == 0)
		_exit(getppid() == parent ? 6 : 1);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 6);
}

static void clone3_copies_memory(void **state)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	volatile int value = 1;
	pid_t pid = sys_clone3(&args);

	(void)state;
	if (pid == 0) {
		value = 2;
		_exit(value);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(value, 1);
}

static void clone3_gives_a_pidfd_that_closes_on_exec(void **state)
{
	int pidfd = -1;
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	pid_t pid = sys_clone3(&args);
	siginfo_t info = { 0 };

	(void)state;
	if (pid == 0)
		_exit(3);
	assert_true(pid > 0 && pidfd >= 0);
	assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	assert_int_equal(info.si_pid, pid);
	assert_int_equal(info.si_status, 3);
	close(pidfd);
}

static void clone3_fails_on_impossible_flags(void **state)
{
	struct clone_args args = { .flags = CLONE_SIGHAND, .exit_signal = SIGCHLD };

	(void)state;
	assert_int_equal(sys_clone3(&args), -1);
	assert_int_equal(errno, EINVAL);
}

/* What a child in our memory is given, and leaves there. */
struct note {
	const void *stack;
	pid_t parent;
	bool on_stack, aligned, ours;
};

static void write_note(void *arg)
{
	struct note *n = arg;
	char here[16] __attribute__((aligned(16)));
	const char *at = here;

	n->on_stack = at > (const char *)n->stack && at < (const char *)n->stack + 65536;
	n->aligned = ((uintptr_t)at & 15) == 0;
	n->ours = getppid() == n->parent;
	_exit(7);
}

static void clone3_here_shares_memory_on_a_stack_of_its_own(void **state)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK,
				   .exit_signal = SIGCHLD,
				   .stack = (uintptr_t)stack,
				   .stack_size = sizeof(stack) };
	struct note note = { .stack = stack, .parent = getpid() };
	int status = -1;
	pid_t pid = sys_clone3_here(&args, write_note, &note);

	(void)state;
	assert_true(pid > 0);
	/* It has ended by now: its word is there without waiting. */
	assert_true(note.on_stack && note.aligned && note.ours);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void clone3_here_fails_on_impossible_flags(void **state)
{
	struct clone_args args = { .flags = CLONE_THREAD };
	struct note note = { 0 };

	(void)state;
	errno = 0;
	assert_int_equal(sys_clone3_here(&args, write_note, &note), -1);
	assert_int_equal(errno, EINVAL);
}

static void openat2_closes_on_exec_unasked(void **state)
{
	auto_fd fd = sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_PATH | O_DIRECTORY),
			 O_PATH | O_DIRECTORY);
}

static void openat2_reports_what_is_missing(void **state)
{
	(void)state;
	assert_int_equal(sys_openat2(AT_FDCWD, "/no/such/file", O_RDONLY, 0), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(sys_openat2(-1, "relative", O_RDONLY, 0), -1);
	assert_int_equal(errno, EBADF);
}

static void openat2_refuses_unknown_bits(void **state)
{
	(void)state;
	assert_int_equal(sys_openat2(AT_FDCWD, "/", O_RDONLY, UINT64_C(1) << 63), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(sys_openat2(AT_FDCWD, "/", UINT64_C(1) << 62, 0), -1);
	assert_int_equal(errno, EINVAL);
}

static void openat2_refuses_links_when_told_to(void **state)
{
	char top[] = "/tmp/carrel-unit-XXXXXX";
	auto_fd dir = -1, fd = -1;

	(void)state;
	assert_non_null(mkdtemp(top));
	dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "real", 0700), 0);
	assert_int_equal(symlinkat("real", dir, "link"), 0);
	fd = sys_openat2(dir, "link/.", O_PATH, 0);
	assert_true(fd >= 0);
	assert_int_equal(sys_openat2(dir, "link/.", O_PATH, RESOLVE_NO_SYMLINKS), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(unlinkat(dir, "link", 0), 0);
	assert_int_equal(unlinkat(dir, "real", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(top), 0);
}

static void openat2_stays_beneath_when_told_to(void **state)
{
	auto_fd usr = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd inside = -1;

	(void)state;
	assert_true(usr >= 0);
	assert_int_equal(sys_openat2(usr, "..", O_PATH, RESOLVE_BENEATH), -1);
	assert_int_equal(errno, EXDEV);
	inside = sys_openat2(usr, "/..", O_PATH, RESOLVE_IN_ROOT);
	assert_true(inside >= 0);
	assert_true(fd_same_file(inside, usr));
}

static void openat2_refuses_magic_links_when_told_to(void **state)
{
	(void)state;
	assert_int_equal(
		sys_openat2(AT_FDCWD, "/proc/self/root", O_PATH, RESOLVE_NO_MAGICLINKS),
		-1);
	assert_int_equal(errno, ELOOP);
}

static void pivot(void)
{
	struct stat before, after;

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("unit", "/tmp", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(stat("/tmp", &before), 0);
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(sys_pivot_root(".", "."), 0);
	assert_int_equal(umount2(".", MNT_DETACH), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(stat("/", &after), 0);
	assert_int_equal(before.st_dev, after.st_dev);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(access("/usr", F_OK), -1);
}

static void pivot_root_swaps_the_root(void **state)
{
	(void)state;
	need_root();
	in_child(pivot);
}

static void pivot_to_no_mount(void)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("unit", "/tmp", "tmpfs", 0, "size=1m"), 0);
	assert_int_equal(mkdir("/tmp/dir", 0755), 0);
	assert_int_equal(sys_pivot_root("/tmp/dir", "/tmp/dir"), -1);
	assert_int_equal(errno, EINVAL);
}

static void pivot_root_takes_only_mount_points(void **state)
{
	(void)state;
	need_root();
	in_child(pivot_to_no_mount);
}

static void pivot_without_privilege(void)
{
	if (geteuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(sys_pivot_root("/", "/"), -1);
	assert_int_equal(errno, EPERM);
}

static void pivot_root_takes_privilege(void **state)
{
	(void)state;
	in_child(pivot_without_privilege);
}

static long session_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

static void join_a_new_keyring(void)
{
	long before = session_keyring(), id = sys_new_session_keyring();

	/* A kernel may be without keys. */
	if (id < 0 && errno == ENOSYS)
		return;
	assert_true(id > 0);
	assert_true(id != before);
	assert_int_equal(session_keyring(), id);
	assert_true(sys_new_session_keyring() != id);
}

static void session_keyring_is_a_new_one(void **state)
{
	(void)state;
	in_child(join_a_new_keyring);
}

static void constants_are_those_of_the_kernel(void **state)
{
	(void)state;
	assert_int_equal(MFD_EXEC, 0x10);
	assert_int_equal(F_SEAL_EXEC, 0x20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clone3_returns_twice_like_fork),
		cmocka_unit_test(clone3_copies_memory),
		cmocka_unit_test(clone3_gives_a_pidfd_that_closes_on_exec),
		cmocka_unit_test(clone3_fails_on_impossible_flags),
		cmocka_unit_test(clone3_here_shares_memory_on_a_stack_of_its_own),
		cmocka_unit_test(clone3_here_fails_on_impossible_flags),
		cmocka_unit_test(openat2_closes_on_exec_unasked),
		cmocka_unit_test(openat2_reports_what_is_missing),
		cmocka_unit_test(openat2_refuses_unknown_bits),
		cmocka_unit_test(openat2_refuses_links_when_told_to),
		cmocka_unit_test(openat2_stays_beneath_when_told_to),
		cmocka_unit_test(openat2_refuses_magic_links_when_told_to),
		cmocka_unit_test(pivot_root_swaps_the_root),
		cmocka_unit_test(pivot_root_takes_only_mount_points),
		cmocka_unit_test(pivot_root_takes_privilege),
		cmocka_unit_test(session_keyring_is_a_new_one),
		cmocka_unit_test(constants_are_those_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
