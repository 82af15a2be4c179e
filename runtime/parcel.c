/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/parcel.h"
#include "base/fd.h"

void parcel_close(struct parcel *p)
{
	for (unsigned i = 0; i < p->count; i++)
		fd_close(&p->fds[i]);
	p->count = 0;
}
