/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/reply.h"
#include "runtime/request.h"
#include "runtime/varlink.h"
#include "runtime/wire_json.h"

char *reply_result_text(const struct wire_result *result, uint64_t truncated)
{
	json_t *object = wire_json_result(result, truncated);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

/* --- errors ------------------------------------------------------------------------ */

static char *error_message(const struct reply_context *c, const struct wire_error *x)
{
	json_t *name = wire_json_string(c->name);

	switch ((enum wire_error_code)x->code) {
	case WIRE_NO_SUCH_SANDBOX:
		return varlink_error(REQUEST_INTERFACE ".NoSuchSandbox",
				     json_pack("{s:o}", "name", name));
	case WIRE_NO_SUCH_EXEC:
		return varlink_error(REQUEST_INTERFACE ".NoSuchExec",
				     json_pack("{s:o, s:o}", "name", name, "exec",
					       wire_json_string(c->exec)));
	case WIRE_CONFLICT:
		return varlink_error(REQUEST_INTERFACE ".Conflict",
				     json_pack("{s:o, s:o}", "name", name, "field",
					       wire_json_string(x->what)));
	case WIRE_WRONG_STATE:
		return varlink_error(REQUEST_INTERFACE ".WrongState",
				     json_pack("{s:o, s:o}", "name", name, "state",
					       wire_json_state(x->state)));
	case WIRE_FAILED_START:
		return varlink_error(REQUEST_INTERFACE ".StartFailed",
				     json_pack("{s:o, s:o, s:o}", "name", name, "step",
					       wire_json_string(x->what), "why",
					       wire_json_string(x->why)));
	case WIRE_REFUSED:
		json_decref(name);
		return varlink_error(REQUEST_INTERFACE ".Refused",
				     json_pack("{s:o, s:o}", "what",
					       wire_json_string(x->what), "why",
					       wire_json_string(x->why)));
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
			     json_pack("{s:o}", "why", wire_json_string(why)));
}

char *reply_busy(const char *what, uint64_t limit)
{
	return varlink_error(REQUEST_INTERFACE ".Busy",
			     json_pack("{s:o, s:o}", "what", wire_json_string(what),
				       "limit", wire_json_number(limit)));
}

char *reply_no_exec(const char *name, const char *exec)
{
	return varlink_error(REQUEST_INTERFACE ".NoSuchExec",
			     json_pack("{s:o, s:o}", "name", wire_json_string(name),
				       "exec", wire_json_string(exec)));
}

/* --- all of them ------------------------------------------------------------------- */

static json_t *done_object(const struct reply_context *c, uint64_t count)
{
	if (c->type == WIRE_REAP || c->type == WIRE_SHUTDOWN)
		return json_pack("{s:o}", "stopped", wire_json_number(count));
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
		parameters = json_pack("{s:o, s:b}", "sandbox",
				       wire_json_sandbox(&rp->sandbox), "created",
				       rp->sandbox.created_now != 0);
	else if (rp->type == WIRE_STARTED)
		parameters =
			json_pack("{s:o}", "started", wire_json_string(rp->started.exec));
	else if (rp->type == WIRE_RESULT)
		parameters = json_pack("{s:o}", "result",
				       wire_json_result(&rp->result, c->truncated));
	return varlink_reply(parameters, rp->type == WIRE_STARTED && c->more);
}
