/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked for: checks that need no system call. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"

enum {
	ARG_MAX_ONE = 32 * 4096 - 1, /* MAX_ARG_STRLEN, execve(2) */
	ARG_MAX_ALL = 2 * 1024 * 1024 - 8192, /* a quarter of the default 8 MiB stack */
	HOSTNAME_LEN_MAX = 64,
};

static const char *const reason_names[] = {
	[RUN_EXIT] = "exit",
	[RUN_SIGNAL] = "signal",
	[RUN_TIMEOUT] = "timeout",
	[RUN_OOM] = "oom",
	[RUN_START_FAILED] = "start_failed",
};

static_assert(sizeof(reason_names) / sizeof(*reason_names) == RUN_REASON_MAX,
	      "one name a reason");

const char *run_reason_name(enum run_reason reason)
{
	return reason_names[reason];
}

void spec_init(struct spec *spec)
{
	*spec = (struct spec){
		.limits = SPEC_LIMITS,
		.rlimits = rlimit_defaults(),
		.uid = 1000,
		.gid = 1000,
	};
	rootfs_plan_init(&spec->files);
	netns_plan_init(&spec->network);
}

/* RFC 1123 names, as sethostname and /etc/hosts can hold them. */
static int check_hostname(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > HOSTNAME_LEN_MAX)
		return err_say(e, EINVAL,
			       "hostname \"%s\" is not 1 to %d characters long", name,
			       HOSTNAME_LEN_MAX);
	for (const char *p = name; *p; p++) {
		if (!isascii(*p) || (!isalnum(*p) && *p != '-' && *p != '.') ||
		    ((*p == '-' || *p == '.') && (p == name || !p[1])))
			return err_say(
				e, EINVAL,
				"hostname \"%s\" is not letters, digits, \"-\" and "
				"\".\"",
				name);
	}
	return 0;
}

/* Adds up strings as execve counts them: bytes, a NUL and a pointer each. */
static int count_strings(char *const *strings, const char *what, size_t *total,
			 struct err *e)
{
	for (; *strings; strings++) {
		size_t len = strlen(*strings);

		if (len > ARG_MAX_ONE)
			return err_say(e, E2BIG, "%s of %zu bytes: the kernel takes %d",
				       what, len, ARG_MAX_ONE);
		*total += len + 1 + sizeof(char *);
	}
	return 0;
}

static int check_strings(const struct spec *spec, struct err *e)
{
	size_t total = 0;
	int r = count_strings(spec->argv, "an argument", &total, e);

	if (r == 0)
		r = count_strings(spec->envp, "an environment variable", &total, e);
	if (r < 0)
		return r;
	if (total > ARG_MAX_ALL)
		return err_say(
			e, E2BIG,
			"arguments and environment of %zu bytes: the kernel takes %d",
			total, ARG_MAX_ALL);
	return 0;
}

int spec_check(struct spec *spec, struct err *e)
{
	int r;

	if (!spec->argv || !spec->argv[0])
		return err_say(e, EINVAL, "no command given");
	if (!*spec->argv[0])
		return err_say(e, ENOENT, "the command is an empty string");
	if (spec->uid < 1 || spec->uid > SPEC_ID_MAX || spec->gid < 1 ||
	    spec->gid > SPEC_ID_MAX)
		return err_say(e, EINVAL, "user %u:%u is not within 1 to %d",
			       (unsigned)spec->uid, (unsigned)spec->gid, SPEC_ID_MAX);
	if (spec->limits.memory && spec->limits.memory < SPEC_MEMORY_MIN)
		return err_say(e, EINVAL, "a memory limit of %llu bytes is below 6m",
			       (unsigned long long)spec->limits.memory);
	r = check_hostname(spec->files.hostname, e);
	if (r == 0)
		r = check_strings(spec, e);
	if (r == 0)
		r = rootfs_plan_finish(&spec->files, e);
	return r;
}
