/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "netns/nl.h"

enum {
	ANSWER_MAX = 32768, /* bytes; the kernel fills no more into one, af_netlink.c */
	TEXT_MAX = 160, /* of the kernel's words that are passed on */
};

void nl_free(struct nl_batch *b)
{
	free(b->data);
	free(b->what);
	*b = (struct nl_batch){ 0 };
}

int nl_open(int protocol, int *ret_sock, struct err *e)
{
	auto_fd sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	const int on = 1;

	if (sock < 0)
		return err_set(e, errno, "open a netlink socket");
	/* Words instead of numbers, and no copy of what was refused. */
	if (setsockopt(sock, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) < 0 ||
	    setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0)
		return err_set(e, errno, "set up a netlink socket");
	/* Filters of requests are obeyed, not ignored. rtnetlink only. */
	if (protocol == NETLINK_ROUTE &&
	    setsockopt(sock, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0)
		return err_set(e, errno, "set up a netlink socket");
	if (bind(sock, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return err_set(e, errno, "bind a netlink socket");
	*ret_sock = fd_take(&sock);
	return 0;
}

/* --- building ---------------------------------------------------------------------- */

/* Room for `size` bytes more, zeroed; NULL without memory. */
static void *extend(struct nl_batch *b, size_t size)
{
	size_t aligned = NLMSG_ALIGN(size);
	void *at;

	if (b->failed)
		return NULL;
	if (b->room - b->len < aligned) {
		size_t room = 2 * b->room + aligned + 2048;
		uint8_t *grown = realloc(b->data, room);

		if (!grown) {
			b->failed = true;
			return NULL;
		}
		b->data = grown;
		b->room = room;
	}
	at = b->data + b->len;
	memset(at, 0, aligned);
	b->len += aligned;
	return at;
}

static struct nlmsghdr *last_message(const struct nl_batch *b)
{
	return (struct nlmsghdr *)(b->data + b->last);
}

/* The message ends where the next one begins, or the batch. */
static void close_message(struct nl_batch *b)
{
	if (!b->failed && b->count)
		last_message(b)->nlmsg_len = (uint32_t)(b->len - b->last);
}

/* Starts the next message; its sequence number is its place in the batch, from 1 on. */
static bool open_message(struct nl_batch *b, const char *what)
{
	close_message(b);
	if (b->count == b->what_room) {
		size_t room = 2 * b->what_room + 16;
		const char **grown = reallocarray(b->what, room, sizeof(*grown));

		if (!grown) {
			b->failed = true;
			return false;
		}
		b->what = grown;
		b->what_room = room;
	}
	if (b->failed)
		return false;
	b->what[b->count++] = what;
	b->last = b->len;
	return true;
}

void nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, const void *head,
		size_t size, const char *what)
{
	struct nlmsghdr *m;

	if (!open_message(b, what))
		return;
	m = extend(b, NLMSG_HDRLEN + size);
	if (!m)
		return;
	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	m->nlmsg_seq = (uint32_t)b->count;
	memcpy(NLMSG_DATA(m), head, size);
}

void nl_copy(struct nl_batch *b, const void *message, size_t size, const char *what)
{
	struct nlmsghdr *m;

	if (!open_message(b, what))
		return;
	m = extend(b, size);
	if (!m)
		return;
	memcpy(m, message, size);
	m->nlmsg_seq = (uint32_t)b->count;
}

void nl_put(struct nl_batch *b, uint16_t type, const void *data, size_t size)
{
	struct nlattr *a = extend(b, NLA_HDRLEN + size);

	bug_on(size > UINT16_MAX - NLA_HDRLEN);
	if (!a)
		return;
	a->nla_type = type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + size);
	if (size)
		memcpy((uint8_t *)a + NLA_HDRLEN, data, size);
}

void nl_put_raw(struct nl_batch *b, const void *data, size_t size)
{
	void *at = extend(b, size);

	if (at)
		memcpy(at, data, size);
}

void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t value)
{
	nl_put(b, type, &value, sizeof(value));
}

void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t value)
{
	nl_put(b, type, &value, sizeof(value));
}

void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t value)
{
	nl_put_u32(b, type, htonl(value));
}

void nl_put_string(struct nl_batch *b, uint16_t type, const char *text)
{
	nl_put(b, type, text, strlen(text) + 1);
}

size_t nl_nest(struct nl_batch *b, uint16_t type)
{
	size_t at = b->len;

	nl_put(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

size_t nl_nest_size(const struct nl_batch *b, size_t nest)
{
	return b->len - nest;
}

void nl_nest_end(struct nl_batch *b, size_t nest)
{
	size_t size = nl_nest_size(b, nest);

	if (b->failed)
		return;
	bug_on(size > UINT16_MAX);
	((struct nlattr *)(b->data + nest))->nla_len = (uint16_t)size;
}

/* --- sending ----------------------------------------------------------------------- */

/* What the kernel says beside the number, or "". */
static void read_words(const struct nlmsghdr *m, char *buf)
{
	const struct nlattr *a[NLMSGERR_ATTR_MSG + 1];
	const struct nlmsgerr *error = NLMSG_DATA(m);
	size_t size, skip = m->nlmsg_type == NLMSG_DONE ? sizeof(int) : sizeof(*error);

	buf[0] = '\0';
	if (!(m->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (m->nlmsg_type == NLMSG_ERROR && !(m->nlmsg_flags & NLM_F_CAPPED))
		skip += error->msg.nlmsg_len - NLMSG_HDRLEN;
	nl_attributes(m, skip, a, NLMSGERR_ATTR_MSG);
	size = nl_payload_size(a[NLMSGERR_ATTR_MSG]);
	if (!size)
		return;
	if (size > TEXT_MAX)
		size = TEXT_MAX;
	memcpy(buf, nl_payload(a[NLMSGERR_ATTR_MSG], size), size);
	buf[size - 1] = '\0';
}

static int refused(const struct nl_batch *b, const struct nlmsghdr *m, struct err *e)
{
	const struct nlmsgerr *error = NLMSG_DATA(m);
	char words[TEXT_MAX];
	size_t i = m->nlmsg_seq - 1;
	const char *what = i < b->count ? b->what[i] : "netlink request";

	read_words(m, words);
	err_set(e, -error->error, "%s%s%s", what, *words ? ": " : "", words);
	return e->code;
}

static bool is_error(const struct nlmsghdr *m)
{
	return m->nlmsg_type == NLMSG_ERROR &&
	       m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr));
}

/* Everything has been answered by the time that sendmsg returns: nothing to wait for. */
static int read_answers(int sock, const struct nl_batch *b, uint32_t last, struct err *e)
{
	char answer[ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool done = false, overrun = false;
	int r = 0;

	for (;;) {
		ssize_t n = recv(sock, answer, sizeof(answer), MSG_DONTWAIT);
		unsigned left = (unsigned)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		/* More refusals than there was room for: the first ones are there. */
		if (n < 0 && errno == ENOBUFS) {
			overrun = true;
			continue;
		}
		if (n < 0)
			return err_set(e, errno, "read netlink answers");
		for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, left);
		     m = NLMSG_NEXT(m, left)) {
			if (!is_error(m))
				continue;
			if (((struct nlmsgerr *)NLMSG_DATA(m))->error && r == 0)
				r = refused(b, m, e);
			done |= m->nlmsg_seq == last;
		}
	}
	if (r == 0 && overrun)
		return err_set(e, ENOBUFS, "read netlink answers");
	if (r == 0 && !done)
		return err_say(e, EPROTO, "%s: no answer from the kernel",
			       b->what[last - 1]);
	return r;
}

static int send_data(int sock, const struct nl_batch *b, struct err *e)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int room = (int)b->len + 4096;

	/* A batch is one packet, however large. Twice what is asked for is reserved. */
	if (b->len > 100000 &&
	    setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		return err_set(e, errno, "make room for a netlink batch of %zu bytes",
			       b->len);
	if (sendto(sock, b->data, b->len, 0, (const struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return err_set(e, errno, "send a netlink batch of %zu bytes", b->len);
	return 0;
}

/* The last message that is answered: the end of an nftables batch is not. */
static struct nlmsghdr *last_answered(const struct nl_batch *b)
{
	struct nlmsghdr *m = (struct nlmsghdr *)b->data, *found = m;
	unsigned left = (unsigned)b->len;

	for (; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
		if (m->nlmsg_type >= NLMSG_MIN_TYPE + 2)
			found = m;
	}
	return found;
}

int nl_send(int sock, struct nl_batch *b, struct err *e)
{
	struct nlmsghdr *last;
	int r;

	if (b->failed)
		return err_set(e, ENOMEM, "build netlink messages");
	bug_on(!b->count);
	close_message(b);
	last = last_answered(b);
	last->nlmsg_flags |= NLM_F_ACK;
	r = send_data(sock, b, e);
	if (r == 0)
		r = read_answers(sock, b, last->nlmsg_seq, e);
	b->len = b->count = 0;
	return r;
}

/* Who is given the answers of nl_ask(). */
struct listener {
	int (*each)(const struct nlmsghdr *message, void *context, struct err *e);
	void *context;
	bool interrupted; /* the list changed while it was read */
};

/* A list that could not be made begins and ends with its error. */
static bool ends_well(const struct nlmsghdr *m)
{
	int error = 0;

	if (m->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
		memcpy(&error, NLMSG_DATA(m), sizeof(error));
	return error >= 0;
}

/* One packet of a list. Returns 1 when it was the last. */
static int take_packet(const struct nl_batch *b, struct nlmsghdr *m, unsigned left,
		       struct listener *l, struct err *e)
{
	for (; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
		int r;

		if (m->nlmsg_type == NLMSG_DONE)
			return ends_well(m) ? 1 : refused(b, m, e);
		if (is_error(m)) {
			const struct nlmsgerr *error = NLMSG_DATA(m);

			return error->error ? refused(b, m, e) : 1;
		}
		l->interrupted |= m->nlmsg_flags & NLM_F_DUMP_INTR;
		r = l->each(m, l->context, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int nl_ask(int sock, struct nl_batch *b,
	   int (*each)(const struct nlmsghdr *message, void *context, struct err *e),
	   void *context, struct err *e)
{
	char answer[ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct listener l = { .each = each, .context = context };
	int r;

	if (b->failed)
		return err_set(e, ENOMEM, "build a netlink message");
	bug_on(b->count != 1);
	close_message(b);
	/* A single object is answered without an end; the acknowledgement is one. */
	if (!(last_message(b)->nlmsg_flags & NLM_F_DUMP))
		last_message(b)->nlmsg_flags |= NLM_F_ACK;
	r = send_data(sock, b, e);
	while (r == 0) {
		ssize_t n = recv(sock, answer, sizeof(answer), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "read netlink answers");
		r = take_packet(b, (struct nlmsghdr *)answer, (unsigned)n, &l, e);
	}
	b->len = b->count = 0;
	if (r > 0 && l.interrupted)
		return err_set(e, EINTR, "%s: changed while it was read", b->what[0]);
	return r < 0 ? r : 0;
}

/* --- reading ----------------------------------------------------------------------- */

static void read_attributes(const uint8_t *data, size_t len, const struct nlattr **table,
			    unsigned max)
{
	memset(table, 0, (max + 1) * sizeof(*table));
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = (const struct nlattr *)data;
		unsigned type = a->nla_type & NLA_TYPE_MASK;
		size_t size = NLA_ALIGN(a->nla_len);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return;
		if (type <= max)
			table[type] = a;
		if (size >= len)
			return;
		data += size;
		len -= size;
	}
}

void nl_attributes(const struct nlmsghdr *message, size_t skip,
		   const struct nlattr **table, unsigned max)
{
	size_t begin = NLMSG_HDRLEN + NLMSG_ALIGN(skip);
	size_t len = message->nlmsg_len > begin ? message->nlmsg_len - begin : 0;

	read_attributes((const uint8_t *)message + begin, len, table, max);
}

void nl_nested(const struct nlattr *nest, const struct nlattr **table, unsigned max)
{
	read_attributes(nl_payload(nest, 0), nl_payload_size(nest), table, max);
}

const void *nl_payload(const struct nlattr *a, size_t size)
{
	if (!a || nl_payload_size(a) < size)
		return NULL;
	return (const uint8_t *)a + NLA_HDRLEN;
}

size_t nl_payload_size(const struct nlattr *a)
{
	return a ? (size_t)a->nla_len - NLA_HDRLEN : 0;
}
