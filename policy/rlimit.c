/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/num.h"
#include "base/str.h"
#include "policy/rlimit.h"

struct name {
	const char *name;
	int resource;
};

static const struct name names[] = {
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "msgqueue", RLIMIT_MSGQUEUE },
	{ "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },
	{ "rttime", RLIMIT_RTTIME },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

enum { NAME_COUNT = sizeof(names) / sizeof(*names) };

static_assert((int)NAME_COUNT <= (int)RLIMIT_LIST_MAX, "a list holds every resource");

const char *rlimit_name(int resource)
{
	for (int i = 0; i < NAME_COUNT; i++) {
		if (names[i].resource == resource)
			return names[i].name;
	}
	return "unknown";
}

struct rlimit_list rlimit_defaults(void)
{
	return (struct rlimit_list){
		.items = { { RLIMIT_NOFILE, 4096, 4096 }, { RLIMIT_CORE, 1, 1 } },
		.count = 2,
	};
}

static void put(struct rlimit_list *list, struct rlimit_item item)
{
	unsigned i = 0;

	while (i < list->count && list->items[i].resource != item.resource)
		i++;
	bug_on(i == RLIMIT_LIST_MAX);
	list->items[i] = item;
	if (i == list->count)
		list->count++;
}

static int parse_value(const char *text, uint64_t *ret)
{
	if (!strcmp(text, "unlimited") || !strcmp(text, "-1")) {
		*ret = UINT64_MAX;
		return 0;
	}
	return num_parse(text, 0, UINT64_MAX - 1, ret);
}

/* Cuts text at the first sep and returns what follows it, or NULL. */
static char *cut(char *text, char sep)
{
	char *at = strchr(text, sep);

	if (!at)
		return NULL;
	*at = '\0';
	return at + 1;
}

int rlimit_list_set(struct rlimit_list *list, const char *text, struct err *e)
{
	struct rlimit_item item = { .resource = -1 };
	char copy[128];
	char *soft, *hard;

	if (str_format(copy, sizeof(copy), "%s", text) < 0 || !(soft = cut(copy, '=')))
		return err_say(e, EINVAL, "expected NAME=SOFT[:HARD]");
	for (int i = 0; i < NAME_COUNT; i++) {
		if (!strcmp(copy, names[i].name))
			item.resource = names[i].resource;
	}
	if (item.resource < 0)
		return err_say(e, EINVAL, "no limit is called \"%s\"", copy);
	hard = cut(soft, ':');
	if (parse_value(soft, &item.soft) < 0 ||
	    parse_value(hard ? hard : soft, &item.hard) < 0)
		return err_say(e, EINVAL, "expected a number or \"unlimited\"");
	if (item.soft > item.hard)
		return err_say(e, EINVAL, "the soft limit is above the hard one");
	/* "No core dumps" is one byte and not none: see rlimit_defaults(). */
	if (item.resource == RLIMIT_CORE && item.soft == 0)
		item.soft = 1;
	if (item.hard < item.soft)
		item.hard = item.soft;
	put(list, item);
	return 0;
}

int rlimit_apply(const struct rlimit_list *list, struct err *e)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct rlimit_item *item = &list->items[i];
		struct rlimit rl = { .rlim_cur = item->soft, .rlim_max = item->hard };

		if (setrlimit((__rlimit_resource_t)item->resource, &rl) < 0)
			return err_set(e, errno, "set ulimit %s",
				       rlimit_name(item->resource));
	}
	return 0;
}
