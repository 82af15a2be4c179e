/* SPDX-License-Identifier: Apache-2.0 */
/* The door of runtime/: how a sandbox lives and dies. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "netns/netns.h"
#include "policy/policy.h"
#include "rootfs/rootfs.h"
#include "runtime/access.h"

/*
 * Theory of operation
 *
 *	carrel (the keeper, host root)
 *	  ├─ carrel-init	PID 1: built the mounts, then gave everything up
 *	  └─ COMMAND		joined what PID 1 built, then gave everything up
 *
 * Both are children of the keeper, born into their cgroups. All namespaces but one belong
 * to the host's user namespace; the payload's own user namespace is entered last, so that
 * nothing inside owns any other namespace (E-26). Whatever happens to the keeper, both
 * die with it: by PR_SET_PDEATHSIG, and PID 1 also by the end of its lifeline pipe.
 *
 *	slot.c		a range of host ids nobody else has; what there is to clean up
 *	sandbox.c	the sandbox as a whole: prepare, start, take down
 *	init.c		the steps of PID 1 between clone and exec
 *	payload.c	the steps of the command between clone and exec
 *	record.c	what a sandbox has on the host, written down before it is made
 *	command.c	what all commands do alike between clone and exec
 *	steps.c		walking through such steps, and telling the keeper how it went
 *	keeper.c	waiting: signals, terminal, deadline, out of memory, exit
 *	probe.c		what the host's kernel can do, each proved by trying: the runner;
 *			the tables are in probe_*.c
 */

/* Where carrel keeps what must survive it, and which host ids it may use. */
struct runtime_config {
	const char *state_dir; /* default /run/carrel; made if absent, root's alone */
	const char *rootfs_store; /* see rootfs/store.h; used, never made */
	uint32_t id_first; /* first host uid and gid of the block for sandboxes */
	uint32_t id_ranges; /* how many ranges of 65536 it has: sandboxes at a time */
	/* The v2 directory for sandboxes' groups; NULL: our own group's surroundings. */
	const char *cgroup_parent;
	struct netns_settings network;
};

/* The defaults: ids 0x70000000 to 0x7ffdffff, which systemd's uid list (UIDS-GIDS)
 * names as unused, between its container range and its foreign range. */
struct runtime_config runtime_config_defaults(void);

/* What a sandbox and its command shall be. Strings belong to the caller. */
struct spec {
	struct rootfs_plan files;
	struct netns_plan network;
	struct cgroup_limits limits;
	struct rlimit_list rlimits;
	uid_t uid; /* inside: 1 to 65534 */
	gid_t gid;
	char *const *argv;
	char *const *envp;
	const char *directory; /* inside; NULL: the workspace, or / without one */
	uint64_t timeout_ms; /* 0: none */
	bool terminal; /* stdio is a terminal of the sandbox's own */
};

enum {
	SPEC_ID_MAX = 65534, /* of the 64 Ki range; 65535 is carrel-init */
	SPEC_ID_RANGE = 65536,
	SPEC_MEMORY_MIN =
		6 << 20, /* as docker: less cannot hold a process and its start */
	SPEC_CPU_MILLI_MIN = 10, /* the kernel's least quota, 1 ms in 100 */
	SPEC_CPU_MILLI_MAX = 8192 * 1000, /* NR_CPUS */
	SPEC_PIDS_MAX = 4194304, /* PID_MAX_LIMIT */
};

#define SPEC_MEMORY_MAX (1ull << 50) /* what is added to it must not overflow */

/* carrel's default limits. */
#define SPEC_LIMITS \
	((struct cgroup_limits){ .pids = 256, .memory = 512ull << 20, .cpu_milli = 1000 })

/* An otherwise empty spec with carrel's default limits: 512 MiB, one processor, 256
 * processes, nofile 4096, no core dumps, no network. */
void spec_init(struct spec *spec);

/* Refuses what cannot be run, before anything is made. Also completes and sorts the
 * mounts. */
must_check int spec_check(struct spec *spec, struct err *e);

/* Why a run ended. */
enum run_reason {
	RUN_EXIT,
	RUN_SIGNAL,
	RUN_TIMEOUT,
	RUN_OOM,
	RUN_START_FAILED,
	RUN_REASON_MAX,
};

/* "exit", "signal", "timeout", "oom", "start_failed". */
const char *run_reason_name(enum run_reason reason);

/* How a run went. */
struct run_result {
	enum run_reason reason;
	int exit_code; /* what carrel's own exit status should be */
	int signal; /* that ended the command; 0: none */
	uint64_t wall_ms;
	struct cgroup_usage usage;
	struct netns_usage network; /* all zero without egress; the caller frees it */
	struct ip address4, address6; /* the sandbox's; family 0: none */
	uint32_t id_base; /* first host id of the sandbox's range */
	bool ids_direct; /* a volume could not be id-mapped: its owner's ids are mapped */
	char error[252]; /* start_failed: the sentence; otherwise empty */
};

/* Exit statuses of carrel itself, as docker's. */
enum {
	RUN_STATUS_TIMEOUT = 124,
	RUN_STATUS_FAILED = 125,
	RUN_STATUS_NOT_EXECUTABLE = 126,
	RUN_STATUS_NOT_FOUND = 127,
	RUN_STATUS_SIGNAL = 128, /* plus the signal's number */
};

/* Builds a sandbox, runs the command in it on descriptors 0, 1 and 2, and takes it down
 * without a trace. Blocks the signals that it passes on to the command. *ret is filled in
 * every case; on failure (−errno, the command never ran) its reason is start_failed and
 * its exit_code says which kind of failure. */
int run_command(const struct runtime_config *config, const struct spec *spec,
		struct run_result *ret, struct err *e);

/* How a feature of the host turned out. */
enum probe_state {
	PROBE_OK,
	PROBE_MISSING, /* carrel cannot work without it */
	PROBE_ADVICE, /* the host would be safer otherwise */
	PROBE_STATE_MAX,
};

enum { PROBE_DETAIL_MAX = 252 };

/* One line of `carrel doctor`. Strings are constants but for detail. */
struct probe_result {
	const char *id; /* for programs; never changes its meaning */
	const char *name; /* for people */
	enum probe_state state;
	char detail[PROBE_DETAIL_MAX]; /* what was found; printable ASCII */
	const char *remedy; /* what to do about it; "" when nothing is */
};

/* "ok", "missing", "advice". */
const char *probe_state_name(enum probe_state state);

/* The number of probes. */
unsigned probe_count(void);

/* Tries probe number i in a child process that has ten seconds for it. Leaves nothing
 * behind but the state directory and, in cgroup v2, the controllers handed down to the
 * groups of sandboxes. */
void probe_run(const struct runtime_config *config, unsigned i, struct probe_result *ret);

/* Fast check before every start: the capabilities that building a sandbox takes. The
 * error names the first that is missing. */
must_check int probe_privilege(struct err *e);
