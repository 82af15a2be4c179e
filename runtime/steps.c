/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "runtime/steps.h"

#define OOM_SCORE "500" /* of 1000: before everything that has not asked for it */

static void send_report(int fd, const struct report *report)
{
	/* Nobody to tell if this fails: the keeper then sees a child that died. */
	err_ignore(write(fd, report, sizeof(*report)) < 0);
}

void steps_run(const struct step *steps, void *context, struct report *ret)
{
	struct str name = str_over(ret->step, sizeof(ret->step));

	while (steps->run(context, &ret->err) == 0)
		steps++;
	ret->type = REPORT_FAILED;
	str_add(&name, "%s", steps->name);
}

void steps_walk(const struct step *steps, void *context, const int *report_fd)
{
	struct report report = { .type = REPORT_NONE };

	steps_run(steps, context, &report);
	send_report(*report_fd, &report);
	_exit(125);
}

uint64_t steps_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int steps_read_report(int fd, struct report *ret, struct err *e)
{
	ssize_t n;

	*ret = (struct report){ .type = REPORT_NONE };
	do {
		n = read(fd, ret, sizeof(*ret));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, errno, "read the report of a child");
	if (n != 0 && n != sizeof(*ret))
		return err_say(e, EPROTO, "a child's report has %zd bytes", n);
	return 0;
}

int steps_send_fds(int sock, const int *fds, unsigned count, struct err *e)
{
	char control[CMSG_SPACE(STEPS_FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char[1]){ 0 }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	bug_on(count > STEPS_FDS_MAX);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != 1)
		return err_set(e, errno, "send descriptors to PID 1");
	return 0;
}

int steps_receive_fds(int sock, int *fds, unsigned count, struct err *e)
{
	char control[CMSG_SPACE(STEPS_FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char[1]){ 0 }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;

	bug_on(count > STEPS_FDS_MAX);
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, errno, "receive descriptors from carrel");
	c = CMSG_FIRSTHDR(&msg);
	if (n == 0 || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(count * sizeof(int)))
		return err_say(e, EPROTO, "carrel sent no descriptors");
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	return 0;
}

int steps_wait_at_gate(int gate, struct err *e)
{
	char byte;
	ssize_t n;

	do {
		n = read(gate, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, errno, "wait for carrel-init");
	if (n == 0)
		return err_say(e, ESRCH, "carrel-init did not start");
	return 0;
}

/* By system call: libc keeps 32 and 33 to itself and would leave them as a caller has
 * them. */
static int reset_signals(struct err *e)
{
	/* The kernel's struct sigaction, all zero: SIG_DFL, no flags, an empty mask. */
	static const unsigned long by_default[4];
	sigset_t none;

	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		if (syscall(SYS_rt_sigaction, sig, by_default, NULL, 8) < 0)
			return err_set(e, errno, "reset signal %d", sig);
	}
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return err_set(e, errno, "unblock signals");
	return 0;
}

int steps_detach_from_keeper(mode_t mask, struct err *e)
{
	umask(mask);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "become non-dumpable");
	return reset_signals(e);
}

int steps_check_keeper(int lifeline, struct err *e)
{
	struct pollfd pfd = { .fd = lifeline, .events = POLLIN };

	if (poll(&pfd, 1, 0) < 0)
		return err_set(e, errno, "look at the lifeline");
	if (pfd.revents)
		return err_say(e, ESRCH, "carrel has died meanwhile");
	return 0;
}

int steps_die_with_keeper(int lifeline, struct err *e)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(e, errno, "set the parent death signal");
	return steps_check_keeper(lifeline, e);
}

enum { ABOVE = 64 }; /* higher than any target */

/* First all up there, so that no move lands on a descriptor that is still to be moved. */
static int move_up(int *const *fds, unsigned count, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		int fd;

		if (*fds[i] < 0)
			continue;
		fd = fcntl(*fds[i], F_DUPFD_CLOEXEC, ABOVE);
		if (fd < 0)
			return err_set(e, errno, "move a descriptor");
		*fds[i] = fd;
	}
	return 0;
}

/* Then down to where they belong; nothing else stays open behind `first`. */
static int move_down(int *const *fds, unsigned count, unsigned first, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		int target = (int)(first + i);

		if (*fds[i] < 0) {
			close(target);
			continue;
		}
		/* On failure *fds[i] stays: one of them is what the failure is told to.
		 */
		if (dup3(*fds[i], target, O_CLOEXEC) < 0)
			return err_set(e, errno, "move a descriptor");
		*fds[i] = target;
	}
	if (close_range(first + count, ~0U, 0) < 0)
		return err_set(e, errno, "close all other descriptors");
	return 0;
}

int steps_keep_only(int *const *fds, unsigned count, struct err *e)
{
	int r = move_up(fds, count, e);

	return r == 0 ? move_down(fds, count, 3, e) : r;
}

int steps_give_fds(const int *given, unsigned given_count, int *const *fds,
		   unsigned count, struct err *e)
{
	int high[STEPS_GIVEN_MAX], *pointers[STEPS_GIVEN_MAX] = { 0 };
	int r;

	bug_on(given_count > STEPS_GIVEN_MAX);
	for (unsigned i = 0; i < given_count; i++) {
		high[i] = given[i];
		pointers[i] = &high[i];
	}
	r = move_up(pointers, given_count, e);
	if (r == 0)
		r = move_up(fds, count, e);
	for (unsigned i = 0; r == 0 && i < given_count; i++) {
		if (dup2(high[i], (int)i) < 0)
			r = err_set(e, errno, "set up descriptor %u", i);
	}
	return r == 0 ? move_down(fds, count, given_count, e) : r;
}

int steps_leave_host_identity(struct err *e)
{
	int r;

	if (setgroups(0, NULL) < 0)
		return err_set(e, errno, "leave the supplementary groups");
	if (sys_new_session_keyring() < 0 && errno != ENOSYS)
		return err_set(e, errno, "join a new session keyring");
	r = fd_write_at(AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE);
	if (r < 0)
		return err_set(e, -r, "set oom_score_adj to " OOM_SCORE);
	return 0;
}
