/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_clients.h - what the sets of nfp_affinity.h remember, written and read
 *
 * Layer: nft, private.
 */
#pragma once

#include "nfp_batch.h"
#include "nfp_socket.h"
#include "nodesplice/nft/nfp.h"

/**
 * nfp_clients_add() - Have the sets remember clients
 * @ret_n:	How many elements that is
 *
 * Of several of one client and port the last one holds.  Endpoints that a port
 * does not have are skipped.
 * Return: 0; -ENOMEM (the batch is unchanged)
 */
int nfp_clients_add(struct nfp_batch *b, const struct nfp_client *clients,
		    size_t clients_n, size_t *ret_n);

/**
 * nfp_clients_list() - Tell what the sets of a port remember
 * @s:		A socket for this alone
 *
 * Return: 0, also if there are no such sets; -errno; what @fn returned below 0
 */
int nfp_clients_list(struct nfp_socket *s, const struct plan_port *port,
		     nfp_client_fn fn, void *data);
