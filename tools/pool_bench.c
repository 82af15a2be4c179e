/* SPDX-License-Identifier: Apache-2.0 */
/* pool-bench: what the daemon costs, one mode a question. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "tools/pool_bench.h"

enum {
	CONTESTANTS_MAX = 8,
	NUMBER_MAX = 100000,
	WARM_UP = 3, /* rounds that do not count */
	CREATIONS_MAX = 100, /* of a round of calls */
	CALL_TIMEOUT_MS = 60000,
	REFILL_US = 100000, /* for a spare to be made, which takes some ms */
	SETTLE_US = 20000, /* a sandbox that has ended keeps the kernel busy */
	POLL_US = 100000,
};

uint64_t pool_bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- a contest --------------------------------------------------------------------- */

struct contest {
	const struct contestant *list; /* up to one without a name */
	unsigned rounds;
	unsigned pause_us; /* before each sample */
	unsigned count; /* of contestants */
	uint64_t *samples; /* one row a contestant, and one for the warming up */
};

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

/* A signal that would end us waits until everything is cleaned up. */
static bool interrupted(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
		sigismember(&pending, SIGHUP));
}

/* In another order each round, so that nobody always pays for the same one's traces. */
static void shuffle(unsigned *order, unsigned count)
{
	static unsigned seed = 1; /* the same orders in each run */

	for (unsigned i = 0; i < count; i++) {
		unsigned j = (unsigned)rand_r(&seed) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
}

/* One sample of every contestant, at `at` of its row. */
static int run_round(struct pool_bench *b, const struct contest *c, unsigned at,
		     struct err *e)
{
	unsigned order[CONTESTANTS_MAX] = { 0 };

	shuffle(order, c->count);
	for (unsigned i = 0; i < c->count; i++) {
		const struct contestant *who = &c->list[order[i]];
		uint64_t *sample = &c->samples[(size_t)order[i] * c->rounds + at];

		if (interrupted())
			return err_say(e, EINTR, "interrupted");
		usleep(c->pause_us);
		if (who->run(b, sample, e) < 0)
			return err_wrap(e, "%s", who->name);
	}
	return 0;
}

static int run_contest(struct pool_bench *b, const struct contestant *list,
		       unsigned rounds, unsigned pause_us, struct err *e)
{
	struct contest c = { .list = list, .rounds = rounds, .pause_us = pause_us };
	int r = 0;

	while (list[c.count].name)
		c.count++;
	bug_on(c.count > CONTESTANTS_MAX);
	c.samples = calloc((size_t)c.count * rounds, sizeof(uint64_t));
	if (!c.samples)
		return err_set(e, ENOMEM, "hold %u samples", rounds);
	for (unsigned i = 0; r == 0 && i < WARM_UP; i++)
		r = run_round(b, &c, 0, e);
	for (unsigned i = 0; r == 0 && i < rounds; i++)
		r = run_round(b, &c, i, e);
	for (unsigned i = 0; r == 0 && i < c.count; i++)
		report(list[i].name, c.samples + (size_t)i * rounds, rounds);
	free(c.samples);
	return r;
}

/* With a sandbox that stays. */
static int run_beside_kept(struct pool_bench *b, const struct contestant *list,
			   unsigned rounds, unsigned pause_us, struct err *e)
{
	int r = pool_bench_ensure(b, POOL_BENCH_KEPT, NULL, e);

	if (r == 0)
		r = run_contest(b, list, rounds, pause_us, e);
	return r == 0 ? pool_bench_remove(b, POOL_BENCH_KEPT, e) : r;
}

/* --- modes ------------------------------------------------------------------------- */

static int calls(struct pool_bench *b, unsigned rounds, const char *unused, struct err *e)
{
	static const struct contestant list[] = {
		{ "exec", pool_bench_exec },
		{ "fork+exec+wait", pool_bench_plain },
		{ "ensure, running", pool_bench_running },
		{ NULL, NULL },
	};
	static const struct contestant creations[] = {
		{ "ensure, new", pool_bench_new },
		{ NULL, NULL },
	};
	int r = run_beside_kept(b, list, rounds, 0, e);

	(void)unused;
	if (r < 0)
		return r;
	return run_contest(b, creations, rounds > CREATIONS_MAX ? CREATIONS_MAX : rounds,
			   0, e);
}

static int warm(struct pool_bench *b, unsigned rounds, const char *unused, struct err *e)
{
	static const struct contestant list[] = {
		{ "ensure, warm", pool_bench_warm },
		{ "ensure, cold", pool_bench_new },
		{ NULL, NULL },
	};

	(void)unused;
	return run_contest(b, list, rounds, REFILL_US, e);
}

static int cold(struct pool_bench *b, unsigned rounds, const char *state_dir,
		struct err *e)
{
	static const struct contestant list[] = {
		{ "ensure + first exec", pool_bench_first },
		{ "kernel's floor", pool_bench_floor },
		{ "ensure + first exec, egress", pool_bench_first_egress },
		{ "kernel's floor, egress", pool_bench_floor_egress },
		{ NULL, NULL },
	};
	int r = pool_bench_floor_open(b, state_dir, e);

	if (r == 0)
		r = run_contest(b, list, rounds, SETTLE_US, e);
	pool_bench_floor_close(b);
	return r;
}

static int process(struct pool_bench *b, unsigned rounds, const char *carrel,
		   struct err *e)
{
	static const struct contestant list[] = {
		{ "carrel exec", pool_bench_carrel_exec },
		{ "carrel version", pool_bench_carrel_alone },
		{ "exec, on an open connection", pool_bench_exec },
		{ "/bin/true", pool_bench_plain },
		{ NULL, NULL },
	};

	b->carrel = carrel;
	return run_beside_kept(b, list, rounds, 0, e);
}

/* Sandboxes that stay, one after the other. */
static int make(struct pool_bench *b, unsigned count, const char *prefix, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < count; i++) {
		json_t *reply = NULL;
		char name[64];

		if (str_format(name, sizeof(name), "%s-%u", prefix, i) < 0)
			return err_set(e, ENAMETOOLONG, "%s", prefix);
		r = client_call(
			&b->link, "Ensure",
			json_pack("{s:s, s:i}", "name", name, "idle_timeout", 3600000),
			&reply, e);
		json_decref(reply);
	}
	return r;
}

static int count_sandboxes(struct pool_bench *b, bool all, size_t *ret, struct err *e)
{
	json_t *reply = NULL;
	int r = client_call(&b->link, "List", json_pack("{s:b}", "all", all), &reply, e);

	*ret = json_array_size(json_object_get(reply, "sandboxes"));
	json_decref(reply);
	return r;
}

static int list_mode(struct pool_bench *b, unsigned unused, const char *unused_too,
		     struct err *e)
{
	size_t count = 0;
	int r = count_sandboxes(b, false, &count, e);

	(void)unused;
	(void)unused_too;
	if (r == 0)
		printf("%zu\n", count);
	return r;
}

static int shutdown_mode(struct pool_bench *b, unsigned unused, const char *unused_too,
			 struct err *e)
{
	size_t count = 1;
	int r = client_order(&b->link, "Shutdown", json_pack("{s:b}", "remove", 1), e);

	(void)unused;
	(void)unused_too;
	while (r == 0 && count > 0) {
		usleep(POLL_US);
		r = count_sandboxes(b, true, &count, e);
	}
	return r;
}

static const struct mode {
	const char *name;
	int arguments; /* a number, then a text */
	const char *usage;
	int (*run)(struct pool_bench *b, unsigned number, const char *text,
		   struct err *e);
} modes[] = {
	{ "calls", 1, "ROUNDS: requests to one sandbox, and creations", calls },
	{ "warm", 1, "ROUNDS: creations with a spare, and without", warm },
	{ "cold", 2, "ROUNDS STATE_DIR: creations and the kernel's floor", cold },
	{ "process", 2, "ROUNDS CARREL: whole processes", process },
	{ "make", 2, "COUNT PREFIX: makes sandboxes, and leaves them", make },
	{ "list", 0, "how many run", list_mode },
	{ "shutdown", 0, "ends and removes all", shutdown_mode },
};

static int usage(void)
{
	fprintf(stderr, "usage: pool-bench SOCKET MODE [ARGUMENT...]\n");
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		fprintf(stderr, "  %-8s %s\n", modes[i].name, modes[i].usage);
	return 2;
}

static const struct mode *find_mode(const char *name, int arguments)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (!strcmp(name, modes[i].name) && modes[i].arguments == arguments)
			return &modes[i];
	}
	return NULL;
}

static int run_mode(struct pool_bench *b, const struct mode *mode, unsigned number,
		    const char *text, struct err *e)
{
	sigset_t held;
	int r;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &held, &b->inherited) < 0)
		return err_set(e, errno, "block signals");
	b->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (b->null < 0)
		return err_set(e, errno, "open /dev/null");
	r = client_open(b->host, &b->link, e);
	if (r == 0) {
		b->link.timeout_ms = CALL_TIMEOUT_MS;
		r = mode->run(b, number, text, e);
	}
	client_close(&b->link);
	close(b->null);
	return r;
}

int main(int argc, char **argv)
{
	struct pool_bench b = { .link = CLIENT_NONE, .null = -1 };
	const struct mode *mode = argc < 3 ? NULL : find_mode(argv[2], argc - 3);
	uint64_t number = 1;
	struct err e;

	if (!mode || str_format(b.host, sizeof(b.host), "unix://%s", argv[1]) < 0 ||
	    (mode->arguments && num_parse(argv[3], 1, NUMBER_MAX, &number) < 0))
		return usage();
	if (run_mode(&b, mode, (unsigned)number, argc > 4 ? argv[4] : NULL, &e) == 0)
		return 0;
	fprintf(stderr, "pool-bench: %s: %s\n", mode->name, e.msg);
	return 1;
}
