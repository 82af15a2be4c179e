/* SPDX-License-Identifier: Apache-2.0 */
/* From the tables of policy/seccomp_rules.h to a program. */
#pragma once

/*
 * Theory of operation
 *
 * The architecture is asked first, then the number: a balanced tree of "at least"
 * finds the run of numbers that are answered alike, in which a few odd ones may be asked
 * for. Most leaves are answers. The others lead to the rules of one call, which become
 * comparisons in the order of the table, without those that the ones before them have
 * decided. The kernel's cache of always-allowed numbers understands every instruction
 * used (linux/kernel/seccomp.c, seccomp_is_const_allow).
 */

#include "base/err.h"
#include "policy/seccomp_rules_code.h"

/* Puts the whole `default` profile for x86-64 into c, which must be empty. −EINVAL for a
 * name that has no number or stands in two places, −E2BIG when the program is longer
 * than the kernel takes. */
must_check int seccomp_rules_build(struct seccomp_code *c, struct err *e);

/* How many system calls the built profile allows whatever their arguments, and how many
 * with some arguments only. */
void seccomp_rules_count(unsigned *ret_allowed, unsigned *ret_by_arguments);

/* The name of a system call that the built profile lists, or NULL. */
const char *seccomp_rules_name(uint32_t nr);
