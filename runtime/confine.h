/* SPDX-License-Identifier: Apache-2.0 */
/* What a front may still do: next to nothing. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * A front reads what clients have written, so it is taken for granted that somebody will
 * once run code of theirs in it. That code finds
 *
 *	ids		that nobody else has: no process to signal, no file to own
 *	namespaces	mount, network, IPC, UTS and cgroup of its own
 *	root		an empty directory that cannot be written to
 *	descriptors	the broker, and what clients have sent; /dev/null as 0, 1 and 2
 *	capabilities	none, and no way to any
 *	system calls	the few of CONFINE_CALLS in confine.c; any other one kills it
 *	limits		no core, no file above CONFINE_FILE_MAX, no process
 *
 * and can send the broker well-formed requests of its own client's.
 */

enum {
	CONFINE_FILES = 6144, /* descriptors */
	CONFINE_FILE_MAX = 2 << 20, /* bytes of a memfd */
};

/* Confines the calling process, which is single-threaded and root. *keep is the only
 * descriptor above 2 that stays open; it becomes another one. The kernel kills the
 * process when the one that forked it dies.
 *
 * Must come before a byte of a client's is read. There is no way back; after a failure,
 * the process must exit. Without seccomp (−EINVAL: no such kernel) it is a failure too.
 */
must_check int confine_self(int *keep, uid_t uid, gid_t gid, struct err *e);
