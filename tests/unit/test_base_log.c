/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: what they look like, and that no value can break one (E-38). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "tests/unit/aborts.h"

enum { ROUNDS = 20000, FIELDS_MAX = 4 };

#define FIELDS(...) ((const struct log_field[]){ __VA_ARGS__, { .key = NULL } })

static void assert_line(const struct log_field *fields, const char *expected)
{
	char buf[LOG_LINE_MAX];
	size_t size = log_format(buf, "", LOG_LEVEL_INFO, "test", fields);

	assert_string_equal(buf, expected);
	assert_int_equal(size, strlen(expected));
}

/* --- text -------------------------------------------------------------------------- */

static void format_begins_with_head_level_and_event(void **state)
{
	const struct log_field none[] = { { .key = NULL } };
	char buf[LOG_LINE_MAX];

	(void)state;
	log_format(buf, "<3>", LOG_LEVEL_ERR, "front.died", none);
	assert_string_equal(buf, "<3>level=err event=front.died\n");
	assert_line(none, "level=info event=test\n");
}

static void format_leaves_plain_values_bare(void **state)
{
	(void)state;
	assert_line(FIELDS(log_text("a", "user-1@host:/x.y+z_0")),
		    "level=info event=test a=user-1@host:/x.y+z_0\n");
}

static void format_writes_numbers_in_decimal(void **state)
{
	(void)state;
	assert_line(FIELDS(log_number("a", 0), log_number("b", INT64_MAX),
			   log_number("c", INT64_MIN)),
		    "level=info event=test a=0 b=9223372036854775807 "
		    "c=-9223372036854775808\n");
}

static void format_quotes_and_escapes_the_rest(void **state)
{
	(void)state;
	assert_line(FIELDS(log_text("a", ""), log_text("b", "x y"), log_text("c", "k=v"),
			   log_text("d", "\"\\")),
		    "level=info event=test a=\"\" b=\"x y\" c=\"k=v\" d=\"\\\"\\\\\"\n");
	assert_line(FIELDS(log_text("a", "\n\033[2J\xc3\xa4\x7f"),
			   log_bytes("b", "\0z", 2), log_text("c", NULL)),
		    "level=info event=test a=\"\\x0a\\x1b[2J\\xc3\\xa4\\x7f\" "
		    "b=\"\\x00z\" c=\"\"\n");
}

static void format_takes_no_directive_from_a_value(void **state)
{
	(void)state;
	assert_line(FIELDS(log_text("a", "%n%s")), "level=info event=test a=\"%n%s\"\n");
}

static void format_cuts_a_long_value_and_says_so(void **state)
{
	char value[LOG_VALUE_MAX + 2], expected[LOG_VALUE_MAX + 64];

	(void)state;
	memset(value, 'a', sizeof(value));
	value[LOG_VALUE_MAX] = '\0';
	snprintf(expected, sizeof(expected), "level=info event=test v=%s n=1\n", value);
	assert_line(FIELDS(log_text("v", value), log_number("n", 1)), expected);
	snprintf(expected, sizeof(expected), "level=info event=test v=%s n=1 cut=1\n",
		 value);
	value[LOG_VALUE_MAX] = 'a';
	assert_line(FIELDS(log_bytes("v", value, LOG_VALUE_MAX + 1), log_number("n", 1)),
		    expected);
}

static void format_leaves_out_fields_that_do_not_fit(void **state)
{
	char control[LOG_VALUE_MAX], buf[LOG_LINE_MAX];
	size_t size;

	(void)state;
	memset(control, 1, sizeof(control));
	/* Each takes four times its size: the second does not fit any more. */
	size = log_format(buf, "", LOG_LEVEL_INFO, "test",
			  FIELDS(log_bytes("a", control, sizeof(control)),
				 log_bytes("b", control, sizeof(control)),
				 log_number("c", 7)));
	assert_true(size < LOG_LINE_MAX);
	assert_null(strstr(buf, " b="));
	assert_non_null(strstr(buf, "\\x01\" c=7 cut=1\n"));
}

static void format_fills_a_line_to_its_last_byte(void **state)
{
	char control[LOG_VALUE_MAX], plain[LOG_VALUE_MAX], buf[LOG_LINE_MAX];
	size_t most = 0;

	(void)state;
	memset(control, 1, sizeof(control));
	memset(plain, 'a', sizeof(plain));
	for (size_t n = 0; n <= LOG_VALUE_MAX; n++) {
		size_t size = log_format(
			buf, "", LOG_LEVEL_INFO, "test",
			FIELDS(log_bytes("a", control, 500), log_bytes("b", control, 400),
			       log_bytes("c", plain, n), log_bytes("d", plain, 5),
			       log_bytes("e", plain, 513)));

		assert_int_equal(size, strlen(buf));
		assert_true(size < LOG_LINE_MAX);
		assert_int_equal(buf[size - 1], '\n');
		most = size > most ? size : most;
	}
	assert_int_equal(most, LOG_LINE_MAX - 1);
}

/* --- what comes out is what went in, whatever it is (E-38) -------------------------- */

static int digit(char c)
{
	assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Reads a value at *p as a reader of the log would, and moves behind it. */
static size_t decode(const char **p, unsigned char *ret)
{
	size_t n = 0;
	bool quoted = **p == '"';

	*p += quoted;
	while (quoted ? **p != '"' : **p && !strchr(" \n", **p)) {
		assert_true(**p >= 0x20 && **p < 0x7f);
		if (quoted && **p == '\\' && (*p)[1] == 'x') {
			ret[n++] = (unsigned char)(digit((*p)[2]) << 4 | digit((*p)[3]));
			*p += 4;
			continue;
		}
		*p += quoted && **p == '\\';
		ret[n++] = (unsigned char)*(*p)++;
	}
	*p += quoted;
	return n;
}

static void random_value(unsigned char *value, size_t size)
{
	/* What breaks lines, terminals and key=value readers more often than chance. */
	static const char nasty[] = "\n\r\0\033\"\\ =\x7f\x80\xffx0[";
	int kind = rand() % 3;

	for (size_t i = 0; i < size; i++) {
		int byte = rand();

		value[i] = kind == 0   ? (unsigned char)byte
			   : kind == 1 ? (unsigned char)nasty[byte % (int)sizeof(nasty)]
				       : (unsigned char)(' ' + byte % 95);
	}
}

static void every_value_can_be_had_back_from_one_line(void **state)
{
	unsigned char values[FIELDS_MAX][200], back[LOG_LINE_MAX];
	static const char *const keys[FIELDS_MAX] = { "a", "b", "c", "d" };

	(void)state;
	srand(38);
	for (int round = 0; round < ROUNDS; round++) {
		struct log_field fields[FIELDS_MAX + 1] = { 0 };
		char buf[LOG_LINE_MAX];
		const char *p = buf;
		size_t size;
		int count = 1 + rand() % FIELDS_MAX;

		for (int i = 0; i < count; i++) {
			size_t n = (size_t)rand() % sizeof(values[i]);

			random_value(values[i], n);
			fields[i] = log_bytes(keys[i], values[i], n);
		}
		size = log_format(buf, "", LOG_LEVEL_WARNING, "e", fields);
		assert_int_equal(size, strlen(buf));
		assert_ptr_equal(strchr(buf, '\n'), buf + size - 1);
		assert_int_equal(strncmp(p, "level=warning event=e", 21), 0);
		p += 21;
		for (int i = 0; i < count; i++) {
			assert_int_equal(*p++, ' ');
			assert_int_equal(*p++, *keys[i]);
			assert_int_equal(*p++, '=');
			assert_int_equal(decode(&p, back), fields[i].size);
			assert_memory_equal(back, values[i], fields[i].size);
		}
		assert_string_equal(p, "\n");
	}
}

static void a_line_of_any_fields_is_one_line_of_printable_ascii(void **state)
{
	static unsigned char values[FIELDS_MAX][2 * LOG_VALUE_MAX];

	(void)state;
	srand(39);
	for (int round = 0; round < ROUNDS; round++) {
		struct log_field fields[FIELDS_MAX + 1] = { 0 };
		char buf[LOG_LINE_MAX];
		size_t size;

		for (int i = 0; i < FIELDS_MAX; i++) {
			size_t n = (size_t)rand() % sizeof(values[i]);

			random_value(values[i], n);
			fields[i] = log_bytes("k", values[i], n);
		}
		size = log_format(buf, "", LOG_LEVEL_ERR, "e", fields);
		assert_true(size < LOG_LINE_MAX);
		assert_int_equal(buf[size - 1], '\n');
		for (size_t i = 0; i + 1 < size; i++)
			assert_in_range(buf[i], 0x20, 0x7e);
	}
}

/* --- time and levels --------------------------------------------------------------- */

static void time_agrees_with_the_c_library(void **state)
{
	(void)state;
	srand(40);
	for (int round = 0; round < ROUNDS; round++) {
		/* Years 1 to 9999. */
		time_t t = -62135596800 + ((int64_t)rand() << 16 ^ rand()) % 315537897600;
		char ours[32], expected[96];
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		snprintf(expected, sizeof(expected),
			 "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 round % 1000);
		log_format_time(ours, (int64_t)t * 1000 + round % 1000);
		assert_string_equal(ours, expected);
	}
}

static void time_knows_leap_days_and_the_epoch(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 1709251199999, "2024-02-29T23:59:59.999Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		log_format_time(buf, cases[i].ms);
		assert_string_equal(buf, cases[i].text);
	}
}

static void level_parse_takes_the_four_names(void **state)
{
	static const char *const wrong[] = { "", "ERR", "error", "warn", "info ", "7" };
	enum log_level level = LOG_LEVEL_MAX;

	(void)state;
	for (unsigned i = 0; i < LOG_LEVEL_MAX; i++) {
		assert_int_equal(log_level_parse(log_level_name(i), &level), 0);
		assert_int_equal(level, i);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(log_level_parse(wrong[i], &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_MAX - 1);
}

static void name_of_no_level(void)
{
	log_level_name(LOG_LEVEL_MAX);
}

static void level_name_refuses_what_is_none(void **state)
{
	(void)state;
	assert_true(aborts(name_of_no_level));
}

/* --- writing ----------------------------------------------------------------------- */

/* A pipe whose write end does not block. */
struct channel {
	int read, write;
};

static struct channel make_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	return (struct channel){ fds[0], fds[1] };
}

static void close_channel(struct channel *c)
{
	log_open_fd(-1, false, LOG_LEVEL_INFO);
	fd_close(&c->read);
	fd_close(&c->write);
}

/* All that waits in the pipe, as a string. */
static const char *drain(const struct channel *c)
{
	static char text[1 << 20];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(c->read, text + n, sizeof(text) - n - 1);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	return text;
}

static void write_gives_a_time_or_a_priority(void **state)
{
	struct channel c = make_pipe();
	const char *text;
	int day = 0;

	(void)state;
	log_open_fd(c.write, true, LOG_LEVEL_DEBUG);
	log_err("a");
	log_warning("b");
	log_info("c", log_number("n", 1));
	log_debug("d", log_text("t", "x y"), log_number("n", 2));
	assert_string_equal(drain(&c), "<3>level=err event=a\n<4>level=warning event=b\n"
				       "<6>level=info event=c n=1\n"
				       "<7>level=debug event=d t=\"x y\" n=2\n");
	log_open_fd(c.write, false, LOG_LEVEL_INFO);
	log_info("a");
	text = drain(&c);
	assert_int_equal(sscanf(text, "time=2%*3d-%*d-%dT", &day), 1);
	assert_in_range(day, 1, 31);
	assert_string_equal(strchr(text, ' '), " level=info event=a\n");
	close_channel(&c);
}

static void write_leaves_out_what_is_above_the_level(void **state)
{
	struct channel c = make_pipe();

	(void)state;
	log_open_fd(c.write, true, LOG_LEVEL_WARNING);
	log_debug("a");
	log_info("b");
	log_warning("c");
	log_err("d");
	assert_string_equal(drain(&c),
			    "<4>level=warning event=c\n<3>level=err event=d\n");
	assert_int_equal(log_dropped(), 0);
	close_channel(&c);
}

static void write_keeps_errno(void **state)
{
	struct channel c = make_pipe();

	(void)state;
	log_open_fd(c.write, false, LOG_LEVEL_INFO);
	errno = ENOTDIR;
	log_info("a");
	assert_int_equal(errno, ENOTDIR);
	fd_close(&c.read); /* now it fails */
	log_info("a");
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(log_dropped(), 1);
	close_channel(&c);
}

static void write_drops_and_counts_what_a_full_reader_does_not_take(void **state)
{
	struct channel c = make_pipe();
	char value[LOG_VALUE_MAX];
	uint64_t missing;
	char expected[96];

	(void)state;
	memset(value, 'a', sizeof(value));
	assert_true(fcntl(c.write, F_SETPIPE_SZ, 8192) >= 8192);
	log_open_fd(c.write, true, LOG_LEVEL_INFO);
	for (int i = 0; i < 1000; i++)
		log_info("flood", log_bytes("v", value, sizeof(value)));
	missing = log_dropped();
	assert_in_range(missing, 1000 - 16, 999);
	drain(&c);
	log_info("after");
	snprintf(expected, sizeof(expected),
		 "<4>level=warning event=log.dropped lines=%d\n"
		 "<6>level=info event=after\n",
		 (int)missing);
	assert_string_equal(drain(&c), expected);
	log_info("again");
	assert_string_equal(drain(&c), "<6>level=info event=again\n");
	assert_int_equal(log_dropped(), missing);
	close_channel(&c);
}

static void write_waits_for_no_reader_that_could_block_it(void **state)
{
	struct channel c = make_pipe();
	char value[LOG_VALUE_MAX] = { 0 };

	(void)state;
	/* Somebody else's open file: not for us to make non-blocking. */
	assert_int_equal(fcntl(c.write, F_SETFL, 0), 0);
	assert_true(fcntl(c.write, F_SETPIPE_SZ, 4096) >= 4096);
	log_open_fd(c.write, true, LOG_LEVEL_INFO);
	alarm(20);
	for (int i = 0; i < 100; i++)
		log_info("flood", log_bytes("v", value, sizeof(value)));
	alarm(0);
	assert_in_range(log_dropped(), 90, 99);
	assert_int_equal(fcntl(c.write, F_GETFL) & O_NONBLOCK, 0);
	close_channel(&c);
}

static void write_to_a_stream_socket_does_not_block_either(void **state)
{
	char value[LOG_VALUE_MAX] = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	log_open_fd(fds[1], true, LOG_LEVEL_INFO);
	alarm(20);
	for (int i = 0; i < 5000; i++)
		log_info("flood", log_bytes("v", value, sizeof(value)));
	alarm(0);
	assert_in_range(log_dropped(), 1, 4999);
	close(fds[0]);
	log_info("to nobody"); /* no SIGPIPE */
	log_open_fd(-1, false, LOG_LEVEL_INFO);
	close(fds[1]);
}

static void write_begins_a_new_line_behind_a_torn_one(void **state)
{
	static char first[LOG_LINE_MAX * 32];
	char value[LOG_VALUE_MAX] = { 0 };
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;
	char *torn, name[64];
	int slave;

	(void)state;
	assert_true(terminal >= 0);
	assert_int_equal(unlockpt(terminal), 0);
	assert_int_equal(ptsname_r(terminal, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(slave >= 0);
	log_open_fd(slave, true, LOG_LEVEL_INFO);
	while (!log_dropped())
		log_info("flood", log_bytes("v", value, sizeof(value)));
	for (ssize_t got; (got = read(terminal, first + n, sizeof(first) - 1 - n)) > 0;)
		n += (size_t)got;
	log_info("after");
	for (ssize_t got; (got = read(terminal, first + n, sizeof(first) - 1 - n)) > 0;)
		n += (size_t)got;
	first[n] = '\0';
	torn = strstr(first, "\n<4>level=warning event=log.dropped lines=1\r\n");
	assert_non_null(torn);
	assert_non_null(strstr(torn, "\n<6>level=info event=after\r\n"));
	log_open_fd(-1, false, LOG_LEVEL_INFO);
	close(slave);
	close(terminal);
}

static void write_goes_nowhere_before_the_log_is_open(void **state)
{
	(void)state;
	log_open_fd(-1, false, LOG_LEVEL_DEBUG);
	log_err("a");
	assert_int_equal(log_dropped(), 0);
}

/* --- finding out who reads --------------------------------------------------------- */

/* Runs log_open() in a child whose standard error is `error_fd`, with $JOURNAL_STREAM. */
static void log_in_child(int error_fd, const char *journal)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(error_fd, STDERR_FILENO);
		if (journal)
			setenv("JOURNAL_STREAM", journal, 1);
		else
			unsetenv("JOURNAL_STREAM");
		log_open(LOG_LEVEL_INFO);
		log_debug("hidden");
		log_info("shown");
		log_open(LOG_LEVEL_DEBUG); /* as after a reload */
		log_debug("debug");
		_exit(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void open_believes_the_journal_only_if_it_is_standard_error(void **state)
{
	struct channel c = make_pipe();
	char journal[64], other[64];
	const char *text;
	struct stat st;

	(void)state;
	assert_int_equal(fcntl(c.write, F_SETFL, 0), 0);
	assert_int_equal(fstat(c.write, &st), 0);
	snprintf(journal, sizeof(journal), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	snprintf(other, sizeof(other), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino + 1);
	log_in_child(c.write, journal);
	assert_string_equal(drain(&c),
			    "<6>level=info event=shown\n<7>level=debug event=debug\n");
	for (int i = 0; i < 2; i++) {
		log_in_child(c.write, i ? other : NULL);
		text = drain(&c);
		assert_int_equal(strncmp(text, "time=2", 6), 0);
		assert_non_null(strstr(text, "Z level=info event=shown\ntime="));
		assert_null(strstr(text, "hidden"));
	}
	close_channel(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(format_begins_with_head_level_and_event),
		cmocka_unit_test(format_leaves_plain_values_bare),
		cmocka_unit_test(format_writes_numbers_in_decimal),
		cmocka_unit_test(format_quotes_and_escapes_the_rest),
		cmocka_unit_test(format_takes_no_directive_from_a_value),
		cmocka_unit_test(format_cuts_a_long_value_and_says_so),
		cmocka_unit_test(format_leaves_out_fields_that_do_not_fit),
		cmocka_unit_test(format_fills_a_line_to_its_last_byte),
		cmocka_unit_test(every_value_can_be_had_back_from_one_line),
		cmocka_unit_test(a_line_of_any_fields_is_one_line_of_printable_ascii),
		cmocka_unit_test(time_agrees_with_the_c_library),
		cmocka_unit_test(time_knows_leap_days_and_the_epoch),
		cmocka_unit_test(level_parse_takes_the_four_names),
		cmocka_unit_test(level_name_refuses_what_is_none),
		cmocka_unit_test(write_gives_a_time_or_a_priority),
		cmocka_unit_test(write_leaves_out_what_is_above_the_level),
		cmocka_unit_test(write_keeps_errno),
		cmocka_unit_test(write_drops_and_counts_what_a_full_reader_does_not_take),
		cmocka_unit_test(write_waits_for_no_reader_that_could_block_it),
		cmocka_unit_test(write_to_a_stream_socket_does_not_block_either),
		cmocka_unit_test(write_begins_a_new_line_behind_a_torn_one),
		cmocka_unit_test(write_goes_nowhere_before_the_log_is_open),
		cmocka_unit_test(open_believes_the_journal_only_if_it_is_standard_error),
	};

	/* As every program that logs. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
