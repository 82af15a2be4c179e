/* SPDX-License-Identifier: Apache-2.0 */
/* A carreld that says what a test has written down for it, and commands that ask it. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"

enum { SCRIPT_TEXT_MAX = 65536, SCRIPT_REPLIES_MAX = 6, SCRIPT_FDS_MAX = 8 };

/* What has to come next, to the letter, and what to answer. A script ends with a row
 * whose `expect` is NULL. */
struct exchange {
	const char *expect; /* without interface: {"method":"Touch",… */
	const char *replies[SCRIPT_REPLIES_MAX];
	unsigned fds; /* that come with it */
	const char *write; /* to the second of these */
};

/* How a command went. */
struct outcome {
	int status;
	char out[SCRIPT_TEXT_MAX], err[SCRIPT_TEXT_MAX];
};

struct script_input {
	char text[SCRIPT_TEXT_MAX];
	size_t size;
	int fds[SCRIPT_FDS_MAX];
	unsigned fd_count;
};

/* The next message; false at the end. Descriptors that come are kept. */
static inline bool script_read(int sock, struct script_input *in)
{
	char control[CMSG_SPACE(SCRIPT_FDS_MAX * sizeof(int))];

	in->size = 0;
	in->fd_count = 0;
	while (!in->size || in->text[in->size - 1]) {
		struct iovec piece = { in->text + in->size, sizeof(in->text) - in->size };
		struct msghdr m = { .msg_iov = &piece,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
		struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

		if (n <= 0)
			return false;
		if (head) {
			size_t size = head->cmsg_len - CMSG_LEN(0);

			memcpy(in->fds, CMSG_DATA(head), size);
			in->fd_count = (unsigned)(size / sizeof(int));
		}
		in->size += (size_t)n;
	}
	return true;
}

/* What was not expected goes back as an error, which the test then sees. */
static inline void script_object(int sock, const struct script_input *in)
{
	char reply[2 * SCRIPT_TEXT_MAX];
	struct str s = str_over(reply, sizeof(reply));

	str_add(&s,
		"{\"error\":\"io.carrel.Pool.Failed\",\"parameters\":{\"why\":\"%u "
		"fds ",
		in->fd_count);
	for (const char *p = in->text; *p; p++)
		str_add(&s, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
	str_add(&s, "\"}}");
	err_ignore(write(sock, reply, strlen(reply) + 1) < 0);
}

static inline void script_answer(int sock, const struct exchange *x,
				 struct script_input *in)
{
	if (x->write)
		err_ignore(write(in->fds[1], x->write, strlen(x->write)) < 0);
	for (unsigned i = 0; i < in->fd_count; i++)
		close(in->fds[i]);
	for (unsigned i = 0; i < SCRIPT_REPLIES_MAX && x->replies[i]; i++)
		err_ignore(write(sock, x->replies[i], strlen(x->replies[i]) + 1) < 0);
}

/* The child that plays carreld. Never returns. */
static inline void script_serve(int listener, const struct exchange *x)
{
	static struct script_input in;
	int sock = -1;

	alarm(20);
	while (x->expect) {
		char expected[SCRIPT_TEXT_MAX];

		if (sock < 0)
			sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (!script_read(sock, &in)) {
			fd_close(&sock);
			continue;
		}
		/* The interface's name is in each, and not worth repeating. */
		if (str_format(expected, sizeof(expected),
			       "{\"method\":\"io.carrel.Pool.%s", x->expect) < 0 ||
		    strcmp(expected, in.text) || in.fd_count != x->fds)
			script_object(sock, &in);
		else
			script_answer(sock, x, &in);
		x++;
	}
	if (sock < 0)
		err_ignore(accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0);
	_exit(0); /* which ends the connection */
}

static inline int script_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
		str_format(address.sun_path, sizeof(address.sun_path), "%s", path), 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(sock, 4), 0);
	return sock;
}

static inline void script_collect(int fd, char text[SCRIPT_TEXT_MAX])
{
	ssize_t n = pread(fd, text, SCRIPT_TEXT_MAX - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* Runs the command in a process of its own against that script. `input` is its standard
 * input, which stays the caller's. */
static inline void script_run(int (*command)(char **), const struct exchange *script,
			      const char *const *words, int input, struct outcome *ret)
{
	char directory[] = "/tmp/carrel-unit.XXXXXX", path[64], host[80];
	char *argv[16] = { NULL };
	int out = memfd_create("out", MFD_CLOEXEC),
	    err = memfd_create("err", MFD_CLOEXEC);
	int listener, status;
	pid_t server, client;

	assert_non_null(mkdtemp(directory));
	assert_int_equal(str_format(path, sizeof(path), "%s/s", directory), 0);
	assert_int_equal(str_format(host, sizeof(host), "unix://%s", path), 0);
	listener = script_listen(path);
	for (unsigned i = 0; words[i]; i++)
		argv[i] = strdup(words[i]);
	fflush(NULL);
	server = fork();
	if (server == 0)
		script_serve(listener, script);
	client = fork();
	if (client == 0) {
		alarm(20);
		setenv("CARREL_HOST", host, 1);
		dup2(input, 0);
		dup2(out, 1);
		dup2(err, 2);
		_exit(command(argv));
	}
	assert_int_equal(waitpid(client, &status, 0), client);
	kill(server, SIGKILL);
	assert_int_equal(waitpid(server, NULL, 0), server);
	close(listener);
	unlink(path);
	rmdir(directory);
	for (unsigned i = 0; argv[i]; i++)
		free(argv[i]);
	assert_true(WIFEXITED(status));
	ret->status = WEXITSTATUS(status);
	script_collect(out, ret->out);
	script_collect(err, ret->err);
}

/* Runs it and compares everything. */
static inline void script_expect(int (*command)(char **), const struct exchange *script,
				 const char *const *words, int status, const char *out,
				 const char *err)
{
	static struct outcome o;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	script_run(command, script, words, null, &o);
	close(null);
	assert_string_equal(o.err, err);
	assert_string_equal(o.out, out);
	assert_int_equal(o.status, status);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
