// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h> /* libnftnl/expr.h needs FILE */

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "nfp_expr.h"
#include "nodesplice/base/addr.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

/* Where the fields stand in a packet: RFC 791, RFC 8200, RFC 9293, RFC 768. */
static const struct {
	uint32_t offset, bytes_n;
} address_places[NFP_ADDRESS_MAX_][2] = {
	[NFP_SADDR] = {{12, 4}, {8, 16}},
	[NFP_DADDR] = {{16, 4}, {24, 16}},
};

#define SPORT_OFFSET	   0
#define DPORT_OFFSET	   2
#define TCP_FLAGS_OFFSET   13
#define ETHER_SADDR_OFFSET 6 /* IEEE 802.3 */

/* fib ... type, a value of rtnetlink.h's RTN_LOCAL */
#define ROUTE_TYPE_LOCAL 2

static uint32_t reg(unsigned int word)
{
	return NFT_REG32_00 + word;
}

static unsigned int words(uint32_t bytes_n)
{
	return (bytes_n + 3) / 4;
}

void nfp_rule_begin(struct nfp_rule *r, struct nfp_batch *b, uint8_t family,
		    const char *table, const char *chain)
{
	*r = (struct nfp_rule){.batch = b, .rule = nftnl_rule_alloc()};
	if (!r->rule) {
		b->failed = true;
		return;
	}
	nftnl_rule_set_u32(r->rule, NFTNL_RULE_FAMILY, family);
	if (nftnl_rule_set_str(r->rule, NFTNL_RULE_TABLE, table) < 0 ||
	    nftnl_rule_set_str(r->rule, NFTNL_RULE_CHAIN, chain) < 0)
		b->failed = true;
}

/* Attach a new expression; NULL (remembered) if memory is short. */
static struct nftnl_expr *add(struct nfp_rule *r, const char *name)
{
	struct nftnl_expr *e = r->rule ? nftnl_expr_alloc(name) : NULL;

	if (!e) {
		r->batch->failed = true;
		return NULL;
	}
	nftnl_rule_add_expr(r->rule, e);
	return e;
}

static void set_str(struct nfp_rule *r, struct nftnl_expr *e, uint16_t type,
		    const char *value)
{
	if (nftnl_expr_set_str(e, type, value) < 0)
		r->batch->failed = true;
}

static void set_comment(struct nfp_rule *r, const char *comment)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(
		sizeof(uint8_t) * 2 + LIMIT_ELEMENT_COMMENT + 1);

	if (!u || !nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment) ||
	    nftnl_rule_set_data(r->rule, NFTNL_RULE_USERDATA,
				nftnl_udata_buf_data(u),
				nftnl_udata_buf_len(u)) < 0)
		r->batch->failed = true;
	if (u)
		nftnl_udata_buf_free(u);
}

void nfp_rule_end(struct nfp_rule *r, const char *comment)
{
	struct nlmsghdr *nlh;

	if (!r->rule)
		return;
	if (comment)
		set_comment(r, comment);
	nlh = nfp_batch_begin(
		r->batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
		(uint8_t)nftnl_rule_get_u32(r->rule, NFTNL_RULE_FAMILY));
	if (nlh) {
		nftnl_rule_nlmsg_build_payload(nlh, r->rule);
		nfp_batch_end(r->batch, nlh);
	}
	nftnl_rule_free(r->rule);
	r->rule = NULL;
}

static unsigned int load_payload(struct nfp_rule *r, uint32_t base,
				 uint32_t offset, uint32_t bytes_n,
				 unsigned int word)
{
	struct nftnl_expr *e = add(r, "payload");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg(word));
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, bytes_n);
	}
	return word + words(bytes_n);
}

unsigned int nfp_load_addr(struct nfp_rule *r, uint8_t family,
			   enum nfp_address which, unsigned int word)
{
	unsigned int i = family == AF_INET6;

	return load_payload(r, NFT_PAYLOAD_NETWORK_HEADER,
			    address_places[which][i].offset,
			    address_places[which][i].bytes_n, word);
}

unsigned int nfp_load_l4proto(struct nfp_rule *r, unsigned int word)
{
	return nfp_load_meta(r, NFT_META_L4PROTO, word);
}

unsigned int nfp_load_sport(struct nfp_rule *r, unsigned int word)
{
	return load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, SPORT_OFFSET, 2,
			    word);
}

unsigned int nfp_load_dport(struct nfp_rule *r, unsigned int word)
{
	return load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, DPORT_OFFSET, 2,
			    word);
}

unsigned int nfp_load_ether_saddr(struct nfp_rule *r, unsigned int word)
{
	return load_payload(r, NFT_PAYLOAD_LL_HEADER, ETHER_SADDR_OFFSET,
			    ETH_ALEN, word);
}

unsigned int nfp_load_slot(struct nfp_rule *r, uint32_t slots_n,
			   unsigned int word)
{
	struct nftnl_expr *e = add(r, "numgen");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, reg(word));
		nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, slots_n);
		nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
		nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, 0);
	}
	return word + 1;
}

unsigned int nfp_load_meta(struct nfp_rule *r, enum nft_meta_keys key,
			   unsigned int word)
{
	struct nftnl_expr *e = add(r, "meta");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg(word));
	}
	return word + 1;
}

unsigned int nfp_load_ct(struct nfp_rule *r, enum nft_ct_keys key,
			 int direction, unsigned int word)
{
	struct nftnl_expr *e = add(r, "ct");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg(word));
		if (direction >= 0)
			nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR,
					  (uint8_t)direction);
	}
	return word + 1;
}

unsigned int nfp_load_fib(struct nfp_rule *r, uint32_t flags, uint32_t result,
			  unsigned int word)
{
	struct nftnl_expr *e = add(r, "fib");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, reg(word));
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, result);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, flags);
	}
	return word + 1;
}

unsigned int nfp_load_data(struct nfp_rule *r, const void *data,
			   uint32_t data_n, unsigned int word)
{
	struct nftnl_expr *e = add(r, "immediate");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg(word));
		nftnl_expr_set_data(e, NFTNL_EXPR_IMM_DATA, data, data_n);
	}
	return word + words(data_n);
}

static void bitwise(struct nfp_rule *r, const void *mask, const void *xor_,
		    uint32_t bytes_n, unsigned int word)
{
	struct nftnl_expr *e = add(r, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg(word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg(word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, bytes_n);
	nftnl_expr_set_data(e, NFTNL_EXPR_BITWISE_MASK, mask, bytes_n);
	nftnl_expr_set_data(e, NFTNL_EXPR_BITWISE_XOR, xor_, bytes_n);
}

void nfp_bitwise(struct nfp_rule *r, uint32_t mask, uint32_t xor_,
		 unsigned int word)
{
	bitwise(r, &mask, &xor_, sizeof(mask), word);
}

void nfp_compare(struct nfp_rule *r, enum nft_cmp_ops op, const void *data,
		 uint32_t data_n, unsigned int word)
{
	struct nftnl_expr *e = add(r, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg(word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set_data(e, NFTNL_EXPR_CMP_DATA, data, data_n);
}

static void compare_u8(struct nfp_rule *r, uint8_t value)
{
	nfp_compare(r, NFT_CMP_EQ, &value, sizeof(value), 0);
}

/* word 0 & bits != 0, or == 0 */
static void match_bits(struct nfp_rule *r, uint32_t bits, bool is_set)
{
	const uint32_t zero = 0;

	nfp_bitwise(r, bits, 0, 0);
	nfp_compare(r, is_set ? NFT_CMP_NEQ : NFT_CMP_EQ, &zero, sizeof(zero),
		    0);
}

void nfp_match_family(struct nfp_rule *r, uint8_t family)
{
	nfp_load_meta(r, NFT_META_NFPROTO, 0);
	compare_u8(r, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

void nfp_match_l4proto(struct nfp_rule *r, uint8_t proto)
{
	nfp_load_l4proto(r, 0);
	compare_u8(r, proto);
}

void nfp_match_dport(struct nfp_rule *r, uint16_t port)
{
	const uint16_t wire = htons(port);

	nfp_load_dport(r, 0);
	nfp_compare(r, NFT_CMP_EQ, &wire, sizeof(wire), 0);
}

void nfp_match_protocol(struct nfp_rule *r, uint8_t family)
{
	const uint16_t wire = htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6);

	nfp_load_meta(r, NFT_META_PROTOCOL, 0);
	nfp_compare(r, NFT_CMP_EQ, &wire, sizeof(wire), 0);
}

void nfp_match_tcp_flags(struct nfp_rule *r, uint8_t flags, bool is_set)
{
	const uint8_t zero = 0;

	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET,
		     sizeof(flags), 0);
	bitwise(r, &flags, &zero, sizeof(flags), 0);
	nfp_compare(r, is_set ? NFT_CMP_NEQ : NFT_CMP_EQ, &zero, sizeof(zero),
		    0);
}

void nfp_match_mark(struct nfp_rule *r, uint32_t bit, bool is_set)
{
	nfp_load_meta(r, NFT_META_MARK, 0);
	match_bits(r, bit, is_set);
}

void nfp_match_ct_mark(struct nfp_rule *r, uint32_t bit, bool is_set)
{
	nfp_load_ct(r, NFT_CT_MARK, -1, 0);
	match_bits(r, bit, is_set);
}

void nfp_match_ct_state(struct nfp_rule *r, uint32_t bits)
{
	nfp_load_ct(r, NFT_CT_STATE, -1, 0);
	match_bits(r, bits, true);
}

void nfp_match_ct_status(struct nfp_rule *r, uint32_t bits, bool is_set)
{
	nfp_load_ct(r, NFT_CT_STATUS, -1, 0);
	match_bits(r, bits, is_set);
}

void nfp_match_ct_direction(struct nfp_rule *r, uint8_t direction)
{
	nfp_load_ct(r, NFT_CT_DIRECTION, -1, 0);
	compare_u8(r, direction);
}

void nfp_match_local(struct nfp_rule *r, enum nfp_address which, bool is_local)
{
	const uint32_t local = ROUTE_TYPE_LOCAL;

	nfp_load_fib(r,
		     which == NFP_SADDR ? NFTA_FIB_F_SADDR : NFTA_FIB_F_DADDR,
		     NFT_FIB_RESULT_ADDRTYPE, 0);
	nfp_compare(r, is_local ? NFT_CMP_EQ : NFT_CMP_NEQ, &local,
		    sizeof(local), 0);
}

void nfp_match_ifname(struct nfp_rule *r, enum nft_meta_keys key,
		      const char *name)
{
	char wire[IFNAMSIZ] = {0};

	strncpy(wire, name, sizeof(wire) - 1);
	nfp_load_meta(r, key, 0);
	nfp_compare(r, NFT_CMP_EQ, wire, sizeof(wire), 0);
}

static struct nftnl_expr *lookup(struct nfp_rule *r, const char *set,
				 unsigned int word)
{
	struct nftnl_expr *e = add(r, "lookup");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg(word));
		set_str(r, e, NFTNL_EXPR_LOOKUP_SET, set);
	}
	return e;
}

void nfp_match_in(struct nfp_rule *r, const char *set, unsigned int word,
		  bool is_in)
{
	struct nftnl_expr *e = lookup(r, set, word);

	if (e && !is_in)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS,
				   NFT_LOOKUP_F_INV);
}

void nfp_match_addr_in(struct nfp_rule *r, uint8_t family,
		       enum nfp_address which, const char *set, bool is_in)
{
	nfp_match_family(r, family);
	nfp_load_addr(r, family, which, 0);
	nfp_match_in(r, set, 0, is_in);
}

void nfp_map(struct nfp_rule *r, const char *map, unsigned int word,
	     unsigned int value_word)
{
	struct nftnl_expr *e = lookup(r, map, word);

	if (e)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, reg(value_word));
}

void nfp_verdict_map(struct nfp_rule *r, const char *map, unsigned int word)
{
	struct nftnl_expr *e = lookup(r, map, word);

	if (e)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
}

void nfp_counter(struct nfp_rule *r)
{
	add(r, "counter");
}

static void refer(struct nfp_rule *r, uint32_t type, const char *name)
{
	struct nftnl_expr *e = add(r, "objref");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, type);
	set_str(r, e, NFTNL_EXPR_OBJREF_IMM_NAME, name);
}

void nfp_counter_named(struct nfp_rule *r, const char *name)
{
	refer(r, NFT_OBJECT_COUNTER, name);
}

void nfp_set_ct_timeout(struct nfp_rule *r, const char *name)
{
	refer(r, NFT_OBJECT_CT_TIMEOUT, name);
}

void nfp_verdict(struct nfp_rule *r, int verdict, const char *chain)
{
	struct nftnl_expr *e = add(r, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		set_str(r, e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void set_meta(struct nfp_rule *r, enum nft_meta_keys key,
		     unsigned int word)
{
	struct nftnl_expr *e = add(r, "meta");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, reg(word));
	}
}

void nfp_set_mark(struct nfp_rule *r, unsigned int word)
{
	set_meta(r, NFT_META_MARK, word);
}

void nfp_set_ct_mark(struct nfp_rule *r, unsigned int word)
{
	struct nftnl_expr *e = add(r, "ct");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_SREG, reg(word));
	}
}

void nfp_add_mark(struct nfp_rule *r, uint32_t bit)
{
	nfp_load_meta(r, NFT_META_MARK, 0);
	nfp_bitwise(r, ~bit, bit, 0);
	nfp_set_mark(r, 0);
}

void nfp_add_ct_mark(struct nfp_rule *r, uint32_t bit)
{
	nfp_load_ct(r, NFT_CT_MARK, -1, 0);
	nfp_bitwise(r, ~bit, bit, 0);
	nfp_set_ct_mark(r, 0);
}

void nfp_flip_mark(struct nfp_rule *r, uint32_t bit)
{
	nfp_load_meta(r, NFT_META_MARK, 0);
	nfp_bitwise(r, UINT32_MAX, bit, 0);
	nfp_set_mark(r, 0);
}

void nfp_set_pkttype_host(struct nfp_rule *r)
{
	const uint8_t host = PACKET_HOST;

	nfp_load_data(r, &host, sizeof(host), 0);
	set_meta(r, NFT_META_PKTTYPE, 0);
}

void nfp_set_ether_daddr(struct nfp_rule *r, unsigned int word)
{
	struct nftnl_expr *e = add(r, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_SREG, reg(word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_LL_HEADER);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, 0);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, 6);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_CSUM_TYPE,
			   NFT_PAYLOAD_CSUM_NONE);
}

void nfp_dnat(struct nfp_rule *r, uint8_t family, unsigned int addr_word,
	      unsigned int port_word)
{
	struct nftnl_expr *e = add(r, "nat");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY,
			   family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, reg(addr_word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, reg(port_word));
}

void nfp_redirect(struct nfp_rule *r, unsigned int port_word)
{
	struct nftnl_expr *e = add(r, "redir");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_REG_PROTO_MIN, reg(port_word));
	nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_FLAGS,
			   NF_NAT_RANGE_PROTO_SPECIFIED);
}

void nfp_masquerade(struct nfp_rule *r)
{
	struct nftnl_expr *e = add(r, "masq");

	if (e)
		nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS,
				   NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static void reject(struct nfp_rule *r, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = add(r, "reject");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
		nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
	}
}

void nfp_reject_reset(struct nfp_rule *r)
{
	reject(r, NFT_REJECT_TCP_RST, 0);
}

void nfp_reject_port(struct nfp_rule *r)
{
	reject(r, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
}

static struct nftnl_expr *dynset(struct nfp_rule *r, enum nft_dynset_ops op,
				 const char *set, unsigned int word)
{
	struct nftnl_expr *e = add(r, "dynset");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, op);
		nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, reg(word));
		set_str(r, e, NFTNL_EXPR_DYNSET_SET_NAME, set);
	}
	return e;
}

void nfp_delete_from_set(struct nfp_rule *r, const char *set, unsigned int word)
{
	dynset(r, NFT_DYNSET_OP_DELETE, set, word);
}

void nfp_update_set(struct nfp_rule *r, const char *set, uint64_t timeout_ms,
		    unsigned int word)
{
	struct nftnl_expr *e = dynset(r, NFT_DYNSET_OP_UPDATE, set, word);

	if (e && timeout_ms)
		nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
}

void nfp_update_map(struct nfp_rule *r, const char *map, unsigned int word,
		    unsigned int value_word)
{
	struct nftnl_expr *e = dynset(r, NFT_DYNSET_OP_UPDATE, map, word);

	if (e)
		nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA,
				   reg(value_word));
}
