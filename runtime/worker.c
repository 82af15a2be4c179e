/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/definition.h"
#include "runtime/parcel.h"
#include "runtime/steps.h"
#include "runtime/worker.h"

struct worker {
	int sock;
	const struct runtime_config *config;
	const struct access *access;
	struct cgroup_host host;
	struct resident_prepared prepared; /* mostly this worker gets the next one, too */
};

void worker_name_exec(char id[WIRE_EXEC_MAX + 1], uint64_t number)
{
	bug_on(str_format(id, WIRE_EXEC_MAX + 1, "x%" PRIu64, number) < 0);
}

unsigned worker_resident_fds(const struct resident *r, int *fds)
{
	unsigned n = 0;

	fds[n++] = r->init.pidfd;
	fds[n++] = r->cgroup;
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		if (r->v1[i] >= 0)
			fds[n++] = r->v1[i];
	}
	return n;
}

unsigned worker_put_resident_fds(struct resident *r, const int *fds)
{
	unsigned n = 0;

	r->init.pidfd = fds[n++];
	r->cgroup = fds[n++];
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		if (r->v1[i] >= 0)
			r->v1[i] = fds[n++];
	}
	return n;
}

/* --- orders ------------------------------------------------------------------------ */

static int read_label(int fd, void **ret, size_t *ret_size, struct err *e)
{
	off_t size = lseek(fd, 0, SEEK_END);
	void *label;

	if (size <= 0 || size > RESIDENT_LABEL_SIZE)
		return err_say(e, EINVAL, "a label of %lld bytes", (long long)size);
	label = malloc((size_t)size);
	if (!label)
		return err_set(e, ENOMEM, "read a label");
	if (pread(fd, label, (size_t)size, 0) != size) {
		free(label);
		return err_set(e, EIO, "read a label");
	}
	*ret = label;
	*ret_size = (size_t)size;
	return 0;
}

static int build(struct worker *w, const struct worker_order *o, const struct parcel *in,
		 struct worker_result *result, struct err *e)
{
	const struct profile *profile = access_find_profile(w->access, o->ensure.profile);
	const struct client *client = access_find(w->access, o->client);
	auto_free void *label = NULL;
	auto_fd workspace = -1;
	struct definition_spec plan;
	size_t label_size = 0;
	int r;

	/* A spare is nobody's. */
	if (!profile || (!client && *o->ensure.workspace) || in->count != 1)
		return err_say(e, EINVAL,
			       "its profile or its client is not known any more");
	r = read_label(in->fds[0], &label, &label_size, e);
	if (r == 0 && *o->ensure.workspace)
		r = definition_open_workspace(client, o->ensure.workspace, o->client,
					      &workspace, e);
	if (r < 0)
		return r;
	r = definition_spec_make(&plan, w->config, profile, &o->ensure, workspace, e);
	if (r == 0)
		r = resident_build(w->config, &plan.spec, label, label_size,
				   &result->slot, e);
	definition_spec_free(&plan);
	return r;
}

/* The workspace, seen as a volume of the spare's: id-mapped to its ids. */
static int attach_workspace(struct worker *w, const struct worker_order *o,
			    const struct profile *profile, const struct client *client,
			    struct err *e)
{
	struct rootfs_owner owner = { .uid = profile->uid,
				      .gid = profile->gid,
				      .id_base = o->resident.id_base };
	struct rootfs_sources sources;
	auto_fd workspace = -1;
	struct definition_spec plan;
	int r = definition_open_workspace(client, o->ensure.workspace, o->client,
					  &workspace, e);

	if (r < 0)
		return r;
	r = definition_spec_make(&plan, w->config, profile, &o->ensure, workspace, e);
	/* Its root it has; another one may have the name by now, or none. */
	plan.spec.files.rootfs = NULL;
	if (r == 0)
		r = rootfs_open(&plan.spec.files, &owner, &sources, e);
	if (r < 0) {
		definition_spec_free(&plan);
		return r;
	}
	for (unsigned i = 0; r == 0 && i < plan.spec.files.count; i++) {
		if (!plan.spec.files.mounts[i].workspace)
			continue;
		/* Its user is then another one than the spare has been made for. */
		if (sources.direct)
			r = err_say(e, ENOTSUP, "the workspace cannot be id-mapped");
		else
			r = resident_attach_workspace(&o->resident,
						      sources.volumes[i].tree,
						      ROOTFS_WORKSPACE, e);
	}
	rootfs_close(&sources);
	definition_spec_free(&plan);
	return r;
}

static int bind_spare(struct worker *w, const struct worker_order *o,
		      const struct parcel *in, struct err *e)
{
	const struct profile *profile = access_find_profile(w->access, o->ensure.profile);
	const struct client *client = access_find(w->access, o->client);
	int ignored[WORKER_FDS_MAX];
	unsigned used = worker_resident_fds(&o->resident, ignored);
	auto_free void *label = NULL;
	size_t label_size = 0;
	int r;

	if (!profile || !client || in->count != used + 1)
		return err_say(e, EINVAL,
			       "its profile or its client is not known any more");
	r = read_label(in->fds[used], &label, &label_size, e);
	if (r == 0 && *o->ensure.workspace)
		r = attach_workspace(w, o, profile, client, e);
	/* Whose it is is the last thing that changes. */
	return r == 0 ? resident_set_label(&o->resident, label, label_size, e) : r;
}

static int open_stdio(const struct worker_order *o, const struct parcel *in,
		      unsigned used, struct resident_command *command, int *ret_master,
		      int *ret_slave, struct err *e)
{
	if (!o->exec.terminal) {
		if (in->count - used < 3)
			return err_say(e, EPROTO, "a command without stdio");
		for (unsigned i = used; i < in->count; i++)
			command->fds[command->fd_count++] = in->fds[i];
		return 0;
	}
	command->terminal = true;
	command->fd_count = 3;
	if (resident_open_terminal(&o->resident, command->uid, ret_master, ret_slave, e) <
	    0)
		return e->code;
	for (int i = 0; i < 3; i++)
		command->fds[i] = *ret_slave;
	return 0;
}

static int start_exec(struct worker *w, struct worker_order *o, const struct parcel *in,
		      struct worker_result *result, struct parcel *out, struct err *e)
{
	int ignored[WORKER_FDS_MAX];
	unsigned used = worker_resident_fds(&o->resident, ignored);
	struct resident_exec x = RESIDENT_EXEC_NONE;
	struct resident_command command = {
		.cwd = o->exec.cwd,
		.uid = o->exec.uid,
		.gid = o->exec.gid,
		.prepared = o->prepared,
		.limits = { .memory = o->exec.limits.memory,
			    .cpu_milli = o->exec.limits.cpu_milli,
			    .pids = o->exec.limits.pids },
	};
	auto_free char **strings = NULL;
	auto_fd master = -1, slave = -1;
	struct spec defaults;
	int r;

	if (in->count <= used)
		return err_say(e, EPROTO, "a command without strings");
	r = wire_strings_read(in->fds[used], (size_t)o->exec.argc + o->exec.env_count,
			      &strings, e);
	if (r < 0)
		return r;
	spec_init(&defaults);
	command.rlimits = defaults.rlimits;
	memcpy(command.id, o->exec_id, sizeof(command.id));
	command.envp = strings + o->exec.argc;
	/* The environment begins where argv ends: argv needs a list of its own. */
	auto_free char **argv = calloc(o->exec.argc + 1, sizeof(char *));
	if (!argv)
		return err_set(e, ENOMEM, "hold %u arguments", o->exec.argc);
	memcpy(argv, strings, o->exec.argc * sizeof(char *));
	command.argv = argv;
	r = open_stdio(o, in, used + 1, &command, &master, &slave, e);
	if (r == 0)
		r = resident_exec_start(&o->resident, &w->host, &command, &w->prepared,
					&x, &result->status, e);
	result->pid = x.main.pid;
	if (r < 0)
		return r;
	result->at_ms = steps_now_ms();
	out->fds[out->count++] = fd_take(&x.main.pidfd);
	out->fds[out->count++] = fd_take(&x.cgroup);
	if (x.oom >= 0) {
		result->oom = true;
		out->fds[out->count++] = fd_take(&x.oom);
	}
	if (master >= 0) {
		result->master = true;
		out->fds[out->count++] = fd_take(&master);
	}
	return 0;
}

/* What is missing is made by the command itself. */
static void prepare_next(struct worker *w, const struct worker_order *o)
{
	struct err e;

	resident_prepared_close(&w->prepared);
	if (*o->next_id)
		err_ignore(resident_exec_prepare(&o->resident, &w->host, o->next_id,
						 &w->prepared, &e) < 0);
}

/* Some may be dying still. */
static void tidy(struct worker *w, const struct worker_order *o,
		 struct worker_result *result)
{
	char id[WIRE_EXEC_MAX + 1];
	struct err e;

	for (unsigned n = 0; n < WORKER_TIDY_MAX; n++) {
		if (!(o->those >> n & 1))
			continue;
		worker_name_exec(id, o->first + n);
		if (resident_exec_remove(&o->resident, &w->host, id, &e) != -EBUSY)
			result->gone |= UINT64_C(1) << n;
	}
}

static int inspect(struct worker *w, struct worker_order *o, struct parcel *out,
		   struct err *e)
{
	auto_free char *json = NULL;
	auto_fd fd = -1;
	int r = resident_inspect(&o->resident, &w->host, &json, e);

	if (r < 0)
		return r;
	r = wire_memfd("carrel-document", json, strlen(json), &fd, e);
	if (r == 0)
		out->fds[out->count++] = fd_take(&fd);
	return r;
}

static int carry_out(struct worker *w, struct worker_order *o, struct parcel *in,
		     struct worker_result *result, struct parcel *out, struct err *e)
{
	int r;

	if (o->type != WORKER_BUILD && o->type != WORKER_REMOVE && in->count < 2)
		return err_say(e, EPROTO, "an order without its sandbox");
	if (o->type != WORKER_BUILD && o->type != WORKER_REMOVE)
		worker_put_resident_fds(&o->resident, in->fds);
	switch (o->type) {
	case WORKER_BUILD:
		return build(w, o, in, result, e);
	case WORKER_EXEC:
		r = start_exec(w, o, in, result, out, e);
		prepare_next(w, o);
		return r;
	case WORKER_BIND:
		return bind_spare(w, o, in, e);
	case WORKER_REMOVE:
		if (o->slot == UINT32_MAX)
			return resident_remove_groups(&w->host, o->resident.id, e);
		return resident_remove(w->config, o->slot, o->resident.id, e);
	case WORKER_TIDY:
		tidy(w, o, result);
		return 0;
	case WORKER_FREEZE:
		return resident_freeze(&o->resident, true, e);
	case WORKER_THAW:
		return resident_freeze(&o->resident, false, e);
	case WORKER_RECLAIM:
		return resident_reclaim_memory(&o->resident, e);
	case WORKER_INSPECT:
		return inspect(w, o, out, e);
	case WORKER_TYPE_MAX:
		break;
	}
	return err_say(e, EPROTO, "an order of type %d", o->type);
}

/* --- the life of a worker ---------------------------------------------------------- */

/* False when the broker has gone. */
static bool do_one(struct worker *w)
{
	struct worker_order order;
	struct worker_result result = { .status = 125 };
	struct parcel in = { .count = 0 }, out = { .count = 0 };
	int r;

	do {
		struct pollfd pfd = { .fd = w->sock, .events = POLLIN };

		poll(&pfd, 1, -1);
		r = wire_receive(w->sock, &order, sizeof(order), in.fds, WORKER_FDS_MAX,
				 &in.count);
	} while (r == -EAGAIN);
	if (r <= 0)
		return false;
	result.code = carry_out(w, &order, &in, &result, &out, &result.err);
	r = wire_send(w->sock, &result, sizeof(result), out.fds, out.count);
	parcel_close(&in);
	parcel_close(&out);
	return r == 0;
}

static void leave_broker(int *sock)
{
	int *const kept[] = { sock };
	struct err e;
	sigset_t none;

	/* If the broker has died before: its end of the socket is closed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NAME, "carreld-worker", 0, 0, 0) < 0 ||
	    steps_keep_only(kept, 1, &e) < 0)
		_exit(1);
	/* A terminal's Ctrl-C is the broker's business, which then needs us (FI-20). */
	setsid();
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void worker_main(int sock, const struct runtime_config *config,
		 const struct access *access)
{
	const struct cgroup_limits none = { 0 };
	struct worker w = { .sock = sock,
			    .config = config,
			    .access = access,
			    .prepared = RESIDENT_PREPARED_NONE };
	struct err e;

	leave_broker(&w.sock);
	if (cgroup_host_open_below(config->cgroup_parent, &none, &w.host, &e) < 0)
		_exit(1);
	while (do_one(&w)) {
	}
	_exit(0);
}
