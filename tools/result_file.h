/* SPDX-License-Identifier: Apache-2.0 */
/* The file of --result-file. */
#pragma once

#include "base/err.h"

/* Makes or empties it. The path may lie where somebody hostile can write: no link is
 * followed, no FIFO waited for, no file with a second name overwritten (E-42). */
must_check int result_file_open(const char *path, int *ret_fd, struct err *e);
