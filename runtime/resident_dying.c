/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/resident_private.h"

/* Of field 9 of /proc/PID/stat; include/linux/sched.h of the kernel. */
#define PF_EXITING 0x4u

bool resident_is_dying(const struct resident *r)
{
	auto_fd proc = -1;
	const char *rest;
	char text[1024], state = '?';
	unsigned flags = 0;
	struct err e;
	int code = resident_open_proc(r, &proc, &e);

	if (code < 0)
		return code == -ESRCH;
	if (fd_read_at(proc, "stat", text, sizeof(text)) < 0)
		return true;
	/* The name in parentheses can have anything in it. */
	rest = strrchr(text, ')');
	return rest && sscanf(rest, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 &&
	       (state == 'Z' || state == 'X' || (flags & PF_EXITING));
}
