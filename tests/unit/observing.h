/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observing.h - a struct observed for tests, with a proxy of numbers only
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "nodesplice/observe/observed.h"

#define NOW_MS	    1000000ULL
#define REALTIME_MS 1700000000123ULL /* 2023-11-14T22:13:20.123Z */

/* What observe never sees the inside of. */
struct px {
	struct px_stats sum;
	struct px_stats worker[2];
	const char *port_names[2000];
	struct px_service_stats services[2000];
	size_t services_n;
	struct sockad endpoint;
	struct px_endpoint_stats endpoint_stats;
};

struct observing {
	struct observed o;
	struct store *store;
	struct plan *plan;
	struct px px;
	struct plan_context context;
	struct source_status sources[2];
};

static inline uint64_t fake_heartbeat_ms(const struct px *px)
{
	return px->worker[0].heartbeat_ms < px->worker[1].heartbeat_ms ?
		       px->worker[0].heartbeat_ms :
		       px->worker[1].heartbeat_ms;
}

static inline bool fake_short_of_resources(const struct px *px,
					   const char **ret_why)
{
	(void)px;
	(void)ret_why;
	return false;
}

static inline void fake_stats(const struct px *px, struct px_stats *ret_stats)
{
	*ret_stats = px->sum;
}

static inline unsigned int fake_workers_n(const struct px *px)
{
	(void)px;
	return 2;
}

static inline void fake_worker_stats(const struct px *px, unsigned int worker,
				     struct px_stats *ret_stats)
{
	*ret_stats = px->worker[worker];
}

static inline int fake_endpoint_stats(const struct px *px, const char *port,
				      uint8_t family, const struct sockad *at,
				      uint64_t now_ms,
				      struct px_endpoint_stats *ret_stats)
{
	(void)port;
	(void)family;
	(void)now_ms;
	if (sockad_compare(&px->endpoint, at) != 0)
		return -ENOENT;
	*ret_stats = px->endpoint_stats;
	return 0;
}

static inline void fake_each_service(const struct px *px,
				     px_service_stats_fn fn, void *data)
{
	for (size_t i = 0; i < px->services_n; i++)
		fn(px->port_names[i], AF_INET, &px->services[i], data);
}

static inline size_t fake_sources(const void *source,
				  const struct source_status **ret_status)
{
	const struct observing *ob = source;

	*ret_status = ob->sources;
	return 2;
}

/* An observed of a node that has just started: no Node, nothing synced, the
 * proxy off. */
static inline struct observing *observing_new(void)
{
	struct observing *ob = calloc(1, sizeof(*ob));

	if (!ob || store_new(&ob->store) < 0 || plan_new(&ob->plan) < 0)
		abort();
	observed_init(&ob->o);
	ob->o.node_name = "node-a";
	ob->o.version = "0.1.0";
	ob->o.started_ms = NOW_MS - 60000;
	ob->o.started_realtime_ms = REALTIME_MS - 60000;
	ob->o.store = ob->store;
	ob->o.plan = ob->plan;
	policy_init(&ob->context.policy);
	ob->context.node_name = "node-a";
	ob->o.context = &ob->context;
	ob->sources[0].kind = "services";
	ob->sources[1].kind = "endpointslices";
	ob->o.source.status = fake_sources;
	ob->o.source.source = ob;
	return ob;
}

static inline void observing_free(struct observing *ob)
{
	plan_free(ob->plan);
	store_free(ob->store);
	free(ob);
}

static inline void with_proxy(struct observing *ob)
{
	ob->px.worker[0].heartbeat_ms = NOW_MS - 100;
	ob->px.worker[1].heartbeat_ms = NOW_MS - 200;
	ob->o.proxy = (struct observed_proxy){
		.px = &ob->px,
		.heartbeat_ms = fake_heartbeat_ms,
		.short_of_resources = fake_short_of_resources,
		.stats = fake_stats,
		.workers_n = fake_workers_n,
		.worker_stats = fake_worker_stats,
		.endpoint_stats = fake_endpoint_stats,
		.each_service = fake_each_service,
	};
}

static inline struct node *with_node(struct observing *ob)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		abort();
	n->name = strdup("node-a");
	return store_put_node(ob->store, n) == 0 ? n : NULL;
}
