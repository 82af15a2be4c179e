/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/definition.h"
#include "tests/unit/in_namespaces.h"

enum { CLIENT = 1111 };

/* A root of workspaces in a mount namespace of the case's own. */
#define PLACE "/tmp"
#define ROOT  PLACE "/root"

struct fixture {
	struct runtime_config config;
	struct access access;
	struct profile *profile;
	struct client *client;
	struct wire_ensure whole;
	struct definition_spec built;
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.config = runtime_config_defaults();
	access_init(&f.access);
	f.profile = &f.access.profiles[0];
	f.client = &f.access.clients[0];
	strncpy(f.client->workspace_root, ROOT, sizeof(f.client->workspace_root) - 1);
	f.whole = (struct wire_ensure){ .name = "user",
					.profile = "default",
					.hostname = "host-1",
					.limits = { 64 << 20, 500, 8 },
					.network = WIRE_NETWORK_NONE };
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	definition_spec_free(&f->built);
	access_free(&f->access);
	netns_settings_free(&f->config.network);
	return 0;
}

static int make(struct fixture *f, int workspace)
{
	definition_spec_free(&f->built);
	return definition_spec_make(&f->built, &f->config, f->profile, &f->whole,
				    workspace, &f->e);
}

static const struct spec *made(struct fixture *f, int workspace)
{
	if (make(f, workspace) != 0)
		fail_msg("%s", f->e.msg);
	return &f->built.spec;
}

static const struct rootfs_mount *mount_on(const struct spec *spec, const char *target)
{
	for (unsigned i = 0; i < spec->files.count; i++) {
		if (!strcmp(spec->files.mounts[i].target, target))
			return &spec->files.mounts[i];
	}
	return NULL;
}

/* --- building */

static void what_was_completed_is_built(void **state)
{
	struct fixture *f = *state;
	const struct spec *spec;

	f->profile->uid = 7;
	f->profile->gid = 8;
	spec = made(f, -1);
	assert_int_equal(spec->limits.memory, 64 << 20);
	assert_int_equal(spec->limits.cpu_milli, 500);
	assert_int_equal(spec->limits.pids, 8);
	assert_int_equal(spec->uid, 7);
	assert_int_equal(spec->gid, 8);
	assert_string_equal(spec->files.hostname, "host-1");
	assert_null(spec->files.rootfs);
	assert_string_equal(spec->files.resolv_conf, "");
	assert_string_equal(spec->directory, "/workspace");
	assert_null(spec->argv[0]);
	assert_null(spec->envp[0]);
	assert_int_equal(spec->timeout_ms, 0);
	assert_false(spec->network.egress);
	assert_int_equal(spec->files.count, 5); /* the default tmpfs, and that one */
	assert_int_equal(mount_on(spec, "/workspace")->type, ROOTFS_TMPFS);
}

static void the_profiles_rootfs_is_used(void **state)
{
	struct fixture *f = *state;

	strncpy(f->profile->rootfs, "/srv/rootfs", sizeof(f->profile->rootfs) - 1);
	assert_string_equal(made(f, -1)->files.rootfs, "/srv/rootfs");
}

static void the_workspace_is_mounted_by_its_descriptor(void **state)
{
	struct fixture *f = *state;
	const struct rootfs_mount *m;
	const struct spec *spec;

	strncpy(f->whole.workspace, "users/1", 16);
	spec = made(f, 9);
	m = mount_on(spec, "/workspace");
	assert_non_null(m);
	assert_int_equal(m->type, ROOTFS_VOLUME);
	assert_true(m->workspace);
	assert_false(m->read_only);
	assert_int_equal(m->source_fd, 9);
	assert_string_equal(m->source, "users/1");
	assert_string_equal(spec->directory, "/workspace");
}

static void tmpfs_of_the_profile_are_read_as_options_are(void **state)
{
	struct fixture *f = *state;
	const struct spec *spec;

	f->profile->tmpfs[0] = strdup("/scratch:size=10m");
	f->profile->tmpfs[1] = strdup("/a");
	f->profile->tmpfs[2] = strdup("/tmp:size=1m");
	for (int round = 0; round < 2; round++) {
		/* The text stays whole, for the next sandbox. */
		spec = made(f, -1);
		assert_int_equal(mount_on(spec, "/scratch")->size, 10 << 20);
		assert_int_equal(mount_on(spec, "/a")->size, ROOTFS_TMPFS_SIZE);
		assert_int_equal(mount_on(spec, "/tmp")->size, 1 << 20);
		assert_int_equal(spec->files.count, 7);
		for (unsigned i = 1; i < spec->files.count; i++)
			assert_true(strcmp(spec->files.mounts[i - 1].target,
					   spec->files.mounts[i].target) < 0);
	}
}

static void a_plan_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;

	f->profile->tmpfs[0] = strdup("/workspace");
	strncpy(f->whole.workspace, "users/1", 16);
	assert_int_equal(make(f, 9), -EEXIST);
	assert_string_equal(f->e.msg, "two mounts on /workspace");
}

static void the_network_is_the_profiles_if_there_is_to_be_one(void **state)
{
	struct fixture *f = *state;
	struct netns_plan *plan = &f->profile->network;
	const struct spec *spec;
	struct cidr c;

	assert_int_equal(cidr_parse("9.9.9.0/24", &c, &f->e), 0);
	assert_int_equal(ip_ranges_add(&plan->deny4, &c, &f->e), 0);
	assert_int_equal(ip_parse("1.1.1.1", &plan->dns[0]), 0);
	assert_int_equal(ip_parse("2606:4700::1", &plan->dns[1]), 0);
	plan->dns_count = 2;
	f->whole.network = WIRE_NETWORK_EGRESS;
	spec = made(f, -1);
	assert_true(spec->network.egress);
	assert_int_equal(spec->network.deny4.count, 1);
	assert_string_equal(spec->files.resolv_conf, "nameserver 1.1.1.1\n");
	plan->ipv6 = true;
	spec = made(f, -1);
	assert_true(spec->network.ipv6);
	assert_string_equal(spec->files.resolv_conf,
			    "nameserver 1.1.1.1\nnameserver 2606:4700::1\n");
	plan->egress = true; /* means nothing */
	f->whole.network = WIRE_NETWORK_NONE;
	spec = made(f, -1);
	assert_false(spec->network.egress);
	assert_string_equal(spec->files.resolv_conf, "");
}

static void resolvers_of_the_configuration_are_the_default(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ip_parse("9.9.9.9", &f->config.network.dns[0]), 0);
	f->config.network.dns_count = 1;
	f->whole.network = WIRE_NETWORK_EGRESS;
	assert_string_equal(made(f, -1)->files.resolv_conf, "nameserver 9.9.9.9\n");
}

/* --- workspaces */

static void make_directory(const char *path, uid_t uid)
{
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, uid, uid), 0);
}

/* In a mount namespace of its own. */
static struct fixture *with_roots(void *context)
{
	assert_int_equal(mount("unit", PLACE, "tmpfs", 0, "mode=0755"), 0);
	make_directory(ROOT, 0);
	make_directory(ROOT "/own", CLIENT);
	make_directory(ROOT "/own/sub", CLIENT);
	make_directory(ROOT "/other", CLIENT + 1);
	make_directory(ROOT "/roots", 0);
	make_directory(PLACE "/outside", CLIENT);
	return context;
}

static int open_workspace(struct fixture *f, const char *workspace, int *ret_fd)
{
	return definition_open_workspace(f->client, workspace, CLIENT, ret_fd, &f->e);
}

static void assert_opened(struct fixture *f, const char *workspace, const char *path)
{
	auto_fd fd = -1, there = -1;

	if (open_workspace(f, workspace, &fd) != 0)
		fail_msg("%s", f->e.msg);
	there = open(path, O_PATH | O_CLOEXEC);
	assert_true(fd > 0);
	assert_true(fd_same_file(fd, there));
	assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

/* What is said is for the client: where the root is, is none of its business. */
static void assert_refused(struct fixture *f, const char *workspace, int code,
			   const char *message)
{
	int fd = -42;

	assert_int_equal(open_workspace(f, workspace, &fd), code);
	assert_string_equal(f->e.msg, message);
	assert_null(strstr(f->e.msg, PLACE));
	assert_int_equal(fd, -42);
}

static void open_own(void *context)
{
	struct fixture *f = with_roots(context);

	assert_opened(f, "own", ROOT "/own");
	assert_opened(f, "own/sub", ROOT "/own/sub");
	close(0); /* that one means "none" to a plan */
	assert_opened(f, "own", ROOT "/own");
}

static void a_clients_own_directories_are_opened(void **state)
{
	in_namespaces(CLONE_NEWNS, open_own, *state);
}

static void open_others(void *context)
{
	struct fixture *f = with_roots(context);
	auto_fd file = open(ROOT "/own/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_int_equal(fchown(file, CLIENT, CLIENT), 0);
	assert_int_equal(mkfifo(ROOT "/own/fifo", 0666), 0);
	assert_refused(f, "other", -EPERM, "other does not belong to this client");
	assert_refused(f, "roots", -EPERM, "roots does not belong to this client");
	assert_refused(f, "missing", -ENOENT, "open missing: No such file or directory");
	assert_refused(f, "own/file", -ENOTDIR, "open own/file: Not a directory");
	assert_refused(f, "own/fifo", -ENOTDIR, "open own/fifo: Not a directory");
	assert_refused(f, "../outside", -EINVAL, "not a workspace of this client");
	assert_refused(f, "tmp/outside", -ENOENT,
		       "open tmp/outside: No such file or directory");
	assert_refused(f, "/own", -EINVAL, "not a workspace of this client");
	assert_refused(f, "", -EINVAL, "not a workspace of this client");
	f->client->workspace_root[0] = '\0';
	assert_refused(f, "own", -EINVAL, "not a workspace of this client");
}

static void everything_else_is_refused(void **state)
{
	in_namespaces(CLONE_NEWNS, open_others, *state);
}

/* E-40. */
static void open_links(void *context)
{
	struct fixture *f = with_roots(context);
	static const char *const targets[] = {
		PLACE "/outside",
		"../outside",
		"own",
		"./own",
		"/proc/self/root",
		"/proc/self/cwd",
		"missing",
		"own/sub/../../../outside",
		"link",
		"/",
		"/dev/fd/0",
		"chain",
	};
	char message[64];

	assert_int_equal(symlink("own", ROOT "/chain"), 0);
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		assert_int_equal(symlink(targets[i], ROOT "/link"), 0);
		assert_refused(f, "link", -ELOOP,
			       "link is or passes through a symbolic link");
		assert_refused(f, "link/sub", -ELOOP,
			       "link/sub is or passes through a symbolic link");
		assert_int_equal(unlink(ROOT "/link"), 0);
		assert_int_equal(symlink(targets[i], ROOT "/own/link"), 0);
		snprintf(message, sizeof(message),
			 "own/link is or passes through a symbolic link");
		assert_refused(f, "own/link", -ELOOP, message);
		assert_int_equal(unlink(ROOT "/own/link"), 0);
	}
}

static void links_of_all_kinds_are_refused(void **state)
{
	in_namespaces(CLONE_NEWNS, open_links, *state);
}

static void open_mounts(void *context)
{
	struct fixture *f = with_roots(context);

	assert_int_equal(mount("unit", ROOT "/own/sub", "tmpfs", 0, NULL), 0);
	assert_int_equal(chown(ROOT "/own/sub", CLIENT, CLIENT), 0);
	assert_refused(f, "own/sub", -EXDEV,
		       "own/sub is or passes through another mount");
	assert_int_equal(mount(PLACE "/outside", ROOT "/own", NULL, MS_BIND, NULL), 0);
	assert_refused(f, "own", -EXDEV, "own is or passes through another mount");
}

static void mounts_below_the_root_are_refused(void **state)
{
	in_namespaces(CLONE_NEWNS, open_mounts, *state);
}

static void open_root(void *context)
{
	struct fixture *f = with_roots(context);

	assert_int_equal(rename(ROOT, PLACE "/moved"), 0);
	assert_refused(f, "own", -ENOENT,
		       "open the root of workspaces: No such file or directory");
	assert_int_equal(symlink("moved", ROOT), 0);
	assert_int_equal(open_workspace(f, "own", &(int){ -1 }), -ELOOP);
}

static void the_root_itself_must_be_there(void **state)
{
	in_namespaces(CLONE_NEWNS, open_root, *state);
}

/* E-49: what swaps it for a link, for ever, as fast as it can. */
static void swap(void)
{
	for (;;) {
		rename(ROOT "/own", ROOT "/kept");
		err_ignore(symlink(PLACE "/outside", ROOT "/own") < 0);
		unlink(ROOT "/own");
		rename(ROOT "/kept", ROOT "/own");
	}
}

static void open_what_is_swapped(void *context)
{
	struct fixture *f = with_roots(context);
	auto_fd own = open(ROOT "/own", O_PATH | O_CLOEXEC);
	unsigned opened = 0, links = 0;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		swap();
	}
	for (int i = 0; i < 10000 || ((!opened || !links) && i < 2000000); i++) {
		auto_fd fd = -1;
		int r = open_workspace(f, "own", &fd);

		if (r == 0)
			assert_true(fd_same_file(fd, own));
		else if (r != -ENOENT)
			assert_int_equal(r, -ELOOP);
		opened += r == 0;
		links += r == -ELOOP;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(opened > 0);
	assert_true(links > 0);
}

static void what_is_swapped_meanwhile_is_the_right_one_or_an_error(void **state)
{
	in_namespaces(CLONE_NEWNS, open_what_is_swapped, *state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_completed_is_built),
		CASE(the_profiles_rootfs_is_used),
		CASE(the_workspace_is_mounted_by_its_descriptor),
		CASE(tmpfs_of_the_profile_are_read_as_options_are),
		CASE(a_plan_that_cannot_be_is_refused),
		CASE(the_network_is_the_profiles_if_there_is_to_be_one),
		CASE(resolvers_of_the_configuration_are_the_default),
		CASE(a_clients_own_directories_are_opened),
		CASE(everything_else_is_refused),
		CASE(links_of_all_kinds_are_refused),
		CASE(mounts_below_the_root_are_refused),
		CASE(the_root_itself_must_be_there),
		CASE(what_is_swapped_meanwhile_is_the_right_one_or_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
