/* SPDX-License-Identifier: Apache-2.0 */
/* A front in a process of its own; the test is its broker and its clients. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/front.h"
#include "runtime/wire.h"

enum { LAB_WAIT_MS = 10000, LAB_TEXT_MAX = 64 << 20 };

struct lab {
	pid_t pid;
	int broker;
};

/* A record that the broker got. */
struct lab_request {
	struct wire_request rq;
	int fds[WIRE_FDS_MAX];
	unsigned count;
};

static inline uint64_t lab_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* With limits, or as the broker does it: confined to the id. */
static inline struct lab lab_begin(const struct front_limits *limits, uid_t id)
{
	struct lab lab;
	struct err e = { 0 };
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	lab.pid = fork();
	assert_true(lab.pid >= 0);
	if (lab.pid == 0) {
		for (int sig = 1; sig < 32; sig++)
			signal(sig, SIG_DFL);
		signal(SIGPIPE, SIG_IGN);
		alarm(100);
		close(pair[0]);
		r = limits ? front_serve(pair[1], limits, &e)
			   : front_main(pair[1], id, id, &e);
		if (r < 0)
			fprintf(stderr, "front: %s\n", e.msg);
		if (!limits)
			_exit(r < 0);
		exit(r < 0);
	}
	close(pair[1]);
	lab.broker = pair[0];
	return lab;
}

static inline struct lab lab_start(const struct front_limits *limits)
{
	return lab_begin(limits, 0);
}

/* The broker goes; the front must follow, without a complaint. */
static inline void lab_end(struct lab *lab)
{
	int status = -1;

	fd_close(&lab->broker);
	assert_int_equal(waitpid(lab->pid, &status, 0), lab->pid);
	assert_int_equal(status, 0);
}

/* A record of the broker's, when there is room for it. */
static inline void lab_tell(const struct lab *lab, const struct wire_reply *rp, int fd)
{
	struct pollfd pfd = { .fd = lab->broker, .events = POLLOUT };
	int r;

	do {
		assert_int_equal(poll(&pfd, 1, LAB_WAIT_MS), 1);
		r = wire_send(lab->broker, rp, sizeof(*rp), &fd, fd >= 0 ? 1 : 0);
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
}

static inline int lab_connect(const struct lab *lab)
{
	const struct wire_reply rp = { .type = WIRE_CONNECTION };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	lab_tell(lab, &rp, pair[1]);
	close(pair[1]);
	return pair[0];
}

/* Waits until the socket has something. False: for too long. */
static inline bool lab_readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1;
}

/* Any record. */
static inline struct lab_request lab_take_next(const struct lab *lab)
{
	struct lab_request got = { 0 };

	if (!lab_readable(lab->broker, LAB_WAIT_MS))
		fail_msg("no record comes");
	assert_int_equal(wire_receive(lab->broker, &got.rq, sizeof(got.rq), got.fds,
				      WIRE_FDS_MAX, &got.count),
			 1);
	if (!wire_check_request(&got.rq, got.count))
		fail_msg("record of type %u is none", got.rq.type);
	return got;
}

/* The next one that is about a call. */
static inline struct lab_request lab_take(const struct lab *lab)
{
	struct lab_request got;

	do {
		got = lab_take_next(lab);
	} while (got.rq.type == WIRE_LEFT);
	return got;
}

/* Waits for a record that is about a call, and leaves it there. False: for too long. */
static inline bool lab_asked(const struct lab *lab, int ms)
{
	struct wire_request rq;

	while (lab_readable(lab->broker, ms)) {
		assert_int_equal(recv(lab->broker, &rq, sizeof(rq), MSG_PEEK),
				 sizeof(rq));
		if (rq.type != WIRE_LEFT)
			return true;
		lab_take_next(lab);
	}
	return false;
}

/* The next record says that so many connections have ended, and what is left. */
static inline void lab_assert_left(const struct lab *lab, uint64_t ended, bool idle)
{
	struct lab_request got = lab_take_next(lab);

	assert_int_equal(got.rq.type, WIRE_LEFT);
	assert_int_equal(got.rq.left.ended, ended);
	assert_int_equal(got.rq.left.idle, idle);
}

static inline void lab_close_fds(struct lab_request *got)
{
	for (unsigned i = 0; i < got->count; i++)
		close(got->fds[i]);
	got->count = 0;
}

static inline void lab_reply(const struct lab *lab, uint32_t tag, struct wire_reply rp,
			     int fd)
{
	rp.tag = tag;
	lab_tell(lab, &rp, fd);
}

/* Sends bytes, with descriptors beside the first. False: the other side has gone. */
static inline bool lab_send(int client, const void *data, size_t len, const int *fds,
			    unsigned count)
{
	char control[CMSG_SPACE(253 * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;

	if (count) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(client, &msg, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return true;
}

/* Sends a message. */
static inline void lab_say(int client, const char *text)
{
	assert_true(lab_send(client, text, strlen(text) + 1, NULL, 0));
}

/* A message's text, and the descriptor that came with it, or −1. NULL: the connection was
 * closed. For free(). */
static inline char *lab_hear_text(int client, int *ret_fd)
{
	size_t len = 0, size = 4096;
	char *text = malloc(size);

	*ret_fd = -1;
	do {
		char control[CMSG_SPACE(sizeof(int))];
		struct iovec iov = { .iov_base = text + len, .iov_len = 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		const char *nul;
		ssize_t n;

		if (!lab_readable(client, LAB_WAIT_MS))
			fail_msg("no message comes");
		/* A whole message and nothing of the next one. */
		iov.iov_len = size - len - 1;
		n = recv(client, text + len, size - len - 1, MSG_PEEK);
		nul = n > 0 ? memchr(text + len, '\0', (size_t)n) : NULL;
		iov.iov_len =
			nul ? (size_t)(nul - text) - len + 1 : (size_t)(n > 0 ? n : 1);
		n = recvmsg(client, &msg, MSG_CMSG_CLOEXEC);
		if (n <= 0) {
			free(text);
			return NULL;
		}
		if (msg.msg_controllen)
			memcpy(ret_fd, CMSG_DATA((struct cmsghdr *)control), sizeof(int));
		len += (size_t)n;
		if (len + 1 >= size) {
			size *= 2;
			text = realloc(text, size);
			assert_true(size < LAB_TEXT_MAX);
		}
	} while (text[len - 1] != '\0');
	return text;
}

/* The next message; for json_decref(). */
static inline json_t *lab_hear(int client)
{
	json_error_t error;
	int fd;
	char *text = lab_hear_text(client, &fd);
	json_t *message;

	if (!text)
		fail_msg("the connection was closed");
	assert_int_equal(fd, -1);
	message = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(message))
		fail_msg("%s in %s", error.text, text);
	free(text);
	return message;
}

static inline void lab_assert_heard(int client, const char *expected)
{
	int fd;
	char *text = lab_hear_text(client, &fd);

	if (!text)
		fail_msg("closed instead of %s", expected);
	assert_string_equal(text, expected);
	assert_int_equal(fd, -1);
	free(text);
}

static inline void lab_assert_closed(int client)
{
	int fd;
	char *text = lab_hear_text(client, &fd);

	if (text)
		fail_msg("%s instead of the end", text);
}

/* A value of the reply's parameters. */
static inline json_t *lab_value(const json_t *message, const char *name)
{
	return json_object_get(json_object_get(message, "parameters"), name);
}

/* How many descriptors a process has. */
static inline unsigned lab_count_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Kilobytes of memory that a process has to itself. A sanitizer's do not count. */
static inline long lab_memory(pid_t pid)
{
#ifdef __SANITIZE_ADDRESS__
	return pid < 0;
#endif
	char path[64], line[256];
	long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	}
	fclose(file);
	return kib;
}

#define LAB_TOUCH                               \
	"{\"method\":\"io.carrel.Pool.Touch\"," \
	"\"parameters\":{\"name\":\"alice\"}}"
#define LAB_INVALID(name)                                      \
	"{\"error\":\"org.varlink.service.InvalidParameter\"," \
	"\"parameters\":{\"parameter\":\"" name "\"}}"

#define LAB_EXEC(fields)                                      \
	"{\"method\":\"io.carrel.Pool.Exec\",\"parameters\":" \
	"{\"name\":\"alice\",\"argv\":[\"true\"]" fields "}}"
#define LAB_EXEC_MORE(fields)                                               \
	"{\"method\":\"io.carrel.Pool.Exec\",\"more\":true,\"parameters\":" \
	"{\"name\":\"alice\",\"argv\":[\"true\"]" fields "}}"

/* The broker's result of an exec. */
static inline struct wire_reply lab_result(uint32_t reason, int exit_code)
{
	return (struct wire_reply){
		.type = WIRE_RESULT,
		.result = { .exec = "e1", .reason = reason, .exit_code = exit_code },
	};
}

/* A number of a result. */
static inline json_int_t lab_result_number(const json_t *message, const char *name)
{
	const json_t *value = json_object_get(lab_value(message, "result"), name);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

/* Waits until the front has so many descriptors: it closes what it has sent a moment
 * after that. */
static inline void lab_assert_fds(const struct lab *lab, unsigned count)
{
	for (int i = 0; i < 100 && lab_count_fds(lab->pid) != count; i++)
		usleep(10000);
	assert_int_equal(lab_count_fds(lab->pid), count);
}

/* As the broker sends one. */
static inline int lab_document(const char *text)
{
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(wire_memfd("test", text, strlen(text), &fd, &e), 0);
	return fd;
}

/* The front still does its work for others. */
static inline void lab_assert_alive(const struct lab *lab)
{
	const struct wire_reply done = { .type = WIRE_DONE };
	struct lab_request got;
	int client = lab_connect(lab);

	lab_say(client, LAB_TOUCH);
	got = lab_take(lab);
	assert_int_equal(got.rq.type, WIRE_TOUCH);
	lab_reply(lab, got.rq.tag, done, -1);
	lab_assert_heard(client, "{\"parameters\":{}}");
	close(client);
}
