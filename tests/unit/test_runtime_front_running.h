/* SPDX-License-Identifier: Apache-2.0 */
/* Plays the broker, and commands that a front carries the output of. */
#pragma once

#include "base/base64.h"
#include "tests/unit/test_runtime_front_lab.h"

/* A command as the broker sees it. */
struct running {
	uint32_t tag;
	int in, out, error;
};

static inline struct running take_exec(const struct lab *lab)
{
	struct lab_request got = lab_take(lab);

	assert_int_equal(got.rq.type, WIRE_EXEC);
	assert_int_equal(got.count, 4);
	close(got.fds[0]);
	return (struct running){ got.rq.tag, got.fds[1], got.fds[2], got.fds[3] };
}

static inline void started(const struct lab *lab, const struct running *x)
{
	lab_reply(lab, x->tag,
		  (struct wire_reply){ .type = WIRE_STARTED, .started.exec = "e1" }, -1);
}

static inline void close_streams(struct running *x)
{
	fd_close(&x->in);
	fd_close(&x->out);
	fd_close(&x->error);
}

static inline void end_exec(const struct lab *lab, struct running *x, uint32_t reason,
			    int exit_code)
{
	close_streams(x);
	lab_reply(lab, x->tag, lab_result(reason, exit_code), -1);
}

/* What base64 stands for, appended to text. */
static inline void append(char *text, size_t *len, const json_t *value)
{
	size_t n = 0;

	if (!value)
		return;
	assert_int_equal(base64_decode(json_string_value(value),
				       json_string_length(value), text + *len, &n),
			 0);
	*len += n;
	text[*len] = '\0';
}

static inline void assert_reason(const json_t *message, const char *reason)
{
	const json_t *result = lab_value(message, "result");

	assert_string_equal(json_string_value(json_object_get(result, "reason")), reason);
}

/* Writes `size` bytes that can be told apart, in a process of its own. */
static inline pid_t flood(struct running *x, uint64_t size)
{
	pid_t pid = fork();
	uint64_t done = 0;

	if (pid != 0) {
		close_streams(x);
		return pid;
	}
	signal(SIGPIPE, SIG_DFL);
	while (done < size) {
		unsigned char block[65536];
		size_t len = size - done < sizeof(block) ? (size_t)(size - done)
							 : sizeof(block);
		ssize_t n;

		for (size_t i = 0; i < len; i++)
			block[i] = (unsigned char)((done + i) % 251);
		n = write(x->out, block, len);
		if (n <= 0)
			_exit(1);
		done += (uint64_t)n;
	}
	_exit(0);
}

static inline void assert_flood(const char *text, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] != (from + i) % 251)
			fail_msg("byte %zu is another one", i);
	}
}
