// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <endian.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "nfp_emit.h"

void nfp_emit_begin(struct nfp_emitter *m, struct nfp_batch *b, uint16_t type,
		    uint8_t family, const char *table, const char *set)
{
	*m = (struct nfp_emitter){.batch = b,
				  .type = type,
				  .family = family,
				  .table = table,
				  .set = set};
}

static bool open_message(struct nfp_emitter *m)
{
	uint16_t flags = m->type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;

	m->nlh = nfp_batch_begin(m->batch, m->type, flags, m->family);
	if (!m->nlh)
		return false;
	mnl_attr_put_strz(m->nlh, NFTA_SET_ELEM_LIST_TABLE, m->table);
	mnl_attr_put_strz(m->nlh, NFTA_SET_ELEM_LIST_SET, m->set);
	m->list = mnl_attr_nest_start(m->nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	return true;
}

void nfp_emit_end(struct nfp_emitter *m)
{
	if (!m->nlh)
		return;
	mnl_attr_nest_end(m->nlh, m->list);
	nfp_batch_end(m->batch, m->nlh);
	m->nlh = NULL;
	if (m->cut_between)
		nfp_batch_cut(m->batch);
}

size_t nfp_comment(const char *name, char buf[NFP_COMMENT_BYTES])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-._/:";
	size_t n;

	for (n = 0; n < LIMIT_ELEMENT_COMMENT && name[n]; n++)
		buf[n] = strchr(allowed, name[n]) ? name[n] : '_';
	buf[n] = '\0';
	return n;
}

static void put_data(struct nlmsghdr *nlh, uint16_t type, const void *data,
		     uint32_t data_n)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, data_n, data);
	mnl_attr_nest_end(nlh, nest);
}

static void put_goto(struct nlmsghdr *nlh, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_DATA);
	struct nlattr *verdict = mnl_attr_nest_start(nlh, NFTA_DATA_VERDICT);

	mnl_attr_put_u32(nlh, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
	mnl_attr_put_strz(nlh, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(nlh, verdict);
	mnl_attr_nest_end(nlh, data);
}

/* User data: type, length, text with its NUL. */
static void put_comment(struct nlmsghdr *nlh, const char *comment)
{
	uint8_t udata[2 + NFP_COMMENT_BYTES];
	size_t n = nfp_comment(comment, (char *)udata + 2) + 1;

	udata[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
	udata[1] = (uint8_t)n;
	mnl_attr_put(nlh, NFTA_SET_ELEM_USERDATA, 2 + n, udata);
}

void nfp_emit(struct nfp_emitter *m, const struct nfp_emitted *element)
{
	struct nlattr *nest;

	if (m->nlh && m->nlh->nlmsg_len >= NFP_MESSAGE_BYTES)
		nfp_emit_end(m);
	if (!m->nlh && !open_message(m))
		return;
	nest = mnl_attr_nest_start(m->nlh, NFTA_LIST_ELEM);
	if (element->flags)
		mnl_attr_put_u32(m->nlh, NFTA_SET_ELEM_FLAGS,
				 htonl(element->flags));
	put_data(m->nlh, NFTA_SET_ELEM_KEY, element->key, element->key_n);
	if (element->key_end)
		put_data(m->nlh, NFTA_SET_ELEM_KEY_END, element->key_end,
			 element->key_n);
	if (element->value)
		put_data(m->nlh, NFTA_SET_ELEM_DATA, element->value,
			 element->value_n);
	if (element->goto_chain)
		put_goto(m->nlh, element->goto_chain);
	if (element->comment)
		put_comment(m->nlh, element->comment);
	if (element->timeout_ms)
		mnl_attr_put_u64(m->nlh, NFTA_SET_ELEM_TIMEOUT,
				 htobe64(element->timeout_ms));
	if (element->left_ms)
		mnl_attr_put_u64(m->nlh, NFTA_SET_ELEM_EXPIRATION,
				 htobe64(element->left_ms));
	mnl_attr_nest_end(m->nlh, nest);
}

/* The first address behind a prefix; false: it ends with the last one. */
static bool behind_prefix(const struct cidr *c, struct addr *ret_addr)
{
	unsigned int bit = c->prefix_n;

	*ret_addr = c->addr;
	while (bit-- > 0) {
		uint8_t *byte = &ret_addr->bytes[bit / 8];
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		*byte ^= mask;
		if (*byte & mask)
			return true; /* no carry */
	}
	return false;
}

/* An interval set's element is where it begins and where it ends. */
static void emit_prefix(struct nfp_emitter *m, const struct cidr *c)
{
	struct nfp_emitted element = {
		.key = c->addr.bytes,
		.key_n = addr_bytes_n(c->addr.family),
	};
	struct addr end;

	nfp_emit(m, &element);
	if (!behind_prefix(c, &end))
		return;
	element.key = end.bytes;
	element.flags = NFT_SET_ELEM_INTERVAL_END;
	nfp_emit(m, &element);
}

/* Whether another one, or the same one earlier, holds it. */
static bool is_covered(const struct cidr *cidrs, size_t cidrs_n, size_t which)
{
	const struct cidr *c = &cidrs[which];

	for (size_t i = 0; i < cidrs_n; i++) {
		const struct cidr *other = &cidrs[i];

		if (i == which || !cidr_contains(other, &c->addr))
			continue;
		if (other->prefix_n < c->prefix_n ||
		    (other->prefix_n == c->prefix_n && i < which))
			return true;
	}
	return false;
}

void nfp_emit_prefixes(struct nfp_emitter *m, uint8_t family,
		       const struct cidr *cidrs, size_t cidrs_n)
{
	for (size_t i = 0; i < cidrs_n; i++) {
		/* The kernel refuses ranges that overlap. */
		if (cidrs[i].addr.family == family &&
		    !is_covered(cidrs, cidrs_n, i))
			emit_prefix(m, &cidrs[i]);
	}
}
