/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "runtime/metrics.h"
#include "runtime/wire_json.h"

#define TMP_SUFFIX ".tmp" /* collectors read what ends in .prom */

enum { NS = 1000000000 };

/* Upper bounds, and how they are written. */
static const struct {
	uint64_t ns;
	const char *text;
} bounds[] = {
	{ 250000, "0.00025" },  { 500000, "0.0005" },   { NS / 1000, "0.001" },
	{ NS / 400, "0.0025" }, { NS / 200, "0.005" },  { NS / 100, "0.01" },
	{ NS / 40, "0.025" },   { NS / 20, "0.05" },    { NS / 10, "0.1" },
	{ NS / 4, "0.25" },     { NS / 2, "0.5" },      { NS, "1" },
	{ 5ull * NS, "5" },     { UINT64_MAX, "+Inf" },
};

static_assert(sizeof(bounds) / sizeof(*bounds) == METRICS_BUCKETS, "a bound a bucket");

static const char *const state_names[] = {
	[POOL_CREATING] = "creating", [POOL_RUNNING] = "running",
	[POOL_PAUSED] = "paused",     [POOL_FROZEN] = "frozen",
	[POOL_STOPPING] = "stopping", [POOL_STOPPED] = "stopped",
};

static_assert(sizeof(state_names) / sizeof(*state_names) == POOL_STATE_MAX, "states");

static const char *const why_names[] = {
	[POOL_ASKED] = "asked",
	[POOL_IDLE] = "idle",
	[POOL_MAX_DURATION] = "max_duration",
	[POOL_EVICTED] = "evicted",
	[POOL_DIED] = "died",
	[POOL_FAILED] = "failed",
};

static_assert(sizeof(why_names) / sizeof(*why_names) == POOL_WHY_MAX, "reasons to stop");

/* As in the interface. Index 0 is no request. */
static const char *const method_names[] = {
	[WIRE_INFO] = "Info",       [WIRE_ENSURE] = "Ensure",
	[WIRE_EXEC] = "Exec",       [WIRE_WAIT] = "Wait",
	[WIRE_KILL] = "Kill",       [WIRE_CANCEL] = "Cancel",
	[WIRE_EXECS] = "Execs",     [WIRE_STOP] = "Stop",
	[WIRE_REMOVE] = "Remove",   [WIRE_PAUSE] = "Pause",
	[WIRE_UNPAUSE] = "Unpause", [WIRE_TOUCH] = "Touch",
	[WIRE_LIST] = "List",       [WIRE_INSPECT] = "Inspect",
	[WIRE_STATS] = "Stats",     [WIRE_EVENTS] = "Events",
	[WIRE_REAP] = "Reap",       [WIRE_SHUTDOWN] = "Shutdown",
	[WIRE_METRICS] = "Metrics",
};

static_assert(sizeof(method_names) / sizeof(*method_names) == METRICS_METHODS, "methods");

static const char *const error_names[] = {
	[WIRE_NO_SUCH_SANDBOX] = "NoSuchSandbox",
	[WIRE_NO_SUCH_EXEC] = "NoSuchExec",
	[WIRE_CONFLICT] = "Conflict",
	[WIRE_REFUSED] = "Refused",
	[WIRE_BUSY] = "Busy",
	[WIRE_WRONG_STATE] = "WrongState",
	[WIRE_FAILED_START] = "StartFailed",
	[WIRE_FAILED] = "Failed",
};

static_assert(sizeof(error_names) / sizeof(*error_names) == WIRE_ERROR_MAX, "errors");

static const char *const result_names[] = { "ok", "failed" };

static_assert(offsetof(struct metrics, create_failed) ==
		      offsetof(struct metrics, created) + sizeof(uint64_t),
	      "one row for both");

/* A metric: one number, one a name, or (time) a histogram. */
struct row {
	const char *name, *help, *type;
	size_t offset;
	const char *label; /* NULL: one number */
	const char *const *names; /* values of the label; NULL: not used */
	unsigned count;
};

#define OF(type, member) .offset = offsetof(struct type, member)
#define BY(key, table) \
	.label = (key), .names = (table), .count = sizeof(table) / sizeof(*(table))

static const struct row daemon_rows[] = {
	{ "start_time_seconds", "When the daemon was started, since 1970.", "gauge",
	  OF(metrics_daemon, started) },
	{ "resident_memory_bytes", "Resident memory of the broker.", "gauge",
	  OF(metrics_daemon, resident_bytes) },
	{ "fronts", "Processes that speak with clients.", "gauge",
	  OF(metrics_daemon, fronts) },
	{ "spares", "Sandboxes that are ready and nobody's yet.", "gauge",
	  OF(metrics_daemon, spares) },
	{ "adopted_sandboxes", "Sandboxes that were alive when the daemon was started.",
	  "gauge", OF(metrics_daemon, adopted) },
	{ "fronts_killed_total", "Fronts that misbehaved or died.", "counter",
	  OF(metrics_daemon, fronts_killed) },
	{ "log_dropped_total", "Log lines that nobody took.", "counter",
	  OF(metrics_daemon, log_dropped) },
};

static const struct row client_rows[] = {
	{ "sandboxes", "Sandboxes by state.", "gauge", OF(metrics, sandboxes),
	  BY("state", state_names) },
	{ "execs", "Commands that run.", "gauge", OF(metrics, execs) },
	{ "connections", "Connections of clients.", "gauge", OF(metrics, connections) },
	{ "creations_total", "Starts of sandboxes by result.", "counter",
	  OF(metrics, created), BY("result", result_names) },
	{ "stops_total", "Sandboxes that were stopped, by why.", "counter",
	  OF(metrics, stopped), BY("why", why_names) },
	{ "execs_ended_total", "Commands that ended, by reason.", "counter",
	  OF(metrics, execs_ended), BY("reason", wire_reason_names) },
	{ "requests_total", "Requests by method.", "counter", OF(metrics, requests),
	  BY("method", method_names) },
	{ "errors_total", "Requests that were answered with an error.", "counter",
	  OF(metrics, errors), BY("error", error_names) },
	{ "creation_seconds", "Time to make a sandbox.", "histogram",
	  OF(metrics, create_time) },
	{ "exec_start_seconds", "Time from a request to its command.", "histogram",
	  OF(metrics, exec_start_time) },
};

void metrics_observe(struct metrics_histogram *h, uint64_t ns)
{
	unsigned i = 0;

	while (ns > bounds[i].ns)
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum_ns += ns;
}

/* --- text -------------------------------------------------------------------------- */

/* A label's value: three characters have an escape, others that are no text have none. */
static void add_label(struct str *s, const char *value)
{
	for (const unsigned char *p = (const unsigned char *)value; *p && !s->cut; p++) {
		if (*p == '\n')
			str_add(s, "\\n");
		else if (*p == '\\' || *p == '"')
			str_add(s, "\\%c", *p);
		else
			str_add(s, "%c", *p < 0x20 || *p == 0x7f ? '?' : *p);
	}
}

static void add_head(struct str *s, const struct row *row)
{
	str_add(s, "# HELP carrel_%s %s\n# TYPE carrel_%s %s\n", row->name, row->help,
		row->name, row->type);
}

/* The name of a sample with its labels, up to the value. */
static void add_name(struct str *s, const struct row *row, const char *suffix,
		     const char *client)
{
	str_add(s, "carrel_%s%s{client=\"", row->name, suffix);
	add_label(s, client);
	str_add(s, "\"");
}

static void add_histogram(struct str *s, const struct row *row, const char *client,
			  const struct metrics_histogram *h)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		below += h->buckets[i];
		add_name(s, row, "_bucket", client);
		str_add(s, ",le=\"%s\"} %" PRIu64 "\n", bounds[i].text, below);
	}
	add_name(s, row, "_sum", client);
	str_add(s, "} %" PRIu64 ".%09" PRIu64 "\n", h->sum_ns / NS, h->sum_ns % NS);
	add_name(s, row, "_count", client);
	str_add(s, "} %" PRIu64 "\n", h->count);
}

static void add_numbers(struct str *s, const struct row *row, const char *client,
			const uint64_t *values)
{
	if (!row->label) {
		add_name(s, row, "", client);
		str_add(s, "} %" PRIu64 "\n", values[0]);
	}
	for (unsigned i = 0; i < row->count; i++) {
		if (!row->names[i])
			continue;
		add_name(s, row, "", client);
		str_add(s, ",%s=\"%s\"} %" PRIu64 "\n", row->label, row->names[i],
			values[i]);
	}
}

static void add_client(struct str *s, const struct row *row,
		       const struct metrics_client *c)
{
	const void *member = (const char *)c->metrics + row->offset;

	if (!strcmp(row->type, "histogram"))
		add_histogram(s, row, c->name, member);
	else
		add_numbers(s, row, c->name, member);
}

static void add_daemon(struct str *s, const struct metrics_daemon *daemon)
{
	str_add(s,
		"# HELP carrel_build_info The version that runs.\n"
		"# TYPE carrel_build_info gauge\n"
		"carrel_build_info{version=\"%s\"} 1\n",
		CARREL_VERSION);
	for (size_t i = 0; i < sizeof(daemon_rows) / sizeof(*daemon_rows); i++) {
		const struct row *row = &daemon_rows[i];
		const uint64_t *value =
			(const uint64_t *)((const char *)daemon + row->offset);

		add_head(s, row);
		str_add(s, "carrel_%s %" PRIu64 "\n", row->name, *value);
	}
}

void metrics_format(const struct metrics_daemon *daemon,
		    const struct metrics_client *clients, unsigned count, struct str *s)
{
	if (daemon)
		add_daemon(s, daemon);
	/* The format wants all samples of a metric in one group. */
	for (size_t i = 0; i < sizeof(client_rows) / sizeof(*client_rows); i++) {
		add_head(s, &client_rows[i]);
		for (unsigned c = 0; c < count; c++)
			add_client(s, &client_rows[i], &clients[c]);
	}
}

/* --- the process and the file ------------------------------------------------------ */

int metrics_resident(uint64_t *ret, struct err *e)
{
	char text[128];
	ssize_t n = fd_read_at(AT_FDCWD, "/proc/self/statm", text, sizeof(text));
	uint64_t pages;

	if (n < 0)
		return err_set(e, (int)-n, "read /proc/self/statm");
	if (sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return err_say(e, EPROTO, "/proc/self/statm is not as expected");
	*ret = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* The directory of the path, and where its last part begins. */
static int open_directory(const char *path, int *ret, const char **ret_name,
			  struct err *e)
{
	const char *slash = strrchr(path, '/');
	char parent[WIRE_PATH_MAX + 1];

	if (*path != '/' || !slash[1])
		return err_say(e, EINVAL, "%s is not the absolute path of a file", path);
	if (str_format(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path) < 0)
		return err_set(e, ENAMETOOLONG, "open the directory of %s", path);
	*ret = sys_openat2(AT_FDCWD, parent, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);
	if (*ret < 0)
		return err_set(e, errno, "open %s", parent);
	*ret_name = slash + 1;
	return 0;
}

/* Writes a new file called `tmp`, which is there afterwards in any case. */
static int write_new(int dir, const char *tmp, const char *text, size_t size,
		     struct err *e)
{
	auto_fd fd = -1;
	int r;

	/* One that is there is what an earlier daemon left, or somebody's trap. */
	if (unlinkat(dir, tmp, 0) < 0 && errno != ENOENT)
		return err_set(e, errno, "remove %s", tmp);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, errno, "make %s", tmp);
	r = fd_write_all(fd, text, size);
	if (r < 0)
		return err_set(e, -r, "write %s", tmp);
	/* The collector is not root, whatever our umask. */
	if (fchmod(fd, 0644) < 0)
		return err_set(e, errno, "chmod %s", tmp);
	return 0;
}

int metrics_save(const char *path, const char *text, size_t size, struct err *e)
{
	char tmp[NAME_MAX + 1];
	const char *name = NULL;
	auto_fd dir = -1;
	int r = open_directory(path, &dir, &name, e);

	if (r < 0)
		return r;
	if (str_format(tmp, sizeof(tmp), "%s" TMP_SUFFIX, name) < 0)
		return err_set(e, ENAMETOOLONG, "make a file beside %s", path);
	r = write_new(dir, tmp, text, size, e);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = err_set(e, errno, "rename %s to %s", tmp, name);
	/* Nothing is left when it failed; the error is the first one's. */
	if (r < 0)
		err_ignore(unlinkat(dir, tmp, 0) < 0);
	return r;
}
