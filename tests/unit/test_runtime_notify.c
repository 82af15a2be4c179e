/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the service manager, and the socket that it passes (E-53). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/notify.h"

static char directory[] = "/tmp/carrel-notify.XXXXXX";
static char path[64];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static int clear(void **state)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
					     "WATCHDOG_PID",  "LISTEN_FDS",
					     "LISTEN_PID",    "LISTEN_FDNAMES" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	unlink(path);
	return 0;
}

/* A socket bound to the name ("@": abstract). */
static int bind_to(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	assert_true(fd >= 0);
	memcpy(address.sun_path, name, strlen(name) + 1);
	if (*name == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size + (*name != '@')), 0);
	return fd;
}

static void set_number(const char *name, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	setenv(name, text, 1);
}

/* --- notifications ----------------------------------------------------------------- */

static void assert_hears(int manager, const char *expected)
{
	char buf[1024];
	ssize_t n = recv(manager, buf, sizeof(buf) - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, expected);
}

static void take_of_nothing_gives_what_says_nothing(void **state)
{
	struct notify n = { .sock = 7 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(notify_take(&n, &e), 0);
	assert_int_equal(n.sock, -1);
	assert_int_equal(n.watchdog_ms, 0);
	assert_int_equal(notify_send(&n, NOTIFY_READY, "x", &e), 0);
	notify_close(&n);
}

static void send_speaks_the_protocol_at(const char *name)
{
	struct notify n = NOTIFY_NONE;
	int manager = bind_to(name, SOCK_DGRAM);
	struct err e = { 0 };

	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(notify_take(&n, &e), 0);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(fcntl(n.sock, F_GETFD), FD_CLOEXEC);
	assert_int_equal(notify_send(&n, NOTIFY_READY, NULL, &e), 0);
	assert_hears(manager, "READY=1\n");
	assert_int_equal(notify_send(&n, NOTIFY_STOPPING, "3 sandboxes", &e), 0);
	assert_hears(manager, "STOPPING=1\nSTATUS=3 sandboxes\n");
	assert_int_equal(notify_send(&n, NOTIFY_WATCHDOG, NULL, &e), 0);
	assert_hears(manager, "WATCHDOG=1\n");
	assert_int_equal(notify_send(&n, NOTIFY_STATUS, "idle", &e), 0);
	assert_hears(manager, "STATUS=idle\n");
	notify_close(&n);
	assert_int_equal(n.sock, -1);
	close(manager);
}

static void send_reaches_a_path(void **state)
{
	(void)state;
	send_speaks_the_protocol_at(path);
}

static void send_reaches_an_abstract_name(void **state)
{
	char name[80];

	(void)state;
	snprintf(name, sizeof(name), "@%s", path);
	send_speaks_the_protocol_at(name);
}

static void reloading_says_when(void **state)
{
	struct notify n = NOTIFY_NONE;
	int manager = bind_to(path, SOCK_DGRAM);
	struct timespec before, after;
	struct err e = { 0 };
	char buf[256] = "";
	int64_t usec = 0;

	(void)state;
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(notify_take(&n, &e), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(notify_send(&n, NOTIFY_RELOADING, NULL, &e), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(recv(manager, buf, sizeof(buf) - 1, 0) > 0);
	assert_int_equal(sscanf(buf, "RELOADING=1\nMONOTONIC_USEC=%" SCNd64 "\n", &usec),
			 1);
	assert_true(usec >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000);
	assert_true(usec <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000);
	notify_close(&n);
	close(manager);
}

static void a_status_stays_in_its_line(void **state)
{
	struct notify n = NOTIFY_NONE;
	int manager = bind_to(path, SOCK_DGRAM);
	char status[2000], buf[1024];
	struct err e = { 0 };
	ssize_t size;

	(void)state;
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(notify_take(&n, &e), 0);
	assert_int_equal(notify_send(&n, NOTIFY_STATUS, "a\nREADY=1\033", &e), 0);
	assert_hears(manager, "STATUS=a\\x0aREADY=1\\x1b\n");
	memset(status, 'a', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	assert_int_equal(notify_send(&n, NOTIFY_STOPPING, status, &e), 0);
	size = recv(manager, buf, sizeof(buf), 0);
	assert_in_range(size, 200, 400);
	assert_int_equal(buf[size - 1], '\n');
	notify_close(&n);
	close(manager);
}

static void send_neither_waits_nor_dies_when_nobody_listens(void **state)
{
	struct notify n = NOTIFY_NONE;
	int manager = bind_to(path, SOCK_DGRAM), r = 0;
	struct err e = { 0 };

	(void)state;
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(notify_take(&n, &e), 0);
	alarm(20);
	for (int i = 0; r == 0 && i < 100000; i++)
		r = notify_send(&n, NOTIFY_WATCHDOG, NULL, &e);
	alarm(0);
	assert_int_equal(r, -EAGAIN);
	close(manager);
	assert_int_equal(notify_send(&n, NOTIFY_WATCHDOG, NULL, &e), -ECONNREFUSED);
	unlink(path);
	assert_int_equal(notify_send(&n, NOTIFY_WATCHDOG, NULL, &e), -ENOENT);
	notify_close(&n);
}

static void take_refuses_what_is_no_address(void **state)
{
	static const char *const wrong[] = { "", "/", "@", "relative/path",
					     "vsock:2:1234" };
	struct notify n = { .sock = 7 };
	struct err e = { 0 };
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		setenv("NOTIFY_SOCKET", wrong[i], 1);
		assert_int_equal(notify_take(&n, &e), -EINVAL);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_int_equal(n.sock, 7);
	}
	memset(text, '/', sizeof(text));
	text[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
	setenv("NOTIFY_SOCKET", text, 1);
	assert_int_equal(notify_take(&n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "108 characters"));
}

static uint64_t watchdog_of(const char *usec, int64_t pid)
{
	struct notify n = NOTIFY_NONE;
	struct err e = { 0 };
	uint64_t ms;

	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		set_number("WATCHDOG_PID", pid);
	assert_int_equal(notify_take(&n, &e), 0);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	ms = n.watchdog_ms;
	notify_close(&n);
	return ms;
}

static void watchdog_is_fed_twice_as_often_as_asked(void **state)
{
	(void)state;
	assert_int_equal(watchdog_of("30000000", 0), 15000);
	assert_int_equal(watchdog_of("30000000", getpid()), 15000);
	assert_int_equal(watchdog_of("1", 0), 1);
	assert_int_equal(watchdog_of("30000000", getppid()), 0);
}

static void watchdog_refuses_what_is_no_number(void **state)
{
	static const char *const wrong[] = { "", "0", "-1", "1s",
					     "99999999999999999999" };
	struct notify n = NOTIFY_NONE;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		setenv("NOTIFY_SOCKET", path, 1);
		setenv("WATCHDOG_USEC", wrong[i], 1);
		assert_int_equal(notify_take(&n, &e), -EINVAL);
		assert_non_null(strstr(e.msg, "WATCHDOG_USEC"));
	}
}

/* --- the socket that is passed ------------------------------------------------------ */

/* What a child that has `fd` as its descriptor 3 gets. */
struct taken {
	int r, fd, fd_flags, flags;
	bool clean;
	char msg[sizeof(((struct err *)0)->msg)];
};

static void take_in_child(int fd, int report)
{
	struct taken t = { .fd = -2 };
	struct err e = { 0 };

	dup2(fd, 3); /* the first that is passed, and not close-on-exec */
	t.r = notify_take_socket(&t.fd, &e);
	t.clean = !getenv("LISTEN_FDS") && !getenv("LISTEN_PID") &&
		  !getenv("LISTEN_FDNAMES");
	if (t.r == 0 && t.fd >= 0) {
		t.fd_flags = fcntl(t.fd, F_GETFD);
		t.flags = fcntl(t.fd, F_GETFL);
	}
	memcpy(t.msg, e.msg, sizeof(t.msg));
	_exit(write(report, &t, sizeof(t)) == sizeof(t) ? 0 : 1);
}

/* pid: LISTEN_PID; 0: the child's own. count NULL: not set. */
static struct taken take_socket(int fd, const char *count, int64_t pid)
{
	struct taken t = { 0 };
	int fds[2], status = 0;
	pid_t child;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	/* Out of the way of 3. */
	fds[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 100);
	assert_true(fds[1] >= 100);
	child = fork();
	if (child == 0) {
		set_number("LISTEN_PID", pid ? pid : getpid());
		if (count)
			setenv("LISTEN_FDS", count, 1);
		setenv("LISTEN_FDNAMES", "carreld.socket", 1);
		take_in_child(fd, fds[1]);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &t, sizeof(t)), sizeof(t));
	close(fds[0]);
	close(fds[1]);
	assert_true(t.clean);
	return t;
}

static void assert_refused(int fd, const char *count, const char *why)
{
	struct taken t = take_socket(fd, count, 0);

	assert_int_equal(t.r, -EINVAL);
	assert_int_equal(t.fd, -2);
	assert_non_null(strstr(t.msg, why));
}

static void take_socket_takes_the_one_that_listens(void **state)
{
	auto_fd fd = bind_to(path, SOCK_STREAM);
	struct taken t;

	(void)state;
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(listen(fd, 1), 0);
	t = take_socket(fd, "1", 0);
	assert_int_equal(t.r, 0);
	assert_int_equal(t.fd, 3);
	assert_int_equal(t.fd_flags, FD_CLOEXEC);
	assert_true(t.flags & O_NONBLOCK);
}

static void take_socket_leaves_what_is_for_somebody_else(void **state)
{
	auto_fd fd = bind_to(path, SOCK_STREAM);
	struct taken t;

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	t = take_socket(fd, "1", getpid()); /* our own pid is not the child's */
	assert_int_equal(t.r, 0);
	assert_int_equal(t.fd, -1);
	t = take_socket(fd, "0", 0);
	assert_int_equal(t.r, 0);
	assert_int_equal(t.fd, -1);
	t = take_socket(fd, NULL, 0);
	assert_int_equal(t.r, 0);
	assert_int_equal(t.fd, -1);
}

static void take_socket_without_a_variable_gives_none(void **state)
{
	struct err e = { 0 };
	int fd = 7;

	(void)state;
	assert_int_equal(notify_take_socket(&fd, &e), 0);
	assert_int_equal(fd, -1);
}

static void take_socket_refuses_another_number_of_them(void **state)
{
	auto_fd fd = bind_to(path, SOCK_STREAM);

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	assert_refused(fd, "2", "2 sockets were passed, not one");
	assert_refused(fd, "65", "LISTEN_FDS is 65");
	assert_refused(fd, "-1", "LISTEN_FDS is not a number");
	assert_refused(fd, "1 ", "LISTEN_FDS is not a number");
}

static void take_socket_refuses_another_kind_of_descriptor(void **state)
{
	auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_fd inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_fd packets = bind_to(path, SOCK_SEQPACKET);

	(void)state;
	assert_refused(null, "1", "is none");
	assert_refused(inet, "1", "not an AF_UNIX stream");
	assert_int_equal(listen(packets, 1), 0);
	assert_refused(packets, "1", "not an AF_UNIX stream");
}

static void take_socket_refuses_one_that_does_not_listen(void **state)
{
	auto_fd fd = bind_to(path, SOCK_STREAM);

	(void)state;
	assert_refused(fd, "1", "does not listen");
}

static void take_socket_refuses_one_without_a_path(void **state)
{
	char name[80];
	auto_fd abstract = -1, unnamed = -1;

	(void)state;
	snprintf(name, sizeof(name), "@%s", path);
	abstract = bind_to(name, SOCK_STREAM);
	assert_int_equal(listen(abstract, 1), 0);
	assert_refused(abstract, "1", "has no path");
	/* Linux lets it listen, and gives it an abstract name when it does not have one.
	 */
	unnamed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(unnamed, &(struct sockaddr){ .sa_family = AF_UNIX },
			      sizeof(sa_family_t)),
			 0);
	assert_int_equal(listen(unnamed, 1), 0);
	assert_refused(unnamed, "1", "has no path");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(take_of_nothing_gives_what_says_nothing, clear),
		cmocka_unit_test_setup(send_reaches_a_path, clear),
		cmocka_unit_test_setup(send_reaches_an_abstract_name, clear),
		cmocka_unit_test_setup(reloading_says_when, clear),
		cmocka_unit_test_setup(a_status_stays_in_its_line, clear),
		cmocka_unit_test_setup(send_neither_waits_nor_dies_when_nobody_listens,
				       clear),
		cmocka_unit_test_setup(take_refuses_what_is_no_address, clear),
		cmocka_unit_test_setup(watchdog_is_fed_twice_as_often_as_asked, clear),
		cmocka_unit_test_setup(watchdog_refuses_what_is_no_number, clear),
		cmocka_unit_test_setup(take_socket_takes_the_one_that_listens, clear),
		cmocka_unit_test_setup(take_socket_leaves_what_is_for_somebody_else,
				       clear),
		cmocka_unit_test_setup(take_socket_without_a_variable_gives_none, clear),
		cmocka_unit_test_setup(take_socket_refuses_another_number_of_them, clear),
		cmocka_unit_test_setup(take_socket_refuses_another_kind_of_descriptor,
				       clear),
		cmocka_unit_test_setup(take_socket_refuses_one_that_does_not_listen,
				       clear),
		cmocka_unit_test_setup(take_socket_refuses_one_without_a_path, clear),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
