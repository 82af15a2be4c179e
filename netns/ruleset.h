/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables rulesets of filtered egress: encoded when carrel is built, filled and sent
 * when a sandbox starts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netns/ip.h"
#include "netns/nl.h"

#define RULESET_TABLE "carrel" /* of family inet, here and there */
#define RULESET_MARK  "carrel 1" /* in the table's user data: it is ours */

enum {
	RULESET_DENIED_MAX = 256, /* refused destinations that are remembered */
	/* Interface groups of host ends: those of sandboxes for which only what holds for
	 * all holds, and those with resolvers, exceptions or denials of their own. */
	RULESET_GROUP = 0xca55e1,
	RULESET_GROUP_SPECIAL,
	/* What both have in common, and two neighbours that nobody has: for each packet a
	 * comparison in place, where a range of two takes several calls. */
	RULESET_GROUP_BITS = 0xfffffffc,
	/* Stand for a sandbox's limits until they are known. */
	RULESET_FLOWS = 0xc0de0001,
	RULESET_RATE = 0xc0de0002,
	RULESET_BURST = 0xc0de0003,
};

/* One encoded message. */
struct ruleset_message {
	uint32_t offset, size; /* bytes */
	const char *what; /* for errors */
};

/* The limits of one sandbox; 0: none. */
struct ruleset_limits {
	uint32_t flows; /* at a time */
	uint32_t rate; /* new ones a second */
};

/* Begins and ends a transaction: all of it takes effect, or nothing. */
void ruleset_begin(struct nl_batch *b);
void ruleset_end(struct nl_batch *b);

/* Adds the whole ruleset of a sandbox's namespace, with empty sets. */
void ruleset_add_inside(struct nl_batch *b, bool ipv6,
			const struct ruleset_limits *limits);

/* Adds the whole ruleset of the host. Over an earlier one it replaces the rules and
 * leaves what is in the sets. */
void ruleset_add_host(struct nl_batch *b);

/* A number that another version of the host's ruleset does not have. */
uint64_t ruleset_host_version(void);

/* Removes the table with all that is in it. */
void ruleset_delete_table(struct nl_batch *b);

/* Empties a set. */
void ruleset_flush(struct nl_batch *b, const char *set);

/* Adds ranges to a set of addresses; they must be merged. */
void ruleset_add_ranges(struct nl_batch *b, const char *set, const struct ip_range *list,
			size_t count, int family);

/* An element of a set. The parts of a key are padded to four bytes. */
struct ruleset_element {
	const void *key, *key_end; /* key_end: of a range; NULL: a single key */
	size_t size; /* of both */
	const char *comment; /* kept with the element; NULL: none */
};

/* Adds an element to a set, and removes one. */
void ruleset_add(struct nl_batch *b, const char *set, const struct ruleset_element *el);
void ruleset_delete(struct nl_batch *b, const char *set,
		    const struct ruleset_element *el);

/* The address behind this one, of `size` bytes. False when there is none. */
bool ruleset_next_address(uint8_t *next, const uint8_t *address, size_t size);

/* An exception as the key of an element: address and port, each padded. */
struct ruleset_exception {
	uint8_t first[16 + 4], last[16 + 4];
	size_t size; /* of both */
};

/* Makes that key. */
void ruleset_exception_of(const struct cidr_port *allow, struct ruleset_exception *ret);

/* An element that was read. */
struct ruleset_found {
	struct ruleset_element element;
	uint64_t packets; /* counted, where the set counts */
};

/* Hands over each element of a set. */
must_check int ruleset_read(int sock, const char *set,
			    int (*each)(const struct ruleset_found *found, void *context,
					struct err *e),
			    void *context, struct err *e);

/* Is the key in the set? −ENOENT says that it, the set or the table is not there. */
must_check int ruleset_has(int sock, const char *set, const void *key, size_t size,
			   struct err *e);

/* Is there a table of that name, and is it ours? −ENOENT: none. −EEXIST: not ours. */
must_check int ruleset_find_table(int sock, struct err *e);

/* Reads the packets of the counter called `name`. */
must_check int ruleset_read_counter(int sock, const char *name, uint64_t *ret_packets,
				    struct err *e);
