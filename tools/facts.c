/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/facts.h"
#include "tools/verb.h"

enum {
	TEXT_MAX = 1024,
	ITEMS_SHOWN = 6, /* of a list, to people */
	RANGE_TEXT_MAX = 2 * IP_TEXT_MAX,
};

static const char *const heads[] = { "SETTING", "VALUE", "FROM", NULL };

struct facts facts_begin(void)
{
	return (struct facts){ .table = table_over(heads),
			       .settings = json_object(),
			       .from = FACTS_DEFAULT };
}

void facts_free(struct facts *f)
{
	table_free(&f->table);
	json_decref(f->settings);
	f->settings = NULL;
}

void facts_add(struct facts *f, const char *key, const char *text, json_t *value)
{
	json_t *member = json_pack("{s:o, s:s}", "value", value, "from", f->from);

	if (json_object_set_new(f->settings, key, member) < 0)
		f->failed = true;
	table_add(&f->table, (const char *const[]){ key, text, f->from });
}

/* --- single values ----------------------------------------------------------------- */

struct unit {
	uint64_t size;
	const char *name;
};

/* In the largest unit that it is a whole number of. */
static void add_in_units(struct str *s, uint64_t value, const struct unit *units)
{
	while (value % units->size)
		units++;
	str_add(s, "%llu%s", (unsigned long long)(value / units->size), units->name);
}

void facts_size_text(struct str *s, uint64_t bytes)
{
	static const struct unit units[] = {
		{ 1 << 30, "g" }, { 1 << 20, "m" }, { 1 << 10, "k" }, { 1, "b" }
	};

	if (bytes)
		add_in_units(s, bytes, units);
	else
		str_add(s, "unlimited");
}

void facts_time_text(struct str *s, uint64_t ms)
{
	static const struct unit units[] = {
		{ 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" }
	};

	if (ms)
		add_in_units(s, ms, units);
	else
		str_add(s, "never");
}

void facts_cpus_text(struct str *s, uint64_t milli)
{
	unsigned places = 3, rest = (unsigned)(milli % 1000);

	if (!milli) {
		str_add(s, "unlimited");
		return;
	}
	str_add(s, "%llu", (unsigned long long)(milli / 1000));
	for (; places && rest % 10 == 0; places--)
		rest /= 10;
	if (places)
		str_add(s, ".%0*u", (int)places, rest);
}

void facts_count_text(struct str *s, uint64_t count)
{
	if (count)
		str_add(s, "%llu", (unsigned long long)count);
	else
		str_add(s, "unlimited");
}

static void add_number(struct facts *f, const char *key, uint64_t value,
		       void (*format)(struct str *s, uint64_t value), json_t *number)
{
	char text[64];
	struct str s = str_over(text, sizeof(text));

	format(&s, value);
	facts_add(f, key, text, number);
}

static json_t *integer(uint64_t value)
{
	return value ? json_integer((json_int_t)value) : json_null();
}

void facts_add_size(struct facts *f, const char *key, uint64_t bytes)
{
	add_number(f, key, bytes, facts_size_text, integer(bytes));
}

void facts_add_count(struct facts *f, const char *key, uint64_t count)
{
	add_number(f, key, count, facts_count_text, integer(count));
}

void facts_add_time(struct facts *f, const char *key, uint64_t ms)
{
	add_number(f, key, ms, facts_time_text, integer(ms));
}

void facts_add_cpus(struct facts *f, const char *key, uint64_t milli)
{
	json_t *number = milli ? json_real((double)milli / 1000) : json_null();

	add_number(f, key, milli, facts_cpus_text, number);
}

/* --- lists ------------------------------------------------------------------------- */

/* A list for both at once. */
struct items {
	char text[TEXT_MAX];
	struct str s;
	json_t *array;
	size_t count;
};

static void items_begin(struct items *items)
{
	items->s = str_over(items->text, sizeof(items->text));
	items->array = json_array();
	items->count = 0;
}

static void items_add(struct facts *f, struct items *items, const char *text)
{
	if (json_array_append_new(items->array, json_string(text)) < 0)
		f->failed = true;
	if (items->count++ < ITEMS_SHOWN)
		str_add(&items->s, "%s%s", items->count > 1 ? ", " : "", text);
}

static void items_end(struct facts *f, const char *key, struct items *items)
{
	if (!items->count)
		str_add(&items->s, "none");
	if (items->count > ITEMS_SHOWN)
		str_add(&items->s, ", ... (%zu)", items->count);
	facts_add(f, key, items->text, items->array);
}

static bool bit_of(const uint8_t *address, unsigned i)
{
	return address[i / 8] >> (7 - i % 8) & 1;
}

/* Is it a network: are the bits behind those that both ends share all zero in the first,
 * and all one in the last? */
static bool is_network(const struct ip_range *range, unsigned bits, unsigned *ret_prefix)
{
	unsigned prefix = 0;

	while (prefix < bits &&
	       bit_of(range->first, prefix) == bit_of(range->last, prefix))
		prefix++;
	for (unsigned i = prefix; i < bits; i++) {
		if (bit_of(range->first, i) || !bit_of(range->last, i))
			return false;
	}
	*ret_prefix = prefix;
	return true;
}

/* As a network where it is one, otherwise "FIRST-LAST". */
static void range_text(struct str *s, int family, const struct ip_range *range)
{
	struct cidr c = { .ip.family = family };
	struct ip last = { .family = family };
	char text[CIDR_TEXT_MAX];

	memcpy(c.ip.addr, range->first, sizeof(c.ip.addr));
	memcpy(last.addr, range->last, sizeof(last.addr));
	if (is_network(range, 8 * (unsigned)ip_size(family), &c.prefix)) {
		str_add(s, "%s", cidr_format(text, &c));
		return;
	}
	str_add(s, "%s-", ip_format(text, &c.ip));
	str_add(s, "%s", ip_format(text, &last));
}

static void add_range_list(struct facts *f, struct items *items,
			   const struct ip_ranges *ranges)
{
	for (size_t i = 0; i < ranges->count; i++) {
		char text[RANGE_TEXT_MAX];
		struct str s = str_over(text, sizeof(text));

		range_text(&s, ranges->family, &ranges->list[i]);
		items_add(f, items, text);
	}
}

void facts_add_ranges(struct facts *f, const char *key, const struct ip_ranges *v4,
		      const struct ip_ranges *v6)
{
	struct items items;

	items_begin(&items);
	add_range_list(f, &items, v4);
	add_range_list(f, &items, v6);
	items_end(f, key, &items);
}

void facts_add_exceptions(struct facts *f, const char *key, const struct cidr_port *list,
			  unsigned count)
{
	struct items items;

	items_begin(&items);
	for (unsigned i = 0; i < count; i++) {
		bool brackets = list[i].port && list[i].cidr.ip.family != AF_INET;
		char text[CIDR_TEXT_MAX + 16], network[CIDR_TEXT_MAX];
		struct str s = str_over(text, sizeof(text));

		cidr_format(network, &list[i].cidr);
		str_add(&s, "%s%s%s", brackets ? "[" : "", network, brackets ? "]" : "");
		if (list[i].port)
			str_add(&s, ":%u", list[i].port);
		items_add(f, &items, text);
	}
	items_end(f, key, &items);
}

void facts_add_texts(struct facts *f, const char *key, char *const *texts)
{
	struct items items;

	items_begin(&items);
	for (; *texts; texts++)
		items_add(f, &items, *texts);
	items_end(f, key, &items);
}

/* --- locks ------------------------------------------------------------------------- */

static void add_rlimits(struct facts *f, const struct rlimit_list *list)
{
	struct items items;

	items_begin(&items);
	for (unsigned i = 0; i < list->count; i++) {
		const struct rlimit_item *item = &list->items[i];
		char text[80];
		struct str s = str_over(text, sizeof(text));

		str_add(&s, "%s=%llu", rlimit_name(item->resource),
			(unsigned long long)item->soft);
		if (item->hard != item->soft)
			str_add(&s, ":%llu", (unsigned long long)item->hard);
		items_add(f, &items, text);
	}
	items_end(f, "ulimits", &items);
}

void facts_add_locks(struct facts *f, const struct rlimit_list *rlimits)
{
	unsigned allowed, by_arguments;
	char text[160];
	struct str s = str_over(text, sizeof(text));

	add_rlimits(f, rlimits);
	seccomp_count(&allowed, &by_arguments);
	str_add(&s, "default: %u calls allowed, %u more with some arguments only",
		allowed, by_arguments);
	f->from = FACTS_FIXED;
	facts_add(f, "capabilities", "none", json_array());
	facts_add(f, "no_new_privs", "yes", json_true());
	facts_add(f, "seccomp", text,
		  json_pack("{s:s, s:i, s:i}", "profile", "default", "allowed",
			    (int)allowed, "by_arguments", (int)by_arguments));
	f->from = FACTS_DEFAULT;
}

/* --- output ------------------------------------------------------------------------ */

int facts_print(struct facts *f, json_t *object, bool json, struct err *e)
{
	if (f->failed || !object ||
	    json_object_set(object, "settings", f->settings) < 0) {
		json_decref(object);
		return err_set(e, ENOMEM, "collect the settings");
	}
	if (json)
		return verb_print_json(object, true, e);
	json_decref(object);
	return table_print(&f->table, e);
}
