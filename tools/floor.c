/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "tools/floor.h"

#define INERT (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Where the skeleton is attached while it is built; gone with the host's root. */
#define PLACE "/tmp"

#define must(call)                      \
	do {                            \
		if ((call) < 0)         \
			fail(__LINE__); \
	} while (0)

enum { UID_INSIDE = 1000 };

static __attribute__((noreturn)) void fail(int line)
{
	dprintf(2, "floor.c:%d: %s\n", line, strerror(errno));
	_exit(RUN_STATUS_FAILED);
}

/* Writes where there is such a file: a kernel without swap has no limits for it. */
static void put_if_there(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return;
	must(fd);
	must(write(fd, text, strlen(text)));
	close(fd);
}

static void put(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	must(fd);
	must(write(fd, text, strlen(text)));
	close(fd);
}

/* --- user namespace -------------------------------------------------------------- */

static int seal(void *unused)
{
	static const char *const kinds[] = { "cgroup", "ipc",  "mnt",  "net",
					     "pid",    "time", "user", "uts" };

	(void)unused;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char path[64];

		must(str_format(path, sizeof(path), "/proc/sys/user/max_%s_namespaces",
				kinds[i]));
		put(AT_FDCWD, path, "0");
	}
	_exit(0);
}

static int make_userns(uint32_t id_base)
{
	char stack[8192] __attribute__((aligned(16))), text[64], path[32];
	pid_t pid = clone(seal, stack + sizeof(stack),
			  CLONE_NEWUSER | CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	int proc, fd;

	must(pid);
	must(str_format(path, sizeof(path), "/proc/%d", (int)pid));
	must(str_format(text, sizeof(text), "0 %" PRIu32 " %d\n", id_base,
			SPEC_ID_RANGE));
	proc = open(path, O_PATH | O_CLOEXEC);
	must(proc);
	put(proc, "setgroups", "deny");
	put(proc, "uid_map", text);
	put(proc, "gid_map", text);
	fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	must(fd);
	close(proc);
	must(waitpid(pid, NULL, 0));
	return fd;
}

/* --- cgroups --------------------------------------------------------------------- */

/* carrel's default limits, in the order in which the kernel takes them. */
static const struct {
	enum cgroup_controller controller;
	bool v2;
	const char *file, *value;
} limits[] = {
	{ CGROUP_PIDS, false, "pids.max", "257" },
	{ CGROUP_MEMORY, false, "memory.limit_in_bytes", "536870912" },
	{ CGROUP_MEMORY, false, "memory.memsw.limit_in_bytes", "536870912" },
	{ CGROUP_CPU, false, "cpu.cfs_period_us", "100000" },
	{ CGROUP_CPU, false, "cpu.cfs_quota_us", "100000" },
	{ CGROUP_PIDS, true, "pids.max", "257" },
	{ CGROUP_MEMORY, true, "memory.max", "536870912" },
	{ CGROUP_MEMORY, true, "memory.high", "520093696" },
	{ CGROUP_MEMORY, true, "memory.oom.group", "1" },
	{ CGROUP_MEMORY, true, "memory.swap.max", "0" },
	{ CGROUP_CPU, true, "cpu.max", "100000 100000" },
};

/* The groups of one run. */
struct groups {
	int dirs[CGROUP_TREE_MAX];
	int tasks[CGROUP_TREE_MAX]; /* v1 */
	int exec; /* v2 */
};

static void make_groups(const struct floor *f, struct groups *g)
{
	for (unsigned i = 0; i < f->host.ntrees; i++) {
		const struct cgroup_tree *t = &f->host.trees[i];

		must(mkdirat(t->dir, f->cgroup, 0755));
		g->dirs[i] = openat(t->dir, f->cgroup, O_PATH | O_CLOEXEC);
		must(g->dirs[i]);
		for (size_t n = 0; n < sizeof(limits) / sizeof(*limits); n++) {
			if (limits[n].v2 == t->v2 &&
			    (t->controllers & (1u << limits[n].controller)))
				put_if_there(g->dirs[i], limits[n].file, limits[n].value);
		}
		if (t->v2)
			continue;
		g->tasks[i] = openat(g->dirs[i], "tasks", O_WRONLY | O_CLOEXEC);
		must(g->tasks[i]);
	}
	must(mkdirat(g->dirs[0], "exec", 0755));
	g->exec = openat(g->dirs[0], "exec", O_PATH | O_CLOEXEC);
	must(g->exec);
}

static void join_groups(const struct floor *f, const struct groups *g)
{
	for (unsigned i = 1; i < f->host.ntrees; i++)
		must(write(g->tasks[i], "0", 1));
	must(unshare(CLONE_NEWCGROUP));
}

static void remove_groups(const struct floor *f, const struct groups *g)
{
	must(unlinkat(g->dirs[0], "exec", AT_REMOVEDIR));
	for (unsigned i = 0; i < f->host.ntrees; i++)
		must(unlinkat(f->host.trees[i].dir, f->cgroup, AT_REMOVEDIR));
}

/* --- files ----------------------------------------------------------------------- */

static const char *const dirs[] = {
	"root",         "root/usr",         "root/proc",     "root/dev",
	"root/sys",     "root/etc",         "root/etc/ssl",  "root/tmp",
	"root/run",     "root/home",        "root/var",      "root/home/user",
	"dev",          "dev/pts",          "dev/shm",       "cover",
	"cover/dir",    "cover/sys",        "cover/sys/net", "cover/sys/net/core",
	"cover/sys/vm", "cover/sys/kernel", "stage",         "cover/sys/kernel/random",
	"scratch",
};

static const struct {
	const char *path, *text;
} files[] = {
	{ "root/etc/hosts", "127.0.0.1\tlocalhost carrel\n::1\tlocalhost carrel\n" },
	{ "root/etc/hostname", "carrel\n" },
	{ "root/etc/resolv.conf", "" },
	{ "root/etc/passwd", "user:x:1000:1000:user:/home/user:/bin/bash\n" },
	{ "root/etc/group", "user:x:1000:\n" },
	{ "root/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
	{ "cover/file", "" },
	{ "cover/sys/kernel/cap_last_cap", "40\n" },
	{ "cover/sys/kernel/ngroups_max", "65536\n" },
	{ "cover/sys/kernel/pid_max", "4194304\n" },
	{ "cover/sys/kernel/osrelease", "6\n" },
	{ "cover/sys/kernel/random/uuid", "" },
	{ "cover/sys/net/core/somaxconn", "4096\n" },
	{ "cover/sys/vm/overcommit_memory", "0\n" },
};

static const struct {
	const char *path, *target;
} links[] = {
	{ "root/bin", "usr/bin" },
	{ "root/sbin", "usr/sbin" },
	{ "root/lib", "usr/lib" },
	{ "root/lib32", "usr/lib32" },
	{ "root/lib64", "usr/lib64" },
	{ "root/var/tmp", "../tmp" },
	{ "root/etc/os-release", "../usr/lib/os-release" },
	{ "root/etc/mtab", "../proc/self/mounts" },
	{ "root/etc/localtime", "/usr/share/zoneinfo/Etc/UTC" },
	{ "dev/fd", "/proc/self/fd" },
	{ "dev/stdin", "/proc/self/fd/0" },
	{ "dev/stdout", "/proc/self/fd/1" },
	{ "dev/stderr", "/proc/self/fd/2" },
	{ "dev/ptmx", "pts/ptmx" },
};

static const struct {
	const char *path;
	unsigned major, minor;
} nodes[] = {
	{ "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

/* Below the new root, directories of one file system. `owner` is the id inside. */
static const struct {
	const char *path, *source;
	bool no_exec;
	mode_t mode;
	uint32_t owner;
} scratch[] = {
	{ "tmp", "../scratch/0", false, 01777, 0 },
	{ "run", "../scratch/1", true, 0755, UID_INSIDE },
	{ "dev/shm", "../scratch/2", true, 01777, 0 },
	{ "home/user", "../scratch/3", false, 0700, UID_INSIDE },
};

static void make_skeleton(void)
{
	must(mount("tmpfs", PLACE, "tmpfs", INERT, "size=1m,nr_inodes=2048,mode=0755"));
	must(chdir(PLACE));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		must(mkdir(dirs[i], 0755));
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = open(files[i].path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		must(fd);
		if (*files[i].text)
			must(write(fd, files[i].text, strlen(files[i].text)));
		close(fd);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		must(symlink(links[i].target, links[i].path));
	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++)
		must(mknod(nodes[i].path, S_IFCHR | 0666,
			   makedev(nodes[i].major, nodes[i].minor)));
}

static void bind_below(const char *top, const char *name, const char *source)
{
	char target[FLOOR_NAME_MAX + 8];

	must(str_format(target, sizeof(target), "%s/%s", top, name));
	must(mount(source, target, NULL, MS_BIND, NULL));
}

static void show_etc(const struct floor_names *names)
{
	must(mount("overlay", "stage", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV,
		   "lowerdir=/etc:" PLACE "/cover/dir"));
	for (unsigned i = 0; i < names->count; i++) {
		const struct floor_name *n = &names->items[i];
		char source[FLOOR_NAME_MAX + 8], target[FLOOR_NAME_MAX + 16];

		must(str_format(target, sizeof(target), "root/etc/%s", n->name));
		must(n->directory ? mkdir(target, 0755)
				  : mknod(target, S_IFREG | 0644, 0));
		must(str_format(source, sizeof(source), "stage/%s", n->name));
		bind_below("root/etc", n->name, source);
	}
}

static void set_flags(const char *path, uint64_t set, uint64_t clear)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };

	must(mount_setattr(AT_FDCWD, path, 0, &attr, sizeof(attr)));
}

/* In the new root, with the skeleton as its parent directory. */
static void cover_proc(const struct floor_names *names)
{
	int uuid;

	must(mount("proc", "proc", "proc", INERT, NULL));
	uuid = open_tree(AT_FDCWD, "proc/sys/kernel/random/uuid",
			 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	must(uuid);
	for (unsigned i = 0; i < names->count; i++) {
		const struct floor_name *n = &names->items[i];
		const char *source = n->directory ? "../cover/dir" : "../cover/file";

		if (!strcmp(n->name, "sys"))
			source = "../cover/sys";
		bind_below("proc", n->name, source);
	}
	must(move_mount(uuid, "", AT_FDCWD, "proc/sys/kernel/random/uuid",
			MOVE_MOUNT_F_EMPTY_PATH));
	set_flags("proc/sys/kernel/random/uuid", MOUNT_ATTR_RDONLY, 0);
	close(uuid);
}

/* With the skeleton as the parent directory, and a umask of 0. */
static void mount_scratch(uint32_t id_base)
{
	must(mount("tmpfs", "../scratch", "tmpfs", MS_NOSUID | MS_NODEV,
		   "size=268435456,nr_inodes=65536,mode=0755"));
	for (size_t i = 0; i < sizeof(scratch) / sizeof(*scratch); i++) {
		uint32_t owner = id_base + scratch[i].owner;

		must(mkdir(scratch[i].source, scratch[i].mode));
		must(chown(scratch[i].source, owner, owner));
		must(mount(scratch[i].source, scratch[i].path, NULL, MS_BIND, NULL));
		if (scratch[i].no_exec)
			set_flags(scratch[i].path, MOUNT_ATTR_NOEXEC, 0);
	}
}

/* As pivot_root(2), without going through all processes. */
static void enter_root(void)
{
	int self = pidfd_open(getpid(), 0);
	int tree = open_tree(AT_FDCWD, ".",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	must(self);
	must(tree);
	/* Where it lies on a shared mount, the host would lose its root as well. */
	must(sys_pivot_root("/", "/") < 0 && errno == EBUSY ? 0 : -1);
	must(umount2("/", MNT_DETACH));
	must(setns(self, CLONE_NEWNS));
	must(fchdir(tree));
	must(move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
	must(chroot("."));
	must(chdir("/"));
}

static void build_mounts(const struct floor *f)
{
	char options[64];

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	make_skeleton();
	must(mount("root", "root", NULL, MS_BIND, NULL));
	must(mount("overlay", "root/usr", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV,
		   "lowerdir=/usr:" PLACE "/cover/dir"));
	show_etc(&f->etc);
	set_flags(".", MOUNT_ATTR_RDONLY, 0);
	set_flags("root", MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOEXEC);
	must(chdir("root"));
	cover_proc(&f->proc);
	must(mount("../dev", "dev", NULL, MS_BIND, NULL));
	set_flags("dev", 0, MOUNT_ATTR_NODEV);
	must(str_format(options, sizeof(options),
			"newinstance,ptmxmode=0666,mode=0620,gid=%" PRIu32,
			f->id_base + 5));
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options));
	mount_scratch(f->id_base);
	enter_root();
}

/* --- the process ----------------------------------------------------------------- */

static void set_up_host(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(sethostname("carrel", 6));
	must(sock);
	must(ioctl(sock, SIOCSIFFLAGS, &ifr));
	close(sock);
}

static void give_up(int userns)
{
	static const struct rlimit nofile = { 4096, 4096 }, core = { 1, 1 };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	must(setgroups(0, NULL));
	must(sys_new_session_keyring());
	put(AT_FDCWD, "/proc/self/oom_score_adj", "500");
	must(setrlimit(RLIMIT_NOFILE, &nofile));
	must(setrlimit(RLIMIT_CORE, &core));
	must(setns(userns, CLONE_NEWUSER));
	must(prctl(PR_SET_SECUREBITS, SECURE_ALL_BITS | SECURE_ALL_LOCKS, 0, 0, 0));
	must(setresgid(UID_INSIDE, UID_INSIDE, UID_INSIDE));
	must(setresuid(UID_INSIDE, UID_INSIDE, UID_INSIDE));
	for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0;)
		cap++;
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	must(syscall(SYS_capset, &head, none));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
}

static __attribute__((noreturn)) void child(const struct floor *f, const struct groups *g,
					    int userns, const char *command)
{
	char *const argv[] = { (char *)command, NULL }, *const envp[] = { NULL };

	umask(0);
	join_groups(f, g);
	build_mounts(f);
	set_up_host();
	must(setsid());
	must(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC));
	give_up(userns);
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, seccomp_program()));
	execve(command, argv, envp);
	fail(__LINE__);
}

void floor_run(const struct floor *f, const struct netns_settings *network,
	       const char *command)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
			 CLONE_NEWUTS | CLONE_NEWNET,
		.exit_signal = SIGCHLD,
	};
	struct groups g;
	int userns = make_userns(f->id_base), status, host = -1, host_netns = -1;
	struct err e;
	pid_t pid;

	if (network) {
		must(floor_network_open(&host, &e));
		host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		must(host_netns);
	}

	make_groups(f, &g);
	args.cgroup = (uint64_t)g.exec;
	pid = sys_clone3(&args);
	must(pid);
	if (pid == 0 && network)
		must(floor_network(network, host, host_netns, &e));
	if (pid == 0)
		child(f, &g, userns, command);
	must(waitpid(pid, &status, 0));
	if (status)
		fail(__LINE__);
	remove_groups(f, &g);
}

/* --- what is found beforehand ---------------------------------------------------- */

static int add_name(struct floor_names *names, const char *top, const char *name,
		    struct err *e)
{
	struct floor_name *n = &names->items[names->count];
	char path[FLOOR_NAME_MAX + 16];
	struct stat st;
	int r;

	if (names->count == FLOOR_NAMES_MAX)
		return err_say(e, E2BIG, "more than %d mounts on %s", FLOOR_NAMES_MAX,
			       top);
	r = str_format(n->name, sizeof(n->name), "%s", name);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s%s", top, name);
	if (r < 0)
		return err_set(e, -r, "note the mount on %s%s", top, name);
	/* What is there on the host and what is there inside are of one kind. */
	if (stat(path, &st) < 0)
		return err_set(e, errno, "stat %s", path);
	n->directory = S_ISDIR(st.st_mode);
	names->count++;
	return 0;
}

/* From lines of mountinfo to names; proc(5) has the fields. */
static int read_mounts(FILE *in, struct floor *f, struct err *e)
{
	char line[4096], point[FLOOR_NAME_MAX];
	int r = 0;

	while (r == 0 && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%*d %*d %*s %*s %127s", point) != 1)
			continue;
		if (!strncmp(point, "/proc/sys/", 10))
			continue; /* the one living sysctl, dealt with by itself */
		if (!strncmp(point, "/proc/", 6))
			r = add_name(&f->proc, "/proc/", point + 6, e);
		else if (!strncmp(point, "/etc/", 5))
			r = add_name(&f->etc, "/etc/", point + 5, e);
	}
	if (r == 0 && f->proc.count == 0)
		return err_say(e, EPROTO, "a sandbox did not show its mounts");
	return r;
}

static __attribute__((noreturn)) void show_mounts(const struct runtime_config *config,
						  int out)
{
	char *const argv[] = { "/bin/cat", "/proc/self/mountinfo", NULL };
	char *const envp[] = { NULL };
	struct run_result result;
	struct spec spec;
	struct err e;
	int r;

	spec_init(&spec);
	spec.argv = argv;
	spec.envp = envp;
	spec.directory = "/";
	r = spec_check(&spec, &e);
	if (r == 0 && dup2(out, 1) >= 0)
		r = run_command(config, &spec, &result, &e);
	if (r < 0)
		dprintf(2, "bench: %s\n", e.msg);
	_exit(r < 0);
}

int floor_open(const struct runtime_config *config, const char *cgroup, struct floor *ret,
	       struct err *e)
{
	struct spec spec;
	FILE *in = NULL;
	int fds[2], r;
	pid_t pid;

	spec_init(&spec);
	*ret = (struct floor){ .id_base = config->id_first };
	r = cgroup_host_open(&spec.limits, &ret->host, e);
	if (r < 0)
		return r;
	r = str_format(ret->cgroup, sizeof(ret->cgroup), "%s", cgroup);
	if (r < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, r < 0 ? -r : errno, "make a pipe");
	/* Of its own: run_command() changes where children are born. */
	pid = fork();
	if (pid == 0)
		show_mounts(config, fds[1]);
	close(fds[1]);
	in = pid < 0 ? NULL : fdopen(fds[0], "r");
	if (!in)
		return err_set(e, errno, "look into a sandbox");
	r = read_mounts(in, ret, e);
	fclose(in);
	waitpid(pid, NULL, 0);
	return r;
}

void floor_close(struct floor *f)
{
	cgroup_host_close(&f->host);
}
