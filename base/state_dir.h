/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in which carrel keeps what it must be able to trust. */
#pragma once

#include "base/err.h"

/* Opens one by its absolute path, whose every part must be root's alone to write, making
 * the last with mode 0700 if it is not there. */
must_check int state_dir_open(const char *path, int *ret, struct err *e);
