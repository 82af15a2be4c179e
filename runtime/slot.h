/* SPDX-License-Identifier: Apache-2.0 */
/* A host id range of one's own, and the record of what a killed carrel leaves. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "policy/policy.h"
#include "runtime/runtime.h"

/*
 * STATE_DIR/slots-FIRST holds one entry a range: who has it. Allocation takes a lock on
 * the file for a few microseconds. STATE_DIR/run/BASE lists the cgroups of the sandbox
 * with that range, and its host end if there are set elements for that; it is written
 * before the first of them is made. Whoever comes next
 * finds the entries whose owner is dead, removes what they list and frees them.
 */

/* A range in use by this process. */
struct slot {
	int state_dir; /* −1: none */
	uint32_t index;
	uint32_t id_first; /* of the block: names the table */
	uint32_t id_base; /* of this range */
	char name[CGROUP_NAME_MAX]; /* for cgroups: carrel-INDEX-GENERATION */
};

#define SLOT_NONE ((struct slot){ .state_dir = -1 })

/* Takes the lowest free range, after reclaiming what dead owners left. −EBUSY when all
 * are taken. */
must_check int slot_acquire(const struct runtime_config *config, struct slot *ret,
			    struct err *e);

/* Records where the sandbox's cgroups will be. Must come before cgroup_create(). */
must_check int slot_record(const struct slot *slot, const struct cgroup_host *host,
			   struct err *e);

/* Adds the sandbox's host end to the record. Must come before there is anything on the
 * host under that name. */
must_check int slot_record_network(const struct slot *slot, const char *host_end,
				   struct err *e);

/* Forgets the record and gives the range back. Must come after everything that was
 * recorded is gone. Harmless on SLOT_NONE. */
void slot_release(struct slot *slot);
