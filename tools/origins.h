/* SPDX-License-Identifier: Apache-2.0 */
/* Where each value of a configuration was set, as a watch of ini_file.h hears it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "tools/ini_file.h"

struct origin {
	char *text; /* owned: "SECTION\nKEY\nFILE:LINE" */
};

/* All of them in their order. All zero is empty. */
struct origins {
	struct origin *list; /* owned */
	size_t count;
	bool failed; /* there was no memory for one */
};

/* A watch that fills *o. */
struct ini_watch origins_watch(struct origins *o);
void origins_free(struct origins *o);

/* Appends "FILE:LINE" of the last time that the key was set in the section, or of every
 * time with commas in between. Returns false, and appends nothing, if it never was. */
bool origins_add_to(const struct origins *o, const char *section, const char *key,
		    bool every, struct str *s);
