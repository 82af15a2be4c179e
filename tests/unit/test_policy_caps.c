/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
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
#include "policy/caps.h"

enum { USER = 12345 };

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

/* For what only root can do: says why when it cannot be tried. */
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

/* A line of /proc/self/status as "Key:\tvalue". */
static void assert_status_line(const char *line)
{
	char text[8192], *at;
	char wanted[128];

	assert_true(fd_read_at(AT_FDCWD, "/proc/self/status", text, sizeof(text)) > 0);
	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	at = strstr(text, wanted);
	if (!at)
		fail_msg("no line \"%s\" in\n%s", line, text);
}

static void give_up(void)
{
	struct err e = { 0 };

	if (caps_give_up(USER, USER + 1, &e) != 0)
		fail_msg("%s", e.msg);
}

static void look_for_capabilities(void)
{
	assert_true(caps_have(CAP_SETPCAP));
	assert_true(caps_have(CAP_SETUID));
	assert_int_equal(setresuid(USER, USER, USER), 0);
	assert_false(caps_have(CAP_SETPCAP));
	assert_false(caps_have(CAP_SYS_ADMIN));
	/* Beyond the first 32. */
	assert_false(caps_have(CAP_AUDIT_READ));
}

static void have_looks_at_the_effective_set(void **state)
{
	(void)state;
	need_root();
	in_child(look_for_capabilities);
}

static void look_above_32(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[1].effective = data[1].permitted = 1u << (CAP_SYSLOG % 32);
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
	assert_true(caps_have(CAP_SYSLOG));
	assert_false(caps_have(CAP_DAC_READ_SEARCH)); /* the same bit of the first word */
	assert_false(caps_have(CAP_WAKE_ALARM));
}

static void have_tells_both_words_apart(void **state)
{
	(void)state;
	need_root();
	in_child(look_above_32);
}

static void assert_no_capabilities(void)
{
	assert_status_line("CapInh:\t0000000000000000");
	assert_status_line("CapPrm:\t0000000000000000");
	assert_status_line("CapEff:\t0000000000000000");
	assert_status_line("CapBnd:\t0000000000000000");
	assert_status_line("CapAmb:\t0000000000000000");
}

static void check_sets(void)
{
	give_up();
	assert_no_capabilities();
}

static void all_five_sets_are_empty(void **state)
{
	(void)state;
	need_root();
	in_child(check_sets);
}

static void raise_ambient_and_check(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
	assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
	check_sets();
}

static void inheritable_and_ambient_sets_are_emptied_too(void **state)
{
	(void)state;
	need_root();
	in_child(raise_ambient_and_check);
}

static void assert_ids(void)
{
	assert_status_line("Uid:\t12345\t12345\t12345\t12345");
	assert_status_line("Gid:\t12346\t12346\t12346\t12346");
}

static void check_ids(void)
{
	give_up();
	assert_ids();
}

static void every_id_is_the_one_asked_for(void **state)
{
	(void)state;
	need_root();
	in_child(check_ids);
}

static void check_securebits(void)
{
	const int wanted = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			   SECBIT_NO_CAP_AMBIENT_RAISE |
			   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	give_up();
	assert_int_equal(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), wanted);
	assert_int_equal(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), wanted);
}

static void securebits_are_set_and_locked(void **state)
{
	(void)state;
	need_root();
	in_child(check_securebits);
}

static void check_flags(void)
{
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	give_up();
	assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), -1);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

static void process_gains_nothing_by_exec_and_cannot_be_read(void **state)
{
	(void)state;
	need_root();
	in_child(check_flags);
}

static void assert_eperm(long result)
{
	assert_int_equal(result, -1);
	assert_int_equal(errno, EPERM);
}

static void try_to_regain(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	gid_t group = 0;

	give_up();
	data[0].permitted = 1u << CAP_CHOWN;
	assert_eperm(syscall(SYS_capset, &head, data));
	data[0].permitted = 0;
	data[0].inheritable = 1u << CAP_CHOWN;
	assert_eperm(syscall(SYS_capset, &head, data));
	assert_eperm(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	assert_eperm(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
	assert_eperm(setresuid(0, 0, 0));
	assert_eperm(setresuid((uid_t)-1, 0, (uid_t)-1));
	assert_eperm(setuid(0));
	assert_eperm(setresgid(0, 0, 0));
	assert_eperm(setgroups(1, &group));
	assert_ids();
	assert_no_capabilities();
}

static void nothing_brings_capabilities_or_ids_back(void **state)
{
	(void)state;
	need_root();
	in_child(try_to_regain);
}

static void exec_as_uid_0(void)
{
	char *const argv[] = {
		"grep", "-q", "-x", "-P", "CapEff:\\t0{16}", "/proc/self/status", NULL
	};
	char *const envp[] = { NULL };
	struct err e = { 0 };

	assert_int_equal(caps_give_up(0, 0, &e), 0);
	execve("/bin/grep", argv, envp);
	_exit(9);
}

static void uid_0_means_nothing_after_exec(void **state)
{
	(void)state;
	need_root();
	in_child(exec_as_uid_0);
}

static void give_up_twice(void)
{
	struct err e = { 0 };

	give_up();
	/* There is nothing left to do it with. */
	assert_int_equal(caps_give_up(USER, USER + 1, &e), -EPERM);
	assert_string_equal(e.msg, "lock the securebits: Operation not permitted");
	assert_no_capabilities();
	assert_ids();
}

static void second_time_fails_and_changes_nothing(void **state)
{
	(void)state;
	need_root();
	in_child(give_up_twice);
}

static void give_up_without_privilege(void)
{
	struct err e = { 0 };

	if (geteuid() == 0)
		assert_int_equal(setresuid(USER, USER, USER), 0);
	assert_int_equal(caps_give_up(USER, USER, &e), -EPERM);
	assert_string_equal(e.msg, "lock the securebits: Operation not permitted");
}

static void without_privilege_it_is_an_error(void **state)
{
	(void)state;
	in_child(give_up_without_privilege);
}

static void enter_userns_with_root_only(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[32];

	assert_int_equal(unshare(CLONE_NEWUSER), 0);
	assert_int_equal(fd_write_at(AT_FDCWD, "/proc/self/setgroups", "deny"), 0);
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	assert_int_equal(fd_write_at(AT_FDCWD, "/proc/self/uid_map", map), 0);
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
	assert_int_equal(fd_write_at(AT_FDCWD, "/proc/self/gid_map", map), 0);
}

static void become_unmapped_ids(void)
{
	struct err e = { 0 };

	enter_userns_with_root_only();
	assert_int_equal(caps_give_up(0, 7, &e), -EINVAL);
	assert_string_equal(e.msg, "become gid 7: Invalid argument");
	assert_int_equal(caps_give_up(7, 0, &e), -EINVAL);
	assert_string_equal(e.msg, "become uid 7: Invalid argument");
}

static void ids_that_are_not_mapped_are_an_error(void **state)
{
	(void)state;
	need_root();
	in_child(become_unmapped_ids);
}

static void give_up_in_userns(void)
{
	struct err e = { 0 };

	enter_userns_with_root_only();
	assert_true(caps_have(CAP_SYS_ADMIN));
	assert_int_equal(caps_give_up(0, 0, &e), 0);
	assert_false(caps_have(CAP_SYS_ADMIN));
	assert_status_line("CapBnd:\t0000000000000000");
	assert_eperm(unshare(CLONE_NEWNS));
}

static void it_works_inside_a_user_namespace(void **state)
{
	(void)state;
	need_root();
	in_child(give_up_in_userns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(have_looks_at_the_effective_set),
		cmocka_unit_test(have_tells_both_words_apart),
		cmocka_unit_test(all_five_sets_are_empty),
		cmocka_unit_test(inheritable_and_ambient_sets_are_emptied_too),
		cmocka_unit_test(every_id_is_the_one_asked_for),
		cmocka_unit_test(securebits_are_set_and_locked),
		cmocka_unit_test(process_gains_nothing_by_exec_and_cannot_be_read),
		cmocka_unit_test(nothing_brings_capabilities_or_ids_back),
		cmocka_unit_test(uid_0_means_nothing_after_exec),
		cmocka_unit_test(second_time_fails_and_changes_nothing),
		cmocka_unit_test(without_privilege_it_is_an_error),
		cmocka_unit_test(ids_that_are_not_mapped_are_an_error),
		cmocka_unit_test(it_works_inside_a_user_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
