/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink: messages built in memory, sent in one batch, and every refusal named. */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * This is libmnl's job. Debian has that as a shared library only, and a carrel that is
 * linked dynamically starts later than it does; so what a start needs of it is here. The
 * nftables rules, which are the larger part, are encoded by libmnl and libnftnl when
 * carrel is built (ruleset_gen.c).
 */

/* Messages under construction. Zero-initialised: empty. Running out of memory is kept for
 * nl_send() to report. */
struct nl_batch {
	uint8_t *data; /* owned */
	size_t len, room; /* bytes */
	size_t last; /* offset of the message that is being built */
	const char **what; /* owned; what each message is about, in order */
	size_t count, what_room;
	bool failed;
};

/* Frees what was built; the batch is empty then. */
void nl_free(struct nl_batch *b);
#define auto_nl_batch __attribute__((cleanup(nl_free))) struct nl_batch

/* Opens a netlink socket of the calling process's network namespace, to which it belongs
 * from then on. */
must_check int nl_open(int protocol, int *ret_sock, struct err *e);

/* Begins a message with a copy of the protocol's own header. `what` is named when the
 * kernel refuses it, and must outlive the batch. */
void nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, const void *head,
		size_t size, const char *what);

/* Adds a whole message that was encoded elsewhere. */
void nl_copy(struct nl_batch *b, const void *message, size_t size, const char *what);

/* Appends an attribute to the message. */
void nl_put(struct nl_batch *b, uint16_t type, const void *data, size_t size);
void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t value);
void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t value);
void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t value);
void nl_put_string(struct nl_batch *b, uint16_t type, const char *text);

/* Appends bytes that are no attribute: some begin with a structure. */
void nl_put_raw(struct nl_batch *b, const void *data, size_t size);

/* Begins an attribute that holds others, and ends it. Nesting is the caller's to keep
 * balanced; what is inside must stay below 64 KiB. */
must_check size_t nl_nest(struct nl_batch *b, uint16_t type);
void nl_nest_end(struct nl_batch *b, size_t nest);

/* Bytes of an attribute that was begun and not ended yet. */
size_t nl_nest_size(const struct nl_batch *b, size_t nest);

/* Sends all messages at once and empties the batch. The kernel has done what they say
 * when this returns. −errno and the kernel's own words for the first that it refused. */
must_check int nl_send(int sock, struct nl_batch *b, struct err *e);

/* Sends the one message in the batch, a request for an object or a list, and hands each
 * answer over. A negative value of each() ends it and is returned; the socket is of no
 * more use then. −EINTR when a list changed while it was read: ask again. */
must_check int nl_ask(int sock, struct nl_batch *b,
		      int (*each)(const struct nlmsghdr *message, void *context,
				  struct err *e),
		      void *context, struct err *e);

/* Fills table[type] with the attributes found behind a header of `skip` bytes, or with
 * NULL. Types above `max` are passed over. */
void nl_attributes(const struct nlmsghdr *message, size_t skip,
		   const struct nlattr **table, unsigned max);
void nl_nested(const struct nlattr *nest, const struct nlattr **table, unsigned max);

/* The attribute's payload if it has at least `size` bytes, or NULL; NULL for NULL. */
const void *nl_payload(const struct nlattr *a, size_t size);
size_t nl_payload_size(const struct nlattr *a);
