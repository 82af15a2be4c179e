/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces held by a descriptor, with no process inside. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { USERNS_RANGES_MAX = 4 };

/* `count` ids from `inside` on are the host's from `outside` on. */
struct userns_range {
	uint32_t inside, outside, count;
};

/* The maps of a namespace; unused ranges have count 0. */
struct userns_map {
	/* The host id that owns the namespace and that the kernel charges what is used
	 * inside (inotify instances, pending signals, message queues) to. Must be the
	 * sandbox's own: under root, one sandbox could use up everybody's share. */
	uint32_t owner;
	struct userns_range uid[USERNS_RANGES_MAX];
	struct userns_range gid[USERNS_RANGES_MAX];
};

/* Creates a user namespace with the maps, in which setgroups(2) is denied and no further
 * namespace of any kind can be made (user.max_*_namespaces = 0). The caller owns
 * *ret_fd. `procfs` is a proc file system of our pid namespace; −1: the one on /proc.
 * Must be called by a single-threaded process with the host's CAP_SETUID,
 * CAP_SETGID and CAP_SYS_ADMIN. */
must_check int userns_create(const struct userns_map *map, int procfs, int *ret_fd,
			     struct err *e);
