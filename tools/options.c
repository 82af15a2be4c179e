/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tools/options.h"

static const struct option_row *find_long(const struct option_row *table,
					  const char *name, size_t len)
{
	for (; table->name; table++) {
		if (!strncmp(table->name, name, len) && table->name[len] == '\0')
			return table;
	}
	return NULL;
}

static const struct option_row *find_short(const struct option_row *table, char letter)
{
	for (; table->name; table++) {
		if (table->letter && table->letter == letter)
			return table;
	}
	return NULL;
}

static int unknown(const char *word, struct err *e)
{
	char shown[128];

	return err_say(e, EINVAL, "unknown option %s",
		       str_escape(shown, sizeof(shown), word));
}

static int apply(const struct option_row *row, void *context, const char *written,
		 char *value, struct err *e)
{
	char shown[128];
	int r = row->apply(context, value, e);

	if (r < 0)
		return err_wrap(e, "%s", str_escape(shown, sizeof(shown), written));
	return 0;
}

/* "--name", "--name=value" or "--name" "value". *argv moves to the last word used. */
static int parse_long(const struct option_row *table, void *context, char ***argv,
		      struct err *e)
{
	char *word = **argv, *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct option_row *row = find_long(table, word + 2, len - 2);
	char *value = equals ? equals + 1 : NULL;

	if (!row)
		return unknown(word, e);
	if (!row->value && equals)
		return err_say(e, EINVAL, "--%s takes no value", row->name);
	if (row->value && !equals) {
		if (!(*argv)[1])
			return err_say(e, EINVAL, "--%s needs a value: %s", row->name,
				       row->value);
		value = *++*argv;
	}
	if (equals)
		*equals = '\0';
	return apply(row, context, word, value, e);
}

/* "-x", "-xy" of switches, "-xvalue" or "-x" "value". */
static int parse_short(const struct option_row *table, void *context, char ***argv,
		       struct err *e)
{
	for (char *p = **argv + 1; *p; p++) {
		const struct option_row *row = find_short(table, *p);
		char written[3] = { '-', *p, '\0' };
		char *value = p + 1;
		int r;

		if (!row)
			return unknown(**argv, e);
		if (!row->value) {
			r = apply(row, context, written, NULL, e);
			if (r < 0)
				return r;
			continue;
		}
		if (!*value) {
			if (!(*argv)[1])
				return err_say(e, EINVAL, "%s needs a value: %s", written,
					       row->value);
			value = *++*argv;
		}
		return apply(row, context, written, value, e);
	}
	return 0;
}

int options_parse(const struct option_row *table, void *context, char **argv,
		  char ***ret_rest, struct err *e)
{
	for (; *argv; argv++) {
		int r;

		if (!strcmp(*argv, "--")) {
			argv++;
			break;
		}
		if (**argv != '-' || !(*argv)[1])
			break;
		r = (*argv)[1] == '-' ? parse_long(table, context, &argv, e)
				      : parse_short(table, context, &argv, e);
		if (r < 0)
			return r;
	}
	*ret_rest = argv;
	return 0;
}

void options_print(const struct option_row *table)
{
	for (; table->name; table++) {
		char left[64], letter[5] = "    ";
		struct str s = str_over(left, sizeof(left));

		if (table->letter) {
			struct str l = str_over(letter, sizeof(letter));

			str_add(&l, "-%c, ", table->letter);
		}
		str_add(&s, "%s--%s", letter, table->name);
		if (table->value)
			str_add(&s, " %s", table->value);
		printf("  %-30s %s\n", left, table->help);
	}
}
