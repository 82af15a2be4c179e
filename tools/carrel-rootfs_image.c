/* SPDX-License-Identifier: Apache-2.0 */
/* Images: which layers there are, and one over the other. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "tools/carrel-rootfs.h"
#include "tools/image.h"

enum { INDEXES_MAX = 4 }; /* one in another */

/* A document that has been read. */
struct document {
	char *text; /* owned */
	size_t size;
};

/* docker has links among layers. None leads out of the image, and nothing but a regular
 * file is waited for. */
static int open_part(int dir, const char *path, int *ret, struct err *e)
{
	auto_fd fd =
		sys_openat2(dir, path, O_RDONLY | O_NONBLOCK,
			    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno, "open \"%.100s\" of the image", path);
	if (!S_ISREG(st.st_mode))
		return err_say(e, EINVAL, "\"%.100s\" of the image is no file", path);
	*ret = fd_take(&fd);
	return 0;
}

static int check_digest(const struct image_part *part, const char *digest, uint64_t size,
			struct err *e)
{
	if (*part->digest && (strcmp(part->digest, digest) != 0 || part->size != size))
		return err_say(e, EBADMSG, "\"%.100s\" of the image has been changed",
			       part->path);
	return 0;
}

static int read_document(int dir, const struct image_part *part, struct document *ret,
			 struct err *e)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	SHA2_CTX sum;
	auto_fd fd = -1;
	ssize_t n = 1;
	int r = open_part(dir, part->path, &fd, e);

	if (r < 0)
		return r;
	ret->text = malloc(IMAGE_JSON_MAX + 1);
	if (!ret->text)
		return err_set(e, ENOMEM, "read \"%.100s\"", part->path);
	for (ret->size = 0; n > 0 && ret->size <= IMAGE_JSON_MAX;
	     ret->size += (size_t)n) {
		n = read(fd, ret->text + ret->size, IMAGE_JSON_MAX + 1 - ret->size);
		if (n < 0)
			return err_set(e, errno, "read \"%.100s\"", part->path);
	}
	SHA256Init(&sum);
	SHA256Update(&sum, (const uint8_t *)ret->text, ret->size);
	SHA256End(&sum, digest);
	return check_digest(part, digest, ret->size, e);
}

enum about_source image_detect(int dir)
{
	struct image_part manifest = { .path = (char[]){ "manifest.json" } };
	enum about_source is = ABOUT_UNKNOWN;
	struct document document = { 0 };
	struct err ignored;

	if (faccessat(dir, "oci-layout", F_OK, 0) == 0 &&
	    faccessat(dir, "index.json", F_OK, 0) == 0)
		return ABOUT_OCI;
	if (faccessat(dir, "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    read_document(dir, &manifest, &document, &ignored) == 0 &&
	    image_is_docker(document.text, document.size))
		is = ABOUT_DOCKER;
	free(document.text);
	return is;
}

/* --- what it consists of ----------------------------------------------------------- */

static int find_docker(int dir, struct image *ret, struct err *e)
{
	struct image_part part = { .path = (char[]){ "manifest.json" } };
	struct document document = { 0 };
	int r = read_document(dir, &part, &document, e);

	if (r == 0)
		r = image_read_docker(document.text, document.size, ret, e);
	free(document.text);
	return r;
}

/* From index to index to what they lead to. */
static int find_manifest(int dir, struct image_part *ret, struct err *e)
{
	bool more = true;
	int r = 0;

	ret->path = strdup("index.json");
	if (!ret->path)
		return err_set(e, ENOMEM, "read an index");
	for (int depth = 0; r == 0 && more; depth++) {
		struct document document = { 0 };
		struct image_part next = { 0 };

		if (depth == INDEXES_MAX)
			return err_say(e, ELOOP, "more than %d indexes in each other",
				       INDEXES_MAX);
		r = read_document(dir, ret, &document, e);
		if (r == 0)
			r = image_read_index(document.text, document.size, &next, &more,
					     e);
		free(document.text);
		image_part_free(ret);
		*ret = next;
	}
	return r;
}

static int find_oci(int dir, struct image *ret, struct about *about, struct err *e)
{
	struct image_part manifest = { 0 };
	struct document document = { 0 };
	int r = find_manifest(dir, &manifest, e);

	if (r == 0)
		r = read_document(dir, &manifest, &document, e);
	if (r == 0)
		r = image_read_manifest(document.text, document.size, ret, e);
	if (r == 0)
		bug_on(str_format(about->digest, sizeof(about->digest), "sha256:%s",
				  manifest.digest) < 0);
	image_part_free(&manifest);
	free(document.text);
	return r;
}

static int take_config(int dir, const struct image *image, struct about *about,
		       struct err *e)
{
	struct document document = { 0 };
	int r;

	if (!image->config.path)
		return 0;
	r = read_document(dir, &image->config, &document, e);
	if (r == 0)
		r = image_read_config(document.text, document.size, &about->config, e);
	free(document.text);
	return r;
}

/* --- layers ------------------------------------------------------------------------ */

static int read_layer(int dir, const struct image_part *layer, enum archive_pass pass,
		      struct unpack *u, struct err *e)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	auto_fd fd = -1;
	uint64_t size = 0;
	int r = open_part(dir, layer->path, &fd, e);

	if (r == 0)
		r = archive_unpack(fd, pass, u, digest, &size, e);
	/* Of the very bytes that were unpacked, so nobody can change them in between. */
	return r == 0 ? check_digest(layer, digest, size, e) : r;
}

/* What a layer removes is of the layers below it alone, wherever in it that is said: so
 * that comes first. */
static int apply_layer(int dir, const struct image_part *layer, bool lowest,
		       struct unpack *u, struct err *e)
{
	uint64_t bytes = u->seen_bytes, files = u->seen_files;
	int r = lowest ? 0 : read_layer(dir, layer, ARCHIVE_REMOVE, u, e);

	/* All of it is about to be counted again. */
	u->seen_bytes = bytes;
	u->seen_files = files;
	return r == 0 ? read_layer(dir, layer, ARCHIVE_MAKE, u, e) : r;
}

int image_unpack(int dir, enum about_source kind, struct unpack *u, struct about *ret,
		 struct err *e)
{
	struct image image = { 0 };
	int r = kind == ABOUT_DOCKER ? find_docker(dir, &image, e)
				     : find_oci(dir, &image, ret, e);

	ret->source = kind;
	if (r == 0)
		r = take_config(dir, &image, ret, e);
	for (size_t i = 0; r == 0 && i < image.layer_count; i++) {
		r = apply_layer(dir, &image.layers[i], i == 0, u, e);
		if (r < 0)
			err_wrap(e, "layer %zu", i + 1);
	}
	image_free(&image);
	return r;
}
