/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what mounts in a child with a mount namespace of its own. */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/in_namespaces.h"

/* Where the child works: a tmpfs of its own over a directory that every machine has. */
#define PLACE "/tmp"

static inline void mount_place(void *context)
{
	void (*const *body)(int place) = context;

	umask(0);
	assert_int_equal(mount("unit", PLACE, "tmpfs", 0, "size=1m"), 0);
	(*body)(open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* The body's umask is 0, as is that of whoever builds a root. */
static inline void in_mounts(void (*body)(int place))
{
	in_namespaces(CLONE_NEWNS, mount_place, &body);
}
