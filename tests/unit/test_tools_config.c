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
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/config.h"

/* A configuration file, removed after each case. */
struct fixture {
	char file[40];
	struct config config;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;
	int fd;

	f = (struct fixture){ .file = "/tmp/carrel-unit-XXXXXX" };
	fd = mkstemp(f.file);
	*state = &f;
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	return unlink(f->file);
}

static int read_text(struct fixture *f, const char *text)
{
	auto_fd fd = open(f->file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	return config_read(f->file, &f->config, &f->e);
}

static void assert_read(struct fixture *f, const char *text)
{
	if (read_text(f, text) != 0)
		fail_msg("%s", f->e.msg);
	assert_int_equal(f->e.code, 0);
}

/* The sentence begins with the file; `rest` is what follows it. */
static void assert_refused(struct fixture *f, const char *text, int code,
			   const char *rest)
{
	size_t len = strlen(f->file);

	if (read_text(f, text) != code)
		fail_msg("\"%s\": %d %s", text, f->e.code, f->e.msg);
	assert_int_equal(f->e.code, code);
	assert_memory_equal(f->e.msg, f->file, len);
	assert_string_equal(f->e.msg + len, rest);
}

static void assert_defaults(const struct config *c)
{
	assert_string_equal(c->runtime.state_dir, "/run/carrel");
	assert_string_equal(c->runtime.rootfs_store, "/var/lib/carrel/rootfs");
	assert_int_equal(c->runtime.id_first, 0x70000000);
	assert_int_equal(c->runtime.id_ranges, 0xffe);
}

static void empty_file_leaves_the_defaults(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "");
	assert_defaults(&f->config);
	assert_read(f, "\n# a comment\n; another\n\n[ids]\n[state]\n");
	assert_defaults(&f->config);
}

static void absent_default_file_leaves_the_defaults(void **state)
{
	struct fixture *f = *state;

	if (access(CONFIG_PATH, F_OK) == 0) {
		print_message("skipped: this machine has " CONFIG_PATH "\n");
		skip();
	}
	memset(&f->e, 0x5a, sizeof(f->e));
	assert_int_equal(config_read(NULL, &f->config, &f->e), 0);
	assert_defaults(&f->config);
}

static void named_file_must_be_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_read("/no/such.conf", &f->config, &f->e), -ENOENT);
	assert_string_equal(f->e.msg, "open /no/such.conf: "
				      "No such file or directory");
}

static void directory_is_no_configuration(void **state)
{
	struct fixture *f = *state;

	assert_true(config_read("/tmp", &f->config, &f->e) < 0);
}

static void every_key_is_read(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[ids]\nfirst = 200000\nranges=7\n[state]\ndir = /var/lib/x y\n"
		       "rootfs = /srv/roots\n");
	assert_int_equal(f->config.runtime.id_first, 200000);
	assert_int_equal(f->config.runtime.id_ranges, 7);
	assert_string_equal(f->config.runtime.state_dir, "/var/lib/x y");
	assert_ptr_equal(f->config.runtime.state_dir, f->config.state_dir);
	assert_string_equal(f->config.runtime.rootfs_store, "/srv/roots");
	assert_ptr_equal(f->config.runtime.rootfs_store, f->config.rootfs_store);
}

static void one_key_leaves_the_others_alone(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[ids]\nranges = 3\n");
	assert_int_equal(f->config.runtime.id_first, 0x70000000);
	assert_int_equal(f->config.runtime.id_ranges, 3);
	assert_string_equal(f->config.runtime.state_dir, "/run/carrel");
}

static void last_value_of_a_key_counts(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[ids]\nranges = 3\n[state]\n[ids]\nranges = 4\n");
	assert_int_equal(f->config.runtime.id_ranges, 4);
}

static void last_line_needs_no_newline(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[ids]\nranges = 3");
	assert_int_equal(f->config.runtime.id_ranges, 3);
}

static void unknown_keys_are_refused_with_their_line(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[ids]\nranges = 3\nrange = 4\n", -EINVAL,
		       ":3: unknown key \"range\" in section [ids]");
	assert_refused(f, "[ids]\nRanges = 4\n", -EINVAL,
		       ":2: unknown key \"Ranges\" in section [ids]");
	assert_refused(f, "[ids]\ndir = /x\n", -EINVAL,
		       ":2: unknown key \"dir\" in section [ids]");
}

static void unknown_sections_are_refused_with_their_line(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "\n\n[id]\nranges = 4\n", -EINVAL,
		       ":4: unknown key \"ranges\" in section [id]");
	assert_refused(f, "ranges = 4\n", -EINVAL,
		       ":1: unknown key \"ranges\" in section []");
}

static void first_wrong_line_is_the_one_that_is_named(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[ids]\nranges = x\nfirst = y\nz = 1\n", -EINVAL,
		       ":2: [ids] ranges = x: expected a number of 1 to 65535");
}

static void lines_that_are_nothing_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[ids]\nranges\n", -EINVAL,
		       ":2: not a section, key = value or comment");
	assert_refused(f, "[ids\n", -EINVAL, ":1: not a section, key = value or comment");
	assert_refused(f, "[ids]\n= 3\n", -EINVAL,
		       ":2: unknown key \"\" in section [ids]");
}

static void ranges_are_1_to_65535(void **state)
{
	static const char *const wrong[] = { "0",  "65536", "-1",  "+1",  "1x",        "",
					     "1.", "0x10",  "010", "1 2", "4294967297" };
	struct fixture *f = *state;
	char text[64], rest[96];

	assert_read(f, "[ids]\nfirst = 65536\nranges = 1\n");
	assert_int_equal(f->config.runtime.id_ranges, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(text, sizeof(text), "[ids]\nranges = %s\n", wrong[i]);
		snprintf(rest, sizeof(rest),
			 ":2: [ids] ranges = %s: expected a number of 1 to 65535",
			 wrong[i]);
		assert_refused(f, text, -EINVAL, rest);
	}
}

static void first_id_is_above_those_of_accounts(void **state)
{
	static const char *const wrong[] = { "0", "1000", "65535", "4294967296", "x" };
	struct fixture *f = *state;
	char text[64], rest[96];

	assert_read(f, "[ids]\nfirst = 65536\n");
	assert_int_equal(f->config.runtime.id_first, 65536);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(text, sizeof(text), "[ids]\nfirst = %s\n", wrong[i]);
		snprintf(rest, sizeof(rest),
			 ":2: [ids] first = %s: expected a host id of 65536 or more",
			 wrong[i]);
		assert_refused(f, text, -EINVAL, rest);
	}
}

static void last_range_ends_before_the_reserved_ids(void **state)
{
	struct fixture *f = *state;

	/* 0x7fff0000: its one range ends with 0x7fffffff. */
	assert_read(f, "[ids]\nfirst = 2147418112\nranges = 1\n");
	assert_refused(
		f, "[ids]\nfirst = 2147418113\nranges = 1\n", -ERANGE,
		": [ids] 1 ranges from 2147418113 on reach beyond the last host id");
	assert_refused(
		f, "[ids]\nfirst = 2147418112\nranges = 2\n", -ERANGE,
		": [ids] 2 ranges from 2147418112 on reach beyond the last host id");
}

static void whole_block_is_checked_without_overflow(void **state)
{
	struct fixture *f = *state;

	assert_read(f, "[ids]\nfirst = 65536\nranges = 32767\n");
	assert_refused(
		f, "[ids]\nfirst = 65536\nranges = 32768\n", -ERANGE,
		": [ids] 32768 ranges from 65536 on reach beyond the last host id");
	assert_refused(
		f, "[ids]\nfirst = 65536\nranges = 65535\n", -ERANGE,
		": [ids] 65535 ranges from 65536 on reach beyond the last host id");
	/* Together with a default. */
	assert_refused(f, "[ids]\nfirst = 2147418112\n", -ERANGE,
		       ": [ids] 4094 ranges from 2147418112 on reach beyond the last "
		       "host id");
}

static void state_directory_is_an_absolute_path(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[state]\ndir = run/carrel\n", -EINVAL,
		       ":2: [state] dir = run/carrel: expected an absolute path");
	assert_refused(f, "[state]\ndir =\n", -EINVAL,
		       ":2: [state] dir = : expected an absolute path");
}

/* "[state]\ndir = /xxx…" with a path of len bytes. */
static const char *long_dir(char *buf, size_t len)
{
	static const char head[] = "[state]\ndir = ";

	memcpy(buf, head, sizeof(head));
	memset(buf + sizeof(head) - 1, 'x', len);
	buf[sizeof(head) - 1] = '/';
	memcpy(buf + sizeof(head) - 1 + len, "\n", 2);
	return buf;
}

static void long_values_are_taken_whole_or_refused(void **state)
{
	static const size_t lengths[] = { 100, 180, 190, 191, 192, 193, 194,  195,
					  200, 210, 254, 255, 256, 300, 1000, 5000 };
	struct fixture *f = *state;
	char text[6000];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		if (read_text(f, long_dir(text, lengths[i])) < 0)
			assert_true(lengths[i] > 100 && f->e.msg[0]);
		else
			assert_int_equal(strlen(f->config.runtime.state_dir), lengths[i]);
	}
}

static void end_of_a_long_comment_is_no_setting(void **state)
{
	struct fixture *f = *state;
	char text[256], *p = text;

	/* The parser reads 199 bytes at a time. */
	p += snprintf(text, sizeof(text), "[ids]\n#");
	memset(p, 'x', 198);
	snprintf(p + 198, sizeof(text) - 205, "ranges = 5\n");
	if (read_text(f, text) == 0)
		assert_int_equal(f->config.runtime.id_ranges, 0xffe);
}

static void long_lines_are_counted_once(void **state)
{
	struct fixture *f = *state;
	char text[1024], refused_there[64], refused_behind[64];

	memset(text, 'x', sizeof(text));
	text[0] = '#';
	snprintf(text + 600, sizeof(text) - 600, "\n[ids]\nranges = 3\nx = 1\n");
	snprintf(refused_there, sizeof(refused_there), "%s:1: ", f->file);
	snprintf(refused_behind, sizeof(refused_behind), "%s:4: ", f->file);
	assert_int_equal(read_text(f, text), -EINVAL);
	if (!strstr(f->e.msg, refused_there) && !strstr(f->e.msg, refused_behind))
		fail_msg("%s", f->e.msg);
}

static void refused_file_leaves_nothing_of_the_last_one(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[ids]\nnone = 1\n", -EINVAL,
		       ":2: unknown key \"none\" in section [ids]");
	assert_read(f, "[ids]\nranges = 9\n");
	assert_string_equal(f->e.msg, "");
	assert_int_equal(f->config.runtime.id_ranges, 9);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(empty_file_leaves_the_defaults),
		CASE(absent_default_file_leaves_the_defaults),
		CASE(named_file_must_be_there),
		CASE(directory_is_no_configuration),
		CASE(every_key_is_read),
		CASE(one_key_leaves_the_others_alone),
		CASE(last_value_of_a_key_counts),
		CASE(last_line_needs_no_newline),
		CASE(unknown_keys_are_refused_with_their_line),
		CASE(unknown_sections_are_refused_with_their_line),
		CASE(first_wrong_line_is_the_one_that_is_named),
		CASE(lines_that_are_nothing_are_refused),
		CASE(ranges_are_1_to_65535),
		CASE(first_id_is_above_those_of_accounts),
		CASE(last_range_ends_before_the_reserved_ids),
		CASE(whole_block_is_checked_without_overflow),
		CASE(state_directory_is_an_absolute_path),
		CASE(long_values_are_taken_whole_or_refused),
		CASE(end_of_a_long_comment_is_no_setting),
		CASE(long_lines_are_counted_once),
		CASE(refused_file_leaves_nothing_of_the_last_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
