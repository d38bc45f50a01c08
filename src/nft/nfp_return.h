/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_return.h - the way back of legs that keep a client's address
 *
 * Layer: nft, private; a part of the intercept's tables.
 */
#pragma once

#include "nfp_batch.h"
#include "nodesplice/nft/nfp.h"

/* Chains of the inet table @table that mark replies; again is harmless. */
void nfp_return_write(struct nfp_batch *b, const struct nfp_options *o,
		      const char *table);
/* Named counter of the bridge table: packets of legs above the bound. */
#define NFP_COUNTER_NO_ROOM "no-room"

/* The bridge table of the same name. */
void nfp_return_write_bridge(struct nfp_batch *b, const struct nfp_options *o,
			     const char *table);
