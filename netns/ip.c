/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "netns/ip.h"

_Static_assert(IP_TEXT_MAX >= INET6_ADDRSTRLEN, "room for every address");
_Static_assert(CIDR_TEXT_MAX >= IP_TEXT_MAX + 4, "room for a slash and three digits");

enum { QUOTE_MAX = 64 }; /* what an error shows of a text */

size_t ip_size(int family)
{
	bug_on(family != AF_INET && family != AF_INET6);
	return family == AF_INET ? 4 : 16;
}

static unsigned family_bits(int family)
{
	return 8 * (unsigned)ip_size(family);
}

/* ---- addresses ---- */

int ip_parse(const char *text, struct ip *ret)
{
	struct ip ip = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	/* Of glibc's parsers, only this one reads IPv4 strictly. */
	if (inet_pton(ip.family, text, ip.addr) != 1)
		return -EINVAL;
	*ret = ip;
	return 0;
}

const char *ip_format(char *buf, const struct ip *ip)
{
	const char *text = inet_ntop(ip->family, ip->addr, buf, IP_TEXT_MAX);

	bug_on(!text);
	return text;
}

/* ---- networks ---- */

static struct ip_range range_of(const struct cidr *c)
{
	size_t size = ip_size(c->ip.family);
	struct ip_range r = { { 0 }, { 0 } };

	bug_on(c->prefix > 8 * size);
	for (size_t i = 0; i < size; i++) {
		size_t fixed = c->prefix > 8 * i ? c->prefix - 8 * i : 0;
		unsigned host = fixed < 8 ? 0xffU >> fixed : 0;

		r.first[i] = (uint8_t)(c->ip.addr[i] & ~host);
		r.last[i] = (uint8_t)(c->ip.addr[i] | host);
	}
	return r;
}

static bool range_has(const struct ip_range *r, const uint8_t *addr)
{
	return memcmp(r->first, addr, sizeof(r->first)) <= 0 &&
	       memcmp(addr, r->last, sizeof(r->last)) <= 0;
}

/* Fills e with the text, made harmless and not too long, and what is wrong with it. */
static int refuse(struct err *e, const char *text, const char *why)
{
	char quoted[QUOTE_MAX];

	return err_say(e, EINVAL, "\"%s\" %s", str_escape(quoted, sizeof(quoted), text),
		       why);
}

/* Reads "ADDRESS[/PREFIX]" without looking at the bits below the prefix. */
static int read_cidr(const char *text, struct cidr *ret)
{
	const char *slash = strchrnul(text, '/');
	size_t len = (size_t)(slash - text);
	char address[IP_TEXT_MAX];
	struct cidr c;
	uint64_t prefix;

	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (ip_parse(address, &c.ip) < 0)
		return -EINVAL;
	prefix = family_bits(c.ip.family);
	if (*slash && num_parse(slash + 1, 0, prefix, &prefix) < 0)
		return -EINVAL;
	c.prefix = (unsigned)prefix;
	*ret = c;
	return 0;
}

static bool is_mapped(const struct cidr *c)
{
	static const struct cidr mapped = {
		.ip = { .family = AF_INET6, .addr = { [10] = 0xff, [11] = 0xff } },
		.prefix = 96,
	};

	return c->prefix > mapped.prefix && cidr_contains(&mapped, &c->ip);
}

int cidr_parse(const char *text, struct cidr *ret, struct err *e)
{
	char meant[CIDR_TEXT_MAX], quoted[QUOTE_MAX];
	struct cidr c, whole;

	if (read_cidr(text, &c) < 0)
		return refuse(e, text, "is neither an IP address nor ADDRESS/PREFIX");
	if (is_mapped(&c))
		return refuse(e, text, "is reached by IPv4: write it as IPv4");
	whole = c;
	memcpy(whole.ip.addr, range_of(&c).first, sizeof(whole.ip.addr));
	if (memcmp(whole.ip.addr, c.ip.addr, sizeof(c.ip.addr))) {
		str_escape(quoted, sizeof(quoted), text);
		cidr_format(meant, &whole);
		return err_say(e, EINVAL, "\"%s\" sets bits below its prefix (%s?)",
			       quoted, meant);
	}
	*ret = c;
	return 0;
}

const char *cidr_format(char *buf, const struct cidr *c)
{
	char address[IP_TEXT_MAX];
	struct str s = str_over(buf, CIDR_TEXT_MAX);

	str_add(&s, "%s/%u", ip_format(address, &c->ip), c->prefix);
	bug_on(s.cut);
	return buf;
}

bool cidr_contains(const struct cidr *c, const struct ip *ip)
{
	struct ip_range r = range_of(c);

	return c->ip.family == ip->family && range_has(&r, ip->addr);
}

/* Two networks are apart, or one lies in the other. */
bool cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
	return cidr_contains(a, &b->ip) || cidr_contains(b, &a->ip);
}

/* ---- networks with ports ---- */

/* Finds the end of the network in "CIDR[:PORT]", and the text behind it. */
static int split_port(const char *text, const char **ret_cidr, const char **ret_end)
{
	const char *colon = strchrnul(text, ':');

	*ret_cidr = text;
	*ret_end = strchr(text, '\0');
	if (*text == '[') {
		*ret_cidr = text + 1;
		*ret_end = strchr(text, ']');
		/* Brackets hold an IPv6 network. */
		return *ret_end && colon < *ret_end ? 0 : -EINVAL;
	}
	/* Without brackets, one colon is in front of a port; several make an address. */
	if (*colon && !strchr(colon + 1, ':'))
		*ret_end = colon;
	return 0;
}

/* Reads what is behind the network: "", "]", ":PORT" or "]:PORT". */
static int read_port(const char *text, uint16_t *ret)
{
	uint64_t port = 0;

	if (*text == ']')
		text++;
	if (*text && *text != ':')
		return -EINVAL;
	if (*text && num_parse(text + 1, 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

int cidr_port_parse(const char *text, struct cidr_port *ret, struct err *e)
{
	static const char usage[] =
		"is not CIDR[:PORT], nor [CIDR]:PORT as IPv6 needs it: for example "
		"10.1.0.0/16:443 or [2001:db8::/32]:443";
	char network[2 * CIDR_TEXT_MAX];
	const char *begin, *end;
	struct cidr_port c;
	int r;

	if (split_port(text, &begin, &end) < 0 || read_port(end, &c.port) < 0 ||
	    end - begin >= (ptrdiff_t)sizeof(network))
		return refuse(e, text, usage);
	memcpy(network, begin, (size_t)(end - begin));
	network[end - begin] = '\0';
	r = cidr_parse(network, &c.cidr, e);
	if (r == 0)
		*ret = c;
	return r;
}

/* ---- sets ---- */

static int make_room(struct ip_ranges *r, size_t count, struct err *e)
{
	size_t room = r->room ? r->room : 16;
	struct ip_range *grown;

	if (count <= r->room - r->count)
		return 0;
	while (room - r->count < count) {
		if (__builtin_mul_overflow(room, 2, &room))
			return err_set(e, ENOMEM, "keep %zu networks", count);
	}
	grown = reallocarray(r->list, room, sizeof(*grown));
	if (!grown)
		return err_set(e, ENOMEM, "keep %zu networks", room);
	r->list = grown;
	r->room = room;
	return 0;
}

int ip_ranges_add(struct ip_ranges *r, const struct cidr *c, struct err *e)
{
	struct ip_range range = range_of(c);

	bug_on(c->ip.family != r->family);
	return ip_ranges_add_all(r, &range, 1, e);
}

int ip_ranges_add_all(struct ip_ranges *r, const struct ip_range *list, size_t count,
		      struct err *e)
{
	int error = make_room(r, count, e);

	if (error < 0 || !count)
		return error;
	memcpy(r->list + r->count, list, count * sizeof(*list));
	r->count += count;
	return 0;
}

static int compare_first(const void *a, const void *b)
{
	const struct ip_range *x = a, *y = b;

	return memcmp(x->first, y->first, sizeof(x->first));
}

static bool is_sorted(const struct ip_ranges *r)
{
	for (size_t i = 1; i < r->count; i++) {
		if (compare_first(&r->list[i - 1], &r->list[i]) > 0)
			return false;
	}
	return true;
}

/* Given that a does not begin after b: is there an address between them, in neither? */
static bool are_apart(const struct ip_range *a, const struct ip_range *b, int family)
{
	uint8_t next[16];
	size_t i = ip_size(family);

	memcpy(next, a->last, sizeof(next));
	while (i && ++next[i - 1] == 0)
		i--;
	/* After the highest address there is nothing. */
	return i && memcmp(next, b->first, sizeof(next)) < 0;
}

void ip_ranges_merge(struct ip_ranges *r)
{
	size_t kept = 0;

	/* Lists of others mostly are sorted, and to see that is cheaper than to sort. */
	if (!is_sorted(r))
		qsort(r->list, r->count, sizeof(*r->list), compare_first);
	for (size_t i = 1; i < r->count; i++) {
		struct ip_range *before = &r->list[kept];

		if (are_apart(before, &r->list[i], r->family))
			r->list[++kept] = r->list[i];
		else if (memcmp(before->last, r->list[i].last, sizeof(before->last)) < 0)
			memcpy(before->last, r->list[i].last, sizeof(before->last));
	}
	if (r->count)
		r->count = kept + 1;
}

/* Is any address from first to last in the merged set? */
static bool meets(const struct ip_ranges *r, const uint8_t *first, const uint8_t *last)
{
	size_t low = 0, high = r->count;

	/* Leaves in low the place of the first range that does not end before `first`. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(r->list[middle].last, first, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->count && memcmp(r->list[low].first, last, 16) <= 0;
}

bool ip_ranges_contains(const struct ip_ranges *r, const struct ip *ip)
{
	return ip->family == r->family && meets(r, ip->addr, ip->addr);
}

bool ip_ranges_overlap(const struct ip_ranges *r, const struct cidr *c)
{
	struct ip_range range = range_of(c);

	return c->ip.family == r->family && meets(r, range.first, range.last);
}

void ip_ranges_free(struct ip_ranges *r)
{
	free(r->list);
	*r = (struct ip_ranges){ .family = r->family };
}
