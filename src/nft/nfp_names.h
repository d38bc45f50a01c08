/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_names.h - names and priorities that people and other programs see
 *
 * Layer: nft, private.  Sets, maps and chains are named where they are
 * described (nfp_skeleton.c); rules/README.md has the map of all of them.
 */
#pragma once

#define NFP_FLOOR_TABLE	     "nodesplice"
#define NFP_INTERCEPT_PREFIX "nodesplice-intercept-" /* + 'a' or 'b' */

/* Room for any name of ours: the kernel's NFT_NAME_MAXLEN is 256. */
#define NFP_NAME_BYTES 64

/*
 * Hook priorities.  kube-proxy has told CNIs and policy engines that DNAT
 * happens at -100, SNAT at 100 and rejects at 0 (pkg/proxy/nftables/README.md).
 */
#define NFP_PRIORITY_FIREWALL  (-110) /* source ranges, before any DNAT */
#define NFP_PRIORITY_INTERCEPT (-101) /* one before the floor's DNAT */
#define NFP_PRIORITY_DNAT      (-100)
#define NFP_PRIORITY_FILTER    0
#define NFP_PRIORITY_SNAT      100
