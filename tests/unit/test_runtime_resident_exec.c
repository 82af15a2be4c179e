/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in sandboxes that stay, on the real kernel. */
#include <sys/pidfd.h>

#include "tests/unit/test_runtime_in_worker.h"

enum { MANY = 16, TEXT_MAX = 64 << 10 };

/* What the next worker is to start; argv[2] is the script. */
static char *argv[8] = { "/bin/sh", "-c", NULL };
static char *envp[] = { "PATH=/usr/bin:/bin", "HOME=/home/user", NULL };
static struct resident_command command;
static const char *prepared_id; /* whose groups it prepares before; NULL: nobody's */
static int quiet; /* /dev/null */

static void prepare(const char *id, const char *script)
{
	struct spec defaults;

	spec_init(&defaults);
	argv[0] = "/bin/sh";
	argv[2] = (char *)script;
	command = (struct resident_command){ .argv = argv,
					     .envp = envp,
					     .cwd = "/",
					     .uid = 1000,
					     .gid = 1000,
					     .rlimits = defaults.rlimits,
					     .fds = { quiet, quiet, quiet },
					     .fd_count = 3 };
	snprintf(command.id, sizeof(command.id), "%s", id);
	prepared_id = NULL;
}

static int start_prepared(struct fixture *f, struct err *e)
{
	struct resident_prepared prepared = RESIDENT_PREPARED_NONE;
	struct resident_exec x = RESIDENT_EXEC_NONE;
	int r = 0;

	if (prepared_id)
		r = resident_exec_prepare(&f->resident, &f->host, prepared_id, &prepared,
					  e);
	if (r == 0)
		r = resident_exec_start(&f->resident, &f->host, &command, &prepared, &x,
					&f->said->status, e);
	f->said->pid = x.main.pid;
	f->said->taken = prepared.groups.dir[0] < 0;
	resident_prepared_close(&prepared);
	resident_exec_close(&x);
	return r;
}

/* Returns the process, which is ours to wait for. */
static pid_t run(struct fixture *f, const char *id, const char *script)
{
	prepare(id, script);
	must(f, start_prepared);
	assert_true(f->said->pid > 0);
	return f->said->pid;
}

static int status_of(struct fixture *f, const char *id, const char *script)
{
	return wait_for(f, run(f, id, script), 10000);
}

static struct resident_exec open_exec(struct fixture *f, const char *id)
{
	struct resident_exec x = RESIDENT_EXEC_NONE;
	struct err e = { 0 };

	if (resident_exec_open(&f->resident, &f->host, id, &x, &e) < 0)
		fail_msg("%s", e.msg);
	return x;
}

static void remove_exec(struct fixture *f, const char *id)
{
	struct err e = { 0 };

	for (int i = 0; i < 2000; i++) {
		int r = resident_exec_remove(&f->resident, &f->host, id, &e);

		if (r == 0)
			return;
		assert_int_equal(r, -EBUSY);
		usleep(1000);
	}
	fail_msg("%s", e.msg);
}

static bool exec_is_there(const struct fixture *f, const char *id)
{
	for (int i = 0; i < CGROUP_TREE_MAX; i++) {
		int dir = i ? f->resident.v1[i] : f->resident.cgroup;

		if (dir >= 0 && faccessat(dir, id, F_OK, 0) == 0)
			return true;
	}
	return false;
}

static struct cgroup_usage usage_of(struct fixture *f, const char *id)
{
	struct resident_exec x = open_exec(f, id);
	struct cgroup_usage usage = { 0 };
	struct err e = { 0 };

	if (resident_exec_usage(&f->resident, &f->host, &x, &usage, &e) < 0)
		fail_msg("%s", e.msg);
	resident_exec_close(&x);
	return usage;
}

static void sweep(struct fixture *f)
{
	struct err e = { 0 };

	for (int i = 0; i < 5000; i++) {
		int r = resident_exec_sweep(&f->resident, &f->host, &e);

		if (r == 0)
			return;
		assert_int_equal(r, -EBUSY);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(1000);
	}
	fail_msg("%s", e.msg);
}

static void assert_only_init(struct fixture *f)
{
	char text[4096];

	assert_true(fd_read_at(f->resident.cgroup, "cgroup.stat", text, sizeof(text)) >
		    0);
	if (strncmp(text, "nr_descendants 1\n", 17) != 0)
		fail_msg("%s", text);
}

static void end_comes_back_as_it_was(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	assert_int_equal(status_of(f, "a", "exit 0"), 0);
	assert_int_equal(WEXITSTATUS(status_of(f, "b", "exit 7")), 7);
	assert_int_equal(WTERMSIG(status_of(f, "c", "kill -TERM $$")), SIGTERM);
	remove_exec(f, "a");
	remove_exec(f, "b");
	remove_exec(f, "c");
	assert_only_init(f);
	must(f, remove_one_slot);
	assert_nothing_left(f);
}

static void assert_not_started(struct fixture *f, int status, const char *part)
{
	assert_true(in_worker(f, start_prepared) < 0);
	if (!strstr(f->said->err.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", f->said->err.msg, part);
	assert_int_equal(f->said->status, status);
	/* Of one that got as far as that, a zombie remains for us. */
	if (f->said->pid)
		assert_int_not_equal(wait_for(f, f->said->pid, 5000), -1);
	assert_false(exec_is_there(f, command.id));
}

static void failure_says_what_kind_and_leaves_nothing(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	prepare("a", "exit 0");
	argv[0] = "no-such-program";
	assert_not_started(f, 127, "exec: no-such-program");
	prepare("a", "exit 0");
	argv[0] = "/etc/passwd";
	assert_not_started(f, 126, "exec: /etc/passwd");
	prepare("a", "exit 0");
	command.cwd = "/nowhere";
	assert_not_started(f, 125, "working directory /nowhere");
	/* E-13 */
	prepare("a", "exit 0");
	command.cwd = "/proc/1/cwd";
	assert_not_started(f, 125, "working directory /proc/1/cwd");
	prepare("a", "exit 0");
	command.uid = 0;
	assert_not_started(f, 125, "no command may have");
	prepare("a", "exit 0");
	command.uid = SPEC_ID_MAX + 1;
	assert_not_started(f, 125, "no command may have");
	prepare("a/b", "exit 0");
	assert_not_started(f, 125, "cannot be called so");
	prepare("..", "exit 0");
	assert_int_equal(in_worker(f, start_prepared), -EINVAL);
	prepare("", "exit 0");
	assert_int_equal(in_worker(f, start_prepared), -EINVAL);
	assert_only_init(f);
}

static void name_of_pid_1s_group_and_names_in_use_are_refused(void **state)
{
	struct fixture *f = fixture(state);
	pid_t first;

	build(f);
	prepare("init", "exit 0");
	assert_int_equal(in_worker(f, start_prepared), -EINVAL);
	first = run(f, "a", "sleep 100");
	prepare("a", "exit 0");
	assert_int_equal(in_worker(f, start_prepared), -EEXIST);
	assert_true(exec_is_there(f, "a"));
	assert_int_equal(wait_for(f, first, 20), -1);
}

static int start_many(struct fixture *f, struct err *e)
{
	char *own[MANY][4], scripts[MANY][32];
	int r = 0;

	for (int i = 0; r == 0 && i < MANY; i++) {
		snprintf(scripts[i], sizeof(scripts[i]), "sleep 0.2; exit %d", i);
		snprintf(command.id, sizeof(command.id), "m%d", i);
		memcpy(own[i], argv, sizeof(own[i]));
		own[i][2] = scripts[i];
		command.argv = own[i];
		r = start_prepared(f, e);
		f->said->pids[i] = f->said->pid;
	}
	return r;
}

static void many_run_at_once(void **state)
{
	struct fixture *f = fixture(state);
	pid_t pids[MANY];

	build(f);
	prepare("many", "");
	must(f, start_many);
	memcpy(pids, f->said->pids, sizeof(pids));
	for (int i = 0; i < MANY; i++)
		assert_int_equal(WEXITSTATUS(wait_for(f, pids[i], 10000)), i);
	sweep(f);
	assert_only_init(f);
}

/* --- posture ----------------------------------------------------------------------- */

/* The same in every good run: no ids of the host, no numbers of mounts or devices. */
static const char look[] =
	"exec 2>&1; echo BEGIN; grep -Ev "
	"'^(Name|Pid|Tgid|Ngid|PPid|NS.*|Uid|Gid|Vm.*|Rss.*|Hugetlb.*|.*ctxt.*|"
	"Speculation.*|.*allowed.*|x86.*|untag.*|State|Threads|SigQ|TracerPid)' "
	"/proc/self/status; "
	"id; cat /proc/self/cgroup /proc/self/limits /proc/self/oom_score_adj "
	"/proc/self/setgroups /proc/self/personality; "
	"cut -d' ' -f5-6 /proc/self/mountinfo; awk '{print $1, $3}' /proc/self/uid_map; "
	"for fd in /proc/self/fd/*; do echo ${fd##*/}; done; env; umask; pwd; hostname; "
	"ls /proc/sys/user /dev; cat /proc/sys/user/max_user_namespaces; "
	"cat /proc/net/dev | cut -d: -f1; readlink -v /proc/1/exe; ls /proc/1/fd; "
	"echo x 2>&1 > /x; kill -9 1; (echo x > /dev/tty); echo END";

/* Runs body with its output in a pipe, and reads that. */
static void read_output(struct fixture *f, int (*body)(struct fixture *f, struct err *e),
			char *text)
{
	size_t len = 0;
	int ends[2];
	pid_t worker;
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	command.fds[1] = command.fds[2] = ends[1];
	worker = start_worker(f, body);
	close(ends[1]);
	while ((n = read(ends[0], text + len, TEXT_MAX - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(ends[0]);
	assert_int_equal(wait_for(f, worker, 10000), 0);
	if (f->said->code < 0)
		fail_msg("%s", f->said->err.msg);
}

static int run_like_carrel(struct fixture *f, struct err *e)
{
	struct run_result result;

	if (dup2(command.fds[1], 1) < 0 || dup2(command.fds[2], 2) < 0)
		return err_set(e, errno, "dup2");
	f->spec.argv = argv;
	f->spec.envp = envp;
	f->spec.directory = "/";
	return run_command(&f->config, &f->spec, &result, e);
}

/* A sanitizer has something to say about processes that share memory. */
static const char *between_marks(char *text)
{
	char *begin = strstr(text, "BEGIN\n"), *end = strstr(text, "END\n");

	assert_true(begin && end && end - begin > 1000);
	*end = '\0';
	return begin;
}

/* E-18, E-19, E-26, E-28, E-36, E-47: compared with what the tests of `carrel run` hold
 * against a fixed list. */
static void posture_is_that_of_carrel_run(void **state)
{
	struct fixture *f = fixture(state);
	auto_free char *one = malloc(TEXT_MAX), *other = malloc(TEXT_MAX);

	prepare("a", look);
	read_output(f, run_like_carrel, one);
	assert_non_null(strstr(one, "NoNewPrivs:\t1"));
	assert_non_null(strstr(one, "/dev/tty"));
	build(f);
	prepare("a", look);
	read_output(f, start_prepared, other);
	assert_string_equal(between_marks(one), between_marks(other));
	wait_for(f, f->said->pid, 5000);
}

static const char *line_of(char *text, const char *key)
{
	char *line = strstr(text, key);

	assert_non_null(line);
	return line + strlen(key);
}

/* From outside: its namespaces are PID 1's but for that of cgroups, and none is ours. */
static void it_is_in_the_namespaces_of_the_sandbox(void **state)
{
	static const char *const kinds[] = { "ipc", "mnt", "net", "pid", "user", "uts" };
	struct fixture *f = fixture(state);
	struct stat exec, init, own;
	char path[64], text[8192];
	pid_t pid;

	build(f);
	pid = run(f, "a", "sleep 100");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kinds[i]);
		assert_int_equal(stat(path, &exec), 0);
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)f->resident.init.pid,
			 kinds[i]);
		assert_int_equal(stat(path, &init), 0);
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		assert_int_equal(stat(path, &own), 0);
		assert_int_equal(exec.st_ino, init.st_ino);
		assert_int_not_equal(exec.st_ino, own.st_ino);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_true(fd_read_at(AT_FDCWD, path, text, sizeof(text)) > 0);
	assert_int_equal(strtoul(line_of(text, "Uid:\t"), NULL, 10),
			 f->resident.id_base + 1000);
	assert_int_equal(strtoul(line_of(text, "PPid:\t"), NULL, 10), getpid());
}

/* E-13 */
static void it_has_the_descriptors_it_was_given_and_no_other(void **state)
{
	struct fixture *f = fixture(state);
	auto_free char *text = malloc(TEXT_MAX);
	int ends[2];

	build(f);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "secret\n", 7), 7);
	close(ends[1]);
	prepare("a", "read word <&3; echo $word; ls /proc/$$/fd; echo ok > /dev/stderr");
	command.fds[3] = ends[0];
	command.fd_count = 4;
	read_output(f, start_prepared, text);
	assert_string_equal(text, "secret\n0\n1\n2\n3\nok\n");
	close(ends[0]);
}

static void directory_or_path_is_no_descriptor_for_it(void **state)
{
	struct fixture *f = fixture(state);
	auto_fd directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd path = open("/etc/passwd", O_PATH | O_CLOEXEC);

	build(f);
	prepare("a", "exit 0");
	command.fds[0] = directory;
	assert_not_started(f, 125, "descriptor 0 is a directory");
	prepare("a", "exit 0");
	command.fds[3] = path;
	command.fd_count = 4;
	assert_not_started(f, 125, "descriptor 3 is a directory or only a path");
}

static int start_on_terminal(struct fixture *f, struct err *e)
{
	auto_fd master = -1, slave = -1;
	char text[256] = "";
	size_t len = 0;
	int r = resident_open_terminal(&f->resident, 1000, &master, &slave, e);

	for (int i = 0; i < 3; i++)
		command.fds[i] = slave;
	command.terminal = true;
	if (r == 0)
		r = start_prepared(f, e);
	fd_close(&slave);
	while (r == 0 && len < sizeof(text) - 1) {
		ssize_t n = read(master, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return r < 0 ? r : err_say(e, 1, "%s", text);
}

static void terminal_is_its_controlling_one(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	prepare("a", "tty; echo hello > /dev/tty");
	assert_int_equal(in_worker(f, start_on_terminal), -1);
	assert_string_equal(f->said->err.msg, "/dev/pts/0\r\nhello\r\n");
}

/* --- what it uses ------------------------------------------------------------------ */

static void peaks_are_its_own(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage big, small;

	build(f);
	assert_int_equal(
		status_of(f, "big", "dd if=/dev/zero of=/dev/null bs=40M count=1"), 0);
	assert_int_equal(status_of(f, "small",
				   "sleep 0 & wait; i=0; "
				   "while [ $i -lt 100000 ]; do "
				   "i=$((i+1)); done"),
			 0);
	big = usage_of(f, "big");
	small = usage_of(f, "small");
	assert_true(big.memory_peak >= 40 << 20);
	assert_true(small.memory_peak > 0 && small.memory_peak < 20 << 20);
	assert_true(small.cpu_user_us >= 10000);
	assert_true(small.pids_peak == 0 || small.pids_peak == 2);
	assert_int_equal(big.oom_kills + small.oom_kills, 0);
}

/* What was opened when they were made is used, and nobody else gets it. */
static void prepared_groups_are_those_of_their_command(void **state)
{
	struct fixture *f = fixture(state);
	struct cgroup_usage usage;

	build(f);
	prepare("a", "dd if=/dev/zero of=/dev/null bs=40M count=1");
	command.prepared = true;
	prepared_id = "a";
	must(f, start_prepared);
	assert_true(f->said->taken);
	assert_int_equal(wait_for(f, f->said->pid, 10000), 0);
	usage = usage_of(f, "a");
	assert_true(usage.memory_peak >= 40 << 20);
	remove_exec(f, "a");
	/* Of another command; of one that has limits, which want more groups. */
	prepare("c", "exit 7");
	command.prepared = true;
	prepared_id = "b";
	must(f, start_prepared);
	assert_false(f->said->taken);
	assert_int_equal(wait_for(f, f->said->pid, 10000), 7 << 8);
	remove_exec(f, "b");
	remove_exec(f, "c");
	prepare("d", "exit 8");
	command.prepared = true;
	command.limits.pids = 5;
	prepared_id = "d";
	must(f, start_prepared);
	assert_false(f->said->taken);
	assert_int_equal(wait_for(f, f->said->pid, 10000), 8 << 8);
	remove_exec(f, "d");
	assert_only_init(f);
}

/* FI-15: of two, the one that takes too much ends. */
static void want_of_memory_ends_one_and_not_its_neighbour(void **state)
{
	struct fixture *f = fixture(state);
	struct resident_exec x;
	struct pollfd pfd = { .events = POLLIN };
	struct err e = { 0 };
	pid_t neighbour, greedy;

	build(f);
	neighbour = run(f, "neighbour", "sleep 100");
	prepare("greedy",
		"sleep 100 & dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 100");
	command.limits.memory = 16 << 20;
	must(f, start_prepared);
	greedy = f->said->pid;
	x = open_exec(f, "greedy");
	pfd.fd = x.oom;
	if (x.oom >= 0) {
		/* v1 says so, and leaves the rest to us. */
		assert_int_equal(poll(&pfd, 1, 5000), 1);
		for (int i = 0; i < 2000 && !usage_of(f, "greedy").oom_kills; i++)
			usleep(1000);
		assert_int_equal(resident_exec_kill(&x, &e), 0);
	}
	assert_int_equal(WTERMSIG(wait_for(f, greedy, 10000)), SIGKILL);
	assert_true(usage_of(f, "greedy").oom_kills > 0);
	assert_int_equal(usage_of(f, "neighbour").oom_kills, 0);
	assert_int_equal(wait_for(f, neighbour, 20), -1);
	resident_exec_close(&x);
	remove_exec(f, "greedy");
	assert_int_equal(status_of(f, "next", "exit 3"), 3 << 8);
}

static void tighter_limits_bind_one_exec(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	prepare("a", "sleep 100 & sleep 100 & exit 5");
	command.limits.pids = 2;
	command.limits.cpu_milli = 200;
	must(f, start_prepared);
	assert_int_equal(WEXITSTATUS(wait_for(f, f->said->pid, 10000)), 2);
	assert_int_equal(status_of(f, "b", "sleep 100 & sleep 100 & exit 5"), 5 << 8);
}

/* --- ends -------------------------------------------------------------------------- */

/* E-48 */
static void kill_ends_all_of_one_and_nothing_else(void **state)
{
	struct fixture *f = fixture(state);
	struct resident_exec x;
	struct err e = { 0 };
	pid_t victim, other;

	build(f);
	other = run(f, "other", "sleep 100");
	victim = run(f, "victim",
		     "(setsid sleep 100 &); (setsid sh -c 'trap \"\" TERM; "
		     "(sleep 100 &); while :; do sleep 1; done' &); sleep 100");
	usleep(100000);
	x = open_exec(f, "victim");
	assert_int_equal(resident_exec_kill(&x, &e), 0);
	resident_exec_close(&x);
	assert_int_equal(WTERMSIG(wait_for(f, victim, 2000)), SIGKILL);
	remove_exec(f, "victim");
	assert_false(exec_is_there(f, "victim"));
	assert_int_equal(wait_for(f, other, 20), -1);
	assert_true(exec_is_there(f, "other"));
	/* A second time: nothing of that name is there. */
	remove_exec(f, "victim");
	assert_int_equal(resident_exec_open(&f->resident, &f->host, "victim", &x, &e),
			 -ENOENT);
}

static int freeze(struct fixture *f, struct err *e)
{
	return resident_freeze(&f->resident, true, e);
}

static int thaw(struct fixture *f, struct err *e)
{
	return resident_freeze(&f->resident, false, e);
}

/* FI-23 */
static void frozen_one_can_be_killed(void **state)
{
	struct fixture *f = fixture(state);
	struct resident_exec x;
	struct err e = { 0 };
	pid_t victim;

	build(f);
	victim = run(f, "victim", "(setsid sleep 100 &); sleep 100");
	must(f, freeze);
	x = open_exec(f, "victim");
	assert_int_equal(resident_exec_kill(&x, &e), 0);
	resident_exec_close(&x);
	assert_int_equal(WTERMSIG(wait_for(f, victim, 2000)), SIGKILL);
	remove_exec(f, "victim");
	must(f, thaw);
	assert_int_equal(status_of(f, "next", "exit 0"), 0);
}

/* A worker that is held up by a frozen sandbox is killed: nothing of it stays. */
static void start_in_a_frozen_one_leaves_what_can_be_swept(void **state)
{
	struct fixture *f = fixture(state);
	pid_t worker;

	build(f);
	must(f, freeze);
	prepare("held", "sleep 100");
	worker = start_worker(f, start_prepared);
	assert_int_equal(wait_for(f, worker, 200), -1);
	kill(worker, SIGKILL);
	assert_int_equal(WTERMSIG(wait_for(f, worker, 5000)), SIGKILL);
	sweep(f);
	assert_only_init(f);
	must(f, thaw);
	assert_int_equal(status_of(f, "next", "exit 0"), 0);
}

/* FI-02 */
static void killed_worker_leaves_what_can_be_swept(void **state)
{
	struct fixture *f = fixture(state);
	unsigned seed = (unsigned)getpid(), took;

	build(f);
	prepare("first", "exit 0");
	took = time_of(f, start_prepared);
	for (int i = 0; i < 60; i++) {
		pid_t worker;

		prepare("a", "(setsid sleep 100 &); sleep 100");
		worker = start_worker(f, start_prepared);
		usleep((unsigned)rand_r(&seed) % took);
		kill(worker, SIGKILL);
		assert_int_not_equal(wait_for(f, worker, 5000), -1);
		sweep(f);
		assert_only_init(f);
		assert_false(exec_is_there(f, "a"));
	}
	assert_int_equal(status_of(f, "next", "exit 0"), 0);
}

static int start_and_stay(struct fixture *f, struct err *e)
{
	pid_t worker = fork();
	int r;

	if (worker == 0) {
		r = start_prepared(f, e);
		_exit(r < 0);
	}
	waitpid(worker, NULL, 0);
	f->said->slot = 1234;
	for (;;)
		pause();
}

static void commands_die_with_the_parent_of_their_maker(void **state)
{
	struct fixture *f = fixture(state);
	struct err e = { 0 };
	pid_t broker;
	int r = -1;

	build(f);
	prepare("a", "exec sleep 100");
	broker = start_worker(f, start_and_stay);
	for (int i = 0; i < 5000 && f->said->slot != 1234; i++)
		usleep(1000);
	assert_int_equal(f->said->slot, 1234);
	kill(broker, SIGKILL);
	wait_for(f, broker, 5000);
	/* Without a kill from us. */
	for (int i = 0; i < 5000 && r != 0; i++) {
		r = resident_exec_remove(&f->resident, &f->host, "a", &e);
		usleep(1000);
	}
	assert_int_equal(r, 0);
}

/* FI-05 */
static void dead_sandbox_takes_no_command(void **state)
{
	struct fixture *f = fixture(state);
	pid_t exec;

	build(f);
	exec = run(f, "a", "(setsid sleep 100 &); sleep 100");
	assert_int_equal(pidfd_send_signal(f->resident.init.pidfd, SIGKILL, NULL, 0), 0);
	assert_int_equal(WTERMSIG(wait_for(f, exec, 5000)), SIGKILL);
	assert_int_not_equal(wait_for(f, f->resident.init.pid, 5000), -1);
	prepare("b", "exit 0");
	assert_true(in_worker(f, start_prepared) < 0);
	assert_false(exec_is_there(f, "b"));
	must(f, remove_one_slot);
	assert_nothing_left(f);
}

static int start_then_build(struct fixture *f, struct err *e)
{
	int r = start_prepared(f, e);

	return r == 0 ? build_one(f, e) : r;
}

static void worker_is_fit_for_the_next_order(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	prepare("a", "sleep 100");
	must(f, start_then_build);
	open_slot(f, f->said->slot);
	assert_int_equal(status_of(f, "b", "[ $$ -lt 10 ]"), 0);
}

/* E-46 */
static void next_sandbox_of_a_slot_knows_nothing_of_the_last(void **state)
{
	struct fixture *f = fixture(state);

	build(f);
	assert_int_equal(status_of(f, "a",
				   "echo x > /tmp/mark; echo x > /dev/shm/mark; "
				   "echo x > ~/mark"),
			 0);
	must(f, remove_one_slot);
	build(f);
	assert_int_equal(f->resident.slot, 0);
	assert_int_equal(status_of(f, "a", "! ls /tmp/mark /dev/shm/mark ~/mark"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(end_comes_back_as_it_was),
		CASE(failure_says_what_kind_and_leaves_nothing),
		CASE(name_of_pid_1s_group_and_names_in_use_are_refused),
		CASE(many_run_at_once),
		CASE(posture_is_that_of_carrel_run),
		CASE(it_is_in_the_namespaces_of_the_sandbox),
		CASE(it_has_the_descriptors_it_was_given_and_no_other),
		CASE(directory_or_path_is_no_descriptor_for_it),
		CASE(terminal_is_its_controlling_one),
		CASE(peaks_are_its_own),
		CASE(prepared_groups_are_those_of_their_command),
		CASE(want_of_memory_ends_one_and_not_its_neighbour),
		CASE(tighter_limits_bind_one_exec),
		CASE(kill_ends_all_of_one_and_nothing_else),
		CASE(frozen_one_can_be_killed),
		CASE(start_in_a_frozen_one_leaves_what_can_be_swept),
		CASE(killed_worker_leaves_what_can_be_swept),
		CASE(commands_die_with_the_parent_of_their_maker),
		CASE(dead_sandbox_takes_no_command),
		CASE(worker_is_fit_for_the_next_order),
		CASE(next_sandbox_of_a_slot_knows_nothing_of_the_last),
	};

	quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
