/* SPDX-License-Identifier: Apache-2.0 */
/* Lists for clients, as JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/resident_stats.h"
#include "runtime/wire_json.h"

enum { INSPECT_SIZE_MAX = 4 << 20 };

/* NULL if there was no memory for any part of it. */
static char *dump(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static json_t *describe_labels(const struct definition *d)
{
	char *const *strings = d->strings + d->asked.env_count;
	json_t *o = json_object();

	for (uint32_t i = 0; i < d->asked.label_count; i++)
		json_object_set_new(o, strings[2 * i], json_string(strings[2 * i + 1]));
	return o;
}

static json_t *describe(const struct box *box)
{
	struct wire_sandbox s;
	json_t *o;

	box_describe(box, &s);
	o = wire_json_sandbox(&s);
	json_object_set_new(o, "labels", describe_labels(&box->definition));
	return o;
}

char *document_list(const struct broker *b, uid_t client, bool all)
{
	json_t *list = json_array();
	struct pool_row row;
	uint64_t cursor = 0;

	while (pool_each(b->pool, client, &cursor, &row)) {
		const struct box *box = box_find(b, row.id);

		if (box && (all || row.state != POOL_STOPPED))
			json_array_append_new(list, describe(box));
	}
	return dump(json_pack("{s:o}", "sandboxes", list));
}

/* --- commands ---------------------------------------------------------------------- */

char *document_execs(const struct box *box)
{
	json_t *list = json_array();
	const struct exec *x;

	LIST_FOREACH(x, &box->execs, next) {
		json_t *argv, *o;

		if (exec_is_over(x))
			continue;
		argv = x->argv_text ? json_loads(x->argv_text, 0, NULL) : NULL;
		o = json_pack("{s:s, s:s, s:o, s:b, s:b, s:I}", "id", x->id, "sandbox",
			      box->definition.completed.name, "argv",
			      argv ? argv : json_array(), "running",
			      x->state != EXEC_ENDED, "detached", (int)x->asked.detach,
			      "started", (json_int_t)x->started_at);
		if (x->state == EXEC_ENDED)
			json_object_set_new(o, "result", wire_json_result(&x->result, 0));
		json_array_append_new(list, o);
	}
	return dump(json_pack("{s:o}", "execs", list));
}

/* --- figures ----------------------------------------------------------------------- */

static json_t *describe_stats(const struct broker *b, const struct box *box)
{
	const struct wire_limits *l = &box->definition.completed.limits;
	struct resident_stats s = { 0 };
	struct pool_row row = { 0 };
	struct err e;

	err_ignore(resident_stats(&box->resident, &b->host, &s, &e) < 0);
	err_ignore(!pool_look(b->pool, box->id, &row));
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			 box->definition.completed.name, "cpu_usage_us",
			 (json_int_t)s.cpu_us, "memory", (json_int_t)s.memory,
			 "memory_limit", (json_int_t)l->memory, "pids",
			 (json_int_t)s.pids, "pids_limit", (json_int_t)l->pids,
			 "rx_bytes", (json_int_t)s.rx_bytes, "tx_bytes",
			 (json_int_t)s.tx_bytes, "execs", (json_int_t)row.execs);
}

char *document_stats(const struct broker *b, uid_t client, const char *name)
{
	json_t *list = json_array();
	struct pool_row row;
	uint64_t cursor = 0;

	while (pool_each(b->pool, client, &cursor, &row)) {
		const struct box *box = box_find(b, row.id);

		if (box && box->alive && (!*name || !strcmp(name, row.name)))
			json_array_append_new(list, describe_stats(b, box));
	}
	return dump(json_pack("{s:o}", "stats", list));
}

char *document_events(const struct broker *b, uid_t client, uint64_t from)
{
	uint64_t first = b->event_count > EVENTS_KEPT ? b->event_count - EVENTS_KEPT : 0;
	json_t *list = json_array();

	for (uint64_t i = from > first ? from : first; i < b->event_count; i++) {
		const struct event *ev = &b->events[i % EVENTS_KEPT];
		json_t *o;

		if (ev->client != client)
			continue;
		o = json_pack("{s:I, s:I, s:s, s:s}", "number", (json_int_t)ev->number,
			      "time", (json_int_t)ev->time, "type", ev->type, "name",
			      ev->name);
		if (*ev->exec)
			json_object_set_new(o, "exec", json_string(ev->exec));
		if (*ev->why)
			json_object_set_new(o, "why", wire_json_string(ev->why));
		json_array_append_new(list, o);
	}
	return dump(json_pack("{s:o}", "events", list));
}

char *document_info(const struct broker *b, uid_t client)
{
	const struct client *c = access_find(b->access, client);
	json_t *profiles = json_array();

	for (unsigned i = 0; i < c->profile_count; i++)
		json_array_append_new(
			profiles, json_string(b->access->profiles[c->profiles[i]].name));
	return dump(json_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "version", CARREL_VERSION,
			      "client", c->name, "profiles", profiles, "max_sandboxes",
			      (json_int_t)c->pool.sandboxes, "max_execs",
			      (json_int_t)c->pool.execs, "sandboxes",
			      (json_int_t)pool_count(b->pool, client)));
}

/* What the worker has read from the kernel is put in as it is. */
char *document_inspect(const struct box *box, int document)
{
	auto_free char *text = NULL;
	json_t *inspect = NULL;
	struct stat st;

	if (document >= 0 && fstat(document, &st) == 0 && st.st_size > 0 &&
	    st.st_size <= INSPECT_SIZE_MAX) {
		text = malloc((size_t)st.st_size);
		if (text && pread(document, text, (size_t)st.st_size, 0) == st.st_size)
			inspect = json_loadb(text, (size_t)st.st_size, 0, NULL);
	}
	return dump(json_pack("{s:o, s:o}", "sandbox", describe(box), "inspect",
			      inspect ? inspect : json_object()));
}

/* --- Prometheus -------------------------------------------------------------------- */

/* Gauges are counted when somebody asks. */
static void count(struct broker *b, uid_t client, struct metrics *m)
{
	struct pool_row row;
	uint64_t cursor = 0;

	memset(m->sandboxes, 0, sizeof(m->sandboxes));
	m->execs = 0;
	while (pool_each(b->pool, client, &cursor, &row)) {
		m->sandboxes[row.state]++;
		m->execs += row.execs;
	}
}

static struct metrics_client name_client(struct broker *b, uid_t client)
{
	const struct client *c = access_find(b->access, client);
	struct metrics *m = broker_metrics(b, client);

	count(b, client, m);
	return (struct metrics_client){ .name = c ? c->name : "", .metrics = m };
}

char *document_metrics(struct broker *b, uid_t client)
{
	struct metrics_client one = name_client(b, client);
	auto_free char *text = malloc(METRICS_DAEMON_TEXT + METRICS_CLIENT_TEXT);
	struct str s;

	if (!text)
		return NULL;
	s = str_over(text, METRICS_DAEMON_TEXT + METRICS_CLIENT_TEXT);
	metrics_format(NULL, &one, 1, &s);
	return dump(json_pack("{s:s}", "text", text));
}

char *documents_all_metrics(struct broker *b)
{
	struct metrics_daemon daemon = { .started = b->started,
					 .adopted = b->adopted,
					 .fronts_killed = b->fronts_killed,
					 .log_dropped = log_dropped() };
	auto_free struct metrics_client *clients =
		calloc(b->metrics.count + 1, sizeof(*clients));
	size_t size = METRICS_DAEMON_TEXT + b->metrics.count * METRICS_CLIENT_TEXT;
	char *text = malloc(size);
	unsigned n = 0;
	struct front *f;
	struct str s;
	struct err e;

	if (!text || !clients) {
		free(text);
		return NULL;
	}
	LIST_FOREACH(f, &b->fronts, next)
		daemon.fronts++;
	err_ignore(metrics_resident(&daemon.resident_bytes, &e) < 0);
	for (size_t i = 0; i < b->metrics.room; i++) {
		if (b->metrics.entries[i].value)
			clients[n++] =
				name_client(b, (uid_t)(b->metrics.entries[i].key - 1));
	}
	s = str_over(text, size);
	metrics_format(&daemon, clients, n, &s);
	return text;
}
