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
	uint32_t *unread; /* owned: sets whose elements were not read */
	size_t unread_n, unread_room;
	bool strange; /* of these, one holds what we would not write */
	struct nfp_names arena; /* chunks of comments */
	size_t arena_used;
};

/*
 * A list that was not consistent is repeated this often; then its set is left
 * unread.
 */
#define NFP_READBACK_ATTEMPTS 20

/*
 * So is a set with more elements.  The kernel walks a set from its start for
 * each 32 KiB of the answer (nf_tables_dump_set()), so a list takes time with
 * the square of its length: 1 s for 100,000 elements, 24 s for 450,000.
 * Flushing and writing 450,000 anew takes 2 s.
 */
#define NFP_READBACK_ELEMENTS 32768

/**
 * nfp_readback() - Read our table
 * @attempts:	NFP_READBACK_ATTEMPTS
 * @ret_rb:	Filled; the caller's to nfp_readback_free(), also on error
 *
 * On a socket of its own, because a list that is given up can only be ended
 * with its socket.  Sets that come from the options (local pods, node port
 * addresses, ServiceCIDRs) are not read: they are always written anew.
 *
 * Return: 0, also when there is no table; -errno with text
 */
int nfp_readback(unsigned int attempts, struct nfp_readback *ret_rb,
		 struct errbuf *e);
void nfp_readback_free(struct nfp_readback *rb); /* leaves it empty */

/**
 * nfp_readback_elements() - List one set of the floor
 * @cb:		Gets each message
 *
 * Return: 0; -ENOENT: there is no such set; -EAGAIN: not consistent; -errno
 */
int nfp_readback_elements(struct nfp_socket *s, const char *set, mnl_cb_t cb,
			  void *data);
