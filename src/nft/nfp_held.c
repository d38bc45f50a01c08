// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Most frontends lead to elements: a slot is a frontend and an endpoint.  Those
 * of ports with session affinity lead to a chain; rules are not read, but the
 * names of the port's sets are its endpoints' addresses.  So from each set
 * follow the numbers of all chains that may lead to its endpoint, and a frontend
 * whose verdict is one of these numbers had it.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "nfp_affinity.h"
#include "nfp_held.h"
#include "nodesplice/base/mem.h"

struct lead {
	uint64_t chain;
	struct sockad endpoint;
};

struct leads {
	struct lead *items; /* owned; sorted by chain */
	size_t n, room;
};

static void leads_free(struct leads *l)
{
	free(l->items);
}

static int add_leads(struct leads *l, const struct nfp_affinity_member *m)
{
	int r = 0;

	for (unsigned int s = 0; s < SELECT_SCOPE_MAX_; s++) {
		for (unsigned int how = 0; r == 0 && how < PLAN_MASQUERADE_MAX_;
		     how++) {
			const struct lead lead = {
				nfp_affinity_lead_id(m, s, how), m->at};

			r = ARRAY_APPEND(l->items, l->n, l->room, lead);
		}
	}
	return r;
}

static int compare_leads(const void *a, const void *b)
{
	const struct lead *x = a, *y = b;

	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

static void find_leads(const struct nfp_names *sets, struct leads *l)
{
	struct nfp_affinity_member m;

	for (size_t i = 0; i < sets->n; i++) {
		if (nfp_affinity_member_parse(sets->items[i], &m) &&
		    m.protocol == IPPROTO_UDP && add_leads(l, &m) < 0)
			break;
	}
	if (l->n > 0)
		qsort(l->items, l->n, sizeof(*l->items), compare_leads);
}

/* The first one of a chain, or where it would be. */
static size_t first_lead(const struct leads *l, uint64_t chain)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->items[middle].chain < chain)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void tell_leads(const struct leads *l, const struct nfp_element *e,
		       nfp_held_fn fn, void *data)
{
	struct sockad frontend;

	if (!nfp_element_frontend(e, IPPROTO_UDP, &frontend))
		return;
	for (size_t i = first_lead(l, e->chain);
	     i < l->n && l->items[i].chain == e->chain; i++)
		fn(&frontend, &l->items[i].endpoint, data);
}

void nfp_held_tell(const struct nfp_readback *rb, nfp_held_fn fn, void *data)
{
	cleanup_(leads_free) struct leads l = {0};
	struct sockad frontend, endpoint;

	find_leads(&rb->sets, &l);
	for (size_t i = 0; i < rb->elements.n; i++) {
		const struct nfp_element *e = &rb->elements.items[i];

		if (nfp_element_slot(e, IPPROTO_UDP, &frontend, &endpoint))
			fn(&frontend, &endpoint, data);
		else
			tell_leads(&l, e, fn, data);
	}
}
