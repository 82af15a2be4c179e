/* SPDX-License-Identifier: Apache-2.0 */
/* Archives, read by libarchive, entry by entry. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/carrel-rootfs.h"

enum { BUFFER_SIZE = 256 << 10, HEADER_SIZE = 4096 };

/* What libarchive reads from. */
struct stream {
	int fd;
	uint64_t size, most; /* bytes so far, and at most */
	SHA2_CTX sum;
	char buffer[BUFFER_SIZE];
};

/* --- reading ----------------------------------------------------------------------- */

static ssize_t next_bytes(struct stream *s, struct err *e)
{
	ssize_t n;

	do {
		n = read(s->fd, s->buffer, sizeof(s->buffer));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, errno, "read the archive");
	s->size += (uint64_t)n;
	if (s->size > s->most)
		return err_say(e, E2BIG, "the archive is too long; see --max-size");
	SHA256Update(&s->sum, (const uint8_t *)s->buffer, (size_t)n);
	return n;
}

static la_ssize_t on_read(struct archive *a, void *context, const void **ret_buffer)
{
	struct stream *s = context;
	struct err e;
	ssize_t n = next_bytes(s, &e);

	if (n < 0)
		archive_set_error(a, (int)-n, "%s", e.msg);
	*ret_buffer = s->buffer;
	return n < 0 ? -1 : n;
}

/* What is behind the end of the archive belongs to the digest as well. */
static int read_rest(struct stream *s, struct err *e)
{
	ssize_t n;

	do {
		n = next_bytes(s, e);
	} while (n > 0);
	return (int)n;
}

static int archive_failed(struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	return err_say(e, EBADMSG, "%.200s", text ? text : "it cannot be read");
}

/* --- entries ----------------------------------------------------------------------- */

static int copy_content(struct archive *a, struct unpack_file *f, struct err *e)
{
	const void *data;
	size_t size;
	la_int64_t offset;
	int r;

	while ((r = archive_read_data_block(a, &data, &size, &offset)) >= ARCHIVE_WARN) {
		if (r == ARCHIVE_EOF)
			return 0;
		r = unpack_write(f, data, size, (uint64_t)offset, e);
		if (r < 0)
			return r;
	}
	return archive_failed(a, e);
}

static int make_file(struct archive *a, const char *path, const struct unpack_meta *meta,
		     struct unpack *u, struct err *e)
{
	struct unpack_file f = { .fd = -1 };
	struct err ignored;
	int r = unpack_open(u, path, meta, &f, e);

	if (r < 0)
		return r;
	r = copy_content(a, &f, e);
	if (r == 0)
		return unpack_close(&f, e);
	err_ignore(unpack_close(&f, &ignored) < 0);
	return r;
}

static int make_entry(struct archive *a, struct archive_entry *entry,
		      const struct unpack_meta *meta, struct unpack *u, struct err *e)
{
	const char *path = archive_entry_pathname(entry);
	const char *other = archive_entry_hardlink(entry);

	if (other)
		return unpack_hardlink(u, path, other, e);
	if (S_ISDIR(meta->mode))
		return unpack_directory(u, path, meta, e);
	if (S_ISREG(meta->mode))
		return make_file(a, path, meta, u, e);
	if (!S_ISLNK(meta->mode)) {
		unpack_leave_out(u, meta->mode);
		return 0;
	}
	other = archive_entry_symlink(entry);
	return unpack_symlink(u, path, other ? other : "", e);
}

static int take_entry(struct archive *a, struct archive_entry *entry,
		      enum archive_pass pass, struct unpack *u, struct err *e)
{
	const char *path = archive_entry_pathname(entry);
	la_int64_t size = archive_entry_size(entry);
	struct unpack_meta meta = {
		.mode = archive_entry_mode(entry),
		.mtime = { .tv_sec = archive_entry_mtime(entry),
			   .tv_nsec = archive_entry_mtime_nsec(entry) },
		.size = (uint64_t)size,
	};
	bool plain = true;
	int r;

	if (!path || size < 0)
		return err_say(e, EBADMSG, "an entry without a name or size");
	/* What is passed over has to be read, too. */
	r = unpack_admit(u, meta.size, e);
	if (r == 0 && pass == ARCHIVE_REMOVE)
		return unpack_whiteout(u, path, e);
	if (r == 0 && pass == ARCHIVE_MAKE)
		r = unpack_is_plain(path, &plain, e);
	return r == 0 && plain ? make_entry(a, entry, &meta, u, e) : r;
}

static int take_entries(struct archive *a, enum archive_pass pass, struct unpack *u,
			struct err *e)
{
	struct archive_entry *entry;
	int r;

	/* It warns of names that it cannot convert and has left as they are. */
	while ((r = archive_read_next_header(a, &entry)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN) {
		r = take_entry(a, entry, pass, u, e);
		if (r < 0)
			return r;
	}
	return r == ARCHIVE_EOF ? 0 : archive_failed(a, e);
}

/* --- archives ---------------------------------------------------------------------- */

static int open_archive(struct stream *s, struct archive **ret, struct err *e)
{
	struct archive *a = archive_read_new();

	if (!a)
		return err_set(e, ENOMEM, "read an archive");
	*ret = a;
	if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open(a, s, NULL, on_read, NULL) != ARCHIVE_OK)
		return archive_failed(a, e);
	return 0;
}

static int read_stream(struct stream *s, enum archive_pass pass, struct unpack *u,
		       struct err *e)
{
	struct archive *a = NULL;
	int r = open_archive(s, &a, e);

	if (r == 0)
		r = take_entries(a, pass, u, e);
	if (a)
		archive_read_free(a);
	return r == 0 ? read_rest(s, e) : r;
}

int archive_unpack(int stream, enum archive_pass pass, struct unpack *u,
		   char ret_digest[SHA256_DIGEST_STRING_LENGTH], uint64_t *ret_size,
		   struct err *e)
{
	static struct stream s;
	int r;

	s.fd = stream;
	s.size = 0;
	s.most = u->limits.bytes + u->limits.files * HEADER_SIZE;
	if (s.most < u->limits.bytes)
		s.most = UINT64_MAX;
	SHA256Init(&s.sum);
	r = read_stream(&s, pass, u, e);
	SHA256End(&s.sum, ret_digest);
	*ret_size = s.size;
	return r;
}
