/* SPDX-License-Identifier: Apache-2.0 */
/* What a front and the broker say to each other: records of one size each way. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/policy.h"

/*
 * Theory of operation
 *
 * A front and the broker share a SOCK_SEQPACKET pair. Each packet is one struct, whole:
 * struct wire_request from the front, struct wire_reply from the broker. Anything of
 * another size, of an unknown type, with a string that is not terminated, a value out of
 * range or descriptors that are not expected means that the front is not itself any more:
 * the broker kills it.
 *
 * What has no fixed size (argv, environment, labels) comes as a sealed memfd beside the
 * record: strings, each ended by a NUL, in the number that the record says (0: no memfd,
 * which only ensure can have). What the
 * broker tells at length (lists) goes the other way as a memfd with one JSON object: the
 * parameters of the Varlink reply.
 *
 * A request has a tag that the front chose and that all replies to it carry. Most have
 * one reply. Exec has STARTED, if wanted and unless it cannot be, and then, unless it is
 * detached, RESULT. Stats and events, if asked for continuously, have DOCUMENTs until
 * DROP. Ensure with auto_remove that has made the sandbox lives on after its reply
 * (`held`): DROP says that the client has gone, and the sandbox goes, too; DONE says that
 * the sandbox has gone.
 *
 * LEFT is no request and is not answered: it tells how many of the connections that were
 * handed over have ended. A front that has none left, and keeps nothing for anybody, says
 * so; the broker, who knows whether another one is on its way, may end it.
 */

enum {
	WIRE_NAME_MAX = 128, /* bytes of a sandbox's name */
	WIRE_PROFILE_MAX = 64,
	WIRE_PATH_MAX = 1023, /* of a workspace, and of a directory inside */
	WIRE_HOSTNAME_MAX = 64,
	WIRE_EXEC_MAX = 23, /* of an exec's id */
	WIRE_STRINGS_SIZE = 1 << 20, /* of the memfd */
	WIRE_STRINGS_MAX = 16384, /* in it */
	WIRE_FDS_MAX = 19, /* with a request: strings, 0 to 2, and 15 more */
	WIRE_CARRY_MAX = 32, /* with any record, also between broker and workers */
};

/* "As the profile has it", for numbers whose 0 means something. */
#define WIRE_UNSET UINT64_MAX

enum wire_type {
	/* requests; what follows is the member of the union */
	WIRE_INFO = 1, /* none */
	WIRE_ENSURE, /* ensure; strings: env, then labels as key, value, … */
	WIRE_EXEC, /* exec; strings: argv, then env; then stdio and further descriptors */
	WIRE_WAIT, /* exec_ref */
	WIRE_KILL, /* exec_ref */
	WIRE_CANCEL, /* exec_ref */
	WIRE_EXECS, /* name */
	WIRE_STOP, /* stop */
	WIRE_REMOVE, /* flagged: by force */
	WIRE_PAUSE, /* name */
	WIRE_UNPAUSE, /* name */
	WIRE_TOUCH, /* name */
	WIRE_LIST, /* flagged: all */
	WIRE_INSPECT, /* name */
	WIRE_STATS, /* stats */
	WIRE_EVENTS, /* flagged: continuously */
	WIRE_REAP, /* none */
	WIRE_SHUTDOWN, /* flagged: forget them too */
	WIRE_METRICS, /* none */
	WIRE_DROP, /* end: the client that asked for `tag` has gone, or has had enough */
	WIRE_LEFT, /* left; tag 0 */
	/* replies */
	WIRE_CONNECTION = 64, /* a client, as the only descriptor; tag 0 */
	WIRE_DONE, /* number */
	WIRE_ERROR, /* error */
	WIRE_SANDBOX, /* sandbox */
	WIRE_STARTED, /* exec; with a terminal, its master as the only descriptor */
	WIRE_RESULT, /* result */
	WIRE_DOCUMENT, /* more; the JSON object as the only descriptor */
};

struct wire_limits {
	uint64_t memory, cpu_milli, pids; /* as in struct cgroup_limits; 0: not asked */
};

enum wire_network { WIRE_NETWORK_UNSET, WIRE_NETWORK_NONE, WIRE_NETWORK_EGRESS };

struct wire_ensure {
	char name[WIRE_NAME_MAX + 1];
	char profile[WIRE_PROFILE_MAX + 1]; /* "": the client's first */
	char workspace[WIRE_PATH_MAX + 1]; /* "": none */
	char hostname[WIRE_HOSTNAME_MAX + 1]; /* "": ACCESS_HOSTNAME */
	struct wire_limits limits;
	uint32_t network; /* enum wire_network */
	uint32_t env_count; /* strings "NAME=VALUE" */
	uint32_t label_count; /* pairs of strings */
	uint32_t auto_remove; /* 0 or 1 */
	uint64_t idle_timeout_ms, max_duration_ms; /* WIRE_UNSET */
};

struct wire_exec {
	char name[WIRE_NAME_MAX + 1];
	char cwd[WIRE_PATH_MAX + 1]; /* "": the workspace */
	struct wire_limits limits;
	uint32_t argc, env_count; /* strings */
	uint32_t uid, gid; /* inside; UINT32_MAX: the profile's */
	uint32_t fds; /* descriptors after the strings: 0 (terminal) or 3 and more */
	uint32_t terminal, detach; /* 0 or 1 */
	uint32_t tell; /* 0 or 1: STARTED is wanted; it comes in any case for those two */
	uint64_t timeout_ms; /* 0: none */
};

struct wire_name {
	char name[WIRE_NAME_MAX + 1];
};

struct wire_flagged {
	char name[WIRE_NAME_MAX + 1];
	uint32_t flag; /* 0 or 1 */
};

struct wire_stop {
	char name[WIRE_NAME_MAX + 1];
	uint64_t grace_ms;
};

struct wire_stats {
	char name[WIRE_NAME_MAX + 1]; /* "": all */
	uint64_t interval_ms; /* 0: once */
};

struct wire_exec_ref {
	char name[WIRE_NAME_MAX + 1];
	char exec[WIRE_EXEC_MAX + 1];
	uint32_t signal; /* of KILL */
	uint32_t keep; /* of WAIT: 0 or 1 */
};

/* Why an exec ended; names as in the interface. */
enum wire_reason {
	WIRE_EXITED,
	WIRE_SIGNALLED,
	WIRE_TIMEOUT,
	WIRE_OOM,
	WIRE_OUTPUT,
	WIRE_CANCELLED,
	WIRE_STOPPED,
	WIRE_START_FAILED,
	WIRE_REASON_MAX,
};

struct wire_end {
	uint32_t reason; /* WIRE_CANCELLED or WIRE_OUTPUT */
};

struct wire_left {
	uint64_t ended; /* connections, those that were turned away included */
	uint32_t idle; /* 0 or 1: nothing is left of them */
};

struct wire_request {
	uint32_t type;
	uint32_t tag; /* not 0, but for LEFT */
	union {
		struct wire_ensure ensure;
		struct wire_exec exec;
		struct wire_name name;
		struct wire_flagged flagged;
		struct wire_stop stop;
		struct wire_stats stats;
		struct wire_exec_ref exec_ref;
		struct wire_end end;
		struct wire_left left;
	};
};

/* As in the interface, in its order. */
enum wire_state {
	WIRE_CREATING,
	WIRE_RUNNING,
	WIRE_PAUSED,
	WIRE_STOPPING,
	WIRE_IS_STOPPED,
	WIRE_STATE_MAX,
};

enum wire_error_code {
	WIRE_NO_SUCH_SANDBOX,
	WIRE_NO_SUCH_EXEC,
	WIRE_CONFLICT, /* what: the field */
	WIRE_REFUSED, /* what, why */
	WIRE_BUSY, /* what, limit */
	WIRE_WRONG_STATE, /* state */
	WIRE_FAILED_START, /* what: the step; why */
	WIRE_FAILED, /* why */
	WIRE_ERROR_MAX,
};

struct wire_error {
	uint32_t code; /* enum wire_error_code */
	uint32_t state; /* enum wire_state */
	uint64_t limit;
	char what[64];
	char why[256];
};

/* Labels are not here: those who want them ask for the list. */
struct wire_sandbox {
	char name[WIRE_NAME_MAX + 1];
	char id[CGROUP_NAME_MAX];
	char profile[WIRE_PROFILE_MAX + 1];
	char workspace[WIRE_PATH_MAX + 1];
	uint32_t state; /* enum wire_state */
	uint32_t created_now; /* 0 or 1 */
	uint32_t held; /* 0 or 1: the tag lives on, see above */
	uint32_t execs;
	uint32_t network; /* enum wire_network, not UNSET */
	struct wire_limits limits;
	uint64_t generation;
	uint64_t created, started, used; /* ms since 1970; started 0: stopped */
	uint64_t idle_timeout_ms, max_duration_ms;
};

struct wire_started {
	char exec[WIRE_EXEC_MAX + 1];
};

struct wire_result {
	char exec[WIRE_EXEC_MAX + 1];
	uint32_t reason; /* enum wire_reason */
	int32_t exit_code, signal;
	uint32_t oom; /* 0 or 1 */
	uint64_t wall_ms, cpu_user_ms, cpu_sys_ms, mem_peak, pids_peak;
	char error[256];
};

struct wire_reply {
	uint32_t type;
	uint32_t tag;
	union {
		struct wire_error error;
		struct wire_sandbox sandbox;
		struct wire_started started;
		struct wire_result result;
		uint64_t number; /* of DONE: sandboxes that were stopped */
		uint32_t more; /* of DOCUMENT: 1 if another one will follow */
	};
};

/* Sends one record with up to WIRE_CARRY_MAX descriptors, which stay the caller's. Never
 * blocks: −EAGAIN when the other side does not read. */
must_check int wire_send(int sock, const void *record, size_t size, const int *fds,
			 unsigned count);

/* Takes one record of exactly `size` bytes, with its descriptors (close-on-exec) as the
 * caller's; at most `max`, of WIRE_CARRY_MAX. 1: taken; 0: the other side has gone;
 * −EAGAIN: none there; −EPROTO: of another size or with too many descriptors (which are
 * closed). */
must_check int wire_receive(int sock, void *record, size_t size, int *fds, unsigned max,
			    unsigned *ret_count);

/* Is the request one that a front in its right mind sends: known type, terminated
 * strings, flags 0 or 1, counts in range, as many descriptors as the type has? */
bool wire_check_request(const struct wire_request *rq, unsigned fds);

/* A sealed memfd with that content, to be read from its beginning. */
must_check int wire_memfd(const char *name, const void *data, size_t size, int *ret_fd,
			  struct err *e);

/* A sealed memfd of strings, which are appended with a NUL each. */
must_check int wire_strings_make(const char *const *strings, size_t count, int *ret_fd,
				 struct err *e);

/* Reads exactly `count` strings out of one. Sealed, at most WIRE_STRINGS_SIZE and of just
 * that many strings, or −EPROTO. *ret is one block for free(): pointers, NULL-terminated,
 * and the strings behind them. */
must_check int wire_strings_read(int fd, size_t count, char ***ret, struct err *e);
