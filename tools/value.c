/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "runtime/runtime.h"
#include "tools/value.h"

int value_limit(const char *value, int (*parse)(const char *, uint64_t *),
		const char *example, uint64_t *ret, struct err *e)
{
	uint64_t limit;

	if (!strcmp(value, "unlimited")) {
		*ret = 0;
		return 0;
	}
	if (parse(value, &limit) < 0 || limit == 0)
		return err_say(e, EINVAL,
			       "\"%s\" is neither a limit such as %s nor \"unlimited\"",
			       value, example);
	*ret = limit;
	return 0;
}

int value_count(const char *value, uint64_t *ret)
{
	return num_parse(value, 1, 4194304, ret); /* PID_MAX_LIMIT */
}

int value_time(const char *value, uint64_t *ret_ms, struct err *e)
{
	uint64_t ms;

	if (num_parse_duration(value, &ms) < 0 || ms == 0)
		return err_say(e, EINVAL,
			       "\"%s\" is not a duration such as 30s, 5m or 1h", value);
	*ret_ms = ms;
	return 0;
}

int value_user(char *value, uid_t *ret_uid, gid_t *ret_gid, struct err *e)
{
	char *group = strchr(value, ':');
	uint64_t uid, gid;

	if (group)
		*group++ = '\0';
	if (num_parse(value, 1, SPEC_ID_MAX, &uid) < 0)
		return err_say(e, EINVAL, "\"%s\" is not a user id of 1 to %d", value,
			       SPEC_ID_MAX);
	gid = uid;
	if (group && num_parse(group, 1, SPEC_ID_MAX, &gid) < 0)
		return err_say(e, EINVAL, "\"%s\" is not a group id of 1 to %d", group,
			       SPEC_ID_MAX);
	*ret_uid = (uid_t)uid;
	*ret_gid = (gid_t)gid;
	return 0;
}

int value_network(const char *value, bool *ret_egress, struct err *e)
{
	bool egress = !strcmp(value, "egress");

	if (!egress && strcmp(value, "none"))
		return err_say(e, EINVAL, "\"%s\" is neither \"none\" nor \"egress\"",
			       value);
	*ret_egress = egress;
	return 0;
}

int value_directory(const char *value, struct err *e)
{
	if (*value != '/')
		return err_say(e, EINVAL, "\"%s\" is not an absolute path", value);
	return 0;
}

int value_descriptor(const char *value, int *ret, struct err *e)
{
	uint64_t fd;

	if (num_parse(value, 3, 1048576, &fd) < 0 || fcntl((int)fd, F_GETFD) < 0)
		return err_say(e, EBADF, "\"%s\" is not an open descriptor above 2",
			       value);
	*ret = (int)fd;
	return 0;
}

int value_signal(const char *value, int *ret, struct err *e)
{
	const char *name = strncasecmp(value, "SIG", 3) ? value : value + 3;
	uint64_t number;

	if (num_parse(value, 1, NSIG - 1, &number) == 0) {
		*ret = (int)number;
		return 0;
	}
	for (int sig = 1; sig < NSIG; sig++) {
		const char *known = sigabbrev_np(sig);

		if (known && !strcasecmp(known, name)) {
			*ret = sig;
			return 0;
		}
	}
	return err_say(e, EINVAL, "\"%s\" is not a signal such as TERM or 15", value);
}
