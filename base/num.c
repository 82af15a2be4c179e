/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

/* Reads the digits at *text and moves it behind them. */
static int take_digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	if (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	*text = p;
	*ret = value;
	return 0;
}

int num_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	int r = take_digits(&text, &value);

	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

struct unit {
	const char *suffix;
	uint64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, uint64_t *ret)
{
	uint64_t value;
	int r = take_digits(&text, &value);

	if (r < 0)
		return r;
	for (const struct unit *u = units; u->suffix; u++) {
		if (strcasecmp(text, u->suffix))
			continue;
		if (__builtin_mul_overflow(value, u->factor, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int num_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },           { "b", 1 },          { "k", 1ull << 10 },
		{ "m", 1ull << 20 }, { "g", 1ull << 30 }, { NULL, 0 },
	};

	return parse_with_unit(text, units, ret_bytes);
}

int num_parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct unit units[] = {
		{ "", 1000 },   { "ms", 1 },          { "s", 1000 },
		{ "m", 60000 }, { "h", 3600 * 1000 }, { NULL, 0 },
	};

	return parse_with_unit(text, units, ret_ms);
}

int num_parse_milli(const char *text, uint64_t *ret_milli)
{
	uint64_t whole, scale = 100;
	int r = take_digits(&text, &whole);

	if (r < 0)
		return r;
	if (__builtin_mul_overflow(whole, 1000, &whole))
		return -ERANGE;
	if (*text == '.') {
		text++;
		if (!*text)
			return -EINVAL;
		for (; *text >= '0' && *text <= '9' && scale; text++, scale /= 10) {
			uint64_t part = (uint64_t)(*text - '0') * scale;

			if (__builtin_add_overflow(whole, part, &whole))
				return -ERANGE;
		}
	}
	if (*text)
		return -EINVAL;
	*ret_milli = whole;
	return 0;
}
