/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "tools/exceptions.h"

void list_next(const char **list, char *buf, size_t size)
{
	const char *begin = *list + strspn(*list, " \t");
	size_t len = strcspn(begin, ","), used = len;

	*list = begin[len] ? begin + len + 1 : NULL;
	while (used && (begin[used - 1] == ' ' || begin[used - 1] == '\t'))
		used--;
	err_ignore(str_format(buf, size, "%.*s", (int)used, begin) < 0);
}

int exceptions_parse(const char *text, struct exceptions *ret, struct err *e)
{
	struct exceptions found = { .any = !strcmp(text, "any") };

	if (!strcmp(text, "any") || !strcmp(text, "none"))
		text = NULL;
	while (text) {
		char item[CIDR_TEXT_MAX + 16];
		int r;

		list_next(&text, item, sizeof(item));
		if (found.count == NETNS_ALLOW_MAX)
			return err_say(e, E2BIG, "more than %d exceptions",
				       NETNS_ALLOW_MAX);
		r = cidr_port_parse(item, &found.list[found.count], e);
		if (r < 0)
			return r;
		found.count++;
	}
	*ret = found;
	return 0;
}

static bool permits(const struct cidr_port *permitted, const struct cidr_port *asked)
{
	return permitted->cidr.prefix <= asked->cidr.prefix &&
	       cidr_contains(&permitted->cidr, &asked->cidr.ip) &&
	       (!permitted->port || permitted->port == asked->port);
}

static bool is_permitted(const struct exceptions *permitted,
			 const struct cidr_port *asked)
{
	for (unsigned i = 0; i < permitted->count; i++) {
		if (permits(&permitted->list[i], asked))
			return true;
	}
	return permitted->any;
}

int exceptions_check(const struct exceptions *permitted, const struct netns_plan *plan,
		     const char *who, struct err *e)
{
	char text[CIDR_TEXT_MAX];

	for (unsigned i = 0; i < plan->allow_count; i++) {
		if (!is_permitted(permitted, &plan->allow[i]))
			return err_say(e, EPERM,
				       "--allow: %s does not permit an exception for %s",
				       who, cidr_format(text, &plan->allow[i].cidr));
	}
	return 0;
}
