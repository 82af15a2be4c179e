/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel has in nftables tables, read by libmnl and libnftnl. */
#pragma once

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>

/* One element; the parts that it does not have are zero. */
struct nft_element {
	uint8_t key[64], key_end[64];
	uint32_t size, size_end;
	uint32_t flags;
	char comment[128];
};

struct nft_elements {
	struct nft_element *list;
	size_t count, room;
};

static inline void nft_elements_free(struct nft_elements *els)
{
	free(els->list);
	*els = (struct nft_elements){ 0 };
}

static inline void nft_copy_comment(struct nft_element *to, const void *data,
				    uint32_t size)
{
	const uint8_t *p = data;

	/* Type, length, value. */
	assert_true(size >= 3 && p[0] == NFTNL_UDATA_SET_ELEM_COMMENT);
	assert_int_equal(p[1], size - 2);
	assert_int_equal(p[size - 1], 0);
	memcpy(to->comment, p + 2, size - 2);
}

static inline int nft_take_element(struct nftnl_set_elem *el, void *context)
{
	struct nft_elements *els = context;
	struct nft_element *to;
	const void *data;
	uint32_t size;

	if (els->count == els->room) {
		els->room = 2 * els->room + 16;
		els->list = reallocarray(els->list, els->room, sizeof(*els->list));
		assert_non_null(els->list);
	}
	to = memset(&els->list[els->count++], 0, sizeof(*to));
	data = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &to->size);
	if (data)
		memcpy(to->key, data, to->size);
	data = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY_END, &to->size_end);
	if (data)
		memcpy(to->key_end, data, to->size_end);
	if (nftnl_set_elem_is_set(el, NFTNL_SET_ELEM_FLAGS))
		to->flags = nftnl_set_elem_get_u32(el, NFTNL_SET_ELEM_FLAGS);
	if (nftnl_set_elem_is_set(el, NFTNL_SET_ELEM_USERDATA)) {
		data = nftnl_set_elem_get(el, NFTNL_SET_ELEM_USERDATA, &size);
		nft_copy_comment(to, data, size);
	}
	return 0;
}

/* Adds the elements in a message to the list. Returns 1 for libmnl. */
static inline int nft_take_elements(const struct nlmsghdr *m, void *context)
{
	struct nftnl_set *s = nftnl_set_alloc();

	assert_non_null(s);
	assert_int_equal(nftnl_set_elems_nlmsg_parse(m, s), 0);
	assert_int_equal(nftnl_set_elem_foreach(s, nft_take_element, context), 0);
	nftnl_set_free(s);
	return MNL_CB_OK;
}

/* Sends a request and hands the answers over. Returns 0 or the kernel's −errno. */
static inline int nft_ask(const void *request, size_t size,
			  int (*each)(const struct nlmsghdr *m, void *context),
			  void *context)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char answer[65536];
	int r = MNL_CB_OK;

	assert_non_null(sock);
	assert_int_equal(mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID), 0);
	assert_int_equal(mnl_socket_sendto(sock, request, size), size);
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(sock, answer, sizeof(answer));

		assert_true(n > 0);
		r = mnl_cb_run(answer, (size_t)n, 0, mnl_socket_get_portid(sock), each,
			       context);
	}
	if (r < 0)
		r = -errno;
	mnl_socket_close(sock);
	return r;
}

/* Reads the elements of a set of table inet `table`. Returns 0 or −errno. */
static inline int nft_read_set(const char *table, const char *set,
			       struct nft_elements *ret)
{
	char request[512];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETSETELEM,
						   NFPROTO_INET, NLM_F_DUMP, 1);
	struct nftnl_set *s = nftnl_set_alloc();

	*ret = (struct nft_elements){ 0 };
	assert_non_null(s);
	nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, set);
	nftnl_set_elems_nlmsg_build_payload(m, s);
	nftnl_set_free(s);
	return nft_ask(request, m->nlmsg_len, nft_take_elements, ret);
}

/* How many elements a set of table inet carrel has; it must be there. */
static inline size_t nft_count(const char *set)
{
	struct nft_elements els;
	size_t count;

	if (nft_read_set("carrel", set, &els) != 0)
		fail_msg("no set %s", set);
	count = els.count;
	nft_elements_free(&els);
	return count;
}

static inline int nft_count_one(const struct nlmsghdr *m, void *context)
{
	(void)m;
	++*(unsigned *)context;
	return MNL_CB_OK;
}

/* How many rules all tables have. */
static inline unsigned nft_count_rules(void)
{
	char request[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETRULE, NFPROTO_INET,
						   NLM_F_DUMP, 1);
	unsigned count = 0;

	assert_int_equal(nft_ask(request, m->nlmsg_len, nft_count_one, &count), 0);
	return count;
}

/* Is there a table inet of that name? */
static inline bool nft_has_table(const char *name)
{
	char request[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETTABLE,
						   NFPROTO_INET, NLM_F_ACK, 1);
	unsigned count = 0;

	mnl_attr_put_strz(m, NFTA_TABLE_NAME, name);
	return nft_ask(request, m->nlmsg_len, nft_count_one, &count) == 0 && count;
}

/* Makes an empty table inet, as somebody else would, with that user data (NULL: none). */
static inline void nft_add_table(const char *name, const void *data, size_t size)
{
	char request[2048];
	struct mnl_nlmsg_batch *b = mnl_nlmsg_batch_start(request, sizeof(request));
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *m;
	unsigned count = 0;

	assert_true(b && t);
	nftnl_batch_begin(mnl_nlmsg_batch_current(b), 1);
	mnl_nlmsg_batch_next(b);
	m = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b), NFT_MSG_NEWTABLE,
				  NFPROTO_INET, NLM_F_CREATE | NLM_F_ACK, 2);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, name);
	if (data)
		nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, data, (uint32_t)size);
	nftnl_table_nlmsg_build_payload(m, t);
	nftnl_table_free(t);
	mnl_nlmsg_batch_next(b);
	nftnl_batch_end(mnl_nlmsg_batch_current(b), 3);
	mnl_nlmsg_batch_next(b);
	assert_int_equal(nft_ask(mnl_nlmsg_batch_head(b), mnl_nlmsg_batch_size(b),
				 nft_count_one, &count),
			 0);
	mnl_nlmsg_batch_stop(b);
}
