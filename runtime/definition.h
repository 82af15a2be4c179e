/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox was asked to be: kept as long as it is not forgotten, also over the
 * daemon's end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/access.h"
#include "runtime/resident.h"
#include "runtime/runtime.h"

/*
 * Theory of operation
 *
 * A definition becomes a flat block of bytes: the label of a living sandbox (see
 * resident.h) or the content of a file, for one that is stopped. A block says how long it
 * is and which version wrote it, and carries a checksum of all of itself, so that one
 * that was cut, damaged or written by somebody else is told from a good one (FI-07). What
 * passes that is checked like a request.
 *
 *	definition.c		the block, and comparing what was asked for	(pure)
 *	definition_file.c	files of definitions
 *	definition_spec.c	what to build, and the workspace
 *
 * Files are named by keys of one length, made of the client's uid and a digest of the
 * sandbox's name, never by the name itself (E-44).
 */

enum {
	DEFINITION_DIGEST_SIZE = 32,
	DEFINITION_KEY_SIZE = 8 + 2 * DEFINITION_DIGEST_SIZE + 1, /* hex, with the NUL */
};

/* The client of a sandbox that is nobody's yet. */
#define DEFINITION_NOBODY ((uid_t)-1)

struct definition {
	uid_t client;
	struct wire_ensure asked; /* as it came from the client */
	struct wire_ensure completed; /* by access_check_ensure() */
	char **strings; /* environment, then labels; one block for free() */
	uint64_t created; /* ms since 1970 */
	uint64_t generation; /* the last one that was begun */
	uint64_t started; /* and when: ms of CLOCK_BOOTTIME, which no restart changes */
	uint64_t started_at; /* likewise, ms since 1970 */
	bool paused; /* by the client */
};

/* Frees the strings. Harmless on a zeroed one. */
void definition_free(struct definition *d);

/* How many strings belong to the request: variables, and two for each label. */
size_t definition_string_count(const struct wire_ensure *ensure);

/* Writes the block into buf, of RESIDENT_LABEL_SIZE bytes. −E2BIG: it does not fit, which
 * no request does that has passed access_check_strings(). */
must_check int definition_encode(const struct definition *d, void *buf, size_t *ret_size,
				 struct err *e);

/* Reads a block. −EBADMSG: it is not a whole and sound one of this version. *ret is for
 * definition_free(). */
must_check int definition_decode(const void *block, size_t size, struct definition *ret,
				 struct err *e);

/* A digest of what was asked for: equal for equal requests. Strings must have passed
 * access_check_strings(), which has put them in order. No secret and no signature: who
 * makes two requests collide gets his own sandbox with the settings of the first. */
void definition_digest(const struct wire_ensure *asked, char *const *strings,
		       uint8_t ret[DEFINITION_DIGEST_SIZE]);

/* The first thing in which another request differs, as the interface names it:
 * "profile", "workspace", "env", "labels", "limits", "network", "hostname",
 * "idle_timeout", "max_duration" or "auto_remove". NULL: nothing. Names are not compared.
 */
const char *definition_differs(const struct definition *d,
			       const struct wire_ensure *asked, char *const *strings);

/* --- files: `dirfd` is a directory that is root's alone, not opened with O_PATH */

/* The name of the file: hexadecimal digits, the client's uid first. */
void definition_key(uid_t client, const char *name, char ret[DEFINITION_KEY_SIZE]);

/* Writes the block to the client's file for that name, in one step: whoever reads, also
 * after a crash, finds the old content or the new one. −ENOSPC, −EROFS and the like leave
 * the old one. */
must_check int definition_store(int dirfd, const struct definition *d, struct err *e);

/* Removes the file; nothing to do where there is none. */
must_check int definition_remove(int dirfd, uid_t client, const char *name,
				 struct err *e);

/* What definition_each() calls. */
struct definition_visitor {
	/* Gets each definition, and owns its strings; a failure ends the walk. */
	int (*found)(void *context, struct definition *d, struct err *e);
	/* Is told of each file that is none, and stays where it is. */
	void (*skipped)(void *context, const char *file, const struct err *why);
	void *context;
};

/* Reads all files, in no order. Half-written ones, which a killed daemon has left, are
 * removed. */
must_check int definition_each(int dirfd, const struct definition_visitor *visitor,
			       struct err *e);

/* --- building */

/* A spec, and the text that it points to. */
struct definition_spec {
	struct spec spec;
	char *tmpfs[ACCESS_MOUNTS_MAX];
	char resolv_conf[NETNS_DNS_MAX * (IP_TEXT_MAX + 16)];
};

/* Fills in what resident_build() needs: without a command, mounts sorted and checked. The
 * spec borrows from all arguments, the workspace's descriptor (−1: none) too, and points
 * into *ret, which must not be moved. *ret is for definition_spec_free(), also on
 * failure. */
must_check int definition_spec_make(struct definition_spec *ret,
				    const struct runtime_config *config,
				    const struct profile *profile,
				    const struct wire_ensure *completed, int workspace,
				    struct err *e);
void definition_spec_free(struct definition_spec *s);

/* Opens the workspace, beneath the client's root, as O_PATH: a directory that belongs to
 * uid, with neither a symbolic link nor another mount on the way (E-40, E-49). The error
 * is a sentence for the client: of the host it has no more than the client has named.
 *
 * Must be called where waiting does no harm: file systems can be slow. */
must_check int definition_open_workspace(const struct client *client,
					 const char *workspace, uid_t uid, int *ret_fd,
					 struct err *e);
