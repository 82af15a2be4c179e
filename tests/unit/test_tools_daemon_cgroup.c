/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon sits, seen from a child that does as the daemon. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "policy/cgroup.h" /* lint: where groups can be made is not behind the door */
#include "tools/daemon_cgroup.h"

enum { GROUPS_SIZE = 8192 };

/* What the child has seen. */
struct seen {
	int code;
	char before[GROUPS_SIZE], after[GROUPS_SIZE];
	bool hands_down; /* v2 has a controller of ours, and the group is not the root */
	char path[CGROUP_PATH_MAX];
	struct err e;
};

static void read_groups(char *buf)
{
	if (fd_read_at(AT_FDCWD, "/proc/self/cgroup", buf, GROUPS_SIZE) < 0)
		_exit(2);
}

static void look(struct seen *s)
{
	const struct cgroup_limits none = { 0 };
	struct cgroup_host host;
	char list[256] = "";
	int dir;

	if (cgroup_host_open(&none, &host, &s->e) < 0)
		_exit(3);
	dir = host.trees[0].dir;
	snprintf(s->path, sizeof(s->path), "%s", host.trees[0].path);
	s->hands_down = fd_read_at(dir, "cgroup.controllers", list, sizeof(list)) > 0 &&
			(strstr(list, "memory") || strstr(list, "pids")) &&
			faccessat(dir, "cgroup.type", F_OK, 0) == 0;
	cgroup_host_close(&host);
}

static struct seen *enter(void)
{
	struct seen *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	assert_true(s != MAP_FAILED);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		look(s);
		read_groups(s->before);
		s->code = daemon_cgroup_enter(&s->e);
		read_groups(s->after);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return s;
}

static void daemon_steps_aside_only_where_its_group_hands_controllers_down(void **state)
{
	char own[CGROUP_PATH_MAX + 16];
	struct seen *s;

	(void)state;
	if (geteuid() != 0) {
		const char *must_run = getenv("MUST_RUN");

		if (must_run && !strcmp(must_run, "1"))
			fail_msg("needs root");
		print_message("skipped: needs root\n");
		skip();
	}
	s = enter();
	if (s->code < 0)
		fail_msg("%s", s->e.msg);
	if (s->hands_down) {
		assert_string_not_equal(s->before, s->after);
		assert_non_null(strstr(s->after, "/daemon"));
		snprintf(own, sizeof(own), "%s/daemon", s->path);
		rmdir(own);
	} else {
		assert_string_equal(s->before, s->after);
	}
	munmap(s, sizeof(*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			daemon_steps_aside_only_where_its_group_hands_controllers_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
