/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of what filtered egress takes. Without it, `--network none` works all the same.
 */
#include <errno.h>
#include <sched.h>

#include "runtime/probe.h"

/* In a namespace that plays the host, with its loopback interface as the uplink. No
 * packet is sent: nobody is there who would send one. */
static int make_and_remove(const struct netns_settings *settings, bool ipv6,
			   struct err *e)
{
	const struct netns_place place = { .procfs = -1 };
	struct netns_plan plan;
	struct netns ns = NETNS_NONE;
	int r;

	netns_plan_init(&plan);
	plan.egress = true;
	plan.ipv6 = ipv6;
	r = netns_create(settings, &plan, &place, &ns, e);
	if (r == 0)
		r = netns_destroy(&ns, e);
	return r;
}

static int try_egress(const struct probe *self, const struct runtime_config *config,
		      struct str *found, struct err *e)
{
	struct netns_settings settings = config->network;
	bool ipv6 = self->arg == 6;
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return err_set(e, errno, "make a network namespace");
	bug_on(str_format(settings.uplink, sizeof(settings.uplink), "lo") < 0);
	r = make_and_remove(&settings, ipv6, e);
	if (r == 0)
		str_add(found, "veth, nftables, IPv%d addresses and routes", self->arg);
	return r;
}

static const struct probe rows[] = {
	{ .id = "egress",
	  .name = "filtered egress",
	  .run = try_egress,
	  .arg = 4,
	  .advice = true,
	  .remedy = "a kernel with veth, nf_tables, nf_conntrack, nft_ct, nft_fib_inet, "
		    "nft_limit, nft_connlimit, nft_masq, nft_reject_inet, "
		    "nf_conntrack_netlink" },
	{ .id = "egress-ipv6",
	  .name = "filtered egress, IPv6",
	  .run = try_egress,
	  .arg = 6,
	  .advice = true,
	  .remedy = "a kernel with CONFIG_IPV6, booted without ipv6.disable=1" },
};

const struct probe_table probe_network = { rows, sizeof(rows) / sizeof(*rows) };
