/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file, carrel.conf(5). */
#pragma once

#include "base/err.h"
#include "runtime/runtime.h"
#include "tools/exceptions.h"
#include "tools/ini_file.h"

#define CONFIG_PATH "/etc/carrel/carrel.conf"

enum { CONFIG_VALUE_MAX = 256 };

/* What the file says, over the defaults. */
struct config {
	struct runtime_config runtime;
	char state_dir[CONFIG_VALUE_MAX]; /* behind runtime.state_dir */
	char rootfs_store[CONFIG_VALUE_MAX]; /* behind runtime.rootfs_store */
	bool dns_named; /* runtime.network.dns is the file's */
	struct exceptions allow; /* what --allow may ask for */
};

/* Reads the file at `path`, or the one at CONFIG_PATH if there is one (path NULL).
 * Unknown sections, keys and malformed values are errors with file and line; in sections
 * that are the daemon's, values are not looked at. *ret is for config_free(), also on
 * failure, and must not be moved. */
must_check int config_read(const char *path, struct config *ret, struct err *e);

/* The same with those sections, for config_daemon_read(): `daemon` is their context.
 * `watch` may be NULL. */
must_check int config_read_with(const char *path, void *daemon,
				const struct ini_watch *watch, struct config *ret,
				struct err *e);
void config_free(struct config *c);
