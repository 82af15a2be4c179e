/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/image.h"

#define BLOBS  "blobs/sha256/"
#define SHA256 "sha256:"

enum { LAYER_PATH_MAX = 1024 };

static int parse(const char *text, size_t size, const char *what, json_t **ret,
		 struct err *e)
{
	json_error_t error;

	if (size > IMAGE_JSON_MAX)
		return err_say(e, E2BIG, "%s has more than %d bytes", what,
			       IMAGE_JSON_MAX);
	*ret = json_loadb(text, size, 0, &error);
	if (!*ret)
		return err_say(e, EINVAL, "%s: line %d: %.100s", what, error.line,
			       error.text);
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

void image_part_free(struct image_part *part)
{
	free(part->path);
	*part = (struct image_part){ 0 };
}

void image_free(struct image *image)
{
	for (size_t i = 0; i < image->layer_count; i++)
		image_part_free(&image->layers[i]);
	free(image->layers);
	image_part_free(&image->config);
	*image = (struct image){ 0 };
}

static int make_layers(const json_t *array, struct image *ret, struct err *e)
{
	size_t count = json_array_size(array);

	if (!json_is_array(array))
		return err_say(e, EINVAL, "the image's list of layers is missing");
	if (count > IMAGE_LAYERS_MAX)
		return err_say(e, E2BIG, "the image has %zu layers, more than %d", count,
			       IMAGE_LAYERS_MAX);
	ret->layers = calloc(count + 1, sizeof(*ret->layers));
	if (!ret->layers)
		return err_set(e, ENOMEM, "list layers");
	ret->layer_count = count;
	return 0;
}

/* --- docker ------------------------------------------------------------------------ */

/* Whether the path stays in the image is seen where it is opened. */
static int take_path(const json_t *value, struct image_part *ret, struct err *e)
{
	const char *path = json_string_value(value);

	if (!path || !*path || strlen(path) > LAYER_PATH_MAX)
		return err_say(e, EINVAL, "manifest.json names a file that cannot be");
	ret->path = strdup(path);
	return ret->path ? 0 : err_set(e, ENOMEM, "keep a path");
}

static int take_docker(const json_t *list, struct image *ret, struct err *e)
{
	const json_t *only = json_array_get(list, 0), *layers, *config;
	int r;

	if (json_array_size(list) != 1)
		return err_say(e, EINVAL, "manifest.json has %zu images; expected one",
			       json_array_size(list));
	layers = json_object_get(only, "Layers");
	config = json_object_get(only, "Config");
	r = make_layers(layers, ret, e);
	if (r == 0 && config)
		r = take_path(config, &ret->config, e);
	for (size_t i = 0; r == 0 && i < ret->layer_count; i++)
		r = take_path(json_array_get(layers, i), &ret->layers[i], e);
	return r;
}

int image_read_docker(const char *text, size_t size, struct image *ret, struct err *e)
{
	json_t *list = NULL;
	int r;

	*ret = (struct image){ 0 };
	r = parse(text, size, "manifest.json", &list, e);
	if (r == 0)
		r = take_docker(list, ret, e);
	json_decref(list);
	return r;
}

bool image_is_docker(const char *text, size_t size)
{
	struct err ignored;
	json_t *list = NULL;
	bool is;

	if (parse(text, size, "manifest.json", &list, &ignored) < 0)
		return false;
	is = json_is_array(json_object_get(json_array_get(list, 0), "Layers"));
	json_decref(list);
	return is;
}

/* --- OCI --------------------------------------------------------------------------- */

/* {"digest": "sha256:…", "size": N}: a file that is named by its digest. */
static int take_descriptor(const json_t *value, struct image_part *ret, struct err *e)
{
	const char *digest = text_of(value, "digest"), *hex = digest + strlen(SHA256);
	const json_t *size = json_object_get(value, "size");

	if (strncmp(digest, SHA256, strlen(SHA256)) != 0 ||
	    strlen(hex) != 2 * SHA256_DIGEST_LENGTH || !str_only(hex, "0123456789abcdef"))
		return err_say(e, EINVAL, "\"%.80s\" is no digest by SHA-256", digest);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return err_say(e, EINVAL, "%s has no size", digest);
	if (asprintf(&ret->path, BLOBS "%s", hex) < 0) {
		ret->path = NULL;
		return err_set(e, ENOMEM, "keep a path");
	}
	memcpy(ret->digest, hex, sizeof(ret->digest));
	ret->size = (uint64_t)json_integer_value(size);
	return 0;
}

/* 2: it is said to be for us; 1: nothing is said; 0: for others. */
static int suits(const json_t *entry)
{
	const json_t *platform = json_object_get(entry, "platform");

	if (!platform)
		return 1;
	return !strcmp(text_of(platform, "os"), "linux") &&
			       !strcmp(text_of(platform, "architecture"), "amd64")
		       ? 2
		       : 0;
}

static bool is_index(const json_t *entry)
{
	const char *type = text_of(entry, "mediaType");

	return !strcmp(type, "application/vnd.oci.image.index.v1+json") ||
	       !strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

static int choose(const json_t *entries, const json_t **ret, struct err *e)
{
	const json_t *best = NULL;
	bool doubt = false;
	size_t i;
	json_t *entry;

	json_array_foreach(entries, i, entry) {
		int s = suits(entry), t = best ? suits(best) : 0;

		if (s == 0 || s < t)
			continue;
		/* Several names of one image are one image. */
		doubt = s == t && (doubt || strcmp(text_of(entry, "digest"),
						   text_of(best, "digest")) != 0);
		best = entry;
	}
	if (!best)
		return err_say(e, EINVAL, "nothing in it is for linux/amd64");
	if (doubt)
		return err_say(e, EINVAL, "more than one image in it is for linux/amd64");
	*ret = best;
	return 0;
}

int image_read_index(const char *text, size_t size, struct image_part *ret,
		     bool *ret_index, struct err *e)
{
	const json_t *chosen = NULL;
	json_t *index = NULL;
	int r;

	*ret = (struct image_part){ 0 };
	r = parse(text, size, "an image index", &index, e);
	if (r == 0)
		r = choose(json_object_get(index, "manifests"), &chosen, e);
	if (r == 0) {
		*ret_index = is_index(chosen);
		r = take_descriptor(chosen, ret, e);
	}
	json_decref(index);
	return r;
}

/* A tar archive, however it is compressed. What is encrypted is not one. */
static bool is_layer(const char *type)
{
	static const char *const types[] = {
		"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
	};
	static const char *const endings[] = { "", "+gzip", "+zstd", ".gzip", ".zstd" };

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		size_t len = strlen(types[i]);

		if (strncmp(type, types[i], len) != 0)
			continue;
		for (size_t k = 0; k < sizeof(endings) / sizeof(*endings); k++) {
			if (!strcmp(type + len, endings[k]))
				return true;
		}
	}
	return false;
}

static int take_manifest(const json_t *manifest, struct image *ret, struct err *e)
{
	const json_t *layers = json_object_get(manifest, "layers");
	const json_t *config = json_object_get(manifest, "config");
	int r = make_layers(layers, ret, e);

	if (r == 0 && config)
		r = take_descriptor(config, &ret->config, e);
	for (size_t i = 0; r == 0 && i < ret->layer_count; i++) {
		const json_t *layer = json_array_get(layers, i);
		const char *type = text_of(layer, "mediaType");

		if (!is_layer(type))
			return err_say(e, ENOTSUP, "a layer is of type \"%.80s\"", type);
		r = take_descriptor(layer, &ret->layers[i], e);
	}
	return r;
}

int image_read_manifest(const char *text, size_t size, struct image *ret, struct err *e)
{
	json_t *manifest = NULL;
	int r;

	*ret = (struct image){ 0 };
	r = parse(text, size, "an image manifest", &manifest, e);
	if (r == 0)
		r = take_manifest(manifest, ret, e);
	json_decref(manifest);
	return r;
}

/* --- configuration ----------------------------------------------------------------- */

static bool is_words(const json_t *value)
{
	size_t i;
	json_t *word;

	json_array_foreach(value, i, word) {
		if (!json_is_string(word))
			return false;
	}
	return json_is_array(value);
}

/* What is of the wrong type is left out: it is for people to read. */
static int keep(const json_t *all, json_t *kept)
{
	static const struct {
		const char *key;
		bool words;
	} rows[] = { { "Env", true },
		     { "Entrypoint", true },
		     { "Cmd", true },
		     { "WorkingDir", false },
		     { "User", false } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *value = json_object_get(all, rows[i].key);

		if (rows[i].words ? is_words(value) : json_string_length(value) > 0)
			r = json_object_set(kept, rows[i].key, value);
	}
	return r;
}

static int check_machine(const json_t *config, struct err *e)
{
	const char *os = text_of(config, "os"),
		   *machine = text_of(config, "architecture");

	if ((*os && strcmp(os, "linux") != 0) || (*machine && strcmp(machine, "amd64")))
		return err_say(e, ENOTSUP, "the image is for %.40s/%.40s", os, machine);
	return 0;
}

static int take_config(const json_t *config, json_t *kept, struct err *e)
{
	int r = check_machine(config, e);

	if (r < 0)
		return r;
	if (!kept || keep(json_object_get(config, "config"), kept) < 0)
		return err_set(e, ENOMEM, "keep the image's configuration");
	if (json_dumpb(kept, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII) >
	    IMAGE_CONFIG_MAX)
		return err_say(e, E2BIG, "the image's configuration is too long");
	return 0;
}

int image_read_config(const char *text, size_t size, json_t **ret, struct err *e)
{
	json_t *config = NULL, *kept = json_object();
	int r = parse(text, size, "an image's configuration", &config, e);

	if (r == 0)
		r = take_config(config, kept, e);
	json_decref(config);
	if (r < 0)
		json_decref(kept);
	else
		*ret = kept;
	return r;
}
