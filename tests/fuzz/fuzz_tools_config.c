/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's files: a slip of his must end in a sentence. The first byte says
 * which kind of file the rest is. */
#include "tests/fuzz/fuzz.h"
#include "tools/config.h"
#include "tools/config_daemon.h"
#include "tools/policy_file.h"

/* An error names the file, or what was wrong in it. */
static void check_error(int r, const struct err *e)
{
	bug_on(r > 0 || (r < 0 && (e->code != r || !*e->msg)));
}

static void read_daemon(const char *path)
{
	static struct access access;
	struct err e = { 0 };
	int r = config_daemon_read(path, &access, &e);

	check_error(r, &e);
	for (unsigned i = 0; r == 0 && i < access.client_count; i++)
		bug_on(access.clients[i].profile_count > access.profile_count);
	access_free(&access);
}

static void read_command(const char *path)
{
	static struct config config;
	struct err e = { 0 };

	check_error(config_read(path, &config, &e), &e);
	config_free(&config);
}

static void read_policy(const char *path)
{
	static struct policy policy;
	struct err e = { 0 };

	check_error(policy_read(path, &policy, &e), &e);
	policy_free(&policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[96];

	if (!size)
		return 0;
	snprintf(path, sizeof(path), "%s/file", fuzz_directory());
	fuzz_write(path, data + 1, size - 1);
	if (data[0] == 'p')
		read_policy(path);
	else if (data[0] == 'c')
		read_command(path);
	else
		read_daemon(path);
	return 0;
}
