// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A batch is a buffer of netlink messages as they will be sent, without the
 * batch's own begin and end (nfp_socket.c adds them).  A message is built at
 * the end of the buffer, in a reserve that is larger than any message can
 * become; message i gets sequence number i + 1, so that an answer of the kernel
 * leads back to its message, and from there to the object's name.
 *
 * Not here: which objects, in which order (nfp_skeleton.c, nfp_floor.c).
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <string.h>

#include "nfp_batch.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

/* Above NFP_MESSAGE_BYTES, one more attribute and any rule of ours fit. */
#define MESSAGE_RESERVE_BYTES (NFP_MESSAGE_BYTES + 16384)

/* The numbers by which user data and key types name things: nft 1.0.6,
 * include/datatype.h, include/expression.h, include/proto.h, src/meta.c. */
#define TYPE_BITS	  6
#define TYPE_VERDICT	  0xffffff00
#define BYTEORDER_NONE	  0
#define BYTEORDER_HOST	  1
#define BYTEORDER_NETWORK 2
#define EXPR_VERDICT	  1
#define EXPR_PAYLOAD	  7
#define EXPR_META	  9
#define EXPR_CONCAT	  13
#define EXPR_NUMGEN	  23
#define PROTO_DESC_TH	  11
#define PROTO_DESC_IP	  12
#define PROTO_DESC_IP6	  13
#define PROTO_DESC_ETHER  17

static const struct field_type {
	uint32_t type; /* data type */
	uint8_t bytes_n;
	uint8_t byteorder;
	uint32_t expr;		/* kind of typeof expression */
	uint32_t first, second; /* its two numbers */
} field_types[] = {
	[NFP_FIELD_NONE] = {0},
	[NFP_FIELD_IP_SADDR] = {7, 4, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				PROTO_DESC_IP, 11},
	[NFP_FIELD_IP_DADDR] = {7, 4, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				PROTO_DESC_IP, 12},
	[NFP_FIELD_IP6_SADDR] = {8, 16, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				 PROTO_DESC_IP6, 8},
	[NFP_FIELD_IP6_DADDR] = {8, 16, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				 PROTO_DESC_IP6, 9},
	[NFP_FIELD_L4PROTO] = {12, 1, BYTEORDER_NETWORK, EXPR_META,
			       NFT_META_L4PROTO, 0},
	[NFP_FIELD_TH_SPORT] = {13, 2, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				PROTO_DESC_TH, 1},
	[NFP_FIELD_TH_DPORT] = {13, 2, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				PROTO_DESC_TH, 2},
	[NFP_FIELD_NFPROTO] = {2, 1, BYTEORDER_HOST, EXPR_META,
			       NFT_META_NFPROTO, 0},
	[NFP_FIELD_ETHER_SADDR] = {9, 6, BYTEORDER_NETWORK, EXPR_PAYLOAD,
				   PROTO_DESC_ETHER, 2},
	[NFP_FIELD_SLOT] = {4, 4, BYTEORDER_HOST, EXPR_NUMGEN, NFT_NG_RANDOM,
			    0},
	[NFP_FIELD_VERDICT] = {TYPE_VERDICT, 16, BYTEORDER_NONE, EXPR_VERDICT,
			       0, 0},
};
static_assert(ARRAY_SIZE(field_types) == NFP_FIELD_MAX_, "a type a field");

void nfp_batch_free(struct nfp_batch *b)
{
	free(b->data);
	free(b->cuts);
	*b = (struct nfp_batch){0};
}

struct nlmsghdr *nfp_batch_begin(struct nfp_batch *b, uint16_t type,
				 uint16_t flags, uint8_t family)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	if (b->failed)
		return NULL;
	if (array_reserve(&b->data, &b->room, b->len + MESSAGE_RESERVE_BYTES,
			  1) < 0) {
		b->failed = true;
		return NULL;
	}
	nlh = mnl_nlmsg_put_header(b->data + b->len);
	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = b->messages_n + 1;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	return nlh;
}

void nfp_batch_end(struct nfp_batch *b, const struct nlmsghdr *nlh)
{
	assert((const uint8_t *)nlh == b->data + b->len);
	assert(nlh->nlmsg_len <= MESSAGE_RESERVE_BYTES);
	b->len += MNL_ALIGN(nlh->nlmsg_len);
	b->messages_n++;
}

void nfp_batch_cut(struct nfp_batch *b)
{
	if (b->len == 0 || (b->cuts_n && b->cuts[b->cuts_n - 1] == b->len))
		return;
	if (ARRAY_APPEND(b->cuts, b->cuts_n, b->cuts_room, b->len) < 0)
		b->failed = true;
}

const struct nlmsghdr *nfp_batch_message(const struct nfp_batch *b,
					 uint32_t seq)
{
	for (size_t at = 0; at < b->len;) {
		const void *p = b->data + at;
		const struct nlmsghdr *nlh = p;

		if (nlh->nlmsg_seq == seq)
			return nlh;
		at += MNL_ALIGN(nlh->nlmsg_len);
	}
	return NULL;
}

/* A table's, chain's or set's user data: just a comment. */
static struct nftnl_udata_buf *comment_udata(uint8_t type, const char *comment)
{
	struct nftnl_udata_buf *u =
		nftnl_udata_buf_alloc(2 + LIMIT_ELEMENT_COMMENT + 1);

	if (u && !nftnl_udata_put_strz(u, type, comment)) {
		nftnl_udata_buf_free(u);
		return NULL;
	}
	return u;
}

static void udata_freep(struct nftnl_udata_buf **u)
{
	if (*u)
		nftnl_udata_buf_free(*u);
}

static void table_freep(struct nftnl_table **t)
{
	if (*t)
		nftnl_table_free(*t);
}

static void chain_freep(struct nftnl_chain **c)
{
	if (*c)
		nftnl_chain_free(*c);
}

static void set_freep(struct nftnl_set **s)
{
	if (*s)
		nftnl_set_free(*s);
}

static int put_table(struct nfp_batch *b, uint16_t type, uint8_t family,
		     const char *name, uint32_t flags, const char *comment)
{
	cleanup_(udata_freep) struct nftnl_udata_buf *u = NULL;
	cleanup_(table_freep) struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;

	if (!t || nftnl_table_set_str(t, NFTNL_TABLE_NAME, name) < 0)
		return -1;
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, flags);
	if (comment) {
		u = comment_udata(NFTNL_UDATA_TABLE_COMMENT, comment);
		if (!u || nftnl_table_set_data(t, NFTNL_TABLE_USERDATA,
					       nftnl_udata_buf_data(u),
					       nftnl_udata_buf_len(u)) < 0)
			return -1;
	}
	nlh = nfp_batch_begin(
		b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, family);
	if (!nlh)
		return -1;
	nftnl_table_nlmsg_build_payload(nlh, t);
	nfp_batch_end(b, nlh);
	return 0;
}

void nfp_batch_new_table(struct nfp_batch *b, uint8_t family, const char *name,
			 uint32_t flags, const char *comment)
{
	if (put_table(b, NFT_MSG_NEWTABLE, family, name, flags, comment) < 0)
		b->failed = true;
}

void nfp_batch_del_table(struct nfp_batch *b, uint8_t family, const char *name)
{
	if (put_table(b, NFT_MSG_DELTABLE, family, name, 0, NULL) < 0)
		b->failed = true;
}

static int put_chain(struct nfp_batch *b, uint16_t type,
		     const struct nfp_chain *def)
{
	cleanup_(udata_freep) struct nftnl_udata_buf *u = NULL;
	cleanup_(chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *nlh;

	if (!c || nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, def->table) < 0 ||
	    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, def->name) < 0)
		return -1;
	if (def->type) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, def->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, def->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		if (nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, def->type) < 0)
			return -1;
	}
	if (def->comment) {
		u = comment_udata(NFTNL_UDATA_CHAIN_COMMENT, def->comment);
		if (!u || nftnl_chain_set_data(c, NFTNL_CHAIN_USERDATA,
					       nftnl_udata_buf_data(u),
					       nftnl_udata_buf_len(u)) < 0)
			return -1;
	}
	nlh = nfp_batch_begin(b, type,
			      type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0,
			      def->family);
	if (!nlh)
		return -1;
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nfp_batch_end(b, nlh);
	return 0;
}

void nfp_batch_new_chain(struct nfp_batch *b, const struct nfp_chain *c)
{
	if (put_chain(b, NFT_MSG_NEWCHAIN, c) < 0)
		b->failed = true;
}

void nfp_batch_del_chain(struct nfp_batch *b, uint8_t family, const char *table,
			 const char *name)
{
	const struct nfp_chain c = {
		.family = family, .table = table, .name = name};

	if (put_chain(b, NFT_MSG_DELCHAIN, &c) < 0)
		b->failed = true;
}

/* Name the container of what is to be deleted, and so all of it. */
static void flush(struct nfp_batch *b, uint16_t type, uint8_t family,
		  uint16_t table_attr, const char *table, uint16_t name_attr,
		  const char *name)
{
	struct nlmsghdr *nlh = nfp_batch_begin(b, type, 0, family);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, table_attr, table);
	mnl_attr_put_strz(nlh, name_attr, name);
	nfp_batch_end(b, nlh);
}

void nfp_batch_flush_chain(struct nfp_batch *b, uint8_t family,
			   const char *table, const char *name)
{
	flush(b, NFT_MSG_DELRULE, family, NFTA_RULE_TABLE, table,
	      NFTA_RULE_CHAIN, name);
}

void nfp_batch_flush_set(struct nfp_batch *b, uint8_t family, const char *table,
			 const char *name)
{
	flush(b, NFT_MSG_DELSETELEM, family, NFTA_SET_ELEM_LIST_TABLE, table,
	      NFTA_SET_ELEM_LIST_SET, name);
}

void nfp_batch_del_set(struct nfp_batch *b, uint8_t family, const char *table,
		       const char *name)
{
	flush(b, NFT_MSG_DELSET, family, NFTA_SET_TABLE, table, NFTA_SET_NAME,
	      name);
}

/* An object, open for its data. */
static struct nlmsghdr *begin_object(struct nfp_batch *b, uint8_t family,
				     const char *table, const char *name,
				     uint32_t type)
{
	struct nlmsghdr *nlh =
		nfp_batch_begin(b, NFT_MSG_NEWOBJ, NLM_F_CREATE, family);

	if (!nlh)
		return NULL;
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(type));
	return nlh;
}

void nfp_batch_new_counter(struct nfp_batch *b, uint8_t family,
			   const char *table, const char *name)
{
	struct nlmsghdr *nlh =
		begin_object(b, family, table, name, NFT_OBJECT_COUNTER);

	if (!nlh)
		return;
	mnl_attr_nest_end(nlh, mnl_attr_nest_start(nlh, NFTA_OBJ_DATA));
	nfp_batch_end(b, nlh);
}

void nfp_batch_new_ct_timeout(struct nfp_batch *b, uint8_t family,
			      const char *table, const struct nfp_ct_timeout *t)
{
	struct nlmsghdr *nlh =
		begin_object(b, family, table, t->name, NFT_OBJECT_CT_TIMEOUT);
	struct nlattr *data, *policy;

	if (!nlh)
		return;
	data = mnl_attr_nest_start(nlh, NFTA_OBJ_DATA);
	mnl_attr_put_u16(nlh, NFTA_CT_TIMEOUT_L3PROTO, htons(family));
	mnl_attr_put_u8(nlh, NFTA_CT_TIMEOUT_L4PROTO, IPPROTO_TCP);
	policy = mnl_attr_nest_start(nlh, NFTA_CT_TIMEOUT_DATA);
	mnl_attr_put_u32(nlh, CTA_TIMEOUT_TCP_SYN_SENT, htonl(t->syn_sent_s));
	mnl_attr_put_u32(nlh, CTA_TIMEOUT_TCP_CLOSE, htonl(t->close_s));
	mnl_attr_nest_end(nlh, policy);
	mnl_attr_nest_end(nlh, data);
	nfp_batch_end(b, nlh);
}

static unsigned int fields_n(const enum nfp_field fields[NFP_FIELDS_MAX])
{
	unsigned int n = 0;

	while (n < NFP_FIELDS_MAX && fields[n] != NFP_FIELD_NONE)
		n++;
	return n;
}

uint32_t nfp_fields_bytes(const enum nfp_field fields[NFP_FIELDS_MAX])
{
	unsigned int n = fields_n(fields);
	uint32_t bytes_n = 0;

	if (n == 1)
		return field_types[fields[0]].bytes_n;
	for (unsigned int i = 0; i < n; i++)
		bytes_n += MNL_ALIGN(field_types[fields[i]].bytes_n);
	return bytes_n;
}

uint32_t nfp_fields_type(const enum nfp_field fields[NFP_FIELDS_MAX])
{
	uint32_t type = 0;

	for (unsigned int i = 0; i < fields_n(fields); i++)
		type = type << TYPE_BITS | field_types[fields[i]].type;
	return type;
}

static bool put_typeof(struct nftnl_udata_buf *u, const struct nfp_set *def,
		       enum nfp_field field)
{
	const struct field_type *f = &field_types[field];
	struct nftnl_udata *data;
	bool ok = nftnl_udata_put_u32(u, NFTNL_UDATA_SET_TYPEOF_EXPR, f->expr);

	data = nftnl_udata_nest_start(u, NFTNL_UDATA_SET_TYPEOF_DATA);
	if (f->expr == EXPR_PAYLOAD || f->expr == EXPR_META)
		ok = ok && nftnl_udata_put_u32(u, 0, f->first);
	if (f->expr == EXPR_PAYLOAD)
		ok = ok && nftnl_udata_put_u32(u, 1, f->second);
	if (f->expr == EXPR_NUMGEN)
		ok = ok && nftnl_udata_put_u32(u, 0, f->first) &&
		     nftnl_udata_put_u32(u, 1, def->slots_n) &&
		     nftnl_udata_put_u32(u, 2, 0);
	nftnl_udata_nest_end(u, data);
	return ok;
}

/* How nft remembers the expressions of "typeof", or that there are none. */
static bool put_expressions(struct nftnl_udata_buf *u, uint8_t type,
			    const struct nfp_set *def,
			    const enum nfp_field fields[NFP_FIELDS_MAX])
{
	struct nftnl_udata *nest = nftnl_udata_nest_start(u, type);
	unsigned int n = fields_n(fields);
	struct nftnl_udata *parts, *part;
	bool ok = true;

	if (n == 1) {
		ok = put_typeof(u, def, fields[0]);
		nftnl_udata_nest_end(u, nest);
		return ok;
	}
	ok = nftnl_udata_put_u32(u, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_CONCAT);
	parts = nftnl_udata_nest_start(u, NFTNL_UDATA_SET_TYPEOF_DATA);
	for (uint8_t i = 0; def->is_typeof && i < n; i++) {
		part = nftnl_udata_nest_start(u, i);
		ok = ok && put_typeof(u, def, fields[i]);
		nftnl_udata_nest_end(u, part);
	}
	nftnl_udata_nest_end(u, parts);
	nftnl_udata_nest_end(u, nest);
	return ok;
}

static uint32_t byteorder(const enum nfp_field fields[NFP_FIELDS_MAX])
{
	return fields_n(fields) == 1 ? field_types[fields[0]].byteorder :
				       BYTEORDER_NONE;
}

/*
 * What nft itself would note down, in its order, so that nft lists the set as
 * it was meant: byte orders, "typeof" expressions, comment.
 */
static struct nftnl_udata_buf *set_udata(const struct nfp_set *def)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(512);
	bool is_map = def->value[0] != NFP_FIELD_NONE, ok;

	if (!u)
		return NULL;
	ok = nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER,
				 byteorder(def->key));
	if (is_map)
		ok = ok && nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATABYTEORDER,
					       byteorder(def->value));
	if (def->is_typeof || fields_n(def->key) > 1)
		ok = ok && put_expressions(u, NFTNL_UDATA_SET_KEY_TYPEOF, def,
					   def->key);
	if (is_map && (def->is_typeof || fields_n(def->value) > 1))
		ok = ok && put_expressions(u, NFTNL_UDATA_SET_DATA_TYPEOF, def,
					   def->value);
	if (is_map)
		ok = ok &&
		     nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATA_INTERVAL, 0);
	if (def->comment)
		ok = ok && nftnl_udata_put_strz(u, NFTNL_UDATA_SET_COMMENT,
						def->comment);
	if (!ok) {
		nftnl_udata_buf_free(u);
		return NULL;
	}
	return u;
}

/* Ranges over several fields: the kernel must know where each one ends. */
static int set_concat(struct nftnl_set *s, const struct nfp_set *def)
{
	unsigned int n = fields_n(def->key);
	uint32_t flags = def->flags;
	uint8_t bytes[NFP_FIELDS_MAX];

	if (def->value[0] != NFP_FIELD_NONE)
		flags |= NFT_SET_MAP;
	if (n > 1 && flags & NFT_SET_INTERVAL) {
		flags |= NFT_SET_CONCAT;
		for (unsigned int i = 0; i < n; i++)
			bytes[i] = field_types[def->key[i]].bytes_n;
		if (nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, bytes, n) < 0)
			return -1;
	}
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	return 0;
}

static int fill_set(struct nftnl_set *s, const struct nfp_set *def, uint32_t id)
{
	cleanup_(udata_freep) struct nftnl_udata_buf *u = set_udata(def);

	if (!u || set_concat(s, def) < 0 ||
	    nftnl_set_set_str(s, NFTNL_SET_TABLE, def->table) < 0 ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, def->name) < 0 ||
	    nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
			       nftnl_udata_buf_len(u)) < 0)
		return -1;
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, nfp_fields_type(def->key));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, nfp_fields_bytes(def->key));
	if (def->value[0] != NFP_FIELD_NONE) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE,
				  nfp_fields_type(def->value));
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN,
				  nfp_fields_bytes(def->value));
	}
	if (def->size)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, def->size);
	if (def->timeout_ms)
		nftnl_set_set_u64(s, NFTNL_SET_TIMEOUT, def->timeout_ms);
	return 0;
}

void nfp_batch_new_set(struct nfp_batch *b, const struct nfp_set *def)
{
	cleanup_(set_freep) struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *nlh;

	/* The id is the message's own number: unique in the transaction. */
	if (!s || fill_set(s, def, b->messages_n + 1) < 0) {
		b->failed = true;
		return;
	}
	nlh = nfp_batch_begin(b, NFT_MSG_NEWSET, NLM_F_CREATE, def->family);
	if (!nlh)
		return;
	nftnl_set_nlmsg_build_payload(nlh, s);
	nfp_batch_end(b, nlh);
}

static bool same_data(const struct nftnl_set *a, const struct nftnl_set *b,
		      uint16_t attr)
{
	uint32_t a_n = 0, b_n = 0;
	const void *a_data = nftnl_set_get_data(a, attr, &a_n);
	const void *b_data = nftnl_set_get_data(b, attr, &b_n);

	return a_n == b_n && (a_n == 0 || memcmp(a_data, b_data, a_n) == 0);
}

int nfp_set_matches(const struct nfp_set *def, const struct nlmsghdr *nlh)
{
	static const uint16_t numbers[] = {
		NFTNL_SET_FLAGS,     NFTNL_SET_KEY_TYPE, NFTNL_SET_KEY_LEN,
		NFTNL_SET_DATA_TYPE, NFTNL_SET_DATA_LEN, NFTNL_SET_DESC_SIZE,
	};
	cleanup_(set_freep) struct nftnl_set *wanted = nftnl_set_alloc();
	cleanup_(set_freep) struct nftnl_set *got = nftnl_set_alloc();

	if (!wanted || !got || fill_set(wanted, def, 0) < 0)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, got) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (nftnl_set_get_u32(wanted, numbers[i]) !=
		    nftnl_set_get_u32(got, numbers[i]))
			return 0;
	}
	return same_data(wanted, got, NFTNL_SET_DESC_CONCAT) &&
	       same_data(wanted, got, NFTNL_SET_USERDATA);
}

static const struct {
	const char *text;
	uint16_t name_attr, table_attr;
	bool is_table;
} message_types[] = {
	[NFT_MSG_NEWTABLE] = {"new table", NFTA_TABLE_NAME, 0, true},
	[NFT_MSG_DELTABLE] = {"delete table", NFTA_TABLE_NAME, 0, true},
	[NFT_MSG_NEWCHAIN] = {"new chain", NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE,
			      false},
	[NFT_MSG_DELCHAIN] = {"delete chain", NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE,
			      false},
	[NFT_MSG_NEWRULE] = {"new rule in chain", NFTA_RULE_CHAIN,
			     NFTA_RULE_TABLE, false},
	[NFT_MSG_DELRULE] = {"delete rules of chain", NFTA_RULE_CHAIN,
			     NFTA_RULE_TABLE, false},
	[NFT_MSG_NEWSET] = {"new set", NFTA_SET_NAME, NFTA_SET_TABLE, false},
	[NFT_MSG_DELSET] = {"delete set", NFTA_SET_NAME, NFTA_SET_TABLE, false},
	[NFT_MSG_NEWOBJ] = {"new object", NFTA_OBJ_NAME, NFTA_OBJ_TABLE, false},
	[NFT_MSG_NEWSETELEM] = {"new elements of set", NFTA_SET_ELEM_LIST_SET,
				NFTA_SET_ELEM_LIST_TABLE, false},
	[NFT_MSG_DELSETELEM] = {"delete elements of set",
				NFTA_SET_ELEM_LIST_SET,
				NFTA_SET_ELEM_LIST_TABLE, false},
};

/* The comment in an element's user data, if it has one. */
static const char *element_comment(const struct nlattr *element)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, element) {
		const uint8_t *u = mnl_attr_get_payload(a);

		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_USERDATA &&
		    mnl_attr_get_payload_len(a) > 2 &&
		    u[0] == NFTNL_UDATA_SET_ELEM_COMMENT)
			return (const char *)u + 2;
	}
	return NULL;
}

/* The element that holds the attribute at @offset. */
static const char *refused_comment(const struct nlattr *list,
				   const struct nlmsghdr *nlh, uint32_t offset)
{
	const char *at = (const char *)nlh + offset;
	const struct nlattr *element;

	mnl_attr_for_each_nested(element, list) {
		if (at >= (const char *)element &&
		    at < (const char *)element + element->nla_len)
			return element_comment(element);
	}
	return NULL;
}

void nfp_batch_describe(const struct nlmsghdr *nlh, uint32_t offset,
			struct text *t)
{
	uint16_t type = nlh->nlmsg_type & 0xff;
	const char *name = NULL, *table = NULL, *comment = NULL;
	bool is_elements = type == NFT_MSG_NEWSETELEM ||
			   type == NFT_MSG_DELSETELEM;
	const struct nlattr *a;

	if (type >= ARRAY_SIZE(message_types) || !message_types[type].text) {
		text_addf(t, "message of type %u", type);
		return;
	}
	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		uint16_t attr = mnl_attr_get_type(a);

		if (attr == message_types[type].name_attr)
			name = mnl_attr_get_str(a);
		else if (attr == message_types[type].table_attr)
			table = mnl_attr_get_str(a);
		else if (is_elements && offset &&
			 attr == NFTA_SET_ELEM_LIST_ELEMENTS)
			comment = refused_comment(a, nlh, offset);
	}
	text_addf(t, "%s %s", message_types[type].text, name ? name : "?");
	if (!message_types[type].is_table)
		text_addf(t, " of table %s", table ? table : "?");
	if (comment)
		text_addf(t, " (%s)", comment);
}
