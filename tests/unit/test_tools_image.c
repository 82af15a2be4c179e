/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/image.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define A     "\"digest\":\"sha256:" HEX_A "\",\"size\":3"
#define B     "\"digest\":\"sha256:" HEX_B "\",\"size\":4"
#define AMD64 "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}"
#define ARM64 "\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}"
#define INDEX "\"mediaType\":\"application/vnd.oci.image.index.v1+json\""
#define LAYER "\"mediaType\":\"application/vnd.oci.image.layer.v1.tar"

static struct err e;

/* The digest that it leads to, "" for none. */
static const char *chosen(const char *entries)
{
	static struct image_part part;
	static char digest[SHA256_DIGEST_STRING_LENGTH];
	char text[2048];
	bool index = false;
	int r;

	snprintf(text, sizeof(text), "{\"manifests\":[%s]}", entries);
	r = image_read_index(text, strlen(text), &part, &index, &e);
	snprintf(digest, sizeof(digest), "%s", r == 0 ? part.digest : "");
	image_part_free(&part);
	return digest;
}

static void an_index_leads_to_what_is_for_this_machine(void **state)
{
	(void)state;
	assert_string_equal(chosen("{" A "}"), HEX_A);
	assert_string_equal(chosen("{" A "," ARM64 "},{" B "," AMD64 "}"), HEX_B);
	assert_string_equal(chosen("{" B "," AMD64 "},{" A "}"), HEX_B);
	assert_string_equal(chosen("{" A "},{" B "," AMD64 "}"), HEX_B);
	assert_string_equal(chosen("{" A "},{" A "}"), HEX_A);
	assert_string_equal(chosen("{" A "," AMD64 "},{" A "," AMD64 "}"), HEX_A);
}

static void an_index_in_doubt_leads_nowhere(void **state)
{
	(void)state;
	assert_string_equal(chosen(""), "");
	assert_string_equal(chosen("{" A "," ARM64 "}"), "");
	assert_non_null(strstr(e.msg, "nothing in it is for linux/amd64"));
	assert_string_equal(chosen("{" A "},{" B "}"), "");
	assert_non_null(strstr(e.msg, "more than one image"));
	assert_string_equal(
		chosen("{" A "," AMD64 "},{" B "," AMD64 "},{" B "," AMD64 "}"), "");
	assert_string_equal(chosen("{" A "},{" B "},{" B "}"), "");
	assert_string_equal(chosen("{" A "},{" A "},{" B "," AMD64 "}"), HEX_B);
	assert_string_equal(chosen("7"), "");
	assert_string_equal(chosen("{" A ",\"platform\":7}"), "");
}

static void an_index_may_lead_to_another(void **state)
{
	static const char text[] = "{\"manifests\":[{" INDEX "," A "}]}";
	struct image_part part;
	bool index = false;

	(void)state;
	assert_int_equal(image_read_index(text, sizeof(text) - 1, &part, &index, &e), 0);
	assert_true(index);
	assert_string_equal(part.path, "blobs/sha256/" HEX_A);
	assert_int_equal(part.size, 3);
	image_part_free(&part);
}

static void digests_are_64_lower_case_digits_with_a_size(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"digest\":\"sha256:" HEX_A "\"}",
		"{\"digest\":\"sha256:" HEX_A "\",\"size\":-1}",
		"{\"digest\":\"sha256:" HEX_A "\",\"size\":\"3\"}",
		"{\"digest\":\"sha256:" HEX_A "a\",\"size\":3}",
		"{\"digest\":\"sha256:\",\"size\":3}",
		"{\"digest\":\"sha\",\"size\":3}",
		"{\"digest\":\"\",\"size\":3}",
		"{\"digest\":7,\"size\":3}",
		"{\"digest\":\"sha512:" HEX_A "\",\"size\":3}",
		"{\"digest\":\"sha256:"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		"AAAAAA\",\"size\":3}",
		"{\"digest\":\"sha256:../../../../../../../../../../../../../../../../../"
		"../../../"
		"etc\",\"size\":3}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_string_equal(chosen(bad[i]), "");
}

static int manifest(const char *text, struct image *ret)
{
	return image_read_manifest(text, strlen(text), ret, &e);
}

static void a_manifest_has_layers_from_below(void **state)
{
	struct image image;

	(void)state;
	assert_int_equal(manifest("{\"config\":{" A "},\"layers\":[{" LAYER "\"," A
				  "},{" LAYER "+gzip\"," B "},{" LAYER "+zstd\"," A "}]}",
				  &image),
			 0);
	assert_int_equal(image.layer_count, 3);
	assert_string_equal(image.config.digest, HEX_A);
	assert_string_equal(image.layers[1].path, "blobs/sha256/" HEX_B);
	assert_int_equal(image.layers[1].size, 4);
	image_free(&image);
	assert_int_equal(manifest("{\"layers\":[]}", &image), 0);
	assert_null(image.config.path);
	image_free(&image);
}

static void a_manifest_of_something_else_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"layers\":{}}",
		"{\"layers\":[7]}",
		"{\"layers\":[{" A "}]}",
		"{\"layers\":[{" LAYER "+encrypted\"," A "}]}",
		"{\"layers\":[{" LAYER "+gzip+encrypted\"," A "}]}",
		"{\"layers\":[{\"mediaType\":\"application/vnd.in-toto+json\"," A "}]}",
		"{\"layers\":[{" LAYER "\"}]}",
		"{\"config\":{},\"layers\":[]}",
	};
	struct image image;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (manifest(bad[i], &image) >= 0)
			fail_msg("%s", bad[i]);
		image_free(&image);
	}
}

static int docker(const char *text, struct image *ret)
{
	return image_read_docker(text, strlen(text), ret, &e);
}

static void dockers_manifest_names_files(void **state)
{
	static const char good[] =
		"[{\"Config\":\"c.json\",\"RepoTags\":null,\"Layers\":[\"a/"
		"layer.tar\",\"b\"]}]";
	struct image image;

	(void)state;
	assert_true(image_is_docker(good, strlen(good)));
	assert_int_equal(docker(good, &image), 0);
	assert_int_equal(image.layer_count, 2);
	assert_string_equal(image.layers[0].path, "a/layer.tar");
	assert_string_equal(image.layers[0].digest, "");
	assert_string_equal(image.config.path, "c.json");
	image_free(&image);
}

static void dockers_manifest_of_anything_else_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"[7]",
		"[{}]",
		"[{\"Layers\":[]},{\"Layers\":[]}]",
		"[{\"Layers\":[7]}]",
		"[{\"Layers\":[\"\"]}]",
		"[{\"Layers\":[],\"Config\":7}]",
		"[{\"Layers\":\"x\"}]",
	};
	char many[16 * (IMAGE_LAYERS_MAX + 2)] = "[{\"Layers\":[\"a\"";
	struct image image;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (docker(bad[i], &image) >= 0)
			fail_msg("%s", bad[i]);
		image_free(&image);
	}
	for (int i = 0; i < IMAGE_LAYERS_MAX; i++)
		strncat(many, ",\"a\"", 5);
	strncat(many, "]}]", 4);
	assert_int_equal(docker(many, &image), -E2BIG);
	image_free(&image);
	assert_false(image_is_docker("{\"name\":1}", 10));
	assert_false(image_is_docker("[{}]", 4));
	assert_false(image_is_docker("", 0));
}

static int configuration(const char *text, json_t **ret)
{
	return image_read_config(text, strlen(text), ret, &e);
}

static void of_a_configuration_five_keys_are_kept(void **state)
{
	json_t *kept, *expected;

	(void)state;
	assert_int_equal(
		configuration("{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{"
			      "\"Env\":[\"A=1\"],\"Cmd\":[\"x\"],\"Entrypoint\":null,"
			      "\"WorkingDir\":\"/"
			      "srv\",\"User\":\"\",\"Labels\":{\"a\":\"b\"}}}",
			      &kept),
		0);
	expected = json_pack("{s:[s], s:[s], s:s}", "Env", "A=1", "Cmd", "x",
			     "WorkingDir", "/srv");
	assert_true(json_equal(kept, expected));
	json_decref(kept);
	json_decref(expected);
	assert_int_equal(configuration("{\"config\":{\"Env\":[7],\"User\":{}}}", &kept),
			 0);
	assert_int_equal(json_object_size(kept), 0);
	json_decref(kept);
	assert_int_equal(configuration("{}", &kept), 0);
	json_decref(kept);
}

static void a_configuration_for_another_machine_is_refused(void **state)
{
	json_t *kept = NULL;

	(void)state;
	assert_int_equal(configuration("{\"architecture\":\"arm64\"}", &kept), -ENOTSUP);
	assert_int_equal(
		configuration("{\"os\":\"windows\",\"architecture\":\"amd64\"}", &kept),
		-ENOTSUP);
	assert_int_equal(configuration("nonsense", &kept), -EINVAL);
	assert_null(kept);
}

static void documents_have_a_size(void **state)
{
	char *text = malloc(IMAGE_JSON_MAX + 2);
	struct image image;
	json_t *kept;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', IMAGE_JSON_MAX + 2);
	memcpy(text, "{\"layers\":[]}", 13);
	assert_int_equal(image_read_manifest(text, IMAGE_JSON_MAX, &image, &e), 0);
	image_free(&image);
	assert_int_equal(image_read_manifest(text, IMAGE_JSON_MAX + 1, &image, &e),
			 -E2BIG);
	memset(text, 'x', IMAGE_JSON_MAX);
	memcpy(text, "{\"config\":{\"User\":\"", 19);
	memcpy(text + 19 + IMAGE_CONFIG_MAX, "\"}}", 3);
	assert_int_equal(image_read_config(text, 19 + IMAGE_CONFIG_MAX + 3, &kept, &e),
			 -E2BIG);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_leads_to_what_is_for_this_machine),
		cmocka_unit_test(an_index_in_doubt_leads_nowhere),
		cmocka_unit_test(an_index_may_lead_to_another),
		cmocka_unit_test(digests_are_64_lower_case_digits_with_a_size),
		cmocka_unit_test(a_manifest_has_layers_from_below),
		cmocka_unit_test(a_manifest_of_something_else_is_refused),
		cmocka_unit_test(dockers_manifest_names_files),
		cmocka_unit_test(dockers_manifest_of_anything_else_is_refused),
		cmocka_unit_test(of_a_configuration_five_keys_are_kept),
		cmocka_unit_test(a_configuration_for_another_machine_is_refused),
		cmocka_unit_test(documents_have_a_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
