/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "rootfs/entry.h"

#define PREFIX ".wh."
#define META   ".wh..wh."
#define OPAQUE ".wh..wh..opq"

/* What a message quotes of it: it may be long. */
#define SHOWN "\"%.80s\""

/* Does it begin with that part? */
static bool is_part(const char *part, size_t len, const char *what)
{
	return len == strlen(what) && !strncmp(part, what, len);
}

/* Appends what was the last part to the parent, and makes `part` the last one. */
static int push(struct entry_path *path, struct str *parent, const char *part, size_t len)
{
	if (*path->name)
		str_add(parent, "%s%s", parent->len ? "/" : "", path->name);
	return parent->cut ? -ENAMETOOLONG
			   : str_format(path->name, sizeof(path->name), "%.*s", (int)len,
					part);
}

int entry_path_parse(const char *text, struct entry_path *ret, struct err *e)
{
	struct str parent = str_over(ret->parent, sizeof(ret->parent));
	unsigned depth = 0;

	*ret->name = '\0';
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, "/");
		const char *part = p;

		p += len;
		p += strspn(p, "/");
		if (len == 0 || is_part(part, len, "."))
			continue;
		if (is_part(part, len, ".."))
			return err_say(e, EINVAL, SHOWN " has \"..\" in it", text);
		if (++depth > ENTRY_DEPTH_MAX)
			return err_say(e, E2BIG, SHOWN " has more than %d parts", text,
				       ENTRY_DEPTH_MAX);
		if (len > ENTRY_NAME_MAX || push(ret, &parent, part, len) < 0)
			return err_say(e, ENAMETOOLONG, SHOWN " is too long", text);
	}
	/* Both of them, and a slash between, have to fit into a path again. */
	if (parent.len + 1 + strlen(ret->name) >= ENTRY_PATH_MAX)
		return err_say(e, ENAMETOOLONG, SHOWN " is too long", text);
	if (!parent.len)
		str_add(&parent, ".");
	return 0;
}

int entry_whiteout(struct entry_path *path, enum entry_whiteout *ret, struct err *e)
{
	const char *target = path->name + strlen(PREFIX);

	*ret = ENTRY_PLAIN;
	if (strncmp(path->name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	if (!strcmp(path->name, OPAQUE)) {
		*ret = ENTRY_OPAQUE;
		return 0;
	}
	if (!strncmp(path->name, META, strlen(META))) {
		*ret = ENTRY_IGNORED;
		return 0;
	}
	if (!*target || !strcmp(target, ".") || !strcmp(target, ".."))
		return err_say(e, EINVAL, "\"%s\" in a layer removes nothing",
			       path->name);
	memmove(path->name, target, strlen(target) + 1);
	*ret = ENTRY_WHITEOUT;
	return 0;
}
