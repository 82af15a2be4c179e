/* SPDX-License-Identifier: Apache-2.0 */
/* carrel policy: checks policies before they are used, and shows what they come to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/carrel.h"
#include "tools/config.h"
#include "tools/policy_check.h"
#include "tools/policy_show.h"
#include "tools/verb.h"

struct policy_args {
	struct verb_args common; /* first: the context of verb.h's rows */
	const char *config_path;
};

static int set_config(void *context, char *value, struct err *e)
{
	struct policy_args *a = context;

	(void)e;
	a->config_path = value;
	return 0;
}

static const struct option_row options[] = {
	{ "config", 0, "FILE", "configuration (" CONFIG_PATH ")", set_config },
	VERB_FORMAT_ROW,
	VERB_HELP_ROW,
	VERB_LAST_ROW,
};

static void print_help(void)
{
	printf("Usage: carrel policy check [OPTIONS] [FILE...]\n"
	       "       carrel policy show [OPTIONS] [NAME|FILE]\n\n"
	       "check: reads policies as `carrel run --policy` and carreld would, and "
	       "says which\n"
	       "are right. Without FILE, the configuration with everything in "
	       "policy.d.\n"
	       "show: lists carreld's profiles, or prints every setting of a sandbox of "
	       "the\n"
	       "profile NAME, or under the policy FILE, which has a \"/\" in it; and "
	       "where each\n"
	       "comes from.\n\n");
	options_print(options);
	printf("\nExit status: 0, or 125 when a policy is wrong or cannot be read.\n");
}

static int print_ok(const struct policy_args *a, const char *file, const char *kind,
		    struct err *e)
{
	char shown[1024];

	str_escape(shown, sizeof(shown), file);
	if (a->common.json)
		return verb_print_json(json_pack("{s:s, s:s, s:b, s:n}", "file", shown,
						 "kind", kind, "ok", 1, "error"),
				       false, e);
	printf("%s: ok, %s\n", shown, kind);
	return 0;
}

static int print_wrong(const struct policy_args *a, const char *file, const char *kind,
		       const struct err *wrong, struct err *e)
{
	char name[1024], why[4 * sizeof(wrong->msg)];

	if (!a->common.json) {
		verb_complain("policy: check", wrong);
		return 0;
	}
	return verb_print_json(json_pack("{s:s, s:s, s:b, s:s}", "file",
					 str_escape(name, sizeof(name), file), "kind",
					 kind, "ok", 0, "error",
					 str_escape(why, sizeof(why), wrong->msg)),
			       false, e);
}

static int check_one(struct policy_args *a, const char *file, struct err *e)
{
	const char *kind = "unknown";
	struct err wrong = { 0 };

	if (policy_check(a->config_path, file, &kind, &wrong) == 0)
		return print_ok(a, file ? file : policy_check_config(a->config_path),
				kind, e);
	a->common.status = RUN_STATUS_FAILED;
	return print_wrong(a, file ? file : policy_check_config(a->config_path), kind,
			   &wrong, e);
}

static int check(struct policy_args *a, char **words, struct err *e)
{
	int r = 0;

	if (!*words)
		return check_one(a, NULL, e);
	for (; r == 0 && *words; words++)
		r = check_one(a, *words, e);
	return r;
}

static int show(struct policy_args *a, char **words, struct err *e)
{
	const struct policy_show how = { .config_path = a->config_path,
					 .json = a->common.json };

	if (!*words)
		return policy_show_list(&how, e);
	if (words[1])
		return err_say(e, EINVAL, "one word too many: \"%.100s\"", words[1]);
	return strchr(*words, '/') ? policy_show_file(&how, *words, e)
				   : policy_show_profile(&how, *words, e);
}

static int parse(struct policy_args *a, char **argv, char ***ret_words, struct err *e)
{
	const char *verb = *argv;
	int r;

	if (!verb)
		return err_say(e, EINVAL, "expected check or show");
	if (*verb != '-' && strcmp(verb, "check") != 0 && strcmp(verb, "show") != 0)
		return err_say(e, EINVAL, "\"%.100s\" is neither check nor show", verb);
	r = options_parse(options, a, *verb == '-' ? argv : argv + 1, ret_words, e);
	if (r == 0 && *verb == '-' && !a->common.help)
		return err_say(e, EINVAL, "expected check or show");
	return r;
}

int cmd_policy(char **argv)
{
	struct policy_args a = { 0 };
	struct err e = { 0 };
	char **words = argv;
	int r = parse(&a, argv, &words, &e);

	if (r == 0 && a.common.help)
		print_help();
	else if (r == 0 && !strcmp(*argv, "check"))
		r = check(&a, words, &e);
	else if (r == 0)
		r = show(&a, words, &e);
	if (r == 0 && fflush(stdout) != 0)
		r = err_set(&e, errno, "write to standard output");
	if (r == 0)
		return a.common.status;
	verb_complain("policy", &e);
	return RUN_STATUS_FAILED;
}
