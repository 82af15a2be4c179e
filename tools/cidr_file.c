/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/cidr_file.h"
#include "tools/user_file.h"

enum {
	FILE_SIZE_MAX = 64 << 20,
	LINE_SIZE = 1024, /* of a file, with its end; most of it may be a comment */
	ITEM_SIZE = 128, /* more than any network: enough of it for the error to show */
};

#define SPACE " \t\r"

/* Adds the network in the first len bytes of text; spaces alone are none. */
static int add(const char *text, size_t len, struct ip_ranges *v4, struct ip_ranges *v6,
	       struct err *e)
{
	size_t before = strspn(text, SPACE);
	char item[ITEM_SIZE];
	struct cidr c;
	int r;

	if (before >= len)
		return 0;
	text += before;
	len -= before;
	while (strchr(SPACE, text[len - 1]))
		len--;
	if (len >= sizeof(item))
		len = sizeof(item) - 1;
	memcpy(item, text, len);
	item[len] = '\0';
	r = cidr_parse(item, &c, e);
	if (r < 0)
		return r;
	return ip_ranges_add(c.ip.family == AF_INET ? v4 : v6, &c, e);
}

int cidr_list_parse(const char *text, struct ip_ranges *v4, struct ip_ranges *v6,
		    struct err *e)
{
	size_t len;
	int r;

	for (;; text += len + 1) {
		len = strcspn(text, ",");
		r = add(text, len, v4, v6, e);
		if (r < 0 || !text[len])
			return r;
	}
}

/* The sets that a file's networks go into. */
struct sets {
	struct ip_ranges *v4, *v6;
};

static int add_line(void *context, char *line, size_t len, struct err *e)
{
	const struct sets *sets = context;

	if (strlen(line) != len)
		return err_say(e, EINVAL, "a NUL byte");
	if (len >= LINE_SIZE)
		return err_say(e, EINVAL, "the line has more than %d bytes",
			       LINE_SIZE - 1);
	return add(line, strcspn(line, "#\n"), sets->v4, sets->v6, e);
}

int cidr_file_read(const char *path, struct ip_ranges *v4, struct ip_ranges *v6,
		   struct err *e)
{
	struct sets sets = { v4, v6 };

	return user_file_lines(path, FILE_SIZE_MAX, add_line, &sets, e);
}
