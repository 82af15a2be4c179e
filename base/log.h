/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one event, one line of key=value pairs on standard error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 *	log_info("sandbox.started", log_text("name", name), log_number("client", 1));
 *
 *	time=2026-03-01T12:00:00.123Z level=info event=sandbox.started name="a b" client=1
 *
 * A line is made in a buffer of fixed size, without allocation, lock or stdio, and leaves
 * in one write. Under journald, which knows the time, it begins with <6> instead of a
 * time: the priority.
 *
 * Values may come from a client or from inside a sandbox (E-38): what is not printable
 * ASCII is written as \xNN, so that no value can end a line, begin another field or move
 * a terminal's cursor, and every value can be had back from the line. A value that is
 * longer than LOG_VALUE_MAX, and fields that do not fit, are cut off; the line then ends
 * with cut=1.
 *
 * The daemon never waits for who reads its log. What standard error does not take at once
 * is dropped and counted; the next line that passes is preceded by one that says how many
 * are missing.
 *
 * Environment values and what a command prints are not for the log, escaped or not.
 */

enum log_level {
	LOG_LEVEL_ERR, /* something that was asked for did not happen, and is ours to mend
			*/
	LOG_LEVEL_WARNING, /* it went on, but somebody should look */
	LOG_LEVEL_INFO, /* what happened */
	LOG_LEVEL_DEBUG, /* how */
	LOG_LEVEL_MAX,
};

enum {
	LOG_VALUE_MAX = 512, /* bytes of a value, before they are escaped */
	LOG_LINE_MAX = 4096, /* PIPE_BUF: a pipe takes all of a line or nothing */
};

/* A field of a line. Keys are the program's own: letters, digits, "_" and ".". */
struct log_field {
	const char *key; /* NULL: behind the last one */
	const void *data; /* NULL: the number */
	size_t size;
	int64_t number;
};

/* A value that is a string; NULL is written like the empty one. */
struct log_field log_text(const char *key, const char *text);
/* Bytes, with zeros among them if need be. */
struct log_field log_bytes(const char *key, const void *data, size_t size);
struct log_field log_number(const char *key, int64_t number);

/* "err", "warning", "info", "debug". */
const char *log_level_name(enum log_level level);
/* −EINVAL for anything but these four words. */
must_check int log_level_parse(const char *text, enum log_level *ret);

/* Opens the log: standard error, in the form that its reader expects ($JOURNAL_STREAM).
 * Lines above `most` are left out. To be called once, before anything is logged; may be
 * called again to change the level. Without it, lines go nowhere. The program has to
 * ignore SIGPIPE. */
void log_open(enum log_level most);

/* The same for a descriptor, which stays the caller's; −1: nowhere. The counter of
 * dropped lines starts again. */
void log_open_fd(int fd, bool journal, enum log_level most);

/* Writes one line. `fields` ends with one that has no key. Never blocks, never fails,
 * keeps errno. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_err(event, ...)     log_line(LOG_LEVEL_ERR, event, ##__VA_ARGS__)
#define log_warning(event, ...) log_line(LOG_LEVEL_WARNING, event, ##__VA_ARGS__)
#define log_info(event, ...)    log_line(LOG_LEVEL_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...)   log_line(LOG_LEVEL_DEBUG, event, ##__VA_ARGS__)

#define log_line(level, event, ...) \
	log_write(                  \
		level, event,       \
		(const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ .key = NULL } })

/* Lines that were not written since the log was opened. */
uint64_t log_dropped(void);

/* Makes the text of one line, with its newline, in buf of LOG_LINE_MAX bytes; a NUL
 * follows it. `head` comes first as it is. Returns the length. Pure. */
size_t log_format(char *buf, const char *head, enum log_level level, const char *event,
		  const struct log_field *fields);

/* Writes a moment, in milliseconds since 1970, as RFC 3339 in UTC. Pure: no time zone is
 * read, so that it works in an empty root. */
void log_format_time(char buf[static 32], int64_t ms);
