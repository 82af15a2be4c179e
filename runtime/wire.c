/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/wire.h"

enum {
	STRING_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
	SIGNAL_MAX = 64,
	INSIDE_ID_MAX = 65534, /* as SPEC_ID_MAX */
	STDIO_FDS = 3,
};

/* MFD_NOEXEC_SEAL of Linux 6.3, absent from older headers. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* --- records ----------------------------------------------------------------------- */

int wire_send(int sock, const void *record, size_t size, const int *fds, unsigned count)
{
	char control[CMSG_SPACE(WIRE_CARRY_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)record, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	bug_on(count > WIRE_CARRY_MAX);
	if (count) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

/* Takes all descriptors out of a message; those that `fds` has no room for are closed.
 * Returns how many there were. */
static unsigned take_fds(struct msghdr *msg, int *fds, unsigned max)
{
	unsigned count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (count < max)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

int wire_receive(int sock, void *record, size_t size, int *fds, unsigned max,
		 unsigned *ret_count)
{
	char control[CMSG_SPACE(WIRE_CARRY_MAX * sizeof(int))];
	struct iovec iov = { .iov_base = record, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	unsigned count;
	ssize_t n;

	bug_on(max > WIRE_CARRY_MAX);
	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	count = take_fds(&msg, fds, max);
	if (n == 0 && count == 0)
		return 0;
	if ((size_t)n != size || count > max ||
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (unsigned i = 0; i < count && i < max; i++)
			close(fds[i]);
		return -EPROTO;
	}
	*ret_count = count;
	return 1;
}

/* --- what a front may ask for ------------------------------------------------------ */

/* Terminated, and not empty unless it may be. */
#define TEXT_OK(field)  (memchr((field), '\0', sizeof(field)) != NULL)
#define GIVEN_OK(field) (TEXT_OK(field) && (field)[0] != '\0')

static bool limits_ok(const struct wire_limits *l)
{
	return l->memory <= INT64_MAX && l->cpu_milli <= INT64_MAX &&
	       l->pids <= INT64_MAX;
}

static bool ensure_ok(const struct wire_request *rq, unsigned fds)
{
	const struct wire_ensure *x = &rq->ensure;
	uint64_t strings = (uint64_t)x->env_count + 2 * (uint64_t)x->label_count;

	return GIVEN_OK(x->name) && TEXT_OK(x->profile) && TEXT_OK(x->workspace) &&
	       TEXT_OK(x->hostname) && limits_ok(&x->limits) &&
	       x->network <= WIRE_NETWORK_EGRESS && x->auto_remove <= 1 &&
	       strings <= WIRE_STRINGS_MAX && fds == (strings ? 1 : 0);
}

static bool id_ok(uint32_t id)
{
	return id == UINT32_MAX || (id >= 1 && id <= INSIDE_ID_MAX);
}

static bool exec_ok(const struct wire_request *rq, unsigned fds)
{
	const struct wire_exec *x = &rq->exec;
	uint64_t strings = (uint64_t)x->argc + x->env_count;
	bool stdio =
		x->terminal ? x->fds == 0 : x->fds >= STDIO_FDS && x->fds < WIRE_FDS_MAX;

	return GIVEN_OK(x->name) && TEXT_OK(x->cwd) && limits_ok(&x->limits) &&
	       x->argc > 0 && strings <= WIRE_STRINGS_MAX && id_ok(x->uid) &&
	       id_ok(x->gid) && x->terminal <= 1 && x->detach <= 1 && x->tell <= 1 &&
	       stdio && fds == 1 + x->fds;
}

static bool exec_ref_ok(const struct wire_request *rq, unsigned fds)
{
	const struct wire_exec_ref *x = &rq->exec_ref;
	bool signal = rq->type == WIRE_KILL ? x->signal >= 1 && x->signal <= SIGNAL_MAX
					    : x->signal == 0;

	return GIVEN_OK(x->name) && GIVEN_OK(x->exec) && signal &&
	       x->keep <= (rq->type == WIRE_WAIT) && fds == 0;
}

static bool name_ok(const struct wire_request *rq, unsigned fds)
{
	return GIVEN_OK(rq->name.name) && fds == 0;
}

static bool stop_ok(const struct wire_request *rq, unsigned fds)
{
	return GIVEN_OK(rq->stop.name) && rq->stop.grace_ms <= INT64_MAX && fds == 0;
}

static bool remove_ok(const struct wire_request *rq, unsigned fds)
{
	return GIVEN_OK(rq->flagged.name) && rq->flagged.flag <= 1 && fds == 0;
}

static bool flagged_ok(const struct wire_request *rq, unsigned fds)
{
	return rq->flagged.name[0] == '\0' && rq->flagged.flag <= 1 && fds == 0;
}

static bool stats_ok(const struct wire_request *rq, unsigned fds)
{
	return TEXT_OK(rq->stats.name) && rq->stats.interval_ms <= INT64_MAX && fds == 0;
}

static bool end_ok(const struct wire_request *rq, unsigned fds)
{
	return (rq->end.reason == WIRE_CANCELLED || rq->end.reason == WIRE_OUTPUT) &&
	       fds == 0;
}

static bool left_ok(const struct wire_request *rq, unsigned fds)
{
	return rq->left.idle <= 1 && fds == 0;
}

static bool bare_ok(const struct wire_request *rq, unsigned fds)
{
	(void)rq;
	return fds == 0;
}

bool wire_check_request(const struct wire_request *rq, unsigned fds)
{
	static bool (*const checks[])(const struct wire_request *rq, unsigned fds) = {
		[WIRE_INFO] = bare_ok,     [WIRE_ENSURE] = ensure_ok,
		[WIRE_EXEC] = exec_ok,     [WIRE_WAIT] = exec_ref_ok,
		[WIRE_KILL] = exec_ref_ok, [WIRE_CANCEL] = exec_ref_ok,
		[WIRE_EXECS] = name_ok,    [WIRE_STOP] = stop_ok,
		[WIRE_REMOVE] = remove_ok, [WIRE_PAUSE] = name_ok,
		[WIRE_UNPAUSE] = name_ok,  [WIRE_TOUCH] = name_ok,
		[WIRE_LIST] = flagged_ok,  [WIRE_INSPECT] = name_ok,
		[WIRE_STATS] = stats_ok,   [WIRE_EVENTS] = flagged_ok,
		[WIRE_REAP] = bare_ok,     [WIRE_SHUTDOWN] = flagged_ok,
		[WIRE_METRICS] = bare_ok,  [WIRE_DROP] = end_ok,
		[WIRE_LEFT] = left_ok,
	};

	if ((rq->tag == 0) != (rq->type == WIRE_LEFT) ||
	    rq->type >= sizeof(checks) / sizeof(*checks))
		return false;
	return checks[rq->type] && checks[rq->type](rq, fds);
}

/* --- strings ----------------------------------------------------------------------- */

int wire_memfd(const char *name, const void *data, size_t size, int *ret_fd,
	       struct err *e)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	auto_fd fd = memfd_create(name, flags | MFD_NOEXEC_SEAL); /* lint: MFD_CLOEXEC */
	int r;

	/* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags); /* lint: MFD_CLOEXEC */
	if (fd < 0)
		return err_set(e, errno, "create a memfd");
	r = fd_write_all(fd, data, size);
	if (r < 0)
		return err_set(e, -r, "fill a memfd");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(e, errno, "rewind a memfd");
	if (fcntl(fd, F_ADD_SEALS, STRING_SEALS) < 0)
		return err_set(e, errno, "seal a memfd");
	*ret_fd = fd_take(&fd);
	return 0;
}

int wire_strings_make(const char *const *strings, size_t count, int *ret_fd,
		      struct err *e)
{
	auto_free char *data = NULL;
	size_t size = 0, at = 0;

	if (count > WIRE_STRINGS_MAX)
		return err_say(e, E2BIG, "%zu strings are too many", count);
	for (size_t i = 0; i < count; i++) {
		size += strlen(strings[i]) + 1;
		if (size > WIRE_STRINGS_SIZE)
			return err_say(e, E2BIG, "the strings are too long");
	}
	data = malloc(size + 1);
	if (!data)
		return err_set(e, ENOMEM, "put strings together");
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(strings[i]) + 1;

		memcpy(data + at, strings[i], len);
		at += len;
	}
	return wire_memfd("carrel-strings", data, size, ret_fd, e);
}

/* The size of a memfd that cannot change any more. */
static int sealed_size(int fd, size_t *ret, struct err *e)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted)
		return err_say(e, EPROTO, "the strings are not sealed");
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "look at the strings");
	if (st.st_size < 0 || st.st_size > WIRE_STRINGS_SIZE)
		return err_say(e, EPROTO, "the strings are too long");
	*ret = (size_t)st.st_size;
	return 0;
}

/* Whole, from its beginning, wherever its position is. */
static int read_whole(int fd, char *data, size_t size, struct err *e)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = pread(fd, data + len, size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "read the strings");
		if (n == 0)
			return err_say(e, EPROTO, "the strings end early");
		len += (size_t)n;
	}
	return 0;
}

/* Points at each of `count` strings that fill `data` exactly. */
static bool split(char *data, size_t size, size_t count, char **ret)
{
	const char *end = data + size;

	for (size_t i = 0; i < count; i++) {
		char *nul = memchr(data, '\0', (size_t)(end - data));

		if (!nul)
			return false;
		ret[i] = data;
		data = nul + 1;
	}
	ret[count] = NULL;
	return data == end;
}

int wire_strings_read(int fd, size_t count, char ***ret, struct err *e)
{
	auto_free char **block = NULL;
	char *data;
	size_t size = 0;
	int r;

	if (count > WIRE_STRINGS_MAX)
		return err_say(e, EPROTO, "%zu strings are too many", count);
	r = sealed_size(fd, &size, e);
	if (r < 0)
		return r;
	block = malloc((count + 1) * sizeof(*block) + size);
	if (!block)
		return err_set(e, ENOMEM, "read the strings");
	data = (char *)(block + count + 1);
	r = read_whole(fd, data, size, e);
	if (r < 0)
		return r;
	if (!split(data, size, count, block))
		return err_say(e, EPROTO, "there are not just %zu strings", count);
	*ret = block;
	block = NULL;
	return 0;
}
