/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/about.h"

static const char *const source_names[] = {
	[ABOUT_UNKNOWN] = "?",
	[ABOUT_ARCHIVE] = "archive",
	[ABOUT_DIRECTORY] = "directory",
	[ABOUT_DOCKER] = "docker",
	[ABOUT_OCI] = "oci",
};
static_assert(sizeof(source_names) / sizeof(*source_names) == ABOUT_SOURCE_MAX, "names");

/* Keys of the file, and what they are about. */
static const struct number_row {
	const char *key;
	size_t offset;
} numbers[] = {
	{ "size", offsetof(struct about, counts.bytes) },
	{ "files", offsetof(struct about, counts.files) },
	{ "devices_left_out", offsetof(struct about, counts.devices) },
	{ "specials_left_out", offsetof(struct about, counts.specials) },
	{ "unreadable_left_out", offsetof(struct about, counts.unreadable) },
	{ "created", offsetof(struct about, created) },
};

enum { NUMBERS = sizeof(numbers) / sizeof(*numbers) };

const char *about_source_name(enum about_source source)
{
	return source_names[source];
}

void about_free(struct about *about)
{
	json_decref(about->config);
	about->config = NULL;
}

json_t *about_object(const struct about *about, const char *name)
{
	json_t *object = json_object();
	int r = 0;

	if (*name)
		r = json_object_set_new(object, "name", json_string(name));
	if (r == 0)
		r = json_object_set_new(object, "source",
					json_string(source_names[about->source]));
	if (r == 0)
		r = json_object_set_new(object, "digest", json_string(about->digest));
	for (size_t i = 0; r == 0 && i < NUMBERS; i++) {
		uint64_t value;

		memcpy(&value, (const char *)about + numbers[i].offset, sizeof(value));
		r = json_object_set_new(object, numbers[i].key,
					json_integer((json_int_t)value));
	}
	if (r == 0)
		r = json_object_set_new(object, "config",
					about->config ? json_deep_copy(about->config)
						      : json_object());
	if (r == 0)
		return object;
	json_decref(object);
	return NULL;
}

static int parse_source(const char *text, enum about_source *ret)
{
	for (int i = ABOUT_UNKNOWN + 1; text && i < ABOUT_SOURCE_MAX; i++) {
		if (!strcmp(text, source_names[i])) {
			*ret = (enum about_source)i;
			return 0;
		}
	}
	return -EBADMSG;
}

static int take(const json_t *object, struct about *ret)
{
	const char *digest = json_string_value(json_object_get(object, "digest"));
	json_t *config = json_object_get(object, "config");
	int r = parse_source(json_string_value(json_object_get(object, "source")),
			     &ret->source);

	if (r < 0 || !digest || !json_is_object(config) ||
	    str_format(ret->digest, sizeof(ret->digest), "%s", digest) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < NUMBERS; i++) {
		const json_t *value = json_object_get(object, numbers[i].key);
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number < 0)
			return -EBADMSG;
		memcpy((char *)ret + numbers[i].offset, &number, sizeof(number));
	}
	ret->config = json_incref(config);
	return 0;
}

int about_parse(const char *text, size_t size, struct about *ret, struct err *e)
{
	json_error_t ignored;
	json_t *object = json_loadb(text, size, 0, &ignored);
	int r;

	*ret = (struct about){ 0 };
	r = take(object, ret);
	json_decref(object);
	return r < 0 ? err_say(e, -r, ABOUT_FILE " makes no sense") : 0;
}

int about_write(int dir, const struct about *about, struct err *e)
{
	json_t *object = about_object(about, "");
	auto_free char *text =
		object ? json_dumps(object, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
	auto_fd fd = -1;
	int r;

	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "describe it");
	fd = openat(dir, ABOUT_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, errno, "make " ABOUT_FILE);
	r = fd_write_all(fd, text, strlen(text));
	if (r == 0)
		r = fd_write_all(fd, "\n", 1);
	return r < 0 ? err_set(e, -r, "write " ABOUT_FILE) : 0;
}

int about_read(int dir, struct about *ret, struct err *e)
{
	auto_free char *text = malloc(ABOUT_SIZE_MAX);
	ssize_t n;

	*ret = (struct about){ 0 };
	if (!text)
		return err_set(e, ENOMEM, "read " ABOUT_FILE);
	n = fd_read_at(dir, ABOUT_FILE, text, ABOUT_SIZE_MAX);
	if (n < 0)
		return err_set(e, (int)-n, "read " ABOUT_FILE);
	return about_parse(text, (size_t)n, ret, e);
}
