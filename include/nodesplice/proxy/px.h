/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px.h - the TCP data path: worker threads, each with listeners and a loop
 *
 * Layer: proxy; knows no Kubernetes and no nft.  The control thread starts it,
 * hands it plan changes and reads its counters; workers share nothing but
 * immutable per-service configurations and the endpoints' atomics.
 *
 * Where a connection entered is told by the port it was redirected to, so that
 * the kernel's classification is the only one:
 *   entry[PX_FROM_NODE]     redirected in nat output
 *   entry[PX_FROM_POD]      prerouting, a pod of this node
 *   entry[PX_FROM_OUTSIDE]  prerouting, everybody else
 */
#pragma once

#include "nodesplice/loop/loop.h"
#include "nodesplice/plan/plan.h"
#include "nodesplice/proxy/stats.h"

enum px_entry {
	PX_FROM_NODE,
	PX_FROM_POD,
	PX_FROM_OUTSIDE,
	PX_ENTRY_MAX_,
};

struct px_options {
	unsigned int workers_n; /* 0: one per CPU we may run on */
	uint16_t port[PX_ENTRY_MAX_];
	uint32_t socket_mark;	  /* SO_MARK of second legs: keeps them out of
				      the intercept and the floor */
	uint32_t max_connections; /* of the node; 0: from RLIMIT_NOFILE */
	uint16_t kept_ports_min, kept_ports_max; /* source ports of second legs
				      that keep a client's address; outside of
				      the pods' ephemeral range */
	uint64_t pipe_bytes;			 /* 0: 256 KiB */
	uint64_t splice_from_bytes; /* moved within one turn before a direction
				       changes from copy to splice; 0: default;
				       UINT64_MAX: never */
};

struct px;

/**
 * px_start() - Open the listeners and start the workers
 * @control:	The control thread's loop: acknowledgements arrive there
 * @applied:	Called on it when every worker holds generation @generation
 *
 * Return: 0; -errno with text (port taken, no transparent sockets, ...)
 */
int px_start(struct loop *control, const struct px_options *o,
	     void (*applied)(uint64_t generation, void *data), void *data,
	     struct px **ret_px, struct errbuf *e);

/**
 * px_apply() - Hand plan changes to every worker
 * @changes:	Read during the call only
 * @generation:	Increasing; told back by applied()
 *
 * Endpoints keep their ejection state and counters as long as some Service
 * port of the same name has them.  Connections whose endpoint or Service is
 * gone go on.
 * Return: 0; -ENOMEM (nothing was applied)
 */
int px_apply(struct px *px, const struct plan_changes *changes,
	     uint64_t generation);

/* Oldest heartbeat of all workers, monotonic ms. */
uint64_t px_heartbeat_ms(const struct px *px);
/* Connections accepted, ever; for the gate's INPUT check. */
uint64_t px_accepted_n(const struct px *px);
/* Whether new connections should rather go by the kernel: at the connection
 * limit or short of descriptors or memory. */
bool px_short_of_resources(const struct px *px, const char **ret_why);

/* Sum of the workers' counters. */
void px_stats(const struct px *px, struct px_stats *ret_stats);
unsigned int px_workers_n(const struct px *px);
/* One worker's, for status. */
void px_worker_stats(const struct px *px, unsigned int worker,
		     struct px_stats *ret_stats);

/**
 * px_endpoint_stats() - The state of one endpoint of a Service port
 * @port_name:	plan_port.name
 *
 * Return: 0; -ENOENT
 */
int px_endpoint_stats(const struct px *px, const char *port_name,
		      uint8_t family, const struct sockad *endpoint,
		      uint64_t now_ms, struct px_endpoint_stats *ret_stats);
typedef void (*px_service_stats_fn)(const char *port_name, uint8_t family,
				    const struct px_service_stats *s,
				    void *data);
/* Each Service port that is proxied now; for metrics. */
void px_each_service(const struct px *px, px_service_stats_fn fn, void *data);

/* A client that keeps its endpoint: sessionAffinity ClientIP. */
struct px_client {
	const char *port_name; /* borrowed until the next px_apply() */
	struct addr client;
	struct sockad at;     /* the endpoint */
	struct sockad before; /* the one that was told last, if another one;
				 else of family 0 */
	uint64_t left_ms;     /* until it ends, if the client stays quiet */
};

/**
 * px_clients_take() - What changed since this was asked last
 *
 * New clients, those that got another endpoint, and those whose time began
 * anew, if much of it was over.  At most @room; the rest is told next time.
 * Clients whose time is over are forgotten, which is all if @room is 0.
 * Return: how many
 */
size_t px_clients_take(struct px *px, uint64_t now_ms,
		       struct px_client *ret_clients, size_t room);
/* Whether px_clients_take() has anything to tell, more or less. */
bool px_clients_changed(const struct px *px);
/* What the kernel remembers; whoever saw a client last is right.  The array is
 * sorted.  Ports and endpoints that are not the proxy's are skipped. */
void px_clients_learn(struct px *px, struct px_client *clients, size_t n,
		      uint64_t now_ms);

/* Accept what is queued, close the listeners, keep the connections going. */
void px_drain(struct px *px);
uint64_t px_open_n(const struct px *px); /* client connections open now */
/* Reset what is left, join the threads. */
void px_free(struct px *px);
DEFINE_FREEP(struct px, px_free)
