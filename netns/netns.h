/* SPDX-License-Identifier: Apache-2.0 */
/* The door of netns/: what a sandbox can reach. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "netns/blocklist.h"
#include "netns/ip.h"
#include "netns/resolver.h"

/*
 * Theory of operation
 *
 * A sandbox has a network namespace of its own, owned by the host's user namespace, so
 * that nothing inside can change an address, a route or a rule of it. carrel makes it
 * while PID 1 builds the mounts, and both PID 1 and the command join it before they give
 * anything up. With `--network none` there is nothing in it but a loopback interface.
 * With `--network egress` it has a way to the public internet and to nowhere else:
 *
 *	sandbox's namespace          host's namespace
 *	  lo   eth0 ─────────────────── crXXXXXXXX      uplink
 *	       B/31        veth         A/31
 *	  rules: output, input         rules: prerouting, input, forward, output
 *
 * Each of the two rulesets suffices alone, and both are filled from the same lists
 * (ruleset_rules.c says what is in them, and in what order). The host's is made once, for
 * all sandboxes: it knows their interfaces by interface group, so that neither the number
 * of rules nor the cost of a start grows with the number of sandboxes. Only resolvers,
 * exceptions and denials of a single sandbox become set elements.
 *
 *	ip.c		addresses, networks and sets of them		(pure)
 *	blocklist.c	what is never reached				(a table)
 *	resolver.c	resolv.conf, read and written			(pure)
 *	nl.c		netlink messages in batches
 *	ruleset*.c	nftables rules: encoded when carrel is built, filled here
 *	link.c		interfaces, addresses, routes, sysctls
 *	plan.c		defaults, and what cannot be had		(pure)
 *	lists.c		what both rulesets are filled from
 *	special.c	what the host holds for one sandbox alone
 *	disjoint.c	exceptions that overlap, cut so that they do not
 *	facts.c		what the host's network looks like
 *	host.c		the host's side: up, down, still the same?
 *	egress.c	one sandbox's side
 *	usage.c		what it has sent, and was not let send
 *	count.c		how much there is in its ruleset
 *	leave.c		its end
 *	create.c	the namespace itself
 *
 * The kernel is the record: the name of a host end says whose address it is, and a
 * namespace that nobody holds any more takes its interfaces, addresses, routes and rules
 * with it. A veth is never deleted, which takes the kernel 15 to 25 ms; its name keeps
 * its address taken until it has gone.
 */

enum {
	NETNS_DNS_MAX = 3, /* what libc's resolver takes, MAXNS in <resolv.h> */
	NETNS_ALLOW_MAX = 64,
	NETNS_DENIALS_MAX = 256,
	NETNS_RANGES_MAX = 1024, /* of one sandbox's own denials */
	NETNS_FLOWS_DEFAULT = 4096,
	NETNS_RATE_DEFAULT = 200,
};

/* What holds for all sandboxes of the host. */
struct netns_settings {
	struct cidr pool4, pool6; /* a /31 and a /127 of them for each sandbox */
	char uplink[IFNAMSIZ]; /* "": where the default route leads */
	struct ip dns[NETNS_DNS_MAX]; /* for those that name none */
	unsigned dns_count;
	struct ip_ranges deny4, deny6; /* the operator's, merged */
	uint32_t flows; /* of a sandbox at a time; 0: no limit */
	uint32_t rate; /* new ones a second; 0: no limit */
};

/* What one sandbox shall have. */
struct netns_plan {
	bool egress; /* otherwise only a loopback interface */
	bool ipv6;
	struct ip dns[NETNS_DNS_MAX];
	unsigned dns_count; /* 0: the settings' */
	struct ip_ranges deny4, deny6; /* denied as well, merged */
	struct cidr_port allow[NETNS_ALLOW_MAX]; /* exceptions */
	unsigned allow_count;
};

/* A sandbox's network, as descriptors. */
struct netns {
	int fd; /* the namespace */
	int route, rules; /* netlink sockets that belong to it; −1 without egress */
	struct ip address4, address6; /* the sandbox's; family 0: none */
	char host_end[IFNAMSIZ]; /* of the veth, in the host's namespace; "": none */
	bool special; /* has set elements of its own on the host */
};

#define NETNS_NONE ((struct netns){ .fd = -1, .route = -1, .rules = -1 })

/* Somewhere a sandbox was not let go. */
struct netns_denial {
	struct ip address;
	uint16_t port; /* 0 where the protocol has none */
	uint8_t protocol; /* IPPROTO_* */
	uint64_t count; /* packets */
};

/* What a sandbox has sent and received. */
struct netns_usage {
	uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets;
	struct netns_denial *denials; /* owned; in no order */
	unsigned denial_count;
	uint64_t denials_lost; /* packets that are in none of them: no room, or a limit */
};

/* The host's side, as `carrel network show` has it. */
struct netns_host_state {
	bool up;
	bool current; /* as the settings want it */
	char uplink[IFNAMSIZ];
	unsigned sandboxes; /* host ends there are */
};

/* 10.213.0.0/19, fd63:6172:7265:6c00::/64, default limits, nothing else. */
void netns_settings_init(struct netns_settings *settings);
void netns_settings_free(struct netns_settings *settings);

/* A plan with nothing but a loopback interface. */
void netns_plan_init(struct netns_plan *plan);
void netns_plan_free(struct netns_plan *plan);

/* Refuses what cannot be had, before anything is made: exceptions for what is never
 * reached, more denials than a sandbox may have, IPv6 resolvers without IPv6. */
must_check int netns_plan_check(const struct netns_settings *settings,
				const struct netns_plan *plan, struct err *e);

/* The resolvers that a sandbox with that plan asks. Returns how many. */
unsigned netns_resolvers(const struct netns_settings *settings,
			 const struct netns_plan *plan, const struct ip **ret);

/* The sandbox's /etc/resolv.conf: the resolvers that it can reach. */
must_check int netns_resolv_conf(const struct netns_settings *settings,
				 const struct netns_plan *plan, char *buf, size_t size,
				 struct err *e);

/* Where a sandbox's network is to be found, and what must know of it. */
struct netns_place {
	unsigned first; /* where the search for a free address begins */
	int procfs; /* to go through for sysctls (see procfs_open()); −1: /proc */
	/* Called before there is anything on the host that outlives the namespace, so
	 * that a killed carrel's can be found: it is for netns_reclaim(). */
	int (*record)(void *context, const char *host_end, struct err *e);
	void *context;
};

/* Makes a network namespace as planned. With egress, sets the host's side up if it is
 * not. *ret is for netns_destroy().
 *
 * Must be called by a single-threaded process, which passes through the namespace. Must
 * not be followed by anything but an exit if the error says that it could not return. */
must_check int netns_create(const struct netns_settings *settings,
			    const struct netns_plan *plan,
			    const struct netns_place *place, struct netns *ret,
			    struct err *e);

/* Puts back what another process made, of a sandbox that lives: takes the namespace and
 * what was said of it (host_end, addresses, special), and opens the sockets that belong
 * to it. *ns is for netns_destroy(), or for netns_close() where the sandbox goes on.
 *
 * Must be called by a single-threaded process, which passes through the namespace. Must
 * not be followed by anything but an exit if the error says that it could not return. */
must_check int netns_open(struct netns *ns, struct err *e);

/* Closes the descriptors and leaves the network as it is. */
void netns_close(struct netns *ns);

/* Counts the rules of the sandbox's own table, and the elements of its sets: all that the
 * kernel has of them. Zero without egress. */
must_check int netns_count_rules(const struct netns *ns, unsigned *ret_rules,
				 unsigned *ret_elements, struct err *e);

/* Reads what has been used. All zero without egress. *ret is for netns_usage_free(). */
must_check int netns_read_usage(const struct netns *ns, struct netns_usage *ret,
				struct err *e);

/* Frees the list; all is zero then. */
void netns_usage_free(struct netns_usage *usage);

/* Removes what the sandbox has on the host and lets go of the namespace. Harmless on
 * NETNS_NONE. Goes on after a failure and reports the first.
 *
 * Must be called when every process inside has ended, by a single-threaded process, which
 * passes through the namespace. Must not be followed by anything but an exit if the error
 * says that it could not return. */
must_check int netns_destroy(struct netns *ns, struct err *e);

/* Removes what a killed carrel left of the sandbox with that host end. Nothing to do
 * where the host's side is not up. */
must_check int netns_reclaim(const char *host_end, struct err *e);

/* Sets the host's side up as the settings want it, or changes it so: in one transaction,
 * and without a moment in which less is denied. Tables of others are never touched. */
must_check int netns_host_up(const struct netns_settings *settings, bool ipv6,
			     struct err *e);

/* Removes it, and gives the uplink its forwarding back. −EBUSY while there are sandboxes
 * with egress. Nothing to do where it is not up. */
must_check int netns_host_down(struct err *e);

/* Looks, and changes nothing. */
must_check int netns_host_show(const struct netns_settings *settings,
			       struct netns_host_state *ret, struct err *e);
