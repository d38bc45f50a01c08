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
 * @o:		Only the route table is used; rules are known by their protocol
 *
 * Whatever was there is deleted even if something else could not be.
 * Return: 0, also if there was nothing; -EBUSY: a living process owns an
 * intercept table, which goes when that ends; -errno with text
 */
int nfp_cleanup(const struct nfp_options *o, struct errbuf *e);
