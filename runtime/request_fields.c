/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"
#include "runtime/request_fields.h"
#include "runtime/stream.h"

enum { PATH_NAMES_MAX = 64 }; /* bytes of "limits.cpu_milli" and the like */

#define MEMORY_MOST (1ll << 50)

static void *place(struct request *rq, size_t offset)
{
	return (char *)rq + offset;
}

static bool has_control(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		/* U+0080 to U+009F are two bytes. */
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
			return true;
	}
	return false;
}

static int take_text(const struct field *f, const json_t *value, struct request *rq)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (!text || len < (size_t)f->min || len > (size_t)f->max)
		return -EINVAL;
	if (f->kind == NAME && has_control(text))
		return -EINVAL;
	memcpy(place(rq, f->offset), text, len + 1);
	return 0;
}

static int take_number(const struct field *f, const json_t *value, struct request *rq)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < f->min || number > f->max)
		return -EINVAL;
	if (f->kind == NUMBER32)
		*(uint32_t *)place(rq, f->offset) = (uint32_t)number;
	else
		*(uint64_t *)place(rq, f->offset) = (uint64_t)number;
	return 0;
}

static int take_flag(const struct field *f, const json_t *value, struct request *rq)
{
	if (!json_is_boolean(value))
		return -EINVAL;
	*(uint32_t *)place(rq, f->offset) = json_is_true(value);
	return 0;
}

/* The place of a text in a list that ends with NULL. */
static int take_choice(const struct field *f, const json_t *value, struct request *rq,
		       const char *const *choices, uint32_t first)
{
	const char *text = json_string_value(value);

	for (uint32_t i = 0; text && choices[i]; i++) {
		if (strcmp(text, choices[i]) == 0) {
			*(uint32_t *)place(rq, f->offset) = first + i;
			return 0;
		}
	}
	return -EINVAL;
}

static int take_base64(const json_t *value, struct request *rq)
{
	const char *text = json_string_value(value);
	size_t length = json_string_length(value);

	if (!text)
		return -EINVAL;
	rq->input = malloc(length / 4 * 3 + 1);
	if (!rq->input)
		return -ENOMEM;
	return base64_decode(text, length, rq->input, &rq->input_size);
}

/* --- strings ----------------------------------------------------------------------- */

static bool too_many(const struct request *rq, size_t more)
{
	return rq->string_count + more > WIRE_STRINGS_MAX;
}

static int take_arguments(const struct field *f, const json_t *value, struct request *rq)
{
	size_t count = json_array_size(value), size = 0;

	if (!json_is_array(value) || count == 0 || too_many(rq, count))
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		const json_t *one = json_array_get(value, i);

		size += json_string_length(one) + 1;
		if (!json_is_string(one) || size > WIRE_STRINGS_SIZE)
			return -EINVAL;
		rq->strings[rq->string_count++] = json_string_value(one);
	}
	*(uint32_t *)place(rq, f->offset) = (uint32_t)count;
	return 0;
}

static bool is_variable(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
				      "yz0123456789_";

	return *name && !(*name >= '0' && *name <= '9') && str_only(name, allowed);
}

/* The room that "NAME=VALUE" takes for all of them. */
static int environment_size(const json_t *value, size_t *ret)
{
	const char *name;
	json_t *one;
	size_t size = 0;

	json_object_foreach((json_t *)value, name, one) {
		if (!json_is_string(one) || !is_variable(name))
			return -EINVAL;
		size += strlen(name) + json_string_length(one) + 2;
		if (size > WIRE_STRINGS_SIZE)
			return -EINVAL;
	}
	*ret = size;
	return 0;
}

static int take_environment(const struct field *f, const json_t *value,
			    struct request *rq)
{
	size_t size = 0, count = json_object_size(value);
	const char *name;
	json_t *one;
	char *to;
	int r;

	if (!json_is_object(value) || too_many(rq, count))
		return -EINVAL;
	r = environment_size(value, &size);
	if (r < 0)
		return r;
	to = rq->text = malloc(size + 1);
	if (!to)
		return -ENOMEM;
	json_object_foreach((json_t *)value, name, one) {
		size_t name_len = strlen(name), len = json_string_length(one);

		rq->strings[rq->string_count++] = to;
		memcpy(to, name, name_len);
		to[name_len] = '=';
		memcpy(to + name_len + 1, json_string_value(one), len + 1);
		to += name_len + len + 2;
	}
	*(uint32_t *)place(rq, f->offset) = (uint32_t)count;
	return 0;
}

static int take_labels(const struct field *f, const json_t *value, struct request *rq)
{
	size_t count = json_object_size(value), size = 0;
	const char *name;
	json_t *one;

	if (!json_is_object(value) || too_many(rq, 2 * count))
		return -EINVAL;
	json_object_foreach((json_t *)value, name, one) {
		size += strlen(name) + json_string_length(one) + 2;
		if (!json_is_string(one) || !*name || size > WIRE_STRINGS_SIZE)
			return -EINVAL;
		rq->strings[rq->string_count++] = name;
		rq->strings[rq->string_count++] = json_string_value(one);
	}
	*(uint32_t *)place(rq, f->offset) = (uint32_t)count;
	return 0;
}

/* --- fields in their method -------------------------------------------------------- */

static int refuse(struct decode *d, const char *within, const char *name)
{
	char path[PATH_NAMES_MAX];

	/* The inner one has been named already. */
	if (d->error.name)
		return -EINVAL;
	if (!within)
		d->error = varlink_invalid(name);
	else if (str_format(path, sizeof(path), "%s.%s", within, name) == 0)
		d->error = varlink_invalid(path);
	else
		d->error = varlink_invalid(within);
	return -EINVAL;
}

static bool is_known(const struct field *fields, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return true;
	}
	return false;
}

static int refuse_unknown(const struct field *fields, unsigned count,
			  const json_t *object, struct decode *d, const char *within)
{
	const char *name;
	json_t *any;

	json_object_foreach((json_t *)object, name, any) {
		if (!is_known(fields, count, name))
			return refuse(d, within, name);
	}
	return 0;
}

static bool is_given(const json_t *value)
{
	return value && !json_is_null(value);
}

static int take_limits(const struct field *f, const json_t *value, struct decode *d)
{
	enum { COUNT = 3 };
	const size_t at = f->offset;
	const struct field fields[COUNT] = {
		{ "memory", NUMBER64, false, at + offsetof(struct wire_limits, memory), 1,
		  MEMORY_MOST },
		{ "cpu_milli", NUMBER64, false,
		  at + offsetof(struct wire_limits, cpu_milli), 1, UINT32_MAX },
		{ "pids", NUMBER64, false, at + offsetof(struct wire_limits, pids), 1,
		  UINT32_MAX },
	};
	int r;

	if (!json_is_object(value))
		return -EINVAL;
	r = refuse_unknown(fields, COUNT, value, d, f->name);
	for (unsigned i = 0; r == 0 && i < COUNT; i++) {
		const json_t *limit = json_object_get(value, fields[i].name);

		if (is_given(limit) && take_number(&fields[i], limit, d->rq) < 0)
			r = refuse(d, f->name, fields[i].name);
	}
	return r;
}

static int take_field(const struct field *f, const json_t *value, struct decode *d)
{
	static const char *const networks[] = { "none", "egress", NULL },
				 *const streams[] = { "stdout", "stderr", NULL };
	struct request *rq = d->rq;

	switch (f->kind) {
	case TEXT:
	case NAME:
		return take_text(f, value, rq);
	case NUMBER32:
	case NUMBER64:
		return take_number(f, value, rq);
	case FLAG:
		return take_flag(f, value, rq);
	case LIMITS:
		return take_limits(f, value, d);
	case NETWORK:
		return take_choice(f, value, rq, networks, WIRE_NETWORK_NONE);
	case STREAM:
		return take_choice(f, value, rq, streams, 0);
	case ARGUMENTS:
		return take_arguments(f, value, rq);
	case ENVIRONMENT:
		return take_environment(f, value, rq);
	case LABELS:
		return take_labels(f, value, rq);
	case BASE64:
		return take_base64(value, rq);
	}
	bug_on(true);
	return -EINVAL;
}

/* In the order of the table, in which strings are told apart. */
int request_take_fields(const struct field *fields, unsigned count, const json_t *object,
			struct decode *d)
{
	int r = refuse_unknown(fields, count, object, d, NULL);

	for (unsigned i = 0; r == 0 && i < count; i++) {
		const struct field *f = &fields[i];
		const json_t *value = json_object_get(object, f->name);

		if (is_given(value))
			r = take_field(f, value, d);
		else if (f->required)
			r = -EINVAL;
		if (r == -EINVAL)
			r = refuse(d, NULL, f->name);
	}
	return r;
}
