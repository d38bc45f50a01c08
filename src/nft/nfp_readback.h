/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_readback.h - what the kernel holds of the floor
 *
 * Layer: nft, private.  Rules are not read: whoever compares writes them anew.
 */
#pragma once

#include "nfp_elements.h"
#include "nfp_socket.h"
#include "nodesplice/base/err.h"

struct nfp_names {
	char **items; /* owned, as the strings */
	size_t n, room;
};

struct nfp_readback {
	bool exists;	       /* the table is there */
	bool incompatible;     /* something of ours is defined in another way:
				   nothing else was read, the table must go */
	struct nfp_names sets; /* of the whole table, others' included */
	struct nfp_names chains;
	struct nfp_elements elements; /* of our sets, sorted; comments are owned
					 by arena */
	uint32_t *unread;	      /* owned: sets whose elements could not be
					 read or are not like ours */
	size_t unread_n, unread_room;
	struct nfp_names arena; /* chunks of comments */
	size_t arena_used;
};

/* A dump that was disturbed by other programs' transactions is repeated this
 * often; then its set counts as unread. */
#define NFP_READBACK_ATTEMPTS 20

/**
 * nfp_readback() - Read our table
 * @attempts:	NFP_READBACK_ATTEMPTS
 * @ret_rb:	Filled; the caller's to nfp_readback_free(), also on error
 *
 * Sets that come from the options (local pods, node port addresses) are not
 * read: they are always written anew.
 *
 * Return: 0, also when there is no table; -errno with text
 */
int nfp_readback(struct nfp_socket *s, unsigned int attempts,
		 struct nfp_readback *ret_rb, struct errbuf *e);
void nfp_readback_free(struct nfp_readback *rb); /* leaves it empty */
