/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/reply.h"
#include "runtime/request.h"
#include "runtime/varlink.h"

static const char *const state_names[] = { "creating", "running", "paused", "stopping",
					   "stopped" };
static const char *const reason_names[] = { "exit",    "signal",      "timeout",
					    "oom",     "output",      "cancelled",
					    "stopped", "start_failed" };
static const char *const network_names[] = { NULL, "none", "egress" };

#define COUNT(names) (sizeof(names) / sizeof(*(names)))

static_assert(COUNT(state_names) == WIRE_STATE_MAX, "a name for each state");
static_assert(COUNT(reason_names) == WIRE_REASON_MAX, "a name for each reason");
static_assert(COUNT(network_names) == WIRE_NETWORK_EGRESS + 1, "a name for each network");

/* NULL where there is none, which makes the whole message fail. */
static json_t *named(const char *const *names, size_t count, uint32_t value)
{
	return value < count && names[value] ? json_string(names[value]) : NULL;
}

/* JSON is UTF-8; other bytes are shown escaped rather than lost. */
static json_t *any_string(const char *text)
{
	json_t *string = json_string(text);
	size_t size = 4 * strlen(text) + 1;
	auto_free char *shown = string ? NULL : malloc(size);

	return shown ? json_string(str_escape(shown, size, text)) : string;
}

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* --- results and sandboxes --------------------------------------------------------- */

static json_t *result_object(const struct wire_result *r, uint64_t truncated)
{
	return json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}",
			 "exec", any_string(r->exec), "reason",
			 named(reason_names, COUNT(reason_names), r->reason), "exit_code",
			 (int)r->exit_code, "signal", (int)r->signal, "wall_ms",
			 number(r->wall_ms), "cpu_user_ms", number(r->cpu_user_ms),
			 "cpu_sys_ms", number(r->cpu_sys_ms), "mem_peak",
			 number(r->mem_peak), "pids_peak", number(r->pids_peak), "oom",
			 r->oom != 0, "truncated", number(truncated), "error",
			 any_string(r->error));
}

char *reply_result_text(const struct wire_result *result, uint64_t truncated)
{
	json_t *object = result_object(result, truncated);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static int add_limit(json_t *limits, const char *name, uint64_t value)
{
	return value ? json_object_set_new(limits, name, number(value)) : 0;
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

static json_t *sandbox_object(const struct wire_sandbox *s)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"name", any_string(s->name), "id", any_string(s->id), "generation",
		number(s->generation), "state",
		named(state_names, COUNT(state_names), s->state), "profile",
		any_string(s->profile), "workspace", any_string(s->workspace), "created",
		number(s->created), "started", number(s->started), "used",
		number(s->used), "execs", number(s->execs), "limits",
		limits_object(&s->limits), "network",
		named(network_names, COUNT(network_names), s->network), "idle_timeout",
		number(s->idle_timeout_ms), "max_duration", number(s->max_duration_ms));
}

/* --- errors ------------------------------------------------------------------------ */

static char *error_message(const struct reply_context *c, const struct wire_error *x)
{
	json_t *name = any_string(c->name);

	switch ((enum wire_error_code)x->code) {
	case WIRE_NO_SUCH_SANDBOX:
		return varlink_error(REQUEST_INTERFACE ".NoSuchSandbox",
				     json_pack("{s:o}", "name", name));
	case WIRE_NO_SUCH_EXEC:
		return varlink_error(REQUEST_INTERFACE ".NoSuchExec",
				     json_pack("{s:o, s:o}", "name", name, "exec",
					       any_string(c->exec)));
	case WIRE_CONFLICT:
		return varlink_error(REQUEST_INTERFACE ".Conflict",
				     json_pack("{s:o, s:o}", "name", name, "field",
					       any_string(x->what)));
	case WIRE_WRONG_STATE:
		return varlink_error(
			REQUEST_INTERFACE ".WrongState",
			json_pack("{s:o, s:o}", "name", name, "state",
				  named(state_names, COUNT(state_names), x->state)));
	case WIRE_FAILED_START:
		return varlink_error(REQUEST_INTERFACE ".StartFailed",
				     json_pack("{s:o, s:o, s:o}", "name", name, "step",
					       any_string(x->what), "why",
					       any_string(x->why)));
	case WIRE_REFUSED:
		json_decref(name);
		return varlink_error(REQUEST_INTERFACE ".Refused",
				     json_pack("{s:o, s:o}", "what", any_string(x->what),
					       "why", any_string(x->why)));
	case WIRE_BUSY:
		json_decref(name);
		return reply_busy(x->what, x->limit);
	case WIRE_FAILED:
		json_decref(name);
		return reply_failed(x->why);
	case WIRE_ERROR_MAX:
		break;
	}
	json_decref(name);
	return NULL;
}

char *reply_failed(const char *why)
{
	return varlink_error(REQUEST_INTERFACE ".Failed",
			     json_pack("{s:o}", "why", any_string(why)));
}

char *reply_busy(const char *what, uint64_t limit)
{
	return varlink_error(REQUEST_INTERFACE ".Busy",
			     json_pack("{s:o, s:o}", "what", any_string(what), "limit",
				       number(limit)));
}

char *reply_no_exec(const char *name, const char *exec)
{
	return varlink_error(REQUEST_INTERFACE ".NoSuchExec",
			     json_pack("{s:o, s:o}", "name", any_string(name), "exec",
				       any_string(exec)));
}

/* --- all of them ------------------------------------------------------------------- */

static json_t *done_object(const struct reply_context *c, uint64_t count)
{
	if (c->type == WIRE_REAP || c->type == WIRE_SHUTDOWN)
		return json_pack("{s:o}", "stopped", number(count));
	return json_object();
}

char *reply_message(const struct reply_context *c, const struct wire_reply *rp)
{
	json_t *parameters = NULL;

	if (rp->type == WIRE_ERROR)
		return error_message(c, &rp->error);
	if (rp->type == WIRE_DONE)
		parameters = done_object(c, rp->number);
	else if (rp->type == WIRE_SANDBOX)
		parameters =
			json_pack("{s:o, s:b}", "sandbox", sandbox_object(&rp->sandbox),
				  "created", rp->sandbox.created_now != 0);
	else if (rp->type == WIRE_STARTED)
		parameters = json_pack("{s:o}", "started", any_string(rp->started.exec));
	else if (rp->type == WIRE_RESULT)
		parameters = json_pack("{s:o}", "result",
				       result_object(&rp->result, c->truncated));
	return varlink_reply(parameters, rp->type == WIRE_STARTED && c->more);
}
