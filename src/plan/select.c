// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/plan/select.h"

/* A candidate beside the hints that judging it needs. */
struct entry {
	struct candidate c;
	const struct slice_endpoint *ep; /* borrowed from the store */
};

struct gathering {
	const struct service_port *port;
	uint8_t family;
	const char *node_name;
	struct entry *entries;
	size_t n, room, left_out_n;
	int r;
};

void selection_free(struct selection *s)
{
	free(s->candidates);
	*s = (struct selection){0};
}

/*
 * Of a doubled endpoint one stays: rather one that is not terminating, because
 * a new pod may have the address of one that goes (endpointslicecache.go,
 * addEndpoints()).  Then, as it moves from slice to slice, the better one:
 * local, ready, serving, in this order; else the first, by the slice's key.
 */
static unsigned int rank(const struct candidate *c)
{
	return 8u * !c->terminating + 4u * c->local + 2u * c->ready +
	       c->serving;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = sockad_compare(&x->c.at, &y->c.at);

	if (r)
		return r;
	return (rank(&x->c) < rank(&y->c)) - (rank(&x->c) > rank(&y->c));
}

static void gather_endpoint(struct gathering *g,
			    const struct slice_endpoint *ep, uint16_t port)
{
	struct entry entry = {
		.c = {.at = {.addr = ep->addr, .port = port},
		      .ready = ep->ready,
		      .serving = ep->serving,
		      .terminating = ep->terminating,
		      .node = ep->node,
		      .local = ep->node && g->node_name &&
			       strcmp(ep->node, g->node_name) == 0},
		.ep = ep,
	};

	if (g->n >= LIMIT_ENDPOINTS_PER_PORT) {
		g->left_out_n++;
		return;
	}
	if (ARRAY_APPEND(g->entries, g->n, g->room, entry) < 0)
		g->r = -ENOMEM;
}

static void gather_slice(const struct endpoint_slice *s, void *data)
{
	struct gathering *g = data;

	if (s->family != g->family)
		return;
	for (size_t i = 0; i < s->ports_n; i++) {
		const struct slice_port *p = &s->ports[i];

		if (p->port == 0 || p->protocol != g->port->protocol ||
		    strcmp(p->name, g->port->name) != 0)
			continue;
		g->left_out_n += s->left_out_n;
		for (size_t k = 0; k < s->endpoints_n; k++)
			gather_endpoint(g, &s->endpoints[k], p->port);
	}
}

static void sort_and_merge(struct gathering *g)
{
	size_t kept = 0;

	if (g->n == 0)
		return;
	qsort(g->entries, g->n, sizeof(*g->entries), entry_compare);
	for (size_t i = 1; i < g->n; i++) {
		if (sockad_compare(&g->entries[i].c.at,
				   &g->entries[kept].c.at) != 0)
			g->entries[++kept] = g->entries[i];
	}
	g->n = kept + 1;
}

static bool names(char *const *hints, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++) {
		if (strcmp(hints[i], name) == 0)
			return true;
	}
	return false;
}

enum topology { TOPOLOGY_NONE, TOPOLOGY_SAME_NODE, TOPOLOGY_SAME_ZONE };

/* kube-proxy's topologyModeFromHints(): a hint counts only if every ready
 * endpoint has one and one of them names us. */
static enum topology topology_of(const struct gathering *g, const char *zone)
{
	bool all_node = true, all_zone = true, our_node = false,
	     our_zone = false;

	for (size_t i = 0; i < g->n; i++) {
		const struct slice_endpoint *ep = g->entries[i].ep;

		if (!ep->ready)
			continue;
		all_node &= ep->node_hints_n > 0;
		all_zone &= ep->zone_hints_n > 0;
		our_node |=
			names(ep->node_hints, ep->node_hints_n, g->node_name);
		our_zone |= names(ep->zone_hints, ep->zone_hints_n, zone);
	}
	if (all_node && our_node)
		return TOPOLOGY_SAME_NODE;
	return all_zone && our_zone ? TOPOLOGY_SAME_ZONE : TOPOLOGY_NONE;
}

/* Why a ready endpoint is not in the Cluster set, or SELECT_CHOSEN. */
static enum select_reason judge_hints(const struct entry *entry,
				      enum topology topology,
				      const char *node_name, const char *zone)
{
	const struct slice_endpoint *ep = entry->ep;

	switch (topology) {
	case TOPOLOGY_SAME_NODE:
		return names(ep->node_hints, ep->node_hints_n, node_name) ?
			       SELECT_CHOSEN :
			       SELECT_OTHER_NODE_HINT;
	case TOPOLOGY_SAME_ZONE:
		return names(ep->zone_hints, ep->zone_hints_n, zone) ?
			       SELECT_CHOSEN :
			       SELECT_OTHER_ZONE_HINT;
	case TOPOLOGY_NONE:
		break;
	}
	return SELECT_CHOSEN;
}

/* One scope: ready ones; if there are none, serving and terminating ones. */
static void judge_scope(struct gathering *g, enum select_scope scope,
			enum topology topology, const char *zone)
{
	bool any_ready = false;

	for (size_t i = 0; i < g->n; i++) {
		const struct candidate *c = &g->entries[i].c;

		any_ready |= c->ready &&
			     (scope == SELECT_SCOPE_CLUSTER || c->local);
	}
	for (size_t i = 0; i < g->n; i++) {
		struct candidate *c = &g->entries[i].c;
		enum select_reason *reason = &c->reason[scope];

		if (scope == SELECT_SCOPE_LOCAL && !c->local)
			*reason = SELECT_NOT_LOCAL;
		else if (c->ready)
			*reason = judge_hints(&g->entries[i], topology,
					      g->node_name, zone);
		else if (!c->serving || !c->terminating)
			*reason = SELECT_NOT_READY;
		else
			*reason = any_ready ? SELECT_TERMINATING :
					      SELECT_CHOSEN;
	}
}

static int fill_selection(const struct gathering *g, struct selection *s)
{
	if (array_reserve(&s->candidates, &s->room, g->n,
			  sizeof(*s->candidates)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		s->candidates[i] = g->entries[i].c;
		for (size_t k = 0; k < SELECT_SCOPE_MAX_; k++)
			s->chosen_n[k] += g->entries[i].c.reason[k] ==
					  SELECT_CHOSEN;
	}
	s->candidates_n = g->n;
	s->left_out_n = g->left_out_n;
	return 0;
}

int select_endpoints(const struct store *st, const struct service *s,
		     const struct service_port *port, uint8_t family,
		     const char *node_name, const char *zone,
		     struct selection *ret_selection)
{
	struct gathering g = {
		.port = port, .family = family, .node_name = node_name};
	int r;

	*ret_selection = (struct selection){0};
	store_each_slice(st, s->key, gather_slice, &g);
	r = g.r;
	if (r == 0) {
		sort_and_merge(&g);
		judge_scope(&g, SELECT_SCOPE_CLUSTER, topology_of(&g, zone),
			    zone);
		judge_scope(&g, SELECT_SCOPE_LOCAL, TOPOLOGY_NONE, zone);
		r = fill_selection(&g, ret_selection);
	}
	free(g.entries);
	return r;
}

const char *select_reason_text(enum select_reason r)
{
	static const char *const texts[] = {
		[SELECT_CHOSEN] = "chosen",
		[SELECT_NOT_READY] = "not ready",
		[SELECT_TERMINATING] = "terminating, others are ready",
		[SELECT_OTHER_NODE_HINT] = "hinted to another node",
		[SELECT_OTHER_ZONE_HINT] = "hinted to another zone",
		[SELECT_NOT_LOCAL] = "on another node",
	};
	static_assert(ARRAY_SIZE(texts) == SELECT_REASON_MAX_, "each has one");

	return texts[r];
}
