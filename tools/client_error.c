/* SPDX-License-Identifier: Apache-2.0 */
/* What the errors of carreld mean, as sentences. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "tools/client.h"

/* What the sentence of an error takes its words from: %s each, in this order. */
struct meaning {
	const char *name;
	int code;
	const char *before, *first, *between, *second, *behind;
};

static const struct meaning meanings[] = {
	{ CLIENT_INTERFACE "NoSuchSandbox", ENOENT, "no sandbox is called \"", "name",
	  "\"", NULL, "" },
	{ CLIENT_INTERFACE "NoSuchExec", ENOENT, "\"", "name", "\" has no exec \"",
	  "exec", "\"" },
	{ CLIENT_INTERFACE "Conflict", EEXIST, "\"", "name",
	  "\" exists with other settings: ", "field", "" },
	{ CLIENT_INTERFACE "Refused", EPERM, "", "what", ": ", "why", "" },
	{ CLIENT_INTERFACE "Busy", EBUSY, "the limit of ", "what", " is reached, ",
	  "limit", "" },
	{ CLIENT_INTERFACE "WrongState", EINVAL, "\"", "name", "\" is ", "state", "" },
	{ CLIENT_INTERFACE "StartFailed", EIO, "cannot be started: ", "step", ": ", "why",
	  "" },
	{ CLIENT_INTERFACE "Failed", EIO, "carreld: ", "why", "", NULL, "" },
	{ "org.varlink.service.MethodNotFound", ENOSYS, "carreld has no ", "method",
	  "; is it older than this carrel?", NULL, "" },
	{ "org.varlink.service.InterfaceNotFound", ENOSYS, "who listens there has no ",
	  "interface", "; is it carreld?", NULL, "" },
	{ "org.varlink.service.MethodNotImplemented", ENOSYS, "carreld has no ", "method",
	  "", NULL, "" },
	{ "org.varlink.service.InvalidParameter", EINVAL, "carreld does not take \"",
	  "parameter", "\"", NULL, "" },
	{ "org.varlink.service.PermissionDenied", EPERM, "carreld does not serve you",
	  NULL, "", NULL, "" },
};

/* A member as text: strings as they are, numbers in digits. */
static void add_member(struct str *s, const json_t *parameters, const char *key)
{
	const json_t *value = key ? json_object_get(parameters, key) : NULL;

	if (json_is_string(value))
		str_add(s, "%s", json_string_value(value));
	else if (json_is_integer(value))
		str_add(s, "%lld", (long long)json_integer_value(value));
}

int client_error(const char *name, const json_t *parameters, struct err *e)
{
	char text[512];
	struct str s = str_over(text, sizeof(text));

	for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++) {
		const struct meaning *m = &meanings[i];

		if (strcmp(m->name, name))
			continue;
		str_add(&s, "%s", m->before);
		add_member(&s, parameters, m->first);
		str_add(&s, "%s", m->between);
		add_member(&s, parameters, m->second);
		str_add(&s, "%s", m->behind);
		return err_say(e, m->code, "%s", text);
	}
	return err_say(e, EPROTO, "carreld answers %s, which this carrel does not know",
		       name);
}
