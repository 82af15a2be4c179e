/* SPDX-License-Identifier: Apache-2.0 */
/* The door of netns/: what a sandbox can reach. */
#pragma once

#include "base/err.h"

/*
 * Theory of operation
 *
 * A sandbox is born into a network namespace of its own, owned by the host's user
 * namespace, so that nothing inside can change an address, a route or a rule of it. With
 * `--network none` there is nothing in it but a loopback interface.
 */

/* Makes a network namespace with a loopback interface that is up. The caller owns
 * *ret_fd. The calling process, which must be single-threaded, passes through it: after
 * an error that says so it may not be back and must not go on. */
must_check int netns_create(int *ret_fd, struct err *e);

/* Brings up the loopback interface of the calling process's network namespace. */
must_check int netns_loopback_up(struct err *e);
