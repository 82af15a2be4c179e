/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a command: an explicit list, nothing inherited. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* NAME=VALUE strings with a NULL behind them; owned. */
struct environment {
	char **list;
	size_t count;
};

/* Starts with PATH, HOME and LANG; an environment that is all zero is an empty one. */
must_check int environment_init(struct environment *env, struct err *e);
void environment_free(struct environment *env);

/* Adds NAME=VALUE, or NAME with the value that carrel itself has (nothing when it has
 * none), replacing one of the same name. */
must_check int environment_set(struct environment *env, const char *text, struct err *e);

/* Is there a variable of that name? */
bool environment_has(const struct environment *env, const char *name);
