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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/environment.h"

/* A fresh environment and a directory for files, removed after each case. */
struct fixture {
	struct environment env;
	char top[40], file[64], link[64];
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .top = "/tmp/carrel-unit-XXXXXX" };
	if (!mkdtemp(f.top) || environment_init(&f.env, &f.e) < 0)
		return -1;
	snprintf(f.file, sizeof(f.file), "%s/file", f.top);
	snprintf(f.link, sizeof(f.link), "%s/link", f.top);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	environment_free(&f->env);
	unlink(f->link);
	unlink(f->file);
	unsetenv("CARREL_UNIT");
	return rmdir(f->top);
}

/* The list is as long as its count says. */
static void assert_whole(const struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		assert_non_null(env->list[i]);
	assert_null(env->list[env->count]);
}

static bool has(const struct environment *env, const char *variable)
{
	unsigned found = 0;

	assert_whole(env);
	for (size_t i = 0; i < env->count; i++)
		found += !strcmp(env->list[i], variable);
	assert_true(found < 2);
	return found;
}

static void write_file(const struct fixture *f, const char *text, size_t size)
{
	auto_fd fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, size), 0);
}

static void read_text(struct fixture *f, const char *text)
{
	write_file(f, text, strlen(text));
	if (environment_read(&f->env, f->file, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

static void file_has_a_variable_a_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("CARREL_UNIT", "inherited", 1), 0);
	read_text(f, "A=1\n\n# a comment\nB=two words # no comment\n#C=3\n"
		     "CARREL_UNIT\nLANG=C\nD=last, without a newline");
	assert_int_equal(f->env.count, 7);
	assert_true(has(&f->env, "A=1"));
	assert_true(has(&f->env, "B=two words # no comment"));
	assert_true(has(&f->env, "CARREL_UNIT=inherited"));
	assert_true(has(&f->env, "LANG=C"));
	assert_true(has(&f->env, "D=last, without a newline"));
}

static void values_of_a_file_are_taken_as_they_are(void **state)
{
	struct fixture *f = *state;

	read_text(f, "A=\"quoted\"\nB='$HOME'\nC= x \nD=\xff\n");
	assert_true(has(&f->env, "A=\"quoted\""));
	assert_true(has(&f->env, "B='$HOME'"));
	assert_true(has(&f->env, "C= x "));
	assert_true(has(&f->env, "D=\xff"));
}

static void empty_file_adds_nothing(void **state)
{
	struct fixture *f = *state;

	read_text(f, "");
	read_text(f, "\n\n\n");
	assert_int_equal(f->env.count, 3);
}

static void lines_may_be_long(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(100003);

	assert_non_null(text);
	memset(text, 'x', 100002);
	memcpy(text, "L=", 2);
	text[100002] = '\0';
	read_text(f, text);
	assert_string_equal(f->env.list[3], text);
	free(text);
}

static void assert_read_fails(struct fixture *f, const char *path, int code,
			      const char *sentence)
{
	char wanted[512];

	assert_int_equal(environment_read(&f->env, path, &f->e), code);
	snprintf(wanted, sizeof(wanted), sentence[0] == ':' ? "%s%s" : "%s %s", path,
		 sentence);
	assert_string_equal(f->e.msg, wanted);
	assert_whole(&f->env);
}

static void wrong_line_is_named(void **state)
{
	struct fixture *f = *state;

	write_file(f, "A=1\n# two\n=3\nB=4\n", 17);
	assert_read_fails(f, f->file, -EINVAL,
			  ":3: an environment variable without a name");
	assert_true(has(&f->env, "A=1"));
	assert_false(has(&f->env, "B=4"));
}

static void nul_byte_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "A=1\nB=2\0C=3\n", 12);
	assert_read_fails(f, f->file, -EINVAL, ":2: a NUL byte");
	write_file(f, "\0\n", 2);
	assert_read_fails(f, f->file, -EINVAL, ":1: a NUL byte");
}

static void missing_file_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(environment_read(&f->env, f->file, &f->e), -ENOENT);
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

	write_file(f, "A=1\n", 4);
	assert_int_equal(symlink(f->file, f->link), 0);
	assert_read_fails(f, f->link, -ELOOP, "is or passes through a symbolic link");
	assert_int_equal(f->env.count, 3);
}

static void huge_files_are_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "", 0);
	assert_int_equal(truncate(f->file, (4 << 20) + 1), 0);
	assert_read_fails(f, f->file, -EFBIG, "has more than 4194304 bytes");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(file_has_a_variable_a_line),
		CASE(values_of_a_file_are_taken_as_they_are),
		CASE(empty_file_adds_nothing),
		CASE(lines_may_be_long),
		CASE(wrong_line_is_named),
		CASE(nul_byte_is_refused),
		CASE(missing_file_is_named),
		CASE(only_regular_files_are_read),
		CASE(links_are_refused),
		CASE(huge_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
