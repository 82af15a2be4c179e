/* SPDX-License-Identifier: Apache-2.0 */
/* The text is what Prometheus' format says, and the file is replaced whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtime/metrics.h"

enum { TEXT_MAX = METRICS_DAEMON_TEXT + 3 * METRICS_CLIENT_TEXT };

static char text[TEXT_MAX];

static const char *format(const struct metrics_daemon *daemon,
			  const struct metrics_client *clients, unsigned count)
{
	struct str s = str_over(text, sizeof(text));

	metrics_format(daemon, clients, count, &s);
	assert_false(s.cut);
	return text;
}

/* Is the line there, whole? */
static void assert_has(const char *all, const char *line)
{
	const char *p = strstr(all, line);

	while (p && !((p == all || p[-1] == '\n') && p[strlen(line)] == '\n'))
		p = strstr(p + 1, line);
	if (!p)
		fail_msg("no line %s in\n%s", line, all);
}

/* --- the format -------------------------------------------------------------------- */

static void every_number_is_shown_under_its_name(void **state)
{
	struct metrics m = { .execs = 3, .connections = 4, .created = 5 };
	const struct metrics_daemon d = {
		.started = 1700000000,
		.fronts = 2,
		.resident_bytes = 123,
		.adopted = 7,
		.fronts_killed = 8,
		.spares = 9,
		.log_dropped = 10,
	};
	const struct metrics_client c = { "web", &m };

	(void)state;
	m.create_failed = 6;
	m.sandboxes[POOL_FROZEN] = 11;
	m.stopped[POOL_MAX_DURATION] = 12;
	m.execs_ended[WIRE_START_FAILED] = 13;
	m.requests[WIRE_INFO] = 14;
	m.requests[WIRE_METRICS] = 15;
	m.errors[WIRE_FAILED] = UINT64_MAX;
	format(&d, &c, 1);
	assert_has(text, "carrel_build_info{version=\"" CARREL_VERSION "\"} 1");
	assert_has(text, "carrel_start_time_seconds 1700000000");
	assert_has(text, "carrel_resident_memory_bytes 123");
	assert_has(text, "carrel_fronts 2");
	assert_has(text, "carrel_adopted_sandboxes 7");
	assert_has(text, "carrel_fronts_killed_total 8");
	assert_has(text, "carrel_spares 9");
	assert_has(text, "carrel_log_dropped_total 10");
	assert_has(text, "carrel_execs{client=\"web\"} 3");
	assert_has(text, "carrel_connections{client=\"web\"} 4");
	assert_has(text, "carrel_creations_total{client=\"web\",result=\"ok\"} 5");
	assert_has(text, "carrel_creations_total{client=\"web\",result=\"failed\"} 6");
	assert_has(text, "carrel_sandboxes{client=\"web\",state=\"frozen\"} 11");
	assert_has(text, "carrel_sandboxes{client=\"web\",state=\"running\"} 0");
	assert_has(text, "carrel_stops_total{client=\"web\",why=\"max_duration\"} 12");
	assert_has(text,
		   "carrel_execs_ended_total{client=\"web\",reason=\"start_failed\"} 13");
	assert_has(text, "carrel_requests_total{client=\"web\",method=\"Info\"} 14");
	assert_has(text, "carrel_requests_total{client=\"web\",method=\"Metrics\"} 15");
	assert_has(text, "carrel_errors_total{client=\"web\",error=\"Failed\"} "
			 "18446744073709551615");
	assert_has(text, "# HELP carrel_execs Commands that run.");
	assert_has(text, "# TYPE carrel_errors_total counter");
}

static void errors_are_called_as_in_the_interface(void **state)
{
	FILE *file = fopen("tools/io.carrel.Pool.varlink", "re");
	const struct metrics m = { 0 };
	const struct metrics_client c = { "web", &m };
	char line[512], name[64], expected[128];
	unsigned errors = 0;

	(void)state;
	assert_non_null(file);
	format(NULL, &c, 1);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "error %63[A-Za-z]", name) != 1)
			continue;
		snprintf(expected, sizeof(expected),
			 "carrel_errors_total{client=\"web\",error=\"%s\"} 0", name);
		assert_has(text, expected);
		errors++;
	}
	fclose(file);
	assert_int_equal(errors, WIRE_ERROR_MAX);
}

static void a_client_sees_nothing_of_the_daemon_or_of_others(void **state)
{
	const struct metrics m = { 0 };
	const struct metrics_client c = { "web", &m };

	(void)state;
	format(NULL, &c, 1);
	assert_null(strstr(text, "carrel_fronts"));
	assert_null(strstr(text, "carrel_build_info"));
	assert_has(text, "carrel_execs{client=\"web\"} 0");
}

static void without_clients_there_are_heads_alone(void **state)
{
	const char *line = text;

	(void)state;
	format(NULL, NULL, 0);
	for (; *line; line = strchr(line, '\n') + 1)
		assert_int_equal(*line, '#');
}

static void observations_fall_into_the_bucket_that_bounds_them(void **state)
{
	struct metrics m = { 0 };
	const struct metrics_client c = { "a", &m };

	(void)state;
	metrics_observe(&m.create_time, 0);
	metrics_observe(&m.create_time, 250000); /* a bound belongs to its bucket */
	metrics_observe(&m.create_time, 250001);
	metrics_observe(&m.create_time, 4999999999);
	metrics_observe(&m.create_time, 60000000000);
	format(NULL, &c, 1);
	assert_has(text, "carrel_creation_seconds_bucket{client=\"a\",le=\"0.00025\"} 2");
	assert_has(text, "carrel_creation_seconds_bucket{client=\"a\",le=\"0.0005\"} 3");
	assert_has(text, "carrel_creation_seconds_bucket{client=\"a\",le=\"1\"} 3");
	assert_has(text, "carrel_creation_seconds_bucket{client=\"a\",le=\"5\"} 4");
	assert_has(text, "carrel_creation_seconds_bucket{client=\"a\",le=\"+Inf\"} 5");
	assert_has(text, "carrel_creation_seconds_sum{client=\"a\"} 65.000500000");
	assert_has(text, "carrel_creation_seconds_count{client=\"a\"} 5");
	assert_has(text, "carrel_exec_start_seconds_count{client=\"a\"} 0");
	assert_has(text, "# TYPE carrel_creation_seconds histogram");
}

static void bounds_are_what_they_are_called(void **state)
{
	struct metrics m = { 0 };
	const struct metrics_client c = { "a", &m };
	const char *p;
	unsigned buckets = 0;

	(void)state;
	/* One at each bound and one above it: 2 more from bucket to bucket. */
	for (p = format(NULL, &c, 1); (p = strstr(p, "creation_seconds_bucket")); p++) {
		double seconds = strtod(strstr(p, "le=\"") + 4, NULL);

		if (++buckets == METRICS_BUCKETS)
			break;
		metrics_observe(&m.create_time, (uint64_t)(seconds * 1e9 + 0.5));
		metrics_observe(&m.create_time, (uint64_t)(seconds * 1e9 + 1.5));
	}
	assert_int_equal(buckets, METRICS_BUCKETS);
	assert_int_equal(m.create_time.buckets[0], 1);
	for (unsigned i = 1; i + 1 < METRICS_BUCKETS; i++)
		assert_int_equal(m.create_time.buckets[i], 2);
	assert_int_equal(m.create_time.buckets[METRICS_BUCKETS - 1], 1);
}

static void labels_are_escaped(void **state)
{
	const struct metrics m = { 0 };
	const struct metrics_client c = { "a\"} 1\nb\\\033[2J\xc3\xa4", &m };

	(void)state;
	format(NULL, &c, 1);
	assert_has(text, "carrel_execs{client=\"a\\\"} 1\\nb\\\\?[2J\xc3\xa4\"} 0");
}

/* Reads it as a scraper does: a group of samples after its head, no sample twice. */
static void assert_well_formed(char *all)
{
	static char seen[TEXT_MAX];
	struct str names = str_over(seen, sizeof(seen));
	char name[64] = "", type[32];
	size_t samples = 0;

	str_add(&names, "\n");
	for (char *line = all, *end; *line; line = end) {
		char *value;

		end = strchr(line, '\n');
		*end++ = '\0';
		value = strrchr(line, ' ');

		if (!strncmp(line, "# HELP ", 7)) {
			assert_int_equal(sscanf(line, "# HELP %63s", name), 1);
			assert_true(strlen(line) > strlen("# HELP ") + strlen(name) + 1);
			continue;
		}
		if (*line == '#') {
			char same[64];

			assert_int_equal(sscanf(line, "# TYPE %63s %31s", same, type), 2);
			assert_string_equal(same, name);
			if (!strcmp(type, "counter"))
				assert_string_equal(name + strlen(name) - 6, "_total");
			continue;
		}
		assert_non_null(value);
		assert_int_equal(strncmp(line, name, strlen(name)), 0);
		assert_int_equal(strspn(value + 1, "0123456789."), strlen(value + 1));
		*value = '\0';
		str_add(&names, "%s\n", line);
		assert_false(names.cut);
		samples++;
	}
	assert_true(samples > 150);
	for (char *line = seen + 1; *line; line = strchr(line, '\n') + 1) {
		size_t len = (size_t)(strchr(line, '\n') - line);

		assert_null(memmem(line + len, strlen(line + len), line - 1, len + 2));
	}
}

static void text_is_well_formed(void **state)
{
	const struct metrics m = { .created = 1, .execs = 2 };
	const struct metrics_daemon d = { .started = 1 };
	const struct metrics_client clients[] = { { "web", &m }, { "web2", &m } };

	(void)state;
	format(&d, clients, 2);
	assert_well_formed(text);
}

/* --- room -------------------------------------------------------------------------- */

static void the_promised_room_suffices_for_the_longest_text(void **state)
{
	char name[WIRE_PROFILE_MAX + 1];
	struct metrics m;
	struct metrics_daemon d;
	struct metrics_client clients[3];
	struct str s = str_over(text, METRICS_DAEMON_TEXT);

	(void)state;
	memset(name, '"', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(&m, 0xff, sizeof(m));
	/* Sums of buckets wrap around; what counts is the length. */
	for (unsigned i = 1; i < METRICS_BUCKETS; i++)
		m.create_time.buckets[i] = m.exec_start_time.buckets[i] = 0;
	memset(&d, 0xff, sizeof(d));
	for (unsigned i = 0; i < 3; i++)
		clients[i] = (struct metrics_client){ name, &m };
	metrics_format(&d, NULL, 0, &s);
	assert_false(s.cut);
	for (unsigned count = 1; count <= 3; count++) {
		s = str_over(text, METRICS_DAEMON_TEXT + count * METRICS_CLIENT_TEXT);
		metrics_format(&d, clients, count, &s);
		assert_false(s.cut);
	}
	assert_true(s.len > 3 * METRICS_CLIENT_TEXT / 2);
}

static void too_little_room_is_told_and_nothing_is_written_behind(void **state)
{
	const struct metrics m = { 0 };
	const struct metrics_client c = { "web", &m };
	char small[200];
	struct str s = str_over(small, 100);

	(void)state;
	memset(small + 100, '#', 100);
	metrics_format(NULL, &c, 1, &s);
	assert_true(s.cut);
	for (int i = 100; i < 200; i++)
		assert_int_equal(small[i], '#');
}

/* --- the process and the file ------------------------------------------------------ */

static void resident_grows_with_what_is_touched(void **state)
{
	enum { MORE = 32 << 20 };
	struct err e = { 0 };
	uint64_t before = 0, after = 0;
	auto_free char *block = malloc(MORE);

	(void)state;
	assert_int_equal(metrics_resident(&before, &e), 0);
	assert_non_null(block);
	memset(block, 1, MORE);
	assert_int_equal(metrics_resident(&after, &e), 0);
	assert_true(before > 100000);
	assert_true(after >= before + MORE / 2 && after < before + 2 * MORE);
}

static char directory[] = "/tmp/carrel-metrics.XXXXXX";
static char path[64], tmp[64], other[64];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/carrel.prom", directory);
	snprintf(tmp, sizeof(tmp), "%s/carrel.prom.tmp", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	return 0;
}

static int empty_directory(void **state)
{
	(void)state;
	unlink(path);
	unlink(tmp);
	unlink(other);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void put(const char *name, const char *content)
{
	auto_fd fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
}

static void assert_content(const char *name, const char *expected)
{
	char buf[64];

	assert_true(fd_read_at(AT_FDCWD, name, buf, sizeof(buf)) >= 0);
	assert_string_equal(buf, expected);
}

static void assert_entries(int expected)
{
	DIR *d = opendir(directory);
	int count = 0;

	assert_non_null(d);
	for (struct dirent *entry; (entry = readdir(d));)
		count += entry->d_name[0] != '.';
	closedir(d);
	assert_int_equal(count, expected);
}

static void save_replaces_the_file_with_one_that_all_may_read(void **state)
{
	struct err e = { 0 };
	struct stat before, after;
	mode_t mask = umask(0077);

	(void)state;
	put(path, "old");
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(metrics_save(path, "new\n", 4, &e), 0);
	umask(mask);
	assert_content(path, "new");
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino); /* a reader keeps the old one */
	assert_int_equal(after.st_mode & 07777, 0644);
	assert_entries(1);
}

static void save_follows_no_link_that_was_planted(void **state)
{
	struct err e = { 0 };
	struct stat st;

	(void)state;
	put(other, "canary");
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(symlink(other, tmp), 0);
	assert_int_equal(metrics_save(path, "new\n", 4, &e), 0);
	assert_content(other, "canary");
	assert_content(path, "new");
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_entries(2);
}

/* In a child, because the limit cannot be raised again. */
static void save_that_fails_leaves_the_old_file(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	put(path, "old");
	pid = fork();
	if (pid == 0) {
		const struct rlimit limit = { 2, 2 };
		struct err e = { 0 };

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		_exit(metrics_save(path, "too long", 8, &e) == -EFBIG ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_content(path, "old");
	assert_entries(1);
}

static void save_refuses_what_is_no_path_of_a_file(void **state)
{
	struct err e = { 0 };
	char name[400];

	(void)state;
	assert_int_equal(metrics_save("carrel.prom", "", 0, &e), -EINVAL);
	assert_int_equal(metrics_save("", "", 0, &e), -EINVAL);
	snprintf(name, sizeof(name), "%s/", directory);
	assert_int_equal(metrics_save(name, "", 0, &e), -EINVAL);
	snprintf(name, sizeof(name), "%s/absent/x", directory);
	assert_int_equal(metrics_save(name, "", 0, &e), -ENOENT);
	memset(name, 'a', sizeof(name) - 1);
	name[0] = '/', name[sizeof(name) - 1] = '\0';
	assert_int_equal(metrics_save(name, "", 0, &e), -ENAMETOOLONG);
	/* A directory is not replaced. */
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(metrics_save(path, "x", 1, &e), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	assert_entries(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_is_shown_under_its_name),
		cmocka_unit_test(errors_are_called_as_in_the_interface),
		cmocka_unit_test(a_client_sees_nothing_of_the_daemon_or_of_others),
		cmocka_unit_test(without_clients_there_are_heads_alone),
		cmocka_unit_test(observations_fall_into_the_bucket_that_bounds_them),
		cmocka_unit_test(bounds_are_what_they_are_called),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(text_is_well_formed),
		cmocka_unit_test(the_promised_room_suffices_for_the_longest_text),
		cmocka_unit_test(too_little_room_is_told_and_nothing_is_written_behind),
		cmocka_unit_test(resident_grows_with_what_is_touched),
		cmocka_unit_test_teardown(
			save_replaces_the_file_with_one_that_all_may_read,
			empty_directory),
		cmocka_unit_test_teardown(save_follows_no_link_that_was_planted,
					  empty_directory),
		cmocka_unit_test_teardown(save_that_fails_leaves_the_old_file,
					  empty_directory),
		cmocka_unit_test_teardown(save_refuses_what_is_no_path_of_a_file,
					  empty_directory),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
