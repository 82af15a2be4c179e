/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks that need threads, raw calls or speed. Runs inside a sandbox only. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * attack steal SECONDS	four threads try to trace, read and enter every other process;
 *			prints "PID WHAT" for each success, then "tries N"
 * attack parent COUNT	children that belong to our parent: CLONE_PARENT; prints how many
 * attack storm COUNT	leaves COUNT generations of processes that fork and start sessions
 *			faster than anybody can kill them one by one, and waits
 */

enum { THREADS = 4 };

static volatile bool finished;
static volatile long tries;

static void got(pid_t pid, const char *what)
{
	printf("%d %s\n", (int)pid, what);
	finished = true;
}

static void try_files(pid_t pid)
{
	static const struct {
		const char *name;
		int flags;
	} files[] = {
		{ "mem", O_RDWR },
		{ "mem", O_RDONLY },
		{ "environ", O_RDONLY },
		{ "maps", O_RDONLY },
		{ "auxv", O_RDONLY },
		{ "fd", O_DIRECTORY },
		{ "cwd", O_PATH },
		{ "root", O_PATH },
		{ "exe", O_PATH },
		{ "exe", O_RDWR },
		{ "map_files", O_DIRECTORY },
		{ "stack", O_RDONLY },
		{ "syscall", O_RDONLY },
		{ "ns/mnt", O_RDONLY },
		{ "ns/user", O_RDONLY },
		{ "fdinfo", O_DIRECTORY },
		{ "pagemap", O_RDONLY },
		{ "oom_score_adj", O_RDWR },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char path[64], byte;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i].name);
		fd = open(path, files[i].flags | O_CLOEXEC);
		tries++;
		if (fd < 0)
			continue;
		/* Some open for everybody and refuse at the first read. */
		if (files[i].flags != O_RDONLY || read(fd, &byte, 1) > 0)
			got(pid, files[i].name);
		close(fd);
	}
}

static void try_calls(pid_t pid)
{
	char buf[16];
	struct iovec local = { buf, sizeof(buf) }, remote = { (void *)0x400000, 16 };
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
		got(pid, "ptrace");
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0)
		got(pid, "process_vm_readv");
	if (fd >= 0 && syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0)
		got(pid, "pidfd_getfd");
	if (fd >= 0 && setns(fd, CLONE_NEWNS) == 0)
		got(pid, "setns");
	if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0)
		got(pid, "pidfd_send_signal");
	if (kill(pid, 0) == 0)
		got(pid, "kill");
	if (fd >= 0)
		close(fd);
	tries += 6;
}

static void *steal(void *unused)
{
	pid_t self = getpid();

	(void)unused;
	while (!finished) {
		DIR *proc = opendir("/proc");
		struct dirent *d;

		while (proc && !finished && (d = readdir(proc))) {
			pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

			if (pid <= 0 || pid == self)
				continue;
			try_files(pid);
			try_calls(pid);
		}
		if (proc)
			closedir(proc);
	}
	return NULL;
}

static int attack_steal(long seconds)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, steal, NULL))
			return 2;
	}
	for (long i = 0; i < seconds * 100 && !finished; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	finished = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("tries %ld\n", tries);
	return 0;
}

static int attack_parent(long count)
{
	long made = 0;

	for (long i = 0; i < count; i++) {
		long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

		if (pid == 0)
			_exit(0);
		made += pid > 0;
	}
	printf("made %ld\n", made);
	return 0;
}

static int attack_storm(long count)
{
	for (long i = 0; i < count; i++) {
		if (fork() == 0) {
			setsid();
			for (int sig = 1; sig < NSIG; sig++)
				signal(sig, SIG_IGN);
			for (;;) {
				if (fork() > 0)
					_exit(0);
				setsid();
			}
		}
	}
	printf("storm\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(long number);
	} attacks[] = {
		{ "steal", attack_steal },
		{ "parent", attack_parent },
		{ "storm", attack_storm },
	};

	/* Never on the host, by mistake. */
	if (argc != 3 || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER ||
	    getppid() != 0) {
		fprintf(stderr, "attack: runs as the command of a sandbox\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++) {
		if (!strcmp(argv[1], attacks[i].name))
			return attacks[i].run(strtol(argv[2], NULL, 10));
	}
	return 2;
}
