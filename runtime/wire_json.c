/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/wire_json.h"

const char *const wire_reason_names[WIRE_REASON_MAX] = {
	[WIRE_EXITED] = "exit",     [WIRE_SIGNALLED] = "signal",
	[WIRE_TIMEOUT] = "timeout", [WIRE_OOM] = "oom",
	[WIRE_OUTPUT] = "output",   [WIRE_CANCELLED] = "cancelled",
	[WIRE_STOPPED] = "stopped", [WIRE_START_FAILED] = "start_failed",
};

const char *const wire_state_names[WIRE_STATE_MAX] = {
	[WIRE_CREATING] = "creating",  [WIRE_RUNNING] = "running",
	[WIRE_PAUSED] = "paused",      [WIRE_STOPPING] = "stopping",
	[WIRE_IS_STOPPED] = "stopped",
};

static const char *const network_names[] = {
	[WIRE_NETWORK_NONE] = "none",
	[WIRE_NETWORK_EGRESS] = "egress",
};

#define COUNT(names) (sizeof(names) / sizeof(*(names)))

/* NULL where there is none, which makes the whole message fail. */
static json_t *named(const char *const *names, size_t count, uint32_t value)
{
	return value < count && names[value] ? json_string(names[value]) : NULL;
}

json_t *wire_json_state(uint32_t state)
{
	return named(wire_state_names, COUNT(wire_state_names), state);
}

json_t *wire_json_string(const char *text)
{
	json_t *string = json_string(text);
	size_t size = 4 * strlen(text) + 1;
	auto_free char *shown = string ? NULL : malloc(size);

	return shown ? json_string(str_escape(shown, size, text)) : string;
}

json_t *wire_json_number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *wire_json_result(const struct wire_result *r, uint64_t truncated)
{
	return json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}",
			 "exec", wire_json_string(r->exec), "reason",
			 named(wire_reason_names, COUNT(wire_reason_names), r->reason),
			 "exit_code", (int)r->exit_code, "signal", (int)r->signal,
			 "wall_ms", wire_json_number(r->wall_ms), "cpu_user_ms",
			 wire_json_number(r->cpu_user_ms), "cpu_sys_ms",
			 wire_json_number(r->cpu_sys_ms), "mem_peak",
			 wire_json_number(r->mem_peak), "pids_peak",
			 wire_json_number(r->pids_peak), "oom", r->oom != 0, "truncated",
			 wire_json_number(truncated), "error",
			 wire_json_string(r->error));
}

static int add_limit(json_t *limits, const char *name, uint64_t value)
{
	return value ? json_object_set_new(limits, name, wire_json_number(value)) : 0;
}

/* Absent: none. */
static json_t *limits_object(const struct wire_limits *l)
{
	json_t *limits = json_object();

	if (limits && (add_limit(limits, "memory", l->memory) ||
		       add_limit(limits, "cpu_milli", l->cpu_milli) ||
		       add_limit(limits, "pids", l->pids))) {
		json_decref(limits);
		limits = NULL;
	}
	return limits;
}

json_t *wire_json_sandbox(const struct wire_sandbox *s)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"name", wire_json_string(s->name), "id", wire_json_string(s->id),
		"generation", wire_json_number(s->generation), "state",
		wire_json_state(s->state), "profile", wire_json_string(s->profile),
		"workspace", wire_json_string(s->workspace), "created",
		wire_json_number(s->created), "started", wire_json_number(s->started),
		"used", wire_json_number(s->used), "execs", wire_json_number(s->execs),
		"limits", limits_object(&s->limits), "network",
		named(network_names, COUNT(network_names), s->network), "idle_timeout",
		wire_json_number(s->idle_timeout_ms), "max_duration",
		wire_json_number(s->max_duration_ms));
}
