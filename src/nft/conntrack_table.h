/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conntrack_table.h - which UDP flows lead where they should not
 *
 * Layer: nft, private, pure.  Knows no netlink.
 *
 * A frontend that a Service has now: every flow to it must come from an endpoint
 * that serves; any other is stale, also one that was never translated because
 * it is older than the frontend.
 *
 * A frontend that no Service has any more: its address may be somebody else's by
 * now.  A flow is ours, and stale, only if it comes from an endpoint that we
 * had for this frontend.  What is known of it is forgotten after a pass over
 * all flows that began later: nothing of ours makes new ones.
 *
 * Whenever memory is short less is known, and less is stale.
 */
#pragma once

#include "nodesplice/plan/plan.h"

struct conntrack_table;

/* One flow as the kernel tracks it. */
struct conntrack_flow {
	struct sockad to;   /* where the client sends to */
	struct sockad from; /* whom it is answered by; @to if untranslated */
};

int conntrack_table_new(struct conntrack_table **ret_table);
void conntrack_table_free(struct conntrack_table *t);
DEFINE_FREEP(struct conntrack_table, conntrack_table_free)

/**
 * conntrack_table_change() - One Service is planned otherwise now
 * @before, @after: Either may be NULL
 *
 * Return: whether a UDP frontend or where its flows may stay is another one
 */
bool conntrack_table_change(struct conntrack_table *t,
			    const struct service_plan *before,
			    const struct service_plan *after);

/* The kernel's rules sent flows to @frontend (of node ports: the unspecified
 * address) to @endpoint, until now.  Of use if no Service has it. */
void conntrack_table_held(struct conntrack_table *t,
			  const struct sockad *frontend,
			  const struct sockad *endpoint);

/* The local addresses that node ports are served on.  Return: whether they are
 * others than before; out of memory: the old ones stay. */
bool conntrack_table_node_ports(struct conntrack_table *t,
				const struct addr *addrs, size_t addrs_n);

/* A pass over all flows begins; ended without having missed one. */
void conntrack_table_begin(struct conntrack_table *t);
void conntrack_table_end(struct conntrack_table *t);

bool conntrack_table_is_stale(const struct conntrack_table *t,
			      const struct conntrack_flow *flow);
/* Whether any flow of this family can be. */
bool conntrack_table_has(const struct conntrack_table *t, uint8_t family);
/* Former frontends and endpoints that could not be remembered, ever. */
uint64_t conntrack_table_forgotten_n(const struct conntrack_table *t);
