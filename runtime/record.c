/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/record.h"

enum {
	RECORD_MAX = CGROUP_TREE_MAX * (CGROUP_PATH_MAX + CGROUP_NAME_MAX + 2) + 512,
};

#define NETWORK_MARK   "network "
#define RESIDENT_MARK  "resident"
#define ADDRESSES_MARK "addresses "
#define IDS_MARK       "ids direct"
#define INIT_MARK      "init "

static void record_name(char *buf, size_t size, uint32_t id_base)
{
	bug_on(str_format(buf, size, "run/%" PRIx32, id_base) < 0);
}

static int put(int state_dir, uint32_t id_base, int flags, const char *text, size_t size,
	       struct err *e)
{
	char name[24];
	auto_fd fd = -1;
	int r;

	record_name(name, sizeof(name), id_base);
	fd = openat(state_dir, name, O_WRONLY | flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : fd_write_all(fd, text, size);
	return r < 0 ? err_set(e, -r, "record the sandbox in %s", name) : 0;
}

int record_write(int state_dir, uint32_t id_base, const struct cgroup_host *host,
		 const char *name, bool resident, struct err *e)
{
	char text[RECORD_MAX];
	struct str s = str_over(text, sizeof(text));

	for (unsigned i = 0; i < host->ntrees; i++)
		str_add(&s, "%s/%s\n", host->trees[i].path, name);
	if (resident)
		str_add(&s, RESIDENT_MARK "\n");
	return put(state_dir, id_base, O_CREAT | O_TRUNC, text, s.len, e);
}

static int append(int state_dir, uint32_t id_base, const char *text, struct err *e)
{
	return put(state_dir, id_base, O_APPEND, text, strlen(text), e);
}

int record_append_network(int state_dir, uint32_t id_base, const char *host_end,
			  struct err *e)
{
	char text[64];
	int r = str_format(text, sizeof(text), NETWORK_MARK "%s\n", host_end);

	if (r < 0)
		return err_set(e, -r, "record the network %s", host_end);
	return append(state_dir, id_base, text, e);
}

int record_append_resident(int state_dir, uint32_t id_base, const struct record *record,
			   struct err *e)
{
	char text[256], address[IP_TEXT_MAX];
	struct str s = str_over(text, sizeof(text));

	if (record->ids_direct)
		str_add(&s, IDS_MARK "\n");
	if (*record->host_end) {
		str_add(&s, ADDRESSES_MARK "%s %s", record->host_end,
			ip_format(address, &record->address4));
		if (record->address6.family)
			str_add(&s, " %s", ip_format(address, &record->address6));
		str_add(&s, "\n");
	}
	str_add(&s, INIT_MARK "%d %" PRIu64 "\n", (int)record->init, record->init_start);
	bug_on(s.cut);
	return append(state_dir, id_base, text, e);
}

/* --- reading ----------------------------------------------------------------------- */

/* The rest of a line that begins with the mark, or NULL. */
static const char *behind(const char *line, const char *mark)
{
	size_t len = strlen(mark);

	return strncmp(line, mark, len) ? NULL : line + len;
}

static bool read_addresses(const char *text, struct record *record)
{
	char four[IP_TEXT_MAX], six[IP_TEXT_MAX];
	int n = sscanf(text, "%15s %47s %47s", record->host_end, four, six);

	return n >= 2 && ip_parse(four, &record->address4) == 0 &&
	       (n == 2 || ip_parse(six, &record->address6) == 0);
}

static bool read_line(const char *line, struct record *record)
{
	const char *rest;

	if (*line == '/') {
		return record->group_count < CGROUP_TREE_MAX &&
		       str_format(record->groups[record->group_count++],
				  sizeof(record->groups[0]), "%s", line) == 0;
	}
	if (!strcmp(line, RESIDENT_MARK)) {
		record->resident = true;
		return true;
	}
	if (!strcmp(line, IDS_MARK)) {
		record->ids_direct = true;
		return true;
	}
	if (behind(line, NETWORK_MARK)) {
		record->special = true;
		return true;
	}
	rest = behind(line, ADDRESSES_MARK);
	if (rest)
		return read_addresses(rest, record);
	rest = behind(line, INIT_MARK);
	return rest &&
	       sscanf(rest, "%d %" SCNu64, &record->init, &record->init_start) == 2 &&
	       record->init > 0;
}

/* Cuts the first line off *text. NULL at the end. */
static char *next_line(char **text)
{
	char *line = *text, *end = strchrnul(line, '\n');

	if (!*line)
		return NULL;
	if (*end)
		*end++ = '\0';
	*text = end;
	return line;
}

static int load(int state_dir, uint32_t id_base, char *text, size_t size, struct err *e)
{
	char name[24];
	ssize_t n;

	record_name(name, sizeof(name), id_base);
	n = fd_read_at(state_dir, name, text, size);
	return n < 0 ? err_set(e, (int)-n, "read %s", name) : 0;
}

int record_read(int state_dir, uint32_t id_base, struct record *ret, struct err *e)
{
	char text[RECORD_MAX], *rest = text, *line;
	int r = load(state_dir, id_base, text, sizeof(text), e);

	*ret = (struct record){ .group_count = 0 };
	while (r == 0 && (line = next_line(&rest))) {
		if (!read_line(line, ret))
			r = err_say(e, EPROTO, "the record %" PRIx32 " makes no sense",
				    id_base);
	}
	return r;
}

static int reclaim_line(const char *line, struct err *e)
{
	static const char *const harmless[] = { RESIDENT_MARK, ADDRESSES_MARK, IDS_MARK,
						INIT_MARK };
	const char *host_end = behind(line, NETWORK_MARK);

	if (host_end)
		return netns_reclaim(host_end, e);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
		if (behind(line, harmless[i]))
			return 0;
	}
	return cgroup_reclaim(line, e);
}

int record_reclaim(int state_dir, uint32_t id_base, struct err *e)
{
	char text[RECORD_MAX], *rest = text, *line;
	int r = load(state_dir, id_base, text, sizeof(text), e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (r == 0 && (line = next_line(&rest)))
		r = reclaim_line(line, e);
	if (r == 0)
		record_remove(state_dir, id_base);
	return r;
}

void record_remove(int state_dir, uint32_t id_base)
{
	char name[24];

	record_name(name, sizeof(name), id_base);
	unlinkat(state_dir, name, 0);
}
