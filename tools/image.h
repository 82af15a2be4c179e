/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON documents of images: bytes of strangers in, structs out. */
#pragma once

#include <jansson.h>
#include <sha2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	IMAGE_LAYERS_MAX = 512,
	IMAGE_JSON_MAX = 4 << 20, /* bytes of one document */
	IMAGE_CONFIG_MAX = 48 << 10, /* bytes of what is kept of a configuration */
};

/* A file of the image. */
struct image_part {
	char *path; /* relative to the image; owned */
	char digest[SHA256_DIGEST_STRING_LENGTH]; /* that its bytes must have; "": not
						     told */
	uint64_t size; /* bytes that it must have, if the digest is told */
};

/* What an image is made of. */
struct image {
	struct image_part config; /* path NULL: none */
	struct image_part *layers; /* the lowest first; owned */
	size_t layer_count;
};

/* Frees what image_read_…() has made; harmless on a zeroed one. */
void image_free(struct image *image);
void image_part_free(struct image_part *part);

/* Each parses one document of `size` bytes. −EINVAL: it is not what it should be. Results
 * are to be freed as above, also on failure. */

/* docker's manifest.json, of one image. */
must_check int image_read_docker(const char *text, size_t size, struct image *ret,
				 struct err *e);

/* Is it such a manifest at all, whatever its content? */
bool image_is_docker(const char *text, size_t size);

/* An OCI index: what it has for linux/amd64. *ret_index: that is another index. */
must_check int image_read_index(const char *text, size_t size, struct image_part *ret,
				bool *ret_index, struct err *e);

/* An OCI manifest, or docker's of the second version. */
must_check int image_read_manifest(const char *text, size_t size, struct image *ret,
				   struct err *e);

/* A configuration: what is kept of it is an object with Env, Entrypoint, Cmd, WorkingDir
 * and User, as far as they are there. Refuses one for other machines than linux/amd64. */
must_check int image_read_config(const char *text, size_t size, json_t **ret,
				 struct err *e);
