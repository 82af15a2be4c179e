/* SPDX-License-Identifier: Apache-2.0 */
/* What to build for a definition: from a profile and a completed request to a spec. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "runtime/definition.h"

/* Every tmpfs is cut in place: the profile's text stays whole. */
static int add_tmpfs(struct definition_spec *s, char *const *texts, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && texts[i]; i++) {
		s->tmpfs[i] = strdup(texts[i]);
		if (!s->tmpfs[i])
			return err_set(e, ENOMEM, "plan a tmpfs");
		r = rootfs_plan_tmpfs(&s->spec.files, s->tmpfs[i], e);
	}
	return r;
}

static int add_workspace(struct rootfs_plan *plan, const char *name, int fd,
			 struct err *e)
{
	int r = rootfs_plan_workspace(plan, name, e);

	for (unsigned i = 0; r == 0 && i < plan->count; i++) {
		if (plan->mounts[i].workspace)
			plan->mounts[i].source_fd = fd;
	}
	return r;
}

static void set_limits(struct cgroup_limits *limits, const struct wire_limits *wanted)
{
	*limits = (struct cgroup_limits){ .memory = wanted->memory,
					  .cpu_milli = wanted->cpu_milli,
					  .pids = wanted->pids };
}

int definition_spec_make(struct definition_spec *ret, const struct runtime_config *config,
			 const struct profile *profile,
			 const struct wire_ensure *completed, int workspace,
			 struct err *e)
{
	static char *const none[] = { NULL };
	struct spec *spec = &ret->spec;
	int r;

	*ret = (struct definition_spec){ 0 };
	/* 0 means "by its path" to the plan, which this path must never be. */
	bug_on(workspace == 0);
	spec_init(spec);
	spec->argv = none;
	spec->envp = none;
	spec->uid = profile->uid;
	spec->gid = profile->gid;
	set_limits(&spec->limits, &completed->limits);
	spec->network = profile->network;
	spec->network.egress = completed->network == WIRE_NETWORK_EGRESS;
	spec->files.rootfs = *profile->rootfs ? profile->rootfs : NULL;
	spec->files.store = config->rootfs_store;
	spec->files.hostname = completed->hostname;
	spec->directory = ROOTFS_WORKSPACE;
	r = add_tmpfs(ret, profile->tmpfs, e);
	if (r == 0 && workspace > 0)
		r = add_workspace(&spec->files, completed->workspace, workspace, e);
	/* The place is there in every sandbox, so that one can be had ready before it is
	 * known whose it will be. */
	if (r == 0)
		rootfs_plan_scratch(&spec->files, ROOTFS_WORKSPACE);
	if (r == 0 && spec->network.egress)
		r = netns_resolv_conf(&config->network, &spec->network, ret->resolv_conf,
				      sizeof(ret->resolv_conf), e);
	spec->files.resolv_conf = ret->resolv_conf;
	return r == 0 ? rootfs_plan_finish(&spec->files, e) : r;
}

void definition_spec_free(struct definition_spec *s)
{
	for (size_t i = 0; i < ACCESS_MOUNTS_MAX; i++) {
		free(s->tmpfs[i]);
		s->tmpfs[i] = NULL;
	}
}

/* Why it could not be opened, without a word about the host. */
static int explain(const char *workspace, int errnum, struct err *e)
{
	if (errnum == ELOOP)
		return err_say(e, errnum, "%s is or passes through a symbolic link",
			       workspace);
	if (errnum == EXDEV)
		return err_say(e, errnum, "%s is or passes through another mount",
			       workspace);
	return err_set(e, errnum, "open %s", workspace);
}

int definition_open_workspace(const struct client *client, const char *workspace,
			      uid_t uid, int *ret_fd, struct err *e)
{
	auto_fd root = -1, fd = -1;
	struct stat st;

	if (!*client->workspace_root || !access_is_workspace(workspace))
		return err_say(e, EINVAL, "not a workspace of this client");
	root = sys_openat2(AT_FDCWD, client->workspace_root, O_PATH | O_DIRECTORY,
			   RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (root < 0)
		return err_set(e, errno, "open the root of workspaces");
	fd = sys_openat2(root, workspace, O_PATH | O_DIRECTORY,
			 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
				 RESOLVE_NO_XDEV);
	if (fd < 0)
		return explain(workspace, errno, e);
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", workspace);
	if (st.st_uid != uid)
		return err_say(e, EPERM, "%s does not belong to this client", workspace);
	/* Never 0, which is none to a plan: the root had a lower number. */
	*ret_fd = fd_take(&fd);
	return 0;
}
