// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "px_affinity.h"
#include "px_state.h"

#define TAKE_N 256 /* of one table at a time */

struct taking {
	uint64_t now_ms;
	struct px_client *clients;
	size_t n, room;
};

static void append(struct taking *t, const struct px_group *g,
		   const struct px_affinity_news *news, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t->clients[t->n++] = (struct px_client){
			.port_name = g->name,
			.client = news[i].client,
			.at = news[i].at,
			.before = news[i].before,
			.left_ms = news[i].left_ms,
		};
}

static void take_group(const struct px_group *g, void *data)
{
	struct px_affinity_news news[TAKE_N];
	struct taking *t = data;
	size_t n, most;

	if (!g->affinity)
		return;
	do {
		most = t->room - t->n < TAKE_N ? t->room - t->n : TAKE_N;
		n = px_affinity_take(g->affinity, t->now_ms, news, most);
		append(t, g, news, n);
	} while (n == TAKE_N);
}

size_t px_clients_take(struct px *px, uint64_t now_ms,
		       struct px_client *ret_clients, size_t room)
{
	struct px_affinity_common *common = px_eptable_common(px->endpoints);
	struct taking t = {
		.now_ms = now_ms, .clients = ret_clients, .room = room};

	/* Before the tables are looked at: what comes later sets it again.
	 * Without news those that are overdue go all the same. */
	atomic_store_explicit(&common->news, false, memory_order_relaxed);
	if (atomic_load_explicit(&common->entries_n, memory_order_relaxed))
		px_eptable_each(px->endpoints, take_group, &t);
	return t.n;
}

bool px_clients_changed(const struct px *px)
{
	return atomic_load_explicit(&px_eptable_common(px->endpoints)->news,
				    memory_order_relaxed);
}

static int sooner_ends_first(const void *a, const void *b)
{
	const struct px_client *x = a, *y = b;

	return x->left_ms < y->left_ms ? -1 : x->left_ms > y->left_ms;
}

void px_clients_learn(struct px *px, struct px_client *clients, size_t n,
		      uint64_t now_ms)
{
	if (n > 0)
		qsort(clients, n, sizeof(*clients), sooner_ends_first);
	for (size_t i = 0; i < n; i++) {
		const struct px_client *c = &clients[i];
		const struct px_group *g = px_eptable_find(
			px->endpoints, c->port_name, c->client.family);
		struct px_endpoint *ep;

		if (!g || !g->affinity || px_group_endpoint(g, &c->at, &ep) < 0)
			continue;
		px_affinity_learn(g->affinity, &c->client, ep, c->left_ms,
				  now_ms);
		px_endpoint_unref(ep);
	}
}
