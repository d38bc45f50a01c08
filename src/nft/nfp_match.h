/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_match.h - conditions that both the floor and the intercept ask
 *
 * Layer: nft, private.  Who is a pod of this node and where node ports are
 * served must be told alike in both tables, so that a backend sees the same
 * on both paths.  Each table has sets of these names with the same elements.
 */
#pragma once

#include "nfp_expr.h"
#include "nodesplice/nft/nfp.h"

/**
 * nfp_match_pod() - The packet comes from a pod of this node, or does not
 *
 * By its source address, else by the interface that it came in by (which what
 * is born here has not: it comes from no pod).  The rest of the rule is for
 * @family alone.
 */
void nfp_match_pod(struct nfp_rule *r, const struct nfp_options *o,
		   uint8_t family, bool is_pod);

/* ip daddr 127.0.0.0/8, ip6 daddr ::1, or not; for @family alone. */
void nfp_match_loopback(struct nfp_rule *r, uint8_t family, bool is_loopback);

/* The destination is an address that node ports are served on, which loopback
 * never is here; for @family alone. */
void nfp_match_node_port_addr(struct nfp_rule *r, const struct nfp_options *o,
			      uint8_t family);
