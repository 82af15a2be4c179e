/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the daemon, on a connection that is kept open. */
#include <errno.h>

#include "base/str.h"
#include "tools/pool_bench.h"

enum { NAME_SIZE = 32 };

int pool_bench_ensure(struct pool_bench *b, const char *name, const char *profile,
		      struct err *e)
{
	json_t *reply = NULL, *parameters = profile ? json_pack("{s:s, s:s}", "name",
								name, "profile", profile)
						    : json_pack("{s:s}", "name", name);
	int r = client_call(&b->link, "Ensure", parameters, &reply, e);

	json_decref(reply);
	return r;
}

int pool_bench_remove(struct pool_bench *b, const char *name, struct err *e)
{
	return client_order(&b->link, "Remove",
			    json_pack("{s:s, s:b}", "name", name, "force", 1), e);
}

static int exec_true(struct pool_bench *b, const char *name, struct err *e)
{
	const struct client_request rq = {
		.method = "Exec",
		.parameters = json_pack("{s:s, s:[s], s:i, s:s}", "name", name, "argv",
					"/bin/true", "descriptors", 3, "cwd", "/"),
		.fds = (int[]){ b->null, b->null, b->null },
		.fd_count = 3,
	};
	struct client_reply reply = { 0 };
	int r = client_send(&b->link, &rq, e);

	if (r == 0)
		r = client_receive(&b->link, &reply, e);
	if (r == 0 &&
	    client_int(json_object_get(reply.parameters, "result"), "exit_code") != 0)
		r = err_say(e, ECHILD, "/bin/true failed in %s", name);
	client_reply_free(&reply);
	return r;
}

int pool_bench_exec(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	uint64_t start = pool_bench_now();
	int r = exec_true(b, POOL_BENCH_KEPT, e);

	*ret_ns = pool_bench_now() - start;
	return r;
}

int pool_bench_running(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	uint64_t start = pool_bench_now();
	int r = pool_bench_ensure(b, POOL_BENCH_KEPT, NULL, e);

	*ret_ns = pool_bench_now() - start;
	return r;
}

/* A sandbox of that profile, with a command or without; its removal is not timed. */
static int time_new(struct pool_bench *b, const char *profile, bool command,
		    uint64_t *ret_ns, struct err *e)
{
	char name[NAME_SIZE];
	uint64_t start;
	int r = str_format(name, sizeof(name), "bench-%u", b->made++);

	bug_on(r < 0);
	start = pool_bench_now();
	r = pool_bench_ensure(b, name, profile, e);
	if (r == 0 && command)
		r = exec_true(b, name, e);
	*ret_ns = pool_bench_now() - start;
	return r == 0 ? pool_bench_remove(b, name, e) : r;
}

int pool_bench_new(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return time_new(b, "default", false, ret_ns, e);
}

int pool_bench_warm(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return time_new(b, "warm", false, ret_ns, e);
}

int pool_bench_first(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return time_new(b, "default", true, ret_ns, e);
}

int pool_bench_first_egress(struct pool_bench *b, uint64_t *ret_ns, struct err *e)
{
	return time_new(b, "egress", true, ret_ns, e);
}
