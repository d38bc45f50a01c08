/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_held.h - where the table that was there sent UDP flows
 *
 * Layer: nft, private.
 */
#pragma once

#include "nfp_readback.h"
#include "nodesplice/nft/nfp.h"

/* Tell @fn; out of memory: less of it. */
void nfp_held_tell(const struct nfp_readback *rb, nfp_held_fn fn, void *data);
