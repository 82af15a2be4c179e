/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of sandboxes, found without their records. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/state_dir.h"
#include "base/str.h"
#include "runtime/resident.h"
#include "runtime/slot.h"

static int own_name(const struct runtime_config *config, char owner[SLOT_OWNER_SIZE],
		    struct err *e)
{
	auto_fd state = -1;
	int r = state_dir_open(config->state_dir, &state, e);

	return r == 0 ? slot_owner(state, owner, e) : r;
}

/* Neither `carrel run`'s, nor another daemon's, nor anybody else's who likes the name. */
static bool is_own(int parent, const char *name, const char *owner)
{
	auto_fd dir = -1;

	if (strncmp(name, "carrel-", 7) != 0 || strlen(name) >= CGROUP_NAME_MAX)
		return false;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dir >= 0 && cgroup_has_owner(dir, owner);
}

int resident_each_group(const struct runtime_config *config,
			const struct cgroup_host *host,
			int (*found)(void *context, const char *id, struct err *e),
			void *context, struct err *e)
{
	char owner[SLOT_OWNER_SIZE];
	struct dirent *d;
	DIR *dir;
	int r = own_name(config, owner, e), fd;

	if (r < 0)
		return r;
	fd = openat(host->trees[0].dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = err_set(e, errno, "list %s", host->trees[0].path);
		fd_close(&fd);
		return r;
	}
	while (r == 0 && (d = readdir(dir))) {
		if (is_own(dirfd(dir), d->d_name, owner))
			r = found(context, d->d_name, e);
	}
	closedir(dir);
	return r;
}

uint32_t resident_slot_of(const char *id)
{
	uint32_t slot;

	return sscanf(id, "carrel-%" SCNu32 "-", &slot) == 1 ? slot : UINT32_MAX;
}

int resident_remove_groups(const struct cgroup_host *host, const char *id, struct err *e)
{
	char path[CGROUP_PATH_MAX + CGROUP_NAME_MAX];
	int r = 0;

	/* v2's first: nobody who is killed there comes back in another. */
	for (unsigned i = 0; r == 0 && i < host->ntrees; i++) {
		if (str_format(path, sizeof(path), "%s/%s", host->trees[i].path, id) < 0)
			return err_set(e, ENAMETOOLONG, "name the cgroup %s", id);
		r = cgroup_reclaim(path, e);
	}
	return r;
}
