/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/client.h"

enum {
	BUFFER_FIRST = 16 << 10,
	MESSAGE_MAX = 64 << 20, /* of carreld, which is trusted not to fill our memory */
};

int client_socket_path(const char *host, const char **ret_path, struct err *e)
{
	static const char scheme[] = "unix://";
	const char *name = host, *what = "--host";

	if (!name) {
		name = getenv("CARREL_HOST");
		what = "CARREL_HOST";
	}
	if (!name || !*name)
		name = CLIENT_HOST;
	if (strncmp(name, scheme, sizeof(scheme) - 1) || name[sizeof(scheme) - 1] != '/')
		return err_say(e, EINVAL,
			       "%s: \"%.100s\" is not of the form unix:///PATH", what,
			       name);
	*ret_path = name + sizeof(scheme) - 1;
	return 0;
}

static int connect_error(int errnum, const char *path, struct err *e)
{
	if (errnum == ENOENT || errnum == ECONNREFUSED)
		return err_say(e, errnum, "carreld is not running: nobody listens on %s",
			       path);
	if (errnum == EACCES || errnum == EPERM)
		return err_say(e, errnum,
			       "you may not use carreld: no permission on %s; it is for "
			       "root and for members of the socket's group",
			       path);
	return err_set(e, errnum, "connect to carreld on %s", path);
}

int client_open(const char *host, struct client_link *ret, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path;
	int r;

	*ret = CLIENT_NONE;
	r = client_socket_path(host, &path, e);
	if (r < 0)
		return r;
	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", path) < 0)
		return err_set(e, ENAMETOOLONG, "connect to carreld on %s", path);
	ret->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ret->sock < 0)
		return err_set(e, errno, "make a socket");
	if (connect(ret->sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return connect_error(errno, path, e);
	return 0;
}

void client_close(struct client_link *c)
{
	fd_close(&c->sock);
	fd_close(&c->passed);
	free(c->buffer);
	*c = CLIENT_NONE;
}

/* Descriptors go with the first byte. */
static int send_message(struct client_link *c, const char *text, size_t size,
			const struct client_request *rq)
{
	union {
		char bytes[CMSG_SPACE(CLIENT_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec piece = { .iov_base = (void *)(uintptr_t)text, .iov_len = size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	size_t fds_size = rq->fd_count * sizeof(int);

	if (fds_size) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fds_size);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fds_size);
		memcpy(CMSG_DATA(&control.align), rq->fds, fds_size);
	}
	while (piece.iov_len) {
		ssize_t n = sendmsg(c->sock, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		piece.iov_base = (char *)piece.iov_base + n;
		piece.iov_len -= (size_t)n;
		message.msg_control = NULL;
		message.msg_controllen = 0;
	}
	return 0;
}

static json_t *call_object(const struct client_request *rq)
{
	json_t *object;

	if (!rq->parameters)
		return NULL;
	object = json_pack("{s:o, s:o}", "method",
			   json_sprintf(CLIENT_INTERFACE "%s", rq->method), "parameters",
			   rq->parameters);
	if (object && rq->more && json_object_set_new(object, "more", json_true()) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

int client_send(struct client_link *c, const struct client_request *rq, struct err *e)
{
	json_t *object = call_object(rq);
	auto_free char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int r;

	bug_on(rq->fd_count > CLIENT_FDS_MAX);
	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "encode a call of %s", rq->method);
	r = send_message(c, text, strlen(text) + 1, rq);
	if (r == -EPIPE || r == -ECONNRESET)
		return err_say(e, EPIPE, "carreld has closed the connection");
	return r < 0 ? err_set(e, -r, "send to carreld") : 0;
}

/* Room behind what has come. */
static int make_room(struct client_link *c, struct err *e)
{
	size_t size = c->size ? c->size * 2 : BUFFER_FIRST;
	char *grown;

	if (c->start) {
		memmove(c->buffer, c->buffer + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	if (c->end < c->size)
		return 0;
	if (c->size >= MESSAGE_MAX)
		return err_say(e, EMSGSIZE, "a reply of carreld has more than %d MiB",
			       MESSAGE_MAX >> 20);
	grown = realloc(c->buffer, size);
	if (!grown)
		return err_set(e, ENOMEM, "read a reply of carreld");
	c->buffer = grown;
	c->size = size;
	return 0;
}

/* Keeps the first descriptor; what nobody waits for is closed. */
static void take_descriptors(struct client_link *c, struct msghdr *message)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);

	for (; head; head = CMSG_NXTHDR(message, head)) {
		size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			auto_fd fd = -1;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
			if (c->passed < 0)
				c->passed = fd_take(&fd);
		}
	}
}

/* Reads what is there. −EAGAIN: nothing. */
static int fill(struct client_link *c, struct err *e)
{
	union {
		char bytes[CMSG_SPACE(CLIENT_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece;
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control) };
	ssize_t n;
	int r = make_room(c, e);

	if (r < 0)
		return r;
	piece.iov_base = c->buffer + c->end;
	piece.iov_len = c->size - c->end;
	n = recvmsg(c->sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n < 0 && errno != ECONNRESET)
		return err_set(e, errno, "read from carreld");
	if (n <= 0)
		return err_say(e, EPIPE, "carreld has closed the connection");
	take_descriptors(c, &message);
	c->end += (size_t)n;
	return 0;
}

/* One message, decoded. */
static int decode(const char *text, size_t size, struct client_reply *ret, struct err *e)
{
	json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	const char *error = json_string_value(json_object_get(object, "error"));
	json_t *parameters = json_object_get(object, "parameters");
	int r = 0;

	if (!json_is_object(object) || (parameters && !json_is_object(parameters)))
		r = err_say(e, EPROTO, "what carreld says is not Varlink");
	else if (error)
		r = client_error(error, parameters, e);
	if (r == 0) {
		*ret = (struct client_reply){
			.parameters =
				parameters ? json_incref(parameters) : json_object(),
			.continues = client_flag(object, "continues"),
		};
	}
	json_decref(object);
	return r;
}

int client_try_receive(struct client_link *c, struct client_reply *ret, struct err *e)
{
	size_t looked = 0;

	for (;;) {
		size_t have = c->end - c->start;
		char *text = c->buffer + c->start;
		char *nul = have ? memchr(text + looked, '\0', have - looked) : NULL;
		int r;

		if (nul) {
			c->start += (size_t)(nul - text) + 1;
			return decode(text, (size_t)(nul - text), ret, e);
		}
		looked = have;
		r = fill(c, e);
		if (r < 0)
			return r;
	}
}

int client_receive(struct client_link *c, struct client_reply *ret, struct err *e)
{
	struct pollfd readable = { .fd = c->sock, .events = POLLIN };

	for (;;) {
		int r = client_try_receive(c, ret, e), ready;

		if (r != -EAGAIN)
			return r;
		ready = poll(&readable, 1, c->timeout_ms ? c->timeout_ms : -1);
		if (ready == 0)
			return err_say(e, ETIMEDOUT, "carreld does not answer");
		if (ready < 0 && errno != EINTR)
			return err_set(e, errno, "wait for carreld");
	}
}

void client_reply_free(struct client_reply *r)
{
	json_decref(r->parameters);
	*r = (struct client_reply){ 0 };
}

int client_take_descriptor(struct client_link *c)
{
	return fd_take(&c->passed);
}

int client_call(struct client_link *c, const char *method, json_t *parameters,
		json_t **ret, struct err *e)
{
	struct client_request rq = { .method = method, .parameters = parameters };
	struct client_reply reply = { 0 };
	int r = client_send(c, &rq, e);

	if (r == 0)
		r = client_receive(c, &reply, e);
	if (r < 0)
		return r;
	*ret = json_incref(reply.parameters);
	client_reply_free(&reply);
	return 0;
}

int client_order(struct client_link *c, const char *method, json_t *parameters,
		 struct err *e)
{
	json_t *nothing = NULL;
	int r = client_call(c, method, parameters, &nothing, e);

	json_decref(nothing);
	return r;
}

int64_t client_int(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool client_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
