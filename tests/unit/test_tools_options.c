/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/options.h"

enum { WORDS_MAX = 8, WORD_MAX = 300 };

/* What the options did, in order: "name=value;" or "switch;". */
struct log {
	char text[512];
	struct str s;
};

static int note(void *context, const char *name, const char *value)
{
	struct log *log = context;

	str_add(&log->s, value ? "%s=%s;" : "%s;", name, value);
	return 0;
}

static int set_name(void *context, char *value, struct err *e)
{
	(void)e;
	return note(context, "name", value);
}

static int set_names(void *context, char *value, struct err *e)
{
	(void)e;
	return note(context, "names", value);
}

static int set_verbose(void *context, char *value, struct err *e)
{
	(void)e;
	assert_null(value);
	return note(context, "verbose", value);
}

static int set_all(void *context, char *value, struct err *e)
{
	(void)e;
	assert_null(value);
	return note(context, "all", value);
}

static int refuse(void *context, char *value, struct err *e)
{
	(void)context;
	return err_say(e, ERANGE, "\"%s\" is too much", value ? value : "");
}

static int cut_value(void *context, char *value, struct err *e)
{
	char *colon = strchr(value, ':');

	(void)e;
	assert_non_null(colon);
	*colon = '\0';
	note(context, "cut", value);
	return note(context, "rest", colon + 1);
}

static const struct option_row table[] = {
	{ "name", 'n', "NAME", "a name", set_name },
	{ "names", 0, "NAMES", "names", set_names },
	{ "verbose", 'v', NULL, "say more", set_verbose },
	{ "all", 'a', NULL, "everything", set_all },
	{ "refuse", 'r', "WHAT", "always wrong", refuse },
	{ "deny", 'd', NULL, "always wrong", refuse },
	{ "cut", 'c', "A:B", "two things", cut_value },
	{ 0 },
};

/* Command lines are cut in place: copies of constant words. */
struct line {
	char words[WORDS_MAX][WORD_MAX];
	char *argv[WORDS_MAX + 1];
	char **rest;
	struct log log;
	struct err e;
};

static int parse(struct line *l, const char *const *words)
{
	unsigned count = 0;

	memset(l, 0, sizeof(*l));
	l->log.s = str_over(l->log.text, sizeof(l->log.text));
	for (; words[count]; count++) {
		assert_true(count < WORDS_MAX);
		snprintf(l->words[count], WORD_MAX, "%s", words[count]);
		l->argv[count] = l->words[count];
	}
	return options_parse(table, &l->log, l->argv, &l->rest, &l->e);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void assert_parsed(const char *const *words, const char *log, unsigned used)
{
	struct line l;

	if (parse(&l, words) != 0)
		fail_msg("%s", l.e.msg);
	assert_string_equal(l.log.text, log);
	assert_ptr_equal(l.rest, l.argv + used);
}

static void assert_refused(const char *const *words, const char *sentence)
{
	struct line l;

	assert_int_equal(parse(&l, words), -EINVAL);
	assert_string_equal(l.e.msg, sentence);
	assert_null(l.rest);
}

static void no_words_are_no_options(void **state)
{
	struct line l;
	const char *const none[] = { NULL };

	(void)state;
	assert_int_equal(parse(&l, none), 0);
	assert_string_equal(l.log.text, "");
	assert_ptr_equal(l.rest, l.argv);
}

static void long_options_take_the_next_word(void **state)
{
	(void)state;
	assert_parsed(WORDS("--name", "x", "rest"), "name=x;", 2);
	assert_parsed(WORDS("--name", "x", "--names", "y"), "name=x;names=y;", 4);
}

static void long_options_take_what_follows_an_equals_sign(void **state)
{
	(void)state;
	assert_parsed(WORDS("--name=x", "rest"), "name=x;", 1);
	assert_parsed(WORDS("--name=x=y", "rest"), "name=x=y;", 1);
	assert_parsed(WORDS("--name==", "rest"), "name==;", 1);
}

static void values_may_be_empty(void **state)
{
	(void)state;
	assert_parsed(WORDS("--name=", "rest"), "name=;", 1);
	assert_parsed(WORDS("--name", "", "rest"), "name=;", 2);
	assert_parsed(WORDS("-n", "", "rest"), "name=;", 2);
}

static void values_may_look_like_options(void **state)
{
	(void)state;
	assert_parsed(WORDS("--name", "--all", "rest"), "name=--all;", 2);
	assert_parsed(WORDS("--name", "--", "--all"), "name=--;all;", 3);
	assert_parsed(WORDS("-n", "-v"), "name=-v;", 2);
}

static void switches_take_nothing(void **state)
{
	(void)state;
	assert_parsed(WORDS("--verbose", "--all", "word"), "verbose;all;", 2);
	assert_parsed(WORDS("-v", "-a", "word"), "verbose;all;", 2);
}

static void short_options_take_the_next_word_or_the_rest_of_theirs(void **state)
{
	(void)state;
	assert_parsed(WORDS("-n", "x", "rest"), "name=x;", 2);
	assert_parsed(WORDS("-nx", "rest"), "name=x;", 1);
	assert_parsed(WORDS("-n=x", "rest"), "name==x;", 1);
	assert_parsed(WORDS("-nv", "rest"), "name=v;", 1);
}

static void short_options_can_be_combined(void **state)
{
	(void)state;
	assert_parsed(WORDS("-va", "rest"), "verbose;all;", 1);
	assert_parsed(WORDS("-vav"), "verbose;all;verbose;", 1);
	assert_parsed(WORDS("-vanx", "rest"), "verbose;all;name=x;", 1);
	assert_parsed(WORDS("-van", "x", "rest"), "verbose;all;name=x;", 2);
}

static void options_are_applied_in_their_order(void **state)
{
	(void)state;
	assert_parsed(WORDS("-n1", "--name=2", "-v", "--name", "3"),
		      "name=1;name=2;verbose;name=3;", 5);
}

static void options_end_at_the_first_other_word(void **state)
{
	(void)state;
	assert_parsed(WORDS("word", "--all"), "", 0);
	assert_parsed(WORDS("-v", "word", "-a"), "verbose;", 1);
	assert_parsed(WORDS("-v", "", "-a"), "verbose;", 1);
	assert_parsed(WORDS("name=x", "-a"), "", 0);
}

static void single_dash_is_no_option(void **state)
{
	(void)state;
	assert_parsed(WORDS("-v", "-", "-a"), "verbose;", 1);
}

static void two_dashes_end_the_options_and_are_used_up(void **state)
{
	(void)state;
	assert_parsed(WORDS("-v", "--", "-a"), "verbose;", 2);
	assert_parsed(WORDS("--", "--", "-a"), "", 1);
	assert_parsed(WORDS("--"), "", 1);
}

static void missing_values_are_refused_by_name(void **state)
{
	(void)state;
	assert_refused(WORDS("--name"), "--name needs a value: NAME");
	assert_refused(WORDS("-v", "--cut"), "--cut needs a value: A:B");
	assert_refused(WORDS("-n"), "-n needs a value: NAME");
	assert_refused(WORDS("-van"), "-n needs a value: NAME");
}

static void unknown_options_are_refused_as_written(void **state)
{
	(void)state;
	assert_refused(WORDS("--what", "x"), "unknown option --what");
	assert_refused(WORDS("--what=x"), "unknown option --what=x");
	assert_refused(WORDS("-x"), "unknown option -x");
	assert_refused(WORDS("-vx"), "unknown option -vx");
	assert_refused(WORDS("---"), "unknown option ---");
	assert_refused(WORDS("---name", "x"), "unknown option ---name");
	assert_refused(WORDS("--=x"), "unknown option --=x");
}

static void names_are_neither_cut_nor_folded(void **state)
{
	(void)state;
	assert_refused(WORDS("--nam", "x"), "unknown option --nam");
	assert_refused(WORDS("--namesx", "x"), "unknown option --namesx");
	assert_refused(WORDS("--Name", "x"), "unknown option --Name");
	assert_refused(WORDS("-N", "x"), "unknown option -N");
}

static void unknown_options_cannot_move_a_cursor(void **state)
{
	struct line l;
	char word[WORD_MAX];

	(void)state;
	assert_refused(WORDS("--\x1b[2J\n"), "unknown option --\\x1b[2J\\x0a");
	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(parse(&l, WORDS(word)), -EINVAL);
	assert_true(strlen(l.e.msg) < 160);
}

static void value_to_a_switch_is_refused(void **state)
{
	(void)state;
	assert_refused(WORDS("--verbose=yes"), "--verbose takes no value");
	assert_refused(WORDS("--verbose="), "--verbose takes no value");
}

static void failure_is_prefixed_with_the_option_as_written(void **state)
{
	struct line l;

	(void)state;
	assert_int_equal(parse(&l, WORDS("--refuse", "9")), -ERANGE);
	assert_string_equal(l.e.msg, "--refuse: \"9\" is too much");
	assert_int_equal(parse(&l, WORDS("--refuse=9")), -ERANGE);
	assert_string_equal(l.e.msg, "--refuse: \"9\" is too much");
	assert_int_equal(parse(&l, WORDS("-r9")), -ERANGE);
	assert_string_equal(l.e.msg, "-r: \"9\" is too much");
	assert_int_equal(parse(&l, WORDS("-vr", "9")), -ERANGE);
	assert_string_equal(l.e.msg, "-r: \"9\" is too much");
	assert_int_equal(parse(&l, WORDS("--deny")), -ERANGE);
	assert_string_equal(l.e.msg, "--deny: \"\" is too much");
	assert_int_equal(parse(&l, WORDS("-d")), -ERANGE);
	assert_string_equal(l.e.msg, "-d: \"\" is too much");
}

static void nothing_is_applied_behind_a_failure(void **state)
{
	struct line l;

	(void)state;
	assert_int_equal(parse(&l, WORDS("-v", "--refuse=9", "-a")), -ERANGE);
	assert_string_equal(l.log.text, "verbose;");
	assert_null(l.rest);
	assert_int_equal(parse(&l, WORDS("-vda")), -ERANGE);
	assert_string_equal(l.log.text, "verbose;");
}

static void values_may_be_cut_in_place(void **state)
{
	(void)state;
	assert_parsed(WORDS("--cut=a:b", "rest"), "cut=a;rest=b;", 1);
	assert_parsed(WORDS("-ca:b", "rest"), "cut=a;rest=b;", 1);
	assert_parsed(WORDS("-c", "a:b", "rest"), "cut=a;rest=b;", 2);
}

static void print_has_one_line_an_option(void **state)
{
	static const char wanted[] = "  -n, --name NAME                a name\n"
				     "      --names NAMES              names\n"
				     "  -v, --verbose                  say more\n"
				     "  -a, --all                      everything\n"
				     "  -r, --refuse WHAT              always wrong\n"
				     "  -d, --deny                     always wrong\n"
				     "  -c, --cut A:B                  two things\n";
	char text[1024] = "";
	int fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		options_print(table);
		fflush(stdout);
		_exit(0);
	}
	fd_close(&fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	n = read(fds[0], text, sizeof(text) - 1);
	fd_close(&fds[0]);
	assert_true(n > 0);
	assert_string_equal(text, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_words_are_no_options),
		cmocka_unit_test(long_options_take_the_next_word),
		cmocka_unit_test(long_options_take_what_follows_an_equals_sign),
		cmocka_unit_test(values_may_be_empty),
		cmocka_unit_test(values_may_look_like_options),
		cmocka_unit_test(switches_take_nothing),
		cmocka_unit_test(short_options_take_the_next_word_or_the_rest_of_theirs),
		cmocka_unit_test(short_options_can_be_combined),
		cmocka_unit_test(options_are_applied_in_their_order),
		cmocka_unit_test(options_end_at_the_first_other_word),
		cmocka_unit_test(single_dash_is_no_option),
		cmocka_unit_test(two_dashes_end_the_options_and_are_used_up),
		cmocka_unit_test(missing_values_are_refused_by_name),
		cmocka_unit_test(unknown_options_are_refused_as_written),
		cmocka_unit_test(names_are_neither_cut_nor_folded),
		cmocka_unit_test(unknown_options_cannot_move_a_cursor),
		cmocka_unit_test(value_to_a_switch_is_refused),
		cmocka_unit_test(failure_is_prefixed_with_the_option_as_written),
		cmocka_unit_test(nothing_is_applied_behind_a_failure),
		cmocka_unit_test(values_may_be_cut_in_place),
		cmocka_unit_test(print_has_one_line_an_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
