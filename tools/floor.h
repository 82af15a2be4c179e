/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel alone takes for a sandbox like carrel's: the yardstick of the bench. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/runtime.h"

/*
 * Theory of operation
 *
 * floor_run() does what a start of carrel does, with the cheapest system calls that lead
 * to the same end: the same namespaces, mounts, limits, ids and filter. All that can be
 * known beforehand is found by floor_open(), which takes the list of mounts from a real
 * sandbox. It goes by path where carrel goes by descriptor, checks nothing, explains
 * nothing, and has one process fewer: the command itself is PID 1. It is a measure, and
 * nothing to run anything hostile in.
 */

enum {
	FLOOR_NAMES_MAX = 96,
	FLOOR_NAME_MAX = 128, /* bytes of a path below /proc or /etc */
};

/* A path that a sandbox has a mount of its own on. */
struct floor_name {
	char name[FLOOR_NAME_MAX]; /* below /proc or /etc */
	bool directory; /* or a file */
};

struct floor_names {
	struct floor_name items[FLOOR_NAMES_MAX];
	unsigned count;
};

/* What is found once and used by every run. */
struct floor {
	struct cgroup_host host;
	char cgroup[CGROUP_NAME_MAX]; /* name of the groups that a run makes */
	uint32_t id_base;
	struct floor_names proc; /* covered with nothing */
	struct floor_names etc; /* shown from the host's */
};

/* Runs a sandbox with `config` to see its mounts, and finds the cgroups. *ret holds
 * descriptors: release with floor_close(). */
must_check int floor_open(const struct runtime_config *config, const char *cgroup,
			  struct floor *ret, struct err *e);
void floor_close(struct floor *f);

/* Builds, runs `command` (a path inside, without arguments), waits and cleans up. With
 * `network` there is a veth, with rules for it (NULL: a loopback interface). Where a
 * call fails it prints its place and ends the calling process with RUN_STATUS_FAILED. */
void floor_run(const struct floor *f, const struct netns_settings *network,
	       const char *command);

/* In floor_network.c. Opens a netlink socket of the host's network namespace. */
must_check int floor_network_open(int *ret_host, struct err *e);

/* Makes a veth between the caller's network namespace and the host's, and loads the rules
 * and sets that carrel would. */
must_check int floor_network(const struct netns_settings *settings, int host,
			     int host_netns, struct err *e);
