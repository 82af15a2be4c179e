/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "netns/ruleset.h"
#include "netns/ruleset_messages.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum {
	NEST_FULL = 60000, /* an attribute ends at 65535 bytes; an element takes 100 */
	RATE_NONE = INT32_MAX, /* a second: more than there can be */
	COMMENT_MAX = 100, /* bytes with the NUL */
};

static uint16_t message_type(uint16_t type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

static void begin(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what)
{
	const struct nfgenmsg head = { .nfgen_family = NFPROTO_INET,
				       .version = NFNETLINK_V0 };

	nl_message(b, message_type(type), flags, &head, sizeof(head), what);
}

static void frame(struct nl_batch *b, uint16_t type)
{
	const struct nfgenmsg head = { .nfgen_family = AF_UNSPEC,
				       .version = NFNETLINK_V0,
				       .res_id = htons(NFNL_SUBSYS_NFTABLES) };

	nl_message(b, type, 0, &head, sizeof(head), "nftables transaction");
}

void ruleset_begin(struct nl_batch *b)
{
	frame(b, NFNL_MSG_BATCH_BEGIN);
}

void ruleset_end(struct nl_batch *b)
{
	frame(b, NFNL_MSG_BATCH_END);
}

/* --- whole rulesets ---------------------------------------------------------------- */

static void copy_all(struct nl_batch *b, const uint8_t *bytes,
		     const struct ruleset_message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		nl_copy(b, bytes + messages[i].offset, messages[i].size,
			messages[i].what);
}

static void set_limits(uint8_t *bytes, const struct ruleset_limits *limits,
		       size_t flows_at, size_t rate_at, size_t burst_at)
{
	uint32_t rate = limits->rate ? limits->rate : RATE_NONE;
	uint32_t flows = htonl(limits->flows ? limits->flows : UINT32_MAX);
	/* What a page full of pictures asks for at once. */
	uint32_t burst = htonl(rate < RATE_NONE / 5 ? 5 * rate : RATE_NONE);
	uint64_t rate_wide = htobe64(rate);

	memcpy(bytes + flows_at, &flows, sizeof(flows));
	memcpy(bytes + rate_at, &rate_wide, sizeof(rate_wide));
	memcpy(bytes + burst_at, &burst, sizeof(burst));
}

void ruleset_add_inside(struct nl_batch *b, bool ipv6,
			const struct ruleset_limits *limits)
{
	if (ipv6) {
		uint8_t bytes[sizeof(inside46_bytes)];

		memcpy(bytes, inside46_bytes, sizeof(bytes));
		set_limits(bytes, limits, inside46_flows, inside46_rate, inside46_burst);
		copy_all(b, bytes, inside46_messages, COUNT(inside46_messages));
	} else {
		uint8_t bytes[sizeof(inside4_bytes)];

		memcpy(bytes, inside4_bytes, sizeof(bytes));
		set_limits(bytes, limits, inside4_flows, inside4_rate, inside4_burst);
		copy_all(b, bytes, inside4_messages, COUNT(inside4_messages));
	}
}

void ruleset_add_host(struct nl_batch *b)
{
	copy_all(b, host_bytes, host_messages, COUNT(host_messages));
}

uint64_t ruleset_host_version(void)
{
	return HOST_VERSION;
}

void ruleset_delete_table(struct nl_batch *b)
{
	begin(b, NFT_MSG_DELTABLE, 0, "remove nftables table " RULESET_TABLE);
	nl_put_string(b, NFTA_TABLE_NAME, RULESET_TABLE);
}

/* --- elements ---------------------------------------------------------------------- */

/* What to call it in errors: as the message that made the set is called. */
static const char *name_of(const char *set)
{
	static const char prefix[] = "nftables set ";
	const struct ruleset_message *const lists[] = { inside46_messages,
							host_messages };
	const size_t counts[] = { COUNT(inside46_messages), COUNT(host_messages) };

	for (size_t i = 0; i < COUNT(lists); i++) {
		for (size_t j = 0; j < counts[i]; j++) {
			const char *what = lists[i][j].what;

			if (!strncmp(what, prefix, strlen(prefix)) &&
			    !strcmp(what + strlen(prefix), set))
				return what;
		}
	}
	return set;
}

static void put_set(struct nl_batch *b, const char *set)
{
	nl_put_string(b, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
	nl_put_string(b, NFTA_SET_ELEM_LIST_SET, set);
}

void ruleset_flush(struct nl_batch *b, const char *set)
{
	begin(b, NFT_MSG_DELSETELEM, 0, name_of(set));
	put_set(b, set);
}

static void put_key(struct nl_batch *b, uint16_t type, const void *key, size_t size)
{
	size_t nest = nl_nest(b, type);

	nl_put(b, NFTA_DATA_VALUE, key, size);
	nl_nest_end(b, nest);
}

/* As nft writes and shows it: type, length, text with its NUL. */
static void put_comment(struct nl_batch *b, const char *comment)
{
	uint8_t data[2 + COMMENT_MAX] = { 0 };
	size_t size = strnlen(comment, COMMENT_MAX - 1) + 1;

	data[1] = (uint8_t)size;
	memcpy(data + 2, comment, size - 1);
	nl_put(b, NFTA_SET_ELEM_USERDATA, data, 2 + size);
}

static const char *read_comment(const struct nlattr *a)
{
	const uint8_t *data = nl_payload(a, 3);

	if (!data || data[0] || data[1] + 2u > nl_payload_size(a) || data[data[1] + 1])
		return NULL;
	return (const char *)data + 2;
}

static void put_element(struct nl_batch *b, const struct ruleset_element *el,
			uint32_t flags)
{
	size_t nest = nl_nest(b, NFTA_LIST_ELEM);

	if (flags)
		nl_put_be32(b, NFTA_SET_ELEM_FLAGS, flags);
	put_key(b, NFTA_SET_ELEM_KEY, el->key, el->size);
	if (el->key_end)
		put_key(b, NFTA_SET_ELEM_KEY_END, el->key_end, el->size);
	if (el->comment)
		put_comment(b, el->comment);
	nl_nest_end(b, nest);
}

static void put_one(struct nl_batch *b, uint16_t type, const char *set,
		    const struct ruleset_element *el)
{
	size_t nest;

	begin(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, name_of(set));
	put_set(b, set);
	nest = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
	put_element(b, el, 0);
	nl_nest_end(b, nest);
}

void ruleset_add(struct nl_batch *b, const char *set, const struct ruleset_element *el)
{
	put_one(b, NFT_MSG_NEWSETELEM, set, el);
}

void ruleset_delete(struct nl_batch *b, const char *set, const struct ruleset_element *el)
{
	put_one(b, NFT_MSG_DELSETELEM, set, el);
}

bool ruleset_next_address(uint8_t *next, const uint8_t *address, size_t size)
{
	memcpy(next, address, size);
	while (size--) {
		if (++next[size])
			return true;
	}
	return false;
}

/* A range is two elements: its first address, and the first behind it with a flag. */
static void put_range(struct nl_batch *b, const struct ip_range *range, size_t size)
{
	struct ruleset_element el = { .key = range->first, .size = size };
	uint8_t behind[16];

	put_element(b, &el, 0);
	el.key = behind;
	if (ruleset_next_address(behind, range->last, size))
		put_element(b, &el, NFT_SET_ELEM_INTERVAL_END);
}

void ruleset_add_ranges(struct nl_batch *b, const char *set, const struct ip_range *list,
			size_t count, int family)
{
	size_t size = ip_size(family);

	while (count) {
		size_t nest;

		begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, name_of(set));
		put_set(b, set);
		nest = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; count && nl_nest_size(b, nest) < NEST_FULL; count--)
			put_range(b, list++, size);
		nl_nest_end(b, nest);
	}
}

/* The last address of a network. */
static void last_address(uint8_t *last, const struct cidr *c, size_t size)
{
	memcpy(last, c->ip.addr, size);
	for (size_t bit = c->prefix; bit < 8 * size; bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

void ruleset_exception_of(const struct cidr_port *allow, struct ruleset_exception *ret)
{
	size_t size = ip_size(allow->cidr.ip.family);
	uint16_t from = htons(allow->port), to = allow->port ? from : UINT16_MAX;

	*ret = (struct ruleset_exception){ .size = size + 4 };
	memcpy(ret->first, allow->cidr.ip.addr, size);
	last_address(ret->last, &allow->cidr, size);
	memcpy(ret->first + size, &from, sizeof(from));
	memcpy(ret->last + size, &to, sizeof(to));
}

/* --- reading ----------------------------------------------------------------------- */

struct reader {
	int (*each)(const struct ruleset_found *found, void *context, struct err *e);
	void *context;
};

static void read_key(const struct nlattr *nest, const void **ret, size_t *ret_size)
{
	const struct nlattr *data[NFTA_DATA_MAX + 1];

	*ret = NULL;
	if (!nest)
		return;
	nl_nested(nest, data, NFTA_DATA_MAX);
	*ret = nl_payload(data[NFTA_DATA_VALUE], 1);
	*ret_size = nl_payload_size(data[NFTA_DATA_VALUE]);
}

static uint64_t read_packets(const struct nlattr *expression)
{
	const struct nlattr *x[NFTA_EXPR_MAX + 1], *c[NFTA_COUNTER_MAX + 1];
	const void *value;
	uint64_t packets = 0;

	if (!expression)
		return 0;
	nl_nested(expression, x, NFTA_EXPR_MAX);
	if (!x[NFTA_EXPR_DATA])
		return 0;
	nl_nested(x[NFTA_EXPR_DATA], c, NFTA_COUNTER_MAX);
	value = nl_payload(c[NFTA_COUNTER_PACKETS], sizeof(packets));
	if (value)
		memcpy(&packets, value, sizeof(packets));
	return be64toh(packets);
}

static int read_element(const struct nlattr *element, const struct reader *reader,
			struct err *e)
{
	const struct nlattr *a[NFTA_SET_ELEM_MAX + 1];
	struct ruleset_found found = { 0 };

	nl_nested(element, a, NFTA_SET_ELEM_MAX);
	read_key(a[NFTA_SET_ELEM_KEY], &found.element.key, &found.element.size);
	read_key(a[NFTA_SET_ELEM_KEY_END], &found.element.key_end, &found.element.size);
	found.element.comment = read_comment(a[NFTA_SET_ELEM_USERDATA]);
	found.packets = read_packets(a[NFTA_SET_ELEM_EXPR]);
	return found.element.key ? reader->each(&found, reader->context, e) : 0;
}

static int read_elements(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[NFTA_SET_ELEM_LIST_MAX + 1], *list, *element;
	size_t len;

	nl_attributes(message, sizeof(struct nfgenmsg), a, NFTA_SET_ELEM_LIST_MAX);
	list = a[NFTA_SET_ELEM_LIST_ELEMENTS];
	len = nl_payload_size(list);
	element = nl_payload(list, 0);
	while (len >= NLA_HDRLEN && element->nla_len >= NLA_HDRLEN &&
	       element->nla_len <= len) {
		size_t step = NLA_ALIGN(element->nla_len);
		int r = read_element(element, context, e);

		if (r < 0)
			return r;
		if (step >= len)
			break;
		len -= step;
		element = (const struct nlattr *)((const uint8_t *)element + step);
	}
	return 0;
}

int ruleset_read(int sock, const char *set,
		 int (*each)(const struct ruleset_found *found, void *context,
			     struct err *e),
		 void *context, struct err *e)
{
	struct reader reader = { .each = each, .context = context };
	auto_nl_batch b = { 0 };

	begin(&b, NFT_MSG_GETSETELEM, NLM_F_DUMP, name_of(set));
	put_set(&b, set);
	return nl_ask(sock, &b, read_elements, &reader, e);
}

static int ignore(const struct nlmsghdr *message, void *context, struct err *e)
{
	(void)message;
	(void)context;
	(void)e;
	return 0;
}

int ruleset_has(int sock, const char *set, const void *key, size_t size, struct err *e)
{
	const struct ruleset_element el = { .key = key, .size = size };
	auto_nl_batch b = { 0 };

	put_one(&b, NFT_MSG_GETSETELEM, set, &el);
	return nl_ask(sock, &b, ignore, NULL, e);
}

static int check_mark(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[NFTA_TABLE_USERDATA + 1];
	const void *mark;

	(void)context;
	nl_attributes(message, sizeof(struct nfgenmsg), a, NFTA_TABLE_USERDATA);
	mark = nl_payload(a[NFTA_TABLE_USERDATA], sizeof(RULESET_MARK));
	if (mark && !memcmp(mark, RULESET_MARK, sizeof(RULESET_MARK)))
		return 0;
	return err_say(e, EEXIST,
		       "nftables table inet " RULESET_TABLE
		       " exists and is not carrel's");
}

int ruleset_find_table(int sock, struct err *e)
{
	auto_nl_batch b = { 0 };

	begin(&b, NFT_MSG_GETTABLE, 0, "nftables table " RULESET_TABLE);
	nl_put_string(&b, NFTA_TABLE_NAME, RULESET_TABLE);
	return nl_ask(sock, &b, check_mark, NULL, e);
}

static int read_object(const struct nlmsghdr *message, void *context, struct err *e)
{
	const struct nlattr *a[NFTA_OBJ_MAX + 1], *c[NFTA_COUNTER_MAX + 1];
	const void *value;
	uint64_t *packets = context;

	(void)e;
	nl_attributes(message, sizeof(struct nfgenmsg), a, NFTA_OBJ_MAX);
	if (!a[NFTA_OBJ_DATA])
		return 0;
	nl_nested(a[NFTA_OBJ_DATA], c, NFTA_COUNTER_MAX);
	value = nl_payload(c[NFTA_COUNTER_PACKETS], sizeof(*packets));
	if (value)
		memcpy(packets, value, sizeof(*packets));
	*packets = be64toh(*packets);
	return 0;
}

int ruleset_read_counter(int sock, const char *name, uint64_t *ret_packets, struct err *e)
{
	auto_nl_batch b = { 0 };

	*ret_packets = 0;
	begin(&b, NFT_MSG_GETOBJ, 0, name);
	nl_put_string(&b, NFTA_OBJ_TABLE, RULESET_TABLE);
	nl_put_string(&b, NFTA_OBJ_NAME, name);
	nl_put_be32(&b, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	return nl_ask(sock, &b, read_object, ret_packets, e);
}
