/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define CUT_MARK " cut=1"

/* What syslog(3) calls them: journald takes the number for the line's priority. */
static const struct {
	const char *name;
	unsigned priority;
} levels[] = {
	[LOG_LEVEL_ERR] = { "err", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static_assert(sizeof(levels) / sizeof(*levels) == LOG_LEVEL_MAX, "a row a level");

/* Where lines go. */
static struct {
	int fd; /* −1: nowhere */
	int own; /* what we opened ourselves, or −1 */
	bool journal, socket;
	bool torn; /* only a part of the last line was taken */
	enum log_level most;
	uint64_t dropped, told;
} sink = { .fd = -1, .own = -1 };

struct log_field log_text(const char *key, const char *text)
{
	return log_bytes(key, text, text ? strlen(text) : 0);
}

struct log_field log_bytes(const char *key, const void *data, size_t size)
{
	return (struct log_field){ .key = key, .data = data ? data : "", .size = size };
}

struct log_field log_number(const char *key, int64_t number)
{
	return (struct log_field){ .key = key, .number = number };
}

const char *log_level_name(enum log_level level)
{
	bug_on((unsigned)level >= LOG_LEVEL_MAX);
	return levels[level].name;
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (unsigned i = 0; i < LOG_LEVEL_MAX; i++) {
		if (!strcmp(text, levels[i].name)) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- the text of a line ------------------------------------------------------------ */

static bool is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || (c && strchr("_.:/@+-", c));
}

/* Printable and without a meaning between quotes. */
static bool is_literal(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static size_t span(const unsigned char *data, size_t size, bool (*is)(unsigned char c))
{
	size_t n = 0;

	while (n < size && is(data[n]))
		n++;
	return n;
}

static void add_quoted(struct str *s, const unsigned char *data, size_t size)
{
	str_add(s, "\"");
	while (size && !s->cut) {
		size_t n = span(data, size, is_literal);

		if (n) {
			str_add(s, "%.*s", (int)n, (const char *)data);
		} else {
			n = 1;
			str_add(s, *data == '"' || *data == '\\' ? "\\%c" : "\\x%02x",
				*data);
		}
		data += n;
		size -= n;
	}
	str_add(s, "\"");
}

static void add_value(struct str *s, const struct log_field *f, size_t size)
{
	if (!f->data)
		str_add(s, "%" PRId64, f->number);
	else if (size && span(f->data, size, is_plain) == size)
		str_add(s, "%.*s", (int)size, (const char *)f->data);
	else
		add_quoted(s, f->data, size);
}

/* Appends one field, whole or not at all. False if something of it is missing. */
static bool add_field(struct str *s, const struct log_field *f)
{
	size_t before = s->len;
	size_t size = f->size > LOG_VALUE_MAX ? LOG_VALUE_MAX : f->size;

	str_add(s, " %s=", f->key);
	add_value(s, f, size);
	if (!s->cut)
		return size == f->size;
	s->len = before;
	s->buf[before] = '\0';
	s->cut = false;
	return false;
}

size_t log_format(char *buf, const char *head, enum log_level level, const char *event,
		  const struct log_field *fields)
{
	struct str s = str_over(buf, LOG_LINE_MAX - sizeof(CUT_MARK));
	bool whole = true;

	str_add(&s, "%slevel=%s event=%s", head, log_level_name(level), event);
	for (; fields->key; fields++)
		whole &= add_field(&s, fields);
	s.size = LOG_LINE_MAX;
	str_add(&s, "%s\n", whole ? "" : CUT_MARK);
	return s.len;
}

/* The civil date of a number of days since 1970-01-01. Years begin in March here, so that
 * the day that is not always there is the last one. */
static void civil_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	enum {
		ERA = 146097 /* days of 400 years */,
		BEGIN = 719468 /* from 0000-03-01 */
	};
	int64_t z = days + BEGIN;
	int64_t era = (z >= 0 ? z : z - (ERA - 1)) / ERA;
	int64_t in_era = z - era * ERA;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int in_year = (int)(in_era - (365 * year + year / 4 - year / 100));
	int month = (5 * in_year + 2) / 153; /* 0: March */

	*ret_day = in_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = year + era * 400 + (*ret_month <= 2);
}

void log_format_time(char buf[static 32], int64_t ms)
{
	enum { DAY = 86400000 };
	int64_t days = (ms >= 0 ? ms : ms - (DAY - 1)) / DAY, year;
	int rest = (int)(ms - days * DAY), month, day;
	struct str s = str_over(buf, 32);

	civil_date(days, &year, &month, &day);
	str_add(&s, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
		rest / 3600000, rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
}

/* --- writing it -------------------------------------------------------------------- */

/* Is standard error the stream to the journal that the environment speaks of, and not
 * something that it was redirected to afterwards? */
static bool is_journal(const struct stat *st)
{
	const char *text = getenv("JOURNAL_STREAM");
	char want[48];

	return text &&
	       str_format(want, sizeof(want), "%ju:%ju", (uintmax_t)st->st_dev,
			  (uintmax_t)st->st_ino) == 0 &&
	       !strcmp(text, want);
}

void log_open_fd(int fd, bool journal, enum log_level most)
{
	struct stat st;

	bug_on((unsigned)most >= LOG_LEVEL_MAX);
	sink.fd = fd;
	sink.journal = journal;
	sink.socket = fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	sink.torn = false;
	sink.most = most;
	sink.dropped = sink.told = 0;
}

void log_open(enum log_level most)
{
	int saved = errno, fd = STDERR_FILENO;
	struct stat st = { 0 };

	if (sink.fd >= 0) {
		bug_on((unsigned)most >= LOG_LEVEL_MAX);
		sink.most = most;
		return;
	}
	/* O_NONBLOCK is the open file's, which we share with whoever started us. Opened
	 * again, a pipe or terminal is our own; a socket cannot be, and needs not. */
	if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		sink.own = open("/proc/self/fd/2",
				O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (sink.own >= 0)
		fd = sink.own;
	log_open_fd(fd, is_journal(&st), most);
	errno = saved;
}

/* Would a write to what could not be made non-blocking return at once? */
static bool is_ready(void)
{
	struct pollfd p = { .fd = sink.fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static ssize_t put(const char *text, size_t size)
{
	if (sink.socket)
		return send(sink.fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sink.fd != sink.own && !is_ready())
		return -1;
	return write(sink.fd, text, size);
}

/* Writes a line, or counts it. */
static bool put_line(const char *text, size_t size)
{
	ssize_t n;

	if (sink.torn && put("\n", 1) == 1)
		sink.torn = false;
	n = sink.torn ? -1 : put(text, size);
	if (n == (ssize_t)size)
		return true;
	sink.torn |= n > 0;
	sink.dropped++;
	return false;
}

static size_t make_line(char *buf, enum log_level level, const char *event,
			const struct log_field *fields)
{
	char when[32], head[48];
	struct str s = str_over(head, sizeof(head));
	struct timespec now = { 0 };

	if (sink.journal) {
		str_add(&s, "<%u>", levels[level].priority);
	} else {
		clock_gettime(CLOCK_REALTIME, &now); /* lint: for people */
		log_format_time(when, now.tv_sec * 1000 + now.tv_nsec / 1000000);
		str_add(&s, "time=%s ", when);
	}
	return log_format(buf, head, level, event, fields);
}

/* Says how many lines are missing, once lines pass again. */
static bool tell_dropped(char *buf)
{
	uint64_t missing = sink.dropped - sink.told;
	size_t size;

	if (!missing)
		return true;
	size = make_line(
		buf, LOG_LEVEL_WARNING, "log.dropped",
		(const struct log_field[]){ log_number("lines", (int64_t)missing),
					    { .key = NULL } });
	if (!put_line(buf, size)) {
		sink.dropped--; /* it was none of those that were asked for */
		return false;
	}
	sink.told = sink.dropped;
	return true;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	char buf[LOG_LINE_MAX];
	int saved = errno;

	bug_on((unsigned)level >= LOG_LEVEL_MAX);
	if (sink.fd < 0 || level > sink.most)
		return;
	if (tell_dropped(buf))
		err_ignore(!put_line(buf, make_line(buf, level, event, fields)));
	else
		sink.dropped++;
	errno = saved;
}

uint64_t log_dropped(void)
{
	return sink.dropped;
}
