/* SPDX-License-Identifier: Apache-2.0 */
/* Letting go of a sandbox's network, so that nothing of it goes on. */
#pragma once

#include "netns/netns.h"

/* Cuts it off, so that sockets for which the kernel still has something to send give up
 * instead of keeping the namespace, its veth and its address; and removes its flows from
 * the host's table of connections, where they could stay for days. Goes on after a
 * failure and reports the first: if the error is that the caller could not return to its
 * own namespace, nothing but an exit may follow. */
must_check int leave_network(const struct netns *ns, struct err *e);
