/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

/* What libFuzzer calls, again and again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A directory of the run's own, made when it is first asked for. */
static inline const char *fuzz_directory(void)
{
	static char path[64];

	if (!*path) {
		const char *top = getenv("FUZZ_DIR");

		snprintf(path, sizeof(path), "%s/fuzz-XXXXXX", top ? top : "/tmp");
		if (!mkdtemp(path))
			abort();
	}
	return path;
}

/* Those bytes as that file. */
static inline void fuzz_write(const char *path, const uint8_t *data, size_t size)
{
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, data, size) < 0)
		abort();
}
