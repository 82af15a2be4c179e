/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, and the processes that speak with them. */
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/front.h"
#include "runtime/reply.h"

enum {
	ACCEPT_BATCH = 16, /* connections taken in one turn */
	ACCEPT_PAUSE_MS = 100, /* while there are no descriptors */
	RECORD_BATCH = 32, /* records of one front taken in one turn */
	FRONTS_MAX = 1024, /* uids with open connections */
	FRONTS_IDLE_MAX = 32, /* kept for those who come again */
	/* Of records, with what the kernel adds to each, that a front has not read: a
	 * reply to all of its calls, and as much again of connections. */
	SOCKET_SIZE = 4 << 20,
};

static void front_free(struct front *f)
{
	struct broker *b = f->broker;
	struct pending *p;

	loop_unwatch(b->loop, &f->watch);
	fd_close(&f->sock);
	while ((p = LIST_FIRST(&f->pending)))
		request_dropped(p, WIRE_CANCELLED);
	process_end(&f->process);
	broker_metrics(b, f->uid)->connections = 0;
	LIST_REMOVE(f, next);
	free(f);
}

void front_end(struct front *f, const char *why)
{
	log_info("front.end", log_number("client", f->uid), log_text("why", why));
	f->broker->fronts_killed++;
	front_free(f);
}

/* The one that has been idle for longest, unless there are no more than `most`. */
static struct front *idle_above(const struct broker *b, unsigned most)
{
	struct front *f, *oldest = NULL;
	unsigned count = 0;

	LIST_FOREACH(f, &b->fronts, next) {
		if (!f->idle)
			continue;
		count++;
		if (!oldest || f->idle < oldest->idle)
			oldest = f;
	}
	return count > most ? oldest : NULL;
}

/* One uid can have ten thousand others: their fronts must not stay for good (E-54). */
static void end_idle(struct broker *b, unsigned most)
{
	struct front *f = idle_above(b, most);

	if (!f)
		return;
	log_debug("front.idle", log_number("client", f->uid));
	front_free(f);
	broker_work(b);
}

/* False: it cannot have been told by a front in its right mind. One that is said to be
 * idle is, unless a connection is on its way. */
static bool take_left(struct front *f, const struct wire_left *left)
{
	struct broker *b = f->broker;

	if (left->ended > f->handed || left->ended < f->ended)
		return false;
	f->ended = left->ended;
	broker_metrics(b, f->uid)->connections = f->handed - f->ended;
	f->idle = left->idle && f->ended == f->handed ? ++b->idle_count : 0;
	return true;
}

bool front_has_room(const struct front *f)
{
	int unread = 0;

	return ioctl(f->sock, SIOCOUTQ, &unread) == 0 && unread < SOCKET_SIZE / 2;
}

static struct front *front_of(const struct broker *b, uint32_t serial)
{
	struct front *f;

	LIST_FOREACH(f, &b->fronts, next) {
		if (f->serial == serial)
			return f;
	}
	return NULL;
}

/* What reads or lists much: other fronts have their turn in between. */
static bool takes_long(uint32_t type)
{
	return type == WIRE_LIST || type == WIRE_STATS || type == WIRE_EXECS ||
	       type == WIRE_METRICS;
}

static void hear_front(void *context, uint32_t events)
{
	struct front *f = context;
	struct broker *b = f->broker;

	(void)events;
	for (int i = 0; i < RECORD_BATCH; i++) {
		struct wire_request rq;
		int fds[WIRE_FDS_MAX];
		unsigned count = 0;
		uint32_t serial = f->serial;
		int r = wire_receive(f->sock, &rq, sizeof(rq), fds, WIRE_FDS_MAX, &count);

		if (r == -EAGAIN)
			return;
		if (r != 1 || !wire_check_request(&rq, count)) {
			for (unsigned n = 0; r == 1 && n < count; n++)
				fd_close(&fds[n]);
			front_end(f, r == 0 ? "it has gone" : "a record that is none");
			return broker_work(b);
		}
		if (rq.type != WIRE_LEFT) {
			request_take(f, &rq, fds, count);
		} else if (!take_left(f, &rq.left)) {
			front_end(f, "connections have ended that never were");
			return broker_work(b);
		} else {
			end_idle(b, FRONTS_IDLE_MAX);
		}
		/* That may have been its end. */
		f = front_of(b, serial);
		if (!f || takes_long(rq.type))
			return;
	}
}

/* From the end of the block, where nobody else's ids are, and no other front's. */
static uint32_t free_id(const struct broker *b)
{
	uint32_t id = b->config->id_first + b->config->id_ranges * SPEC_ID_RANGE - 2;
	const struct front *f;

	for (;; id--) {
		LIST_FOREACH(f, &b->fronts, next) {
			if (f->id == id)
				break;
		}
		if (!f)
			return id;
	}
}

/* As a new program: our memory has the names and environments of all clients. */
static noreturn void be_front(uint32_t id, int sock)
{
	char text[12];
	char *const argv[] = { FRONT_PROGRAM, text, NULL };
	char *const envp[] = { NULL };

	bug_on(str_format(text, sizeof(text), "%" PRIu32, id) < 0);
	if (dup2(sock, FRONT_SOCKET) == FRONT_SOCKET)
		execve("/proc/self/exe", argv, envp);
	log_err("front.failed", log_text("why", strerror(errno)));
	_exit(1);
}

/* Ours is the first. */
static int make_pair(int *ret, struct err *e)
{
	const int size = SOCKET_SIZE / 2; /* which the kernel doubles */
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) <
	    0)
		return err_set(e, errno, "make a front");
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0) {
		err_set(e, errno, "have room for what a front has not read");
		close(pair[0]);
		close(pair[1]);
		return e->code;
	}
	memcpy(ret, pair, sizeof(pair));
	return 0;
}

static struct front *front_new(struct broker *b, uid_t uid, struct err *e)
{
	struct front *f = calloc(1, sizeof(*f));
	int pair[2];

	if (!f) {
		err_set(e, ENOMEM, "make a front");
		return NULL;
	}
	if (make_pair(pair, e) < 0) {
		free(f);
		return NULL;
	}
	*f = (struct front){ .broker = b,
			     .uid = uid,
			     .id = free_id(b),
			     .serial = ++b->next_serial,
			     .sock = pair[0],
			     .process = PROCESS_NONE,
			     .watch = { .ready = hear_front, .context = f } };
	LIST_INIT(&f->pending);
	f->process.pid = fork();
	if (f->process.pid == 0)
		be_front(f->id, pair[1]);
	close(pair[1]);
	if (f->process.pid > 0)
		f->process.pidfd = pidfd_open(f->process.pid, 0);
	if (f->process.pidfd < 0 ||
	    loop_watch(b->loop, &f->watch, f->sock, EPOLLIN, e) < 0) {
		err_set(e, errno, "make a front");
		/* Without its end of the pair it ends; the reaper waits for it. */
		close(pair[0]);
		fd_close(&f->process.pidfd);
		free(f);
		return NULL;
	}
	LIST_INSERT_HEAD(&b->fronts, f, next);
	return f;
}

static struct front *front_for(struct broker *b, uid_t uid, struct err *e)
{
	unsigned count = 0;
	struct front *f;

	LIST_FOREACH(f, &b->fronts, next) {
		if (f->uid == uid)
			return f;
		count++;
	}
	if (count >= FRONTS_MAX && idle_above(b, 0)) {
		end_idle(b, 0);
		count--;
	}
	if (count >= FRONTS_MAX) {
		err_say(e, EBUSY, "%d clients are being served", FRONTS_MAX);
		return NULL;
	}
	return front_new(b, uid, e);
}

/* --- connections ------------------------------------------------------------------- */

/* Who waits to be taken would wake us up all the time (FI-11). */
static void stop_listening(struct broker *b)
{
	struct err e;

	loop_unwatch(b->loop, &b->listener);
	err_ignore(loop_set_timer(b->loop, &b->accept_timer,
				  loop_now(b->loop) + ACCEPT_PAUSE_MS, &e) < 0);
}

/* Those that anybody may be are told to the pool when they come. */
int fronts_set_client(struct broker *b, uid_t uid, struct err *e)
{
	const struct client *c = access_find(b->access, uid);

	return c ? pool_set_client(b->pool, uid, &c->pool, e) : 0;
}

/* Says so in place of its front. */
static void turn_away(int connection, const char *what, unsigned limit)
{
	auto_free char *message = reply_busy(what, limit);

	if (message)
		err_ignore(send(connection, message, strlen(message) + 1,
				MSG_DONTWAIT | MSG_NOSIGNAL) < 0);
}

static int hand_over(struct front *f, int connection)
{
	struct wire_reply reply = { .type = WIRE_CONNECTION };
	int r = front_has_room(f)
			? wire_send(f->sock, &reply, sizeof(reply), &connection, 1)
			: -EAGAIN;

	if (r < 0)
		return r;
	f->handed++;
	f->idle = 0;
	broker_metrics(f->broker, f->uid)->connections = f->handed - f->ended;
	return 0;
}

/* Refused before a byte of it is read (E-53). */
static void take_connection(struct broker *b, int connection)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct front *f;
	struct err e;
	int r;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return;
	if (!access_find(b->access, peer.uid)) {
		log_warning("connection.refused", log_number("uid", peer.uid));
		return;
	}
	f = fronts_set_client(b, peer.uid, &e) == 0 ? front_for(b, peer.uid, &e) : NULL;
	r = f ? hand_over(f, connection) : 0;
	if (r == -EPIPE) {
		/* It has died, and we have not heard of that yet. */
		front_end(f, "it has gone");
		broker_work(b);
		f = front_for(b, peer.uid, &e);
		r = f ? hand_over(f, connection) : 0;
	}
	if (!f)
		log_warning("connection.refused", log_number("uid", peer.uid),
			    log_text("why", e.msg));
	if (!f && e.code == -EBUSY)
		turn_away(connection, "clients", FRONTS_MAX);
	else if (r < 0)
		turn_away(connection, "connections", FRONT_CONNS_MAX);
}

void fronts_listen_again(void *context)
{
	struct broker *b = context;
	struct err e;

	if (!b->ending &&
	    loop_watch(b->loop, &b->listener, b->settings->listener, EPOLLIN, &e) < 0)
		stop_listening(b);
}

void fronts_hear_listener(void *context, uint32_t events)
{
	struct broker *b = context;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		auto_fd connection = accept4(b->settings->listener, NULL, NULL,
					     SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (connection < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			return stop_listening(b);
		if (connection < 0)
			return;
		take_connection(b, connection);
	}
}

bool fronts_know(const struct broker *b, pid_t pid)
{
	const struct front *f;

	LIST_FOREACH(f, &b->fronts, next) {
		if (f->process.pid == pid)
			return true;
	}
	return false;
}
