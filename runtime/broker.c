/* SPDX-License-Identifier: Apache-2.0 */
/* Events, answers, signals, and the loop around them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/state_dir.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/slot.h"

uint64_t broker_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts); /* lint: for people */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- events ------------------------------------------------------------------------ */

enum { CROWDED_MS = 50 }; /* until a front may have read something */

void broker_tell_events(void *context)
{
	struct pending *p = context;
	struct broker *b = p->front->broker;
	uint64_t from = p->told;
	struct err e;

	/* Later, rather than where replies have to go (E-58). */
	if (!front_has_room(p->front) &&
	    loop_set_timer(b->loop, &p->timer, loop_now(b->loop) + CROWDED_MS, &e) == 0)
		return;
	p->told = b->event_count;
	pending_document(p, document_events(b, p->front->uid, from), true);
}

static void tell_listeners(struct broker *b, uid_t client)
{
	struct pending *p, *next;
	struct front *f;

	LIST_FOREACH(f, &b->fronts, next) {
		if (f->uid != client)
			continue;
		for (p = LIST_FIRST(&f->pending); p; p = next) {
			/* One that cannot be told is answered with an error and gone. */
			next = LIST_NEXT(p, next);
			if (p->type == WIRE_EVENTS && !p->timer.place)
				broker_tell_events(p);
		}
	}
}

void broker_event(struct broker *b, uid_t client, const char *type, const char *name,
		  const char *exec, const char *why)
{
	struct event *ev = &b->events[b->event_count % EVENTS_KEPT];

	b->event_count++;
	/* How much others do is not theirs to know (E-57). */
	*ev = (struct event){ .number = ++broker_metrics(b, client)->events,
			      .time = broker_time(),
			      .client = client };
	err_ignore(str_format(ev->type, sizeof(ev->type), "%s", type) < 0);
	err_ignore(str_format(ev->name, sizeof(ev->name), "%s", name) < 0);
	err_ignore(str_format(ev->exec, sizeof(ev->exec), "%s", exec ? exec : "") < 0);
	err_ignore(str_format(ev->why, sizeof(ev->why), "%s", why ? why : "") < 0);
	/* Commands come by the hundred. */
	log_line(exec ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "sandbox",
		 log_text("what", type), log_text("name", name),
		 log_number("client", client), log_text("exec", ev->exec),
		 log_text("why", why));
	tell_listeners(b, client);
}

struct metrics *broker_metrics(struct broker *b, uid_t client)
{
	uint64_t key = (uint64_t)client + 1;
	struct metrics *m = idmap_get(&b->metrics, key);
	struct err e;

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (m && idmap_put(&b->metrics, key, m, &e) == 0)
		return m;
	free(m);
	return &b->unknown;
}

/* --- answers ----------------------------------------------------------------------- */

void broker_reply(struct front *f, const struct wire_reply *reply, const int *fds,
		  unsigned count)
{
	/* Its socket holds what a front in its right mind leaves unread. */
	if (f->sock >= 0 && wire_send(f->sock, reply, sizeof(*reply), fds, count) < 0)
		pidfd_send_signal(f->process.pidfd, SIGKILL, NULL, 0);
}

void pending_forget(struct pending *p)
{
	struct broker *b = p->front->broker;

	loop_clear_timer(b->loop, &p->timer);
	idmap_take(&b->pendings, p->cookie);
	LIST_REMOVE(p, next);
	p->front->pending_count--;
	free(p);
}

void pending_done(struct pending *p, uint64_t number)
{
	struct wire_reply reply = { .type = WIRE_DONE, .tag = p->tag, .number = number };

	broker_reply(p->front, &reply, NULL, 0);
	pending_forget(p);
}

void pending_fail(struct pending *p, const struct wire_error *error)
{
	struct wire_reply reply = { .type = WIRE_ERROR, .tag = p->tag, .error = *error };
	struct broker *b = p->front->broker;

	broker_metrics(b, p->front->uid)->errors[error->code]++;
	broker_reply(p->front, &reply, NULL, 0);
	pending_forget(p);
}

void pending_sandbox(struct pending *p, struct box *box, bool created)
{
	struct wire_reply reply = { .type = WIRE_SANDBOX, .tag = p->tag };

	box_describe(box, &reply.sandbox);
	reply.sandbox.created_now = created;
	p->holds = created && box->definition.completed.auto_remove;
	reply.sandbox.held = p->holds;
	broker_reply(p->front, &reply, NULL, 0);
	if (!p->holds)
		return pending_forget(p);
	/* Who made an earlier generation, which is being removed. */
	if (box->holder)
		pending_done(box->holder, 0);
	box->holder = p;
	p->box = box->id;
}

void pending_document(struct pending *p, char *document, bool more)
{
	struct wire_reply reply = { .type = WIRE_DOCUMENT, .tag = p->tag, .more = more };
	auto_fd fd = -1;
	struct err e;

	if (!document ||
	    wire_memfd("carrel-document", document, strlen(document), &fd, &e) < 0) {
		free(document);
		pending_fail(p,
			     &(struct wire_error){ .code = WIRE_FAILED,
						   .why = "no memory for the answer" });
		return;
	}
	free(document);
	broker_reply(p->front, &reply, &fd, 1);
	if (!more)
		pending_forget(p);
}

/* --- the pool ---------------------------------------------------------------------- */

static void tick(void *context)
{
	struct broker *b = context;

	pool_tick(b->pool, loop_now(b->loop));
	broker_work(b);
}

void broker_work(struct broker *b)
{
	struct pool_action action;
	uint64_t deadline;
	struct err e;

	/* What is done here may lead to more to be done. */
	if (b->working)
		return;
	b->working = true;
	while (pool_next(b->pool, &action)) {
		if (action.type == ACTION_ADMIT)
			request_admitted(b, &action);
		else if (action.type == ACTION_REFUSE || action.type == ACTION_FAILED)
			request_refused(b, &action);
		else
			box_act(b, &action);
	}
	b->working = false;
	deadline = pool_deadline(b->pool);
	if (deadline == UINT64_MAX)
		loop_clear_timer(b->loop, &b->pool_timer);
	else if (!b->pool_timer.place || b->pool_timer.at != deadline)
		err_ignore(loop_set_timer(b->loop, &b->pool_timer, deadline, &e) < 0);
}

/* --- signals ----------------------------------------------------------------------- */

static void reload(struct broker *b)
{
	struct access *fresh = NULL;
	struct front *f, *next;
	struct err e;

	if (!b->settings->reload)
		return;
	if (b->settings->reload(b->settings->context, &fresh, &e) < 0) {
		log_warning("reload.failed", log_text("why", e.msg));
		return;
	}
	access_free(b->access);
	free(b->access);
	b->access = fresh;
	for (f = LIST_FIRST(&b->fronts); f; f = next) {
		next = LIST_NEXT(f, next);
		if (!access_find(b->access, f->uid))
			front_end(f, "its client is not served any more");
		else if (fronts_set_client(b, f->uid, &e) < 0)
			log_warning("reload.failed", log_text("why", e.msg));
	}
	crew_renew(b->crew, b->access);
	spares_renew(b);
	broker_work(b);
	log_info("reload.done");
}

enum { STRANGER_MS = 100 };

static void reap_later(struct broker *b)
{
	struct err e;

	if (!b->reaper.place)
		err_ignore(loop_set_timer(b->loop, &b->reaper,
					  loop_now(b->loop) + STRANGER_MS, &e) < 0);
}

/* Processes that a worker has made and given up are our children, too. While workers are
 * at work, one that is not known may be about to be. Now and then: the kernel looks at
 * all of our children, of which there is one for each sandbox. */
static void reap_strangers(void *context)
{
	struct broker *b = context;
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		    !info.si_pid)
			return;
		if (!crew_is_idle(b->crew) || boxes_know(b, info.si_pid) ||
		    spares_know(b, info.si_pid) || fronts_know(b, info.si_pid))
			return reap_later(b);
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

static void hear_child(struct broker *b)
{
	crew_reap(b->crew);
	reap_later(b);
}

static void hear_signal(void *context, uint32_t events)
{
	struct broker *b = context;
	struct signalfd_siginfo info;

	(void)events;
	while (read(b->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			hear_child(b);
		else if (info.ssi_signo == SIGHUP)
			reload(b);
		else
			b->ending = true;
	}
}

static int watch_signals(struct broker *b, struct err *e)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(e, errno, "block signals");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	b->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (b->signal_fd < 0)
		return err_set(e, errno, "watch signals");
	b->reaper = (struct timer){ .due = reap_strangers, .context = b };
	b->signals = (struct watch){ .ready = hear_signal, .context = b };
	return loop_watch(b->loop, &b->signals, b->signal_fd, EPOLLIN, e);
}

/* --- figures ----------------------------------------------------------------------- */

enum { METRICS_MS = 15000 }; /* between two versions of the file */

static void save_metrics(void *context)
{
	struct broker *b = context;
	auto_free char *text = *b->access->metrics_file ? documents_all_metrics(b) : NULL;
	struct err e;

	if (text && metrics_save(b->access->metrics_file, text, strlen(text), &e) < 0)
		log_warning("metrics.failed", log_text("why", e.msg));
	err_ignore(loop_set_timer(b->loop, &b->metrics_timer,
				  loop_now(b->loop) + METRICS_MS, &e) < 0);
}

/* Until the last turn of the loop. */
static void tell_alive(void *context)
{
	struct broker *b = context;
	struct err e;

	b->settings->alive(b->settings->context);
	err_ignore(loop_set_timer(b->loop, &b->alive_timer,
				  loop_now(b->loop) + b->settings->alive_ms, &e) < 0);
}

/* --- beginning and end ------------------------------------------------------------- */

/* One daemon a state directory. The lock goes with the process. */
static int open_state(struct broker *b, struct err *e)
{
	auto_fd state = -1, lock = -1;
	int r = state_dir_open(b->config->state_dir, &state, e);

	if (r < 0)
		return err_wrap(e, "use state directory %s", b->config->state_dir);
	lock = openat(state, "carreld.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	if (lock < 0)
		return err_set(e, errno, "open %s/carreld.lock", b->config->state_dir);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_say(e, EBUSY, "another carreld has state directory %s",
			       b->config->state_dir);
	if (mkdirat(state, "pool", 0700) < 0 && errno != EEXIST)
		return err_set(e, errno, "make %s/pool", b->config->state_dir);
	b->definitions =
		openat(state, "pool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (b->definitions < 0)
		return err_set(e, errno, "open %s/pool", b->config->state_dir);
	b->lock = fd_take(&lock);
	return 0;
}

/* Half a dozen descriptors a sandbox. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		err_ignore(setrlimit(RLIMIT_NOFILE, &rl) < 0);
	}
}

static int begin(struct broker *b, struct err *e)
{
	const struct cgroup_limits none = { 0 };
	int r;

	/* Holds descriptors of the host while it has children in sandboxes (E-14). */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "become non-dumpable");
	raise_limits();
	r = open_state(b, e);
	if (r == 0)
		r = cgroup_host_open_below(b->config->cgroup_parent, &none, &b->host, e);
	if (r == 0)
		r = loop_new(&b->loop, e);
	if (r == 0)
		r = watch_signals(b, e);
	if (r == 0)
		r = pool_new(&b->access->pool, &b->pool, e);
	if (r == 0)
		r = crew_new(b->loop, b->config, b->access, &b->crew, e);
	if (r == 0)
		r = boxes_adopt(b, e);
	if (r < 0)
		return r;
	b->pool_timer = (struct timer){ .due = tick, .context = b };
	b->metrics_timer = (struct timer){ .due = save_metrics, .context = b };
	b->accept_timer = (struct timer){ .due = fronts_listen_again, .context = b };
	b->stray_timer = (struct timer){ .due = boxes_look_for_strays, .context = b };
	b->alive_timer = (struct timer){ .due = tell_alive, .context = b };
	if (b->settings->alive_ms)
		tell_alive(b);
	b->started = broker_time() / 1000;
	save_metrics(b);
	b->spare_timer = (struct timer){ .due = spares_fill, .context = b };
	spares_fill(b);
	broker_work(b);
	b->listener = (struct watch){ .ready = fronts_hear_listener, .context = b };
	return loop_watch(b->loop, &b->listener, b->settings->listener, EPOLLIN, e);
}

/* Everybody who is being served is told by the end of the connection. */
static void finish(struct broker *b)
{
	struct metrics *m;
	struct front *f;
	struct box *box;
	size_t cursor = 0;

	if (b->loop)
		loop_unwatch(b->loop, &b->listener);
	while ((f = LIST_FIRST(&b->fronts)))
		front_end(f, "the daemon ends");
	while (b->loop && (box = idmap_each(&b->boxes, &cursor)))
		box_free(box);
	if (b->loop)
		spares_let_go(b);
	idmap_free(&b->boxes);
	idmap_free(&b->pendings);
	for (cursor = 0; (m = idmap_each(&b->metrics, &cursor));)
		free(m);
	idmap_free(&b->metrics);
	crew_free(b->crew);
	pool_free(b->pool);
	loop_free(b->loop);
	cgroup_host_close(&b->host);
	fd_close(&b->signal_fd);
	fd_close(&b->definitions);
	fd_close(&b->lock);
	access_free(b->access);
	free(b->access);
	free(b);
}

enum { DRAIN_MS = 5000 }; /* how long the end may take (FI-20) */

/* Sandboxes live on unless they are not to. */
static int drain(struct broker *b, struct err *e)
{
	uint64_t until = loop_now(b->loop) + DRAIN_MS;
	int r = 0;

	loop_unwatch(b->loop, &b->listener);
	if (!b->access->keep_running)
		pool_shutdown(b->pool, loop_now(b->loop), UINT32_MAX, false);
	boxes_discard_held(b);
	spares_drop(b);
	broker_work(b);
	while (r == 0) {
		/* Again and again: some wait for a sandbox that is being made. */
		boxes_end_execs(b);
		if ((!boxes_busy(b) && crew_is_idle(b->crew)) ||
		    loop_now(b->loop) >= until)
			break;
		r = loop_turn(b->loop, e);
	}
	return r;
}

int broker_run(const struct broker_settings *settings, struct err *e)
{
	struct broker *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(e, ENOMEM, "begin");
	b->settings = settings;
	b->config = settings->config;
	b->access = settings->access;
	b->signal_fd = b->definitions = b->lock = -1;
	for (int i = 0; i < CGROUP_TREE_MAX; i++)
		b->host.trees[i].dir = -1;
	LIST_INIT(&b->fronts);
	LIST_INIT(&b->spares);
	r = begin(b, e);
	if (r == 0)
		settings->ready(settings->context, b->adopted);
	while (r == 0 && !b->ending)
		r = loop_turn(b->loop, e);
	if (r == 0) {
		settings->stopping(settings->context);
		r = drain(b, e);
	}
	finish(b);
	return r;
}
