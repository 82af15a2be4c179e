/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static const char *describe(int errnum)
{
	const char *text = strerrordesc_np(errnum);

	return text ? text : "unknown error";
}

int err_set(struct err *e, int errnum, const char *fmt, ...)
{
	int saved = errno;
	const char *why = describe(errnum);
	/* A long path may be cut, the reason behind it never is. */
	struct str s = str_over(e->msg, sizeof(e->msg) - strlen(why) - 2);
	va_list ap;

	bug_on(errnum <= 0);
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	s.size = sizeof(e->msg);
	str_add(&s, ": %s", why);
	e->code = -errnum;
	errno = saved;
	return e->code;
}

int err_say(struct err *e, int errnum, const char *fmt, ...)
{
	int saved = errno;
	struct str s = str_over(e->msg, sizeof(e->msg));
	va_list ap;

	bug_on(errnum <= 0);
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	e->code = -errnum;
	errno = saved;
	return e->code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char inner[sizeof(e->msg)];
	struct str s;
	va_list ap;

	memcpy(inner, e->msg, sizeof(inner));
	s = str_over(e->msg, sizeof(e->msg));
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	str_add(&s, ": %s", inner);
	return e->code;
}
