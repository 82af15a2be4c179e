/* SPDX-License-Identifier: Apache-2.0 */
/* The `default` system call policy as tables. */
#pragma once

/*
 * Theory of operation
 *
 * This is build-time code: policy/seccomp_gen.c turns the tables into BPF once, and the
 * runtime carries the bytes (policy/seccomp.c). The policy is an allow-list. What no
 * table names is answered with ENOSYS, as an old kernel would: libcs know how to fall
 * back from that (S-01). Only a foreign ABI kills (S-02). Comparisons look at the low 32
 * bits of an argument, as the kernel's own int parameters do (S-05, E-34).
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define SECCOMP_ALLOW     0
#define SECCOMP_UNLISTED  ENOSYS /* S-01 */
#define SECCOMP_MATCH_MAX 4

/* System calls answered alike whatever their arguments: SECCOMP_ALLOW or an errno. */
struct seccomp_group {
	int answer;
	const char *why;
	const char *names; /* separated by blanks */
};

/* (word & mask) == value. Of an argument, word 2n is the low half and 2n + 1 the high
 * one. A mask of 0 ends a list of matches. */
struct seccomp_match {
	unsigned int word;
	uint32_t mask;
	uint32_t value;
};

/* The answer when all matches hold. */
struct seccomp_rule {
	int answer;
	struct seccomp_match match[SECCOMP_MATCH_MAX];
};

/* A system call whose arguments decide: the first rule that holds answers, and the last
 * one always does. */
struct seccomp_call {
	const char *name;
	const struct seccomp_rule *rules;
	size_t count;
};

extern const struct seccomp_group seccomp_groups[]; /* up to one without names */
extern const struct seccomp_call seccomp_calls[]; /* up to one without a name */
