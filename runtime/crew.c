/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/crew.h"

enum {
	WORKERS_MAX = 24,
	IDLE_MAX = 6, /* kept for what comes next */
	ORDER_MS = 60000, /* longer than anything takes that ends at all */
	SHARE_MAX = WORKERS_MAX / 2, /* at one client's orders */
	BUILD_MS = 1000, /* after which it is something else than the processor that a
			    build waits for */
	TRIES_MAX = 8, /* workers that an order finds dead */
};

struct order {
	STAILQ_ENTRY(order) next;
	struct worker_order order;
	int fds[WORKER_FDS_MAX];
	unsigned count;
	crew_done done;
	void *context;
	unsigned tries;
};

STAILQ_HEAD(order_queue, order);

struct member {
	LIST_ENTRY(member) next;
	struct crew *crew;
	pid_t pid;
	int sock;
	struct watch watch;
	struct timer timer;
	struct order *order; /* that it is at; NULL: idle */
	bool old; /* knows what is not so any more */
	bool slow; /* its build has taken BUILD_MS, and has no place among them any more
		    */
};

struct crew {
	struct loop *loop;
	const struct runtime_config *config;
	const struct access *access;
	LIST_HEAD(member_list, member) members, gone; /* gone: not waited for yet */
	unsigned member_count, idle_count;
	unsigned building, slow, builders_max; /* builds: all, slow ones */
	struct order_queue urgent, others, builds;
	struct order_queue failed; /* nobody could be given them */
	struct timer failing;
};

static void order_free(struct order *o)
{
	for (unsigned i = 0; i < o->count; i++)
		fd_close(&o->fds[i]);
	free(o);
}

/* --- members ----------------------------------------------------------------------- */

static void dismiss(struct member *m)
{
	struct crew *crew = m->crew;

	loop_unwatch(crew->loop, &m->watch);
	loop_clear_timer(crew->loop, &m->timer);
	fd_close(&m->sock); /* an idle one ends by that */
	if (m->order)
		kill(m->pid, SIGKILL);
	else
		crew->idle_count--;
	crew->member_count--;
	LIST_REMOVE(m, next);
	LIST_INSERT_HEAD(&crew->gone, m, next);
}

/* It is at its order no more. */
static void leave_build(struct member *m, const struct order *o)
{
	m->crew->building -= o->order.type == WORKER_BUILD;
	m->crew->slow -= m->slow;
	m->slow = false;
}

static void finish(struct member *m, const struct worker_result *result, int *fds,
		   unsigned count)
{
	struct order *o = m->order;

	m->order = NULL;
	m->crew->idle_count++;
	leave_build(m, o);
	loop_clear_timer(m->crew->loop, &m->timer);
	/* Not afterwards: what is called back may have the next order for it. */
	if (m->old || m->crew->idle_count > IDLE_MAX)
		dismiss(m);
	o->done(o->context, result, fds, count);
	order_free(o);
}

static void give_up(struct member *m, int errnum, const char *why)
{
	struct worker_result result = { .status = 125 };
	struct order *o = m->order;

	if (o)
		leave_build(m, o);
	dismiss(m);
	if (!o)
		return;
	result.code = err_say(&result.err, errnum, "%s", why);
	o->done(o->context, &result, NULL, 0);
	order_free(o);
}

static void work(struct crew *crew);

static void take_result(void *context, uint32_t events)
{
	struct member *m = context;
	struct crew *crew = m->crew;
	struct worker_result result;
	int fds[WORKER_FDS_MAX];
	unsigned count = 0;
	int r = wire_receive(m->sock, &result, sizeof(result), fds, WORKER_FDS_MAX,
			     &count);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 1 && m->order) {
		finish(m, &result, fds, count);
	} else {
		for (unsigned i = 0; r == 1 && i < count; i++)
			fd_close(&fds[i]);
		give_up(m, ECHILD, "the worker has died");
	}
	work(crew);
}

static void too_long(void *context)
{
	struct member *m = context;
	struct crew *crew = m->crew;
	struct err e;

	/* Its place is somebody else's; it goes on. */
	if (m->order->order.type == WORKER_BUILD && !m->slow &&
	    loop_set_timer(crew->loop, &m->timer,
			   loop_now(crew->loop) + ORDER_MS - BUILD_MS, &e) == 0) {
		m->slow = true;
		crew->slow++;
		work(crew);
		return;
	}
	give_up(m, ETIMEDOUT, "the worker did not come to an end");
	work(crew);
}

static struct member *hire(struct crew *crew)
{
	struct member *m = calloc(1, sizeof(*m));
	int pair[2];
	struct err e;

	if (!m || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			     pair) < 0) {
		free(m);
		return NULL;
	}
	m->crew = crew;
	m->sock = pair[0];
	m->watch = (struct watch){ .ready = take_result, .context = m };
	m->timer = (struct timer){ .due = too_long, .context = m };
	m->pid = fork();
	if (m->pid == 0)
		worker_main(pair[1], crew->config, crew->access);
	close(pair[1]);
	if (m->pid < 0 || loop_watch(crew->loop, &m->watch, m->sock, EPOLLIN, &e) < 0) {
		close(pair[0]);
		free(m);
		return NULL;
	}
	LIST_INSERT_HEAD(&crew->members, m, next);
	crew->member_count++;
	crew->idle_count++;
	return m;
}

static struct member *find_idle(struct crew *crew)
{
	struct member *m;

	LIST_FOREACH(m, &crew->members, next) {
		if (!m->order && !m->old)
			return m;
	}
	return crew->member_count < WORKERS_MAX ? hire(crew) : NULL;
}

/* --- orders ------------------------------------------------------------------------ */

/* One client's sandboxes can hold up whoever works on them: not all must be. */
static bool has_share(const struct crew *crew, uid_t client)
{
	const struct member *m;
	unsigned busy = 0;

	LIST_FOREACH(m, &crew->members, next)
		busy += m->order && m->order->order.client == client;
	return busy < SHARE_MAX;
}

static struct order *first_with_share(const struct crew *crew,
				      const struct order_queue *q)
{
	struct order *o;
	uid_t full = 0;
	bool any_full = false;

	STAILQ_FOREACH(o, q, next) {
		if (any_full && o->order.client == full)
			continue;
		if (has_share(crew, o->order.client))
			return o;
		full = o->order.client;
		any_full = true;
	}
	return NULL;
}

/* The first build of who has the fewest under way; not of one whose builds hang. */
static struct order *next_build(const struct crew *crew)
{
	struct order *o, *found = NULL;
	unsigned fewest = UINT_MAX;
	uid_t last = 0;

	if (crew->building - crew->slow >= crew->builders_max)
		return NULL;
	STAILQ_FOREACH(o, &crew->builds, next) {
		uid_t client = o->order.client;
		unsigned building = 0, slow = 0;
		const struct member *m;

		if (o != STAILQ_FIRST(&crew->builds) && client == last)
			continue;
		last = client;
		LIST_FOREACH(m, &crew->members, next) {
			bool same = m->order && m->order->order.client == client &&
				    m->order->order.type == WORKER_BUILD;

			building += same;
			slow += same && m->slow;
		}
		if (building < fewest && slow < crew->builders_max &&
		    has_share(crew, client)) {
			found = o;
			fewest = building;
		}
		if (!building)
			break;
	}
	return found;
}

/* The one whose turn it is, and its queue; NULL: none. */
static struct order *next_order(struct crew *crew, struct order_queue **ret)
{
	struct order *o = first_with_share(crew, *ret = &crew->urgent);

	if (o)
		return o;
	/* The last ones are for commands: slow work must not hold them up. */
	if (crew->member_count - crew->idle_count >= WORKERS_MAX - 4)
		return NULL;
	o = first_with_share(crew, *ret = &crew->others);
	if (o)
		return o;
	*ret = &crew->builds;
	return next_build(crew);
}

static bool assign(struct crew *crew, struct member *m, struct order *o)
{
	uint64_t first = o->order.type == WORKER_BUILD ? BUILD_MS : ORDER_MS;
	struct err e;

	if (loop_set_timer(crew->loop, &m->timer, loop_now(crew->loop) + first, &e) < 0 ||
	    wire_send(m->sock, &o->order, sizeof(o->order), o->fds, o->count) < 0)
		return false;
	m->order = o;
	crew->idle_count--;
	crew->building += o->order.type == WORKER_BUILD;
	return true;
}

static void tell_failed(void *context)
{
	struct crew *crew = context;
	struct order *o;

	while ((o = STAILQ_FIRST(&crew->failed))) {
		struct worker_result result = { .status = 125 };

		STAILQ_REMOVE_HEAD(&crew->failed, next);
		result.code = err_say(&result.err, EAGAIN, "no worker can be started");
		o->done(o->context, &result, NULL, 0);
		order_free(o);
	}
}

/* Who is giving the order must not be called back before that is done. */
static void fail_later(struct crew *crew, struct order *o)
{
	struct err e;

	STAILQ_INSERT_TAIL(&crew->failed, o, next);
	/* Without memory for that, with the next one that fails. */
	err_ignore(loop_set_timer(crew->loop, &crew->failing, loop_now(crew->loop), &e) <
		   0);
}

static void work(struct crew *crew)
{
	struct order_queue *q;
	struct order *o;

	while ((o = next_order(crew, &q))) {
		struct member *m = find_idle(crew);

		if (!m && crew->member_count)
			return;
		if (m && assign(crew, m, o)) {
			STAILQ_REMOVE(q, o, order, next);
			continue;
		}
		/* One that has died unnoticed is not the order's fault. */
		if (m)
			dismiss(m);
		if (m && ++o->tries < TRIES_MAX)
			continue;
		STAILQ_REMOVE(q, o, order, next);
		fail_later(crew, o);
	}
}

static void keep_copies(struct order *o, const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd >= 0)
			o->fds[o->count++] = fd;
	}
}

int crew_order(struct crew *crew, const struct worker_order *order, const int *fds,
	       unsigned count, crew_done done, void *context, struct err *e)
{
	struct order *o = calloc(1, sizeof(*o));
	int resident_fds[WORKER_FDS_MAX];
	unsigned resident_count = 0;

	if (!o)
		return err_set(e, ENOMEM, "give an order");
	*o = (struct order){ .order = *order, .done = done, .context = context };
	if (order->type != WORKER_BUILD && order->type != WORKER_REMOVE)
		resident_count = worker_resident_fds(&order->resident, resident_fds);
	keep_copies(o, resident_fds, resident_count);
	keep_copies(o, fds, count);
	if (o->count != resident_count + count) {
		order_free(o);
		return err_set(e, EMFILE, "hold the descriptors of an order");
	}
	if (order->type == WORKER_BUILD)
		STAILQ_INSERT_TAIL(&crew->builds, o, next);
	else if (order->type == WORKER_EXEC || order->type == WORKER_BIND)
		STAILQ_INSERT_TAIL(&crew->urgent, o, next);
	else
		STAILQ_INSERT_TAIL(&crew->others, o, next);
	work(crew);
	return 0;
}

/* --- the crew ---------------------------------------------------------------------- */

int crew_new(struct loop *loop, const struct runtime_config *config,
	     const struct access *access, struct crew **ret, struct err *e)
{
	struct crew *crew = calloc(1, sizeof(*crew));
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (!crew)
		return err_set(e, ENOMEM, "hire workers");
	crew->loop = loop;
	crew->config = config;
	crew->access = access;
	crew->builders_max = processors > 1 ? (unsigned)processors : 1;
	if (crew->builders_max > WORKERS_MAX / 2)
		crew->builders_max = WORKERS_MAX / 2;
	LIST_INIT(&crew->members);
	LIST_INIT(&crew->gone);
	STAILQ_INIT(&crew->urgent);
	STAILQ_INIT(&crew->others);
	STAILQ_INIT(&crew->builds);
	STAILQ_INIT(&crew->failed);
	crew->failing = (struct timer){ .due = tell_failed, .context = crew };
	for (int i = 0; i < 2; i++)
		hire(crew);
	*ret = crew;
	return 0;
}

static void drop_queue(struct order_queue *q)
{
	struct order *o;

	while ((o = STAILQ_FIRST(q))) {
		STAILQ_REMOVE_HEAD(q, next);
		order_free(o);
	}
}

void crew_free(struct crew *crew)
{
	struct member *m;

	if (!crew)
		return;
	while ((m = LIST_FIRST(&crew->members))) {
		struct order *o = m->order;

		dismiss(m);
		if (o)
			order_free(o);
	}
	while ((m = LIST_FIRST(&crew->gone))) {
		waitpid(m->pid, NULL, 0);
		LIST_REMOVE(m, next);
		free(m);
	}
	drop_queue(&crew->urgent);
	drop_queue(&crew->others);
	drop_queue(&crew->builds);
	drop_queue(&crew->failed);
	loop_clear_timer(crew->loop, &crew->failing);
	free(crew);
}

void crew_reap(struct crew *crew)
{
	struct member *m = LIST_FIRST(&crew->gone), *next;

	for (; m; m = next) {
		next = LIST_NEXT(m, next);
		if (waitpid(m->pid, NULL, WNOHANG) == 0)
			continue;
		LIST_REMOVE(m, next);
		free(m);
	}
}

void crew_renew(struct crew *crew, const struct access *access)
{
	struct member *m = LIST_FIRST(&crew->members), *next;

	crew->access = access;
	for (; m; m = next) {
		next = LIST_NEXT(m, next);
		if (m->order)
			m->old = true;
		else
			dismiss(m);
	}
}

bool crew_is_building(const struct crew *crew)
{
	return crew->building || !STAILQ_EMPTY(&crew->builds);
}

bool crew_is_idle(const struct crew *crew)
{
	return crew->idle_count == crew->member_count && STAILQ_EMPTY(&crew->urgent) &&
	       STAILQ_EMPTY(&crew->others) && STAILQ_EMPTY(&crew->builds) &&
	       STAILQ_EMPTY(&crew->failed);
}
