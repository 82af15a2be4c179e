/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/value.h"
#include "tools/verb.h"

void verb_complain(const char *verb, const struct err *e)
{
	char shown[4 * sizeof(e->msg)];

	fprintf(stderr, "carrel: %s: %s\n", verb,
		str_escape(shown, sizeof(shown), e->msg));
}

static void print_help(const struct verb *verb)
{
	printf("Usage: carrel %s [OPTIONS]%s%s\n\n%s\n", verb->name,
	       *verb->words ? " " : "", verb->words, verb->text);
	options_print(verb->options);
}

static int check_words(const struct verb *verb, char **words, struct err *e)
{
	unsigned count = 0;

	while (words[count])
		count++;
	if (count < verb->least)
		return err_say(e, EINVAL, "expected %s; see carrel %s --help",
			       verb->words, verb->name);
	if (count > verb->most)
		return err_say(e, EINVAL, "one word too many: \"%.100s\"",
			       words[verb->most]);
	for (unsigned i = 0; i < count; i++) {
		int r = verb_check_utf8("an argument", words[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* One after the other; a connection that has ended ends it. */
static int do_each(const struct verb *verb, struct verb_args *a, struct client_link *c,
		   char **words, struct err *e)
{
	for (; *words; words++) {
		int r = verb->each(a, c, *words, e);

		if (r == 0) {
			printf("%s\n", *words);
			continue;
		}
		if (r == -EPIPE)
			return r;
		verb_complain(verb->name, e);
		a->status = RUN_STATUS_FAILED;
	}
	return 0;
}

static int do_verb(const struct verb *verb, struct verb_args *a, char **words,
		   struct err *e)
{
	struct client_link c = CLIENT_NONE;
	int r = check_words(verb, words, e);

	if (r == 0)
		r = client_open(a->host, &c, e);
	if (r == 0 && verb->act)
		r = verb->act(a, &c, words, e);
	else if (r == 0)
		r = do_each(verb, a, &c, words, e);
	client_close(&c);
	return r;
}

int verb_main(const struct verb *verb, struct verb_args *a, char **argv)
{
	struct err e = { 0 };
	char **words;
	int r = options_parse(verb->options, a, argv, &words, &e);

	if (r == 0 && a->help)
		print_help(verb);
	else if (r == 0)
		r = do_verb(verb, a, words, &e);
	if (fflush(stdout) != 0 && r == 0)
		r = err_set(&e, errno, "write to standard output");
	if (r == 0)
		return a->status;
	verb_complain(verb->name, &e);
	return RUN_STATUS_FAILED;
}

json_t *verb_named(const char *name)
{
	return json_pack("{s:s}", "name", name);
}

json_t *verb_exec_named(const char *name, const char *exec)
{
	return json_pack("{s:s, s:s}", "name", name, "exec", exec);
}

/* ASCII only: what came from inside cannot hold control characters of Unicode either. */
int verb_print_json(json_t *value, bool pretty, struct err *e)
{
	size_t layout = pretty ? JSON_INDENT(2) : JSON_COMPACT;
	auto_free char *text =
		value ? json_dumps(value, layout | JSON_ENSURE_ASCII) : NULL;

	json_decref(value);
	if (!text)
		return err_set(e, ENOMEM, "encode what carreld says");
	printf("%s\n", text);
	return 0;
}

int verb_check_utf8(const char *what, const char *text, struct err *e)
{
	json_t *string = json_string(text);

	if (!string)
		return err_say(
			e, EILSEQ,
			"%s is not UTF-8, in which carreld is spoken to: \"%.100s\"",
			what, text);
	json_decref(string);
	return 0;
}

int verb_add_int(json_t *object, const char *key, uint64_t value)
{
	return value ? json_object_set_new(object, key, json_integer((json_int_t)value))
		     : 0;
}

int verb_add_text(json_t *object, const char *key, const char *text)
{
	return text ? json_object_set_new(object, key, json_string(text)) : 0;
}

int verb_add_limits(json_t *object, const struct verb_limits *limits)
{
	json_t *member;

	if (!limits->memory && !limits->cpu_milli && !limits->pids)
		return 0;
	member = json_object();
	if (verb_add_int(member, "memory", limits->memory) < 0 ||
	    verb_add_int(member, "cpu_milli", limits->cpu_milli) < 0 ||
	    verb_add_int(member, "pids", limits->pids) < 0) {
		json_decref(member);
		return -1;
	}
	return json_object_set_new(object, "limits", member);
}

static int add_pair(json_t *member, const char *what, const char *pair, struct err *e)
{
	size_t len = strcspn(pair, "=");
	auto_free char *name = strndup(pair, len);
	int r = verb_check_utf8(what, pair, e);

	if (r < 0)
		return r;
	if (!name || json_object_set_new(member, name,
					 json_string(pair + len + (pair[len] == '='))))
		return err_set(e, ENOMEM, "encode %ss", what);
	return 0;
}

int verb_add_pairs(json_t *object, const char *key, const char *what, char *const *pairs,
		   struct err *e)
{
	json_t *member;
	int r = 0;

	if (!pairs || !*pairs)
		return 0;
	member = json_object();
	for (; r == 0 && *pairs; pairs++)
		r = add_pair(member, what, *pairs, e);
	if (r < 0) {
		json_decref(member);
		return r;
	}
	if (json_object_set_new(object, key, member) < 0)
		return err_set(e, ENOMEM, "encode %ss", what);
	return 0;
}

int verb_add_words(json_t *object, const char *key, const char *what, char *const *words,
		   struct err *e)
{
	json_t *array = json_array();

	for (; *words; words++) {
		int r = verb_check_utf8(what, *words, e);

		if (r == 0 && json_array_append_new(array, json_string(*words)) < 0)
			r = err_set(e, ENOMEM, "encode %s", what);
		if (r < 0) {
			json_decref(array);
			return r;
		}
	}
	if (json_object_set_new(object, key, array) < 0)
		return err_set(e, ENOMEM, "encode %s", what);
	return 0;
}

int verb_limit(const char *value, int (*parse)(const char *, uint64_t *),
	       const char *example, uint64_t *ret, struct err *e)
{
	int r = value_limit(value, parse, example, ret, e);

	if (r == 0 && *ret == 0)
		return err_say(e, EINVAL, "carreld gives nothing without limit");
	return r;
}

int verb_set_host(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)e;
	a->host = value;
	return 0;
}

int verb_set_help(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->help = true;
	return 0;
}

int verb_set_format(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	if (strcmp(value, "table") != 0 && strcmp(value, "json") != 0)
		return err_say(e, EINVAL, "\"%s\" is neither table nor json", value);
	a->json = !strcmp(value, "json");
	return 0;
}

int verb_set_quiet(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->quiet = true;
	return 0;
}

int verb_set_once(void *context, char *value, struct err *e)
{
	struct verb_args *a = context;

	(void)value;
	(void)e;
	a->once = true;
	return 0;
}
