/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "runtime/terminal.h" /* lint: the caller's side of it is ours alone */
#include "tools/attach.h"
#include "tools/attach_input.h"

enum { KILL_TIMEOUT_MS = 2000 };

/* Passed on to the command. SIGWINCH is for its terminal. */
static const int forwarded[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				 SIGUSR1, SIGUSR2, SIGWINCH };

enum source {
	SOURCE_CLIENT,
	SOURCE_SIGNALS,
	SOURCE_MASTER,
	SOURCE_STDIN,
	SOURCE_SCREEN,
	SOURCE_MAX,
};

struct attached {
	const struct attach *how;
	struct client_link *client;
	struct client_link killer; /* opened with the first signal */
	struct terminal terminal;
	int signals; /* signalfd */
	int fds[3]; /* the command's 0, 1 and 2, if there are any */
	unsigned fd_count;
	json_t *exec; /* its id, a string; NULL: not started */
	struct attach_end end;
};

static int block_signals(int *ret_fd, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++)
		sigaddset(&set, forwarded[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(e, errno, "block signals");
	signal(SIGPIPE, SIG_IGN);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? err_set(e, errno, "make a signalfd") : 0;
}

/* What the command gets as 0, 1 and 2; `null` is /dev/null. Before signals are blocked,
 * because reading standard input may take as long as it likes. */
static int choose_stdio(struct attached *at, int null, json_t *parameters, struct err *e)
{
	const struct attach *how = at->how;
	int input = how->interactive ? 0 : null, r = 0;

	if (how->terminal) {
		r = json_object_set_new(parameters, "terminal", json_true());
	} else if (!how->streams && attach_can_pass(input)) {
		at->fds[0] = input;
		at->fds[1] = 1;
		at->fds[2] = 2;
		at->fd_count = 3;
		r = json_object_set_new(parameters, "descriptors", json_integer(3));
	} else if (how->interactive) {
		return attach_read_input(parameters, e);
	}
	return r < 0 ? err_set(e, ENOMEM, "encode the command") : 0;
}

/* Takes the parameters, also on failure. */
static int begin(struct attached *at, json_t *parameters, struct err *e)
{
	auto_fd null = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
	struct client_request rq = {
		.method = "Exec", .parameters = parameters, .more = true, .fds = at->fds
	};
	int r = choose_stdio(at, null, parameters, e);

	if (r == 0)
		r = block_signals(&at->signals, e);
	if (r < 0) {
		json_decref(parameters);
		return r;
	}
	rq.fd_count = at->fd_count;
	return client_send(at->client, &rq, e);
}

static void send_signal(struct attached *at, int sig)
{
	struct client_link *c = &at->killer;
	struct err e;

	if (c->sock < 0 && client_open(at->how->host, c, &e) < 0) {
		client_close(c);
		return; /* without carreld, the other connection ends as well */
	}
	c->timeout_ms = KILL_TIMEOUT_MS;
	/* The command may have just ended, and then its result is on the way. */
	if (client_order(c, "Kill",
			 json_pack("{s:s, s:O, s:i}", "name", at->how->name, "exec",
				   at->exec, "signal", sig),
			 &e) < 0)
		client_close(c);
}

/* Before the command has started, there is nothing that could take a signal: then it is
 * meant for carrel. */
static void forward_signals(struct attached *at)
{
	struct signalfd_siginfo info;

	while (!at->end.signal &&
	       read(at->signals, &info, sizeof(info)) == sizeof(info)) {
		int sig = (int)info.ssi_signo;

		if (sig == SIGWINCH) {
			if (at->terminal.master >= 0)
				terminal_resize(&at->terminal);
		} else if (at->exec) {
			send_signal(at, sig);
		} else {
			at->end.signal = sig;
		}
	}
}

static int take_start(struct attached *at, struct client_reply *reply, struct err *e)
{
	int master;

	at->exec = json_incref(json_object_get(reply->parameters, "started"));
	if (!at->how->terminal)
		return 0;
	master = client_take_descriptor(at->client);
	if (master < 0)
		return err_say(e, EPROTO, "carreld has sent no terminal");
	return terminal_start(&at->terminal, master, e);
}

/* What is in one reply. */
static int take_reply(struct attached *at, struct client_reply *reply, struct err *e)
{
	json_t *parameters = reply->parameters;
	int r = 0;

	if (!at->exec && json_is_string(json_object_get(parameters, "started")))
		r = take_start(at, reply, e);
	if (r == 0)
		r = attach_write(1, json_object_get(parameters, "stdout"), e);
	if (r == 0)
		r = attach_write(2, json_object_get(parameters, "stderr"), e);
	if (r == 0 && !reply->continues) {
		at->end.result = json_incref(json_object_get(parameters, "result"));
		if (!at->end.result)
			return err_say(e, EPROTO, "carreld has sent no result");
	}
	/* As the command's own write would have ended it. */
	if (r == -EPIPE) {
		at->end.signal = SIGPIPE;
		r = 0;
	}
	return r;
}

static bool ended(const struct attached *at)
{
	return at->end.result || at->end.signal;
}

/* All replies that are there. */
static int take_replies(struct attached *at, struct err *e)
{
	while (!ended(at)) {
		struct client_reply reply = { 0 };
		int r = client_try_receive(at->client, &reply, e);

		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			r = take_reply(at, &reply, e);
		client_reply_free(&reply);
		if (r < 0)
			return r;
	}
	return 0;
}

/* poll reports a hang-up whatever it is asked for: what nothing is wanted from is left
 * out. */
static struct pollfd want(int fd, short events)
{
	return (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void fill_pollfds(const struct attached *at, struct pollfd *fds)
{
	struct terminal_events wanted = { 0 };

	if (at->terminal.master >= 0)
		wanted = terminal_wanted(&at->terminal);
	fds[SOURCE_CLIENT] = want(at->client->sock, POLLIN);
	fds[SOURCE_SIGNALS] = want(at->signals, POLLIN);
	fds[SOURCE_MASTER] = want(at->terminal.master, wanted.master);
	fds[SOURCE_STDIN] = want(0, wanted.in);
	fds[SOURCE_SCREEN] = want(at->terminal.screen, wanted.screen);
}

static int stay(struct attached *at, struct err *e)
{
	struct pollfd fds[SOURCE_MAX];

	for (;;) {
		int r = take_replies(at, e);

		if (r < 0 || ended(at))
			return r;
		fill_pollfds(at, fds);
		if (poll(fds, SOURCE_MAX, -1) < 0 && errno != EINTR)
			return err_set(e, errno, "wait for the command");
		if (fds[SOURCE_SIGNALS].revents)
			forward_signals(at);
		if (at->terminal.master >= 0)
			terminal_pump(&at->terminal,
				      (struct terminal_events){
					      .master = fds[SOURCE_MASTER].revents,
					      .in = fds[SOURCE_STDIN].revents,
					      .screen = fds[SOURCE_SCREEN].revents,
				      });
	}
}

int attach_exec(struct client_link *c, const struct attach *how, json_t *parameters,
		struct attach_end *ret, struct err *e)
{
	struct attached at = { .how = how,
			       .client = c,
			       .killer = CLIENT_NONE,
			       .terminal = TERMINAL_NONE,
			       .signals = -1 };
	int r = begin(&at, parameters, e);

	if (r == 0)
		r = stay(&at, e);
	if (at.terminal.master >= 0 && at.end.result)
		terminal_drain(&at.terminal);
	terminal_stop(&at.terminal);
	client_close(&at.killer);
	fd_close(&at.signals);
	json_decref(at.exec);
	if (r < 0)
		attach_end_free(&at.end);
	else
		*ret = at.end;
	return r;
}

void attach_end_free(struct attach_end *end)
{
	json_decref(end->result);
	*end = (struct attach_end){ 0 };
}

int attach_write_results(const struct attach_end *end, int file, int fd, struct err *e)
{
	auto_free char *text = end->result ? json_dumps(end->result, JSON_COMPACT) : NULL;
	const int fds[] = { file, fd };

	if (end->result && !text)
		return err_set(e, ENOMEM, "encode the result");
	for (size_t i = 0; text && i < sizeof(fds) / sizeof(*fds); i++) {
		int r = fds[i] < 0 ? 0 : fd_write_all(fds[i], text, strlen(text));

		if (r == 0 && fds[i] >= 0)
			r = fd_write_all(fds[i], "\n", 1);
		if (r < 0)
			return err_set(e, -r, "write the result");
	}
	return 0;
}

static void say(const char *verb, const char *text)
{
	char shown[1024];

	fprintf(stderr, "carrel: %s: %s\n", verb, str_escape(shown, sizeof(shown), text));
}

int attach_status(const struct attach_end *end, const char *verb)
{
	static const struct {
		const char *reason, *text;
	} unexpected[] = {
		{ "output", "ended: it has written more than --max-output" },
		{ "cancelled", "ended: it was cancelled" },
		{ "stopped", "ended: its sandbox was stopped" },
	};
	const char *reason = client_text(end->result, "reason");
	int64_t dropped = client_int(end->result, "truncated");

	if (!end->result)
		return RUN_STATUS_SIGNAL + end->signal;
	if (!strcmp(reason, "start_failed"))
		say(verb, client_text(end->result, "error"));
	for (size_t i = 0; i < sizeof(unexpected) / sizeof(*unexpected); i++) {
		if (!strcmp(reason, unexpected[i].reason))
			say(verb, unexpected[i].text);
	}
	if (dropped > 0)
		fprintf(stderr, "carrel: %s: %lld bytes of output were dropped\n", verb,
			(long long)dropped);
	return (int)client_int(end->result, "exit_code");
}
