/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's /etc is shown inside. */
#pragma once

#include "base/err.h"

/* Attaches what programs need of the host's /etc onto the /etc beneath `root`. host_etc
 * must be an attached mount with a superblock of its own, and `root` still writable. */
must_check int etc_show_host(int host_etc, int root, struct err *e);
