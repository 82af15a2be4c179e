/* SPDX-License-Identifier: Apache-2.0 */
/* What would make the host safer around sandboxes. Looked at, never changed, and nothing
 * is tried that could load a module. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "runtime/probe.h"

/* A core file piped to a program, or sent to a socket, is handled by the host's root. */
static int try_core_pattern(const struct probe *self, const struct runtime_config *config,
			    struct str *found, struct err *e)
{
	char text[256];
	ssize_t n = fd_read_at(AT_FDCWD, self->file, text, sizeof(text));

	(void)config;
	if (n < 0)
		return err_set(e, (int)-n, "read %s", self->file);
	if (*text == '|' || *text == '@')
		return err_say(e, ERANGE, "%s", text);
	str_add(found, "%s", *text ? text : "empty");
	return 0;
}

static int try_lockdown(const struct probe *self, const struct runtime_config *config,
			struct str *found, struct err *e)
{
	char text[128];
	ssize_t n = fd_read_at(AT_FDCWD, self->file, text, sizeof(text));

	(void)config;
	if (n == -ENOENT)
		return err_say(e, ENOENT, "absent: %s", self->absent);
	if (n < 0)
		return err_set(e, (int)-n, "read %s", self->file);
	if (strstr(text, "[none]"))
		return err_say(e, ERANGE, "%s", text);
	str_add(found, "%s", text);
	return 0;
}

/* 0: stopped, 1: merging, 2: stopped and undone. */
static int try_ksm(const struct probe *self, const struct runtime_config *config,
		   struct str *found, struct err *e)
{
	char text[16];
	ssize_t n = fd_read_at(AT_FDCWD, self->file, text, sizeof(text));

	(void)config;
	if (n == -ENOENT) {
		str_add(found, "absent: nothing to restrict");
		return 0;
	}
	if (n < 0)
		return err_set(e, (int)-n, "read %s", self->file);
	if (!strcmp(text, "1"))
		return err_say(e, ERANGE, "merging");
	str_add(found, "off");
	return 0;
}

static int try_swap(const struct probe *self, const struct runtime_config *config,
		    struct str *found, struct err *e)
{
	char text[4096];
	ssize_t n = fd_read_at(AT_FDCWD, self->file, text, sizeof(text));

	(void)config;
	if (n < 0 && n != -ENOENT && n != -EFBIG)
		return err_set(e, (int)-n, "read %s", self->file);
	if (n == -EFBIG || (n > 0 && strchr(text, '\n')))
		return err_say(e, ERANGE, "on");
	str_add(found, "off");
	return 0;
}

/* Adds the entry if its file starts with "Vulnerable". */
static void add_vulnerable(int dir, const char *name, struct str *list)
{
	char text[512];

	if (fd_read_at(dir, name, text, sizeof(text)) > 0 &&
	    !strncmp(text, "Vulnerable", strlen("Vulnerable")))
		str_add(list, "%s%s", list->len ? ", " : "", name);
}

static int try_vulnerabilities(const struct probe *self,
			       const struct runtime_config *config, struct str *found,
			       struct err *e)
{
	char text[PROBE_DETAIL_MAX];
	struct str list = str_over(text, sizeof(text));
	DIR *dir = opendir(self->file);
	struct dirent *d;

	(void)config;
	if (!dir)
		return err_set(e, errno, "list %s", self->file);
	while ((d = readdir(dir)))
		add_vulnerable(dirfd(dir), d->d_name, &list);
	closedir(dir);
	if (list.len)
		return err_say(e, ERANGE, "%s", text);
	str_add(found, "none without a mitigation");
	return 0;
}

static int try_hidepid(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	char line[4096], options[512] = "";
	FILE *f = fopen(self->file, "re");

	(void)config;
	if (!f)
		return err_set(e, errno, "read %s", self->file);
	while (fgets(line, sizeof(line), f)) {
		const char *dash = strstr(line, " - proc ");
		char point[64];

		if (dash && sscanf(line, "%*d %*d %*s %*s %63s", point) == 1 &&
		    !strcmp(point, "/proc"))
			err_ignore(sscanf(dash, " - %*s %*s %511s", options) != 1);
	}
	fclose(f);
	if (!strstr(options, "hidepid=") || strstr(options, "hidepid=off"))
		return err_say(e, ERANGE, "every user sees every process");
	str_add(found, "%s", strstr(options, "hidepid="));
	return 0;
}

/* Rarely used, often the door to the kernel; `proto` is what /proc/net/protocols calls
 * the one that is there, also without a module. */
static const struct {
	const char *module, *proto;
} risky[] = {
	{ "af_alg", "ALG" },    { "algif_hash", NULL }, { "algif_skcipher", NULL },
	{ "algif_aead", NULL }, { "algif_rng", NULL },  { "rxrpc", "RXRPC" },
	{ "esp4", NULL },       { "esp6", NULL },       { "n_gsm", NULL },
	{ "tipc", "TIPC" },     { "smc", "SMC" },       { "vsock", "AF_VSOCK" },
};

enum { RISKY_COUNT = sizeof(risky) / sizeof(*risky) };

/* Marks with bit `mark` what lines of the file start with: the name of a protocol, of a
 * module, or of a module's file in some directory. */
static void mark_lines(const char *path, bool is_proto, unsigned mark, unsigned *marks)
{
	char line[8192];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		char *slash, *name = line;

		line[strcspn(line, " :\n")] = '\0';
		slash = strrchr(line, '/');
		if (slash) {
			name = slash + 1;
			name[strcspn(name, ".")] = '\0';
		}
		for (unsigned i = 0; i < RISKY_COUNT; i++) {
			const char *want = is_proto ? risky[i].proto : risky[i].module;

			if (want && !strcmp(name, want))
				marks[i] |= mark;
		}
	}
	if (f)
		fclose(f);
}

static void list_marked(const unsigned *marks, unsigned mark, unsigned but,
			const char *heading, struct str *list)
{
	bool first = true;

	for (unsigned i = 0; i < RISKY_COUNT; i++) {
		if (!(marks[i] & mark) || (marks[i] & but))
			continue;
		str_add(list, "%s%s", first ? heading : " ", risky[i].module);
		first = false;
	}
}

enum { LOADED = 1, PRESENT = 2, REFUSED = 4 };

/* "install NAME /bin/false" and "blacklist NAME" keep the kernel from loading it by
 * itself. */
static void mark_refused(const char *path, unsigned *marks)
{
	char line[1024], name[64];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		bool refuses = sscanf(line, " blacklist %63s", name) == 1 ||
			       (sscanf(line, " install %63s", name) == 1 &&
				(strstr(line, "/false") || strstr(line, "/true")));

		for (unsigned i = 0; refuses && i < RISKY_COUNT; i++) {
			if (!strcmp(name, risky[i].module))
				marks[i] |= REFUSED;
		}
	}
	if (f)
		fclose(f);
}

static void mark_refused_in(const char *directory, unsigned *marks)
{
	DIR *dir = opendir(directory);
	struct dirent *d;
	char path[512];

	while (dir && (d = readdir(dir))) {
		if (strstr(d->d_name, ".conf") &&
		    str_format(path, sizeof(path), "%s/%s", directory, d->d_name) == 0)
			mark_refused(path, marks);
	}
	if (dir)
		closedir(dir);
}

/* From what is on disk, as asking for a socket would load them. False: the disk does not
 * say what there is. */
static bool mark_present(unsigned *marks)
{
	struct utsname u;
	char path[sizeof(u.release) + 64];

	if (uname(&u) < 0)
		return false;
	if (str_format(path, sizeof(path), "/lib/modules/%s/modules.builtin",
		       u.release) == 0)
		mark_lines(path, false, LOADED, marks);
	if (str_format(path, sizeof(path), "/lib/modules/%s/modules.dep", u.release) < 0)
		return false;
	mark_lines(path, false, PRESENT, marks);
	return faccessat(AT_FDCWD, path, R_OK, 0) == 0;
}

static int try_modules(const struct probe *self, const struct runtime_config *config,
		       struct str *found, struct err *e)
{
	unsigned marks[RISKY_COUNT] = { 0 };
	char text[PROBE_DETAIL_MAX], disabled[8] = "";
	struct str list = str_over(text, sizeof(text));
	ssize_t n = fd_read_at(AT_FDCWD, self->file, disabled, sizeof(disabled));
	bool can_load = n > 0 && !strcmp(disabled, "0"), known;

	(void)config;
	mark_lines("/proc/modules", false, LOADED, marks);
	mark_lines("/proc/net/protocols", true, LOADED, marks);
	known = mark_present(marks);
	mark_refused_in("/etc/modprobe.d", marks);
	mark_refused_in("/run/modprobe.d", marks);
	mark_refused_in("/lib/modprobe.d", marks);
	list_marked(marks, LOADED, 0, "there: ", &list);
	if (can_load)
		list_marked(marks, PRESENT, LOADED | REFUSED,
			    list.len ? "; loadable: " : "loadable: ", &list);
	if (list.len)
		return err_say(e, ERANGE, "%s", text);
	str_add(found, "none of %d there%s", RISKY_COUNT,
		!can_load ? ", and none can be loaded"
		: known   ? ""
			  : "; what can be loaded is unknown");
	return 0;
}

/* A sysctl that holds a number within the bounds; no file means nothing to restrict. */
#define SYSCTL(word, path, from, to, command)                                  \
	{                                                                      \
		.id = word, .name = word, .run = probe_number, .advice = true, \
		.file = "/proc/sys/" path, .least = (from), .most = (to),      \
		.remedy = "sysctl -w " word "=" command                        \
	}

static const struct probe rows[] = {
	{ .id = "kernel.core_pattern",
	  .name = "kernel.core_pattern",
	  .run = try_core_pattern,
	  .advice = true,
	  .file = "/proc/sys/kernel/core_pattern",
	  .remedy = "sysctl -w kernel.core_pattern=core" },
	{ .id = "kernel.io_uring_disabled",
	  .name = "kernel.io_uring_disabled",
	  .run = probe_number,
	  .advice = true,
	  .file = "/proc/sys/kernel/io_uring_disabled",
	  .least = 2,
	  .most = 2,
	  .absent = "this kernel cannot switch io_uring off",
	  .remedy_absent = "Linux 6.6; inside sandboxes the filter denies it",
	  .remedy = "sysctl -w kernel.io_uring_disabled=2" },
	SYSCTL("kernel.unprivileged_bpf_disabled", "kernel/unprivileged_bpf_disabled", 1,
	       2, "1"),
	{ .id = "kernel.yama.ptrace_scope",
	  .name = "kernel.yama.ptrace_scope",
	  .run = probe_number,
	  .advice = true,
	  .file = "/proc/sys/kernel/yama/ptrace_scope",
	  .least = 1,
	  .most = 3,
	  .absent = "this kernel has no Yama",
	  .remedy_absent = "a kernel with CONFIG_SECURITY_YAMA",
	  .remedy = "sysctl -w kernel.yama.ptrace_scope=1" },
	SYSCTL("kernel.kptr_restrict", "kernel/kptr_restrict", 2, 2, "2"),
	SYSCTL("kernel.dmesg_restrict", "kernel/dmesg_restrict", 1, 1, "1"),
	SYSCTL("kernel.perf_event_paranoid", "kernel/perf_event_paranoid", 3, 4, "3"),
	{ .id = "dev.tty.legacy_tiocsti",
	  .name = "dev.tty.legacy_tiocsti",
	  .run = probe_number,
	  .advice = true,
	  .file = "/proc/sys/dev/tty/legacy_tiocsti",
	  .least = 0,
	  .most = 0,
	  .absent = "TIOCSTI is always allowed",
	  .remedy_absent = "Linux 6.2; inside sandboxes the filter denies it",
	  .remedy = "sysctl -w dev.tty.legacy_tiocsti=0" },
	SYSCTL("dev.tty.ldisc_autoload", "dev/tty/ldisc_autoload", 0, 0, "0"),
	SYSCTL("fs.protected_symlinks", "fs/protected_symlinks", 1, 1, "1"),
	SYSCTL("fs.protected_hardlinks", "fs/protected_hardlinks", 1, 1, "1"),
	SYSCTL("fs.protected_fifos", "fs/protected_fifos", 1, 2, "2"),
	SYSCTL("fs.protected_regular", "fs/protected_regular", 1, 2, "2"),
	SYSCTL("vm.unprivileged_userfaultfd", "vm/unprivileged_userfaultfd", 0, 0, "0"),
	{ .id = "modules",
	  .name = "risky modules",
	  .run = try_modules,
	  .advice = true,
	  .file = "/proc/sys/kernel/modules_disabled",
	  .remedy =
		  "echo install NAME /bin/false >>/etc/modprobe.d/carrel.conf; or after "
		  "boot sysctl -w kernel.modules_disabled=1" },
	{ .id = "lockdown",
	  .name = "kernel lockdown",
	  .run = try_lockdown,
	  .advice = true,
	  .file = "/sys/kernel/security/lockdown",
	  .absent = "no lockdown in this kernel, or securityfs is not mounted",
	  .remedy = "boot with lockdown=integrity" },
	{ .id = "ksm",
	  .name = "same-page merging",
	  .run = try_ksm,
	  .advice = true,
	  .file = "/sys/kernel/mm/ksm/run",
	  .remedy = "echo 2 >/sys/kernel/mm/ksm/run" },
	{ .id = "swap",
	  .name = "swap",
	  .run = try_swap,
	  .advice = true,
	  .file = "/proc/swaps",
	  .remedy = "swapoff -a, or encrypt it" },
	{ .id = "smt",
	  .name = "hardware threads",
	  .run = probe_number,
	  .advice = true,
	  .file = "/sys/devices/system/cpu/smt/active",
	  .least = 0,
	  .most = 0,
	  .remedy =
		  "echo off >/sys/devices/system/cpu/smt/control, where sandboxes do not "
		  "trust each other" },
	{ .id = "vulnerabilities",
	  .name = "processor flaws",
	  .run = try_vulnerabilities,
	  .advice = true,
	  .file = "/sys/devices/system/cpu/vulnerabilities",
	  .remedy = "update kernel and microcode; do not boot with mitigations=off" },
	{ .id = "hidepid",
	  .name = "processes of others",
	  .run = try_hidepid,
	  .advice = true,
	  .file = "/proc/self/mountinfo",
	  .remedy = "mount -o remount,hidepid=invisible /proc" },
};

const struct probe_table probe_hygiene = { rows, sizeof(rows) / sizeof(*rows) };
