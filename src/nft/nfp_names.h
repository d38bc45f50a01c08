/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_names.h - what tables, sets and chains are called and where they hook
 *
 * Layer: nft, private.  People and other programs see these names;
 * rules/README.md explains them.  Inside, a set or a chain of the floor is a
 * number that sorts: its name is made when it is written.
 */
#pragma once

#include "nfp_batch.h"
#include "nodesplice/plan/plan.h"

#define NFP_FLOOR_TABLE	     "nodesplice"
#define NFP_INTERCEPT_PREFIX "nodesplice-intercept-" /* + 'a' or 'b' */

/* Room for any name of ours; the kernel's NFT_NAME_MAXLEN is 256. */
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
/* Before anybody translates: a nat chain that does ends the hook. */
#define NFP_PRIORITY_FORGET_OUTPUT (-102)
#define NFP_PRIORITY_FORGET	   99

/*
 * In the order in which elements are added: what a frontend leads to is
 * complete before the frontend itself.
 */
enum nfp_set_kind {
	NFP_SET_NONE, /* an id is never 0 */
	/* counted */
	NFP_SET_CLUSTER,
	NFP_SET_LOCAL,
	NFP_SET_NODE_PORT_CLUSTER,
	NFP_SET_NODE_PORT_LOCAL,
	/* of the skeleton */
	NFP_SET_LOCAL_PODS,
	NFP_SET_NODE_PORT_ADDRESSES,
	NFP_SET_HAIRPIN,
	NFP_SET_SOURCE_RANGES,
	NFP_SET_FIREWALLED,
	NFP_SET_CLUSTER_IPS,
	NFP_SET_SERVICE_CIDRS,
	NFP_SET_INSIDE,
	NFP_SET_OUTSIDE,
	NFP_SET_NODE_PORTS_INSIDE,
	NFP_SET_NODE_PORTS_OUTSIDE,
	NFP_SET_NO_ENDPOINTS_INSIDE,
	NFP_SET_NO_ENDPOINTS_OUTSIDE,
	NFP_SET_NO_ENDPOINTS_NODE_PORTS_INSIDE,
	NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE,
	NFP_SET_KIND_MAX_,
};

/* A set's identity in one number, which sorts by kind. */
uint32_t nfp_set_id(enum nfp_set_kind kind, uint8_t family, uint32_t slots_n);
bool nfp_set_is_counted(enum nfp_set_kind kind);
bool nfp_set_is_verdict(enum nfp_set_kind kind); /* a map of them */
enum nfp_set_kind nfp_set_kind(uint32_t set);
uint8_t nfp_set_family(uint32_t set);
uint32_t nfp_set_slots_n(uint32_t set); /* 0: not counted */
/* "cluster4-3"; @buf has NFP_NAME_BYTES */
const char *nfp_set_name(uint32_t set, char *buf);
/* The reverse; 0: no name of ours. */
uint32_t nfp_set_parse(const char *name);
/* Its definition; @name_buf must live as long. */
void nfp_set_define(uint32_t set, char *name_buf, struct nfp_set *ret_def);

/* A chain that a frontend may lead to, in one number, which is never 0. */
#define NFP_CHAIN_REFUSE  1
#define NFP_CHAIN_DISCARD 2
/* Set in the numbers of chains whose names are free: nfp_affinity.h. */
#define NFP_CHAIN_NAMED (1ull << 63)
uint64_t nfp_chain_pick(uint32_t set, enum plan_masquerade masquerade);
/* The counted map that a chain picks from; 0: it picks none. */
uint32_t nfp_chain_set(uint64_t chain);
enum plan_masquerade nfp_chain_masquerade(uint64_t chain);
/* "" for PLAN_KEEP, else "-masquerade..." */
const char *nfp_masquerade_suffix(enum plan_masquerade how);
/* "cluster4-3-masquerade"; @buf has NFP_NAME_BYTES */
const char *nfp_chain_name(uint64_t chain, char *buf);
/* The reverse; 0: no name of a counted chain, of refuse or of discard. */
uint64_t nfp_chain_parse(const char *name);
