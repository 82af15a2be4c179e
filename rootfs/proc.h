/* SPDX-License-Identifier: Apache-2.0 */
/* A procfs that shows processes and little else. */
#pragma once

#include "base/err.h"

/* Attaches the procfs `proc` to "proc" beneath `root` and covers every entry that is not
 * on the list of those that programs need. `cover` is the skeleton's, read-only by now.
 */
must_check int proc_attach(int proc, int root, int cover, struct err *e);
