/* SPDX-License-Identifier: Apache-2.0 */
/* carrel policy show: which profiles there are, and what is in force under one of them or
 * under a policy file. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* What all of them are told. */
struct policy_show {
	const char *config_path; /* NULL: the usual one, if there is one */
	bool json;
};

/* A line for each profile of carreld's configuration. */
must_check int policy_show_list(const struct policy_show *how, struct err *e);

/* Every setting of a sandbox of that profile. */
must_check int policy_show_profile(const struct policy_show *how, const char *name,
				   struct err *e);

/* Every setting of `carrel run --policy FILE`. */
must_check int policy_show_file(const struct policy_show *how, const char *file,
				struct err *e);
