/* SPDX-License-Identifier: Apache-2.0 */
/* From the broker's replies, and a command's output, to what the client reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/str.h"
#include "runtime/front_parts.h"
#include "runtime/reply.h"

/* --- their life
 * ------------------------------------------------------------------------- */

static void drain_is_over(void *context)
{
	struct call *call = context;
	struct conn *c = call->conn;

	capture_drain(call->capture);
	call_output_over(call);
	conn_advance(c);
}

struct call *call_new(struct conn *c, const struct varlink_call *vc,
		      const struct request *rq)
{
	struct front *f = c->front;
	struct call *call = NULL;

	for (unsigned i = 0; i < FRONT_CALLS_MAX && !call; i++) {
		unsigned at = f->next_call++ % FRONT_CALLS_MAX;

		if (f->calls[at])
			continue;
		call = calloc(1, sizeof(*call));
		if (!call)
			return NULL;
		/* Not 0, and not one that was in use a moment ago. */
		f->rounds = f->rounds % (UINT32_MAX / FRONT_CALLS_MAX - 1) + 1;
		call->tag = f->rounds * FRONT_CALLS_MAX + at;
		f->calls[at] = call;
	}
	if (!call)
		return NULL;
	call->front = f;
	call->conn = c;
	call->type = rq->wire.type;
	call->more = vc->more;
	call->oneway = vc->oneway;
	call->detach = rq->wire.type == WIRE_EXEC && rq->wire.exec.detach;
	call->keep = rq->wire.type == WIRE_WAIT && rq->wire.exec_ref.keep;
	call->drain = (struct timer){ .due = drain_is_over, .context = call };
	memcpy(call->name, rq->wire.name.name, sizeof(call->name));
	if (rq->wire.type == WIRE_WAIT || rq->wire.type == WIRE_KILL ||
	    rq->wire.type == WIRE_CANCEL)
		memcpy(call->exec, rq->wire.exec_ref.exec, sizeof(call->exec));
	return call;
}

void call_free(struct call *call)
{
	struct front *f = call->front;

	loop_clear_timer(f->loop, &call->drain);
	capture_free(call->capture);
	if (call->held) {
		*call->link = call->next;
		if (call->next)
			call->next->link = call->link;
	} else if (call->conn) {
		call->conn->call = NULL;
	}
	f->calls[call->tag % FRONT_CALLS_MAX] = NULL;
	free(call);
}

void call_drop(struct call *call)
{
	struct front *f = call->front;
	const struct wire_request drop = {
		.type = WIRE_DROP,
		.tag = call->tag,
		.end.reason = WIRE_CANCELLED,
	};
	int r = 0;

	if (!call->ended && !front_unsend(f, call->tag)) {
		if (call->detach) {
			call->conn->call = NULL;
			call->conn = NULL;
			return;
		}
		r = front_send(f, &drop, NULL, 0);
	}
	if (r < 0)
		front_fail(f, r);
	call_free(call);
}

static void put_message(struct call *call, char *message)
{
	if (call->conn && !call->oneway)
		conn_put_message(call->conn, message);
	else
		free(message);
}

static void end_with(struct call *call, char *message)
{
	put_message(call, message);
	call_free(call);
}

/* --- what goes through the front -------------------------------------------------- */

static void put_text(struct call *call, const char *text)
{
	conn_put(call->conn, text, strlen(text));
}

/* Puts bytes of a stream from the first one on that has not been sent, up to `limit`.
 * With `more`, they are a reply of their own. False: there are none. */
static bool put_chunk(struct call *call, unsigned which, size_t limit)
{
	static const char *const head[] = { "{\"parameters\":{\"stdout\":\"",
					    "{\"parameters\":{\"stderr\":\"" };
	static const char tail[] = "\"},\"continues\":true}";
	struct front *f = call->front;
	size_t len = limit - call->sent[which];

	if (len == 0)
		return false;
	if (len > FRONT_CHUNK)
		len = FRONT_CHUNK;
	len = stream_copy(&call->capture->pipes[which].kept, call->sent[which], f->raw,
			  len);
	base64_encode(f->raw, len, f->text);
	if (call->more)
		put_text(call, head[which]);
	conn_put(call->conn, f->text, base64_length(len));
	if (call->more)
		conn_put(call->conn, tail, sizeof(tail));
	call->sent[which] += len;
	return true;
}

static void put_last(struct call *call)
{
	uint64_t truncated = capture_truncated(call->capture);
	const struct reply_context context = { .type = call->type,
					       .truncated = truncated };
	const struct wire_reply rp = { .type = WIRE_RESULT, .result = call->result };
	auto_free char *text = NULL;

	if (call->more) {
		end_with(call, reply_message(&context, &rp));
		return;
	}
	text = reply_result_text(&call->result, truncated);
	if (!text) {
		end_with(call, NULL);
		return;
	}
	put_text(call, "\",\"result\":");
	put_text(call, text);
	conn_put(call->conn, "}}", sizeof("}}"));
	call_free(call);
}

void call_pump(struct call *call)
{
	const struct capture *cap = call->capture;

	if (!cap || call->oneway)
		return;
	if (call->stage == CALL_RUNS) {
		/* Its pipes may be faster than the word that it has started. */
		if (!*call->exec)
			return;
		if (call->more && !put_chunk(call, 0, cap->pipes[0].kept.head_len))
			put_chunk(call, 1, cap->pipes[1].kept.head_len);
		return;
	}
	if (call->stage == CALL_STDOUT) {
		if (put_chunk(call, 0, stream_kept(&cap->pipes[0].kept)))
			return;
		call->stage = CALL_STDERR;
		if (!call->more)
			put_text(call, "\",\"stderr\":\"");
	}
	if (!put_chunk(call, 1, stream_kept(&cap->pipes[1].kept)))
		put_last(call);
}

void call_output_over(struct call *call)
{
	loop_clear_timer(call->front->loop, &call->drain);
	capture_close(call->capture);
	if (call->oneway) {
		call_free(call);
		return;
	}
	call->stage = CALL_STDOUT;
	if (!call->more)
		put_text(call, "{\"parameters\":{\"stdout\":\"");
}

/* --- replies ----------------------------------------------------------------------- */

static void end_with_reply(struct call *call, const struct wire_reply *rp,
			   uint64_t truncated)
{
	const struct reply_context context = {
		.type = call->type,
		.more = call->more,
		.name = call->name,
		.exec = call->exec,
		.truncated = truncated,
	};

	end_with(call, reply_message(&context, rp));
}

static void take_started(struct call *call, const struct wire_reply *rp, int fd)
{
	const struct reply_context context = {
		.type = call->type,
		.more = call->more && !call->detach,
	};
	char *message;

	memcpy(call->exec, rp->started.exec, sizeof(call->exec));
	if ((call->more || call->detach) && call->conn && !call->oneway) {
		if (fd >= 0)
			conn_pass(call->conn, fd_take(&fd));
		message = reply_message(&context, rp);
		conn_put_message(call->conn, message);
	}
	fd_close(&fd);
	if (!call->detach)
		return;
	if (call->capture)
		capture_detach(call->capture, call->name, call->exec);
	call->capture = NULL;
	call_free(call);
}

static void take_result(struct call *call, const struct wire_reply *rp)
{
	struct front *f = call->front;
	uint64_t over = loop_now(f->loop) + f->limits->drain_ms;
	struct capture *detached;
	uint64_t truncated = 0;
	struct err e;

	/* A detached one that could not be started, whose client has gone. */
	if (!call->conn) {
		call_free(call);
		return;
	}
	if (call->capture) {
		call->result = rp->result;
		call->ended = true;
		/* Who has survived the command and holds its pipes does not hold us
		 * (E-39). */
		if (capture_drain(call->capture) ||
		    loop_set_timer(f->loop, &call->drain, over, &e) < 0)
			call_output_over(call);
		return;
	}
	detached =
		call->type == WIRE_WAIT ? capture_find(f, call->name, call->exec) : NULL;
	if (detached)
		truncated = capture_truncated(detached);
	if (detached && !call->keep)
		capture_free(detached);
	end_with_reply(call, rp, truncated);
}

/* Reads a document and makes sure that it is an object: a broker that has written half of
 * one must not take the client's framing with it. */
static int read_document(int fd, char **ret_text, size_t *ret_len)
{
	auto_free char *text = NULL;
	json_t *object;
	struct stat st;
	size_t len = 0;
	bool is_object;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 ||
	    st.st_size > FRONT_DOCUMENT_MAX)
		return -EPROTO;
	text = malloc((size_t)st.st_size);
	if (!text)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + len, (size_t)st.st_size - len, (off_t)len);

		if (n <= 0)
			return -EPROTO;
		len += (size_t)n;
	}
	object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	is_object = json_is_object(object);
	json_decref(object);
	if (!is_object)
		return -EPROTO;
	*ret_text = text;
	*ret_len = len;
	text = NULL;
	return 0;
}

static void take_document(struct call *call, const struct wire_reply *rp, int fd)
{
	bool continues = rp->more && call->more;
	auto_free char *text = NULL;
	char *message;
	size_t len = 0;
	int r = read_document(fd, &text, &len);

	if (r < 0) {
		end_with(call, reply_failed("the broker sent no document"));
		return;
	}
	message = varlink_reply_text(text, len, continues);
	if (!continues) {
		end_with(call, message);
		return;
	}
	put_message(call, message);
	/* They come by themselves: who does not read them shall ask again. */
	if (call->conn && call->conn->out.len > FRONT_QUEUE_MAX)
		call->conn->broken = true;
}

/* Lives on: the broker wants to know when the client goes. */
static void hold(struct call *call)
{
	struct conn *c = call->conn;

	c->call = NULL;
	call->held = true;
	call->link = &c->held;
	call->next = c->held;
	if (call->next)
		call->next->link = &call->next;
	c->held = call;
}

static void take_sandbox(struct call *call, const struct wire_reply *rp)
{
	const struct reply_context context = { .type = call->type };

	put_message(call, reply_message(&context, rp));
	if (rp->sandbox.held)
		hold(call);
	else
		call_free(call);
}

void call_take_reply(struct call *call, const struct wire_reply *rp, int fd)
{
	struct conn *c = call->conn;

	if (call->held) {
		/* What it has made has gone. */
		call_free(call);
	} else if (rp->type == WIRE_SANDBOX) {
		take_sandbox(call, rp);
	} else if (rp->type == WIRE_STARTED) {
		take_started(call, rp, fd_take(&fd));
	} else if (rp->type == WIRE_RESULT) {
		take_result(call, rp);
	} else if (rp->type == WIRE_DOCUMENT) {
		take_document(call, rp, fd);
	} else {
		end_with_reply(call, rp, 0);
	}
	fd_close(&fd);
	if (c)
		conn_advance(c);
}
