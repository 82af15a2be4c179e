/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of stopped sandboxes, a file each. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/definition.h"

/* A file that is being written: a dot before its key. */
enum { DRAFT_SIZE = DEFINITION_KEY_SIZE + 1 };

static void name_draft(const char *key, char draft[DRAFT_SIZE])
{
	bug_on(str_format(draft, DRAFT_SIZE, ".%s", key) < 0);
}

static int write_draft(int dirfd, const char *draft, const void *block, size_t size,
		       struct err *e)
{
	auto_fd fd = -1;
	int r;

	if (unlinkat(dirfd, draft, 0) < 0 && errno != ENOENT)
		return err_set(e, errno, "remove an unfinished definition");
	fd = openat(dirfd, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return err_set(e, errno, "create a definition's file");
	r = fd_write_all(fd, block, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? err_set(e, -r, "write a definition") : 0;
}

int definition_store(int dirfd, const struct definition *d, struct err *e)
{
	auto_free uint8_t *block = malloc(RESIDENT_LABEL_SIZE);
	char key[DEFINITION_KEY_SIZE], draft[DRAFT_SIZE];
	size_t size;
	int r;

	if (!block)
		return err_set(e, ENOMEM, "write a definition");
	r = definition_encode(d, block, &size, e);
	if (r < 0)
		return r;
	definition_key(d->client, d->asked.name, key);
	name_draft(key, draft);
	r = write_draft(dirfd, draft, block, size, e);
	if (r == 0 && renameat(dirfd, draft, dirfd, key) < 0)
		r = err_set(e, errno, "put a definition's file in its place");
	/* Should the draft stay, definition_each() removes it. */
	if (r < 0)
		err_ignore(unlinkat(dirfd, draft, 0) < 0);
	else if (fsync(dirfd) < 0)
		r = err_set(e, errno, "write the definitions' directory");
	return r;
}

int definition_remove(int dirfd, uid_t client, const char *name, struct err *e)
{
	char key[DEFINITION_KEY_SIZE];

	definition_key(client, name, key);
	if (unlinkat(dirfd, key, 0) < 0)
		return errno == ENOENT ? 0
				       : err_set(e, errno, "remove a definition's file");
	if (fsync(dirfd) < 0)
		return err_set(e, errno, "write the definitions' directory");
	return 0;
}

static bool is_key(const char *name)
{
	return strlen(name) == DEFINITION_KEY_SIZE - 1 &&
	       str_only(name, "0123456789abcdef");
}

/* Whatever lies there is neither followed nor waited for. */
static int read_block(int dirfd, const char *name, void *block, size_t *ret_size,
		      struct err *e)
{
	auto_fd fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return err_set(e, errno, "open it");
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat it");
	if (!S_ISREG(st.st_mode) || st.st_size > RESIDENT_LABEL_SIZE)
		return err_say(e, EBADMSG, "not a definition");
	n = pread(fd, block, RESIDENT_LABEL_SIZE, 0);
	if (n < 0)
		return err_set(e, errno, "read it");
	*ret_size = (size_t)n;
	return 0;
}

static int read_file(int dirfd, const char *name, void *block, struct definition *ret,
		     struct err *e)
{
	char key[DEFINITION_KEY_SIZE];
	size_t size = 0;
	int r;

	if (!is_key(name))
		return err_say(e, EBADMSG, "not the name of a definition's file");
	r = read_block(dirfd, name, block, &size, e);
	if (r == 0)
		r = definition_decode(block, size, ret, e);
	if (r < 0)
		return r;
	/* One that was copied or renamed would be there twice. */
	definition_key(ret->client, ret->asked.name, key);
	if (!strcmp(key, name))
		return 0;
	definition_free(ret);
	return err_say(e, EBADMSG, "the definition of another file");
}

static int visit(int dirfd, const char *name, void *block,
		 const struct definition_visitor *v, struct err *e)
{
	struct definition d = { 0 };
	struct err why;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (*name == '.' && is_key(name + 1)) {
		/* Should it stay, nobody takes it for more than it is. */
		err_ignore(unlinkat(dirfd, name, 0) < 0);
		return 0;
	}
	if (read_file(dirfd, name, block, &d, &why) == 0)
		return v->found(v->context, &d, e);
	v->skipped(v->context, name, &why);
	return 0;
}

static int walk(DIR *dir, int dirfd, const struct definition_visitor *v, struct err *e)
{
	auto_free uint8_t *block = malloc(RESIDENT_LABEL_SIZE);
	const struct dirent *entry;
	int r = 0;

	if (!block)
		return err_set(e, ENOMEM, "read the definitions");
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		r = visit(dirfd, entry->d_name, block, v, e);
	if (r == 0 && errno)
		r = err_set(e, errno, "read the definitions' directory");
	return r;
}

int definition_each(int dirfd, const struct definition_visitor *visitor, struct err *e)
{
	/* A description of its own: reading moves a position. */
	auto_fd fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r;

	if (!dir)
		return err_set(e, errno, "open the definitions' directory");
	fd_take(&fd);
	r = walk(dir, dirfd, visitor, e);
	closedir(dir);
	return r;
}
