/* SPDX-License-Identifier: Apache-2.0 */
/* What an image's maker writes: documents, and the names in its layers. The first byte
 * says what the rest is. */
#include "rootfs/rootfs.h"
#include "tests/fuzz/fuzz.h"
#include "tools/about.h"
#include "tools/image.h"

static void check_error(int r, const struct err *e)
{
	bug_on(r > 0 || (r < 0 && (e->code != r || !*e->msg)));
}

/* A part that is told by its digest is nowhere but among the blobs. */
static void check_part(const struct image_part *part)
{
	char expected[32 + SHA256_DIGEST_STRING_LENGTH];

	if (!*part->digest)
		return;
	snprintf(expected, sizeof(expected), "blobs/sha256/%s", part->digest);
	bug_on(strlen(part->digest) != SHA256_DIGEST_STRING_LENGTH - 1 ||
	       strcmp(part->path, expected));
}

static void read_image(const char *text, size_t size, bool docker)
{
	struct image image;
	struct err e = { 0 };
	int r = docker ? image_read_docker(text, size, &image, &e)
		       : image_read_manifest(text, size, &image, &e);

	check_error(r, &e);
	bug_on(r == 0 && image.layer_count > IMAGE_LAYERS_MAX);
	for (size_t i = 0; r == 0 && i < image.layer_count; i++) {
		bug_on(!image.layers[i].path);
		check_part(&image.layers[i]);
	}
	image_free(&image);
}

static void read_index(const char *text, size_t size)
{
	struct image_part part;
	struct err e = { 0 };
	bool more = false;
	int r = image_read_index(text, size, &part, &more, &e);

	check_error(r, &e);
	bug_on(r == 0 && !*part.digest);
	if (r == 0)
		check_part(&part);
	image_part_free(&part);
}

static void read_config(const char *text, size_t size)
{
	json_t *kept = NULL;
	struct err e = { 0 };
	int r = image_read_config(text, size, &kept, &e);

	check_error(r, &e);
	bug_on(r == 0 && json_dumpb(kept, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII) >
				 IMAGE_CONFIG_MAX);
	json_decref(kept);
}

static void read_about(const char *text, size_t size)
{
	struct about about;
	struct err e = { 0 };
	int r = about_parse(text, size, &about, &e);
	json_t *object = r == 0 ? about_object(&about, "x") : NULL;

	check_error(r, &e);
	bug_on(r == 0 && !object);
	json_decref(object);
	about_free(&about);
}

static void read_name(const char *text, size_t size)
{
	char *name = strndup(text, size);
	struct err e = { 0 };
	bool plain;

	if (!name)
		abort();
	check_error(unpack_is_plain(name, &plain, &e), &e);
	bug_on(store_is_name(name) != (store_check_name(name, &e) == 0));
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (!size)
		return 0;
	if (data[0] == 'd' || data[0] == 'm')
		read_image(text, size - 1, data[0] == 'd');
	else if (data[0] == 'i')
		read_index(text, size - 1);
	else if (data[0] == 'c')
		read_config(text, size - 1);
	else if (data[0] == 'a')
		read_about(text, size - 1);
	else
		read_name(text, size - 1);
	return 0;
}
