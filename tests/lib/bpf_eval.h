/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a seccomp filter in user space, so that its every answer can be asked for. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

#include "base/err.h"

/* Runs the program over data as the kernel would and stores its answer, a
 * SECCOMP_RET_* value with its data. −EINVAL when the program does what the kernel's
 * checker refuses: an unknown instruction, a load outside of the data, an end without an
 * answer. */
must_check int bpf_eval(const struct sock_fprog *program, const struct seccomp_data *data,
			uint32_t *ret_answer);
