/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_skeleton.h - the floor's table, sets, chains and rules
 *
 * Layer: nft, private.  As text in rules/skeleton.nft.  What there is only
 * once is the skeleton; what exists once per number of endpoints is "counted":
 * one map of endpoints, and the chains that pick from it.
 */
#pragma once

#include "nfp_batch.h"
#include "nfp_names.h"
#include "nodesplice/nft/nfp.h"

/**
 * nfp_skeleton_write() - The table and all that it has once
 *
 * What exists already keeps its elements; rules and what comes from the
 * options are written anew.
 */
void nfp_skeleton_write(struct nfp_batch *b, const struct nfp_options *o);
/* The rules and elements that depend on the options alone. */
void nfp_skeleton_rewrite(struct nfp_batch *b, const struct nfp_options *o);
/* Whether a chain of this name belongs to the skeleton; its definition. */
bool nfp_skeleton_chain(const char *name, struct nfp_chain *ret_def);

/* A counted map; a chain that picks from it, with its rules. */
void nfp_counted_set_write(struct nfp_batch *b, uint32_t set);
void nfp_counted_chain_write(struct nfp_batch *b, uint64_t chain,
			     const struct nfp_options *o);
/* The rules of a chain that marks who is to be masqueraded, then goes on to
 * another one; a comment for such a chain. */
void nfp_masquerade_write(struct nfp_batch *b, const char *chain,
			  uint8_t family, enum plan_masquerade how,
			  const char *pick, const struct nfp_options *o);
const char *nfp_masquerade_comment(enum plan_masquerade how);
/* Both must have no user; rules before chains before maps. */
void nfp_counted_chain_delete(struct nfp_batch *b, uint64_t chain);
void nfp_counted_set_delete(struct nfp_batch *b, uint32_t set);
