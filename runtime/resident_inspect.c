/* SPDX-License-Identifier: Apache-2.0 */
/* What protects a sandbox, as the kernel has it: nothing here is remembered. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/resident_private.h"
#include "runtime/wire_json.h"

enum {
	STATUS_MAX = 8192,
	MOUNTS_MAX = 256 << 10, /* of mountinfo: a hundred mounts, long paths */
};

/* Puts a value that may be NULL for want of memory. */
static int put(json_t *object, const char *key, json_t *value, struct err *e)
{
	if (json_object_set_new(object, key, value) < 0)
		return err_set(e, ENOMEM, "describe a sandbox");
	return 0;
}

static int read_text(int proc, const char *file, char *buf, size_t size, struct err *e)
{
	ssize_t n = fd_read_at(proc, file, buf, size);

	if (n < 0)
		return err_set(e, n == -ENOENT ? ESRCH : (int)-n, "read %s of PID 1",
			       file);
	return 0;
}

static int add_namespaces(json_t *object, int proc, struct err *e)
{
	static const char *const kinds[] = { "cgroup", "ipc", "mnt", "net",
					     "pid",    "uts", "user" };
	json_t *list = json_object();
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(kinds) / sizeof(*kinds); i++) {
		char path[16];
		struct stat st;

		bug_on(str_format(path, sizeof(path), "ns/%s", kinds[i]) < 0);
		if (fstatat(proc, path, &st, 0) < 0)
			r = err_set(e, errno, "look at %s of PID 1", path);
		else
			r = put(list, kinds[i], json_integer((json_int_t)st.st_ino), e);
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	return put(object, "namespaces", list, e);
}

static int add_map(json_t *object, int proc, const char *file, struct err *e)
{
	json_t *list = json_array();
	long long inside, outside, count;
	char text[1024];
	int r = read_text(proc, file, text, sizeof(text), e);

	for (const char *p = text; r == 0 && p; p = strchr(p, '\n'), p = p ? p + 1 : p) {
		if (sscanf(p, "%lld %lld %lld", &inside, &outside, &count) != 3)
			break;
		if (json_array_append_new(list,
					  json_pack("{s:I, s:I, s:I}", "inside", inside,
						    "host", outside, "count", count)) < 0)
			r = err_set(e, ENOMEM, "describe a sandbox");
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	return put(object, file, list, e);
}

/* Lines of /proc/PID/status, and what they are called here. */
static const struct {
	const char *line, *key;
	bool number;
} fields[] = {
	{ "CapInh:", "cap_inheritable", false }, { "CapPrm:", "cap_permitted", false },
	{ "CapEff:", "cap_effective", false },   { "CapBnd:", "cap_bounding", false },
	{ "CapAmb:", "cap_ambient", false },     { "NoNewPrivs:", "no_new_privs", true },
	{ "Seccomp:", "seccomp", true },         { "Seccomp_filters:", "filters", true },
};

static int add_process(json_t *object, int proc, struct err *e)
{
	json_t *process = json_object();
	char text[STATUS_MAX];
	int r = read_text(proc, "status", text, sizeof(text), e);

	for (size_t i = 0; r == 0 && i < sizeof(fields) / sizeof(*fields); i++) {
		const char *line = strstr(text, fields[i].line);
		char value[64];

		if (!line || sscanf(line + strlen(fields[i].line), "%63s", value) != 1)
			continue; /* a kernel that does not say so */
		r = put(process, fields[i].key,
			fields[i].number ? json_integer(strtoll(value, NULL, 10))
					 : json_string(value),
			e);
	}
	if (r < 0) {
		json_decref(process);
		return r;
	}
	return put(object, "process", process, e);
}

/* "ID PARENT DEV ROOT TARGET OPTIONS … - TYPE SOURCE …". What is behind it on the host is
 * left out. */
static json_t *mount_object(const char *line)
{
	char target[4096], options[256], type[64];
	const char *dash = strstr(line, " - ");
	json_t *object = NULL;

	if (dash && sscanf(line, "%*s %*s %*s %*s %4095s %255s", target, options) == 2 &&
	    sscanf(dash, " - %63s", type) == 1)
		object = json_pack("{s:o, s:s, s:s}", "target", wire_json_string(target),
				   "type", type, "options", options);
	return object;
}

static int add_mounts(json_t *object, int proc, struct err *e)
{
	auto_free char *text = malloc(MOUNTS_MAX);
	json_t *list = json_array();
	char *rest = text, *line;
	int r;

	if (!text) {
		json_decref(list);
		return err_set(e, ENOMEM, "describe a sandbox");
	}
	r = read_text(proc, "mountinfo", text, MOUNTS_MAX, e);
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		if (json_array_append_new(list, mount_object(line)) < 0)
			r = err_say(e, EPROTO, "mountinfo of PID 1 makes no sense");
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	return put(object, "mounts", list, e);
}

static int add_limits(json_t *object, const struct cgroup_place *place, struct err *e)
{
	struct cgroup_limits limits;
	bool frozen = false;
	int r = cgroup_read_limits(place, &limits, e);

	if (r == 0)
		r = cgroup_is_frozen(place->dir[0], &frozen, e);
	if (r == 0)
		r = put(object, "limits",
			json_pack("{s:I, s:I, s:I}", "memory", (json_int_t)limits.memory,
				  "pids", (json_int_t)limits.pids, "cpu_milli",
				  (json_int_t)limits.cpu_milli),
			e);
	return r == 0 ? put(object, "frozen", json_boolean(frozen), e) : r;
}

static json_t *address(const struct ip *ip)
{
	char text[IP_TEXT_MAX];

	return json_string(ip->family ? ip_format(text, ip) : "");
}

static int add_network(json_t *object, const struct resident *r, int proc, struct err *e)
{
	struct netns netns = NETNS_NONE;
	unsigned rules = 0, elements = 0;
	int code;

	if (!*r->host_end)
		return put(object, "network", json_pack("{s:s}", "mode", "none"), e);
	netns.fd = openat(proc, "ns/net", O_RDONLY | O_CLOEXEC);
	if (netns.fd < 0)
		return err_set(e, errno, "open the network namespace of the sandbox");
	memcpy(netns.host_end, r->host_end, sizeof(netns.host_end));
	code = netns_open(&netns, e);
	if (code == 0)
		code = netns_count_rules(&netns, &rules, &elements, e);
	netns_close(&netns);
	if (code < 0)
		return code;
	return put(object, "network",
		   json_pack("{s:s, s:s, s:o, s:o, s:i, s:i}", "mode", "egress",
			     "interface", r->host_end, "address", address(&r->address4),
			     "address6", address(&r->address6), "rules", (int)rules,
			     "set_elements", (int)elements),
		   e);
}

static int describe(json_t *object, const struct resident *r,
		    const struct cgroup_host *host, struct err *e)
{
	const struct cgroup_place place = resident_place(r, host);
	auto_fd proc = -1;
	int code = resident_open_proc(r, &proc, e);

	if (code == 0)
		code = put(object, "id", json_string(r->id), e);
	if (code == 0)
		code = add_namespaces(object, proc, e);
	if (code == 0)
		code = add_map(object, proc, "uid_map", e);
	if (code == 0)
		code = add_map(object, proc, "gid_map", e);
	if (code == 0)
		code = add_process(object, proc, e);
	if (code == 0)
		code = add_limits(object, &place, e);
	if (code == 0)
		code = add_mounts(object, proc, e);
	return code == 0 ? add_network(object, r, proc, e) : code;
}

int resident_inspect(const struct resident *r, const struct cgroup_host *host,
		     char **ret_json, struct err *e)
{
	json_t *object = json_object();
	char *text = NULL;
	int code = object ? describe(object, r, host, e)
			  : err_set(e, ENOMEM, "describe a sandbox");

	if (code == 0)
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (code == 0 && !text)
		code = err_set(e, ENOMEM, "describe a sandbox");
	if (code < 0)
		return err_wrap(e, "inspect %s", r->id);
	*ret_json = text;
	return 0;
}
