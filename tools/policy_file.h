/* SPDX-License-Identifier: Apache-2.0 */
/* Policy files, carrel-policy(5): what a sandbox may have at most. */
#pragma once

#include "base/err.h"
#include "runtime/runtime.h"
#include "tools/exceptions.h"
#include "tools/ini_file.h"

/* What the file says. A limit of 0 is not in it. */
struct policy {
	struct cgroup_limits limits; /* ceilings */
	bool no_egress;
	struct ip_ranges deny4, deny6;
	struct exceptions allow; /* what may be asked for */
};

/* Reads the file. *ret is for policy_free(), also on failure. */
must_check int policy_read(const char *path, struct policy *ret, struct err *e);

/* The same, watched (ini_file.h). */
must_check int policy_read_watched(const char *path, const struct ini_watch *watch,
				   struct policy *ret, struct err *e);
void policy_free(struct policy *p);

/* Which limits the user has asked for; the others are defaults, which give way. */
struct policy_asked {
	bool pids, memory, cpu;
};

/* Holds the spec against the policy: limits that were not asked for are lowered to the
 * ceilings, and its denials are added. What was asked for and is not permitted is an
 * error that names it. */
must_check int policy_apply(const struct policy *p, const struct policy_asked *asked,
			    struct spec *spec, struct err *e);
