/* SPDX-License-Identifier: Apache-2.0 */
/* From a client's bytes to records: what the front reads. Each record that comes of them
 * must be one that the broker takes. */
#include <errno.h>

#include "runtime/request.h"
#include "runtime/varlink.h"
#include "tests/fuzz/fuzz.h"

/* Nothing but JSON and its NUL may go out. */
static void check_message(char *message)
{
	json_t *whole;

	if (!message)
		return;
	whole = json_loads(message, 0, NULL);
	bug_on(!json_is_object(whole));
	json_decref(whole);
	free(message);
}

static void check_request(struct request *rq)
{
	const struct wire_exec *x = &rq->wire.exec;
	unsigned fds = rq->string_count > 0;

	if (rq->wire.type == REQUEST_WIRE_NONE)
		return;
	if (rq->wire.type == WIRE_EXEC)
		fds += x->fds;
	rq->wire.tag = 1;
	bug_on(!wire_check_request(&rq->wire, fds));
	if (rq->wire.type == WIRE_EXEC) {
		bug_on(rq->string_count != (size_t)x->argc + x->env_count);
		bug_on(rq->descriptors && rq->descriptors != x->fds);
	}
	for (size_t i = 0; i < rq->string_count; i++)
		bug_on(strlen(rq->strings[i]) > VARLINK_MESSAGE_MAX);
}

static void take_call(struct varlink_call *call)
{
	static const struct varlink_service service = {
		.vendor = "v",
		.product = "p",
		.version = "1",
		.url = "",
		.interface = REQUEST_INTERFACE,
		.description = "interface",
		.description_size = 9,
	};
	const char *method = varlink_method_of(call, REQUEST_INTERFACE);
	struct varlink_error error;
	json_t *parameters = NULL;
	struct request rq;
	int r = method ? request_parse(method, call, &rq, &error) : -ENOENT;

	if (r == 0)
		check_request(&rq);
	if (method)
		request_free(&rq);
	if (r == -EINVAL)
		check_message(varlink_error_reply(&error));
	if (r != -ENOENT)
		return;
	r = varlink_service_answer(&service, call, &parameters, &error);
	check_message(r == 0 ? varlink_reply(parameters, false)
			     : varlink_error_reply(&error));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	while (size) {
		size_t len = varlink_message_length(text, size, 0);
		struct varlink_call call;
		struct varlink_error error;
		int r;

		/* What has been looked at does not change where it ends. */
		bug_on(varlink_message_length(text, size, len / 2) != len);
		if (len == size)
			return 0;
		r = varlink_call_parse(text, len, &call, &error);
		if (r == 0)
			take_call(&call);
		else if (r == -EINVAL)
			check_message(varlink_error_reply(&error));
		if (r == 0 || r == -EINVAL)
			varlink_call_free(&call);
		text += len + 1;
		size -= len + 1;
	}
	return 0;
}
