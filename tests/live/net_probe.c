/* SPDX-License-Identifier: Apache-2.0 */
/* Runs inside a sandbox and asks many addresses whether they answer.
 *
 *	net_probe reach MS	for each line "PROTOCOL ADDRESS PORT" of standard input
 *				prints it with what came of it: the text that was
 *				answered, an errno's name, or "silence" after MS
 *	net_probe flood SEED COUNT BATCH
 *				one UDP datagram to each of COUNT pseudo-random IPv4
 *				addresses; after each BATCH prints a line and waits for
 *				a byte
 *	net_probe knock ADDRESS PORT
 *				tries to connect, and sends, without end; prints a line
 *				once it has tried, and a line when anybody answers
 *	net_probe ports ADDRESS FIRST COUNT
 *				one UDP datagram to each of COUNT ports
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 128, ANSWER_MAX = 64 };

static const struct protocol {
	const char *name;
	int type, number;
	bool mapped; /* IPv4, spelled ::ffff:a.b.c.d */
	const char *request;
	size_t request_len;
} protocols[] = {
	{ "tcp", SOCK_STREAM, IPPROTO_TCP, false, NULL, 0 },
	{ "tcp-mapped", SOCK_STREAM, IPPROTO_TCP, true, NULL, 0 },
	{ "udp", SOCK_DGRAM, IPPROTO_UDP, false, "x", 1 },
	{ "udp-mapped", SOCK_DGRAM, IPPROTO_UDP, true, "x", 1 },
	{ "udplite", SOCK_DGRAM, IPPROTO_UDPLITE, false, "x", 1 },
	{ "sctp", SOCK_STREAM, IPPROTO_SCTP, false, NULL, 0 },
	{ "dccp", SOCK_DCCP, IPPROTO_DCCP, false, NULL, 0 },
	{ "icmp", SOCK_DGRAM, IPPROTO_ICMP, false, "\10\0\0\0\0\1\0\1", 8 },
	{ "icmp6", SOCK_DGRAM, IPPROTO_ICMPV6, false, "\200\0\0\0\0\1\0\1", 8 },
};

struct target {
	char line[128], answer[ANSWER_MAX];
	const struct protocol *protocol;
	struct sockaddr_storage address;
	socklen_t address_len;
	int fd;
	bool connecting;
	int64_t deadline_ms;
};

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fill_address(struct target *t, const char *text, unsigned port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->address;
	char mapped[80];

	if (t->protocol->mapped) {
		snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
		text = mapped;
	}
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		t->address_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		t->address_len = sizeof(*v6);
	} else {
		die(text);
	}
}

static bool read_target(struct target *t)
{
	char name[32], address[64];
	unsigned port;

	*t = (struct target){ .fd = -1 };
	if (!fgets(t->line, sizeof(t->line), stdin))
		return false;
	t->line[strcspn(t->line, "\n")] = '\0';
	if (sscanf(t->line, "%31s %63s %u", name, address, &port) != 3)
		die(t->line);
	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		if (!strcmp(protocols[i].name, name))
			t->protocol = &protocols[i];
	}
	if (!t->protocol)
		die(name);
	fill_address(t, address, port);
	return true;
}

static void end(struct target *t, const char *prefix, const char *answer)
{
	snprintf(t->answer, sizeof(t->answer), "%s%s", prefix, answer);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static void end_errno(struct target *t, int error)
{
	end(t, "", strerrorname_np(error));
}

static void start_target(struct target *t, int64_t patience_ms)
{
	const struct protocol *p = t->protocol;

	t->deadline_ms = now_ms() + patience_ms;
	t->fd = socket(t->address.ss_family, p->type | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       p->number);
	if (t->fd < 0) {
		end(t, "no socket: ", strerrorname_np(errno));
		return;
	}
	if (connect(t->fd, (struct sockaddr *)&t->address, t->address_len) < 0) {
		t->connecting = errno == EINPROGRESS;
		if (!t->connecting)
			end_errno(t, errno);
	} else if (p->request && send(t->fd, p->request, p->request_len, 0) < 0) {
		end_errno(t, errno);
	}
}

/* After poll() has seen something. */
static void advance(struct target *t)
{
	char text[ANSWER_MAX] = "";
	socklen_t len = sizeof(int);
	int error = 0;
	ssize_t n;

	if (t->connecting) {
		getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		t->connecting = false;
		if (error)
			end_errno(t, error);
		return;
	}
	n = recv(t->fd, text, sizeof(text) - 1, 0);
	if (n < 0 && errno != EAGAIN)
		end_errno(t, errno);
	else if (n >= 0 && !strncmp(t->protocol->name, "icmp", 4))
		end(t, "", "echo");
	else if (n >= 0) {
		text[strcspn(text, "\n")] = '\0';
		end(t, "", n ? text : "closed");
	}
}

static bool step(struct target *list, size_t count)
{
	struct pollfd polled[WINDOW];
	bool open = false;
	int64_t now;

	for (size_t i = 0; i < count; i++) {
		short events = list[i].connecting ? POLLOUT : POLLIN;

		polled[i] = (struct pollfd){ .fd = list[i].fd, .events = events };
	}
	poll(polled, count, 100);
	now = now_ms();
	for (size_t i = 0; i < count; i++) {
		if (list[i].fd >= 0 && polled[i].revents)
			advance(&list[i]);
		else if (list[i].fd >= 0 && now > list[i].deadline_ms)
			end(&list[i], "", "silence");
		open |= list[i].fd >= 0;
	}
	return open;
}

static int reach(int64_t patience_ms)
{
	static struct target list[WINDOW];
	size_t count;

	do {
		for (count = 0; count < WINDOW && read_target(&list[count]); count++)
			start_target(&list[count], patience_ms);
		while (count && step(list, count))
			;
		for (size_t i = 0; i < count; i++)
			printf("%s %s\n", list[i].line, list[i].answer);
	} while (count == WINDOW);
	return 0;
}

static int flood(uint64_t seed, uint64_t count, uint64_t batch)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t x = seed;

	for (uint64_t i = 1; i <= count; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9) };

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		a.sin_addr.s_addr = htonl(x >> 32);
		sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
		if (i % batch == 0 || i == count) {
			printf("%ju\n", (uintmax_t)i);
			fflush(stdout);
			if (getchar() == EOF)
				return 1;
		}
	}
	return 0;
}

static int ports(const char *address, unsigned first, unsigned count)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET };

	inet_pton(AF_INET, address, &a.sin_addr);
	for (unsigned port = first; port < first + count; port++) {
		a.sin_port = htons(port);
		sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
	}
	return 0;
}

/* A connection takes at most a moment to come about where there is nobody in between. */
static bool knock_once(struct target *t)
{
	start_target(t, 20);
	while (t->fd >= 0)
		step(t, 1);
	return !strncmp(t->answer, "reached", 7);
}

static _Noreturn void knock(const char *address, unsigned port)
{
	struct target t = { .protocol = &protocols[0] };

	for (uint64_t i = 0;; i++) {
		t.protocol = &protocols[i % 2 * 2];
		fill_address(&t, address, port);
		if (knock_once(&t) || i == 1) {
			printf("%s\n", i == 1 ? "knocked" : t.answer);
			fflush(stdout);
		}
	}
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "reach"))
		return reach((int64_t)number(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "flood"))
		return flood(number(argv[2]), number(argv[3]), number(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "knock"))
		knock(argv[2], number(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "ports"))
		return ports(argv[2], number(argv[3]), number(argv[4]));
	fprintf(stderr, "usage: net_probe reach|flood|knock|ports ...\n");
	return 2;
}
