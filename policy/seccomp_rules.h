/* SPDX-License-Identifier: Apache-2.0 */
/* The `default` system call policy as tables, and its translation for libseccomp. */
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

#include <seccomp.h>

#include "base/err.h"

/* Makes a context that holds the whole `default` profile for the native architecture,
 * ready to be exported. On success *ret_ctx belongs to the caller, who gives it back
 * with seccomp_release(). −EINVAL for a name that neither libseccomp nor the tables can
 * number, otherwise what libseccomp reports. */
must_check int seccomp_rules_build(scmp_filter_ctx *ret_ctx, struct err *e);
