/* SPDX-License-Identifier: Apache-2.0 */
/* An instance of the proc file system that nobody else uses. */
#pragma once

#include "base/err.h"

/* Opens one that shows the processes of our pid namespace. It is mounted nowhere.
 *
 * Of the sysctls that each namespace has values of its own for, the host's instance keeps
 * the names of all namespaces in the same place: to find one there takes the longer the
 * more sandboxes there are. Closing the last descriptor waits for an RCU grace period. */
must_check int procfs_open(int *ret_fd, struct err *e);
