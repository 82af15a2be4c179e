/* SPDX-License-Identifier: Apache-2.0 */
/* A host id range of one's own, and the record of what a killed carrel leaves. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "policy/policy.h"
#include "runtime/record.h"
#include "runtime/runtime.h"

/*
 * STATE_DIR/slots-FIRST holds one entry a range: who has it. Allocation takes a lock on
 * the file for a few microseconds. STATE_DIR/run/BASE lists what the sandbox with that
 * range has on the host (record.h); it is written before the first of that is made.
 * Whoever comes next finds the entries whose owner is dead, removes what they list and
 * frees them.
 *
 * A resident's entry has its PID 1 as owner, from the moment that it is complete.
 */

/* A range in use by this process. */
struct slot {
	int state_dir; /* −1: none */
	uint32_t index;
	uint32_t id_first; /* of the block: names the table */
	uint32_t id_base; /* of this range */
	uint32_t owner; /* before slot_claim() */
	char name[CGROUP_NAME_MAX]; /* for cgroups: carrel-INDEX-GENERATION */
};

#define SLOT_NONE ((struct slot){ .state_dir = -1 })

/* Takes the lowest free range, after reclaiming what dead owners left. −EBUSY when all
 * are taken. */
must_check int slot_acquire(const struct runtime_config *config, struct slot *ret,
			    struct err *e);

enum { SLOT_OWNER_SIZE = 40 };

/* What tells this state directory from all others, as long as there is any cgroup of it:
 * for cgroup_set_owner(). */
must_check int slot_owner(int state_dir, char ret[SLOT_OWNER_SIZE], struct err *e);

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

/* --- residents. Of *ret, on failure too, for slot_close(). */

/* slot_record() for a sandbox that will outlive us. */
must_check int slot_record_resident(const struct slot *slot,
				    const struct cgroup_host *host, struct err *e);

/* Completes the record and makes PID 1 the owner. */
must_check int slot_hand_over(struct slot *slot, const struct record *record,
			      struct err *e);

/* Opens the slot of a complete resident and reads its record. −ENOENT: none has that
 * slot. −ESRCH: it is not complete, or somebody has begun to remove it. −EPROTO: its
 * record makes no sense. */
must_check int slot_open(const struct runtime_config *config, uint32_t index,
			 struct slot *ret, struct record *ret_record, struct err *e);

/* Makes a resident's slot ours, for slot_release() when all is gone, or
 * slot_give_back(). Waits a few seconds for somebody else who is at it, then −EBUSY.
 * −ENOENT: no resident has that slot, or (id not NULL) one with another name: the slot of
 * a dead one may have been taken by the next meanwhile. */
must_check int slot_claim(const struct runtime_config *config, uint32_t index,
			  const char *id, struct slot *ret, struct record *ret_record,
			  struct err *e);

/* Makes the former owner the owner again, and closes. */
void slot_give_back(struct slot *slot);

/* Closes, and leaves the slot to who has it. Harmless on SLOT_NONE. */
void slot_close(struct slot *slot);

/* Calls `found` for each slot that has a resident's record, in order. */
must_check int slot_each_resident(const struct runtime_config *config,
				  int (*found)(void *context, uint32_t index,
					       struct err *e),
				  void *context, struct err *e);
