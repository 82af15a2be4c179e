/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what touches the network in a child with a network namespace of its own. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "netns/netns.h"
#include "tests/unit/in_namespaces.h"

static inline ino_t netns_inode(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	return st.st_ino;
}

static inline unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* A namespace that somebody has already been in would be the machine's own. */
static inline void assert_fresh(ino_t other)
{
	struct if_nameindex *list = if_nameindex();

	assert_non_null(list);
	assert_true(netns_inode() != other);
	assert_string_equal(list[0].if_name, "lo");
	assert_int_equal(list[1].if_index, 0);
	if_freenameindex(list);
}

struct netns_body {
	void (*body)(void);
	ino_t other; /* the machine's own */
};

static inline void be_in_netns(void *context)
{
	const struct netns_body *b = context;
	unsigned before;

	/* Where locks and records are kept. */
	assert_int_equal(mount("unit", "/run", "tmpfs", 0, "size=1m"), 0);
	assert_fresh(b->other);
	before = count_descriptors();
	b->body();
	assert_int_equal(count_descriptors(), before);
	/* Not _exit(): a sanitizer looks for leaks at the end. */
	exit(0);
}

/* The body also has mounts of its own, and must leave no descriptor open. */
static inline void in_netns(void (*body)(void))
{
	struct netns_body b = { .body = body, .other = netns_inode() };

	in_namespaces(CLONE_NEWNET | CLONE_NEWNS, be_in_netns, &b);
}

/* A network that the test writes down. */
static inline struct cidr cidr(const char *text)
{
	struct cidr c;
	struct err e;

	if (cidr_parse(text, &c, &e) != 0)
		fail_msg("%s", e.msg);
	return c;
}

/* Runs `ip ARGUMENTS` and keeps what it says, up to size − 1 bytes. Returns its status.
 */
static inline int ip_run(const char *arguments, char *buf, size_t size)
{
	char words[256], *argv[32] = { "ip" }, *rest = words;
	int ends[2], status = -1, argc = 1;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_true(strlen(arguments) < sizeof(words));
	memcpy(words, arguments, strlen(arguments) + 1);
	while (argc < 31 && (argv[argc] = strsep(&rest, " ")))
		argc++;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execvp("ip", argv);
		_exit(127);
	}
	assert_true(pid > 0);
	close(ends[1]);
	while ((n = read(ends[0], buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Runs `ip ARGUMENTS`, which must succeed. */
static inline void ip_do(const char *arguments)
{
	char text[4096];

	if (ip_run(arguments, text, sizeof(text)) != 0)
		fail_msg("ip %s: %s", arguments, text);
}

/* Does `ip ARGUMENTS` say the words? */
static inline bool ip_says(const char *arguments, const char *words)
{
	char text[65536];

	err_ignore(ip_run(arguments, text, sizeof(text)) != 0);
	return strstr(text, words) != NULL;
}

static inline void assert_ip_says(const char *arguments, const char *words)
{
	if (!ip_says(arguments, words))
		fail_msg("`ip %s` does not say \"%s\"", arguments, words);
}

/* One character of /proc/sys/net/WHAT. */
static inline void write_sysctl(const char *what, char value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", what);
	f = fopen(path, "we");
	if (!f || fputc(value, f) == EOF || fclose(f) != 0)
		fail_msg("write %s", path);
}

static inline char read_sysctl(const char *what)
{
	char path[128];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", what);
	f = fopen(path, "re");
	if (!f)
		fail_msg("read %s", path);
	c = fgetc(f);
	fclose(f);
	return (char)c;
}

/* A host that has a way to the internet, which ends where it begins: up0. */
static inline void make_uplink(void)
{
	ip_do("link set lo up");
	ip_do("link add up0 type veth peer name far0");
	ip_do("link set up0 up");
	ip_do("link set far0 up");
	ip_do("address add 198.18.0.2/24 dev up0");
	ip_do("route add default via 198.18.0.1");
}

/* The same for IPv6. */
static inline void make_uplink6(void)
{
	ip_do("address add 2001:db8::2/64 dev up0 nodad");
	ip_do("route add default via 2001:db8::1");
}
