/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tools/top_list.h"

enum {
	COLUMNS_WIDTH = 60, /* of all but the name */
	NAME_WIDTH_MIN = 8,
	NAME_WIDTH_MAX = 200,
};

static const struct {
	char letter;
	const char *name;
} keys[] = {
	[TOP_CPU] = { 'c', "cpu" },     [TOP_MEMORY] = { 'm', "memory" },
	[TOP_PIDS] = { 'p', "pids" },   [TOP_NETWORK] = { 'n', "network" },
	[TOP_EXECS] = { 'e', "execs" },
};

static_assert(sizeof(keys) / sizeof(*keys) == TOP_KEY_MAX, "one row a key");

enum top_key top_key_of(int letter)
{
	enum top_key key = 0;

	while (key < TOP_KEY_MAX && keys[key].letter != letter)
		key++;
	return key;
}

const char *top_key_name(enum top_key key)
{
	return keys[key].name;
}

static uint64_t value_of(const struct sample *s, enum top_key key)
{
	switch (key) {
	case TOP_CPU:
		return s->cpu_milli_percent;
	case TOP_MEMORY:
		return s->memory;
	case TOP_PIDS:
		return s->pids;
	case TOP_NETWORK:
		return s->rx_bytes + s->tx_bytes;
	case TOP_EXECS:
		return s->execs;
	case TOP_KEY_MAX:
		break;
	}
	return 0;
}

static int compare(const void *a, const void *b, void *context)
{
	const struct sample *first = *(const struct sample *const *)a;
	const struct sample *second = *(const struct sample *const *)b;
	enum top_key key = *(const enum top_key *)context;
	uint64_t x = value_of(first, key), y = value_of(second, key);

	if (x != y)
		return x > y ? -1 : 1;
	return strcmp(first->name, second->name);
}

size_t top_select(const struct samples *s, const char *filter, enum top_key key,
		  const struct sample **ret)
{
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (strstr(s->list[i].name, filter))
			ret[count++] = &s->list[i];
	}
	qsort_r(ret, count, sizeof(*ret), compare, &key);
	return count;
}

static int name_width(int width)
{
	int rest = width - COLUMNS_WIDTH;

	if (rest < NAME_WIDTH_MIN)
		return NAME_WIDTH_MIN;
	return rest > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : rest;
}

/* Cut at the width, so that no line of the screen runs into the next. */
static const char *write_line(char buf[TOP_LINE_MAX], int width, const char *name,
			      const char *const values[7])
{
	size_t size = width < TOP_LINE_MAX - 1 ? (size_t)width + 1 : TOP_LINE_MAX;
	struct str s = str_over(buf, size);
	int wide = name_width(width);

	str_add(&s, "%-*.*s %7s %9s %7s %6s %9s %9s %6s", wide, wide, name, values[0],
		values[1], values[2], values[3], values[4], values[5], values[6]);
	return buf;
}

const char *top_heads(char buf[TOP_LINE_MAX], int width)
{
	static const char *const heads[] = { "CPU %",  "MEM",    "MEM %", "PIDS",
					     "NET RX", "NET TX", "EXECS" };

	return write_line(buf, width, "NAME", heads);
}

const char *top_line(char buf[TOP_LINE_MAX], const struct sample *sample, int width)
{
	char name[4 * SAMPLE_NAME_MAX + 1], memory[HUMAN_MAX], rx[HUMAN_MAX],
		tx[HUMAN_MAX];
	struct sample_text text;

	sample_format(sample, &text);
	return write_line(buf, width, str_escape(name, sizeof(name), sample->name),
			  (const char *const[]){
				  text.cpu,
				  human_size(memory, sample->memory),
				  text.memory_percent,
				  text.pids,
				  human_size(rx, sample->rx_bytes),
				  human_size(tx, sample->tx_bytes),
				  text.execs,
			  });
}
