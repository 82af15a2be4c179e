/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "tools/cidr_file.h"
#include "tools/config_network.h"

enum { RESOLV_CONF_MAX = 16384 }; /* bytes of the host's that are read */

/* Addresses that no interface can have, or that mean something else. */
static const struct cidr unusable[] = {
	{ { AF_INET, { 0 } }, 8 },         { { AF_INET, { 127 } }, 8 },
	{ { AF_INET, { 169, 254 } }, 16 }, { { AF_INET, { 224 } }, 3 },
	{ { AF_INET6, { 0 } }, 8 },        { { AF_INET6, { 0xfe, 0x80 } }, 10 },
	{ { AF_INET6, { 0xff } }, 8 },
};

static int set_pool(const char *value, int family, unsigned widest, unsigned narrowest,
		    struct cidr *ret, struct err *e)
{
	struct cidr pool;
	int r = cidr_parse(value, &pool, e);

	if (r < 0)
		return r;
	if (pool.ip.family != family || pool.prefix < widest || pool.prefix > narrowest)
		return err_say(e, EINVAL, "not an IPv%d network of /%u to /%u",
			       family == AF_INET ? 4 : 6, widest, narrowest);
	for (size_t i = 0; i < sizeof(unusable) / sizeof(*unusable); i++) {
		char text[CIDR_TEXT_MAX];

		if (cidr_overlaps(&pool, &unusable[i]))
			return err_say(e, EINVAL, "addresses of %s cannot be a sandbox's",
				       cidr_format(text, &unusable[i]));
	}
	*ret = pool;
	return 0;
}

static int set_pool4(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return set_pool(value, AF_INET, 8, 31, &c->runtime.network.pool4, e);
}

static int set_pool6(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return set_pool(value, AF_INET6, 8, 127, &c->runtime.network.pool6, e);
}

static int set_uplink(void *context, const char *value, struct err *e)
{
	struct config *c = context;
	char *uplink = c->runtime.network.uplink;

	if (!*value || strchr(value, '/') || !strcmp(value, ".") ||
	    !strcmp(value, "..") || str_format(uplink, IFNAMSIZ, "%s", value) < 0)
		return err_say(e, EINVAL, "not the name of an interface");
	return 0;
}

static int set_dns(void *context, const char *value, struct err *e)
{
	struct config *c = context;
	struct netns_settings *s = &c->runtime.network;

	s->dns_count = 0;
	c->dns_named = true;
	while (value) {
		char item[IP_TEXT_MAX];

		list_next(&value, item, sizeof(item));
		if (s->dns_count == NETNS_DNS_MAX)
			return err_say(e, E2BIG, "more than %d resolvers", NETNS_DNS_MAX);
		if (ip_parse(item, &s->dns[s->dns_count]) < 0)
			return err_say(e, EINVAL, "\"%s\" is not an address", item);
		s->dns_count++;
	}
	return 0;
}

static int add_deny(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return cidr_list_parse(value, &c->runtime.network.deny4,
			       &c->runtime.network.deny6, e);
}

static int add_deny_file(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return cidr_file_read(value, &c->runtime.network.deny4, &c->runtime.network.deny6,
			      e);
}

static int set_allow(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return exceptions_parse(value, &c->allow, e);
}

static int set_limit(const char *value, uint32_t *ret, struct err *e)
{
	uint64_t limit;

	if (!strcmp(value, "unlimited")) {
		*ret = 0;
		return 0;
	}
	if (num_parse(value, 1, 1000000, &limit) < 0)
		return err_say(e, EINVAL,
			       "not a number of 1 to 1000000 or \"unlimited\"");
	*ret = (uint32_t)limit;
	return 0;
}

static int set_flows(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return set_limit(value, &c->runtime.network.flows, e);
}

static int set_rate(void *context, const char *value, struct err *e)
{
	struct config *c = context;

	return set_limit(value, &c->runtime.network.rate, e);
}

const struct ini_row config_network_rows[] = {
	{ "network", "pool", set_pool4 },
	{ "network", "pool6", set_pool6 },
	{ "network", "uplink", set_uplink },
	{ "network", "dns", set_dns },
	{ "network", "deny", add_deny },
	{ "network", "deny_file", add_deny_file },
	{ "network", "allow", set_allow },
	{ "network", "connections", set_flows },
	{ "network", "connection_rate", set_rate },
	{ NULL, NULL, NULL },
};

/* The host's own resolvers, but for those on the host itself: what listens on a loopback
 * address there, nobody else can ask. systemd-resolved does, and keeps the real ones in a
 * file of its own. */
static void take_host_resolvers(struct netns_settings *s)
{
	static const char *const files[] = { "/etc/resolv.conf",
					     "/run/systemd/resolve/resolv.conf" };
	char text[RESOLV_CONF_MAX];

	for (size_t i = 0; !s->dns_count && i < sizeof(files) / sizeof(*files); i++) {
		if (fd_read_at(AT_FDCWD, files[i], text, sizeof(text)) > 0)
			s->dns_count = resolver_parse(text, s->dns, NETNS_DNS_MAX);
	}
}

void config_network_finish(struct config *c)
{
	struct netns_settings *s = &c->runtime.network;

	ip_ranges_merge(&s->deny4);
	ip_ranges_merge(&s->deny6);
	if (!c->dns_named)
		take_host_resolvers(s);
}

int config_network_resolv_conf(const struct config *c, const struct netns_plan *plan,
			       char *buf, size_t size, struct err *e)
{
	return netns_resolv_conf(&c->runtime.network, plan, buf, size, e);
}
