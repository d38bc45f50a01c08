/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nft/cleanup.h - remove everything of ours from the kernel
 *
 * Layer: nft.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/nft/nfp.h"

/**
 * nfp_cleanup() - Delete our tables, ip rules and routes
 *
 * A missing one is no error.  An intercept table that a living process owns is
 * left and told (-EBUSY), everything else is removed all the same.
 */
int nfp_cleanup(const struct nfp_options *o, struct errbuf *e);
