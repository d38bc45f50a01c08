// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Closing the connections of an endpoint is an order to all workers: its cuts
 * grow, and after that the table's.  A worker that sees the table's grow looks
 * through its connections, at its next tick, for those that began under fewer
 * cuts of their endpoint.  Nothing is allocated or sent for it, and while
 * nobody is cut it is a load a tick.
 *
 * An endpoint leaves the plan when it terminates, is not ready or not hinted at
 * any more; its connections are its own then.  It is removed when no slice
 * names it: that may be at once or long after it has left the plan, so that
 * those with connections wait in a list for either end.
 */
#include <stdlib.h>
#include <string.h>

#include "px_left.h"

void px_endpoint_cut(struct px_endpoint *ep)
{
	atomic_fetch_add_explicit(&ep->cuts, 1, memory_order_relaxed);
	/* Whoever sees this one sees the other. */
	atomic_fetch_add_explicit(ep->group->cuts, 1, memory_order_release);
}

void px_left_add(struct px_endpoint **left, struct px_endpoint *ep)
{
	if (!ep->group->closes_removed || px_endpoint_open(ep) == 0) {
		px_endpoint_unref(ep);
		return;
	}
	ep->next_left = *left;
	*left = ep;
}

static void forget(struct px_endpoint **at)
{
	struct px_endpoint *ep = *at;

	*at = ep->next_left;
	px_endpoint_unref(ep);
}

void px_left_forget_all(struct px_endpoint **left)
{
	while (*left)
		forget(left);
}

static bool is_of_service(const struct px_group *g, const char *key)
{
	size_t n = strlen(key);

	return strncmp(g->name, key, n) == 0 &&
	       (g->name[n] == ':' || g->name[n] == '\0');
}

static const struct plan_port *find_port(const struct service_plan *plan,
					 const struct px_group *g)
{
	for (size_t i = 0; plan && i < plan->ports_n; i++) {
		if (plan->ports[i].family == g->family &&
		    plan->ports[i].protocol == PROTOCOL_TCP &&
		    strcmp(plan->ports[i].name, g->name) == 0)
			return &plan->ports[i];
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return sockad_compare(a, b);
}

static bool is_known(const struct plan_port *port, const struct sockad *at)
{
	return port->known_n > 0 && bsearch(at, port->known, port->known_n,
					    sizeof(*port->known), compare);
}

void px_left_judge(struct px_endpoint **left, const char *key,
		   const struct service_plan *plan)
{
	struct px_endpoint **at = left, *ep;

	while ((ep = *at)) {
		const struct plan_port *port = find_port(plan, ep->group);
		bool waits = port && port->known && px_endpoint_open(ep) > 0;

		if (!is_of_service(ep->group, key) ||
		    (waits && is_known(port, &ep->at))) {
			at = &ep->next_left;
			continue;
		}
		if (waits)
			px_endpoint_cut(ep);
		forget(at);
	}
}
