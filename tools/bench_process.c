/* SPDX-License-Identifier: Apache-2.0 */
/* Whole processes: carrel, its peers and no sandbox at all, from spawn to exit. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/bench.h"

/* Stand for what is known at run time only. */
#define CARREL    "@carrel"
#define BUNDLE    "@bundle"
#define RUNC_ROOT "@runc"
#define CRUN_ROOT "@crun"
#define ID        "@id"
#define CONF      "@conf"

enum { ARGS_MAX = 32 };

/* All show the host's /usr, read-only, and little else. */
static const char *const commands[][ARGS_MAX] = {
	[BENCH_CARREL] = { CARREL, "run", "--", "/bin/true" },
	[BENCH_EGRESS] = { CARREL, "run", "--config", CONF, "--network", "egress", "--",
			   "/bin/true" },
	[BENCH_BWRAP] = { "bwrap",     "--unshare-all", "--ro-bind", "/usr",
			  "/usr",      "--symlink",     "usr/bin",   "/bin",
			  "--symlink", "usr/lib",       "/lib",      "--symlink",
			  "usr/lib64", "/lib64",        "--proc",    "/proc",
			  "--dev",     "/dev",          "--tmpfs",   "/tmp",
			  "--",        "/bin/true" },
	[BENCH_RUNC] = { "runc", "--root", RUNC_ROOT, "run", "--bundle", BUNDLE, ID },
	[BENCH_CRUN] = { "crun", "--root", CRUN_ROOT, "run", "--bundle", BUNDLE, ID },
	[BENCH_EXEC] = { "/bin/true" },
};

static const char *replace(const struct bench *b, const char *word)
{
	const struct {
		const char *placeholder, *value;
	} values[] = {
		{ CARREL, b->carrel },
		{ BUNDLE, b->bundle },
		{ ID, b->id },
		{ CONF, b->conf },
		{ RUNC_ROOT, b->runc_root },
		{ CRUN_ROOT, b->crun_root },
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		if (!strcmp(word, values[i].placeholder))
			return values[i].value;
	}
	return word;
}

/* Spawns and waits; returns 0, −errno if it cannot be spawned, or the wait status. */
static int run_once(const struct bench *b, char **argv, uint64_t *ret_ns)
{
	char *const envp[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
			       NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int status = 0, r;
	uint64_t start;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, b->null, 0);
	posix_spawn_file_actions_adddup2(&files, b->null, 1);
	posix_spawn_file_actions_adddup2(&files, b->messages, 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &b->inherited);
	start = bench_now_ns();
	r = posix_spawnp(&pid, argv[0], &files, &attr, argv, envp);
	if (r == 0 && waitpid(pid, &status, 0) < 0)
		r = errno;
	*ret_ns = bench_now_ns() - start;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r ? -r : status;
}

/* The first line of what the last command said. */
static void read_message(const struct bench *b, char *buf, size_t size)
{
	char text[256], escaped[sizeof(text) * 4];
	struct str s = str_over(buf, size);
	ssize_t n = pread(b->messages, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	str_add(&s, "%s", str_escape(escaped, sizeof(escaped), text));
}

int bench_run_process(struct bench *b, enum bench_row row, uint64_t *ret_ns,
		      struct err *e)
{
	char *argv[ARGS_MAX] = { NULL }, said[BENCH_REASON_MAX];
	int r;

	for (int i = 0; i < ARGS_MAX - 1 && commands[row][i]; i++)
		argv[i] = (char *)replace(b, commands[row][i]);
	if (ftruncate(b->messages, 0) < 0)
		return err_set(e, errno, "empty the file for messages");
	r = run_once(b, argv, ret_ns);
	if (r == -ENOENT)
		return err_say(e, ENOENT, "not installed");
	if (r < 0)
		return err_set(e, -r, "start %s", argv[0]);
	if (r == 0)
		return 0;
	read_message(b, said, sizeof(said));
	return err_say(e, ECHILD, "%s", *said ? said : "failed without a message");
}

/* What bwrap is asked for, with limits; cgroupsPath is below our own group. */
static const char bundle_config[] =
	"{\"ociVersion\":\"1.0.2\",\"hostname\":\"bench\",\n"
	"\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"/bin/true\"],"
	"\"cwd\":\"/\",\"noNewPrivileges\":true},\n"
	"\"root\":{\"path\":\"rootfs\",\"readonly\":true},\n"
	"\"mounts\":[\n"
	"{\"destination\":\"/usr\",\"type\":\"bind\",\"source\":\"/usr\","
	"\"options\":[\"bind\",\"ro\"]},\n"
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},\n"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"mode=755\",\"size=64k\"]},\n"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	"\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\"]},\n"
	"{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"nodev\"]}],\n"
	"\"linux\":{\"cgroupsPath\":\"%s\",\"resources\":{\"pids\":{\"limit\":256},"
	"\"memory\":{\"limit\":536870912}},\n"
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},"
	"{\"type\":\"uts\"},{\"type\":\"network\"},{\"type\":\"cgroup\"}]}}\n";

static const char *const bundle_dirs[] = {
	"bundle",
	"bundle/rootfs",
	"bundle/rootfs/usr",
	"bundle/rootfs/proc",
	"bundle/rootfs/dev",
	"bundle/rootfs/tmp",
};

static const struct {
	const char *path, *target;
} bundle_links[] = {
	{ "bundle/rootfs/bin", "usr/bin" },
	{ "bundle/rootfs/lib", "usr/lib" },
	{ "bundle/rootfs/lib64", "usr/lib64" },
};

int bench_make_bundle(const struct bench *b, struct err *e)
{
	auto_fd top = open(b->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC), config = -1;

	for (size_t i = 0; i < sizeof(bundle_dirs) / sizeof(*bundle_dirs); i++) {
		if (mkdirat(top, bundle_dirs[i], 0755) < 0)
			return err_set(e, errno, "make %s", bundle_dirs[i]);
	}
	for (size_t i = 0; i < sizeof(bundle_links) / sizeof(*bundle_links); i++) {
		if (symlinkat(bundle_links[i].target, top, bundle_links[i].path) < 0)
			return err_set(e, errno, "make %s", bundle_links[i].path);
	}
	config = openat(top, "bundle/config.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (config < 0 || dprintf(config, bundle_config, b->id) < 0)
		return err_set(e, errno, "write config.json");
	return 0;
}
