/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tools/client.h"

/* A client, and carreld's end of its connection. */
static struct client_link pair(int *ret_server)
{
	struct client_link c = CLIENT_NONE;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	c.sock = fds[0];
	*ret_server = fds[1];
	return c;
}

static void say(int server, const char *text, size_t size)
{
	assert_int_equal(write(server, text, size), size);
}

#define SAY(server, text) say(server, text, sizeof(text))

static void say_with(int server, const char *text, size_t size, const int *fds,
		     unsigned count)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct iovec piece = { (void *)(uintptr_t)text, size };
	struct msghdr m = { .msg_iov = &piece,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = CMSG_SPACE(count * sizeof(int)) };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	assert_int_equal(sendmsg(server, &m, 0), size);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void socket_is_named_by_option_then_environment_then_default(void **state)
{
	const char *path;
	struct err e;

	(void)state;
	unsetenv("CARREL_HOST");
	assert_int_equal(client_socket_path(NULL, &path, &e), 0);
	assert_string_equal(path, "/run/carrel/carrel.sock");
	setenv("CARREL_HOST", "", 1);
	assert_int_equal(client_socket_path(NULL, &path, &e), 0);
	assert_string_equal(path, "/run/carrel/carrel.sock");
	setenv("CARREL_HOST", "unix:///e", 1);
	assert_int_equal(client_socket_path(NULL, &path, &e), 0);
	assert_string_equal(path, "/e");
	assert_int_equal(client_socket_path("unix:///o", &path, &e), 0);
	assert_string_equal(path, "/o");
	assert_int_equal(client_socket_path("/o", &path, &e), -EINVAL);
	assert_string_equal(e.msg, "--host: \"/o\" is not of the form unix:///PATH");
	setenv("CARREL_HOST", "unix://e", 1);
	assert_int_equal(client_socket_path(NULL, &path, &e), -EINVAL);
	assert_string_equal(e.msg,
			    "CARREL_HOST: \"unix://e\" is not of the form unix:///PATH");
	unsetenv("CARREL_HOST");
}

static void nobody_listening_is_told_as_such(void **state)
{
	struct client_link c;
	struct err e;

	(void)state;
	assert_int_equal(client_open("unix:///nonexistent/s", &c, &e), -ENOENT);
	assert_string_equal(e.msg,
			    "carreld is not running: nobody listens on /nonexistent/s");
	client_close(&c);
}

static void a_call_is_one_message_ended_by_nul(void **state)
{
	static const char expected[] = "{\"method\":\"io.carrel.Pool.M\",\"parameters\":{"
				       "\"a\":1},\"more\":true}";
	int server;
	struct client_link c = pair(&server);
	struct client_request rq = { .method = "M",
				     .parameters = json_pack("{s:i}", "a", 1),
				     .more = true };
	char text[256];
	struct err e;

	(void)state;
	assert_int_equal(client_send(&c, &rq, &e), 0);
	assert_int_equal(read(server, text, sizeof(text)), sizeof(expected));
	assert_memory_equal(text, expected, sizeof(expected));
	rq.parameters = NULL;
	assert_int_equal(client_send(&c, &rq, &e), -ENOMEM);
	close(server);
	client_close(&c);
}

static void replies_come_in_any_pieces(void **state)
{
	static const char two[] = "{\"parameters\":{\"n\":1},\"continues\":true}\0{}";
	int server;
	struct client_link c = pair(&server);
	struct client_reply r = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(client_try_receive(&c, &r, &e), -EAGAIN);
		say(server, two + i, 1);
	}
	say(server, two + 40, sizeof(two) - 40);
	assert_int_equal(client_try_receive(&c, &r, &e), 0);
	assert_true(r.continues);
	assert_int_equal(client_int(r.parameters, "n"), 1);
	client_reply_free(&r);
	assert_int_equal(client_receive(&c, &r, &e), 0);
	assert_false(r.continues);
	assert_int_equal(json_object_size(r.parameters), 0);
	client_reply_free(&r);
	assert_int_equal(client_try_receive(&c, &r, &e), -EAGAIN);
	close(server);
	assert_int_equal(client_receive(&c, &r, &e), -EPIPE);
	assert_string_equal(e.msg, "carreld has closed the connection");
	client_close(&c);
}

static void a_long_reply_is_whole(void **state)
{
	enum { LENGTH = 150000 };
	static char text[LENGTH + 64];
	int server, size = 262144;
	struct client_link c = pair(&server);
	struct client_reply r = { 0 };
	struct err e;
	size_t len = strlen("{\"parameters\":{\"t\":\"");

	(void)state;
	setsockopt(server, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memcpy(text, "{\"parameters\":{\"t\":\"", len);
	memset(text + len, 'x', LENGTH);
	memcpy(text + len + LENGTH, "\"}}", 4);
	say(server, text, len + LENGTH + 4);
	assert_int_equal(client_receive(&c, &r, &e), 0);
	assert_int_equal(strlen(client_text(r.parameters, "t")), LENGTH);
	client_reply_free(&r);
	close(server);
	client_close(&c);
}

static void what_is_no_varlink_is_an_error(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"1",
		"{\"parameters\":[]}",
		"{\"a\":1,\"a\":1}",
		"{\"parameters\":{}",
		"{\"parameters\":{\"a\":\"\xff\"}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int server;
		struct client_link c = pair(&server);
		struct client_reply r = { 0 };
		struct err e;

		say(server, bad[i], strlen(bad[i]) + 1);
		if (client_receive(&c, &r, &e) != -EPROTO)
			fail_msg("\"%s\" was taken", bad[i]);
		close(server);
		client_close(&c);
	}
}

static void a_descriptor_is_kept_until_taken_and_no_other_stays(void **state)
{
	unsigned before = open_descriptors();
	int server, fds[3] = { 0, 1, 2 }, fd;
	struct client_link c = pair(&server);
	struct client_reply r = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(client_take_descriptor(&c), -1);
	SAY(server, "{\"continues\":true}");
	say_with(server, "{}", 3, fds, 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(client_receive(&c, &r, &e), 0);
		client_reply_free(&r);
	}
	fd = client_take_descriptor(&c);
	assert_true(fd > 2);
	assert_true(fd_same_file(fd, 0));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(client_take_descriptor(&c), -1);
	close(fd);
	say_with(server, "{}", 3, fds, 1);
	assert_int_equal(client_receive(&c, &r, &e), 0);
	client_reply_free(&r);
	close(server);
	client_close(&c);
	assert_int_equal(open_descriptors(), before);
}

static void errors_are_sentences_with_codes(void **state)
{
	static const struct {
		const char *name, *parameters, *text;
		int code;
	} known[] = {
		{ "NoSuchSandbox", "{\"name\":\"a\"}", "no sandbox is called \"a\"",
		  -ENOENT },
		{ "NoSuchExec", "{\"name\":\"a\",\"exec\":\"x\"}",
		  "\"a\" has no exec \"x\"", -ENOENT },
		{ "Conflict", "{\"name\":\"a\",\"field\":\"f\"}",
		  "\"a\" exists with other settings: f", -EEXIST },
		{ "Refused", "{\"what\":\"w\",\"why\":\"y\"}", "w: y", -EPERM },
		{ "Busy", "{\"what\":\"w\",\"limit\":3}", "the limit of w is reached, 3",
		  -EBUSY },
		{ "WrongState", "{\"name\":\"a\",\"state\":\"paused\"}",
		  "\"a\" is paused", -EINVAL },
		{ "StartFailed", "{\"name\":\"a\",\"step\":\"s\",\"why\":\"y\"}",
		  "cannot be started: s: y", -EIO },
		{ "Failed", "{\"why\":\"y\"}", "carreld: y", -EIO },
		{ "Failed", "{\"why\":7}", "carreld: 7", -EIO },
		{ "Failed", "{}", "carreld: ", -EIO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		json_t *parameters = json_loads(known[i].parameters, 0, NULL);
		char name[64] = CLIENT_INTERFACE;
		struct err e;

		strncat(name, known[i].name, 20);
		assert_int_equal(client_error(name, parameters, &e), known[i].code);
		assert_string_equal(e.msg, known[i].text);
		json_decref(parameters);
	}
}

static void no_answer_in_time_is_an_error(void **state)
{
	int server;
	struct client_link c = pair(&server);
	struct client_reply r = { 0 };
	struct err e;

	(void)state;
	c.timeout_ms = 20;
	say(server, "{", 1);
	assert_int_equal(client_receive(&c, &r, &e), -ETIMEDOUT);
	close(server);
	client_close(&c);
}

static void absent_members_are_empty(void **state)
{
	json_t *object = json_pack("{s:s, s:i}", "text", "t", "number", 5);

	(void)state;
	assert_string_equal(client_text(object, "number"), "");
	assert_string_equal(client_text(NULL, "x"), "");
	assert_int_equal(client_int(object, "text"), 0);
	assert_int_equal(client_int(NULL, "x"), 0);
	assert_false(client_flag(object, "number"));
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(socket_is_named_by_option_then_environment_then_default),
		cmocka_unit_test(nobody_listening_is_told_as_such),
		cmocka_unit_test(a_call_is_one_message_ended_by_nul),
		cmocka_unit_test(replies_come_in_any_pieces),
		cmocka_unit_test(a_long_reply_is_whole),
		cmocka_unit_test(what_is_no_varlink_is_an_error),
		cmocka_unit_test(a_descriptor_is_kept_until_taken_and_no_other_stays),
		cmocka_unit_test(errors_are_sentences_with_codes),
		cmocka_unit_test(no_answer_in_time_is_an_error),
		cmocka_unit_test(absent_members_are_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
