/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_intercept.h - the tables that send TCP to the proxy
 *
 * Layer: nft, private.  Adds messages to a batch and sends nothing: the facade
 * (nfp.c) puts them into the same transaction as the floor's, on the socket
 * that owns the tables.  rules/intercept.nft is the same as text.
 */
#pragma once

#include "nfp_batch.h"
#include "nfp_names.h"
#include "nfp_socket.h"
#include "nodesplice/nft/nfp.h"

/* "nodesplice-intercept-a"; Return: @buf */
const char *nfp_intercept_table(const struct nfp_options *o,
				char buf[NFP_NAME_BYTES]);

/**
 * nfp_intercept_write() - Both tables, all but the frontends
 *
 * The same whether they are there or not: what the options say is written
 * anew, what the kernel learned (gate, legs, counters) stays.
 */
void nfp_intercept_write(struct nfp_batch *b, const struct nfp_options *o);

/* Take out every frontend, for nfp_intercept_change() to add the whole plan in
 * the same transaction. */
void nfp_intercept_flush(struct nfp_batch *b, const struct nfp_options *o);

/**
 * nfp_intercept_change() - Frontends that the proxy serves from now on, or not
 * @changes:	Service plans before and after; each NULL before is new, each
 *		NULL after is gone
 *
 * A frontend that goes from one service to another is deleted before it is
 * added.
 * Return: 0; -ENOMEM (the batch is unchanged)
 */
int nfp_intercept_change(struct nfp_batch *b, const struct nfp_options *o,
			 const struct plan_changes *changes);

/**
 * nfp_intercept_close() - Let new connections go by the floor
 *
 * The way back of those that the proxy carries stays, until the tables are
 * deleted.  nfp_intercept_write() opens it again.
 */
void nfp_intercept_close(struct nfp_batch *b, const struct nfp_options *o);

/* Delete both tables, which must exist. */
void nfp_intercept_delete(struct nfp_batch *b, const struct nfp_options *o);

/* Packets since the tables were made. */
struct nfp_intercept_counts {
	uint64_t intercepted; /* first packets sent to a listener; a SYN that
				 the node's own firewall drops counts each time
				 it is repeated */
	uint64_t direct;      /* dropped: for a listener itself */
	uint64_t no_room;     /* of legs above LIMIT_BRIDGE_LEGS */
};

/**
 * nfp_intercept_count() - Read the tables' counters
 *
 * Return: 0; -ENOENT: the tables are not there; -errno
 */
int nfp_intercept_count(struct nfp_socket *s, const struct nfp_options *o,
			struct nfp_intercept_counts *ret_counts);
