/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_affinity.h - Service ports whose clients keep their endpoint
 *
 * Layer: nft, private; sessionAffinity ClientIP.  Such a port has sets and
 * chains of its own in the floor, see nfp_affinity.c.  Their names say whose
 * they are, so that nothing about them is held in memory:
 *
 *   affinity4-default/web-tcp-80-10.244.1.5-8080     set, and chain
 *   affinity-cluster4-default/web-tcp-80[-masquerade...]      chain
 */
#pragma once

#include "nfp_batch.h"
#include "nfp_users.h"
#include "nodesplice/nft/nfp.h"

/* Namespaces and names of Services have up to 63 characters; the kernel's
 * NFT_NAME_MAXLEN. */
#define NFP_AFFINITY_NAME_BYTES 256

/* Whether a port has any of this in the floor. */
bool nfp_affinity_applies(const struct plan_port *p);

/* The chain that a view of the port leads to; @buf has
 * NFP_AFFINITY_NAME_BYTES. */
const char *nfp_affinity_chain_name(const struct plan_port *p,
				    enum select_scope scope,
				    enum plan_masquerade how, char *buf);
/* One endpoint's set, which is the name of its chain as well. */
const char *nfp_affinity_endpoint_name(const struct plan_port *p,
				       const struct sockad *endpoint,
				       char *buf);
/* Whether an endpoint of such a port has a set: one that a view may pick. */
bool nfp_affinity_has_endpoint(const struct plan_port *p, size_t endpoint);
/* Whether a chain's or set's name can only be of this kind. */
bool nfp_affinity_is_name(const char *name);
/* A name in one number, which is never one of nfp_names.h; 0: not such a name.
 * Two names are told apart by 63 bits. */
uint64_t nfp_affinity_id(const char *name);
bool nfp_affinity_is_id(uint64_t chain);
/* The definition of a set by its name, which must live as long; false: it is
 * not an endpoint's. */
bool nfp_affinity_set_define(const char *name, struct nfp_set *ret_def);

/* What the name of an endpoint's set says. */
struct nfp_affinity_member {
	char of[NFP_AFFINITY_NAME_BYTES]; /* "4-default/web-tcp-80" */
	int protocol;			  /* IPPROTO_* */
	struct sockad at;
};

/* Return: false: it is no such name */
bool nfp_affinity_member_parse(const char *name,
			       struct nfp_affinity_member *ret_member);
/* The id of a chain of the same port. */
uint64_t nfp_affinity_lead_id(const struct nfp_affinity_member *m,
			      enum select_scope scope,
			      enum plan_masquerade how);

/* Whether two ports have the same sets, chains and rules; either may be NULL. */
bool nfp_affinity_same(const struct plan_port *a, const struct plan_port *b);

/* Count the ids of all names of a port.  Return: 0; -ENOMEM */
int nfp_affinity_use(const struct plan_port *p, struct nfp_users *users);

/**
 * nfp_affinity_write() - A port's sets, chains and rules
 *
 * The same whether they are there or not; what the sets remember stays.
 */
void nfp_affinity_write(struct nfp_batch *b, const struct plan_port *p,
			const struct nfp_options *o);

/**
 * nfp_affinity_delete() - What of a port nobody uses any more
 * @users:	Names that stay
 * @keep_chains: Chains that map elements led to are emptied and stay
 *
 * After the elements that lead to its chains.
 */
void nfp_affinity_delete(struct nfp_batch *b, const struct plan_port *p,
			 const struct nfp_users *users, bool keep_chains);
