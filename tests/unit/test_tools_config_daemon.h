/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of carreld, in a directory that is removed after each case. */
#pragma once

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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/config_daemon.h"

struct fixture {
	char directory[40], file[64];
	struct access access;
	bool held; /* access has been read */
	struct err e;
};

static inline int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	snprintf(f.directory, sizeof(f.directory), "/tmp/carrel-unit-XXXXXX");
	if (!mkdtemp(f.directory))
		return -1;
	snprintf(f.file, sizeof(f.file), "%s/carrel.conf", f.directory);
	*state = &f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	if (f->held)
		access_free(&f->access);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", f->directory, NULL);
		_exit(9);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

/* Writes a file beneath the directory. */
static inline void write_file(const struct fixture *f, const char *name, const char *text)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static inline int read_again(struct fixture *f)
{
	if (f->held)
		access_free(&f->access);
	f->held = true;
	memset(&f->e, 0x5a, sizeof(f->e));
	return config_daemon_read(f->file, &f->access, &f->e);
}

static inline int read_text(struct fixture *f, const char *text)
{
	write_file(f, "carrel.conf", text);
	return read_again(f);
}

static inline void assert_read(struct fixture *f, const char *text)
{
	if (read_text(f, text) != 0)
		fail_msg("%s", f->e.msg);
}

/* The sentence begins with the file; `rest` is what follows it. */
static inline void assert_refused(struct fixture *f, const char *text, int code,
				  const char *rest)
{
	size_t len = strlen(f->file);

	if (read_text(f, text) != code)
		fail_msg("\"%s\": %d %s", text, f->e.code, f->e.msg);
	assert_int_equal(f->e.code, code);
	assert_memory_equal(f->e.msg, f->file, len);
	assert_string_equal(f->e.msg + len, rest);
}

/* A line of a section that is refused, and why. */
struct bad_line {
	const char *key, *value;
	int code;
	const char *why;
};

/* In the second line of the file, behind the section's heading. */
static inline void assert_lines_refused(struct fixture *f, const char *section,
					const struct bad_line *lines, size_t count)
{
	char text[512], rest[512];

	for (size_t i = 0; i < count; i++) {
		const struct bad_line *l = &lines[i];

		snprintf(text, sizeof(text), "[%s]\n%s = %s\n", section, l->key,
			 l->value);
		snprintf(rest, sizeof(rest), ":2: [%s] %s = %s: %s", section, l->key,
			 l->value, l->why);
		assert_refused(f, text, l->code, rest);
	}
}

#define ASSERT_LINES_REFUSED(f, section, lines) \
	assert_lines_refused(f, section, lines, sizeof(lines) / sizeof(*(lines)))

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
