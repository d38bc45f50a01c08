/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_batch.h - the messages of a transaction, in the order they take effect
 *
 * Layer: nft, private.  Knows no plan and sends nothing (nfp_socket.h does).
 * A lack of memory is remembered and told when the batch is sent, so that
 * whoever adds messages need not check each.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/text.h"

/*
 * A nested attribute's length has 16 bits.  Whoever fills a message of many
 * parts begins a new one before it grows above this.
 */
#define NFP_MESSAGE_BYTES (60u << 10)

struct nfp_batch {
	uint8_t *data; /* owned; messages, one after the other */
	size_t len, room;
	uint32_t messages_n; /* message i has sequence number i + 1 */
	size_t *cuts;	     /* owned; offsets where the batch may be split */
	size_t cuts_n, cuts_room;
	bool failed; /* out of memory: the batch is incomplete */
};

void nfp_batch_free(struct nfp_batch *b); /* leaves an empty batch */

/**
 * nfp_batch_begin() - Open a message of up to 64 KiB
 * @type:	NFT_MSG_*
 * @flags:	NLM_F_CREATE and the like; NLM_F_REQUEST is added
 * @family:	NFPROTO_*
 *
 * Return: the header, for libmnl and libnftnl to append to until
 * nfp_batch_end(); NULL if memory is short (remembered)
 */
struct nlmsghdr *nfp_batch_begin(struct nfp_batch *b, uint16_t type,
				 uint16_t flags, uint8_t family);
void nfp_batch_end(struct nfp_batch *b, const struct nlmsghdr *nlh);
/* Messages before and after here may go in different transactions. */
void nfp_batch_cut(struct nfp_batch *b);

/* Where the message with this sequence number starts; NULL: there is none. */
const struct nlmsghdr *nfp_batch_message(const struct nfp_batch *b,
					 uint32_t seq);
/**
 * nfp_batch_describe() - What a message does, for an error text
 * @offset:	Of the attribute that the kernel refused, 0: unknown
 *
 * "new rule in chain output of table nodesplice", "delete elements of
 * outside4 of table nodesplice (default/web:http)"
 */
void nfp_batch_describe(const struct nlmsghdr *nlh, uint32_t offset,
			struct text *t);

/* Tables, chains and sets; @comment may be NULL. */
void nfp_batch_new_table(struct nfp_batch *b, uint8_t family, const char *name,
			 uint32_t flags, const char *comment);
void nfp_batch_del_table(struct nfp_batch *b, uint8_t family, const char *name);

struct nfp_chain {
	uint8_t family;
	const char *table, *name, *comment;
	const char *type; /* "filter", "nat", "route"; NULL: no base chain */
	uint32_t hook;	  /* NF_INET_*, NF_BR_* */
	int32_t priority;
};

void nfp_batch_new_chain(struct nfp_batch *b, const struct nfp_chain *c);
void nfp_batch_del_chain(struct nfp_batch *b, uint8_t family, const char *table,
			 const char *name);
/* Delete its rules. */
void nfp_batch_flush_chain(struct nfp_batch *b, uint8_t family,
			   const char *table, const char *name);

/* A counter of the table, for several rules; kept if it is there already. */
void nfp_batch_new_counter(struct nfp_batch *b, uint8_t family,
			   const char *table, const char *name);

/* How long conntrack keeps a TCP connection in these states; in the others, as
 * sysctls said when it was made.  Kept as it is if it is there already. */
struct nfp_ct_timeout {
	const char *name;
	uint32_t syn_sent_s, close_s;
};

void nfp_batch_new_ct_timeout(struct nfp_batch *b, uint8_t family,
			      const char *table,
			      const struct nfp_ct_timeout *t);

/* One part of a set's key or of a map's value. */
enum nfp_field {
	NFP_FIELD_NONE,
	NFP_FIELD_IP_SADDR,
	NFP_FIELD_IP_DADDR,
	NFP_FIELD_IP6_SADDR,
	NFP_FIELD_IP6_DADDR,
	NFP_FIELD_L4PROTO,
	NFP_FIELD_TH_SPORT,
	NFP_FIELD_TH_DPORT,
	NFP_FIELD_NFPROTO,
	NFP_FIELD_ETHER_SADDR,
	NFP_FIELD_SLOT, /* numgen random mod slots_n */
	NFP_FIELD_VERDICT,
	NFP_FIELD_MAX_,
};

#define NFP_FIELDS_MAX 6

struct nfp_set {
	uint8_t family;
	const char *table, *name, *comment;
	uint32_t flags; /* NFT_SET_INTERVAL, _TIMEOUT, _EVAL; _MAP and _CONCAT
			   are added where needed */
	bool is_typeof; /* listed as "typeof ip daddr", else "type ipv4_addr" */
	enum nfp_field key[NFP_FIELDS_MAX];   /* up to the first NONE */
	enum nfp_field value[NFP_FIELDS_MAX]; /* none: a set, else a map */
	uint32_t slots_n;		      /* of NFP_FIELD_SLOT */
	uint32_t size;			      /* most elements; 0: no bound */
	uint64_t timeout_ms;		      /* 0: none */
};

void nfp_batch_new_set(struct nfp_batch *b, const struct nfp_set *s);
/**
 * nfp_set_matches() - Whether the kernel's set is the one defined
 * @nlh:	NFT_MSG_NEWSET, as listed
 *
 * What nft shows of it counts as well (names of types, comment): a set is not
 * changed after it was made.
 *
 * Return: 1, 0; -ENOMEM
 */
int nfp_set_matches(const struct nfp_set *s, const struct nlmsghdr *nlh);
void nfp_batch_del_set(struct nfp_batch *b, uint8_t family, const char *table,
		       const char *name);
/* Delete its elements. */
void nfp_batch_flush_set(struct nfp_batch *b, uint8_t family, const char *table,
			 const char *name);
/* Bytes of a key or value: each field is padded to 4. */
uint32_t nfp_fields_bytes(const enum nfp_field fields[NFP_FIELDS_MAX]);
/* The key or value type as nft numbers it (6 bits a field). */
uint32_t nfp_fields_type(const enum nfp_field fields[NFP_FIELDS_MAX]);
