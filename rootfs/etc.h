/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's /etc is shown inside. */
#pragma once

#include "base/err.h"

/* Attaches what programs need of the host's /etc onto `etc`, which must be in the new
 * root and still writable. `host_etc` is an attached mount of the host's with a
 * superblock of its own, `listed` the host's directory itself. */
must_check int etc_show_host(int listed, int host_etc, int etc, struct err *e);
