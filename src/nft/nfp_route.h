/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_route.h - the ip rule and the route that hand packets to our sockets
 *
 * Layer: nft, private.
 *
 *   ip rule add priority P fwmark DIVERT/DIVERT lookup T protocol 110
 *   ip route add local default dev lo table T protocol 110
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/nft/nfp.h"

/*
 * rtm_protocol of what is ours, so that leftovers with other options are known
 * again: 'n'.  Not in iproute2's rt_protos, nor used by FRR, BIRD or Cilium.
 */
#define NFP_ROUTE_PROTOCOL 110

/**
 * nfp_route_add() - Put rule and route there, for the families intercepted
 *
 * What an earlier run left with other options is removed.  Being there already
 * is no error.
 * Return: 0; -errno with text
 */
int nfp_route_add(const struct nfp_options *o, struct errbuf *e);

/**
 * nfp_route_remove() - Remove every rule and route of ours, whatever its options
 * @o:		Its route_table is looked into even if no rule leads there
 *
 * Return: 0, also if there was none; -errno with text
 */
int nfp_route_remove(const struct nfp_options *o, struct errbuf *e);
