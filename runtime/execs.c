/* SPDX-License-Identifier: Apache-2.0 */
/* Commands, from the request to the removal of their groups. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/broker_state.h"
#include "runtime/steps.h"
#include "runtime/wire_json.h"

enum {
	OOM_LOOK_MS = 2000, /* how long a kill may follow its announcement (v1) */
	OOM_STEP_MS = 5,
};

/* --- making and freeing ------------------------------------------------------------ */

static void close_fds(struct exec *x)
{
	fd_close(&x->strings);
	for (unsigned i = 0; i < x->fd_count; i++)
		fd_close(&x->fds[i]);
	x->fd_count = 0;
}

void exec_free(struct exec *x)
{
	struct loop *loop = x->broker->loop;
	struct pending *p;

	/* It never came to an end, so there is no result. */
	while ((p = LIST_FIRST(&x->waiters))) {
		LIST_REMOVE(p, waiting);
		p->exec = NULL;
		request_fail(p, WIRE_NO_SUCH_EXEC, x->id, "");
	}
	close_fds(x);
	loop_unwatch(loop, &x->ended);
	loop_unwatch(loop, &x->oom);
	loop_clear_timer(loop, &x->deadline);
	loop_clear_timer(loop, &x->oom_look);
	loop_clear_timer(loop, &x->forget);
	resident_exec_close(&x->running);
	LIST_REMOVE(x, next);
	free(x->argv_text);
	free(x);
}

static void die(void *context, uint32_t events);
static void hear_oom(void *context, uint32_t events);
static void expire(void *context);
static void look_at_oom(void *context);
static void forget(void *context);

int exec_new(struct box *box, const struct wire_exec *asked, int *fds, unsigned count,
	     struct exec **ret, struct err *e)
{
	struct exec *x = calloc(1, sizeof(*x));
	int r;

	if (!x) {
		for (unsigned i = 0; i < count; i++)
			fd_close(&fds[i]);
		return err_set(e, ENOMEM, "hold a command");
	}
	*x = (struct exec){ .broker = box->broker,
			    .box = box,
			    .asked = *asked,
			    .strings = fd_take(&fds[0]),
			    .running = RESIDENT_EXEC_NONE };
	for (unsigned i = 1; i < count; i++)
		x->fds[x->fd_count++] = fd_take(&fds[i]);
	x->ended = (struct watch){ .ready = die, .context = x };
	x->oom = (struct watch){ .ready = hear_oom, .context = x };
	x->deadline = (struct timer){ .due = expire, .context = x };
	x->oom_look = (struct timer){ .due = look_at_oom, .context = x };
	x->forget = (struct timer){ .due = forget, .context = x };
	LIST_INIT(&x->waiters);
	LIST_INSERT_HEAD(&box->execs, x, next);
	x->number = ++box->next_exec;
	worker_name_exec(x->id, x->number);
	r = exec_complete_strings(x, e);
	if (r < 0) {
		exec_free(x);
		return r;
	}
	*ret = x;
	return 0;
}

struct exec *exec_find(const struct box *box, const char *id)
{
	struct exec *x;

	LIST_FOREACH(x, &box->execs, next) {
		if (!strcmp(x->id, id))
			return exec_is_over(x) ? NULL : x;
	}
	return NULL;
}

bool exec_is_over(const struct exec *x)
{
	return x->state == EXEC_ENDED && (x->waited || !x->asked.detach);
}

/* --- the result -------------------------------------------------------------------- */

static void answer(struct exec *x, struct pending *p)
{
	struct wire_reply reply = { .type = WIRE_RESULT,
				    .tag = p->tag,
				    .result = x->result };

	broker_reply(p->front, &reply, NULL, 0);
	pending_forget(p);
}

/* Tells all who want to know, and gives the pool its count back. */
static void conclude(struct exec *x)
{
	struct broker *b = x->broker;
	struct pending *p;

	memcpy(x->result.exec, x->id, sizeof(x->result.exec));
	x->state = EXEC_ENDED;
	broker_metrics(b, x->box->definition.client)->execs_ended[x->result.reason]++;
	if (x->pending) {
		x->pending->exec = NULL;
		answer(x, x->pending);
		x->pending = NULL;
	}
	while ((p = LIST_FIRST(&x->waiters))) {
		LIST_REMOVE(p, waiting);
		p->exec = NULL;
		x->waited = x->waited || !p->keep;
		answer(x, p);
	}
	broker_event(b, x->box->definition.client, "exec_end",
		     x->box->definition.completed.name, x->id,
		     wire_reason_names[x->result.reason]);
	x->box->used_at = broker_time();
	if (x->counted)
		pool_exec_ended(b->pool, loop_now(b->loop), x->box->id);
	x->counted = false;
}

static void judge(struct exec *x, const siginfo_t *info)
{
	struct wire_result *r = &x->result;

	if (info->si_code == CLD_EXITED) {
		r->reason = WIRE_EXITED;
		r->exit_code = info->si_status;
	} else {
		r->reason = WIRE_SIGNALLED;
		r->signal = info->si_status;
		r->exit_code = RUN_STATUS_SIGNAL + info->si_status;
	}
	/* What has ended by itself before it could be killed has ended by itself. */
	if (x->killed && r->signal == SIGKILL) {
		r->reason = x->reason;
		if (x->reason == WIRE_TIMEOUT)
			r->exit_code = RUN_STATUS_TIMEOUT;
	} else if (r->oom && r->signal == SIGKILL) {
		r->reason = WIRE_OOM;
	}
}

static void read_usage(struct exec *x)
{
	struct cgroup_usage usage = { 0 };
	struct err e;

	if (resident_exec_usage(&x->box->resident, &x->broker->host, &x->running, &usage,
				&e) < 0)
		return;
	x->result.cpu_user_ms = usage.cpu_user_us / 1000;
	x->result.cpu_sys_ms = usage.cpu_sys_us / 1000;
	x->result.mem_peak = usage.memory_peak;
	x->result.pids_peak = usage.pids_peak;
	x->result.oom = usage.oom_kills > 0;
}

/* Whatever it has left in the background ends with it (E-39, E-48). */
static void die(void *context, uint32_t events)
{
	struct exec *x = context;
	struct broker *b = x->broker;
	/* Of one that somebody else has waited for: how it has ended, nobody knows. */
	siginfo_t info = { .si_code = CLD_KILLED };
	struct err e;

	(void)events;
	if (waitid(P_PIDFD, (id_t)x->running.main.pidfd, &info, WEXITED | WNOHANG) < 0)
		info.si_status = SIGKILL;
	else if (!info.si_pid)
		return;
	loop_unwatch(b->loop, &x->ended);
	loop_unwatch(b->loop, &x->oom);
	loop_clear_timer(b->loop, &x->deadline);
	loop_clear_timer(b->loop, &x->oom_look);
	x->running.main.pid = 0;
	fd_close(&x->running.main.pidfd);
	x->result.wall_ms = steps_now_ms() - x->started_ms;
	err_ignore(resident_exec_kill(&x->running, &e) < 0);
	read_usage(x);
	judge(x, &info);
	conclude(x);
	exec_leave(x);
	broker_work(b);
}

static void forget(void *context)
{
	exec_free(context);
}

/* --- the start --------------------------------------------------------------------- */

/* A worker that died in the middle leaves what it had made. */
static void end_rest(struct exec *x)
{
	struct resident_exec rest = RESIDENT_EXEC_NONE;
	struct err e;

	if (x->box->alive && resident_exec_open(&x->box->resident, &x->broker->host,
						x->id, &rest, &e) == 0)
		err_ignore(resident_exec_kill(&rest, &e) < 0);
	resident_exec_close(&rest);
	x->waited = true;
	exec_leave(x);
}

static void fail(struct exec *x, int status, const char *why)
{
	x->result.reason = x->killed ? x->reason : WIRE_START_FAILED;
	x->result.exit_code = status;
	if (!x->killed)
		err_ignore(str_format(x->result.error, sizeof(x->result.error), "%s",
				      why) < 0);
	close_fds(x);
	conclude(x);
	end_rest(x);
}

static int watch_it(struct exec *x, struct err *e)
{
	struct broker *b = x->broker;
	int r = loop_watch(b->loop, &x->ended, x->running.main.pidfd, EPOLLIN, e);

	if (r == 0 && x->running.oom >= 0)
		r = loop_watch(b->loop, &x->oom, x->running.oom, EPOLLIN, e);
	if (r == 0 && x->asked.timeout_ms)
		r = loop_set_timer(b->loop, &x->deadline,
				   loop_now(b->loop) + x->asked.timeout_ms, e);
	return r;
}

/* It runs, and nobody would hear of its end. The reaper waits for it. */
static void give_up(struct exec *x, const struct err *why)
{
	struct loop *loop = x->broker->loop;

	loop_unwatch(loop, &x->ended);
	loop_unwatch(loop, &x->oom);
	loop_clear_timer(loop, &x->deadline);
	fail(x, RUN_STATUS_FAILED, why->msg);
}

static void tell_started(struct exec *x, const int *master)
{
	struct wire_reply reply = { .type = WIRE_STARTED };

	if (!x->pending || (!x->asked.tell && !x->asked.detach && !x->asked.terminal))
		return;
	reply.tag = x->pending->tag;
	memcpy(reply.started.exec, x->id, sizeof(reply.started.exec));
	broker_reply(x->pending->front, &reply, master, master ? 1 : 0);
	if (x->pending && x->asked.detach) {
		x->pending->exec = NULL;
		pending_forget(x->pending);
		x->pending = NULL;
	}
}

/* Nothing of it has run: the next generation can have it, once. */
static void try_again(struct exec *x)
{
	struct broker *b = x->broker;
	uint64_t now = loop_now(b->loop);

	x->again = true;
	x->lost = x->killed = x->counted = false;
	x->state = EXEC_WAITING;
	pool_exec_ended(b->pool, now, x->box->id);
	/* In case that this is the first to notice. */
	pool_died(b->pool, now, x->box->id);
	request_again(x->pending);
}

static void fail_start(struct exec *x, const struct worker_result *result)
{
	/* Otherwise somebody has ended it meanwhile, or has stopped its sandbox. */
	bool lost = x->lost || (!x->killed && resident_is_dying(&x->box->resident));

	if (result->pid)
		waitpid(result->pid, NULL, WNOHANG);
	if (lost && !x->again && x->pending)
		return try_again(x);
	if (lost)
		exec_kill(x, WIRE_STOPPED);
	fail(x, result->status, result->err.msg);
}

static void started(void *context, const struct worker_result *result, int *fds,
		    unsigned count)
{
	struct exec *x = context;
	struct broker *b = x->broker;
	struct box *box = x->box;
	unsigned n = 0;
	auto_fd master = -1;
	struct err e;

	exec_prepared_next(x);
	if (result->code < 0) {
		fail_start(x, result);
		box_order_done(box);
		broker_work(b);
		return;
	}
	bug_on(count < 2);
	close_fds(x);
	memcpy(x->running.id, x->id, sizeof(x->running.id));
	x->running.main = (struct process){ .pid = result->pid, .pidfd = fds[n++] };
	x->running.cgroup = fds[n++];
	x->running.oom = result->oom ? fds[n++] : -1;
	master = result->master ? fds[n++] : -1;
	x->started_ms = result->at_ms;
	x->started_at = broker_time();
	x->state = EXEC_RUNNING;
	metrics_observe(&broker_metrics(b, box->definition.client)->exec_start_time,
			(x->started_ms - x->asked_ms) * 1000000);
	if (watch_it(x, &e) < 0) {
		give_up(x, &e);
		box_order_done(box);
		broker_work(b);
		return;
	}
	broker_event(b, box->definition.client, "exec_start",
		     box->definition.completed.name, x->id, NULL);
	/* Asked to end while it was being started. */
	if (x->killed)
		err_ignore(resident_exec_kill(&x->running, &e) < 0);
	tell_started(x, master >= 0 ? &master : NULL);
	box_order_done(box);
}

void exec_begin(struct exec *x)
{
	struct worker_order order = { .type = WORKER_EXEC, .exec = x->asked };
	int fds[WIRE_FDS_MAX + 1];
	unsigned count = 0;
	struct err e;

	x->counted = true;
	x->asked_ms = steps_now_ms();
	x->state = EXEC_STARTING;
	x->box->used_at = broker_time();
	memcpy(order.exec_id, x->id, sizeof(order.exec_id));
	exec_prepare_next(x, &order);
	fds[count++] = x->strings;
	for (unsigned i = 0; i < x->fd_count; i++)
		fds[count++] = x->fds[i];
	if (box_order(x->box, &order, fds, count, started, x, &e) < 0) {
		exec_prepared_next(x);
		fail(x, RUN_STATUS_FAILED, e.msg);
	}
}

/* --- the end ----------------------------------------------------------------------- */

void exec_kill(struct exec *x, enum wire_reason reason)
{
	struct err e;

	/* One that waits for its sandbox runs in the next generation (FI-22). */
	if (x->state == EXEC_ENDED || x->state == EXEC_WAITING)
		return;
	if (!x->killed)
		x->reason = reason;
	x->killed = true;
	if (x->state == EXEC_RUNNING) {
		err_ignore(resident_exec_kill(&x->running, &e) < 0);
	} else if (x->state == EXEC_STARTING) {
		/* Its group may be there already; the worker notices. */
		struct resident_exec early = RESIDENT_EXEC_NONE;

		if (resident_exec_open(&x->box->resident, &x->broker->host, x->id, &early,
				       &e) == 0)
			err_ignore(resident_exec_kill(&early, &e) < 0);
		resident_exec_close(&early);
	}
}

void exec_lose(struct exec *x)
{
	x->lost = x->state == EXEC_STARTING && !x->killed;
	exec_kill(x, WIRE_STOPPED);
}

void exec_cancel(struct exec *x)
{
	struct broker *b = x->broker;

	if (x->state != EXEC_WAITING) {
		exec_kill(x, WIRE_CANCELLED);
		return;
	}
	if (x->pending)
		pool_cancel(b->pool, loop_now(b->loop), x->pending->cookie);
	x->killed = true;
	x->reason = WIRE_CANCELLED;
	fail(x, RUN_STATUS_FAILED, "");
}

static void expire(void *context)
{
	exec_kill(context, WIRE_TIMEOUT);
}

/* v1 announces that the limit was hit, and kills one process a little later, if at all.
 * The rest of the group is ours to end. */
static void look_at_oom(void *context)
{
	struct exec *x = context;
	struct broker *b = x->broker;
	struct cgroup_usage usage = { 0 };
	struct err e;

	if (resident_exec_usage(&x->box->resident, &b->host, &x->running, &usage, &e) ==
		    0 &&
	    usage.oom_kills)
		exec_kill(x, WIRE_OOM);
	else if (loop_now(b->loop) < x->oom_until)
		err_ignore(loop_set_timer(b->loop, &x->oom_look,
					  loop_now(b->loop) + OOM_STEP_MS, &e) < 0);
}

static void hear_oom(void *context, uint32_t events)
{
	struct exec *x = context;
	uint64_t count;

	(void)events;
	err_ignore(read(x->running.oom, &count, sizeof(count)) < 0);
	x->oom_until = loop_now(x->broker->loop) + OOM_LOOK_MS;
	look_at_oom(x);
}
