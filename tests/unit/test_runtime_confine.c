/* SPDX-License-Identifier: Apache-2.0 */
/* The posture of a front, as the kernel tells it, and what it dies of. */
#include <linux/securebits.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

#include "runtime/confine.h"
#include "tests/unit/test_runtime_front_lab.h"

enum { ID = 1878982657 }; /* nobody's */

#define ID_TEXT "1878982657"

/* For what only root can do: says why when it cannot be tried. */
static void need_root(void)
{
	const char *must_run = getenv("MUST_RUN");
	unsigned long inside = 1, outside = 1, count = 0;
	FILE *map;

	map = fopen("/proc/self/uid_map", "re");
	assert_non_null(map);
	if (fscanf(map, "%lu %lu %lu", &inside, &outside, &count) != 3)
		count = 0;
	fclose(map);
	if (geteuid() == 0 && count > ID)
		return;
	if (must_run && !strcmp(must_run, "1"))
		fail_msg("needs the host's root");
	print_message("skipped: needs the host's root\n");
	skip();
}

/* A confined process that has said so, and sleeps until it is told to go. */
struct confined {
	pid_t pid;
	int sock;
};

static struct confined confine(void)
{
	struct confined c;
	struct err e = { 0 };
	int pair[2];
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		if (confine_self(&pair[1], ID, ID, &e) < 0) {
			fprintf(stderr, "%s\n", e.msg);
			_exit(1);
		}
		if (write(pair[1], "", 1) == 1)
			err_ignore(read(pair[1], &byte, 1) < 0);
		_exit(0);
	}
	close(pair[1]);
	c.sock = pair[0];
	assert_int_equal(read(c.sock, &byte, 1), 1);
	return c;
}

static void release(struct confined *c)
{
	int status = -1;

	fd_close(&c->sock);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_int_equal(status, 0);
}

/* A file of the process's directory in /proc, whole. */
static void read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	size_t len = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	assert_non_null(file);
	len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	fclose(file);
}

static void front_has_no_privilege_left(void **state)
{
	static const char *const lines[] = {
		"\nUid:\t" ID_TEXT "\t" ID_TEXT "\t" ID_TEXT "\t" ID_TEXT "\n",
		"\nGid:\t" ID_TEXT "\t" ID_TEXT "\t" ID_TEXT "\t" ID_TEXT "\n",
		"\nGroups:\t \n",
		"\nCapInh:\t0000000000000000\n",
		"\nCapPrm:\t0000000000000000\n",
		"\nCapEff:\t0000000000000000\n",
		"\nCapBnd:\t0000000000000000\n",
		"\nCapAmb:\t0000000000000000\n",
		"\nNoNewPrivs:\t1\n",
		"\nSeccomp:\t2\n",
		"\nSigBlk:\t0000000000000000\n",
		"\nThreads:\t1\n",
	};
	struct confined c;
	char text[8192];

	(void)state;
	need_root();
	c = confine();
	read_proc(c.pid, "status", text, sizeof(text));
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		if (!strstr(text, lines[i]))
			fail_msg("no \"%s\" in %s", lines[i] + 1, text);
	}
	release(&c);
}

/* Its files in /proc are root's: nobody else may look at its memory. */
static void front_is_not_dumpable(void **state)
{
	struct confined c;
	struct stat st;
	char path[64];

	(void)state;
	need_root();
	c = confine();
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)c.pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	release(&c);
}

static void front_shares_no_namespace_but_pid_and_user(void **state)
{
	static const struct {
		const char *name;
		bool shared;
	} spaces[] = { { "mnt", false },
		       { "net", false },
		       { "ipc", false },
		       { "uts", false },
		       { "cgroup", false } };
	struct confined c;

	(void)state;
	need_root();
	c = confine();
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		char path[64], mine[64];
		struct stat a, b;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)c.pid,
			 spaces[i].name);
		snprintf(mine, sizeof(mine), "/proc/self/ns/%s", spaces[i].name);
		assert_int_equal(stat(path, &a), 0);
		assert_int_equal(stat(mine, &b), 0);
		if ((a.st_ino == b.st_ino) != spaces[i].shared)
			fail_msg("%s", spaces[i].name);
	}
	read_proc(c.pid, "net/dev", (char[4096]){ 0 }, 4096);
	release(&c);
}

static void root_is_empty_and_cannot_be_written_to(void **state)
{
	struct confined c;
	struct dirent *entry;
	char path[64], mounts[8192];
	DIR *dir;

	(void)state;
	need_root();
	c = confine();
	snprintf(path, sizeof(path), "/proc/%d/root/", (int)c.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			fail_msg("there is %s", entry->d_name);
	}
	closedir(dir);
	read_proc(c.pid, "mounts", mounts, sizeof(mounts));
	assert_memory_equal(mounts, "none / tmpfs ro,nosuid,nodev,noexec", 35);
	assert_ptr_equal(strchr(mounts, '\n'), mounts + strlen(mounts) - 1);
	release(&c);
}

static void only_what_it_needs_is_open(void **state)
{
	struct confined c;
	char path[64], target[128];
	ssize_t n;

	(void)state;
	need_root();
	c = confine();
	for (int fd = 0; fd <= 2; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)c.pid, fd);
		n = readlink(path, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = '\0';
		assert_string_equal(target, "/dev/null");
	}
	/* With "." and "..": the socket is the fourth. */
	assert_int_equal(lab_count_fds(c.pid), 2 + 4);
	release(&c);
}

static void limits_are_set(void **state)
{
	static const struct {
		const char *name;
		unsigned long value;
	} limits[] = {
		{ "Max open files", CONFINE_FILES },
		{ "Max file size", CONFINE_FILE_MAX },
		{ "Max core file size", 0 },
		{ "Max processes", 0 },
		{ "Max locked memory", 0 },
		{ "Max msgqueue size", 0 },
	};
	struct confined c;
	char text[4096];

	(void)state;
	need_root();
	c = confine();
	read_proc(c.pid, "limits", text, sizeof(text));
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		const char *line = strstr(text, limits[i].name);
		unsigned long soft = 1, hard = 1;

		assert_non_null(line);
		line += strlen(limits[i].name);
		if (sscanf(line, "%lu %lu", &soft, &hard) != 2 ||
		    soft != limits[i].value || hard != limits[i].value)
			fail_msg("%s is not %lu", limits[i].name, limits[i].value);
	}
	release(&c);
}

/* --- what it dies of */

static long open_a_path(void)
{
	return open("/", O_RDONLY | O_CLOEXEC);
}

static long stat_a_path(void)
{
	struct stat st;

	return stat("/", &st);
}

static long make_a_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long connect_a_socket(void)
{
	return syscall(SYS_connect, 3, NULL, 0);
}

static long fork_away(void)
{
	return syscall(SYS_fork);
}

static long clone_away(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long run_a_program(void)
{
	return syscall(SYS_execve, "/", NULL, NULL);
}

static long trace_the_broker(void)
{
	return syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0);
}

static long signal_the_broker(void)
{
	return syscall(SYS_kill, 1, 0);
}

static long open_a_pidfd(void)
{
	return syscall(SYS_pidfd_open, 1, 0);
}

static long make_memory_executable(void)
{
	return syscall(SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC);
}

static long map_executable_memory(void)
{
	return (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long type_into_a_terminal(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static long duplicate_a_descriptor(void)
{
	return fcntl(0, F_DUPFD_CLOEXEC, 100);
}

static long enter_a_namespace(void)
{
	return setns(0, 0);
}

static long leave_a_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long change_attributes(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long call_as_another_abi(void)
{
	/* getpid as i386 calls it. */
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
	return r;
}

static long call_as_x32(void)
{
	return syscall(0x40000000 | SYS_read, 0, NULL, 0);
}

static long set_up_a_ring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static void forbidden_calls_kill(void **state)
{
	static const struct {
		const char *name;
		long (*call)(void);
	} calls[] = {
		{ "open", open_a_path },
		{ "stat", stat_a_path },
		{ "socket", make_a_socket },
		{ "connect", connect_a_socket },
		{ "fork", fork_away },
		{ "clone", clone_away },
		{ "execve", run_a_program },
		{ "ptrace", trace_the_broker },
		{ "kill", signal_the_broker },
		{ "pidfd_open", open_a_pidfd },
		{ "mprotect", make_memory_executable },
		{ "mmap", map_executable_memory },
		{ "ioctl", type_into_a_terminal },
		{ "fcntl", duplicate_a_descriptor },
		{ "setns", enter_a_namespace },
		{ "unshare", leave_a_namespace },
		{ "prctl", change_attributes },
		{ "int 0x80", call_as_another_abi },
		{ "x32", call_as_x32 },
		{ "io_uring_setup", set_up_a_ring },
	};

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		struct err e;
		int status = 0, keep;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(20);
			keep = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (confine_self(&keep, ID, ID, &e) < 0)
				_exit(1);
			calls[i].call();
			_exit(2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: status %#x", calls[i].name, (unsigned)status);
	}
}

static void file_beyond_the_most_is_not_written(void **state)
{
	struct err e;
	int status = 0, keep, fd;
	char *data;
	pid_t pid;

	(void)state;
	need_root();
	data = calloc(1, CONFINE_FILE_MAX + 1);
	pid = fork();
	if (pid == 0) {
		keep = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (confine_self(&keep, ID, ID, &e) < 0)
			_exit(1);
		fd = memfd_create("test", MFD_CLOEXEC);
		if (write(fd, data, CONFINE_FILE_MAX) != CONFINE_FILE_MAX)
			_exit(2);
		err_ignore(write(fd, data, 1) < 0);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXFSZ);
	free(data);
}

static void front_dies_with_the_broker(void **state)
{
	int pair[2], status;
	struct pollfd pfd;
	pid_t broker;

	(void)state;
	need_root();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	broker = fork();
	if (broker == 0) {
		struct confined c;

		close(pair[0]);
		c = confine();
		/* Its own end of that socket stays open in this process. */
		err_ignore(write(pair[1], &c.pid, sizeof(c.pid)) < 0);
		pause();
	}
	close(pair[1]);
	{
		pid_t front = 0;
		int pidfd;

		assert_int_equal(read(pair[0], &front, sizeof(front)), sizeof(front));
		pidfd = (int)syscall(SYS_pidfd_open, front, 0);
		assert_true(pidfd >= 0);
		kill(broker, SIGKILL);
		pfd = (struct pollfd){ .fd = pidfd, .events = POLLIN };
		assert_int_equal(poll(&pfd, 1, LAB_WAIT_MS), 1);
		close(pidfd);
	}
	assert_int_equal(waitpid(broker, &status, 0), broker);
	close(pair[0]);
}

/* --- and what it can still do: all of its work */

static json_t *ask(int client, const char *text)
{
	lab_say(client, text);
	return lab_hear(client);
}

static void exec_with_output(const struct lab *lab, int client, const char *call)
{
	struct lab_request got;
	char block[65536] = { 1 };
	bool last = false;

	lab_say(client, call);
	got = lab_take(lab);
	assert_int_equal(got.count, 4);
	lab_reply(lab, got.rq.tag,
		  (struct wire_reply){ .type = WIRE_STARTED, .started.exec = "e1" }, -1);
	for (int i = 0; i < 300; i++)
		assert_int_equal(write(got.fds[2 + i % 2], block, sizeof(block)),
				 sizeof(block));
	lab_close_fds(&got);
	lab_reply(lab, got.rq.tag, lab_result(WIRE_EXITED, 0), -1);
	while (!last) {
		json_t *message = lab_hear(client);

		last = lab_value(message, "result") != NULL;
		json_decref(message);
	}
}

static void confined_front_does_all_of_its_work(void **state)
{
	static const char passes[] = LAB_EXEC(",\"descriptors\":4");
	struct lab lab;
	struct wire_reply rp = { .type = WIRE_DOCUMENT };
	struct lab_request got;
	struct err e;
	int client, idle, terminal, pipes[2], fd = -1;

	(void)state;
	need_root();
	lab = lab_begin(NULL, ID);
	client = lab_connect(&lab);
	idle = lab_connect(&lab);
	json_decref(ask(client, "{\"method\":\"org.varlink.service.GetInfo\"}"));
	assert_true(lab_send(idle, "{", 1, NULL, 0));
	/* Strings, environment, documents. */
	lab_say(client, "{\"method\":\"io.carrel.Pool.Ensure\",\"parameters\":"
			"{\"name\":\"alice\",\"env\":{\"A\":\"1\"}}}");
	got = lab_take(&lab);
	lab_close_fds(&got);
	assert_int_equal(wire_memfd("test", "{\"a\":1}", 7, &fd, &e), 0);
	lab_reply(&lab, got.rq.tag, rp, fd);
	lab_assert_heard(client, "{\"parameters\":{\"a\":1}}");
	close(fd);
	/* Output in both ways, and much of it. */
	exec_with_output(&lab, client, LAB_EXEC(",\"max_output\":4000000"));
	exec_with_output(&lab, client, LAB_EXEC_MORE(",\"max_output\":4000000"));
	/* Descriptors of all kinds that may pass. */
	terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(lab_send(client, passes, sizeof(passes),
			     (int[]){ terminal, fd, pipes[1], client }, 4));
	got = lab_take(&lab);
	assert_int_equal(got.count, 5);
	lab_close_fds(&got);
	lab_reply(&lab, got.rq.tag, lab_result(WIRE_EXITED, 0), -1);
	json_decref(lab_hear(client));
	close(terminal);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
	/* A large message. */
	{
		size_t size = 1500000;
		char *text = malloc(size + 1);

		memset(text, ' ', size);
		memcpy(text, "{\"method\":\"a.b.C\"}", 18);
		text[size] = '\0';
		json_decref(ask(client, text));
		free(text);
	}
	close(client);
	close(idle);
	lab_end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(front_has_no_privilege_left),
		cmocka_unit_test(front_is_not_dumpable),
		cmocka_unit_test(front_shares_no_namespace_but_pid_and_user),
		cmocka_unit_test(root_is_empty_and_cannot_be_written_to),
		cmocka_unit_test(only_what_it_needs_is_open),
		cmocka_unit_test(limits_are_set),
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(file_beyond_the_most_is_not_written),
		cmocka_unit_test(front_dies_with_the_broker),
		cmocka_unit_test(confined_front_does_all_of_its_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
