/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/environment.h"
#include "runtime/runtime.h"

int environment_init(struct environment *env, struct err *e)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static const char home[] = "HOME=" ROOTFS_HOME;
	static const char *const defaults[] = { path, home, "LANG=C.UTF-8" };
	int r = 0;

	*env = (struct environment){ .list = calloc(1, sizeof(char *)) };
	if (!env->list)
		return err_set(e, ENOMEM, "build the environment");
	for (size_t i = 0; r == 0 && i < sizeof(defaults) / sizeof(*defaults); i++)
		r = environment_set(env, defaults[i], e);
	return r;
}

void environment_free(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->list[i]);
	free(env->list);
	*env = (struct environment){ 0 };
}

/* The place of the variable whose NAME= is the first len bytes of text, or count. */
static size_t find(const struct environment *env, const char *text, size_t len)
{
	size_t i = 0;

	while (i < env->count && strncmp(env->list[i], text, len))
		i++;
	return i;
}

/* Takes `variable` (NAME=VALUE), also on failure. */
static int put(struct environment *env, char *variable, struct err *e)
{
	size_t len = strcspn(variable, "=") + 1;
	size_t i = find(env, variable, len);

	if (i < env->count) {
		free(env->list[i]);
	} else {
		char **grown = realloc(env->list, (env->count + 2) * sizeof(char *));

		if (!grown) {
			free(variable);
			return err_set(e, ENOMEM, "build the environment");
		}
		env->list = grown;
		env->list[++env->count] = NULL;
	}
	env->list[i] = variable;
	return 0;
}

int environment_set(struct environment *env, const char *text, struct err *e)
{
	char *variable = NULL;

	if (!*text || *text == '=')
		return err_say(e, EINVAL, "an environment variable without a name");
	if (strchr(text, '=')) {
		variable = strdup(text);
	} else {
		const char *value = getenv(text);

		if (!value)
			return 0;
		if (asprintf(&variable, "%s=%s", text, value) < 0)
			variable = NULL;
	}
	if (!variable)
		return err_set(e, ENOMEM, "build the environment");
	return put(env, variable, e);
}

bool environment_has(const struct environment *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->count; i++) {
		if (!strncmp(env->list[i], name, len) && env->list[i][len] == '=')
			return true;
	}
	return false;
}
