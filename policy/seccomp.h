/* SPDX-License-Identifier: Apache-2.0 */
/* The system call filters of a sandbox: one for what it runs, one for its PID 1. */
#pragma once

/*
 * Theory of operation
 *
 * policy/seccomp_rules.c holds the policy as tables. While carrel is built,
 * policy/seccomp_gen.c turns them into a BPF program, which is compiled in here: nothing
 * is computed at run time, so the commands of all sandboxes carry the same bytes. After
 * a change of the tables, `make golden-seccomp` renews policy/seccomp_default.pfc, the
 * readable form that reviews see; the unit test compares the two.
 */

#include <linux/filter.h>

#include "base/err.h"

/* The `default` program. It lives as long as the process and must not be changed. */
const struct sock_fprog *seccomp_program(void);

/* How many system calls the `default` program allows whatever their arguments, and how
 * many with some arguments only. It refuses all others. */
void seccomp_count(unsigned *ret_allowed, unsigned *ret_by_arguments);

/* Binds the calling thread, and what it starts from now on, to the `default` program.
 * There is no way back.
 *
 * Must: be the last act before exec, with all other setup done and all other
 * descriptors closed; the caller is single-threaded and has no_new_privs set (or
 * CAP_SYS_ADMIN over its user namespace, else −EACCES).
 * Must not: be followed by anything but read(), write(), exec and _exit(); be called
 * twice, as filters add up. On failure nothing is bound, and the payload must not run. */
must_check int seccomp_install(struct err *e);

/* The same for carrel-init, which needs to read, and little else: a dozen instructions
 * that every sandbox has to compile only once. */
must_check int seccomp_install_init(struct err *e);
