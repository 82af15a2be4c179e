/* SPDX-License-Identifier: Apache-2.0 */
/* Owned descriptors and whole reads and writes through them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/err.h"

/* Closes *fd if it is open, keeps errno, sets it to −1. Never retried: on Linux the
 * descriptor is gone whatever close() returns. */
void fd_close(int *fd);

/* Moves the descriptor out of *fd, which becomes −1. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* A descriptor closed at the end of its scope; declare it with an initial value. */
#define auto_fd __attribute__((cleanup(fd_close))) int

static inline void auto_free_release(void *p)
{
	free(*(void **)p);
}

/* Heap memory freed at the end of its scope; declare it with an initial value. */
#define auto_free __attribute__((cleanup(auto_free_release)))

/* Reads a small file (procfs, cgroupfs) beneath dirfd into buf and terminates it with
 * NUL; a final newline is cut. Returns the length or −errno; −EFBIG when it does not
 * fit. */
must_check ssize_t fd_read_at(int dirfd, const char *name, char *buf, size_t size);

/* Writes text to an existing file beneath dirfd in one write(). 0 or −errno. */
must_check int fd_write_at(int dirfd, const char *name, const char *text);

/* Writes all of data, however many calls it takes. 0 or −errno. */
must_check int fd_write_all(int fd, const void *data, size_t size);

/* Are both descriptors of the same file? */
bool fd_same_file(int a, int b);
