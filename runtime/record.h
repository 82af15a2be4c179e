/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox has on the host, written down before it is made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netns/netns.h"
#include "policy/policy.h"

/*
 * STATE_DIR/run/BASE is a text of lines, which are only ever appended:
 *
 *	/PATH/NAME				a cgroup; first of all, v2's before v1's
 *	resident				it outlives who made it
 *	network HOST_END			there are set elements of that name
 *	addresses HOST_END IPV4 [IPV6]		a resident's, with egress
 *	ids direct				a resident's, see rootfs_sources.direct
 *	init PID STARTTIME			a resident's, when it is complete
 */

/* A record that was read. */
struct record {
	char groups[CGROUP_TREE_MAX][CGROUP_PATH_MAX + CGROUP_NAME_MAX];
	unsigned group_count;
	bool resident;
	bool special; /* has set elements on the host */
	bool ids_direct;
	char host_end[IFNAMSIZ]; /* "": no egress */
	struct ip address4, address6; /* family 0: none */
	pid_t init; /* 0: not complete */
	uint64_t init_start; /* field 22 of /proc/PID/stat */
};

/* Writes a new record with nothing but its cgroups, called `name`. */
must_check int record_write(int state_dir, uint32_t id_base,
			    const struct cgroup_host *host, const char *name,
			    bool resident, struct err *e);

/* Appends that there are set elements of that name. */
must_check int record_append_network(int state_dir, uint32_t id_base,
				     const char *host_end, struct err *e);

/* Appends what there is to know of a resident that is complete: all of `record` from
 * ids_direct on. */
must_check int record_append_resident(int state_dir, uint32_t id_base,
				      const struct record *record, struct err *e);

/* −ENOENT: there is none. −EPROTO: it makes no sense. */
must_check int record_read(int state_dir, uint32_t id_base, struct record *ret,
			   struct err *e);

/* Removes what the record lists, and then the record. Nothing to do where there is none.
 */
must_check int record_reclaim(int state_dir, uint32_t id_base, struct err *e);

/* Forgets the record. */
void record_remove(int state_dir, uint32_t id_base);
