/* SPDX-License-Identifier: Apache-2.0 */
/* Command line options as tables: parsed, and printed as help, from the same rows. */
#pragma once

#include "base/err.h"

/* One option. The table ends with a row whose name is NULL. */
struct option_row {
	const char *name; /* without the dashes */
	char letter; /* short form; 0: none */
	const char *value; /* what its argument is called in the help; NULL: a switch */
	const char *help; /* one line */
	/* Takes the value (NULL for a switch; may be cut in place, lives as long as
	 * argv). A failure is prefixed with the option as it was written. */
	int (*apply)(void *context, char *value, struct err *e);
};

/* Applies the options at the front of argv, up to the first word that is none or behind
 * "--". *ret_rest is what follows. */
must_check int options_parse(const struct option_row *table, void *context, char **argv,
			     char ***ret_rest, struct err *e);

/* Prints one line an option. */
void options_print(const struct option_row *table);
