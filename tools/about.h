/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a rootfs in the store: its file about.json. */
#pragma once

#include <jansson.h>
#include <sha2.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/rootfs.h"

#define ABOUT_FILE "about.json"

enum {
	ABOUT_SIZE_MAX = 64 << 10, /* bytes of the file */
	ABOUT_DIGEST_MAX = sizeof("sha256:") - 1 + SHA256_DIGEST_STRING_LENGTH,
};

/* What it was made from. */
enum about_source {
	ABOUT_UNKNOWN,
	ABOUT_ARCHIVE,
	ABOUT_DIRECTORY,
	ABOUT_DOCKER, /* docker save */
	ABOUT_OCI,
	ABOUT_SOURCE_MAX,
};

/* "archive", "directory", "docker", "oci"; "?" for ABOUT_UNKNOWN. */
const char *about_source_name(enum about_source source);

struct about {
	enum about_source source;
	/* Of the archive as it was read, or of an OCI image's manifest; "": none. */
	char digest[ABOUT_DIGEST_MAX];
	struct unpack_counts counts;
	uint64_t created; /* ms since 1970 */
	json_t *config; /* owned; see image_read_config(); NULL: none */
};

/* Frees what it owns. Harmless on a zeroed one. */
void about_free(struct about *about);

/* As an object with the name put first ("": without one), or NULL without memory. */
json_t *about_object(const struct about *about, const char *name);

/* Reads it back. −EBADMSG: it is not one. *ret is for about_free(). */
must_check int about_parse(const char *text, size_t size, struct about *ret,
			   struct err *e);

/* The file in the directory of a rootfs. */
must_check int about_write(int dir, const struct about *about, struct err *e);
must_check int about_read(int dir, struct about *ret, struct err *e);
