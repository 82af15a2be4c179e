/* SPDX-License-Identifier: Apache-2.0 */
/* Runs inside a sandbox and prints all that protects it, one "key value" a line. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same in every good run, so that two runs can be compared byte for byte: no ids of
 * the host, no numbers of namespaces, devices or mounts. */

static void print_status(void)
{
	static const char *const wanted[] = {
		"Umask:",  "Uid:",    "Gid:",    "Groups:",     "NStgid:",  "SigBlk:",
		"SigIgn:", "CapInh:", "CapPrm:", "CapEff:",     "CapBnd:",  "CapAmb:",
		"NoNewPr", "Seccomp", "Threads", "THP_enabled", "CoreDump",
	};
	FILE *f = fopen("/proc/self/status", "re");
	char line[4096];

	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
			if (!strncmp(line, wanted[i], strlen(wanted[i])))
				printf("status %s", line);
		}
	}
	if (f)
		fclose(f);
}

/* `skip` fields of each line are left out, and what is behind " - TYPE". */
static void print_file(const char *key, const char *path, int skip)
{
	FILE *f = fopen(path, "re");
	char line[4096];

	if (!f)
		printf("%s %s\n", key, strerror(errno));
	while (f && fgets(line, sizeof(line), f)) {
		char *p = line, *dash = strstr(line, " - ");

		for (int i = 0; i < skip && p; i++) {
			p = strchr(p, ' ');
			p = p ? p + 1 : NULL;
		}
		if (skip && dash)
			dash[3 + strcspn(dash + 3, " ")] = '\0';
		line[strcspn(line, "\n")] = '\0';
		printf("%s %s\n", key, p ? p : line);
	}
	if (f)
		fclose(f);
}

/* The second column of a map is the host's and differs. */
static void print_map(const char *key, const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long inside, outside, count;

	while (f && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3)
		printf("%s %lu %s %lu\n", key, inside, outside ? "mapped" : "ROOT",
		       count);
	if (f)
		fclose(f);
}

static void print_limits(void)
{
	for (int i = 0; i < RLIMIT_NLIMITS; i++) {
		struct rlimit rl;

		if (getrlimit((__rlimit_resource_t)i, &rl) == 0)
			printf("rlimit %d %llu %llu\n", i,
			       (unsigned long long)rl.rlim_cur,
			       (unsigned long long)rl.rlim_max);
	}
}

static void print_descriptors(void)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			printf("fd %d %o\n", fd, st.st_mode & S_IFMT);
	}
}

static void print_process(void)
{
	char text[4096];

	printf("ids %u %u %u %u\n", getuid(), geteuid(), getgid(), getegid());
	printf("session %s\n", getsid(0) == getpid() ? "own" : "FOREIGN");
	printf("parent %d\n", getppid());
	printf("cwd %s\n", getcwd(text, sizeof(text)) ? text : strerror(errno));
	gethostname(text, sizeof(text));
	printf("hostname %s\n", text);
	printf("personality %#x\n", (unsigned)personality(0xffffffff));
	printf("securebits %#x\n", (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	printf("schedule %d nice %d\n", sched_getscheduler(0),
	       getpriority(PRIO_PROCESS, 0));
}

static const char *said(long r)
{
	return r < 0 ? strerrorname_np(errno) : "WORKED";
}

/* What must not work, asked of the filter and of what is behind it. */
static void print_attempts(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ioctl(sock, SIOCGIFFLAGS, &lo);
	printf("lo %s\n", lo.ifr_flags & IFF_UP ? "up" : "DOWN");
	close(sock);
	printf("mount %s\n", said(mount("none", "/tmp", "tmpfs", 0, NULL)));
	printf("unshare %s\n", said(unshare(CLONE_NEWUSER)));
	printf("setuid %s\n", said(setuid(0)));
	printf("socket %s\n", said(socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
	printf("keyctl %s\n", said(syscall(SYS_keyctl, 0, -3, 0, 0, 0)));
	printf("root %s\n", said(open("/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
	printf("kill %s\n", said(syscall(SYS_kill, 1, 9)));
	printf("init %s\n", said(open("/proc/1/environ", O_RDONLY | O_CLOEXEC)));
}

static void print_entries(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.')
			printf("entry %s%s\n", path, list[i]->d_name);
	}
}

int main(void)
{
	print_status();
	print_map("uid_map", "/proc/self/uid_map");
	print_map("gid_map", "/proc/self/gid_map");
	print_file("setgroups", "/proc/self/setgroups", 0);
	print_file("cgroup", "/proc/self/cgroup", 0);
	print_file("oom", "/proc/self/oom_score_adj", 0);
	print_limits();
	print_descriptors();
	print_process();
	print_file("mount", "/proc/self/mountinfo", 4);
	print_file("boot_id", "/proc/sys/kernel/random/boot_id", 0);
	print_entries("/");
	print_entries("/dev/");
	print_entries("/etc/");
	print_attempts();
	printf("end\n");
	return 0;
}
