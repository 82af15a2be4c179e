/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct str str_over(char *buf, size_t size)
{
	bug_on(size == 0);
	buf[0] = '\0';
	return (struct str){ .buf = buf, .size = size };
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
	size_t room = s->size - s->len;
	int want = vsnprintf(s->buf + s->len, room, fmt, ap);

	if (want < 0) {
		s->buf[s->len] = '\0';
		s->cut = true;
	} else if ((size_t)want >= room) {
		s->len = s->size - 1;
		s->cut = true;
	} else {
		s->len += (size_t)want;
	}
}

void str_add(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

int str_format(char *buf, size_t size, const char *fmt, ...)
{
	struct str s = str_over(buf, size);
	va_list ap;

	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	if (s.cut) {
		buf[0] = '\0';
		return -ENAMETOOLONG;
	}
	return 0;
}

bool str_only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

const char *str_escape(char *buf, size_t size, const char *text)
{
	struct str s = str_over(buf, size);

	for (const unsigned char *p = (const unsigned char *)text; *p && !s.cut; p++) {
		if (*p >= 0x20 && *p < 0x7f && *p != '\\')
			str_add(&s, "%c", *p);
		else
			str_add(&s, "\\x%02x", *p);
	}
	return buf;
}
