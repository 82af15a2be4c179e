/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "runtime/notify.h"

enum {
	LISTEN_FIRST = 3, /* the first descriptor that is passed */
	LISTEN_MOST = 64, /* sanity */
	MESSAGE_MAX = 512,
	STATUS_MAX = 256,
};

static const char *const states[] = {
	[NOTIFY_READY] = "READY=1\n",
	[NOTIFY_RELOADING] = "RELOADING=1\n",
	[NOTIFY_STOPPING] = "STOPPING=1\n",
	[NOTIFY_WATCHDOG] = "WATCHDOG=1\n",
	[NOTIFY_STATUS] = "",
};

static_assert(sizeof(states) / sizeof(*states) == NOTIFY_STATE_MAX, "a row a state");

/* --- where to send ----------------------------------------------------------------- */

static int parse_address(const char *name, struct notify *n, struct err *e)
{
	size_t len = strlen(name);

	if (*name != '/' && *name != '@')
		return err_say(e, EINVAL,
			       "NOTIFY_SOCKET is neither a path nor an abstract name");
	if (len < 2 || len >= sizeof(n->address.sun_path))
		return err_say(e, EINVAL, "NOTIFY_SOCKET has %zu characters", len);
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, name, len + 1);
	n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (*name == '@')
		n->address.sun_path[0] = '\0';
	else
		n->address_size++;
	return 0;
}

/* A number from the environment; *ret is left alone where there is none. */
static int read_number(const char *name, uint64_t min, uint64_t *ret, struct err *e)
{
	const char *text = getenv(name);

	if (text && num_parse(text, min, INT64_MAX, ret) < 0)
		return err_say(e, EINVAL, "%s is not a number from %" PRIu64 " on", name,
			       min);
	return 0;
}

static int read_watchdog(struct notify *n, struct err *e)
{
	uint64_t usec = 0, pid = (uint64_t)getpid();
	int r = read_number("WATCHDOG_USEC", 1, &usec, e);

	if (r == 0)
		r = read_number("WATCHDOG_PID", 1, &pid, e);
	if (r < 0)
		return r;
	/* Another process's: it was inherited. */
	if (!usec || pid != (uint64_t)getpid())
		return 0;
	n->watchdog_ms = usec / 2000;
	if (!n->watchdog_ms)
		n->watchdog_ms = 1;
	return 0;
}

static int open_notify(const char *name, struct notify *n, struct err *e)
{
	int r = parse_address(name, n, e);

	if (r == 0)
		r = read_watchdog(n, e);
	if (r < 0)
		return r;
	n->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return n->sock < 0 ? err_set(e, errno, "make a socket for NOTIFY_SOCKET") : 0;
}

int notify_take(struct notify *ret, struct err *e)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
					     "WATCHDOG_PID" };
	const char *name = getenv(names[0]);
	struct notify n = NOTIFY_NONE;
	int r = name ? open_notify(name, &n, e) : 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	if (r == 0)
		*ret = n;
	return r;
}

void notify_close(struct notify *n)
{
	fd_close(&n->sock);
	*n = NOTIFY_NONE;
}

/* --- what to send ------------------------------------------------------------------ */

/* A line of its own: the text may name what a client has named. */
static void add_status(struct str *s, const char *status)
{
	char text[STATUS_MAX];

	str_add(s, "STATUS=%s\n", str_escape(text, sizeof(text), status));
}

static void add_now(struct str *s)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	str_add(s, "MONOTONIC_USEC=%" PRId64 "\n",
		(int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

int notify_send(const struct notify *n, enum notify_state state, const char *status,
		struct err *e)
{
	char buf[MESSAGE_MAX];
	struct str s = str_over(buf, sizeof(buf));

	bug_on((unsigned)state >= NOTIFY_STATE_MAX);
	if (n->sock < 0)
		return 0;
	str_add(&s, "%s", states[state]);
	/* Type=notify-reload tells by it that the answer is to its own signal. */
	if (state == NOTIFY_RELOADING)
		add_now(&s);
	if (status)
		add_status(&s, status);
	if (sendto(n->sock, s.buf, s.len, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&n->address, n->address_size) < 0)
		return err_set(e, errno, "notify the service manager");
	return 0;
}

/* --- what we are given ------------------------------------------------------------- */

static int option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

static int check_listening(int fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	socklen_t size = sizeof(address);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "look at the socket that was passed");
	if (!S_ISSOCK(st.st_mode))
		return err_say(e, EINVAL, "what was passed for a socket is none");
	if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM)
		return err_say(e, EINVAL,
			       "the socket that was passed is not an AF_UNIX stream");
	if (option(fd, SO_ACCEPTCONN) != 1)
		return err_say(e, EINVAL, "the socket that was passed does not listen");
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return err_set(e, errno, "read the name of the socket that was passed");
	if (size <= offsetof(struct sockaddr_un, sun_path) || !address.sun_path[0])
		return err_say(e, EINVAL, "the socket that was passed has no path");
	return 0;
}

static int set_flags(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(e, errno, "prepare the socket that was passed");
	return 0;
}

/* How many descriptors were passed to this process. */
static int count_passed(uint64_t *ret, struct err *e)
{
	uint64_t count = 0, pid = 0;
	int r = read_number("LISTEN_PID", 1, &pid, e);

	if (r == 0 && pid == (uint64_t)getpid())
		r = read_number("LISTEN_FDS", 0, &count, e);
	if (r == 0 && count > LISTEN_MOST)
		r = err_say(e, EINVAL, "LISTEN_FDS is %" PRIu64, count);
	if (r == 0)
		*ret = count;
	return r;
}

static int take_passed(int *ret, struct err *e)
{
	uint64_t count = 0;
	int r = count_passed(&count, e);

	if (r < 0)
		return r;
	if (!count) {
		*ret = -1;
		return 0;
	}
	if (count != 1)
		return err_say(e, EINVAL, "%" PRIu64 " sockets were passed, not one",
			       count);
	r = check_listening(LISTEN_FIRST, e);
	if (r == 0)
		r = set_flags(LISTEN_FIRST, e);
	if (r == 0)
		*ret = LISTEN_FIRST;
	return r;
}

int notify_take_socket(int *ret, struct err *e)
{
	int r = take_passed(ret, e);

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return r;
}
