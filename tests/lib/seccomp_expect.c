/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/seccomp_expect.h"

static const struct {
	const char *word;
	uint32_t answer;
} answers[] = {
	{ "allow", SECCOMP_RET_ALLOW },
	{ "ENOSYS", SECCOMP_RET_ERRNO | ENOSYS },
	{ "EPERM", SECCOMP_RET_ERRNO | EPERM },
	{ "EINVAL", SECCOMP_RET_ERRNO | EINVAL },
	{ "EOPNOTSUPP", SECCOMP_RET_ERRNO | EOPNOTSUPP },
	{ "EAFNOSUPPORT", SECCOMP_RET_ERRNO | EAFNOSUPPORT },
	{ "EPROTONOSUPPORT", SECCOMP_RET_ERRNO | EPROTONOSUPPORT },
};

static void parse_answer(const char *word, struct expect_clause *c)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (strcmp(answers[i].word, word) == 0) {
			c->answer = answers[i].answer;
			return;
		}
	}
	fail_msg("unclassified: %s is answered %s", c->name, word);
}

static void parse_cond(const char *word, struct expect_clause *c)
{
	struct expect_cond *cond = &c->cond[c->conds++];
	char *end;

	assert_true(c->conds <= EXPECT_COND_MAX && word[0] == 'a');
	cond->arg = (unsigned int)strtoul(word + 1, &end, 10);
	cond->mask = EXPECT_LOW32;
	if (*end == '&')
		cond->mask = strtoull(end + 1, &end, 0);
	assert_true(cond->arg < 6 && *end == '=');
	cond->value = strtoull(end + 1, &end, 0);
	assert_int_equal(*end, '\0');
}

/* Cuts the next word off *rest; NULL when none is left. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " ");
	size_t len = strcspn(word, " ");

	*rest = word + len;
	if (**rest)
		*(*rest)++ = '\0';
	return len > 0 ? word : NULL;
}

static char *needed_word(char **rest)
{
	char *word = next_word(rest);

	if (!word) {
		fail_msg("a line ends too early");
		abort(); /* not reached, which compilers cannot know */
	}
	return word;
}

/* The words of a line: [numbers] name [answer] conditions */
static void parse_line(char *line, bool with_answers, struct expect_clause *c)
{
	char *word = needed_word(&line);

	c->first = c->last = -1;
	if (with_answers) {
		char *end;

		c->first = c->last = (int)strtol(word, &end, 10);
		if (*end == '-')
			c->last = (int)strtol(end + 1, &end, 10);
		assert_int_equal(*end, '\0');
		word = needed_word(&line);
	}
	assert_true(strlen(word) < sizeof(c->name));
	snprintf(c->name, sizeof(c->name), "%s", word);
	c->answer = SECCOMP_RET_ALLOW;
	if (with_answers)
		parse_answer(needed_word(&line), c);
	while ((word = next_word(&line)))
		parse_cond(word, c);
}

void expect_read(const char *path, bool with_answers, struct expect_list *l)
{
	FILE *f = fopen(path, "re");
	char line[256];

	assert_non_null(f);
	l->count = 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "#\n")] = '\0';
		if (line[0] == '\0')
			continue;
		assert_true(l->count < EXPECT_CLAUSE_MAX);
		l->clause[l->count] = (struct expect_clause){ 0 };
		parse_line(line, with_answers, &l->clause[l->count++]);
	}
	fclose(f);
}

bool expect_holds(const struct expect_clause *c, const uint64_t *args)
{
	for (size_t i = 0; i < c->conds; i++) {
		if ((args[c->cond[i].arg] & c->cond[i].mask) != c->cond[i].value)
			return false;
	}
	return true;
}

const struct expect_clause *expect_first(const struct expect_list *l, int nr)
{
	for (size_t i = 0; i < l->count; i++) {
		if (nr >= l->clause[i].first && nr <= l->clause[i].last)
			return &l->clause[i];
	}
	return NULL;
}

const struct expect_clause *expect_next(const struct expect_list *l,
					const struct expect_clause *c)
{
	const struct expect_clause *next = c + 1;

	return next < l->clause + l->count && next->first == c->first ? next : NULL;
}
