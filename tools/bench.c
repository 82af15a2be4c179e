/* SPDX-License-Identifier: Apache-2.0 */
/* bench: carrel's price beside the kernel's floor and beside its peers. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "runtime/sandbox.h" /* lint: the phases are not behind the door */
#include "tools/bench.h"

enum {
	ROUNDS_DEFAULT = 200,
	ROUNDS_MAX = 100000,
	WARM_UP = 10, /* rounds that do not count */
	SETTLE_US =
		20000, /* a sandbox that has ended keeps the kernel busy for some ms */
};

/* --- inside the start ------------------------------------------------------------ */

static void make_spec(struct spec *spec)
{
	static char *argv[] = { "/bin/true", NULL }, *envp[] = { NULL };
	struct err e;

	spec_init(spec);
	spec->argv = argv;
	spec->envp = envp;
	spec->directory = "/";
	bug_on(spec_check(spec, &e) < 0);
}

static int time_run(const struct bench *b, bool egress, uint64_t *ret_ns, struct err *e)
{
	struct run_result result;
	struct spec spec;
	uint64_t start;
	int r;

	make_spec(&spec);
	spec.network.egress = egress;
	start = bench_now_ns();
	r = run_command(&b->config, &spec, &result, e);
	*ret_ns = bench_now_ns() - start;
	if (r == 0 && result.exit_code)
		return err_say(e, ECHILD, "/bin/true ended with %d", result.exit_code);
	return r;
}

static int time_library(const struct bench *b, uint64_t *ns, struct err *e)
{
	return time_run(b, false, &ns[BENCH_LIBRARY], e);
}

static int time_egress_library(const struct bench *b, uint64_t *ns, struct err *e)
{
	return time_run(b, true, &ns[BENCH_EGRESS_LIBRARY], e);
}

static int time_floor(const struct bench *b, uint64_t *ns, struct err *e)
{
	uint64_t start = bench_now_ns();

	(void)e;
	floor_run(&b->floor, NULL, "/bin/true");
	ns[BENCH_FLOOR] = bench_now_ns() - start;
	return 0;
}

static int time_egress_floor(const struct bench *b, uint64_t *ns, struct err *e)
{
	uint64_t start = bench_now_ns();

	(void)e;
	floor_run(&b->floor, &b->config.network, "/bin/true");
	ns[BENCH_EGRESS_FLOOR] = bench_now_ns() - start;
	return 0;
}

/* Closes a phase: its time is what has passed since the one before. */
static void lap(uint64_t *ns, enum bench_row row, uint64_t *since)
{
	uint64_t now = bench_now_ns();

	ns[row] = now - *since;
	*since = now;
}

/* What run_command() does once everything is prepared, up to the command's end. */
static int time_start(struct sandbox *sb, struct process *payload, uint64_t *ns,
		      uint64_t *since, struct err *e)
{
	struct payload_start started;
	int r = sandbox_start(sb, e);

	lap(ns, BENCH_START, since);
	if (r == 0)
		r = payload_start(sb, -1, payload, &started, e);
	lap(ns, BENCH_EXECUTED, since);
	if (r == 0)
		r = process_wait(payload, NULL, NULL, e);
	lap(ns, BENCH_WAIT, since);
	return r;
}

/* The parts that run_command() is made of, one by one. */
static int time_phases(const struct bench *b, uint64_t *ns, struct err *e)
{
	struct process payload = PROCESS_NONE;
	struct err destroy_err;
	struct sandbox sb;
	struct spec spec;
	uint64_t since;
	int r, destroyed;

	make_spec(&spec);
	since = bench_now_ns();
	r = sandbox_prepare(&b->config, &spec, NULL, &sb, e);
	lap(ns, BENCH_PREPARE, &since);
	if (r < 0)
		return r;
	r = time_start(&sb, &payload, ns, &since, e);
	payload_end(&payload);
	destroyed = sandbox_destroy(&sb, &destroy_err);
	lap(ns, BENCH_DESTROY, &since);
	if (r == 0 && destroyed < 0) {
		*e = destroy_err;
		return destroyed;
	}
	return r;
}

/* How a child measures its row. The phases fill the rows after it too. */
static int (*const timed[])(const struct bench *, uint64_t *, struct err *) = {
	[BENCH_LIBRARY] = time_library,
	[BENCH_FLOOR] = time_floor,
	[BENCH_EGRESS_LIBRARY] = time_egress_library,
	[BENCH_EGRESS_FLOOR] = time_egress_floor,
	[BENCH_PREPARE] = time_phases,
};

/* Measures the row once, in a child, since run_command() changes the process that calls
 * it. The results come back through b->shared. */
static int run_start(struct bench *b, enum bench_row row, uint64_t *ret_ns, struct err *e)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err child_err = { 0 };
		int r;

		sigprocmask(SIG_SETMASK, &b->inherited, NULL);
		r = timed[row](b, b->shared, &child_err);
		if (r < 0)
			dprintf(2, "bench: %s\n", child_err.msg);
		_exit(r < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(e, errno, "measure in a child");
	if (status)
		return err_say(e, ECHILD, "the measuring child failed");
	*ret_ns = b->shared[row];
	return 0;
}

/* --- rounds ---------------------------------------------------------------------- */

/* How a row is sampled; NULL: it was, along with the last one that has a function. */
static int (*const sample[BENCH_ROW_MAX])(struct bench *, enum bench_row, uint64_t *,
					  struct err *) = {
	[BENCH_CARREL] = bench_run_process, [BENCH_BWRAP] = bench_run_process,
	[BENCH_EGRESS] = bench_run_process, [BENCH_EGRESS_LIBRARY] = run_start,
	[BENCH_EGRESS_FLOOR] = run_start,   [BENCH_RUNC] = bench_run_process,
	[BENCH_CRUN] = bench_run_process,   [BENCH_EXEC] = bench_run_process,
	[BENCH_LIBRARY] = run_start,        [BENCH_FLOOR] = run_start,
	[BENCH_PREPARE] = run_start,
};

/* A signal that would end us waits until everything is cleaned up. */
static bool interrupted(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
		sigismember(&pending, SIGHUP));
}

/* In another order each round, so that nobody always comes after the same one: what is
 * left of the one before, after SETTLE_US, is paid for by whoever comes next. */
static void shuffle(enum bench_row *order)
{
	static unsigned seed = 1; /* the same orders in each run */

	for (unsigned i = 0; i < BENCH_ROW_MAX; i++) {
		unsigned j = (unsigned)rand_r(&seed) % (i + 1);

		order[i] = order[j];
		order[j] = (enum bench_row)i;
	}
}

/* One sample of every contestant, stored at `at`. */
static int run_round(struct bench *b, unsigned at, struct err *e)
{
	enum bench_row order[BENCH_ROW_MAX];

	shuffle(order);
	for (unsigned i = 0; i < BENCH_ROW_MAX; i++) {
		enum bench_row row = order[i];
		int r = 0;

		usleep(SETTLE_US);
		if (!b->absent[row][0] && sample[row])
			r = sample[row](b, row, &b->samples[row][at], e);
		if (r < 0)
			return err_wrap(e, "%s", bench_row_name(row));
	}
	for (unsigned row = 0; row < BENCH_ROW_MAX; row++) {
		if (!sample[row])
			b->samples[row][at] = b->shared[row];
	}
	return 0;
}

/* Finds out which peers take part. Without carrel there is nothing to compare. */
static int try_peers(struct bench *b, struct err *e)
{
	static const enum bench_row peers[] = { BENCH_BWRAP, BENCH_RUNC, BENCH_CRUN };

	for (size_t i = 0; i < sizeof(peers) / sizeof(*peers); i++) {
		struct str reason = str_over(b->absent[peers[i]], BENCH_REASON_MAX);
		uint64_t ns;

		if (bench_run_process(b, peers[i], &ns, e) < 0)
			str_add(&reason, "%s", e->msg);
	}
	return interrupted() ? err_say(e, EINTR, "interrupted") : 0;
}

static int run_rounds(struct bench *b, struct err *e)
{
	int r = try_peers(b, e);

	for (unsigned i = 0; r == 0 && i < WARM_UP; i++)
		r = run_round(b, 0, e);
	while (r == 0 && b->count < b->rounds && !interrupted()) {
		r = run_round(b, b->count, e);
		if (r == 0)
			b->count++;
	}
	/* What failed because it got the signal too is no news. */
	return interrupted() ? 0 : r;
}

/* --- what it takes, and leaving nothing ------------------------------------------ */

static int name_everything(struct bench *b, struct err *e)
{
	int r = str_format(b->id, sizeof(b->id), "carrel-bench-%d", (int)getpid());

	if (r == 0)
		r = str_format(b->state_dir, BENCH_PATH_MAX, "/run/%s", b->id);
	if (r == 0)
		r = str_format(b->scratch, BENCH_PATH_MAX, "/tmp/carrel-bench-XXXXXX");
	if (r == 0 && !mkdtemp(b->scratch)) {
		r = err_set(e, errno, "make a directory in /tmp");
		b->scratch[0] = '\0';
		return r;
	}
	if (r == 0)
		r = str_format(b->conf, BENCH_PATH_MAX, "%s/carrel.conf", b->scratch);
	if (r == 0)
		r = str_format(b->bundle, BENCH_PATH_MAX, "%s/bundle", b->scratch);
	if (r == 0)
		r = str_format(b->runc_root, BENCH_PATH_MAX, "%s/runc", b->scratch);
	if (r == 0)
		r = str_format(b->crun_root, BENCH_PATH_MAX, "%s/crun", b->scratch);
	return r < 0 ? err_set(e, -r, "name what the bench makes") : 0;
}

static int allocate(struct bench *b, struct err *e)
{
	void *shared = mmap(NULL, BENCH_ROW_MAX * sizeof(uint64_t),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return err_set(e, errno, "map memory");
	b->shared = shared;
	for (int row = 0; row < BENCH_ROW_MAX; row++) {
		b->samples[row] = calloc(b->rounds, sizeof(uint64_t));
		if (!b->samples[row])
			return err_set(e, ENOMEM, "hold %u samples", b->rounds);
	}
	return 0;
}

static int open_files(struct bench *b, struct err *e)
{
	b->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	b->messages = memfd_create("messages", MFD_CLOEXEC);
	if (b->null < 0 || b->messages < 0)
		return err_set(e, errno, "open files");
	return 0;
}

/* Where nothing is sent: the loopback interface plays the uplink, here and in the
 * configuration of carrel as a process. */
static int enter_network(const struct bench *b, struct err *e)
{
	static const char conf[] = "[network]\nuplink = lo\ndns = 9.9.9.9\n";
	auto_fd fd = open(b->conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_set(e, errno, "make %s", b->conf);
	r = fd_write_all(fd, conf, strlen(conf));
	if (r < 0)
		return err_set(e, -r, "write %s", b->conf);
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(e, errno, "make a network namespace");
	return netns_host_up(&b->config.network, false, e);
}

static int prepare(struct bench *b, struct err *e)
{
	struct runtime_config defaults = runtime_config_defaults();
	int r = name_everything(b, e);

	/* The last range of the block, where hardly another sandbox comes to. */
	b->config = (struct runtime_config){
		.state_dir = b->state_dir,
		.id_first = defaults.id_first +
			    (defaults.id_ranges - 1) * (uint32_t)SPEC_ID_RANGE,
		.id_ranges = 1,
		.network = defaults.network,
	};
	/* As the file says that enter_network() writes: otherwise each start would set up
	 * the host's side anew. */
	bug_on(str_format(b->config.network.uplink, IFNAMSIZ, "lo") < 0);
	b->config.network.dns[0] = (struct ip){ AF_INET, { 9, 9, 9, 9 } };
	b->config.network.dns_count = 1;
	if (r == 0)
		r = enter_network(b, e);
	if (r == 0)
		r = bench_make_bundle(b, e);
	if (r == 0)
		r = allocate(b, e);
	if (r == 0)
		r = open_files(b, e);
	if (r == 0)
		r = floor_open(&b->config, b->id, &b->floor, e);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path) < 0)
		fprintf(stderr, "bench: remove %s: %s\n", path, strerror(errno));
	return 0;
}

static void remove_below(const char *path)
{
	if (*path && access(path, F_OK) == 0)
		nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Also of what a contestant that was interrupted or failed has left. */
static void clean_up(struct bench *b)
{
	for (unsigned i = 0; i < b->floor.host.ntrees; i++) {
		char path[CGROUP_PATH_MAX + CGROUP_NAME_MAX];
		struct err e;

		if (str_format(path, sizeof(path), "%s/%s", b->floor.host.trees[i].path,
			       b->id) == 0 &&
		    cgroup_reclaim(path, &e) < 0)
			fprintf(stderr, "bench: %s\n", e.msg);
	}
	if (b->floor.host.ntrees)
		floor_close(&b->floor);
	remove_below(b->scratch);
	remove_below(b->state_dir);
	for (int row = 0; row < BENCH_ROW_MAX; row++)
		free(b->samples[row]);
	fd_close(&b->null);
	fd_close(&b->messages);
}

/* --- command line ---------------------------------------------------------------- */

static int parse_rounds(struct bench *b, const char *text, struct err *e)
{
	uint64_t rounds;

	if (num_parse(text, 1, ROUNDS_MAX, &rounds) < 0)
		return err_say(e, EINVAL, "--rounds: \"%s\" is not a number of 1 to %d",
			       text, ROUNDS_MAX);
	b->rounds = (unsigned)rounds;
	return 0;
}

static int parse_arguments(struct bench *b, char **argv, struct err *e)
{
	int r = 0;

	for (argv++; r == 0 && *argv; argv++) {
		if (!strcmp(*argv, "--json"))
			b->json = true;
		else if (!strcmp(*argv, "--rounds") && argv[1])
			r = parse_rounds(b, *++argv, e);
		else if (**argv != '-' && !b->carrel)
			b->carrel = *argv;
		else
			break;
	}
	if (r == 0 && (*argv || !b->carrel))
		return err_say(e, EINVAL, "usage: bench [--json] [--rounds N] CARREL");
	return r;
}

static int run(struct bench *b, char **argv, struct err *e)
{
	sigset_t held;
	int r = parse_arguments(b, argv, e);

	if (r == 0 && geteuid() != 0)
		r = err_say(e, EPERM, "must be run as root");
	if (r < 0)
		return r;
	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &held, &b->inherited) < 0)
		return err_set(e, errno, "block signals");
	r = prepare(b, e);
	if (r == 0)
		r = run_rounds(b, e);
	if (r == 0)
		bench_report(b);
	clean_up(b);
	return r;
}

int main(int argc, char **argv)
{
	struct bench b = { .rounds = ROUNDS_DEFAULT, .null = -1, .messages = -1 };
	struct err e;

	(void)argc;
	if (run(&b, argv, &e) == 0)
		return 0;
	fprintf(stderr, "bench: %s\n", e.msg);
	return 1;
}
