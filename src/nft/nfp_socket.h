/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_socket.h - the netlink socket: transactions and dumps
 *
 * Layer: nft, private.  Tables with "flags owner" belong to this socket and go
 * with it.  Blocking, but netlink answers within the call: nothing is waited
 * for.
 */
#pragma once

#include <libmnl/libmnl.h>

#include "nfp_batch.h"
#include "nodesplice/base/err.h"
#include "nodesplice/base/mem.h"

struct nfp_socket;

struct nfp_socket_stats {
	uint64_t transactions, transactions_failed;
	uint64_t last_transaction_bytes, last_transaction_us;
};

int nfp_socket_open(struct nfp_socket **ret_socket, struct errbuf *e);
void nfp_socket_free(struct nfp_socket *s);
DEFINE_FREEP(struct nfp_socket, nfp_socket_free)

int nfp_socket_fd(const struct nfp_socket *s);

/**
 * nfp_socket_commit() - Send a batch as one transaction
 *
 * If the kernel refuses its size, as few transactions as it takes, split at
 * nfp_batch_cut() only.  An empty batch is not sent.
 *
 * Return: 0; -errno with a text that names the message refused.  Nothing was
 * written then, unless the batch had to be split.
 */
int nfp_socket_commit(struct nfp_socket *s, struct nfp_batch *b,
		      struct errbuf *e);

/**
 * nfp_socket_check() - Ask whether a batch would be accepted
 *
 * Nothing is written: without its end a batch is undone.
 * Return: 0; -errno with text
 */
int nfp_socket_check(struct nfp_socket *s, struct nfp_batch *b,
		     struct errbuf *e);

/**
 * nfp_socket_dump() - Ask for a list, hand each message to a callback
 * @nlh:	The request, NLM_F_DUMP set; its sequence number is filled
 * @cb:		MNL_CB_OK to go on, MNL_CB_ERROR with errno to stop: the kernel
 *		holds the rest of the list ready then, and the socket can only
 *		be freed
 *
 * Return: 0; -EAGAIN: the ruleset changed meanwhile, what was seen may be
 * inconsistent (NLM_F_DUMP_INTR); -errno
 */
int nfp_socket_dump(struct nfp_socket *s, struct nlmsghdr *nlh, mnl_cb_t cb,
		    void *data);

void nfp_socket_stats(const struct nfp_socket *s,
		      struct nfp_socket_stats *ret_stats);
