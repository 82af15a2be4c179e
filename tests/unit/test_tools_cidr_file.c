/* SPDX-License-Identifier: Apache-2.0 */
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
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/cidr_file.h"

/* Two sets and a directory for files, removed after each case. */
struct fixture {
	struct ip_ranges v4, v6;
	char top[40], file[64], link[64];
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){
		.v4.family = AF_INET,
		.v6.family = AF_INET6,
		.top = "/tmp/carrel-unit-XXXXXX",
	};
	if (!mkdtemp(f.top))
		return -1;
	snprintf(f.file, sizeof(f.file), "%s/file", f.top);
	snprintf(f.link, sizeof(f.link), "%s/link", f.top);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ip_ranges_free(&f->v4);
	ip_ranges_free(&f->v6);
	unlink(f->link);
	unlink(f->file);
	return rmdir(f->top);
}

static void write_file(const struct fixture *f, const char *text, size_t size)
{
	auto_fd fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, size), 0);
}

/* Writes the first addresses of the set, in the order in which they were added. */
static void assert_set(const struct ip_ranges *r, const char *expected)
{
	char text[512] = "", address[IP_TEXT_MAX];
	size_t len = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct ip a = { .family = r->family };

		memcpy(a.addr, r->list[i].first, 16);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
					i ? " " : "", ip_format(address, &a));
	}
	assert_string_equal(text, expected);
}

static void read_text(struct fixture *f, const char *text)
{
	write_file(f, text, strlen(text));
	if (cidr_file_read(f->file, &f->v4, &f->v6, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static void parse(struct fixture *f, const char *text)
{
	if (cidr_list_parse(text, &f->v4, &f->v6, &f->e) != 0)
		fail_msg("\"%s\": %s", text, f->e.msg);
}

static void assert_list_refused(struct fixture *f, const char *text, const char *message)
{
	assert_int_equal(cidr_list_parse(text, &f->v4, &f->v6, &f->e), -EINVAL);
	assert_string_equal(f->e.msg, message);
}

static void assert_read_fails(struct fixture *f, const char *path, int code,
			      const char *sentence)
{
	char wanted[512];

	assert_int_equal(cidr_file_read(path, &f->v4, &f->v6, &f->e), code);
	snprintf(wanted, sizeof(wanted), sentence[0] == ':' ? "%s%s" : "%s %s", path,
		 sentence);
	assert_string_equal(f->e.msg, wanted);
}

/* ---- lists ---- */

static void list_is_split_by_family(void **state)
{
	struct fixture *f = *state;

	parse(f, "10.0.0.0/8,2001:db8::/32,1.2.3.4");
	assert_set(&f->v4, "10.0.0.0 1.2.3.4");
	assert_set(&f->v6, "2001:db8::");
	assert_int_equal(f->v4.list[0].last[0], 10);
	assert_int_equal(f->v4.list[0].last[3], 255);
	assert_int_equal(f->v4.list[1].last[3], 4);
	assert_int_equal(f->v6.list[0].last[15], 255);
}

static void list_is_added_to_what_is_there(void **state)
{
	struct fixture *f = *state;

	parse(f, "1.1.1.1");
	parse(f, "1.1.1.1, 2.2.2.2");
	assert_set(&f->v4, "1.1.1.1 1.1.1.1 2.2.2.2");
}

static void spaces_and_empty_items_are_passed_over(void **state)
{
	struct fixture *f = *state;

	parse(f, "");
	parse(f, " ");
	parse(f, ",");
	parse(f, " , ,\t,");
	assert_set(&f->v4, "");
	parse(f, " 1.1.1.1 ,, \t2.2.2.2\t,3.3.3.3\r,");
	parse(f, ",4.4.4.4");
	assert_set(&f->v4, "1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4");
	assert_set(&f->v6, "");
}

static void wrong_item_is_shown(void **state)
{
	struct fixture *f = *state;

	assert_list_refused(f, "1.1.1.1, ten ,2.2.2.2",
			    "\"ten\" is neither an IP address nor ADDRESS/PREFIX");
	assert_set(&f->v4, "1.1.1.1");
	assert_list_refused(f, "10.0.0.1/8",
			    "\"10.0.0.1/8\" sets bits below its prefix (10.0.0.0/8?)");
	assert_list_refused(f, "1.1.1.1 2.2.2.2",
			    "\"1.1.1.1 2.2.2.2\" is neither an IP address nor "
			    "ADDRESS/PREFIX");
	assert_list_refused(f, "1.1.1.1;2.2.2.2",
			    "\"1.1.1.1;2.2.2.2\" is neither an IP address nor "
			    "ADDRESS/PREFIX");
	assert_list_refused(f, "1.1.1.1\n",
			    "\"1.1.1.1\\x0a\" is neither an IP address nor "
			    "ADDRESS/PREFIX");
}

static void long_item_is_cut_in_the_error_only(void **state)
{
	struct fixture *f = *state;
	char text[4096];

	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cidr_list_parse(text, &f->v4, &f->v6, &f->e), -EINVAL);
	assert_non_null(strstr(f->e.msg, "1\" is neither an IP address"));
	/* What is left of a long item must not become another network. */
	memset(text, ' ', sizeof(text));
	memcpy(text, "1.1.1.1", 7);
	memcpy(text + 4000, "2.2.2.2", 8);
	assert_int_equal(cidr_list_parse(text, &f->v4, &f->v6, &f->e), -EINVAL);
	assert_set(&f->v4, "");
}

/* ---- files ---- */

static void file_has_a_network_a_line(void **state)
{
	struct fixture *f = *state;

	read_text(f, "10.0.0.0/8\n\n# a comment\n  \t\n 2001:db8::/32\t\n"
		     "1.1.1.1 # the first\n2.2.2.2#3.3.3.3\n  # 4.4.4.4\n##\n"
		     "5.5.5.5/32");
	assert_set(&f->v4, "10.0.0.0 1.1.1.1 2.2.2.2 5.5.5.5");
	assert_set(&f->v6, "2001:db8::");
}

static void lines_may_end_as_on_windows(void **state)
{
	struct fixture *f = *state;

	read_text(f, "1.1.1.1\r\n\r\n# a comment\r\n2.2.2.2 \r\n3.3.3.3\r");
	assert_set(&f->v4, "1.1.1.1 2.2.2.2 3.3.3.3");
}

static void empty_file_adds_nothing(void **state)
{
	struct fixture *f = *state;

	read_text(f, "");
	read_text(f, "\n\n");
	read_text(f, "#");
	assert_set(&f->v4, "");
	assert_set(&f->v6, "");
}

static void file_is_added_to_what_is_there(void **state)
{
	struct fixture *f = *state;

	parse(f, "1.1.1.1");
	read_text(f, "2.2.2.2\n");
	assert_set(&f->v4, "1.1.1.1 2.2.2.2");
}

static void wrong_line_is_named(void **state)
{
	struct fixture *f = *state;

	write_file(f, "1.1.1.1\n# two\n10.0.0.1/8 # three\n2.2.2.2\n", 40);
	assert_read_fails(f, f->file, -EINVAL,
			  ":3: \"10.0.0.1/8\" sets bits below its prefix (10.0.0.0/8?)");
	assert_set(&f->v4, "1.1.1.1");
	write_file(f, "1.1.1.1, 2.2.2.2\n", 17);
	assert_read_fails(f, f->file, -EINVAL,
			  ":1: \"1.1.1.1, 2.2.2.2\" is neither an IP address nor "
			  "ADDRESS/PREFIX");
}

static void nul_byte_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "1.1.1.1\n2.2.2.2\0\n", 17);
	assert_read_fails(f, f->file, -EINVAL, ":2: a NUL byte");
	write_file(f, "#\0\n", 3);
	assert_read_fails(f, f->file, -EINVAL, ":1: a NUL byte");
	write_file(f, "\0", 1);
	assert_read_fails(f, f->file, -EINVAL, ":1: a NUL byte");
}

static void overlong_line_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[1024 + 8];

	memset(text, '#', sizeof(text));
	memcpy(text, "1.1.1.1 ", 8);
	text[1022] = '\n';
	write_file(f, text, 1023);
	assert_int_equal(cidr_file_read(f->file, &f->v4, &f->v6, &f->e), 0);
	assert_set(&f->v4, "1.1.1.1");
	text[1022] = '#';
	text[1023] = '\n';
	write_file(f, text, 1024);
	assert_read_fails(f, f->file, -EINVAL, ":1: the line has more than 1023 bytes");
	assert_set(&f->v4, "1.1.1.1");
}

static void hundred_thousand_lines_are_read(void **state)
{
	struct fixture *f = *state;
	size_t size = 0, room = 100000 * 24;
	char *text = malloc(room);

	assert_non_null(text);
	for (unsigned i = 0; i < 100000; i++)
		size += (size_t)snprintf(text + size, room - size, "%u.%u.%u.0/24 #\n",
					 20 + (i >> 16), i >> 8 & 255, i & 255);
	write_file(f, text, size);
	free(text);
	assert_int_equal(cidr_file_read(f->file, &f->v4, &f->v6, &f->e), 0);
	assert_int_equal(f->v4.count, 100000);
	ip_ranges_merge(&f->v4);
	assert_int_equal(f->v4.count, 1);
}

static void missing_file_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cidr_file_read(f->file, &f->v4, &f->v6, &f->e), -ENOENT);
	assert_non_null(strstr(f->e.msg, f->file));
	assert_non_null(strstr(f->e.msg, ": No such file or directory"));
}

static void only_regular_files_are_read(void **state)
{
	struct fixture *f = *state;

	assert_read_fails(f, f->top, -EINVAL, "is not a regular file");
	assert_read_fails(f, "/dev/zero", -EINVAL, "is not a regular file");
	assert_int_equal(mkfifo(f->file, 0600), 0);
	assert_read_fails(f, f->file, -EINVAL, "is not a regular file");
}

static void links_are_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "1.1.1.1\n", 8);
	assert_int_equal(symlink(f->file, f->link), 0);
	assert_read_fails(f, f->link, -ELOOP, "is or passes through a symbolic link");
	assert_set(&f->v4, "");
}

static void huge_files_are_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "", 0);
	assert_int_equal(truncate(f->file, (64 << 20) + 1), 0);
	assert_read_fails(f, f->file, -EFBIG, "has more than 67108864 bytes");
}

static void no_descriptor_stays_open(void **state)
{
	struct fixture *f = *state;
	int before = open("/", O_PATH | O_CLOEXEC), after;

	close(before);
	read_text(f, "1.1.1.1\n");
	write_file(f, "ten\n", 4);
	assert_int_equal(cidr_file_read(f->file, &f->v4, &f->v6, &f->e), -EINVAL);
	assert_int_equal(cidr_file_read(f->top, &f->v4, &f->v6, &f->e), -EINVAL);
	after = open("/", O_PATH | O_CLOEXEC);
	close(after);
	assert_int_equal(after, before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(list_is_split_by_family),
		CASE(list_is_added_to_what_is_there),
		CASE(spaces_and_empty_items_are_passed_over),
		CASE(wrong_item_is_shown),
		CASE(long_item_is_cut_in_the_error_only),
		CASE(file_has_a_network_a_line),
		CASE(lines_may_end_as_on_windows),
		CASE(empty_file_adds_nothing),
		CASE(file_is_added_to_what_is_there),
		CASE(wrong_line_is_named),
		CASE(nul_byte_is_refused),
		CASE(overlong_line_is_refused),
		CASE(hundred_thousand_lines_are_read),
		CASE(missing_file_is_named),
		CASE(only_regular_files_are_read),
		CASE(links_are_refused),
		CASE(huge_files_are_refused),
		CASE(no_descriptor_stays_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
