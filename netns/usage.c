/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox has sent, received, and not been allowed to send. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netns/link.h"
#include "netns/netns.h"
#include "netns/nl.h"
#include "netns/ruleset.h"

static int take_stats(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[IFLA_STATS64 + 1];
	struct netns_usage *usage = context;
	struct rtnl_link_stats64 s;
	const void *value;

	(void)e;
	nl_attributes(message, sizeof(struct ifinfomsg), a, IFLA_STATS64);
	/* Later kernels append to it; what is there has been there from the first on. */
	value = nl_payload(a[IFLA_STATS64],
			   offsetof(struct rtnl_link_stats64, rx_errors));
	if (!value)
		return 0;
	memcpy(&s, value, offsetof(struct rtnl_link_stats64, rx_errors));
	usage->rx_bytes = s.rx_bytes;
	usage->rx_packets = s.rx_packets;
	usage->tx_bytes = s.tx_bytes;
	usage->tx_packets = s.tx_packets;
	return 0;
}

static int read_stats(const struct netns *ns, struct netns_usage *ret, struct err *e)
{
	const struct ifinfomsg head = { .ifi_index = LINK_INSIDE };
	auto_nl_batch b = { 0 };

	nl_message(&b, RTM_GETLINK, 0, &head, sizeof(head), "count a sandbox's packets");
	return nl_ask(ns->route, &b, take_stats, ret, e);
}

/* Keys as ruleset_gen.c's record_destination() makes them: address, protocol, port, each
 * padded to four bytes. */
static int take_denial(const struct ruleset_found *found, void *context, struct err *e)
{
	enum { KEY4 = 4 + 4 + 4, KEY6 = 16 + 4 + 4 };
	struct netns_usage *usage = context;
	struct netns_denial *d;
	const uint8_t *key = found->element.key;
	size_t size = found->element.size == KEY4 ? 4 : 16;
	uint16_t port;

	if ((found->element.size != KEY4 && found->element.size != KEY6) ||
	    usage->denial_count == NETNS_DENIALS_MAX)
		return 0;
	if (!usage->denials)
		usage->denials = calloc(NETNS_DENIALS_MAX, sizeof(*d));
	if (!usage->denials)
		return err_set(e, ENOMEM, "list what was denied");
	d = &usage->denials[usage->denial_count++];
	*d = (struct netns_denial){ .address = { .family =
							 size == 4 ? AF_INET : AF_INET6 },
				    .protocol = key[size],
				    .count = found->packets };
	memcpy(d->address.addr, key, size);
	memcpy(&port, key + size + 4, sizeof(port));
	d->port = ntohs(port);
	return 0;
}

static int read_denials(const struct netns *ns, struct netns_usage *ret, struct err *e)
{
	uint64_t refused = 0, listed = 0;
	int r = ruleset_read(ns->rules, "denied4", take_denial, ret, e);

	if (r == 0 && ns->address6.family)
		r = ruleset_read(ns->rules, "denied6", take_denial, ret, e);
	if (r == 0)
		r = ruleset_read_counter(ns->rules, "refused", &refused, e);
	for (unsigned i = 0; i < ret->denial_count; i++)
		listed += ret->denials[i].count;
	ret->denials_lost = refused > listed ? refused - listed : 0;
	return r;
}

void netns_usage_free(struct netns_usage *usage)
{
	free(usage->denials);
	*usage = (struct netns_usage){ 0 };
}

int netns_read_usage(const struct netns *ns, struct netns_usage *ret, struct err *e)
{
	int r;

	*ret = (struct netns_usage){ 0 };
	if (ns->route < 0)
		return 0;
	r = read_stats(ns, ret, e);
	return r == 0 ? read_denials(ns, ret, e) : r;
}
