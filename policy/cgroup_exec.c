/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup_exec.h"
#include "policy/cgroup_files.h"

#define LABEL "trusted.carrel" /* extended attribute: root's alone to read */
#define OWNER "trusted.carrel_owner"
#define INIT  "init"

/* What each command has of its own, so that its peaks are; processor time is counted by
 * v2 in any case. */
#define OF_EACH_EXEC ((1u << CGROUP_MEMORY) | (1u << CGROUP_PIDS))

/* --- the sandbox ------------------------------------------------------------------- */

/* Descriptors that only name a file have no attributes. */
static int open_for_label(int dir, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_set(e, errno, "open a cgroup");
	return 0;
}

int cgroup_set_label(int dir, const void *label, size_t size, struct err *e)
{
	auto_fd fd = -1;
	int r = open_for_label(dir, &fd, e);

	if (r == 0 && fsetxattr(fd, LABEL, label, size, 0) < 0)
		return err_set(e, errno, "label a cgroup");
	return r;
}

int cgroup_read_label(int dir, void **ret, size_t *ret_size, struct err *e)
{
	auto_free char *label = NULL;
	auto_fd fd = -1;
	int r = open_for_label(dir, &fd, e);
	ssize_t size, n;

	if (r < 0)
		return r;
	size = fgetxattr(fd, LABEL, NULL, 0);
	if (size < 0)
		return err_set(e, errno, "read the label of a cgroup");
	label = malloc((size_t)size + 1);
	if (!label)
		return err_set(e, ENOMEM, "read the label of a cgroup");
	n = fgetxattr(fd, LABEL, label, (size_t)size);
	if (n < 0)
		return err_set(e, errno, "read the label of a cgroup");
	label[n] = '\0';
	*ret_size = (size_t)n;
	*ret = label;
	label = NULL;
	return 0;
}

int cgroup_set_owner(int dir, const char *owner, struct err *e)
{
	auto_fd fd = -1;
	int r = open_for_label(dir, &fd, e);

	if (r == 0 && fsetxattr(fd, OWNER, owner, strlen(owner), 0) < 0)
		return err_set(e, errno, "note the owner of a cgroup");
	return r;
}

bool cgroup_has_owner(int dir, const char *owner)
{
	char text[64];
	auto_fd fd = -1;
	struct err ignored;
	ssize_t n = -1;

	if (open_for_label(dir, &fd, &ignored) == 0)
		n = fgetxattr(fd, OWNER, text, sizeof(text));
	return n >= 0 && (size_t)n == strlen(owner) && !memcmp(text, owner, (size_t)n);
}

/* In v2, hands controllers down to the groups below. */
static int hand_down(const struct cgroup_host *host, int dir, unsigned controllers,
		     struct err *e)
{
	char text[64];
	struct str s = str_over(text, sizeof(text));
	int r;

	controllers &= host->trees[0].controllers;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (controllers & (1u << c))
			str_add(&s, "+%s ",
				cgroup_controller_name((enum cgroup_controller)c));
	}
	if (!s.len)
		return 0;
	r = fd_write_at(dir, "cgroup.subtree_control", text);
	return r < 0 ? err_set(e, -r, "write %s to cgroup.subtree_control", text) : 0;
}

int cgroup_stay(struct cgroup *cg, const void *label, size_t size, struct err *e)
{
	int r = cgroup_set_label(cg->dir[0], label, size, e);

	/* Before there is anybody below: moving one to other controllers takes an RCU
	 * grace period. */
	if (r == 0)
		r = hand_down(cg->host, cg->dir[0], OF_EACH_EXEC, e);
	if (r == 0)
		r = cgroup_make_dir(cg->dir[0], INIT, &cg->init, e);
	return r < 0 ? err_wrap(e, "cgroup %s", cg->name) : 0;
}

int cgroup_kill_all(int dir, struct err *e)
{
	int r = fd_write_at(dir, "cgroup.kill", "1");

	return r < 0 ? err_set(e, -r, "write to cgroup.kill") : 0;
}

int cgroup_freeze(int dir, bool frozen, struct err *e)
{
	int r = fd_write_at(dir, "cgroup.freeze", frozen ? "1" : "0");

	if (r < 0)
		return err_set(e, -r, "write to cgroup.freeze");
	r = cgroup_wait_event(dir, frozen ? "frozen 1" : "frozen 0", e);
	/* Nobody would know that it is half frozen (FI-23). */
	if (r < 0 && frozen)
		err_ignore(fd_write_at(dir, "cgroup.freeze", "0") < 0);
	return r;
}

/* v1 takes back what it finds; v2 wants to know how much, and says so when there was
 * less: all it could find was less than all there is. */
static int reclaim_in(int dir)
{
	char used[32];
	ssize_t n;
	int r = fd_write_at(dir, "memory.force_empty", "0");

	if (r != -ENOENT)
		return r;
	n = fd_read_at(dir, "memory.current", used, sizeof(used));
	r = n < 0 ? (int)n : fd_write_at(dir, "memory.reclaim", used);
	return r == -EAGAIN ? 0 : r;
}

int cgroup_reclaim_memory(const int *dirs, struct err *e)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		int r = dirs[i] >= 0 ? reclaim_in(dirs[i]) : -ENOENT;

		if (r == -ENOENT)
			continue;
		return r < 0 ? err_set(e, -r, "have the kernel take back memory") : 0;
	}
	return err_say(e, ENOTSUP, "the kernel has no means to take back memory");
}

int cgroup_read_limits(const struct cgroup_place *place, struct cgroup_limits *ret,
		       struct err *e)
{
	int r = cgroup_get_limits(place->host, place->dir, ret, e);

	if (r == 0 && ret->pids && cgroup_tree_of(place->host, CGROUP_PIDS) == 0)
		ret->pids--;
	return r;
}

int cgroup_is_frozen(int dir, bool *ret, struct err *e)
{
	char text[256];
	ssize_t n = fd_read_at(dir, "cgroup.events", text, sizeof(text));

	if (n < 0)
		return err_set(e, (int)-n, "read cgroup.events");
	*ret = strstr(text, "frozen 1") != NULL;
	return 0;
}

/* --- its commands ------------------------------------------------------------------ */

static unsigned limited(const struct cgroup_limits *l)
{
	return (l->pids ? 1u << CGROUP_PIDS : 0) | (l->memory ? 1u << CGROUP_MEMORY : 0) |
	       (l->cpu_milli ? 1u << CGROUP_CPU : 0);
}

/* One that has been prepared is taken. */
static int make_or_take(int parent, const char *id, bool prepared, int *ret,
			struct err *e)
{
	int r = cgroup_make_dir(parent, id, ret, e);

	if (r != -EEXIST || !prepared)
		return r;
	*ret = openat(parent, id, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret < 0 ? err_set(e, errno, "open cgroup %s", id) : 0;
}

static int make_v1(const struct cgroup_place *place, unsigned tree, const char *id,
		   bool own, bool prepared, struct cgroup_exec *x, struct err *e)
{
	int r = own ? make_or_take(place->dir[tree], id, prepared, &x->dir[tree], e) : 0;

	if (r == 0)
		r = cgroup_open_tasks(own ? x->dir[tree] : place->dir[tree], id,
				      &x->tasks[tree], e);
	return r < 0 ? err_wrap(e, "%s", place->host->trees[tree].path) : 0;
}

static int make_all(const struct cgroup_place *place, const char *id,
		    const struct cgroup_limits *limits, bool prepared,
		    struct cgroup_exec *x, struct err *e)
{
	const struct cgroup_host *host = place->host;
	unsigned wanted = OF_EACH_EXEC | limited(limits);
	int r = 0;

	/* Only for those who ask: it costs each group a share of every processor. */
	if (limits->cpu_milli)
		r = hand_down(host, place->dir[0], 1u << CGROUP_CPU, e);
	for (unsigned i = 1; r == 0 && i < host->ntrees; i++)
		r = make_v1(place, i, id, host->trees[i].controllers & wanted, prepared,
			    x, e);
	if (r == 0)
		r = cgroup_set_limits(host, x->dir, limits, 0, e);
	if (r == 0)
		r = cgroup_die_together(host, x->dir, e);
	return r;
}

int cgroup_exec_prepare(const struct cgroup_place *place, const char *id,
			struct cgroup_exec *ret, struct err *e)
{
	static const struct cgroup_limits none;
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	int r = cgroup_make_dir(place->dir[0], id, &x.dir[0], e);

	/* From here on, the command itself may be at it, and take what there is. */
	if (r == 0)
		r = make_all(place, id, &none, true, &x, e);
	if (r < 0)
		cgroup_exec_close(&x);
	else
		*ret = x;
	return r;
}

int cgroup_exec_create(const struct cgroup_place *place, const char *id,
		       const struct cgroup_limits *limits, bool prepared,
		       struct cgroup_exec *ret, struct err *e)
{
	struct cgroup_exec x = CGROUP_EXEC_NONE;
	struct err ignored;
	int r = make_or_take(place->dir[0], id, prepared, &x.dir[0], e);

	if (r < 0)
		return r;
	r = make_all(place, id, limits, prepared, &x, e);
	if (r < 0) {
		cgroup_exec_close(&x);
		err_ignore(cgroup_exec_remove(place, id, &ignored) < 0);
		return r;
	}
	*ret = x;
	return 0;
}

int cgroup_exec_open(const struct cgroup_place *place, const char *id,
		     struct cgroup_exec *ret, struct err *e)
{
	struct cgroup_exec x = CGROUP_EXEC_NONE;

	for (unsigned i = 0; i < place->host->ntrees; i++) {
		x.dir[i] = openat(place->dir[i], id,
				  O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		/* In some v1 trees it has none. */
		if (x.dir[i] < 0 && (i == 0 || errno != ENOENT)) {
			err_set(e, errno, "open cgroup %s", id);
			cgroup_exec_close(&x);
			return e->code;
		}
	}
	*ret = x;
	return 0;
}

void cgroup_exec_close(struct cgroup_exec *x)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		fd_close(&x->dir[i]);
		fd_close(&x->tasks[i]);
	}
}

int cgroup_exec_join(const struct cgroup_exec *x, struct err *e)
{
	return cgroup_join_tasks(x->tasks, "of an exec", e);
}

int cgroup_exec_watch_oom(const struct cgroup_place *place, const struct cgroup_exec *x,
			  int *ret_fd, struct err *e)
{
	return cgroup_watch_oom_of(place->host, x->dir, "an exec", ret_fd, e);
}

int cgroup_exec_read_usage(const struct cgroup_place *place, const struct cgroup_exec *x,
			   struct cgroup_usage *ret, struct err *e)
{
	return cgroup_count(place->host, x->dir, x->dir[0], ret, e);
}

/* v1 first: of those that are left alone there, nobody would be killed any more. */
int cgroup_exec_remove(const struct cgroup_place *place, const char *id, struct err *e)
{
	for (unsigned i = place->host->ntrees; i-- > 0;) {
		if (unlinkat(place->dir[i], id, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return err_set(e, errno, "remove cgroup %s", id);
	}
	return 0;
}

struct sweep {
	const struct cgroup_place *place;
	bool kill; /* in v2; otherwise remove */
	int code;
	struct err err;
};

/* Goes on after a failure and keeps the first. */
static int sweep_one(void *context, int dir, const char *name, struct err *e)
{
	struct sweep *s = context;
	auto_fd group = -1;
	int r = 0;

	if (!strcmp(name, INIT))
		return 0;
	if (!s->kill) {
		r = cgroup_exec_remove(s->place, name, e);
	} else {
		group = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (group >= 0)
			r = cgroup_kill_all(group, e);
	}
	if (r < 0 && s->code == 0) {
		s->code = r;
		s->err = *e;
	}
	return 0;
}

/* Can a group have any below it but that of PID 1? A directory has two links, and one
 * more for each directory in it; asked of a thousand sandboxes, lists take longer. */
static bool may_have_commands(int dir)
{
	struct stat st;

	if (fstat(dir, &st) < 0 || st.st_nlink > 3)
		return true;
	return st.st_nlink == 3 && faccessat(dir, INIT, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

int cgroup_exec_sweep(const struct cgroup_place *place, struct err *e)
{
	struct sweep s = { .place = place, .kill = true };
	int r = 0;

	if (may_have_commands(place->dir[0]))
		r = cgroup_each_below(place->dir[0], sweep_one, &s, e);
	/* All trees: whoever made them may not have come further than to one. */
	s.kill = false;
	for (unsigned i = 0; r == 0 && i < place->host->ntrees; i++) {
		if (may_have_commands(place->dir[i]))
			r = cgroup_each_below(place->dir[i], sweep_one, &s, e);
	}
	if (r == 0 && s.code < 0) {
		*e = s.err;
		r = s.code;
	}
	return r;
}
