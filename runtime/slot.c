/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/state_dir.h"
#include "base/str.h"
#include "runtime/slot.h"

static const char magic[8] = "carrel1";

#define OWNER_UNKNOWN UINT32_MAX /* no pid: pid_max is 2^22 */

enum {
	BOOT_ID_SIZE = 40,
	CLAIM_WAIT_MS = 5000, /* for somebody else who is at a slot */
	CLAIM_STEP_MS = 10,
};

struct entry {
	uint32_t pid; /* owner; 0: free */
	uint32_t pid_ns; /* inode of the pid namespace that pid counts in */
};

/* STATE_DIR/slots-FIRST, mapped. That of another boot is started over: nothing of it can
 * be alive. It only ever grows. */
struct table {
	char magic[8];
	char boot_id[BOOT_ID_SIZE];
	uint32_t top; /* entries from here on have never been used */
	struct entry entries[];
};

/* The table while its lock is held. */
struct locked {
	int fd;
	size_t size;
	struct table *table;
};

struct runtime_config runtime_config_defaults(void)
{
	struct runtime_config config = {
		.state_dir = "/run/carrel",
		.rootfs_store = STORE_DIR,
		.id_first = 0x70000000,
		.id_ranges = 0xffe,
	};

	netns_settings_init(&config.network);
	return config;
}

/* Blocks of ids that start elsewhere have tables and records of their own. */
static void table_name(char *buf, size_t size, uint32_t id_first)
{
	bug_on(str_format(buf, size, "slots-%" PRIx32, id_first) < 0);
}

static void table_unlock(struct locked *l)
{
	if (l->table)
		munmap(l->table, l->size);
	l->table = NULL;
	fd_close(&l->fd); /* and with it the lock */
}

/* A table that makes no sense says nothing of who has which range. What still has a
 * record stays taken until the next boot, by nobody who could be found dead; a record of
 * an earlier boot (`stale`) means nothing and goes. */
static void rebuild(struct table *t, int state_dir, const struct runtime_config *config,
		    bool stale)
{
	int fd =
		openat(state_dir, "run", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((d = readdir(dir))) {
		unsigned long base = strtoul(d->d_name, NULL, 16);
		unsigned long index = (base - config->id_first) / SPEC_ID_RANGE;

		if (base < config->id_first || index >= config->id_ranges)
			continue;
		if (stale) {
			unlinkat(dirfd(dir), d->d_name, 0);
			continue;
		}
		t->entries[index] = (struct entry){ .pid = OWNER_UNKNOWN };
		if (t->top <= index)
			t->top = (uint32_t)index + 1;
	}
	closedir(dir);
}

static int check_table(struct locked *l, size_t old_size, int state_dir,
		       const struct runtime_config *config, struct err *e)
{
	struct table *t = l->table;
	char boot_id[BOOT_ID_SIZE] = { 0 };
	ssize_t n = fd_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot_id,
			       sizeof(boot_id));
	bool ours, same_boot;

	bug_on(!t);
	if (n < 0)
		return err_set(e, (int)-n, "read the boot id");
	ours = old_size >= sizeof(*t) && !memcmp(t->magic, magic, sizeof(magic));
	same_boot = ours && !memcmp(t->boot_id, boot_id, sizeof(boot_id));
	if (same_boot && t->top <= (old_size - sizeof(*t)) / sizeof(t->entries[0]))
		return 0;
	memset(t, 0, l->size);
	memcpy(t->magic, magic, sizeof(magic));
	memcpy(t->boot_id, boot_id, sizeof(boot_id));
	rebuild(t, state_dir, config, ours && !same_boot);
	return 0;
}

/* Opens, locks, sizes and maps the file. What is built up is the caller's to undo. */
static int table_map(struct locked *l, int state_dir, const struct runtime_config *config,
		     size_t *ret_old_size, struct err *e)
{
	char name[24];
	struct stat st;
	int r;

	table_name(name, sizeof(name), config->id_first);
	l->fd = openat(state_dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return err_set(e, errno, "open %s", name);
	if (flock(l->fd, LOCK_EX) < 0 || fstat(l->fd, &st) < 0)
		return err_set(e, errno, "lock %s", name);
	*ret_old_size = (size_t)st.st_size;
	l->size = sizeof(struct table) + config->id_ranges * sizeof(struct entry);
	if (l->size < *ret_old_size)
		l->size = *ret_old_size;
	/* All of it now: a full file system would otherwise be a SIGBUS later. */
	r = l->size > *ret_old_size ? posix_fallocate(l->fd, 0, (off_t)l->size) : 0;
	if (r)
		return err_set(e, r, "make room for %s", name);
	l->table = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->table == MAP_FAILED) {
		l->table = NULL;
		return err_set(e, errno, "map %s", name);
	}
	return 0;
}

static int table_lock(int state_dir, const struct runtime_config *config,
		      struct locked *ret, struct err *e)
{
	struct locked l = { .fd = -1 };
	size_t old_size = 0;
	int r = table_map(&l, state_dir, config, &old_size, e);

	if (r == 0)
		r = check_table(&l, old_size, state_dir, config, e);
	if (r < 0) {
		table_unlock(&l);
		return r;
	}
	*ret = l;
	return 0;
}

static int own_pid_ns(uint32_t *ret, struct err *e)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		return err_set(e, errno, "stat our pid namespace");
	*ret = (uint32_t)st.st_ino;
	return 0;
}

/* Is the owner gone? One that counts in another pid namespace cannot be judged. */
static bool is_dead(const struct entry *en, uint32_t pid_ns)
{
	return en->pid && en->pid != OWNER_UNKNOWN && en->pid_ns == pid_ns &&
	       kill((pid_t)en->pid, 0) < 0 && errno == ESRCH;
}

/* Makes dead entries ours for the time that it takes to remove what they list: without
 * the lock, for it can be milliseconds. One that cannot be cleaned up stays taken until
 * the next boot, so that its ids go to nobody else, and keeps nobody from starting. */
static int take_over(int state_dir, const struct runtime_config *config, struct locked *l,
		     uint32_t pid_ns, struct err *e)
{
	bug_on(!l->table);
	for (uint32_t i = 0; i < l->table->top; i++) {
		struct entry after = { 0 };
		struct err ignored;

		if (!is_dead(&l->table->entries[i], pid_ns))
			continue;
		l->table->entries[i].pid = (uint32_t)getpid();
		table_unlock(l);
		if (record_reclaim(state_dir, config->id_first + i * SPEC_ID_RANGE,
				   &ignored) < 0)
			after.pid = OWNER_UNKNOWN;
		if (table_lock(state_dir, config, l, e) < 0)
			return e->code;
		bug_on(!l->table);
		l->table->entries[i] = after;
	}
	return 0;
}

static int take_lowest(struct table *t, uint32_t ranges, uint32_t pid_ns, uint32_t *ret,
		       struct err *e)
{
	for (uint32_t i = 0; i < ranges; i++) {
		if (i < t->top && t->entries[i].pid)
			continue;
		t->entries[i] = (struct entry){ (uint32_t)getpid(), pid_ns };
		if (i >= t->top)
			t->top = i + 1;
		*ret = i;
		return 0;
	}
	return err_say(e, EBUSY, "all %" PRIu32 " id ranges are in use", ranges);
}

static int acquire(const struct runtime_config *config, struct slot *slot, struct err *e)
{
	struct locked l = { .fd = -1 };
	uint32_t pid_ns = 0, generation;
	int r = own_pid_ns(&pid_ns, e);

	if (r == 0)
		r = state_dir_open(config->state_dir, &slot->state_dir, e);
	if (r < 0)
		return r;
	if (mkdirat(slot->state_dir, "run", 0700) < 0 && errno != EEXIST)
		return err_set(e, errno, "make run");
	r = table_lock(slot->state_dir, config, &l, e);
	if (r == 0)
		r = take_over(slot->state_dir, config, &l, pid_ns, e);
	if (r == 0)
		r = take_lowest(l.table, config->id_ranges, pid_ns, &slot->index, e);
	table_unlock(&l);
	if (r < 0)
		return r;
	if (getrandom(&generation, sizeof(generation), 0) != sizeof(generation))
		return err_set(e, errno, "get random bytes");
	slot->id_first = config->id_first;
	slot->id_base = config->id_first + slot->index * SPEC_ID_RANGE;
	r = str_format(slot->name, sizeof(slot->name), "carrel-%" PRIu32 "-%08" PRIx32,
		       slot->index, generation);
	return r < 0 ? err_set(e, -r, "name a sandbox") : 0;
}

int slot_acquire(const struct runtime_config *config, struct slot *ret, struct err *e)
{
	int r;

	*ret = SLOT_NONE;
	r = acquire(config, ret, e);
	if (r < 0) {
		fd_close(&ret->state_dir);
		return err_wrap(e, "take an id range in %s", config->state_dir);
	}
	return 0;
}

int slot_owner(int state_dir, char ret[SLOT_OWNER_SIZE], struct err *e)
{
	struct stat st;

	if (fstat(state_dir, &st) < 0)
		return err_set(e, errno, "look at the state directory");
	bug_on(str_format(ret, SLOT_OWNER_SIZE, "%jx:%jx", (uintmax_t)st.st_dev,
			  (uintmax_t)st.st_ino) < 0);
	return 0;
}

int slot_record(const struct slot *slot, const struct cgroup_host *host, struct err *e)
{
	return record_write(slot->state_dir, slot->id_base, host, slot->name, false, e);
}

int slot_record_network(const struct slot *slot, const char *host_end, struct err *e)
{
	return record_append_network(slot->state_dir, slot->id_base, host_end, e);
}

/* One aligned word, and only its owner may change it: no lock needed. */
static int set_owner(const struct slot *slot, const struct entry *entry, struct err *e)
{
	off_t at = (off_t)(offsetof(struct table, entries) +
			   slot->index * sizeof(struct entry));
	char name[24];
	auto_fd fd = -1;

	table_name(name, sizeof(name), slot->id_first);
	fd = openat(slot->state_dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, entry, sizeof(*entry), at) != sizeof(*entry))
		return err_set(e, errno, "say in %s who has a slot", name);
	return 0;
}

void slot_release(struct slot *slot)
{
	const struct entry nobody = { 0 };
	struct err ignored;

	if (slot->state_dir < 0)
		return;
	record_remove(slot->state_dir, slot->id_base);
	err_ignore(set_owner(slot, &nobody, &ignored) < 0);
	fd_close(&slot->state_dir);
}

/* --- residents --------------------------------------------------------------------- */

int slot_record_resident(const struct slot *slot, const struct cgroup_host *host,
			 struct err *e)
{
	return record_write(slot->state_dir, slot->id_base, host, slot->name, true, e);
}

int slot_hand_over(struct slot *slot, const struct record *record, struct err *e)
{
	struct entry init = { .pid = (uint32_t)record->init };
	int r = own_pid_ns(&init.pid_ns, e);

	if (r == 0)
		r = record_append_resident(slot->state_dir, slot->id_base, record, e);
	if (r == 0)
		r = set_owner(slot, &init, e);
	return r;
}

static int open_slot(const struct runtime_config *config, uint32_t index,
		     struct slot *slot, struct err *e)
{
	int r;

	*slot = SLOT_NONE;
	if (index >= config->id_ranges)
		return err_say(e, ENOENT, "there is no slot %" PRIu32, index);
	r = state_dir_open(config->state_dir, &slot->state_dir, e);
	slot->index = index;
	slot->id_first = config->id_first;
	slot->id_base = config->id_first + index * SPEC_ID_RANGE;
	return r;
}

static int read_resident(struct slot *slot, struct record *ret, struct err *e)
{
	const char *slash;
	int r = record_read(slot->state_dir, slot->id_base, ret, e);

	if (r < 0 && r != -EPROTO)
		return r;
	if (!ret->resident || !ret->group_count)
		return err_say(e, ENOENT, "slot %" PRIu32 " has no resident",
			       slot->index);
	slash = strrchr(ret->groups[0], '/');
	if (slash && str_format(slot->name, sizeof(slot->name), "%s", slash + 1) < 0)
		r = err_say(e, EPROTO, "its cgroup has no name");
	return r;
}

int slot_open(const struct runtime_config *config, uint32_t index, struct slot *ret,
	      struct record *ret_record, struct err *e)
{
	off_t at =
		(off_t)(offsetof(struct table, entries) + index * sizeof(struct entry));
	struct entry owner = { 0 };
	char name[24];
	auto_fd fd = -1;
	int r = open_slot(config, index, ret, e);

	if (r == 0)
		r = read_resident(ret, ret_record, e);
	if (r < 0)
		return r == -EPROTO ? err_wrap(e, "slot %" PRIu32, index) : r;
	table_name(name, sizeof(name), config->id_first);
	fd = openat(ret->state_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pread(fd, &owner, sizeof(owner), at) != sizeof(owner))
		return err_set(e, errno, "read who has a slot from %s", name);
	/* Somebody was at it: it was not complete, or began to be removed. */
	if (owner.pid != OWNER_UNKNOWN && owner.pid != (uint32_t)ret_record->init)
		return err_say(e, ESRCH, "slot %" PRIu32 " is process %" PRIu32 "'s",
			       index, owner.pid);
	return 0;
}

void slot_close(struct slot *slot)
{
	fd_close(&slot->state_dir);
}

/* Is that process the PID 1 of what is recorded? A damaged record may not say so. */
static bool is_init(const struct record *record, uint32_t pid)
{
	char path[CGROUP_PATH_MAX], text[64], number[16];

	if (pid == (uint32_t)record->init)
		return true;
	bug_on(str_format(number, sizeof(number), "%" PRIu32, pid) < 0);
	return str_format(path, sizeof(path), "%s/init/cgroup.procs",
			  record->groups[0]) == 0 &&
	       fd_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	       !strcmp(text, number);
}

/* With the lock held. −EAGAIN: somebody who lives is at it. */
static int claim_locked(struct table *t, struct slot *slot, uint32_t pid_ns,
			const struct record *record)
{
	struct entry *en = &t->entries[slot->index];

	if (en->pid && en->pid != OWNER_UNKNOWN && en->pid != (uint32_t)getpid() &&
	    !is_dead(en, pid_ns) && !is_init(record, en->pid))
		return -EAGAIN;
	slot->owner = en->pid;
	*en = (struct entry){ (uint32_t)getpid(), pid_ns };
	if (slot->index >= t->top)
		t->top = slot->index + 1;
	return 0;
}

static int claim(const struct runtime_config *config, const char *id, struct slot *slot,
		 struct record *ret_record, struct err *e)
{
	struct locked l = { .fd = -1 };
	uint32_t pid_ns = 0;
	int r = own_pid_ns(&pid_ns, e);

	if (r == 0)
		r = table_lock(slot->state_dir, config, &l, e);
	if (r < 0)
		return r;
	bug_on(!l.table);
	/* A record that makes no sense lists what can be removed all the same. */
	r = read_resident(slot, ret_record, e);
	if ((r == 0 || r == -EPROTO) && id && strcmp(slot->name, id) != 0)
		r = err_say(e, ENOENT, "%s is gone", id);
	else if (r == 0 || r == -EPROTO)
		r = claim_locked(l.table, slot, pid_ns, ret_record);
	table_unlock(&l);
	return r;
}

int slot_claim(const struct runtime_config *config, uint32_t index, const char *id,
	       struct slot *ret, struct record *ret_record, struct err *e)
{
	int r = open_slot(config, index, ret, e);

	for (int waited = 0; r == 0; waited += CLAIM_STEP_MS) {
		r = claim(config, id, ret, ret_record, e);
		if (r != -EAGAIN)
			return r;
		if (waited >= CLAIM_WAIT_MS)
			return err_say(e, EBUSY, "somebody else is at slot %" PRIu32,
				       index);
		nanosleep(&(struct timespec){ .tv_nsec = CLAIM_STEP_MS * 1000000L },
			  NULL);
		r = 0;
	}
	return r;
}

void slot_give_back(struct slot *slot)
{
	struct entry entry = { .pid = slot->owner };
	struct err ignored;

	if (own_pid_ns(&entry.pid_ns, &ignored) == 0)
		err_ignore(set_owner(slot, &entry, &ignored) < 0);
	fd_close(&slot->state_dir);
}

static int list_residents(const struct runtime_config *config, int state_dir,
			  bool *residents, struct err *e)
{
	int fd =
		openat(state_dir, "run", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir) {
		fd_close(&fd);
		return err_set(e, errno, "list run");
	}
	while ((d = readdir(dir))) {
		unsigned long base = strtoul(d->d_name, NULL, 16);
		unsigned long index = (base - config->id_first) / SPEC_ID_RANGE;
		struct record record;
		struct err ignored;

		if (base < config->id_first || index >= config->id_ranges)
			continue;
		err_ignore(record_read(state_dir, (uint32_t)base, &record, &ignored) < 0);
		residents[index] = record.resident;
	}
	closedir(dir);
	return 0;
}

int slot_each_resident(const struct runtime_config *config,
		       int (*found)(void *context, uint32_t index, struct err *e),
		       void *context, struct err *e)
{
	auto_free bool *residents = calloc(config->id_ranges, sizeof(bool));
	struct locked l = { .fd = -1 };
	auto_fd state_dir = -1;
	int r;

	if (!residents)
		return err_set(e, ENOMEM, "list residents");
	r = state_dir_open(config->state_dir, &state_dir, e);
	/* A damaged table is made good before anything is believed of it. */
	if (r == 0)
		r = table_lock(state_dir, config, &l, e);
	table_unlock(&l);
	if (r == 0)
		r = list_residents(config, state_dir, residents, e);
	for (uint32_t i = 0; r == 0 && i < config->id_ranges; i++) {
		if (residents[i])
			r = found(context, i, e);
	}
	return r;
}
