/* SPDX-License-Identifier: Apache-2.0 */
/* From a client's message to a record for the broker. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/front_parts.h"
#include "runtime/parcel.h"
#include "runtime/reply.h"

/* Defined in interface_bytes.S. */
extern const char interface_text_start[], interface_text_end[];

/* pidfds from Linux 6.9 on; absent from older headers. */
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

enum { STDIO = 3 }; /* descriptors */

/* --- descriptors of clients -------------------------------------------------------- */

/* A file that is neither a namespace nor a process: those are regular files, too. Nor one
 * of a file system that its user serves himself: whoever closes it waits for him. */
static bool is_plain_file(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type != NSFS_MAGIC &&
	       fs.f_type != PID_FS_MAGIC && fs.f_type != FUSE_SUPER_MAGIC;
}

/* The last one to close a socket of another kind can have to wait (SO_LINGER). */
static bool is_local_socket(int fd)
{
	int domain = 0;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX;
}

static bool is_null_or_terminal(int fd, const struct stat *st)
{
	struct termios terminal;

	return st->st_rdev == makedev(1, 3) || tcgetattr(fd, &terminal) == 0;
}

/* May a command have it as its descriptor number `place` (E-56)? */
static bool may_pass(int fd, unsigned place)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || (flags & O_PATH) || fstat(fd, &st) < 0)
		return false;
	if (place == 0 && (flags & O_ACCMODE) == O_WRONLY)
		return false;
	if ((place == 1 || place == 2) && (flags & O_ACCMODE) == O_RDONLY)
		return false;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return is_plain_file(fd);
	case S_IFIFO:
		return true;
	case S_IFSOCK:
		return is_local_socket(fd);
	case S_IFCHR:
		return is_null_or_terminal(fd, &st);
	default:
		return false;
	}
}

/* --- requests ---------------------------------------------------------------------- */

static int failed(char **ret, const struct err *e)
{
	*ret = reply_failed(e->msg);
	return -EIO;
}

static int busy(char **ret, const char *what, uint64_t limit)
{
	*ret = reply_busy(what, limit);
	return -EBUSY;
}

static int add_strings(struct parcel *p, const struct request *rq, char **ret)
{
	struct err e;
	int r = 0;

	if (rq->string_count)
		r = wire_strings_make(rq->strings, rq->string_count, &p->fds[p->count],
				      &e);
	if (r < 0)
		return failed(ret, &e);
	p->count += rq->string_count > 0;
	return 0;
}

static int add_passed(struct parcel *p, struct conn *c, unsigned count, char **ret)
{
	struct varlink_error wrong = varlink_invalid("descriptors");
	int *fds = p->fds + p->count;
	int r = conn_take_fds(c, fds, count);

	if (r == 0)
		p->count += count;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		if (!may_pass(fds[i], i))
			r = -EINVAL;
	}
	if (r < 0)
		*ret = varlink_error_reply(&wrong);
	return r;
}

/* What the command gets as 0, 1, 2, … */
static int add_stdio(struct parcel *p, struct call *call, const struct request *rq,
		     char **ret)
{
	struct err e;
	int r;

	if (rq->wire.exec.terminal)
		return 0;
	if (rq->descriptors)
		return add_passed(p, call->conn, (unsigned)rq->descriptors, ret);
	r = capture_new(call, rq, p->fds + p->count, &e);
	if (r == -EBUSY)
		return busy(ret, "output", call->front->limits->memory);
	if (r < 0)
		return failed(ret, &e);
	p->count += STDIO;
	return 0;
}

static int send_request(struct call *call, struct request *rq, char **ret)
{
	struct parcel p = { 0 }; /* the strings, then the command's */
	struct err e;
	int r = add_strings(&p, rq, ret);

	if (r == 0 && rq->wire.type == WIRE_EXEC)
		r = add_stdio(&p, call, rq, ret);
	if (r < 0) {
		parcel_close(&p);
		return r;
	}
	rq->wire.tag = call->tag;
	r = front_send(call->front, &rq->wire, p.fds, p.count);
	if (r < 0) {
		err_set(&e, -r, "ask the broker");
		return failed(ret, &e);
	}
	return 0;
}

/* Answers at once, or makes it the connection's call. */
static void begin_request(struct conn *c, const struct varlink_call *vc,
			  struct request *rq, char **ret)
{
	const struct capture *output;
	struct call *call;

	if (rq->wire.type == REQUEST_WIRE_NONE) {
		output = capture_find(c->front, rq->wire.exec_ref.name,
				      rq->wire.exec_ref.exec);
		*ret = output ? capture_output(output, rq)
			      : reply_no_exec(rq->wire.exec_ref.name,
					      rq->wire.exec_ref.exec);
		return;
	}
	call = call_new(c, vc, rq);
	if (!call) {
		err_ignore(busy(ret, "requests", FRONT_CALLS_MAX));
		return;
	}
	c->call = call;
	if (send_request(call, rq, ret) < 0)
		call_free(call);
}

static int serve_ourselves(const struct varlink_call *vc, char **ret,
			   struct varlink_error *ret_error)
{
	const struct varlink_service service = {
		.vendor = "carrel",
		.product = "carreld",
		.version = CARREL_VERSION,
		.url = "",
		.interface = REQUEST_INTERFACE,
		.description = interface_text_start,
		.description_size = (size_t)(interface_text_end - interface_text_start),
	};
	json_t *parameters = NULL;
	int r = varlink_service_answer(&service, vc, &parameters, ret_error);

	if (r == 0)
		*ret = varlink_reply(parameters, false);
	return r;
}

static int begin(struct conn *c, const struct varlink_call *vc, char **ret,
		 struct varlink_error *ret_error)
{
	const char *method = varlink_method_of(vc, REQUEST_INTERFACE);
	struct request rq;
	int r;

	if (!method)
		return serve_ourselves(vc, ret, ret_error);
	r = request_parse(method, vc, &rq, ret_error);
	if (r == -ENOENT)
		return serve_ourselves(vc, ret, ret_error);
	if (r < 0)
		return r;
	begin_request(c, vc, &rq, ret);
	request_free(&rq);
	return 0;
}

/* How many descriptors the message says that it has brought. */
static unsigned declared_fds(const struct varlink_call *vc)
{
	const char *method = varlink_method_of(vc, REQUEST_INTERFACE);
	json_int_t count =
		json_integer_value(json_object_get(vc->parameters, "descriptors"));

	if (!method || strcmp(method, "Exec") != 0 || count < 0 || count > WIRE_FDS_MAX)
		return 0;
	return (unsigned)count;
}

/* A call that is refused has had its descriptors, too. */
static void discard_fds(struct conn *c, unsigned count)
{
	int fd;

	while (count-- && conn_take_fds(c, &fd, 1) == 0)
		close(fd);
}

int call_begin(struct conn *c, const char *text, size_t len)
{
	struct varlink_call vc;
	struct varlink_error error;
	char *answer = NULL;
	int r = varlink_call_parse(text, len, &vc, &error);
	unsigned before = c->fd_count, declared;

	if (r == -EPROTO || r == -ENOMEM)
		return -EPROTO;
	declared = declared_fds(&vc);
	if (r == 0)
		r = begin(c, &vc, &answer, &error);
	if (r == -EINVAL)
		answer = varlink_error_reply(&error);
	else if (r == -ENOMEM)
		answer = reply_failed("out of memory");
	if (before - c->fd_count < declared)
		discard_fds(c, declared - (before - c->fd_count));
	if (!c->call && !vc.oneway)
		conn_put_message(c, answer);
	else
		free(answer);
	varlink_call_free(&vc);
	return 0;
}
