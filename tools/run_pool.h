/* SPDX-License-Identifier: Apache-2.0 */
/* `carrel run` for those who may not build sandboxes themselves: carreld does. */
#pragma once

#include <stdbool.h>

#include "tools/run_options.h"

/* Is this run one for carreld: --host is given, or we are not root and carreld's socket
 * is there? */
bool run_pool_wanted(const struct run_args *a);

/* Makes a sandbox of a name that nobody else has, runs the command in it, and removes it.
 * Options that carreld cannot be asked for are an error that names the option. */
must_check int run_pool(const struct run_args *a, int *ret_status, struct err *e);
