/* SPDX-License-Identifier: Apache-2.0 */
/* The error value: a code and the sentence made where the failing call is visible. */
#pragma once

/*
 * Theory of operation
 *
 * A function that can fail returns 0 or −errno and fills a struct err that its caller
 * owns. The struct has a fixed size, so that it works without a heap and crosses a pipe
 * in one atomic write. The sentence is "what was attempted: why"; callers add context in
 * front of it only when they know something that the callee did not.
 */

#define must_check              __attribute__((warn_unused_result))
#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))

struct err {
	int code; /* 0 or −errno */
	char msg[252];
};

/* Fills e with the formatted text, ": " and the description of errnum (positive).
 * Returns −errnum. The errno of the caller is kept. */
int err_set(struct err *e, int errnum, const char *fmt, ...) printf_like(3, 4);

/* Like err_set(), for failures that no system call reported: the text stands alone. */
int err_say(struct err *e, int errnum, const char *fmt, ...) printf_like(3, 4);

/* Puts the formatted text and ": " in front of the message. Returns e->code. */
int err_wrap(struct err *e, const char *fmt, ...) printf_like(2, 3);

/* A result that is ignored on purpose; the reason belongs in a comment beside it. */
#define err_ignore(call)         \
	do {                     \
		if (call)        \
			(void)0; \
	} while (0)

/* Aborts: for wrong programs only, never for wrong input, kernels or peers. */
#define bug_on(cond)                               \
	do {                                       \
		if (__builtin_expect(!!(cond), 0)) \
			__builtin_trap();          \
	} while (0)
