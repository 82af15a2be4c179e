/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "tools/environment.h"
#include "tools/user_file.h"

enum { FILE_SIZE_MAX = 4 << 20 }; /* twice what execve(2) takes */

static int take_line(void *context, char *line, size_t len, struct err *e)
{
	if (strlen(line) != len)
		return err_say(e, EINVAL, "a NUL byte");
	line[strcspn(line, "\n")] = '\0';
	return *line && *line != '#' ? environment_set(context, line, e) : 0;
}

int environment_read(struct environment *env, const char *path, struct err *e)
{
	return user_file_lines(path, FILE_SIZE_MAX, take_line, env, e);
}
