/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_forget.h - conntrack forgets at once what the proxy's end has reset
 *
 * Layer: nft, private.  A table of its own, which stays when the daemon goes:
 * it is about what clients find then.
 */
#pragma once

#include "nfp_socket.h"
#include "nodesplice/base/err.h"
#include "nodesplice/nft/nfp.h"

#define NFP_FORGET_TABLE "nodesplice-forget"

/* Whether the kernel can; writes nothing. */
bool nfp_forget_supported(struct nfp_socket *s);

/**
 * nfp_forget_write() - Make the kernel hold the table, in one transaction
 * @anew:	Also what cannot be changed: the timeouts begin with those that
 *		sysctls say now; connections of an earlier run lose ours
 *
 * Return: 0; -errno with text, nothing was written
 */
int nfp_forget_write(struct nfp_socket *s, const struct nfp_options *o,
		     bool anew, struct errbuf *e);
