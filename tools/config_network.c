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
	*ret = pool;
	return 0;
}

static int set_pool4(struct config *c, const char *value, struct err *e)
{
	return set_pool(value, AF_INET, 8, 31, &c->runtime.network.pool4, e);
}

static int set_pool6(struct config *c, const char *value, struct err *e)
{
	return set_pool(value, AF_INET6, 8, 127, &c->runtime.network.pool6, e);
}

static int set_uplink(struct config *c, const char *value, struct err *e)
{
	char *uplink = c->runtime.network.uplink;

	if (!*value || strchr(value, '/') || !strcmp(value, ".") ||
	    !strcmp(value, "..") || str_format(uplink, IFNAMSIZ, "%s", value) < 0)
		return err_say(e, EINVAL, "not the name of an interface");
	return 0;
}

/* Cuts off what stands before the next comma; *list moves behind it, or becomes NULL. */
static const char *next_item(const char **list, char *buf, size_t size)
{
	const char *begin = *list + strspn(*list, " \t");
	size_t len = strcspn(begin, ","), used = len;

	*list = begin[len] ? begin + len + 1 : NULL;
	while (used && (begin[used - 1] == ' ' || begin[used - 1] == '\t'))
		used--;
	/* What does not fit is no item that anybody knows. */
	err_ignore(str_format(buf, size, "%.*s", (int)used, begin) < 0);
	return buf;
}

static int set_dns(struct config *c, const char *value, struct err *e)
{
	struct netns_settings *s = &c->runtime.network;

	s->dns_count = 0;
	c->dns_named = true;
	while (value) {
		char item[IP_TEXT_MAX];

		next_item(&value, item, sizeof(item));
		if (s->dns_count == NETNS_DNS_MAX)
			return err_say(e, E2BIG, "more than %d resolvers", NETNS_DNS_MAX);
		if (ip_parse(item, &s->dns[s->dns_count]) < 0)
			return err_say(e, EINVAL, "\"%s\" is not an address", item);
		s->dns_count++;
	}
	return 0;
}

static int add_deny(struct config *c, const char *value, struct err *e)
{
	return cidr_list_parse(value, &c->runtime.network.deny4,
			       &c->runtime.network.deny6, e);
}

static int add_deny_file(struct config *c, const char *value, struct err *e)
{
	return cidr_file_read(value, &c->runtime.network.deny4, &c->runtime.network.deny6,
			      e);
}

static int set_allow(struct config *c, const char *value, struct err *e)
{
	c->allow_any = !strcmp(value, "any");
	c->allow_count = 0;
	if (c->allow_any || !strcmp(value, "none"))
		return 0;
	while (value) {
		char item[CIDR_TEXT_MAX + 16];
		int r;

		next_item(&value, item, sizeof(item));
		if (c->allow_count == NETNS_ALLOW_MAX)
			return err_say(e, E2BIG, "more than %d exceptions",
				       NETNS_ALLOW_MAX);
		r = cidr_port_parse(item, &c->allow[c->allow_count], e);
		if (r < 0)
			return r;
		c->allow_count++;
	}
	return 0;
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

static int set_flows(struct config *c, const char *value, struct err *e)
{
	return set_limit(value, &c->runtime.network.flows, e);
}

static int set_rate(struct config *c, const char *value, struct err *e)
{
	return set_limit(value, &c->runtime.network.rate, e);
}

const struct config_row config_network_rows[] = {
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

static bool permits(const struct cidr_port *permitted, const struct cidr_port *asked)
{
	return permitted->cidr.prefix <= asked->cidr.prefix &&
	       cidr_contains(&permitted->cidr, &asked->cidr.ip) &&
	       (!permitted->port || permitted->port == asked->port);
}

static bool is_permitted(const struct config *c, const struct cidr_port *asked)
{
	for (unsigned i = 0; i < c->allow_count; i++) {
		if (permits(&c->allow[i], asked))
			return true;
	}
	return c->allow_any;
}

int config_network_check_allow(const struct config *c, const struct netns_plan *plan,
			       struct err *e)
{
	char text[CIDR_TEXT_MAX];

	for (unsigned i = 0; i < plan->allow_count; i++) {
		if (!is_permitted(c, &plan->allow[i]))
			return err_say(e, EPERM,
				       "--allow: the configuration does not permit an "
				       "exception for %s",
				       cidr_format(text, &plan->allow[i].cidr));
	}
	return 0;
}

int config_network_resolv_conf(const struct config *c, const struct netns_plan *plan,
			       char *buf, size_t size, struct err *e)
{
	struct ip reachable[NETNS_DNS_MAX];
	const struct ip *all;
	unsigned n = netns_resolvers(&c->runtime.network, plan, &all), count = 0;
	int r;

	for (unsigned i = 0; i < n; i++) {
		if (plan->ipv6 || all[i].family == AF_INET)
			reachable[count++] = all[i];
	}
	r = resolver_format(buf, size, reachable, count);
	return r < 0 ? err_set(e, -r, "write resolv.conf") : 0;
}
