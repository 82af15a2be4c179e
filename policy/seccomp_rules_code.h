/* SPDX-License-Identifier: Apache-2.0 */
/* A small assembler for seccomp filters. */
#pragma once

/*
 * Theory of operation
 *
 * Jumps of BPF go forward only, so the program is written from its last instruction to
 * its first: what an instruction goes on to is there already. A spot is the place of an
 * instruction counted from the end, from 1 on, and stays valid while more is put in
 * front. A spot also stands for "what is answered from here on", given the accumulator;
 * asked for one that exists, the functions give that one, so that equal ends of
 * different ways are in the program once.
 */

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A program in the making. All zero is an empty one. */
struct seccomp_code {
	struct sock_filter insn[BPF_MAXINSNS]; /* the last count of them */
	size_t count;
	bool too_long; /* set when it has no room left; the program is void then */
};

/* The first instruction; count of them follow each other. */
const struct sock_filter *seccomp_code_first(const struct seccomp_code *c);

/* The spot that ends with answer, a SECCOMP_RET_* value with its data. */
size_t seccomp_code_return(struct seccomp_code *c, uint32_t answer);

/* The spot that compares the accumulator with k by op (BPF_JEQ, BPF_JGE, BPF_JSET) and
 * goes on at the spot yes or no. */
size_t seccomp_code_test(struct seccomp_code *c, unsigned int op, uint32_t k, size_t yes,
			 size_t no);

/* The spot that loads the 32 bits at offset of struct seccomp_data and goes on at next.
 */
size_t seccomp_code_load(struct seccomp_code *c, size_t offset, size_t next);

/* The spot that masks the accumulator and goes on at next. */
size_t seccomp_code_mask(struct seccomp_code *c, uint32_t mask, size_t next);
