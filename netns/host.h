/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of filtered egress, as a sandbox's start and end need it. */
#pragma once

#include "netns/netns.h"

/* Ways to the host's network namespace. */
struct host {
	int route, rules; /* netlink sockets */
	int procfs; /* not owned; −1: the one on /proc */
};

#define HOST_NONE ((struct host){ .route = -1, .rules = -1, .procfs = -1 })

/* Opens them; the calling process must be there. *ret is for host_close(). */
must_check int host_open(struct host *ret, struct err *e);

/* Harmless on HOST_NONE. */
void host_close(struct host *host);

/* Sets the host's side up unless it is as the settings want it already. −EBUSY when it is
 * different and sandboxes rely on it. On success it stays so until host_release(), which
 * must come when the sandbox's veth is there. `lock` is from host_open_lock(). */
must_check int host_ensure(const struct host *host, int lock,
			   const struct netns_settings *settings, bool ipv6,
			   struct err *e);

/* Lets others change the host's side again. */
void host_release(int lock);

/* Opens the lock of the caller's network namespace. */
must_check int host_open_lock(int *ret_fd, struct err *e);
