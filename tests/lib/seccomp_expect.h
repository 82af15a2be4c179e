/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what a filter should answer from a list that people review. */
#pragma once

/*
 * A line is
 *
 *	[NUMBERS] NAME [ANSWER] [aN=VALUE | aN&MASK=VALUE]... [# note]
 *
 * NUMBERS (one, or FROM-TO) and ANSWER (allow, or an errno by name) stand in lists of
 * answers only. Without a mask the low 32 bits are compared.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPECT_CLAUSE_MAX 1024
#define EXPECT_COND_MAX   3
#define EXPECT_LOW32      UINT64_C(0xffffffff)

/* (argument & mask) == value */
struct expect_cond {
	unsigned int arg;
	uint64_t mask;
	uint64_t value;
};

/* A line. Several lines for one number stand in their order. */
struct expect_clause {
	int first; /* −1 in a list of names */
	int last;
	char name[32]; /* "-": not given out */
	uint32_t answer; /* SECCOMP_RET_* */
	struct expect_cond cond[EXPECT_COND_MAX];
	size_t conds;
};

struct expect_list {
	struct expect_clause clause[EXPECT_CLAUSE_MAX];
	size_t count;
};

/* Reads the file into l. A line that does not fit the form fails the test at hand. */
void expect_read(const char *path, bool with_answers, struct expect_list *l);

/* Do the six arguments meet all conditions of the line? */
bool expect_holds(const struct expect_clause *c, const uint64_t *args);

/* The first line for the number, or NULL. */
const struct expect_clause *expect_first(const struct expect_list *l, int nr);

/* The line behind c if it is for the same number, or NULL. */
const struct expect_clause *expect_next(const struct expect_list *l,
					const struct expect_clause *c);
