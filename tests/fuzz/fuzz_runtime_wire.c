/* SPDX-License-Identifier: Apache-2.0 */
/* A record and its strings, as a front that is not itself could send them: what the
 * broker reads. */
#include <sys/mman.h>

#include "runtime/access.h"
#include "runtime/wire.h"
#include "tests/fuzz/fuzz.h"

static size_t string_count(const struct wire_request *rq)
{
	if (rq->type == WIRE_ENSURE)
		return rq->ensure.env_count + 2 * (size_t)rq->ensure.label_count;
	return rq->type == WIRE_EXEC ? (size_t)rq->exec.argc + rq->exec.env_count : 0;
}

static void check_ensure(const struct access *a, struct wire_ensure *ensure,
			 char **strings)
{
	struct wire_error refused;

	if (access_check_strings(ensure, strings, &refused) < 0)
		return;
	if (access_check_ensure(a, &a->clients[0], ensure, &refused) < 0)
		return;
	bug_on(!access_is_name(ensure->name) || !*ensure->profile || !*ensure->hostname);
	bug_on(ensure->network == WIRE_NETWORK_UNSET);
}

static void check_exec(const struct access *a, const struct wire_exec *exec)
{
	const struct wire_limits sandbox = { 1 << 30, 1000, 100 };
	struct wire_error refused;

	if (access_check_exec(&a->clients[0], exec, &sandbox, &refused) == 0)
		bug_on(exec->limits.memory > sandbox.memory ||
		       exec->limits.cpu_milli > sandbox.cpu_milli ||
		       exec->limits.pids > sandbox.pids ||
		       exec->timeout_ms > ACCESS_TIME_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct access a;
	struct wire_request rq = { 0 };
	size_t whole = size < sizeof(rq) ? size : sizeof(rq);
	char **strings = NULL;
	auto_fd fd = -1;
	unsigned fds;
	struct err e;

	if (!a.profile_count)
		access_init(&a);
	memcpy(&rq, data, whole);
	fds = string_count(&rq) > 0;
	if (rq.type == WIRE_EXEC)
		fds += rq.exec.fds % WIRE_FDS_MAX;
	if (!wire_check_request(&rq, fds))
		return 0;
	if (string_count(&rq)) {
		if (wire_memfd("fuzz", data + whole, size - whole, &fd, &e) < 0 ||
		    wire_strings_read(fd, string_count(&rq), &strings, &e) < 0)
			return 0;
		bug_on(strings[string_count(&rq)] != NULL);
	}
	if (rq.type == WIRE_ENSURE) {
		char *none[] = { NULL };

		check_ensure(&a, &rq.ensure, strings ? strings : none);
	}
	if (rq.type == WIRE_EXEC)
		check_exec(&a, &rq.exec);
	free(strings);
	return 0;
}
