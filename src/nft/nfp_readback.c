// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * The table, its chains, its sets, then the elements of each set are listed.
 * We are the table's only writer, so that a consistent picture does not need
 * one undisturbed moment for all lists: each is repeated on its own while other
 * programs' transactions break into it (NLM_F_DUMP_INTR) or the kernel moves
 * what it lists.  A set that cannot be
 * read all the same, that is too large to be listed, or that holds what we
 * would not write is told as unread: its elements are to be flushed and written
 * anew in one transaction.
 *
 * Comments live in chunks, so that a million elements are not a million
 * allocations.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <errno.h>
#include <libnftnl/chain.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "nfp_affinity.h"
#include "nfp_readback.h"
#include "nfp_skeleton.h"
#include "nodesplice/base/mem.h"

#define ARENA_CHUNK_BYTES 65536

static void names_free(struct nfp_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct nfp_names){0};
}

static int names_add(struct nfp_names *names, const char *name)
{
	cleanup_(freep) char *copy = strdup(name);
	int r;

	if (!copy)
		return -ENOMEM;
	r = ARRAY_APPEND(names->items, names->n, names->room, copy);
	if (r == 0)
		TAKE_PTR(copy);
	return r;
}

void nfp_readback_free(struct nfp_readback *rb)
{
	names_free(&rb->sets);
	names_free(&rb->chains);
	names_free(&rb->arena);
	nfp_elements_free(&rb->elements);
	free(rb->unread);
	*rb = (struct nfp_readback){0};
}

/* Keep a comment beyond its message. */
static const char *keep_comment(struct nfp_readback *rb, const char *comment)
{
	size_t n = strlen(comment) + 1;
	char *chunk;

	if (rb->arena.n == 0 || rb->arena_used + n > ARENA_CHUNK_BYTES) {
		chunk = malloc(ARENA_CHUNK_BYTES);
		if (!chunk)
			return NULL;
		if (ARRAY_APPEND(rb->arena.items, rb->arena.n, rb->arena.room,
				 chunk) < 0) {
			free(chunk);
			return NULL;
		}
		rb->arena_used = 0;
	}
	chunk = rb->arena.items[rb->arena.n - 1] + rb->arena_used;
	memcpy(chunk, comment, n);
	rb->arena_used += n;
	return chunk;
}

/* One list and where it goes. */
struct listing {
	struct nfp_readback *rb;
	uint32_t set;	 /* of elements */
	size_t before_n; /* elements of other sets */
	bool strange;	 /* holds what we would not write */
};

static int fail(int r)
{
	errno = -r;
	return MNL_CB_ERROR;
}

static int list_table(const struct nlmsghdr *nlh, void *data)
{
	struct listing *l = data;

	(void)nlh;
	l->rb->exists = true;
	return MNL_CB_OK;
}

static bool chain_matches(const struct nftnl_chain *c, const char *name)
{
	struct nfp_chain def;
	bool is_base = nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM);

	if (!nfp_skeleton_chain(name, &def))
		return !is_base ||
		       !(nfp_chain_parse(name) || nfp_affinity_is_name(name));
	if (!def.type || !is_base)
		return !def.type && !is_base;
	return nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) == def.hook &&
	       nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO) == def.priority &&
	       strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE), def.type) == 0;
}

static int list_chain(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct listing *l = data;
	const char *table, *name;
	int r = 0;

	if (!c)
		return fail(-ENOMEM);
	if (nftnl_chain_nlmsg_parse(nlh, c) < 0) {
		r = -EBADMSG;
	} else {
		table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE);
		name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
		if (table && name && strcmp(table, NFP_FLOOR_TABLE) == 0) {
			if (!chain_matches(c, name))
				l->rb->incompatible = true;
			r = names_add(&l->rb->chains, name);
		}
	}
	nftnl_chain_free(c);
	return r < 0 ? fail(r) : MNL_CB_OK;
}

static int list_set(const struct nlmsghdr *nlh, void *data)
{
	const char *table = NULL, *name = NULL;
	struct listing *l = data;
	const struct nlattr *a;
	char buf[NFP_NAME_BYTES];
	struct nfp_set def;
	uint32_t set, flags = 0;
	int r;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == NFTA_SET_FLAGS &&
		    mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			flags = ntohl(mnl_attr_get_u32(a));
		if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0)
			continue;
		if (type == NFTA_SET_TABLE)
			table = mnl_attr_get_str(a);
		if (type == NFTA_SET_NAME)
			name = mnl_attr_get_str(a);
	}
	/* An anonymous set goes with the rule that it is part of. */
	if (flags & NFT_SET_ANONYMOUS)
		return MNL_CB_OK;
	if (!table || !name || strcmp(table, NFP_FLOOR_TABLE) != 0)
		return MNL_CB_OK;
	set = nfp_set_parse(name);
	if (set)
		nfp_set_define(set, buf, &def);
	if (set || nfp_affinity_set_define(name, &def)) {
		r = nfp_set_matches(&def, nlh);
		if (r < 0)
			return fail(r);
		if (r == 0)
			l->rb->incompatible = true;
	}
	r = names_add(&l->rb->sets, name);
	return r < 0 ? fail(r) : MNL_CB_OK;
}

static int keep_element(struct listing *l, const struct nlattr *attr)
{
	struct nfp_element element;

	if (nfp_element_parse(attr, l->set, &element) < 0) {
		l->strange = true;
		return 0;
	}
	if (l->rb->elements.n - l->before_n >= NFP_READBACK_ELEMENTS)
		return -E2BIG;
	if (element.comment) {
		element.comment = keep_comment(l->rb, element.comment);
		if (!element.comment)
			return -ENOMEM;
	}
	return ARRAY_APPEND(l->rb->elements.items, l->rb->elements.n,
			    l->rb->elements.room, element);
}

static int list_elements(const struct nlmsghdr *nlh, void *data)
{
	struct listing *l = data;
	const struct nlattr *a, *element;
	int r;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, a) {
			r = keep_element(l, element);
			if (r < 0)
				return fail(r);
		}
	}
	return MNL_CB_OK;
}

/* A request about our table; @set may be NULL. */
static int request(struct nfp_socket *s, uint16_t type, uint16_t flags,
		   const char *set, mnl_cb_t cb, void *data)
{
	uint8_t buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	/* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_SET_TABLE and
	 * NFTA_SET_ELEM_LIST_TABLE are all 1. */
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, NFP_FLOOR_TABLE);
	if (set)
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	return nfp_socket_dump(s, nlh, cb, data);
}

int nfp_readback_elements(struct nfp_socket *s, const char *set, mnl_cb_t cb,
			  void *data)
{
	return request(s, NFT_MSG_GETSETELEM, NLM_F_DUMP, set, cb, data);
}

static int read_table(struct nfp_socket *s, struct listing *l)
{
	/* Not a list: the acknowledgement ends it. */
	int r = request(s, NFT_MSG_GETTABLE, NLM_F_ACK, NULL, list_table, l);

	return r == -ENOENT ? 0 : r;
}

static int read_names(struct nfp_socket *s, unsigned int attempts,
		      uint16_t type, mnl_cb_t cb, struct listing *l,
		      struct nfp_names *names)
{
	int r;

	do {
		names_free(names);
		r = request(s, type, NLM_F_DUMP, NULL, cb, l);
	} while (r == -EAGAIN && --attempts > 0);
	return r;
}

static bool is_from_options(uint32_t set)
{
	return nfp_set_kind(set) == NFP_SET_LOCAL_PODS ||
	       nfp_set_kind(set) == NFP_SET_NODE_PORT_ADDRESSES ||
	       nfp_set_kind(set) == NFP_SET_SERVICE_CIDRS;
}

/*
 * The kernel goes on with a list by counting what it told already, so a hash
 * table that is resized meanwhile (in the background, after many additions)
 * makes it tell some elements twice and others never: as many.
 */
static bool tells_twice(struct listing *l)
{
	struct nfp_elements part = {
		.items = l->rb->elements.items + l->before_n,
		.n = l->rb->elements.n - l->before_n,
	};

	nfp_elements_sort(&part);
	for (size_t i = 1; i < part.n; i++) {
		if (nfp_element_compare(&part.items[i - 1], &part.items[i]) ==
		    0)
			return true;
	}
	return false;
}

static int open_again(struct nfp_socket **s)
{
	if (*s)
		nfp_socket_free(TAKE_PTR(*s));
	return nfp_socket_open(s, NULL);
}

static int read_elements(struct nfp_socket **s, unsigned int attempts,
			 struct listing *l, const char *name)
{
	int r = -EAGAIN;

	l->set = nfp_set_parse(name);
	if (!l->set || is_from_options(l->set))
		return 0;
	l->before_n = l->rb->elements.n;
	l->strange = false;
	while (r == -EAGAIN && attempts-- > 0) {
		l->rb->elements.n = l->before_n;
		r = request(*s, NFT_MSG_GETSETELEM, NLM_F_DUMP, name,
			    list_elements, l);
		if (r == 0 && tells_twice(l))
			r = -EAGAIN;
	}
	if (r == 0 && !l->strange)
		return 0;
	if (r == -E2BIG)
		r = open_again(s); /* which ends the list */
	if (r < 0 && r != -EAGAIN)
		return r;
	l->rb->strange |= l->strange;
	l->rb->elements.n = l->before_n;
	return ARRAY_APPEND(l->rb->unread, l->rb->unread_n, l->rb->unread_room,
			    l->set);
}

static int read_all(unsigned int attempts, struct nfp_readback *rb)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	struct listing l = {.rb = rb};
	int r = open_again(&s);

	if (r == 0)
		r = read_table(s, &l);
	if (r < 0 || !rb->exists)
		return r;
	r = read_names(s, NFP_READBACK_ATTEMPTS, NFT_MSG_GETCHAIN, list_chain,
		       &l, &rb->chains);
	if (r == 0)
		r = read_names(s, NFP_READBACK_ATTEMPTS, NFT_MSG_GETSET,
			       list_set, &l, &rb->sets);
	for (size_t i = 0; r == 0 && !rb->incompatible && i < rb->sets.n; i++)
		r = read_elements(&s, attempts, &l, rb->sets.items[i]);
	return r;
}

int nfp_readback(unsigned int attempts, struct nfp_readback *ret_rb,
		 struct errbuf *e)
{
	int r;

	*ret_rb = (struct nfp_readback){0};
	r = read_all(attempts, ret_rb);
	if (r == -ENOMEM)
		return errf(e, r, "table %s not read: out of memory",
			    NFP_FLOOR_TABLE);
	if (r < 0)
		return errf(e, r, "table %s not read: %s", NFP_FLOOR_TABLE,
			    strerror(-r));
	nfp_elements_sort(&ret_rb->elements);
	return 0;
}
