/* SPDX-License-Identifier: Apache-2.0 */
/* Medians, ratios and targets, as a table or as JSON lines. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/str.h"
#include "tools/bench.h"

static const char process_group[] = "whole process, spawn to exit";
static const char start_group[] = "inside the start, call to cleaned up";
static const char phase_group[] = "phases of carrel's";

/* `base` is what the ratios of the group are to. */
static const struct {
	const char *group, *name;
	enum bench_row base;
} rows[] = {
	[BENCH_CARREL] = { process_group, "carrel run", BENCH_CARREL },
	[BENCH_EGRESS] = { process_group, "carrel run --network egress", BENCH_CARREL },
	[BENCH_BWRAP] = { process_group, "bwrap", BENCH_CARREL },
	[BENCH_RUNC] = { process_group, "runc run", BENCH_CARREL },
	[BENCH_CRUN] = { process_group, "crun run", BENCH_CARREL },
	[BENCH_EXEC] = { process_group, "no sandbox", BENCH_CARREL },
	[BENCH_LIBRARY] = { start_group, "carrel", BENCH_FLOOR },
	[BENCH_FLOOR] = { start_group, "kernel's floor", BENCH_FLOOR },
	[BENCH_EGRESS_LIBRARY] = { start_group, "carrel, with egress",
				   BENCH_EGRESS_FLOOR },
	[BENCH_EGRESS_FLOOR] = { start_group, "kernel's floor, with egress",
				 BENCH_EGRESS_FLOOR },
	[BENCH_PREPARE] = { phase_group, "prepare", BENCH_LIBRARY },
	[BENCH_START] = { phase_group, "clone PID 1, prepare more", BENCH_LIBRARY },
	[BENCH_EXECUTED] = { phase_group, "start the command", BENCH_LIBRARY },
	[BENCH_WAIT] = { phase_group, "the command itself", BENCH_LIBRARY },
	[BENCH_DESTROY] = { phase_group, "taking down", BENCH_LIBRARY },
};

static_assert(sizeof(rows) / sizeof(*rows) == BENCH_ROW_MAX, "one line a row");

/* What is promised: `row` takes at most `limit` times what `base` takes. */
static const struct target {
	const char *text;
	enum bench_row row, base;
	double limit;
} targets[] = {
	{ "carrel run <= bwrap", BENCH_CARREL, BENCH_BWRAP, 1.0 },
	{ "carrel run <= 1/5 of runc run", BENCH_CARREL, BENCH_RUNC, 0.2 },
	{ "carrel <= 1.5 x the kernel's floor", BENCH_LIBRARY, BENCH_FLOOR, 1.5 },
	{ "egress: carrel run <= 1.3 x bwrap", BENCH_EGRESS, BENCH_BWRAP, 1.3 },
	{ "egress: carrel <= 1.5 x the floor", BENCH_EGRESS_LIBRARY, BENCH_EGRESS_FLOOR,
	  1.5 },
};

const char *bench_row_name(enum bench_row row)
{
	return rows[row].name;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* In milliseconds, of samples that are sorted. */
static double percentile(const struct bench *b, enum bench_row row, unsigned percent)
{
	return (double)b->samples[row][(b->count - 1) * percent / 100] / 1e6;
}

static double ratio(const struct bench *b, enum bench_row row, enum bench_row base)
{
	return percentile(b, row, 50) / percentile(b, base, 50);
}

static bool has(const struct bench *b, enum bench_row row)
{
	return !b->absent[row][0];
}

/* A copy that can stand between quotes. */
static const char *quote(char *buf, size_t size, const char *text)
{
	str_escape(buf, size, text);
	for (char *p = buf; *p; p++) {
		if (*p == '"' || *p == '\\')
			*p = '\'';
	}
	return buf;
}

/* The processor's name, from /proc/cpuinfo. */
static void cpu_model(char *buf, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	quote(buf, size, "unknown processor");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		quote(buf, size, colon + strspn(colon, ": "));
		break;
	}
	if (f)
		fclose(f);
}

static void cgroup_layout(const struct cgroup_host *host, char *buf, size_t size)
{
	struct str s = str_over(buf, size);

	str_add(&s, "%s", host->ntrees > 1 ? "hybrid, v1:" : "v2");
	for (unsigned i = 1; i < host->ntrees; i++) {
		for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
			if (host->trees[i].controllers & (1u << c))
				str_add(&s, " %s", cgroup_controller_name(c));
		}
	}
}

static void print_machine(const struct bench *b)
{
	char model[256], layout[128];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname u;

	uname(&u);
	cpu_model(model, sizeof(model));
	cgroup_layout(&b->floor.host, layout, sizeof(layout));
	if (b->json)
		printf("{\"cpu\":\"%s\",\"cpus\":%ld,\"kernel\":\"%s\","
		       "\"cgroups\":\"%s\",\"rounds\":%u}\n",
		       model, cpus, u.release, layout, b->count);
	else
		printf("%s, %ld processors; Linux %s; cgroups %s\n"
		       "%u rounds, in another order each, 20 ms apart; times in "
		       "milliseconds\n",
		       model, cpus, u.release, layout, b->count);
}

static void print_row_json(const struct bench *b, enum bench_row row)
{
	char reason[BENCH_REASON_MAX * 4];

	printf("{\"group\":\"%s\",\"name\":\"%s\",", rows[row].group, rows[row].name);
	if (has(b, row))
		printf("\"median_ms\":%.4f,\"p10_ms\":%.4f,\"p90_ms\":%.4f}\n",
		       percentile(b, row, 50), percentile(b, row, 10),
		       percentile(b, row, 90));
	else
		printf("\"absent\":\"%s\"}\n",
		       quote(reason, sizeof(reason), b->absent[row]));
}

static void print_row_text(const struct bench *b, enum bench_row row)
{
	if (row == 0 || rows[row].group != rows[row - 1].group)
		printf("\n%-38s %8s %8s %8s %8s\n", rows[row].group, "median", "p10",
		       "p90", "ratio");
	printf("  %-36s ", rows[row].name);
	if (!has(b, row)) {
		printf("%s\n", b->absent[row]);
		return;
	}
	printf("%8.3f %8.3f %8.3f", percentile(b, row, 50), percentile(b, row, 10),
	       percentile(b, row, 90));
	if (has(b, rows[row].base))
		printf(" %8.2f", ratio(b, row, rows[row].base));
	printf("\n");
}

static void print_target(const struct bench *b, const struct target *t)
{
	bool judged = has(b, t->row) && has(b, t->base);
	double is = judged ? ratio(b, t->row, t->base) : 0;
	const char *verdict = !judged ? "unknown" : is <= t->limit ? "pass" : "miss";

	if (b->json)
		printf("{\"target\":\"%s\",\"ratio\":%.3f,\"limit\":%.3f,"
		       "\"verdict\":\"%s\"}\n",
		       t->text, is, t->limit, verdict);
	else
		printf("  %-36s %8.2f, at most %.2f: %s\n", t->text, is, t->limit,
		       verdict);
}

void bench_report(struct bench *b)
{
	if (b->count == 0)
		return;
	for (int row = 0; row < BENCH_ROW_MAX; row++)
		qsort(b->samples[row], b->count, sizeof(uint64_t), by_value);
	print_machine(b);
	for (int row = 0; row < BENCH_ROW_MAX; row++) {
		if (b->json)
			print_row_json(b, (enum bench_row)row);
		else
			print_row_text(b, (enum bench_row)row);
	}
	if (!b->json)
		printf("\ntargets (ratio of medians)\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		print_target(b, &targets[i]);
}
