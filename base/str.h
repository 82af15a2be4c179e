/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded text: the only place that formats into a buffer. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Text under construction in a buffer that the caller owns; always NUL-terminated. */
struct str {
	char *buf;
	size_t size; /* of buf, in bytes, at least 1 */
	size_t len; /* without the NUL, always below size */
	bool cut; /* something did not fit */
};

/* Starts empty text over buf. */
struct str str_over(char *buf, size_t size);

/* Appends formatted text; what does not fit is dropped and recorded in cut. */
void str_add(struct str *s, const char *fmt, ...) printf_like(2, 3);
void str_addv(struct str *s, const char *fmt, va_list ap) printf_like(2, 0);

/* Formats into buf. −ENAMETOOLONG when it does not fit whole; buf then holds "". */
must_check int str_format(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);

/* Is text made of nothing but the bytes in allowed? The empty string is. */
bool str_only(const char *text, const char *allowed);

/* Copies text with everything outside printable ASCII written as \xNN, so that a
 * foreign string can neither move a cursor nor fake a line. Returns buf. */
const char *str_escape(char *buf, size_t size, const char *text);
