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
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/wire.h"

static void make_pair(int *pair)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/* --- records */

static void record_and_its_descriptors_arrive(void **state)
{
	struct wire_request sent = { .type = WIRE_TOUCH, .tag = 7 }, got;
	int pair[2], fds[WIRE_FDS_MAX], came[WIRE_FDS_MAX];
	unsigned count = 0;

	(void)state;
	make_pair(pair);
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = pair[0];
	snprintf(sent.name.name, sizeof(sent.name.name), "alice");
	assert_int_equal(wire_send(pair[0], &sent, sizeof(sent), fds, WIRE_FDS_MAX), 0);
	assert_int_equal(
		wire_receive(pair[1], &got, sizeof(got), came, WIRE_FDS_MAX, &count), 1);
	assert_int_equal(count, WIRE_FDS_MAX);
	assert_memory_equal(&got, &sent, sizeof(got));
	for (unsigned i = 0; i < count; i++) {
		assert_true(fcntl(came[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fd_same_file(came[i], pair[0]));
		close(came[i]);
	}
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static void nothing_there_and_nobody_there_differ(void **state)
{
	struct wire_reply got;
	unsigned count = 0;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(wire_receive(pair[1], &got, sizeof(got), NULL, 0, &count),
			 -EAGAIN);
	fd_close(&pair[0]);
	assert_int_equal(wire_receive(pair[1], &got, sizeof(got), NULL, 0, &count), 0);
	assert_int_equal(wire_send(pair[1], &got, sizeof(got), NULL, 0), -EPIPE);
	fd_close(&pair[1]);
}

static void send_never_blocks(void **state)
{
	struct wire_request rq = { .type = WIRE_INFO, .tag = 1 };
	int pair[2], r = 0, sent = 0;

	(void)state;
	make_pair(pair);
	while (r == 0 && sent < 100000) {
		r = wire_send(pair[0], &rq, sizeof(rq), NULL, 0);
		sent++;
	}
	assert_int_equal(r, -EAGAIN);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

/* What comes with a record that is not taken must not stay open. */
static void other_sizes_and_too_many_descriptors_are_refused(void **state)
{
	static const size_t sizes[] = { 1, sizeof(struct wire_request) - 1,
					sizeof(struct wire_request) + 1 };
	char record[sizeof(struct wire_request) + 1] = { 0 };
	struct wire_request got;
	int pair[2], fds[3], came[2], before;
	unsigned count = 0;

	(void)state;
	make_pair(pair);
	fds[0] = fds[1] = fds[2] = pair[0];
	before = lowest_free_fd();
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(wire_send(pair[0], record, sizes[i], fds, 1), 0);
		assert_int_equal(
			wire_receive(pair[1], &got, sizeof(got), came, 2, &count),
			-EPROTO);
	}
	assert_int_equal(wire_send(pair[0], record, sizeof(got), fds, 3), 0);
	assert_int_equal(wire_receive(pair[1], &got, sizeof(got), came, 2, &count),
			 -EPROTO);
	assert_int_equal(wire_send(pair[0], record, sizeof(got), fds, 1), 0);
	assert_int_equal(wire_receive(pair[1], &got, sizeof(got), NULL, 0, &count),
			 -EPROTO);
	assert_int_equal(lowest_free_fd(), before);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

/* --- strings */

static void strings_come_back_as_they_were(void **state)
{
	const char *const strings[] = { "sh", "", "-c", "echo \"\xc3\xa4\"\n" };
	auto_free char **back = NULL;
	struct err e = { 0 };
	auto_fd fd = -1;

	(void)state;
	assert_int_equal(wire_strings_make(strings, 4, &fd, &e), 0);
	assert_int_equal(wire_strings_read(fd, 4, &back, &e), 0);
	for (int i = 0; i < 4; i++)
		assert_string_equal(back[i], strings[i]);
	assert_null(back[4]);
	/* Nobody can change them under the reader. */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(write(fd, "x", 1), -1);
}

static void no_strings_are_strings_too(void **state)
{
	auto_free char **back = NULL;
	struct err e = { 0 };
	auto_fd fd = -1;

	(void)state;
	assert_int_equal(wire_strings_make(NULL, 0, &fd, &e), 0);
	assert_int_equal(wire_strings_read(fd, 0, &back, &e), 0);
	assert_null(back[0]);
}

static void another_number_of_strings_is_refused(void **state)
{
	const char *const strings[] = { "a", "b" };
	char **back = NULL;
	struct err e = { 0 };
	auto_fd fd = -1;

	(void)state;
	assert_int_equal(wire_strings_make(strings, 2, &fd, &e), 0);
	for (size_t count = 0; count < 5; count++) {
		if (count != 2)
			assert_int_equal(wire_strings_read(fd, count, &back, &e),
					 -EPROTO);
	}
	assert_int_equal(wire_strings_read(fd, WIRE_STRINGS_MAX + 1, &back, &e), -EPROTO);
	assert_null(back);
}

static int sealed(const char *data, size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void strings_that_can_change_or_do_not_end_are_refused(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	char **back = NULL;
	struct err e = { 0 };
	int pipes[2], fd;

	(void)state;
	for (int missing = 0; missing < 3; missing++) {
		static const int seal[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };

		fd = sealed("a", 2, all & ~seal[missing]);
		assert_int_equal(wire_strings_read(fd, 1, &back, &e), -EPROTO);
		fd_close(&fd);
	}
	fd = sealed("ab", 2, all);
	assert_int_equal(wire_strings_read(fd, 1, &back, &e), -EPROTO);
	fd_close(&fd);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(wire_strings_read(pipes[0], 1, &back, &e), -EPROTO);
	assert_int_equal(wire_strings_read(-1, 1, &back, &e), -EPROTO);
	fd_close(&pipes[0]);
	fd_close(&pipes[1]);
	assert_null(back);
}

static void strings_have_a_most(void **state)
{
	size_t size = WIRE_STRINGS_SIZE;
	char *text = malloc(size + 1);
	const char *strings[2] = { text, "" };
	auto_free const char **many = calloc(WIRE_STRINGS_MAX + 1, sizeof(*many));
	struct err e = { 0 };
	char **back = NULL;
	int fd = -1;

	(void)state;
	memset(text, 'x', size);
	text[size - 1] = '\0';
	assert_int_equal(wire_strings_make(strings, 1, &fd, &e), 0);
	assert_int_equal(wire_strings_read(fd, 1, &back, &e), 0);
	assert_int_equal(strlen(back[0]), size - 1);
	free(back);
	fd_close(&fd);
	assert_int_equal(wire_strings_make(strings, 2, &fd, &e), -E2BIG);
	for (size_t i = 0; i <= WIRE_STRINGS_MAX; i++)
		many[i] = "";
	assert_int_equal(wire_strings_make(many, WIRE_STRINGS_MAX + 1, &fd, &e), -E2BIG);
	assert_int_equal(fd, -1);
	back = NULL;
	text[size - 1] = 'x';
	text[size] = '\0';
	fd = sealed(text, size + 1, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(wire_strings_read(fd, 1, &back, &e), -EPROTO);
	fd_close(&fd);
	assert_null(back);
	free(text);
}

/* --- requests */

/* One that is right, of each type. */
static struct wire_request right(uint32_t type, unsigned *ret_fds)
{
	struct wire_request rq = { .type = type, .tag = 1 };

	*ret_fds = 0;
	if (type != WIRE_INFO && type != WIRE_LIST && type != WIRE_EVENTS &&
	    type != WIRE_REAP && type != WIRE_SHUTDOWN && type != WIRE_METRICS &&
	    type != WIRE_DROP)
		snprintf(rq.name.name, sizeof(rq.name.name), "alice");
	if (type == WIRE_EXEC) {
		rq.exec.argc = 1;
		rq.exec.fds = 3;
		rq.exec.uid = rq.exec.gid = UINT32_MAX;
		*ret_fds = 4;
	}
	if (type == WIRE_WAIT || type == WIRE_KILL || type == WIRE_CANCEL)
		snprintf(rq.exec_ref.exec, sizeof(rq.exec_ref.exec), "e1");
	if (type == WIRE_KILL)
		rq.exec_ref.signal = 15;
	if (type == WIRE_DROP)
		rq.end.reason = WIRE_CANCELLED;
	return rq;
}

static void every_right_request_passes_and_only_with_its_descriptors(void **state)
{
	(void)state;
	for (uint32_t type = WIRE_INFO; type <= WIRE_DROP; type++) {
		unsigned fds;
		struct wire_request rq = right(type, &fds);

		if (!wire_check_request(&rq, fds))
			fail_msg("type %u is refused", type);
		if (wire_check_request(&rq, fds + 1))
			fail_msg("type %u has a descriptor too many", type);
		if (fds && wire_check_request(&rq, fds - 1))
			fail_msg("type %u has a descriptor too few", type);
		rq.tag = 0;
		if (wire_check_request(&rq, fds))
			fail_msg("type %u passes without a tag", type);
	}
}

/* Alone, it is about no call. */
static void left_has_no_tag_and_no_descriptor(void **state)
{
	struct wire_request rq = { .type = WIRE_LEFT,
				   .left = { .ended = UINT64_MAX, .idle = 1 } };

	(void)state;
	assert_true(wire_check_request(&rq, 0));
	assert_false(wire_check_request(&rq, 1));
	rq.left.idle = 2;
	assert_false(wire_check_request(&rq, 0));
	rq.left.idle = 0;
	rq.tag = 1;
	assert_false(wire_check_request(&rq, 0));
}

static void unknown_types_are_refused(void **state)
{
	static const uint32_t types[] = { 0, WIRE_LEFT + 1, WIRE_CONNECTION,
					  WIRE_DOCUMENT, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		struct wire_request rq = { .type = types[i], .tag = 1 };

		assert_false(wire_check_request(&rq, 0));
	}
}

/* Refused once the change is made, with what was right before. */
#define ASSERT_REFUSED(of_type, change)                                   \
	do {                                                              \
		unsigned fds_;                                            \
		struct wire_request rq = right((of_type), &fds_);         \
		assert_true(wire_check_request(&rq, fds_));               \
		change;                                                   \
		if (wire_check_request(&rq, fds_))                        \
			fail_msg("%s passes with %s", #of_type, #change); \
	} while (0)

static void strings_without_an_end_are_refused(void **state)
{
	(void)state;
	ASSERT_REFUSED(WIRE_TOUCH, memset(rq.name.name, 'x', sizeof(rq.name.name)));
	ASSERT_REFUSED(WIRE_TOUCH, rq.name.name[0] = '\0');
	ASSERT_REFUSED(WIRE_STATS, memset(rq.stats.name, 'x', sizeof(rq.stats.name)));
	ASSERT_REFUSED(WIRE_ENSURE, memset(rq.ensure.name, 'x', sizeof(rq.ensure.name)));
	ASSERT_REFUSED(WIRE_ENSURE,
		       memset(rq.ensure.profile, 'x', sizeof(rq.ensure.profile)));
	ASSERT_REFUSED(WIRE_ENSURE,
		       memset(rq.ensure.workspace, 'x', sizeof(rq.ensure.workspace)));
	ASSERT_REFUSED(WIRE_ENSURE,
		       memset(rq.ensure.hostname, 'x', sizeof(rq.ensure.hostname)));
	ASSERT_REFUSED(WIRE_EXEC, memset(rq.exec.cwd, 'x', sizeof(rq.exec.cwd)));
	ASSERT_REFUSED(WIRE_WAIT,
		       memset(rq.exec_ref.exec, 'x', sizeof(rq.exec_ref.exec)));
	ASSERT_REFUSED(WIRE_CANCEL, rq.exec_ref.exec[0] = '\0');
}

static void values_out_of_range_are_refused(void **state)
{
	(void)state;
	ASSERT_REFUSED(WIRE_ENSURE, rq.ensure.network = WIRE_NETWORK_EGRESS + 1);
	ASSERT_REFUSED(WIRE_ENSURE, rq.ensure.auto_remove = 2);
	ASSERT_REFUSED(WIRE_ENSURE, rq.ensure.env_count = 1);
	ASSERT_REFUSED(WIRE_ENSURE, rq.ensure.label_count = UINT32_MAX);
	ASSERT_REFUSED(WIRE_ENSURE, rq.ensure.limits.memory = UINT64_MAX);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.argc = 0);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.env_count = WIRE_STRINGS_MAX);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.uid = 0);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.gid = 65535);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.fds = 4);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.terminal = 1);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.terminal = 2);
	ASSERT_REFUSED(WIRE_EXEC, rq.exec.detach = 2);
	ASSERT_REFUSED(WIRE_WAIT, rq.exec_ref.keep = 2);
	ASSERT_REFUSED(WIRE_WAIT, rq.exec_ref.signal = 9);
	ASSERT_REFUSED(WIRE_KILL, rq.exec_ref.signal = 0);
	ASSERT_REFUSED(WIRE_KILL, rq.exec_ref.signal = 65);
	ASSERT_REFUSED(WIRE_KILL, rq.exec_ref.keep = 1);
	ASSERT_REFUSED(WIRE_REMOVE, rq.flagged.flag = 2);
	ASSERT_REFUSED(WIRE_LIST, rq.flagged.flag = 2);
	ASSERT_REFUSED(WIRE_LIST, rq.flagged.name[0] = 'x');
	ASSERT_REFUSED(WIRE_DROP, rq.end.reason = WIRE_EXITED);
	ASSERT_REFUSED(WIRE_DROP, rq.end.reason = UINT32_MAX);
}

static void terminals_come_without_stdio_and_too_few_do_not_pass(void **state)
{
	unsigned fds;
	struct wire_request rq = right(WIRE_EXEC, &fds);

	(void)state;
	for (rq.exec.fds = 0; rq.exec.fds <= WIRE_FDS_MAX; rq.exec.fds++)
		assert_int_equal(wire_check_request(&rq, 1 + rq.exec.fds),
				 rq.exec.fds >= 3 && rq.exec.fds < WIRE_FDS_MAX);
	rq.exec.fds = 0;
	rq.exec.terminal = 1;
	assert_true(wire_check_request(&rq, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_and_its_descriptors_arrive),
		cmocka_unit_test(nothing_there_and_nobody_there_differ),
		cmocka_unit_test(send_never_blocks),
		cmocka_unit_test(other_sizes_and_too_many_descriptors_are_refused),
		cmocka_unit_test(strings_come_back_as_they_were),
		cmocka_unit_test(no_strings_are_strings_too),
		cmocka_unit_test(another_number_of_strings_is_refused),
		cmocka_unit_test(strings_that_can_change_or_do_not_end_are_refused),
		cmocka_unit_test(strings_have_a_most),
		cmocka_unit_test(
			every_right_request_passes_and_only_with_its_descriptors),
		cmocka_unit_test(left_has_no_tag_and_no_descriptor),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(strings_without_an_end_are_refused),
		cmocka_unit_test(values_out_of_range_are_refused),
		cmocka_unit_test(terminals_come_without_stdio_and_too_few_do_not_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
