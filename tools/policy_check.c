/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tools/config.h"
#include "tools/config_daemon.h"
#include "tools/policy_check.h"
#include "tools/policy_file.h"

#define KIND_RUN    "a policy for carrel run"
#define KIND_DAEMON "profiles and clients of carreld"
#define KIND_CONFIG "the configuration"

const char *policy_check_config(const char *config_path)
{
	return config_path ? config_path : CONFIG_PATH;
}

/* Does the line begin a section of that kind? */
static bool is_section(const char *line, const char *kind)
{
	size_t len = strlen(kind);

	return *line == '[' && !strncmp(line + 1, kind, len) &&
	       (line[len + 1] == ' ' || line[len + 1] == ']');
}

/* What the first section says of whom the file is for. */
static bool is_daemons(FILE *file)
{
	bool found = false, daemons = false;
	char *line = NULL;
	size_t size = 0;

	while (!found && getline(&line, &size, file) >= 0) {
		const char *text = line;

		if (!strncmp(text, "\xef\xbb\xbf", 3))
			text += 3;
		found = *text == '[';
		daemons = is_section(text, "profile") || is_section(text, "client");
	}
	free(line);
	return daemons;
}

/* Opens without waiting for the other end of a pipe. */
static int open_file(const char *path, FILE **ret, struct stat *st, struct err *e)
{
	auto_fd fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return err_set(e, errno, "open %s", path);
	if (!S_ISREG(st->st_mode))
		return err_say(e, EINVAL, "%s is not a regular file", path);
	*ret = fdopen(fd, "r");
	if (!*ret)
		return err_set(e, errno, "open %s", path);
	fd_take(&fd);
	return 0;
}

static int find_kind(const char *config_path, const char *path, const char **ret,
		     struct err *e)
{
	struct stat st, config;
	FILE *file = NULL;
	int r = open_file(path, &file, &st, e);

	if (r < 0)
		return r;
	*ret = is_daemons(file) ? KIND_DAEMON : KIND_RUN;
	fclose(file);
	if (stat(policy_check_config(config_path), &config) == 0 &&
	    config.st_dev == st.st_dev && config.st_ino == st.st_ino)
		*ret = KIND_CONFIG;
	return 0;
}

static int check_daemons(const char *config_path, const char *candidate, struct err *e)
{
	const struct config_reading reading = { .candidate = candidate };
	auto_free struct access *access = calloc(1, sizeof(*access));
	struct config config;
	int r;

	if (!access)
		return err_set(e, ENOMEM, "read the configuration");
	r = config_daemon_read_for(config_path, &reading, access, &config, e);
	access_free(access);
	config_free(&config);
	return r;
}

/* Would a run that asks for nothing but the network start under it? */
static int check_use(const struct policy *policy, const char *path,
		     const struct config *config, struct err *e)
{
	static const struct policy_asked nothing;
	struct spec spec;
	int r;

	spec_init(&spec);
	r = policy_apply(policy, &nothing, &spec, e);
	if (r == 0)
		r = netns_plan_check(&config->runtime.network, &spec.network, e);
	netns_plan_free(&spec.network);
	return r < 0 ? err_wrap(e, "%s", path) : 0;
}

static int check_runs(const char *config_path, const char *path, struct err *e)
{
	struct policy policy = { 0 };
	struct config config;
	int r = config_read(config_path, &config, e);

	if (r == 0)
		r = policy_read(path, &policy, e);
	if (r == 0)
		r = check_use(&policy, path, &config, e);
	policy_free(&policy);
	config_free(&config);
	return r;
}

int policy_check(const char *config_path, const char *file, const char **ret_kind,
		 struct err *e)
{
	int r = 0;

	*ret_kind = KIND_CONFIG;
	if (file)
		r = find_kind(config_path, file, ret_kind, e);
	if (r < 0)
		return r;
	if (!strcmp(*ret_kind, KIND_RUN))
		return check_runs(config_path, file, e);
	return check_daemons(config_path,
			     strcmp(*ret_kind, KIND_DAEMON) != 0 ? NULL : file, e);
}
