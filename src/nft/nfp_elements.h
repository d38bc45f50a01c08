/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_elements.h - what a Service is in the floor: elements of sets and maps
 *
 * Layer: nft, private, pure.
 */
#pragma once

#include "nfp_emit.h"
#include "nfp_names.h"

/* The longest key: two IPv6 addresses, protocol and port. */
#define NFP_KEY_BYTES 40
/* The longest value: an IPv6 address and a port. */
#define NFP_VALUE_BYTES 24

struct nfp_element {
	uint32_t set;
	uint8_t key[NFP_KEY_BYTES]; /* as in the kernel; unused bytes are 0 */
	union {
		uint8_t value[NFP_VALUE_BYTES]; /* of endpoint maps */
		uint8_t last[16]; /* of source ranges: the last address */
		struct {
			uint64_t chain; /* of verdict maps; 0: none of ours */
			/* Of a chain in nfp_affinity.h; borrowed. */
			const struct plan_port *port;
			uint8_t scope, masquerade;
		};
	};
	const char *comment; /* borrowed; NULL: none, as of what is shared */
};

struct nfp_elements {
	struct nfp_element *items; /* owned */
	size_t n, room;
};

void nfp_elements_free(struct nfp_elements *e); /* leaves it empty */

/**
 * nfp_elements_add_service() - Append all elements of one Service
 * @e:		Comments are borrowed from @sp
 *
 * Return: 0; -ENOMEM
 */
int nfp_elements_add_service(struct nfp_elements *e,
			     const struct service_plan *sp);

/* By set, then by key: the order in which they are written. */
void nfp_elements_sort(struct nfp_elements *e);
int nfp_element_compare(const struct nfp_element *a,
			const struct nfp_element *b);
/* Whether two elements of equal key also say the same. */
bool nfp_element_same(const struct nfp_element *a, const struct nfp_element *b);
/* Whether several Services may have the same element. */
bool nfp_element_shared(const struct nfp_element *e);

/* Whether it is a slot of a frontend of this protocol (IPPROTO_*), and which
 * endpoint it leads to; node ports by the unspecified address. */
bool nfp_element_slot(const struct nfp_element *e, int protocol,
		      struct sockad *ret_frontend, struct sockad *ret_endpoint);

/* Whether it is a frontend of this protocol that leads to a chain, and which;
 * node ports by the unspecified address. */
bool nfp_element_frontend(const struct nfp_element *e, int protocol,
			  struct sockad *ret_frontend);

/* Write one; @with_value: as a new one, else to delete it. */
void nfp_element_emit(struct nfp_emitter *m, const struct nfp_element *e,
		      bool with_value);

/**
 * nfp_element_parse() - Read one as the kernel lists it
 * @attr:	NFTA_LIST_ELEM
 * @comment:	Of the element, borrowed from @attr; NULL: none
 *
 * A verdict that is none of ours becomes chain 0, which equals no wanted one.
 *
 * Return: 0; -EBADMSG: not an element as we write them
 */
int nfp_element_parse(const struct nlattr *attr, uint32_t set,
		      struct nfp_element *ret_element);
