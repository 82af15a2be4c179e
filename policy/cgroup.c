/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one sandbox's control groups: made, limited, joined, killed, removed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "policy/cgroup.h"
#include "policy/cgroup_files.h"

static int make_v1(struct cgroup *cg, unsigned tree, struct err *e)
{
	const struct cgroup_tree *t = &cg->host->trees[tree];
	int r = cgroup_make_dir(t->dir, cg->name, &cg->dir[tree], e);

	if (r < 0)
		return err_wrap(e, "%s", t->path);
	return cgroup_open_tasks(cg->dir[tree], cg->name, &cg->tasks[tree], e);
}

int cgroup_create(const struct cgroup_host *host, const char *name, struct cgroup *ret,
		  struct err *e)
{
	int r;

	*ret = CGROUP_NONE;
	ret->host = host;
	r = str_format(ret->name, sizeof(ret->name), "%s", name);
	if (r < 0)
		return err_set(e, -r, "name a cgroup %s", name);
	r = cgroup_make_dir(host->trees[0].dir, name, &ret->dir[0], e);
	return r < 0 ? err_wrap(e, "%s", host->trees[0].path) : 0;
}

int cgroup_complete(struct cgroup *cg, const struct cgroup_limits *limits, struct err *e)
{
	int r = 0;

	for (unsigned i = 1; r == 0 && i < cg->host->ntrees; i++)
		r = make_v1(cg, i, e);
	/* Where carrel-init is one of them, it is not the payload's to pay for. */
	if (r == 0)
		r = cgroup_set_limits(cg->host, cg->dir, limits,
				      cgroup_tree_of(cg->host, CGROUP_PIDS) == 0, e);
	/* What stays has a group for each exec, which dies without the others. */
	if (r < 0 || cg->init >= 0)
		return r;
	if (limits->memory)
		r = cgroup_die_together(cg->host, cg->dir, e);
	if (r == 0)
		r = cgroup_make_dir(cg->dir[0], "exec", &cg->exec, e);
	return r;
}

int cgroup_join(const struct cgroup *cg, struct err *e)
{
	return cgroup_join_tasks(cg->tasks, cg->name, e);
}

int cgroup_watch_oom(const struct cgroup *cg, int *ret_fd, struct err *e)
{
	return cgroup_watch_oom_of(cg->host, cg->dir, cg->name, ret_fd, e);
}

int cgroup_kill(const struct cgroup *cg, struct err *e)
{
	int r = fd_write_at(cg->dir[0], "cgroup.kill", "1");

	if (r < 0)
		return err_set(e, -r, "kill cgroup %s", cg->name);
	return 0;
}

int cgroup_kill_exec(const struct cgroup *cg, struct err *e)
{
	int r = fd_write_at(cg->exec, "cgroup.kill", "1");

	if (r < 0)
		return err_set(e, -r, "kill cgroup %s/exec", cg->name);
	return 0;
}

int cgroup_read_usage(const struct cgroup *cg, struct cgroup_usage *ret, struct err *e)
{
	struct cgroup_usage u = { 0 };

	if (cgroup_count(cg->host, cg->dir, cg->exec, &u, e) < 0)
		return err_wrap(e, "%s/exec", cg->name);
	if (u.pids_peak && cgroup_tree_of(cg->host, CGROUP_PIDS) == 0)
		u.pids_peak--; /* carrel-init */
	*ret = u;
	return 0;
}

/* Keeps the first failure. */
static void gather(int r, const struct err *one, int *first, struct err *e)
{
	if (r < 0 && *first == 0) {
		*first = r;
		*e = *one;
	}
}

/* Removes NAME, below an open parent, and what is below NAME, ending what is still in
 * there. */
static int remove_v2(int parent, int dir, const char *name, struct err *e)
{
	struct err one;
	int first = 0;

	/* Where everybody has left already, which is the rule, nothing has to be ended.
	 */
	err_ignore(unlinkat(dir, "exec", AT_REMOVEDIR) < 0);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (fd_write_at(dir, "cgroup.kill", "1") == 0)
		gather(cgroup_wait_empty(dir, &one), &one, &first, e);
	gather(cgroup_remove_below(dir, &one), &one, &first, e);
	gather(cgroup_remove_dir(parent, name, &one), &one, &first, e);
	return first;
}

static int remove_v1(int parent, int dir, const char *name, struct err *e)
{
	struct err one;
	int first = 0;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	/* Said of a group that is not empty; of another directory: ENOTEMPTY. */
	if (errno == EBUSY)
		gather(cgroup_remove_below(dir, &one), &one, &first, e);
	gather(cgroup_remove_dir(parent, name, &one), &one, &first, e);
	return first;
}

void cgroup_forget_payload(const struct cgroup *cg)
{
	/* If somebody is still in there, cgroup_destroy() deals with it. */
	err_ignore(unlinkat(cg->dir[0], "exec", AT_REMOVEDIR) < 0);
	for (unsigned i = 1; i < cg->host->ntrees; i++)
		err_ignore(unlinkat(cg->host->trees[i].dir, cg->name, AT_REMOVEDIR) < 0);
}

int cgroup_destroy(struct cgroup *cg, struct err *e)
{
	struct err one;
	int first = 0, r;

	/* v2 first: it ends the processes, after which the v1 groups are empty too. */
	for (unsigned i = 0; cg->host && i < cg->host->ntrees; i++) {
		if (cg->dir[i] < 0)
			continue;
		if (i == 0)
			r = remove_v2(cg->host->trees[0].dir, cg->dir[0], cg->name, &one);
		else
			r = remove_v1(cg->host->trees[i].dir, cg->dir[i], cg->name, &one);
		gather(r, &one, &first, e);
	}
	cgroup_close(cg);
	return first;
}

void cgroup_close(struct cgroup *cg)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		fd_close(&cg->dir[i]);
		fd_close(&cg->tasks[i]);
	}
	fd_close(&cg->init);
	fd_close(&cg->exec);
}

int cgroup_reclaim(const char *path, struct err *e)
{
	char parent_path[CGROUP_PATH_MAX];
	const char *slash = strrchr(path, '/');
	auto_fd parent = -1, dir = -1;

	/* The journal may have been damaged: never remove what is not ours by name. */
	if (!slash || strncmp(slash + 1, "carrel-", 7))
		return err_set(e, EPERM, "reclaim cgroup %s", path);
	if (str_format(parent_path, sizeof(parent_path), "%.*s", (int)(slash - path),
		       path) < 0)
		return err_set(e, ENAMETOOLONG, "reclaim cgroup %s", path);
	parent = open(parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 && errno == ENOENT)
		return 0;
	if (parent < 0)
		return err_set(e, errno, "open cgroup %s", parent_path);
	dir = openat(parent, slash + 1, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0)
		return err_set(e, errno, "open cgroup %s", path);
	if (faccessat(dir, "cgroup.kill", F_OK, 0) == 0)
		return remove_v2(parent, dir, slash + 1, e);
	return remove_v1(parent, dir, slash + 1, e);
}
