/* SPDX-License-Identifier: Apache-2.0 */
/* The door of netns/: what a sandbox can reach. */
#pragma once

#include "base/err.h"

/*
 * Theory of operation
 *
 * A sandbox has a network namespace of its own, owned by the host's user namespace, so
 * that nothing inside can change an address, a route or a rule of it. carrel makes it
 * while PID 1 builds the mounts, and both PID 1 and the command join it before they give
 * anything up. With `--network none` there is nothing in it but a loopback interface.
 */

/* Makes a network namespace with a loopback interface that is up. The caller owns
 * *ret_fd.
 *
 * Must be called by a single-threaded process, which passes through the namespace. Must
 * not be followed by anything but an exit if the error says that it could not return. */
must_check int netns_create(int *ret_fd, struct err *e);

/* Brings up the loopback interface of the calling process's network namespace. */
must_check int netns_loopback_up(struct err *e);

#include "netns/blocklist.h"
#include "netns/ip.h"
