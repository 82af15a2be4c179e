/* SPDX-License-Identifier: Apache-2.0 */
/* carrel policy check: reads a policy file as its user would, and uses it for nothing. */
#pragma once

#include "base/err.h"

/* Reads the file as carrel run --policy, or as carreld if its first section is a profile
 * or a client: then as if it stood in policy.d beside the configuration, in its place
 * there. NULL, or the configuration itself: that, with policy.d. *ret_kind is what it was
 * read as, also on failure. An error names file and line. */
must_check int policy_check(const char *config_path, const char *file,
			    const char **ret_kind, struct err *e);

/* The configuration's name; `config_path` may be NULL: the usual one. */
const char *policy_check_config(const char *config_path);
