/* SPDX-License-Identifier: Apache-2.0 */
/* How much there is in a sandbox's own ruleset: what the kernel has, not what was sent.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/str.h"
#include "netns/netns.h"
#include "netns/nl.h"
#include "netns/ruleset.h"

enum { SETS_MAX = 64 };

struct sets {
	char names[SETS_MAX][NFT_SET_MAXNAMELEN];
	unsigned count;
};

static void list(struct nl_batch *b, uint16_t type, uint16_t table, const char *what)
{
	const struct nfgenmsg head = { .nfgen_family = NFPROTO_INET,
				       .version = NFNETLINK_V0 };

	nl_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_DUMP, &head,
		   sizeof(head), what);
	nl_put_string(b, table, RULESET_TABLE);
}

static int take_rule(const struct nlmsghdr *message, void *context, struct err *e)
{
	unsigned *count = context;

	(void)message;
	(void)e;
	++*count;
	return 0;
}

static int take_set(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[NFTA_SET_NAME + 1];
	struct sets *sets = context;
	const char *name;
	size_t size;

	nl_attributes(message, sizeof(struct nfgenmsg), a, NFTA_SET_NAME);
	size = nl_payload_size(a[NFTA_SET_NAME]);
	name = nl_payload(a[NFTA_SET_NAME], 1);
	if (!name || sets->count == SETS_MAX ||
	    str_format(sets->names[sets->count], sizeof(sets->names[0]), "%.*s",
		       (int)size, name) < 0)
		return err_say(e, EPROTO, "more nftables sets than carrel makes");
	sets->count++;
	return 0;
}

static int take_element(const struct ruleset_found *found, void *context, struct err *e)
{
	unsigned *count = context;

	(void)found;
	(void)e;
	++*count;
	return 0;
}

int netns_count_rules(const struct netns *ns, unsigned *ret_rules, unsigned *ret_elements,
		      struct err *e)
{
	struct sets sets = { .count = 0 };
	auto_nl_batch b = { 0 };
	int r;

	*ret_rules = 0;
	*ret_elements = 0;
	if (ns->rules < 0)
		return 0;
	list(&b, NFT_MSG_GETRULE, NFTA_RULE_TABLE, "list a sandbox's rules");
	r = nl_ask(ns->rules, &b, take_rule, ret_rules, e);
	if (r < 0)
		return r;
	list(&b, NFT_MSG_GETSET, NFTA_SET_TABLE, "list a sandbox's nftables sets");
	r = nl_ask(ns->rules, &b, take_set, &sets, e);
	for (unsigned i = 0; r == 0 && i < sets.count; i++)
		r = ruleset_read(ns->rules, sets.names[i], take_element, ret_elements, e);
	return r;
}
