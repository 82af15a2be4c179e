/* SPDX-License-Identifier: Apache-2.0 */
/* pool-bench: what the daemon costs, through its socket on a kept-open connection. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "tools/client.h"

/* usage: pool-bench SOCKET ROUNDS [NAME...]: times exec and ensure of a sandbox, plain
 * fork+exec+wait beside it, creations, and prints one JSON object a line. The sandboxes'
 * names begin with "bench-". */

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void report(const char *what, uint64_t *ns, unsigned count)
{
	qsort(ns, count, sizeof(*ns), compare);
	printf("{\"name\":\"%s\",\"median_ms\":%.4f,\"p10_ms\":%.4f,\"p90_ms\":%.4f,"
	       "\"p99_ms\":%.4f}\n",
	       what, (double)ns[count / 2] / 1e6, (double)ns[count / 10] / 1e6,
	       (double)ns[count * 9 / 10] / 1e6, (double)ns[count * 99 / 100] / 1e6);
}

static int ensure(struct client_link *c, const char *name, struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(c, "Ensure", json_pack("{s:s}", "name", name), &reply, e);

	json_decref(reply);
	return r;
}

static int exec_true(struct client_link *c, const char *name, int null, struct err *e)
{
	const struct client_request rq = {
		.method = "Exec",
		.parameters = json_pack("{s:s, s:[s], s:i, s:s}", "name", name, "argv",
					"/bin/true", "descriptors", 3, "cwd", "/"),
		.fds = (int[]){ null, null, null },
		.fd_count = 3,
	};
	struct client_reply reply = { 0 };
	int r = client_send(c, &rq, e);

	if (r == 0)
		r = client_receive(c, &reply, e);
	if (r == 0 &&
	    client_int(json_object_get(reply.parameters, "result"), "exit_code") != 0)
		r = err_say(e, ECHILD, "/bin/true failed in %s", name);
	client_reply_free(&reply);
	return r;
}

static int plain_true(struct err *e)
{
	char *const argv[] = { "/bin/true", NULL };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execve(argv[0], argv, environ);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		return err_set(e, errno, "run /bin/true");
	return 0;
}

static int order(struct client_link *c, const char *method, const char *name,
		 struct err *e)
{
	return client_order(c, method, json_pack("{s:s, s:b}", "name", name, "force", 1),
			    e);
}

/* In turn, so that noise hits all alike. */
static int time_calls(struct client_link *c, unsigned rounds, struct err *e)
{
	auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_free uint64_t *samples = calloc(3 * (size_t)rounds, sizeof(uint64_t));
	uint64_t *execs = samples, *plains = samples + rounds,
		 *ensures = samples + 2 * (size_t)rounds;
	int r;

	if (null < 0 || !samples)
		return err_set(e, ENOMEM, "begin");
	r = ensure(c, "bench-kept", e);
	for (unsigned i = 0; r == 0 && i < rounds; i++) {
		uint64_t start = now_ns();

		r = exec_true(c, "bench-kept", null, e);
		execs[i] = now_ns() - start;
		start = now_ns();
		if (r == 0)
			r = plain_true(e);
		plains[i] = now_ns() - start;
		start = now_ns();
		if (r == 0)
			r = ensure(c, "bench-kept", e);
		ensures[i] = now_ns() - start;
	}
	if (r < 0)
		return r;
	report("exec", execs, rounds);
	report("fork+exec+wait", plains, rounds);
	report("ensure, running", ensures, rounds);
	return order(c, "Remove", "bench-kept", e);
}

static int time_creations(struct client_link *c, unsigned rounds, struct err *e)
{
	auto_free uint64_t *samples = calloc(rounds, sizeof(uint64_t));
	int r = samples ? 0 : err_set(e, ENOMEM, "begin");

	for (unsigned i = 0; r == 0 && i < rounds; i++) {
		uint64_t start;
		char name[32];

		bug_on(str_format(name, sizeof(name), "bench-%u", i) < 0);
		start = now_ns();
		r = ensure(c, name, e);
		samples[i] = now_ns() - start;
		if (r == 0)
			r = order(c, "Remove", name, e);
	}
	if (r == 0)
		report("ensure, new", samples, rounds);
	return r;
}

int main(int argc, char **argv)
{
	struct client_link c = CLIENT_NONE;
	uint64_t rounds = 200;
	char host[160];
	struct err e = { 0 };
	int r;

	if (argc < 2 || (argc > 2 && num_parse(argv[2], 1, 100000, &rounds) < 0) ||
	    str_format(host, sizeof(host), "unix://%s", argv[1]) < 0) {
		fprintf(stderr, "usage: pool-bench SOCKET [ROUNDS]\n");
		return 2;
	}
	r = client_open(host, &c, &e);
	if (r == 0)
		r = time_calls(&c, (unsigned)rounds, &e);
	if (r == 0)
		r = time_creations(&c, rounds > 100 ? 100 : (unsigned)rounds, &e);
	client_close(&c);
	if (r < 0)
		fprintf(stderr, "pool-bench: %s\n", e.msg);
	return r < 0;
}
