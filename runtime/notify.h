/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon and the service manager that started it say to each other. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 * systemd tells a service by environment variables where it wants to hear of its state
 * (NOTIFY_SOCKET), how often (WATCHDOG_USEC) and which sockets it has opened for it
 * (LISTEN_FDS). All of it is small enough to be spoken without libsystemd. Without such
 * variables everything here does nothing and succeeds.
 *
 * The variables are removed from the environment when they are taken: they are for the
 * daemon's main process alone. Both notify_take() functions belong to its start, before
 * it forks or opens a descriptor.
 */

/* Where the service manager listens. */
struct notify {
	int sock; /* −1: there is none */
	struct sockaddr_un address;
	socklen_t address_size;
	/* How often NOTIFY_WATCHDOG is to be sent, twice as often as has to be; 0: never.
	 */
	uint64_t watchdog_ms;
};

#define NOTIFY_NONE ((struct notify){ .sock = -1 })

enum notify_state {
	NOTIFY_READY, /* started, or done with reloading */
	NOTIFY_RELOADING,
	NOTIFY_STOPPING,
	NOTIFY_WATCHDOG,
	NOTIFY_STATUS, /* nothing but the text */
	NOTIFY_STATE_MAX,
};

/* Reads NOTIFY_SOCKET (a path, or "@" and an abstract name), WATCHDOG_USEC and
 * WATCHDOG_PID. *ret is for notify_close(). −EINVAL for values that mean nothing: the
 * daemon may go on without. */
must_check int notify_take(struct notify *ret, struct err *e);
void notify_close(struct notify *n);

/* Tells a state, and what `systemctl status` shows of it; NULL leaves that as it is.
 * Never blocks: a manager that does not listen is −EAGAIN. */
must_check int notify_send(const struct notify *n, enum notify_state state,
			   const char *status, struct err *e);

/* Takes the listening socket that the manager has opened (LISTEN_FDS, LISTEN_PID);
 * −1 in *ret if it has opened none for us. It is close-on-exec and non-blocking, and the
 * caller's. Anything else than exactly one AF_UNIX stream socket that listens at a path
 * is −EINVAL: whoever is in our network namespace could reach one with an abstract name
 * (E-53). */
must_check int notify_take_socket(int *ret, struct err *e);
