/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON result of a run, for --result-fd and --result-file. */
#pragma once

#include "base/err.h"
#include "runtime/runtime.h"

/* Writes one JSON object and a newline to fd. `labels` are KEY=VALUE strings and end with
 * NULL. */
must_check int result_write(int fd, const struct run_result *result, char *const *labels,
			    struct err *e);
