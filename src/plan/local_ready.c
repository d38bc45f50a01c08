// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/plan/local_ready.h"

struct counting {
	const char *node_name;
	uint8_t family;
	struct addr *addrs; /* with repetitions */
	size_t addrs_n, addrs_room;
};

/* kube-proxy knows an endpoint by its ports: without any it is none. */
static bool has_port(const struct endpoint_slice *s)
{
	for (size_t i = 0; i < s->ports_n; i++) {
		if (s->ports[i].port != 0)
			return true;
	}
	return false;
}

static void collect(const struct endpoint_slice *s, void *data)
{
	struct counting *c = data;

	if (s->family != c->family || !has_port(s))
		return;
	for (size_t i = 0; i < s->endpoints_n; i++) {
		const struct slice_endpoint *ep = &s->endpoints[i];

		if (!ep->ready || !ep->node ||
		    strcmp(ep->node, c->node_name) != 0 ||
		    c->addrs_n == LIMIT_ENDPOINTS_PER_PORT)
			continue;
		/* Short of memory: fewer are told, which is the safe side. */
		if (ARRAY_APPEND(c->addrs, c->addrs_n, c->addrs_room,
				 ep->addr) < 0)
			return;
	}
}

static int compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

size_t local_ready_n(const struct store *st, const char *service_key,
		     uint8_t family, const char *node_name)
{
	struct counting c = {.node_name = node_name, .family = family};
	size_t n = 0;

	store_each_slice(st, service_key, collect, &c);
	if (c.addrs_n > 1)
		qsort(c.addrs, c.addrs_n, sizeof(*c.addrs), compare);
	for (size_t i = 0; i < c.addrs_n; i++)
		n += i == 0 || !addr_equal(&c.addrs[i], &c.addrs[i - 1]);
	free(c.addrs);
	return n;
}
