/* SPDX-License-Identifier: Apache-2.0 */
/* The process that unpacks: how it is made, what it may do, and what it says. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/str.h"
#include "base/sys.h"
#include "policy/policy.h"
#include "policy/seccomp_list.h" /* lint: macros that only lists of calls want */
#include "tools/carrel-rootfs.h"
#include "tools/image.h"

/* Of a decoder's window and of what a document becomes: far more than any real one. */
#define MEMORY_MAX (1ull << 30)

enum { FILES_MAX = 1024 }; /* descriptors: a directory each on the way down */

/* What the child says, followed by config_size bytes of JSON. */
struct report {
	struct err err;
	enum about_source source;
	char digest[ABOUT_DIGEST_MAX];
	struct unpack_counts counts;
	uint32_t config_size;
};

/* --- what it may do ---------------------------------------------------------------- */

/* Files and memory. No process, socket, mount, device, attribute or executable memory. */
static const struct sock_filter calls[] = {
	LIST_BEGIN,
	/* for each entry */
	ALLOW(read),
	ALLOW(pwrite64),
	ALLOW(openat2),
	ALLOW(openat),
	ALLOW(close),
	ALLOW(newfstatat),
	ALLOW(fstat),
	ALLOW(mkdirat),
	ALLOW(symlinkat),
	ALLOW(linkat),
	ALLOW(ftruncate),
	ALLOW(utimensat),
	ALLOW(fchmodat),
	/* what is removed, and what is copied */
	ALLOW(unlinkat),
	ALLOW(renameat2),
	ALLOW(getdents64),
	ALLOW(fcntl),
	ALLOW(readlinkat),
	ALLOW(pread64),
	ALLOW(lseek),
	ALLOW(faccessat),
	ALLOW(faccessat2),
	/* memory */
	ALLOW(brk),
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(getrandom),
	ALLOW(clock_gettime),
	ALLOW(futex),
	/* the end */
	ALLOW(write),
	ALLOW(restart_syscall),
	ALLOW(rt_sigreturn),
	ALLOW(exit_group),
	LIST_END,
};

static int limit_one(__rlimit_resource_t resource, uint64_t value, struct err *e)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return err_set(e, errno, "read a resource limit");
	/* Not raised: there may be no right to. */
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) < 0)
		return err_set(e, errno, "set a resource limit");
	return 0;
}

static int limit_resources(const struct child_order *order, struct err *e)
{
	int r = limit_one(RLIMIT_CORE, 0, e);

	if (r == 0)
		r = limit_one(RLIMIT_AS, MEMORY_MAX, e);
	if (r == 0)
		r = limit_one(RLIMIT_NOFILE, FILES_MAX, e);
	if (r == 0)
		r = limit_one(RLIMIT_FSIZE, order->limits.bytes, e);
	signal(SIGXFSZ, SIG_IGN); /* the write fails instead */
	return r;
}

/* Descriptors of directories of the host's would be a way out. What stays: the source, if
 * it is a stream, as 0; the report as 3; the lock as 4. */
static int keep_descriptors(const struct child_order *order, int null, int *report,
			    struct err *e)
{
	enum { REPORT = 3, LOCK, ABOVE, OUT_OF_THE_WAY = 16 };
	int fds[ABOVE] = { order->directory ? null : order->source, null, null, *report,
			   order->lock };

	for (int i = 0; i < ABOVE; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
		if (fds[i] < 0)
			return err_set(e, errno, "move a descriptor");
	}
	for (int i = 0; i < ABOVE; i++) {
		if (dup2(fds[i], i) < 0)
			return err_set(e, errno, "set up descriptor %d", i);
	}
	*report = REPORT;
	if (close_range(ABOVE, ~0U, 0) < 0)
		return err_set(e, errno, "close all other descriptors");
	return 0;
}

/* The namespaces are there since the clone. */
static int leave_host(const struct child_order *order, int *report, struct err *e)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), r;

	if (null < 0)
		return err_set(e, errno, "open /dev/null");
	if (setgroups(0, NULL) < 0)
		return err_set(e, errno, "leave the supplementary groups");
	if (sys_new_session_keyring() < 0 && errno != ENOSYS)
		return err_set(e, errno, "join a new session keyring");
	r = rootfs_alone(order->tree, order->directory ? order->source : -1,
			 IMPORT_SOURCE, e);
	return r == 0 ? keep_descriptors(order, null, report, e) : r;
}

static int confine(const struct child_order *order, int *report, struct err *e)
{
	sigset_t none;
	int r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(0);
	r = leave_host(order, report, e);
	if (r == 0)
		r = limit_resources(order, e);
	if (r == 0)
		r = caps_give_up(0, 0, e);
	if (r < 0)
		return r;
	/* Who reads the report has it open as long as he lives. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(e, errno, "set the parent death signal");
	if (poll(&(struct pollfd){ .fd = *report }, 1, 0) != 0)
		return err_say(e, ESRCH, "carrel-rootfs has died meanwhile");
	return seccomp_install_list(calls, sizeof(calls) / sizeof(*calls), e);
}

/* --- what it does ------------------------------------------------------------------ */

static int open_dir(const char *name, int *ret, struct err *e)
{
	*ret = openat(AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? err_set(e, errno, "open %s", name) : 0;
}

/* The layers that the archive had are the source now. */
static int begin_anew(struct unpack *u, int *ret_image, struct err *e)
{
	*ret_image = fd_take(&u->root);
	/* Without a flag it would be another system call. */
	if (renameat2(AT_FDCWD, IMPORT_ROOT, AT_FDCWD, IMPORT_IMAGE, RENAME_NOREPLACE) <
		    0 ||
	    mkdirat(AT_FDCWD, IMPORT_ROOT, 0755) < 0)
		return err_set(e, errno, "make room for the layers");
	u->counts = (struct unpack_counts){ 0 };
	u->seen_bytes = u->seen_files = 0;
	return open_dir(IMPORT_ROOT, &u->root, e);
}

static int unpack_stream(struct unpack *u, struct about *about, struct err *e)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	enum about_source kind;
	auto_fd image = -1;
	uint64_t size = 0;
	int r = archive_unpack(0, ARCHIVE_ALL, u, digest, &size, e);

	if (r < 0)
		return r;
	about->source = ABOUT_ARCHIVE;
	bug_on(str_format(about->digest, sizeof(about->digest), "sha256:%s", digest) < 0);
	kind = image_detect(u->root);
	if (kind == ABOUT_UNKNOWN)
		return 0;
	r = begin_anew(u, &image, e);
	return r == 0 ? image_unpack(image, kind, u, about, e) : r;
}

static int unpack_directory_source(struct unpack *u, struct about *about, struct err *e)
{
	enum about_source kind;
	auto_fd source = -1;
	int r = open_dir(IMPORT_SOURCE, &source, e);

	if (r < 0)
		return r;
	kind = image_detect(source);
	if (kind != ABOUT_UNKNOWN)
		return image_unpack(source, kind, u, about, e);
	about->source = ABOUT_DIRECTORY;
	return copy_directory(source, u, e);
}

static int unpack(const struct child_order *order, struct about *about, struct err *e)
{
	struct unpack u = { .root = -1, .trash = -1, .limits = order->limits };
	int r = open_dir(IMPORT_ROOT, &u.root, e);

	if (r == 0)
		r = open_dir(IMPORT_TRASH, &u.trash, e);
	if (r == 0)
		r = order->directory ? unpack_directory_source(&u, about, e)
				     : unpack_stream(&u, about, e);
	about->counts = u.counts;
	return r;
}

/* --- what it says ------------------------------------------------------------------ */

static void say(int fd, struct report *report, const struct about *about)
{
	auto_free char *config = NULL;

	if (report->err.code == 0 && about->config)
		config = json_dumps(about->config, JSON_COMPACT | JSON_ENSURE_ASCII);
	report->source = about->source;
	report->counts = about->counts;
	memcpy(report->digest, about->digest, sizeof(report->digest));
	report->config_size = config ? (uint32_t)strlen(config) : 0;
	/* Nobody else could be told of a failure. */
	if (fd_write_all(fd, report, sizeof(*report)) == 0 && config)
		err_ignore(fd_write_all(fd, config, report->config_size) < 0);
}

static _Noreturn void child_main(const struct child_order *order, int report_fd)
{
	struct report report = { 0 };
	struct about about = { 0 };
	int r;

	/* It takes its random number now: there is no /dev/urandom where we go, and keys
	 * are a stranger's to choose. */
	json_object_seed(0);
	r = confine(order, &report_fd, &report.err);
	if (r < 0)
		err_wrap(&report.err, "confine what unpacks");
	else
		r = unpack(order, &about, &report.err);
	if (r == 0)
		report.err.code = 0;
	say(report_fd, &report, &about);
	_exit(r == 0 ? 0 : 1);
}

/* --- the parent -------------------------------------------------------------------- */

/* All that the child says, which may have become anything. */
struct heard {
	struct report report;
	char config[IMAGE_CONFIG_MAX + 1];
	size_t size;
};

/* 0 at the end, 1 if there may be more. */
static int hear(int fd, struct heard *h, struct err *e)
{
	const size_t most = sizeof(h->report) + sizeof(h->config);
	ssize_t n = read(fd, (char *)h + h->size, most - h->size);

	if (n < 0 && errno != EINTR)
		return err_set(e, errno, "read what the unpacking child says");
	if (n > 0)
		h->size += (size_t)n;
	return n == 0 || h->size == most ? 0 : 1;
}

static int listen_to(int fd, int signals, struct heard *h, int *ret_signal, struct err *e)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };
	int r = 1;

	while (r == 1) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_set(e, errno, "wait for the unpacking child");
		if (read(signals, &info, sizeof(info)) == sizeof(info)) {
			*ret_signal = (int)info.ssi_signo;
			return err_say(e, EINTR, "ended by signal %d", *ret_signal);
		}
		if (fds[0].revents)
			r = hear(fd, h, e);
	}
	return r;
}

static int understand(struct heard *h, struct about *ret, struct err *e)
{
	struct report *r = &h->report;
	json_t *config = NULL;

	r->err.msg[sizeof(r->err.msg) - 1] = '\0';
	r->digest[sizeof(r->digest) - 1] = '\0';
	if (r->err.code < 0) {
		*e = r->err;
		return e->code;
	}
	if (r->source <= ABOUT_UNKNOWN || r->source >= ABOUT_SOURCE_MAX ||
	    h->size != sizeof(*r) + r->config_size)
		return err_say(e, EPROTO, "the unpacking child makes no sense");
	if (r->config_size) {
		config = json_loadb(h->config, r->config_size, 0, NULL);
		if (!json_is_object(config)) {
			json_decref(config);
			return err_say(e, EPROTO, "the unpacking child makes no sense");
		}
	}
	*ret = (struct about){ .source = r->source,
			       .counts = r->counts,
			       .config = config };
	memcpy(ret->digest, r->digest, sizeof(ret->digest));
	return 0;
}

static int died(int status, struct err *e)
{
	if (WIFSIGNALED(status))
		return err_say(e, ECHILD, "what unpacks it died of signal %d",
			       WTERMSIG(status));
	return err_say(e, ECHILD, "what unpacks it ended without a word");
}

static int start(const struct child_order *order, int *ret_report, struct process *ret,
		 struct err *e)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
			 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
		.pidfd = (uint64_t)(uintptr_t)&ret->pidfd,
		.exit_signal = SIGCHLD,
	};
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "make a pipe");
	ret->pid = sys_clone3(&args);
	if (ret->pid == 0) {
		close(fds[0]);
		child_main(order, fds[1]);
	}
	close(fds[1]);
	if (ret->pid < 0) {
		ret->pid = 0;
		err_set(e, errno, "make a process to unpack in");
		close(fds[0]);
		return e->code;
	}
	*ret_report = fds[0];
	return 0;
}

static int catch_signals(int *ret, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(e, errno, "block signals");
	*ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret < 0 ? err_set(e, errno, "make a signalfd") : 0;
}

int child_unpack(const struct child_order *order, struct about *ret, int *ret_signal,
		 struct err *e)
{
	auto_process child = PROCESS_NONE;
	auto_fd signals = -1, report = -1;
	static struct heard heard;
	int status = 0, r = catch_signals(&signals, e);

	if (r == 0)
		r = start(order, &report, &child, e);
	if (r == 0)
		r = caps_give_up(0, 0, e);
	heard.size = 0;
	if (r == 0)
		r = listen_to(report, signals, &heard, ret_signal, e);
	if (r < 0)
		return r;
	r = process_wait(&child, &status, NULL, e);
	if (r < 0)
		return r;
	/* Its memory may have been somebody else's: what it has said counts if all of it
	 * is there, and it then ended as it should. */
	if (heard.size < sizeof(heard.report) || !WIFEXITED(status))
		return died(status, e);
	return understand(&heard, ret, e);
}
