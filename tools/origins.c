/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/origins.h"

static void taken(void *context, const char *section, const char *key, const char *path,
		  unsigned line)
{
	struct origins *o = context;
	struct origin *list = reallocarray(o->list, o->count + 1, sizeof(*list));

	if (!list) {
		o->failed = true;
		return;
	}
	o->list = list;
	if (asprintf(&list[o->count].text, "%s\n%s\n%s:%u", section, key, path, line) < 0)
		o->failed = true;
	else
		o->count++;
}

struct ini_watch origins_watch(struct origins *o)
{
	return (struct ini_watch){ .taken = taken, .context = o };
}

void origins_free(struct origins *o)
{
	for (size_t i = 0; i < o->count; i++)
		free(o->list[i].text);
	free(o->list);
	*o = (struct origins){ 0 };
}

/* What follows "SECTION\nKEY\n", if the text begins so. */
static const char *place_of(const char *text, const char *section, const char *key)
{
	size_t section_len = strlen(section), key_len = strlen(key);

	if (strncmp(text, section, section_len) != 0 || text[section_len] != '\n')
		return NULL;
	text += section_len + 1;
	if (strncmp(text, key, key_len) != 0 || text[key_len] != '\n')
		return NULL;
	return text + key_len + 1;
}

bool origins_add_to(const struct origins *o, const char *section, const char *key,
		    bool every, struct str *s)
{
	const char *last = NULL;

	for (size_t i = 0; i < o->count; i++) {
		const char *place = place_of(o->list[i].text, section, key);

		if (!place)
			continue;
		if (every)
			str_add(s, "%s%s", last ? ", " : "", place);
		last = place;
	}
	if (last && !every)
		str_add(s, "%s", last);
	return last;
}
