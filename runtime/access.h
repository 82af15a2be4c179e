/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients the daemon serves, and what each may have. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "netns/netns.h"
#include "policy/policy.h"
#include "runtime/pool.h"
#include "runtime/wire.h"

enum {
	ACCESS_PROFILES_MAX = 32,
	ACCESS_CLIENTS_MAX = 64,
	ACCESS_MOUNTS_MAX = 16, /* tmpfs of a profile */
	ACCESS_ENV_MAX = 64,
	ACCESS_LABELS_MAX = 64,
	ACCESS_LABEL_KEY_MAX = 255, /* bytes */
	ACCESS_STRINGS_SIZE = 40 << 10, /* of environment and labels, with their NULs */
};

/* Bounds for what clients ask for, unless a profile has more. */
#define ACCESS_TIME_MIN         1000ull /* ms; idle_timeout and max_duration */
#define ACCESS_IDLE_TIMEOUT_MAX (24ull * 3600 * 1000)
#define ACCESS_TIME_MAX         (366ull * 24 * 3600 * 1000)

/* A kind of sandbox that the administrator has defined: section [profile NAME]. */
struct profile {
	char name[WIRE_PROFILE_MAX + 1];
	char rootfs[WIRE_PATH_MAX + 1]; /* a directory of the host; "": "host" */
	struct cgroup_limits limits; /* of those that ask for none */
	uid_t uid; /* inside, of execs that name none */
	gid_t gid;
	bool egress; /* for those that do not say */
	struct netns_plan network; /* deny, allow, dns, ipv6; its egress means nothing */
	char *tmpfs[ACCESS_MOUNTS_MAX + 1]; /* as --tmpfs takes them; NULL-terminated */
	char *env[ACCESS_ENV_MAX + 1]; /* NAME=VALUE; NULL-terminated */
	uint64_t idle_timeout_ms; /* default 5 min */
	uint64_t max_duration_ms; /* default 0: none */
	uint64_t freeze_after_ms, reclaim_after_ms; /* idle; default 0: not at all */
	uint32_t warm; /* spares to keep; default 0 */
};

/* Who may ask: section [client NAME]. */
struct client {
	char name[WIRE_PROFILE_MAX + 1];
	uid_t uid; /* ACCESS_ANYBODY: any that has no section of its own */
	char workspace_root[WIRE_PATH_MAX + 1]; /* of the host; "": no workspaces */
	char name_prefix[WIRE_NAME_MAX + 1]; /* that its sandboxes' names must have */
	bool egress; /* may have it */
	struct cgroup_limits ceilings; /* of one sandbox */
	struct pool_client_limits pool;
	uint32_t profiles[ACCESS_PROFILES_MAX]; /* indexes; the first is the default */
	unsigned profile_count;
};

/* Of sandboxes that ask for none, as carrel run has it. */
#define ACCESS_HOSTNAME "carrel"

#define ACCESS_ANYBODY ((uid_t)-1)

struct access {
	struct profile profiles[ACCESS_PROFILES_MAX];
	unsigned profile_count;
	struct client clients[ACCESS_CLIENTS_MAX];
	unsigned client_count;
	struct pool_limits pool; /* of all clients together */
	char metrics_file[WIRE_PATH_MAX + 1]; /* for node-exporter's textfile; "": none */
	bool keep_running; /* sandboxes stay when the daemon is told to end */
};

/* One profile called "default" (carrel run's defaults) and one client entry for anybody
 * whom the socket lets in: 64 sandboxes, 4096 MiB, 4 processors and 4096 processes each
 * at most, egress allowed, no workspace root. */
void access_init(struct access *a);
void access_free(struct access *a);

/* The entry for that uid, or NULL: it has none, and there is none for anybody. */
const struct client *access_find(const struct access *a, uid_t uid);
/* NULL: the configuration has none of that name (any more). */
const struct profile *access_find_profile(const struct access *a, const char *name);

/* Checks what a client asks for against what it may have, and completes it: profile,
 * hostname, limits, network and times are all set afterwards. What the client has not
 * asked for is the profile's, lowered to the client's ceilings. 0, or −EPERM with what to
 * answer in *ret_error (WIRE_REFUSED); *ensure is then as it was. Pure. */
must_check int access_check_ensure(const struct access *a, const struct client *c,
				   struct wire_ensure *ensure,
				   struct wire_error *ret_error);

/* Checks its strings: variables "NAME=VALUE" with letters, digits and "_" in the name,
 * and labels of UTF-8, no name twice, ACCESS_STRINGS_SIZE in all. Sorts them, so that
 * equal settings are equal strings. */
must_check int access_check_strings(const struct wire_ensure *ensure, char **strings,
				    struct wire_error *ret_error);

/* The same of an exec: limits must not exceed the sandbox's, nor the client's ceilings.
 * What it leaves open stays so. */
must_check int access_check_exec(const struct client *c, const struct wire_exec *exec,
				 const struct wire_limits *sandbox,
				 struct wire_error *ret_error);

/* Is it a name that a sandbox may have: UTF-8, 1 to 128 bytes, no control characters? */
bool access_is_name(const char *name);

/* Is it a workspace that may be asked for: relative, no empty, "." or ".." part, UTF-8
 * without control characters? */
bool access_is_workspace(const char *path);

/* Is it NAME=VALUE, with a name of letters, digits and "_" that begins with no digit? */
bool access_is_variable(const char *text);
