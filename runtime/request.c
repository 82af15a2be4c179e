/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/request_fields.h"
#include "runtime/stream.h"

enum {
	GRACE_DEFAULT_MS = 15000,
	INTERVAL_DEFAULT_MS = 1000,
	INTERVAL_MIN_MS = 100,
	SIGNAL_MAX = 64,
	INSIDE_ID_MAX = 65534,
	DESCRIPTORS_MAX = WIRE_FDS_MAX - 1,
};

#define MS_MAX     (366ll * 24 * 3600 * 1000) /* a year; beyond it, 0 is meant */
#define AT(member) offsetof(struct request, member)

struct method {
	const char *name;
	uint32_t type; /* enum wire_type; REQUEST_WIRE_NONE: not the broker's */
	const struct field *fields;
	unsigned count;
	void (*defaults)(struct request *rq); /* or NULL */
	int (*check)(struct request *rq, struct varlink_error *ret_error); /* or NULL */
};

static void ensure_defaults(struct request *rq)
{
	rq->wire.ensure.idle_timeout_ms = WIRE_UNSET;
	rq->wire.ensure.max_duration_ms = WIRE_UNSET;
}

static void exec_defaults(struct request *rq)
{
	rq->wire.exec.uid = UINT32_MAX;
	rq->wire.exec.gid = UINT32_MAX;
	rq->max_output = WIRE_UNSET;
}

static void stop_defaults(struct request *rq)
{
	rq->wire.stop.grace_ms = GRACE_DEFAULT_MS;
}

static int invalid(struct varlink_error *ret_error, const char *name)
{
	*ret_error = varlink_invalid(name);
	return -EINVAL;
}

/* Together they must fit where each of them does. */
static bool strings_fit(const struct request *rq)
{
	size_t size = 0;

	for (size_t i = 0; i < rq->string_count; i++)
		size += strlen(rq->strings[i]) + 1;
	return size <= WIRE_STRINGS_SIZE;
}

static int check_ensure(struct request *rq, struct varlink_error *ret_error)
{
	return strings_fit(rq) ? 0 : invalid(ret_error, "env");
}

static int check_exec(struct request *rq, struct varlink_error *ret_error)
{
	struct wire_exec *x = &rq->wire.exec;
	bool passes = rq->descriptors > 0 || x->terminal;

	if (!strings_fit(rq))
		return invalid(ret_error, "argv");
	if (rq->descriptors == 1 || rq->descriptors == 2)
		return invalid(ret_error, "descriptors");
	if (x->terminal && rq->descriptors)
		return invalid(ret_error, "terminal");
	if (passes && rq->input)
		return invalid(ret_error, "stdin");
	/* What does not go through the front, the front cannot bound. What is read
	 * later is kept in another way. */
	if ((passes || x->detach) && rq->max_output != WIRE_UNSET)
		return invalid(ret_error, "max_output");
	if ((passes || x->detach) && rq->end_on_max_output)
		return invalid(ret_error, "end_on_max_output");
	if (x->terminal && !x->detach && !rq->more) {
		*ret_error = varlink_plain_error(VARLINK_SERVICE ".ExpectedMore");
		return -EINVAL;
	}
	if (rq->max_output == WIRE_UNSET)
		rq->max_output = STREAM_MAX_DEFAULT;
	x->tell = rq->more;
	x->fds = x->terminal ? 0 : rq->descriptors ? (uint32_t)rq->descriptors : 3;
	return 0;
}

static int check_stats(struct request *rq, struct varlink_error *ret_error)
{
	struct wire_stats *x = &rq->wire.stats;

	(void)ret_error;
	if (!rq->more)
		x->interval_ms = 0;
	else if (x->interval_ms == 0)
		x->interval_ms = INTERVAL_DEFAULT_MS;
	return 0;
}

static int check_events(struct request *rq, struct varlink_error *ret_error)
{
	(void)ret_error;
	rq->wire.flagged.flag = rq->more;
	return 0;
}

#define SANDBOX_NAME                                                     \
	{                                                                \
		"name", NAME, true, AT(wire.name.name), 1, WIRE_NAME_MAX \
	}
#define EXEC_ID                                                              \
	{                                                                    \
		"exec", NAME, true, AT(wire.exec_ref.exec), 1, WIRE_EXEC_MAX \
	}

static const struct field ensure_fields[] = {
	SANDBOX_NAME,
	{ "profile", NAME, false, AT(wire.ensure.profile), 1, WIRE_PROFILE_MAX },
	{ "workspace", TEXT, false, AT(wire.ensure.workspace), 0, WIRE_PATH_MAX },
	{ "env", ENVIRONMENT, false, AT(wire.ensure.env_count), 0, 0 },
	{ "labels", LABELS, false, AT(wire.ensure.label_count), 0, 0 },
	{ "limits", LIMITS, false, AT(wire.ensure.limits), 0, 0 },
	{ "network", NETWORK, false, AT(wire.ensure.network), 0, 0 },
	{ "hostname", NAME, false, AT(wire.ensure.hostname), 1, WIRE_HOSTNAME_MAX },
	{ "idle_timeout", NUMBER64, false, AT(wire.ensure.idle_timeout_ms), 0, MS_MAX },
	{ "max_duration", NUMBER64, false, AT(wire.ensure.max_duration_ms), 0, MS_MAX },
	{ "auto_remove", FLAG, false, AT(wire.ensure.auto_remove), 0, 0 },
};

static const struct field exec_fields[] = {
	SANDBOX_NAME,
	{ "argv", ARGUMENTS, true, AT(wire.exec.argc), 0, 0 },
	{ "env", ENVIRONMENT, false, AT(wire.exec.env_count), 0, 0 },
	{ "cwd", TEXT, false, AT(wire.exec.cwd), 1, WIRE_PATH_MAX },
	{ "uid", NUMBER32, false, AT(wire.exec.uid), 1, INSIDE_ID_MAX },
	{ "gid", NUMBER32, false, AT(wire.exec.gid), 1, INSIDE_ID_MAX },
	{ "stdin", BASE64, false, 0, 0, 0 },
	{ "descriptors", NUMBER64, false, AT(descriptors), 0, DESCRIPTORS_MAX },
	{ "terminal", FLAG, false, AT(wire.exec.terminal), 0, 0 },
	{ "timeout", NUMBER64, false, AT(wire.exec.timeout_ms), 0, MS_MAX },
	{ "limits", LIMITS, false, AT(wire.exec.limits), 0, 0 },
	{ "max_output", NUMBER64, false, AT(max_output), 0, STREAM_MAX_CEILING },
	{ "end_on_max_output", FLAG, false, AT(end_on_max_output), 0, 0 },
	{ "detach", FLAG, false, AT(wire.exec.detach), 0, 0 },
};

static const struct field wait_fields[] = {
	SANDBOX_NAME,
	EXEC_ID,
	{ "keep", FLAG, false, AT(wire.exec_ref.keep), 0, 0 },
};

static const struct field output_fields[] = {
	SANDBOX_NAME,
	EXEC_ID,
	{ "stream", STREAM, true, AT(stream), 0, 0 },
	{ "offset", NUMBER64, true, AT(offset), 0, INT64_MAX },
};

static const struct field kill_fields[] = {
	SANDBOX_NAME,
	EXEC_ID,
	{ "signal", NUMBER32, true, AT(wire.exec_ref.signal), 1, SIGNAL_MAX },
};

static const struct field exec_ref_fields[] = { SANDBOX_NAME, EXEC_ID };

static const struct field name_fields[] = { SANDBOX_NAME };

static const struct field stop_fields[] = {
	SANDBOX_NAME,
	{ "grace", NUMBER64, false, AT(wire.stop.grace_ms), 0, MS_MAX },
};

static const struct field remove_fields[] = {
	SANDBOX_NAME,
	{ "force", FLAG, false, AT(wire.flagged.flag), 0, 0 },
};

static const struct field list_fields[] = {
	{ "all", FLAG, false, AT(wire.flagged.flag), 0, 0 },
};

static const struct field shutdown_fields[] = {
	{ "remove", FLAG, false, AT(wire.flagged.flag), 0, 0 },
};

static const struct field stats_fields[] = {
	{ "name", NAME, false, AT(wire.stats.name), 1, WIRE_NAME_MAX },
	{ "interval", NUMBER64, false, AT(wire.stats.interval_ms), INTERVAL_MIN_MS,
	  MS_MAX },
};

#define FIELDS(fields) (fields), sizeof(fields) / sizeof(*(fields))

static const struct method methods[] = {
	{ "Info", WIRE_INFO, NULL, 0, NULL, NULL },
	{ "Ensure", WIRE_ENSURE, FIELDS(ensure_fields), ensure_defaults, check_ensure },
	{ "Exec", WIRE_EXEC, FIELDS(exec_fields), exec_defaults, check_exec },
	{ "Wait", WIRE_WAIT, FIELDS(wait_fields), NULL, NULL },
	{ "Output", REQUEST_WIRE_NONE, FIELDS(output_fields), NULL, NULL },
	{ "Kill", WIRE_KILL, FIELDS(kill_fields), NULL, NULL },
	{ "Cancel", WIRE_CANCEL, FIELDS(exec_ref_fields), NULL, NULL },
	{ "Execs", WIRE_EXECS, FIELDS(name_fields), NULL, NULL },
	{ "Stop", WIRE_STOP, FIELDS(stop_fields), stop_defaults, NULL },
	{ "Remove", WIRE_REMOVE, FIELDS(remove_fields), NULL, NULL },
	{ "Pause", WIRE_PAUSE, FIELDS(name_fields), NULL, NULL },
	{ "Unpause", WIRE_UNPAUSE, FIELDS(name_fields), NULL, NULL },
	{ "Touch", WIRE_TOUCH, FIELDS(name_fields), NULL, NULL },
	{ "List", WIRE_LIST, FIELDS(list_fields), NULL, NULL },
	{ "Inspect", WIRE_INSPECT, FIELDS(name_fields), NULL, NULL },
	{ "Stats", WIRE_STATS, FIELDS(stats_fields), NULL, check_stats },
	{ "Events", WIRE_EVENTS, NULL, 0, NULL, check_events },
	{ "Reap", WIRE_REAP, NULL, 0, NULL, NULL },
	{ "Shutdown", WIRE_SHUTDOWN, FIELDS(shutdown_fields), NULL, NULL },
	{ "Metrics", WIRE_METRICS, NULL, 0, NULL, NULL },
};

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

/* How many strings there can be among the values. */
static size_t count_strings(const json_t *object)
{
	const char *name;
	json_t *value;
	size_t count = 0;

	json_object_foreach((json_t *)object, name, value) {
		count += json_array_size(value) + 2 * json_object_size(value);
	}
	return count;
}

int request_parse(const char *method, const struct varlink_call *call,
		  struct request *ret, struct varlink_error *ret_error)
{
	const struct method *m = find_method(method);
	struct decode d = { .rq = ret };
	int r;

	*ret = (struct request){ .more = call->more };
	if (!m)
		return -ENOENT;
	ret->wire.type = m->type;
	ret->strings = calloc(count_strings(call->parameters) + 1, sizeof(*ret->strings));
	if (!ret->strings)
		return -ENOMEM;
	if (m->defaults)
		m->defaults(ret);
	r = request_take_fields(m->fields, m->count, call->parameters, &d);
	if (r == -EINVAL)
		*ret_error = d.error;
	if (r == 0 && m->check)
		r = m->check(ret, ret_error);
	if (r < 0)
		request_free(ret);
	return r;
}

void request_free(struct request *rq)
{
	free(rq->strings);
	free(rq->input);
	free(rq->text);
	*rq = (struct request){ 0 };
}
