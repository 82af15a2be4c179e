/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "tools/client.h"
#include "tools/sample.h"
#include "tools/table.h"

int64_t samples_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t counter(const json_t *object, const char *key)
{
	int64_t value = client_int(object, key);

	return value > 0 ? (uint64_t)value : 0;
}

static const struct sample *find(const struct samples *s, const char *name)
{
	for (size_t i = 0; s && i < s->count; i++) {
		if (!strcmp(s->list[i].name, name))
			return &s->list[i];
	}
	return NULL;
}

/* One that was started anew in between counts from 0 again. */
static uint64_t rate(const struct sample *old, const struct sample *new, int64_t span_us)
{
	if (!old || span_us <= 0 || new->cpu_usage_us < old->cpu_usage_us)
		return 0;
	return (new->cpu_usage_us - old->cpu_usage_us) * 100000 / (uint64_t)span_us;
}

static void read_one(const json_t *stats, struct sample *s)
{
	struct str name = str_over(s->name, sizeof(s->name));

	str_add(&name, "%s", client_text(stats, "name"));
	s->cpu_usage_us = counter(stats, "cpu_usage_us");
	s->memory = counter(stats, "memory");
	s->memory_limit = counter(stats, "memory_limit");
	s->pids = counter(stats, "pids");
	s->pids_limit = counter(stats, "pids_limit");
	s->rx_bytes = counter(stats, "rx_bytes");
	s->tx_bytes = counter(stats, "tx_bytes");
	s->execs = counter(stats, "execs");
}

int samples_read(const json_t *reply, const struct samples *before, int64_t now_us,
		 struct samples *ret, struct err *e)
{
	const json_t *array = json_object_get(reply, "stats");
	size_t count = json_array_size(array), i;
	struct samples s = { .taken_us = now_us };
	json_t *stats;

	s.list = calloc(count ? count : 1, sizeof(*s.list));
	if (!s.list)
		return err_set(e, ENOMEM, "read what sandboxes use");
	json_array_foreach(array, i, stats) {
		struct sample *one = &s.list[s.count++];

		read_one(stats, one);
		one->cpu_milli_percent = rate(find(before, one->name), one,
					      before ? now_us - before->taken_us : 0);
	}
	*ret = s;
	return 0;
}

void samples_free(struct samples *s)
{
	free(s->list);
	*s = (struct samples){ 0 };
}

static void format_percent(char buf[HUMAN_MAX], uint64_t milli)
{
	struct str s = str_over(buf, HUMAN_MAX);

	str_add(&s, "%llu.%llu%%", (unsigned long long)(milli / 1000),
		(unsigned long long)(milli % 1000 / 100));
}

static void format_pair(char buf[2 * HUMAN_MAX], uint64_t first, uint64_t second)
{
	struct str s = str_over(buf, 2 * HUMAN_MAX);
	char text[HUMAN_MAX];

	str_add(&s, "%s / ", human_size(text, first));
	str_add(&s, "%s", human_size(text, second));
}

static void format_count(char buf[HUMAN_MAX], uint64_t count)
{
	struct str s = str_over(buf, HUMAN_MAX);

	str_add(&s, "%llu", (unsigned long long)count);
}

void sample_format(const struct sample *sample, struct sample_text *ret)
{
	uint64_t limit = sample->memory_limit;

	format_percent(ret->cpu, sample->cpu_milli_percent);
	format_pair(ret->memory, sample->memory, limit);
	format_percent(ret->memory_percent, limit ? (uint64_t)((double)sample->memory *
							       100000.0 / (double)limit)
						  : 0);
	format_pair(ret->network, sample->rx_bytes, sample->tx_bytes);
	format_count(ret->pids, sample->pids);
	format_count(ret->execs, sample->execs);
}

int samples_print(const struct samples *s, struct err *e)
{
	static const char *const heads[] = { "NAME",  "CPU %",   "MEM USAGE / LIMIT",
					     "MEM %", "NET I/O", "PIDS",
					     "EXECS", NULL };
	struct table t = table_over(heads);
	int r;

	for (size_t i = 0; i < s->count; i++) {
		const struct sample *one = &s->list[i];
		struct sample_text text;

		sample_format(one, &text);
		table_add(&t, (const char *const[]){ one->name, text.cpu, text.memory,
						     text.memory_percent, text.network,
						     text.pids, text.execs });
	}
	r = table_print(&t, e);
	table_free(&t);
	return r;
}
