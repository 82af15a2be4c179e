/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments and the environment of commands. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/broker_state.h"
#include "runtime/environment.h"

enum {
	ARGV_SHOWN = 64, /* arguments in lists */
	ARGV_TEXT_MAX = 4096, /* bytes of them */
};

/* The environment of the profile, the sandbox and the command, the latter taking
 * precedence. */
static int merge_environment(const struct box *box, char *const *own, size_t count,
			     struct environment *ret, struct err *e)
{
	const struct definition *d = &box->definition;
	const struct profile *p =
		access_find_profile(box->broker->access, d->completed.profile);
	int r = environment_init(ret, e);

	for (char *const *env = p ? p->env : NULL; r == 0 && env && *env; env++)
		r = environment_set(ret, *env, e);
	for (uint32_t i = 0; r == 0 && i < d->completed.env_count; i++)
		r = environment_set(ret, d->strings[i], e);
	for (size_t i = 0; r == 0 && i < count; i++) {
		/* A name alone would stand for a variable of the daemon's (E-47). */
		r = strchr(own[i], '=')
			    ? environment_set(ret, own[i], e)
			    : err_say(e, EPROTO, "a variable without a value");
	}
	return r;
}

/* As much of it as there is room for; what is not UTF-8 cannot be shown. */
static json_t *show_argument(const char *text, size_t room)
{
	size_t len = strnlen(text, room);
	json_t *shown;

	/* Not half a character. */
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	shown = json_stringn(text, len);
	return shown ? shown : json_string("?");
}

static char *show_argv(char *const *argv, size_t argc)
{
	json_t *list = json_array();
	size_t room = ARGV_TEXT_MAX;
	char *text;

	for (size_t i = 0; i < argc && i < ARGV_SHOWN && room; i++) {
		json_array_append_new(list, show_argument(argv[i], room));
		room -= strnlen(argv[i], room);
	}
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

int exec_complete_strings(struct exec *x, struct err *e)
{
	size_t argc = x->asked.argc, own = x->asked.env_count;
	auto_free char **strings = NULL;
	auto_free const char **all = NULL;
	struct environment env;
	int r = wire_strings_read(x->strings, argc + own, &strings, e);

	if (r < 0)
		return r;
	x->argv_text = show_argv(strings, argc);
	r = merge_environment(x->box, strings + argc, own, &env, e);
	if (r == 0)
		all = calloc(argc + env.count + 1, sizeof(char *));
	if (r == 0 && !all)
		r = err_set(e, ENOMEM, "hold the environment");
	if (r == 0) {
		memcpy(all, strings, argc * sizeof(char *));
		memcpy(all + argc, env.list, env.count * sizeof(char *));
		fd_close(&x->strings);
		r = wire_strings_make(all, argc + env.count, &x->strings, e);
		x->asked.env_count = (uint32_t)env.count;
	}
	environment_free(&env);
	return r;
}
