/* SPDX-License-Identifier: Apache-2.0 */
/* carrel-top: what sandboxes use, on the whole screen. `carrel top` runs it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/carrel-top.h"
#include "tools/client.h"
#include "tools/options.h"

enum {
	INTERVAL_MS = 1000,
	FIRST_INTERVAL_MS = 300, /* rates need two looks; the snapshot shall be quick */
	STATUS_FAILED = 125,
	STATUS_SIGNAL = 128,
};

struct top {
	const char *host;
	bool help;
	struct client_link stats, lists; /* the one streams, the other asks */
	struct top_screen screen;
	unsigned looks;
	int signals; /* signalfd */
	int signal; /* that ended it; 0: none */
};

static int set_host(void *context, char *value, struct err *e)
{
	struct top *t = context;

	(void)e;
	t->host = value;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct top *t = context;

	(void)value;
	(void)e;
	t->help = true;
	return 0;
}

static const struct option_row options[] = {
	{ "host", 0, "unix://PATH", "carreld's socket (" CLIENT_HOST ")", set_host },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: carrel top [OPTIONS]\n\n"
	       "Shows what the sandboxes that run use, anew every second; if its output "
	       "is "
	       "no\nterminal, once.\n\n"
	       "Keys: c, m, p, n, e sort by processor, memory, processes, network, "
	       "execs;\n"
	       "/ shows only names that contain what is typed, Escape all again; arrows "
	       "and\n"
	       "Page Up and Down move; q ends.\n\n");
	options_print(options);
}

static int ask_for_stats(struct top *t, int interval_ms, struct err *e)
{
	struct client_request rq = { .method = "Stats",
				     .parameters =
					     json_pack("{s:i}", "interval", interval_ms),
				     .more = true };

	return client_send(&t->stats, &rq, e);
}

static int count_states(struct top *t, struct err *e)
{
	json_t *reply = NULL, *sandbox;
	size_t i;
	int r = client_call(&t->lists, "List", json_object(), &reply, e);

	if (r < 0)
		return r;
	t->screen.running = t->screen.paused = 0;
	json_array_foreach(json_object_get(reply, "sandboxes"), i, sandbox) {
		if (!strcmp(client_text(sandbox, "state"), "paused"))
			t->screen.paused++;
		else if (!strcmp(client_text(sandbox, "state"), "running"))
			t->screen.running++;
	}
	json_decref(reply);
	return 0;
}

static int take_samples(struct top *t, const struct client_reply *reply, struct err *e)
{
	struct samples now = { 0 };
	int r = samples_read(reply->parameters, t->looks ? &t->screen.samples : NULL,
			     samples_now(), &now, e);

	if (r < 0)
		return r;
	samples_free(&t->screen.samples);
	t->screen.samples = now;
	t->looks++;
	return 0;
}

/* One reply, if a whole one is there. */
static int look(struct top *t, struct err *e)
{
	struct client_reply reply = { 0 };
	int r = client_try_receive(&t->stats, &reply, e);

	if (r == -EAGAIN)
		return 0;
	if (r == 0)
		r = take_samples(t, &reply, e);
	client_reply_free(&reply);
	return r == 0 ? count_states(t, e) : r;
}

static int print_once(struct top *t, struct err *e)
{
	int r = ask_for_stats(t, FIRST_INTERVAL_MS, e);

	while (r == 0 && t->looks < 2) {
		struct client_reply reply = { 0 };

		r = client_receive(&t->stats, &reply, e);
		if (r == 0)
			r = take_samples(t, &reply, e);
		client_reply_free(&reply);
	}
	return r == 0 ? samples_print(&t->screen.samples, e) : r;
}

/* They end the loop, and so give the terminal back. */
static int block_signals(int *ret_fd, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(e, errno, "block signals");
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? err_set(e, errno, "make a signalfd") : 0;
}

static int watch(struct top *t, struct err *e)
{
	struct pollfd fds[] = {
		{ .fd = t->stats.sock, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = t->signals, .events = POLLIN },
	};
	struct signalfd_siginfo info;

	while (!t->screen.finished) {
		int r = look(t, e);

		if (r == 0)
			r = top_screen_draw(&t->screen, e);
		if (r < 0)
			return r;
		/* A resize interrupts it, and is then one of the keys. */
		if (poll(fds, sizeof(fds) / sizeof(*fds), -1) < 0 && errno != EINTR)
			return err_set(e, errno, "wait for carreld");
		if (read(t->signals, &info, sizeof(info)) == sizeof(info)) {
			t->signal = (int)info.ssi_signo;
			return 0;
		}
		top_screen_keys(&t->screen);
		if (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))
			return 0; /* nobody is there to press q */
	}
	return 0;
}

static int show(struct top *t, struct err *e)
{
	int r = block_signals(&t->signals, e);

	if (r == 0)
		r = ask_for_stats(t, INTERVAL_MS, e);
	if (r == 0)
		r = top_screen_open(e);
	if (r == 0)
		r = watch(t, e);
	top_screen_close();
	return r;
}

static int run(struct top *t, struct err *e)
{
	int r = client_open(t->host, &t->stats, e);

	if (r == 0)
		r = client_open(t->host, &t->lists, e);
	if (r < 0)
		return r;
	return isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) ? show(t, e)
							     : print_once(t, e);
}

static int parse(struct top *t, char **argv, struct err *e)
{
	char **words;
	int r = options_parse(options, t, argv, &words, e);

	if (r == 0 && *words)
		return err_say(e, EINVAL, "takes no argument: \"%.100s\"", *words);
	return r;
}

int main(int argc, char **argv)
{
	struct top t = { .stats = CLIENT_NONE, .lists = CLIENT_NONE, .signals = -1 };
	struct err e = { 0 };
	char shown[4 * sizeof(e.msg)];
	int r = parse(&t, argv + (argc > 0), &e);

	if (r == 0 && t.help)
		print_help();
	else if (r == 0)
		r = run(&t, &e);
	if (fflush(stdout) != 0 && r == 0)
		r = err_set(&e, errno, "write to standard output");
	client_close(&t.stats);
	client_close(&t.lists);
	samples_free(&t.screen.samples);
	fd_close(&t.signals);
	if (r == 0)
		return t.signal ? STATUS_SIGNAL + t.signal : 0;
	fprintf(stderr, "carrel: top: %s\n", str_escape(shown, sizeof(shown), e.msg));
	return STATUS_FAILED;
}
