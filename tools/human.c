/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "tools/human.h"

const char *human_size(char buf[HUMAN_MAX], uint64_t bytes)
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	struct str s = str_over(buf, HUMAN_MAX);
	unsigned unit = 0;
	uint64_t rest = 0;

	for (; bytes >= 1024; unit++) {
		rest = bytes % 1024;
		bytes /= 1024;
	}
	/* One digit behind the point where the whole ones are few. */
	if (rest && bytes < 100)
		str_add(&s, "%llu.%llu%s", (unsigned long long)bytes,
			(unsigned long long)(rest * 10 / 1024), units[unit]);
	else
		str_add(&s, "%llu%s", (unsigned long long)bytes, units[unit]);
	return buf;
}

const char *human_span(char buf[HUMAN_MAX], int64_t ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {
		{ "day", 86400000 },
		{ "hour", 3600000 },
		{ "minute", 60000 },
		{ "second", 1000 },
	};
	struct str s = str_over(buf, HUMAN_MAX);

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		int64_t count = ms / units[i].ms;

		if (count < 1)
			continue;
		str_add(&s, "%lld %s%s", (long long)count, units[i].name,
			count == 1 ? "" : "s");
		return buf;
	}
	str_add(&s, "Less than a second");
	return buf;
}

const char *human_time(char buf[HUMAN_MAX], int64_t ms)
{
	struct str s = str_over(buf, HUMAN_MAX);
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&seconds, &tm))
		return buf;
	str_add(&s, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		(int)(ms % 1000));
	return buf;
}
