/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_emit.h - elements of sets and maps as netlink attributes
 *
 * Layer: nft, private.  Written straight with libmnl, into as few messages as
 * their size allows: a cluster's elements are a million, its rules a hundred.
 */
#pragma once

#include "nfp_batch.h"
#include "nodesplice/base/addr.h"
#include "nodesplice/base/limits.h"

struct nfp_emitter {
	struct nfp_batch *batch; /* borrowed, as the strings */
	uint16_t type;		 /* NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM */
	uint8_t family;
	const char *table, *set;
	bool cut_between;     /* the batch may be split between messages */
	struct nlmsghdr *nlh; /* the open message, NULL: none */
	struct nlattr *list;
};

/* What is not of the element is 0. */
struct nfp_emitted {
	const void *key;
	uint32_t key_n;
	const void *key_end; /* of a range over several fields; key_n bytes */
	uint32_t flags;	     /* NFT_SET_ELEM_INTERVAL_END */
	const void *value;   /* of a map */
	uint32_t value_n;
	const char *goto_chain; /* of a verdict map */
	const char *comment;	/* "namespace/name:port" */
	uint64_t timeout_ms;	/* of a set with timeouts */
	uint64_t left_ms;	/* of it; 0: all */
};

/* Begin a run of elements of one set; nothing is written without elements. */
void nfp_emit_begin(struct nfp_emitter *m, struct nfp_batch *b, uint16_t type,
		    uint8_t family, const char *table, const char *set);
void nfp_emit(struct nfp_emitter *m, const struct nfp_emitted *element);
/* Prefixes of one family, into an interval set with an address as its key;
 * they may overlap. */
void nfp_emit_prefixes(struct nfp_emitter *m, uint8_t family,
		       const struct cidr *cidrs, size_t cidrs_n);
void nfp_emit_end(struct nfp_emitter *m);

#define NFP_COMMENT_BYTES (LIMIT_ELEMENT_COMMENT + 1)

/**
 * nfp_comment() - A name as it stands in an element's comment
 *
 * Cut at LIMIT_ELEMENT_COMMENT.  Names come from manifests, too: whatever a
 * Kubernetes name cannot contain becomes '_', so that no quote of it breaks
 * the listing.
 *
 * Return: its length without the final NUL
 */
size_t nfp_comment(const char *name, char buf[NFP_COMMENT_BYTES]);
