/* SPDX-License-Identifier: Apache-2.0 */
/* carrel stats, events: what goes on, as it goes on. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "tools/carrel.h"
#include "tools/sample.h"
#include "tools/verb.h"

enum { INTERVAL_MS = 1000 };

static const struct option_row options[] = {
	{ "no-stream", 0, NULL, "print once and end", verb_set_once },
	VERB_FORMAT_ROW,
	VERB_HOST_ROW,
	VERB_HELP_ROW,
	VERB_LAST_ROW,
};

static int flush(struct err *e)
{
	return fflush(stdout) == 0 ? 0 : err_set(e, errno, "write to standard output");
}

/* docker's keys. */
static json_t *stats_object(const struct sample *sample)
{
	struct sample_text text;

	sample_format(sample, &text);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Name", sample->name,
			 "CPUPerc", text.cpu, "MemUsage", text.memory, "MemPerc",
			 text.memory_percent, "NetIO", text.network, "PIDs", text.pids,
			 "Execs", text.execs);
}

static int print_stats(const struct verb_args *a, const struct samples *s, bool refresh,
		       struct err *e)
{
	int r = 0;

	if (!a->json) {
		/* From the top left corner, and nothing of what was there. */
		if (refresh)
			printf("\033[H\033[J");
		r = samples_print(s, e);
	}
	for (size_t i = 0; r == 0 && a->json && i < s->count; i++)
		r = verb_print_json(stats_object(&s->list[i]), false, e);
	return r == 0 ? flush(e) : r;
}

/* Rates need two looks, so the first is not shown. */
static int stats(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	bool refresh = !a->once && isatty(STDOUT_FILENO);
	struct client_request rq = { .method = "Stats",
				     .parameters =
					     json_pack("{s:i}", "interval", INTERVAL_MS),
				     .more = true };
	struct samples before = { 0 };
	int r;

	if (words[0] && verb_add_text(rq.parameters, "name", words[0]) < 0) {
		json_decref(rq.parameters);
		return err_set(e, ENOMEM, "encode a call of Stats");
	}
	r = client_send(c, &rq, e);
	for (unsigned looks = 0; r == 0 && (refresh || looks < 2); looks++) {
		struct client_reply reply = { 0 };
		struct samples now = { 0 };

		r = client_receive(c, &reply, e);
		if (r == 0)
			r = samples_read(reply.parameters, looks ? &before : NULL,
					 samples_now(), &now, e);
		if (r == 0 && looks)
			r = print_stats(a, &now, refresh, e);
		samples_free(&before);
		before = now;
		client_reply_free(&reply);
	}
	samples_free(&before);
	return r;
}

int cmd_stats(char **argv)
{
	static const struct verb verb = {
		.name = "stats",
		.words = "[NAME]",
		.text = "Shows what the sandboxes that run use, or one of them. On a "
			"terminal anew every\nsecond, otherwise once.\n",
		.options = options,
		.most = 1,
		.act = stats,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}

static int print_event(const struct verb_args *a, const json_t *event, struct err *e)
{
	static const char *const keys[] = { "exec", "why" };
	char time[HUMAN_MAX], shown[1024];

	if (a->json)
		return verb_print_json(json_deep_copy(event), false, e);
	printf("%s %s ", human_time(time, client_int(event, "time")),
	       str_escape(shown, sizeof(shown), client_text(event, "type")));
	printf("%s", str_escape(shown, sizeof(shown), client_text(event, "name")));
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *value = client_text(event, keys[i]);

		if (*value)
			printf(" %s=%s", keys[i],
			       str_escape(shown, sizeof(shown), value));
	}
	printf("\n");
	return 0;
}

static int events(struct verb_args *a, struct client_link *c, char **words, struct err *e)
{
	struct client_request rq = { .method = "Events",
				     .parameters = json_object(),
				     .more = !a->once };
	bool more = true;
	int r = client_send(c, &rq, e);

	(void)words;
	while (r == 0 && more) {
		struct client_reply reply = { 0 };
		size_t i;
		json_t *event;

		r = client_receive(c, &reply, e);
		json_array_foreach(json_object_get(reply.parameters, "events"), i,
				   event) {
			if (r == 0)
				r = print_event(a, event, e);
		}
		more = reply.continues;
		client_reply_free(&reply);
		if (r == 0)
			r = flush(e);
	}
	return r;
}

int cmd_events(char **argv)
{
	static const struct option_row event_options[] = {
		{ "no-stream", 0, NULL, "print the last ones and end", verb_set_once },
		VERB_FORMAT_ROW,
		VERB_HOST_ROW,
		VERB_HELP_ROW,
		VERB_LAST_ROW,
	};
	static const struct verb verb = {
		.name = "events",
		.words = "",
		.text = "Prints what happens to your sandboxes from now on, a line "
			"each.\n",
		.options = event_options,
		.act = events,
	};
	struct verb_args a = { 0 };

	return verb_main(&verb, &a, argv);
}
