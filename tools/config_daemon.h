/* SPDX-License-Identifier: Apache-2.0 */
/* What carreld reads of its configuration: sections [pool], [profile NAME] and [client
 * NAME]. */
#pragma once

#include "base/err.h"
#include "runtime/runtime.h"
#include "tools/config.h"
#include "tools/ini_file.h"

enum { CONFIG_NAME_MAX = 32 }; /* bytes of a profile's or client's name */

/* Reads these sections of the file that config_read() reads, and then the files of
 * policy.d beside it that end in ".conf", in the order of their names, which may have
 * profiles and clients only. Users, profiles and workspace roots that clients name must
 * be there. *ret is for access_free(), also on failure. */
must_check int config_daemon_read(const char *path, struct access *ret, struct err *e);

/* How it is read by who wants to know more than carreld. */
struct config_reading {
	const struct ini_watch *watch; /* of all files; NULL: nobody */
	/* A file that is read as if it stood in policy.d, after the ones whose names are
	 * before its own; those behind it are not read. NULL: all that is there. */
	const char *candidate;
};

/* The same, with the other sections. *ret is for access_free() and *ret_config for
 * config_free(), also on failure; that one must not be moved. */
must_check int config_daemon_read_for(const char *path,
				      const struct config_reading *reading,
				      struct access *ret, struct config *ret_config,
				      struct err *e);

/* --- for the files config_*.c */

/* Where reading has got to. */
struct config_daemon {
	const struct config_reading *reading;
	struct access *access;
	struct profile *profile; /* of the section that is being read */
	struct client *client;
	struct profile usual_profile; /* what a new one begins with */
	struct client usual_client;
	bool clients_named; /* then there is none for anybody */
	bool users_named[ACCESS_CLIENTS_MAX]; /* by index of the client */
};

/* Keys of the sections, for a struct config_daemon. */
extern const struct ini_row config_pool_rows[];
extern const struct ini_row config_profile_rows[];
extern const struct ini_row config_client_rows[];

/* Is it a name that a profile or a client can have? */
must_check int config_check_name(const char *name, struct err *e);

/* Limits, with what they must be at least and at most; "unlimited" is 0. */
must_check int config_parse_memory(const char *value, uint64_t *ret, struct err *e);
must_check int config_parse_cpus(const char *value, uint64_t *ret, struct err *e);
must_check int config_parse_pids(const char *value, uint64_t *ret, struct err *e);

/* A number of things, 1 to `most`, or "unlimited": 0. */
must_check int config_parse_count(const char *value, uint32_t most, uint32_t *ret,
				  struct err *e);

/* One of two words. */
must_check int config_parse_word(const char *value, const char *no, const char *yes,
				 bool *ret, struct err *e);

/* An absolute path without empty, "." or ".." parts, into a buffer. */
must_check int config_parse_path(const char *value, char *buf, size_t size,
				 struct err *e);

/* Completes the profiles, and refuses networks that cannot be had. */
must_check int config_profiles_finish(struct config_daemon *d,
				      const struct netns_settings *network,
				      struct err *e);

/* Finds the users that clients are named after, and looks at their workspace roots. */
must_check int config_clients_finish(struct config_daemon *d, struct err *e);
