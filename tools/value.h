/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options that several commands have. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* A limit: what `parse` takes and is not 0, such as `example`; or "unlimited", which is
 * 0. */
must_check int value_limit(const char *value, int (*parse)(const char *, uint64_t *),
			   const char *example, uint64_t *ret, struct err *e);

/* Processes and threads, for value_limit(). */
must_check int value_count(const char *value, uint64_t *ret);

/* A span of time that is not 0, in milliseconds. */
must_check int value_time(const char *value, uint64_t *ret_ms, struct err *e);

/* UID[:GID], each 1 to 65534; the group is the user if it is left out. Cuts the value. */
must_check int value_user(char *value, uid_t *ret_uid, gid_t *ret_gid, struct err *e);

/* "egress" is true, "none" false. */
must_check int value_network(const char *value, bool *ret_egress, struct err *e);

/* An absolute path inside. */
must_check int value_directory(const char *value, struct err *e);

/* An open descriptor above 2. */
must_check int value_descriptor(const char *value, int *ret, struct err *e);

/* A signal: "TERM", "SIGTERM", in any case, or a number. */
must_check int value_signal(const char *value, int *ret, struct err *e);
