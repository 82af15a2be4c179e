/* SPDX-License-Identifier: Apache-2.0 */
/* carreld: reads its configuration, opens its socket, and lets the broker serve. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "runtime/broker.h" /* lint: the daemon is not behind the door */
#include "runtime/front.h" /* lint: likewise */
#include "runtime/notify.h" /* lint: likewise */
#include "tools/config.h"
#include "tools/config_daemon.h"
#include "tools/daemon_cgroup.h"
#include "tools/options.h"

enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	BACKLOG = 512,
};

struct daemon {
	const char *config_path, *socket_path, *state_dir, *cgroup_parent;
	enum log_level level;
	bool help;
	struct config config;
	struct notify notify;
	int listener;
	bool activated; /* the socket is the service manager's */
};

/* --- options ----------------------------------------------------------------------- */

static int set_config(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	(void)e;
	d->config_path = value;
	return 0;
}

static int check_absolute(const char *value, struct err *e)
{
	return *value == '/' ? 0
			     : err_say(e, EINVAL, "%s is not an absolute path", value);
}

static int set_socket(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	d->socket_path = value;
	if (strlen(value) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_say(e, ENAMETOOLONG, "longer than a socket's path may be");
	return check_absolute(value, e);
}

static int set_state_dir(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	d->state_dir = value;
	return check_absolute(value, e);
}

static int set_cgroup_parent(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	d->cgroup_parent = value;
	return check_absolute(value, e);
}

static int set_level(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	if (log_level_parse(value, &d->level) < 0)
		return err_say(e, EINVAL,
			       "\"%s\" is none of err, warning, info and debug", value);
	return 0;
}

/* It never does anything else; the option says so in scripts. */
static int set_foreground(void *context, char *value, struct err *e)
{
	(void)context;
	(void)value;
	(void)e;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct daemon *d = context;

	(void)value;
	(void)e;
	d->help = true;
	return 0;
}

static const struct option_row options[] = {
	{ "foreground", 0, NULL, "stay in the foreground (it always does)",
	  set_foreground },
	{ "config", 0, "FILE", "read FILE instead of /etc/carrel/carrel.conf",
	  set_config },
	{ "socket", 0, "PATH", "listen at PATH (/run/carrel/carrel.sock)", set_socket },
	{ "state-dir", 0, "DIR", "keep what must survive in DIR (/run/carrel)",
	  set_state_dir },
	{ "cgroup-parent", 0, "DIR", "make sandboxes' groups below DIR (its own group)",
	  set_cgroup_parent },
	{ "log-level", 0, "LEVEL", "err, warning, info or debug (info)", set_level },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: carreld [OPTIONS]\n\n"
	       "Keeps sandboxes for the users of an agent host; carreld(8) says "
	       "more.\n\n");
	options_print(options);
}

/* --- configuration ----------------------------------------------------------------- */

static int load_access(void *context, struct access **ret, struct err *e)
{
	const struct daemon *d = context;
	struct access *access = calloc(1, sizeof(*access));
	int r;

	if (!access)
		return err_set(e, ENOMEM, "hold the configuration");
	r = config_daemon_read(d->config_path, access, e);
	if (r < 0) {
		access_free(access);
		free(access);
		return r;
	}
	*ret = access;
	return 0;
}

static int reload(void *context, struct access **ret, struct err *e)
{
	struct daemon *d = context;
	struct err ignored;
	int r;

	err_ignore(notify_send(&d->notify, NOTIFY_RELOADING, NULL, &ignored) < 0);
	r = load_access(d, ret, e);
	err_ignore(notify_send(&d->notify, NOTIFY_READY, NULL, &ignored) < 0);
	return r;
}

/* --- the socket -------------------------------------------------------------------- */

/* Where a socket is left that nobody listens at, its daemon was killed. */
static int clear_place(const struct sockaddr_un *address, struct err *e)
{
	auto_fd probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "look at it");
	if (!S_ISSOCK(st.st_mode))
		return err_say(e, EEXIST, "there is something else");
	if (probe < 0 ||
	    connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return err_say(e, EADDRINUSE, "another daemon listens there");
	if (unlink(address->sun_path) < 0)
		return err_set(e, errno, "remove an old one");
	return 0;
}

/* Its directory is root's alone to write, so that nobody can put another one there. The
 * state directory, which carrel run makes for root alone, lets clients pass: what is in
 * it is closed by itself. */
static int make_directory(const char *path, const char *state_dir, struct err *e)
{
	char parent[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat st;
	bool made;

	bug_on(str_format(parent, sizeof(parent), "%s", path) < 0);
	*strrchr(parent, '/') = '\0';
	if (!*parent)
		return 0;
	made = mkdir(parent, 0755) == 0;
	if (!made && errno != EEXIST)
		return err_set(e, errno, "make %s", parent);
	if ((made || !strcmp(parent, state_dir)) && chmod(parent, 0755) < 0)
		return err_set(e, errno, "let clients pass through %s", parent);
	if (stat(parent, &st) < 0)
		return err_set(e, errno, "look at %s", parent);
	if (st.st_uid != 0 || (st.st_mode & 022))
		return err_say(e, EPERM, "%s must be root's alone to write", parent);
	return 0;
}

/* The group carrel may connect; without such a group, root alone. */
static int give_to_group(const char *path, struct err *e)
{
	FILE *f = fopen("/etc/group", "re");
	struct group *group = NULL;
	int r = 0;

	/* Not by libc's name service, which would load libraries. */
	while (f && (group = fgetgrent(f)) && strcmp(group->gr_name, "carrel")) {
	}
	if (group && chown(path, 0, group->gr_gid) < 0)
		r = err_set(e, errno, "give it to group carrel");
	if (f)
		fclose(f);
	return r;
}

static int listen_at(const char *path, const char *state_dir, int *ret, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	bug_on(str_format(address.sun_path, sizeof(address.sun_path), "%s", path) < 0);
	if (sock < 0)
		return err_set(e, errno, "make a socket");
	r = make_directory(path, state_dir, e);
	if (r == 0)
		r = clear_place(&address, e);
	if (r < 0)
		return r;
	mask = umask(0117);
	r = bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_set(e, -r, "bind a socket");
	r = give_to_group(path, e);
	if (r == 0 && listen(sock, BACKLOG) < 0)
		r = err_set(e, errno, "listen");
	if (r < 0) {
		unlink(path);
		return r;
	}
	*ret = fd_take(&sock);
	return 0;
}

/* --- the whole --------------------------------------------------------------------- */

static void tell_ready(void *context, unsigned adopted)
{
	struct daemon *d = context;
	struct err e;

	log_info("daemon.ready", log_text("socket", d->socket_path),
		 log_number("adopted", adopted), log_text("version", CARREL_VERSION));
	err_ignore(notify_send(&d->notify, NOTIFY_READY, "serving", &e) < 0);
}

static void tell_stopping(void *context)
{
	struct daemon *d = context;
	struct err e;

	log_info("daemon.stopping");
	err_ignore(notify_send(&d->notify, NOTIFY_STOPPING, NULL, &e) < 0);
}

static void tell_alive(void *context)
{
	struct daemon *d = context;
	struct err e;

	err_ignore(notify_send(&d->notify, NOTIFY_WATCHDOG, NULL, &e) < 0);
}

static int prepare(struct daemon *d, struct err *e)
{
	int r;

	if (geteuid() != 0)
		return err_say(e, EPERM, "must be started by root");
	r = probe_privilege(e);
	if (r == 0)
		r = config_read(d->config_path, &d->config, e);
	if (r < 0)
		return r;
	if (d->state_dir)
		d->config.runtime.state_dir = d->state_dir;
	r = notify_take(&d->notify, e);
	if (r == 0)
		r = notify_take_socket(&d->listener, e);
	d->activated = r == 0 && d->listener >= 0;
	d->config.runtime.cgroup_parent = d->cgroup_parent;
	/* Sandboxes elsewhere: then we stay where the service manager knows us. */
	if (r == 0 && !d->cgroup_parent)
		r = daemon_cgroup_enter(e);
	if (r == 0 && !d->activated) {
		r = listen_at(d->socket_path, d->config.runtime.state_dir, &d->listener,
			      e);
		if (r < 0)
			return err_wrap(e, "listen at %s", d->socket_path);
	}
	return r;
}

static int serve(struct daemon *d, struct err *e)
{
	struct broker_settings settings = { .config = &d->config.runtime,
					    .reload = reload,
					    .ready = tell_ready,
					    .stopping = tell_stopping,
					    .alive = tell_alive,
					    .context = d };
	int r = prepare(d, e);

	if (r == 0)
		r = load_access(d, &settings.access, e);
	if (r == 0) {
		settings.listener = d->listener;
		settings.alive_ms = d->notify.watchdog_ms;
		r = broker_run(&settings, e);
	}
	if (d->listener >= 0 && !d->activated)
		unlink(d->socket_path);
	fd_close(&d->listener);
	notify_close(&d->notify);
	config_free(&d->config);
	return r;
}

/* What the broker starts us as, to have a process that knows nothing of it. */
static int be_front(const char *id)
{
	struct err e = { 0 };
	uint64_t number;

	if (!id || num_parse(id, 1, UINT32_MAX - 1, &number) < 0)
		return EXIT_USAGE;
	/* Otherwise it is called as the link is that it was executed by. */
	prctl(PR_SET_NAME, FRONT_PROGRAM, 0, 0, 0);
	return front_main(FRONT_SOCKET, (uid_t)number, (gid_t)number, &e) < 0
		       ? EXIT_FAILED
		       : 0;
}

/* From before there is a socket: who sees that may want us to end at once. The broker
 * takes them when it is ready. */
static void hold_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Nothing of the caller's environment is for the daemon but what systemd tells it. */
int main(int argc, char **argv)
{
	struct daemon d = { .socket_path = "/run/carrel/carrel.sock",
			    .level = LOG_LEVEL_INFO,
			    .notify = NOTIFY_NONE,
			    .listener = -1 };
	struct err e = { 0 };
	char **rest;

	if (argc > 0 && !strcmp(argv[0], FRONT_PROGRAM))
		return be_front(argv[1]);
	hold_signals();
	umask(077);
	if (options_parse(options, &d, argv + 1, &rest, &e) < 0 || *rest) {
		fprintf(stderr, "carreld: %s%s\n", *rest ? "unexpected argument " : e.msg,
			*rest ? *rest : "");
		return EXIT_USAGE;
	}
	if (d.help) {
		print_help();
		return 0;
	}
	log_open(d.level);
	if (serve(&d, &e) < 0) {
		fprintf(stderr, "carreld: %s\n", e.msg);
		return EXIT_FAILED;
	}
	return 0;
}
