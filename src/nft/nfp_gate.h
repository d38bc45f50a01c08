/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_gate.h - the packets that keep the intercept open
 *
 * Layer: nft, private.
 */
#pragma once

#include <stdint.h>

#include "nodesplice/base/err.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/nft/nfp.h"

struct nfp_gate;

/**
 * nfp_gate_new() - Open the sockets of the heartbeats
 * @own_mark:	Set on them, so that nobody without CAP_NET_ADMIN (or
 *		CAP_NET_RAW, since 5.17) can hold the gate open
 *
 * A family that the kernel has not is no error: its gate stays closed.
 * Return: 0; -errno with text
 */
int nfp_gate_new(uint32_t own_mark, struct nfp_gate **ret_gate,
		 struct errbuf *e);
void nfp_gate_free(struct nfp_gate *g);
DEFINE_FREEP(struct nfp_gate, nfp_gate_free)

/**
 * nfp_gate_refresh() - Keep one family's gate open for its timeout
 * @port:	NFP_FROM_NODE's
 *
 * Return: 0; -ENOENT: no intercept took the packet; -errno of sendto(2), such
 * as -EADDRNOTAVAIL where lo has no ::1
 */
int nfp_gate_refresh(struct nfp_gate *g, uint8_t family, uint16_t port);
