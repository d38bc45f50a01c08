// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <string.h>

#include "nfp_match.h"
#include "nfp_names.h"

static const char *set_name(enum nfp_set_kind kind, uint8_t family, char *buf)
{
	return nfp_set_name(nfp_set_id(kind, family, 0), buf);
}

void nfp_match_pod(struct nfp_rule *r, const struct nfp_options *o,
		   uint8_t family, bool is_pod)
{
	const enum nft_cmp_ops op = is_pod ? NFT_CMP_EQ : NFT_CMP_NEQ;
	char name[NFP_NAME_BYTES];

	if (!*o->pod_interface) {
		nfp_match_addr_in(r, family, NFP_SADDR,
				  set_name(NFP_SET_LOCAL_PODS, family, name),
				  is_pod);
		return;
	}
	nfp_match_family(r, family);
	nfp_load_meta(r, NFT_META_IIFNAME, 0);
	/* Without its final zeros a name is the beginning of one. */
	nfp_compare(r, op, o->pod_interface,
		    o->pod_interface_is_prefix ?
			    (uint32_t)strnlen(o->pod_interface,
					      sizeof(o->pod_interface)) :
			    (uint32_t)sizeof(o->pod_interface),
		    0);
}

void nfp_match_loopback(struct nfp_rule *r, uint8_t family, bool is_loopback)
{
	const enum nft_cmp_ops op = is_loopback ? NFT_CMP_EQ : NFT_CMP_NEQ;
	const uint32_t net = htonl(0x7f000000), mask = htonl(0xff000000);

	nfp_match_family(r, family);
	nfp_load_addr(r, family, NFP_DADDR, 0);
	if (family == AF_INET6) {
		nfp_compare(r, op, &in6addr_loopback, sizeof(in6addr_loopback),
			    0);
		return;
	}
	nfp_bitwise(r, mask, 0, 0);
	nfp_compare(r, op, &net, sizeof(net), 0);
}

void nfp_match_node_port_addr(struct nfp_rule *r, const struct nfp_options *o,
			      uint8_t family)
{
	char name[NFP_NAME_BYTES];

	if (!o->node_ports_everywhere[family == AF_INET6]) {
		nfp_match_addr_in(r, family, NFP_DADDR,
				  set_name(NFP_SET_NODE_PORT_ADDRESSES, family,
					   name),
				  true);
		return;
	}
	nfp_match_local(r, NFP_DADDR, true);
	nfp_match_loopback(r, family, false);
}
