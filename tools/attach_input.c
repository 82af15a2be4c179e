/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "tools/attach_input.h"

enum { INPUT_MAX = 512 << 10 }; /* of a message, which has to hold it in base64 */

static bool can_pass(int fd, int wrong_mode)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == wrong_mode ||
	    fstat(fd, &st) < 0)
		return false;
	if (S_ISCHR(st.st_mode))
		return st.st_rdev == makedev(1, 3) || isatty(fd);
	return S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
}

bool attach_can_pass(int input)
{
	return can_pass(input, O_WRONLY) && can_pass(1, O_RDONLY) &&
	       can_pass(2, O_RDONLY);
}

static int read_all(char *buf, size_t size, size_t *ret, struct err *e)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(STDIN_FILENO, buf + have, size - have);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "read standard input");
		if (n > 0)
			have += (size_t)n;
	}
	if (have == size)
		return err_say(e, E2BIG,
			       "standard input has more than %d KiB, which only a file "
			       "or a pipe that is passed on itself can have",
			       INPUT_MAX >> 10);
	*ret = have;
	return 0;
}

int attach_read_input(json_t *parameters, struct err *e)
{
	auto_free char *bytes = malloc(INPUT_MAX + 1);
	auto_free char *text = malloc(base64_length(INPUT_MAX));
	size_t size = 0;
	int r;

	if (!bytes || !text)
		return err_set(e, ENOMEM, "read standard input");
	r = read_all(bytes, INPUT_MAX + 1, &size, e);
	if (r < 0)
		return r;
	base64_encode(bytes, size, text);
	if (json_object_set_new(parameters, "stdin",
				json_stringn(text, base64_length(size))) < 0)
		return err_set(e, ENOMEM, "encode standard input");
	return 0;
}

/* The descriptor's description is the caller's, and may have been made non-blocking. */
static int write_all(int fd, const char *data, size_t size)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };

	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EAGAIN)
			err_ignore(poll(&writable, 1, -1) < 0); /* tried again anyway */
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int attach_write(int fd, const json_t *text, struct err *e)
{
	size_t length = json_string_length(text), size = 0;
	auto_free char *bytes = malloc(length + 1);
	int r;

	if (!bytes)
		return err_set(e, ENOMEM, "decode output");
	if (!length)
		return 0;
	if (base64_decode(json_string_value(text), length, bytes, &size) < 0)
		return err_say(e, EPROTO, "the output that carreld sends is no base64");
	r = write_all(fd, bytes, size);
	if (r < 0)
		return err_set(e, -r, "write to standard %s",
			       fd == STDOUT_FILENO ? "output" : "error");
	return 0;
}
