/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that go with a record (see wire.h). */
#pragma once

#include "runtime/wire.h"

/* Those that are there belong to whoever has the parcel. */
struct parcel {
	int fds[WIRE_CARRY_MAX];
	unsigned count;
};

/* Closes and forgets them. */
void parcel_close(struct parcel *p);
