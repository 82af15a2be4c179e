/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a file that the user names. */
#pragma once

#include <stdio.h>

#include "base/err.h"

/* Opens it for reading. The file may lie where somebody hostile can write: no link is
 * followed to a file that only we can read, and neither a FIFO nor an endless device is
 * waited for (E-40, E-42). −EFBIG above `max` bytes. */
must_check int user_file_open(const char *path, long max, FILE **ret, struct err *e);
