// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * One socket writes both tables and owns the intercept's; a change of plans is
 * one batch on it: the floor's part, then the intercept's, so that what the
 * intercept takes is always served by the floor as well.
 *
 * The intercept may be refused where the floor is not (another process owns
 * tables of that name, the kernel lacks something).  A sync then writes the
 * floor alone and tells the error: Services are served, without the proxy.
 * What the intercept holds from before may be wrong by then, so heartbeats are
 * refused and its gate closes.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "nfp_clients.h"
#include "nfp_floor.h"
#include "nfp_forget.h"
#include "nfp_gate.h"
#include "nfp_intercept.h"
#include "nfp_route.h"
#include "nfp_socket.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/nft/nfp.h"

#define PROBE_TABLE "nodesplice-probe"

struct nfp {
	struct nfp_options options;   /* arrays are the three below */
	struct cidr *local_pods;      /* owned */
	struct addr *node_port_addrs; /* owned */
	struct cidr *service_cidrs;   /* owned */
	struct nfp_socket *socket;    /* owned */
	struct nfp_floor *floor;      /* owned */
	struct nfp_gate *gate;	      /* owned; NULL without intercept */
	bool forgets;		      /* and the kernel can */
	bool forget_written;	      /* in this run */
	bool synced;		      /* the kernel holds what we wrote last */
	bool intercept_written; /* once; since then its tables are there */
	bool intercept_stale;	/* the last sync could not write it */
	bool intercept_closed;	/* on purpose, until it is opened again */
	uint64_t full_syncs, repairs;
	uint64_t elements_added, elements_deleted;
	uint64_t heartbeats, heartbeats_failed;
	uint64_t clients_written, clients_failed;
	struct nfp_intercept_counts counts; /* as last read */
};

static void *copy_array(const void *items, size_t n, size_t item_bytes)
{
	void *copy = calloc(n ? n : 1, item_bytes);

	if (copy && n)
		memcpy(copy, items, n * item_bytes);
	return copy;
}

static int keep_options(struct nfp *n, const struct nfp_options *o)
{
	cleanup_(freep) struct cidr *pods =
		copy_array(o->local_pods, o->local_pods_n, sizeof(*pods));
	cleanup_(freep) struct addr *addrs = copy_array(
		o->node_port_addrs, o->node_port_addrs_n, sizeof(*addrs));
	cleanup_(freep) struct cidr *cidrs = copy_array(
		o->service_cidrs, o->service_cidrs_n, sizeof(*cidrs));

	if (!pods || !addrs || !cidrs)
		return -ENOMEM;
	free(n->local_pods);
	free(n->node_port_addrs);
	free(n->service_cidrs);
	n->options = *o;
	n->options.local_pods = n->local_pods = TAKE_PTR(pods);
	n->options.node_port_addrs = n->node_port_addrs = TAKE_PTR(addrs);
	n->options.service_cidrs = n->service_cidrs = TAKE_PTR(cidrs);
	return 0;
}

/* Ask for a table as the batch says, without making it. */
static int probe(struct nfp_socket *s, uint8_t family, uint32_t flags,
		 struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};

	nfp_batch_new_table(&b, family, PROBE_TABLE, flags, NULL);
	return nfp_socket_check(s, &b, e);
}

static int check_kernel(struct nfp_socket *s, bool intercept, struct errbuf *e)
{
	int r = probe(s, NFPROTO_INET, 0, e);

	if (r == -EPERM)
		return errf(e, r,
			    "CAP_NET_ADMIN is missing: no Service can be "
			    "served");
	if (r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
		return errf(e, -EPROTONOSUPPORT,
			    "the kernel has no nf_tables for family inet "
			    "(CONFIG_NF_TABLES_INET): no Service can be "
			    "served");
	if (r < 0 || !intercept)
		return r;
	r = probe(s, NFPROTO_INET, NFT_TABLE_F_OWNER, e);
	/* EINVAL was the answer to any unknown flag before there was this one. */
	if (r == -EOPNOTSUPP || r == -EINVAL)
		return errf(e, -EOPNOTSUPP,
			    "the kernel has no tables with an owner (before "
			    "5.12): the proxy cannot run, kernel DNAT alone "
			    "can");
	if (r < 0)
		return r;
	/* Without it, pods on one bridge would wait for replies in vain. */
	r = probe(s, NFPROTO_BRIDGE, NFT_TABLE_F_OWNER, e);
	if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
		return errf(e, -EOPNOTSUPP,
			    "the kernel has no nf_tables for family bridge "
			    "(CONFIG_NF_TABLES_BRIDGE): the proxy cannot run, "
			    "kernel DNAT alone can");
	return r;
}

int nfp_open(const struct nfp_options *o, struct nfp **ret_nfp,
	     struct errbuf *e)
{
	cleanup_(nfp_freep) struct nfp *n = calloc(1, sizeof(*n));
	int r;

	if (!n || keep_options(n, o) < 0 || nfp_floor_new(&n->floor) < 0)
		return errf(e, -ENOMEM, "out of memory");
	r = nfp_socket_open(&n->socket, e);
	if (r == 0)
		r = check_kernel(n->socket, o->intercept, e);
	if (r == 0 && o->intercept)
		r = nfp_gate_new(o->own_mark, &n->gate, e);
	if (r < 0)
		return r;
	n->forgets = o->intercept && nfp_forget_supported(n->socket);
	*ret_nfp = TAKE_PTR(n);
	return 0;
}

void nfp_free(struct nfp *n)
{
	if (n->gate)
		nfp_gate_free(n->gate);
	if (n->socket)
		nfp_socket_free(n->socket);
	if (n->floor)
		nfp_floor_free(n->floor);
	free(n->local_pods);
	free(n->node_port_addrs);
	free(n->service_cidrs);
	free(n);
}

void nfp_set_held(struct nfp *n, nfp_held_fn fn, void *data)
{
	nfp_floor_set_held(n->floor, fn, data);
}

/* Send a batch that the floor has a part in. */
static int commit(struct nfp *n, struct nfp_batch *b, struct errbuf *e)
{
	int r = nfp_socket_commit(n->socket, b, e);
	struct nfp_floor_counts counts;

	nfp_floor_settle(n->floor, r);
	n->synced = r == 0;
	if (r == 0) {
		nfp_floor_counts(n->floor, &counts);
		n->elements_added += counts.added;
		n->elements_deleted += counts.deleted;
	}
	return r;
}

/* A batch could not be filled: nothing is sent. */
static int give_up(struct nfp *n, int r)
{
	nfp_floor_settle(n->floor, r);
	n->synced = false;
	return r;
}

/* The whole intercept, whatever is there. */
static int add_intercept(struct nfp *n, const struct service_plan *const *list,
			 size_t list_n, struct nfp_batch *b)
{
	cleanup_(freep) struct plan_change *items =
		calloc(list_n ? list_n : 1, sizeof(*items));
	const struct plan_changes all = {.items = items, .n = list_n};

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < list_n; i++)
		items[i] = (struct plan_change){.key = list[i]->key,
						.after = list[i]};
	nfp_intercept_write(b, &n->options);
	nfp_intercept_flush(b, &n->options);
	return nfp_intercept_change(b, &n->options, &all);
}

static int sync_once(struct nfp *n, const struct service_plan *const *list,
		     size_t list_n, bool with_intercept, struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	struct nfp_floor_counts counts;
	int r = nfp_floor_sync(n->floor, &n->options, list, list_n, &b, e);

	if (r == 0 && with_intercept) {
		r = add_intercept(n, list, list_n, &b);
		if (r < 0)
			errf(e, r, "intercept: out of memory");
	}
	if (r < 0)
		return give_up(n, r);
	r = commit(n, &b, e);
	if (r < 0)
		return r;
	nfp_floor_counts(n->floor, &counts);
	n->repairs += counts.repaired;
	n->intercept_written |= with_intercept;
	n->intercept_stale = false;
	return 0;
}

/* What the intercept needs beside its tables, and stays when they go. */
static int prepare_intercept(struct nfp *n, struct errbuf *e)
{
	int r = nfp_route_add(&n->options, e);

	if (r < 0 || !n->forgets)
		return r;
	r = nfp_forget_write(n->socket, &n->options, !n->forget_written, e);
	n->forget_written |= r == 0;
	return r;
}

int nfp_sync(struct nfp *n, const struct plan *plan, struct errbuf *e)
{
	cleanup_(freep) const struct service_plan **list = NULL;
	bool with_intercept = n->options.intercept && !n->intercept_closed;
	struct errbuf floor_e = {""};
	size_t list_n;
	int r;

	if (plan_list(plan, &list, &list_n) < 0)
		return give_up(n, errf(e, -ENOMEM, "out of memory"));
	n->full_syncs++;
	if (!with_intercept)
		return sync_once(n, list, list_n, false, e);
	r = prepare_intercept(n, e);
	if (r == 0)
		r = sync_once(n, list, list_n, true, e);
	if (r == 0)
		return 0;
	if (sync_once(n, list, list_n, false, &floor_e) == 0) {
		n->synced = false; /* the intercept is still due */
		n->intercept_stale = true;
		return errf_context(e, r,
				    "the proxy is not used, kernel DNAT "
				    "serves");
	}
	return r;
}

int nfp_apply(struct nfp *n, const struct plan_changes *changes,
	      struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	int r;

	if (!n->synced)
		return errf(e, -ESTALE, "a full sync is due");
	r = nfp_floor_change(n->floor, &n->options, changes, &b, e);
	if (r == 0 && n->options.intercept && !n->intercept_closed) {
		r = nfp_intercept_change(&b, &n->options, changes);
		if (r < 0)
			errf(e, r, "intercept: out of memory");
	}
	if (r < 0)
		return give_up(n, r);
	return commit(n, &b, e);
}

int nfp_update_options(struct nfp *n, const struct nfp_options *o,
		       struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	bool with_intercept = o->intercept && !n->intercept_closed;
	int r = keep_options(n, o);

	if (r < 0)
		return errf(e, r, "out of memory");
	if (!n->synced)
		return 0; /* the sync that is due writes them */
	if (with_intercept)
		r = nfp_route_add(&n->options, e);
	if (r == 0)
		r = nfp_floor_rewrite(n->floor, &n->options, &b, e);
	if (r < 0)
		return give_up(n, r);
	if (with_intercept)
		nfp_intercept_write(&b, &n->options);
	return commit(n, &b, e);
}

int nfp_heartbeat(struct nfp *n, int ret_error[2])
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int first = -ENOENT;
	size_t refreshed_n = 0;

	ret_error[0] = ret_error[1] = 0;
	if (!n->gate || n->intercept_closed)
		return -ENOENT;
	if (n->intercept_stale)
		return -ESTALE;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int r;

		if (n->options.node_addr[i].family == AF_UNSPEC)
			continue;
		r = nfp_gate_refresh(n->gate, families[i],
				     n->options.port[NFP_FROM_NODE]);
		n->heartbeats++;
		n->heartbeats_failed += r < 0;
		refreshed_n += r == 0;
		ret_error[i] = r;
		if (r < 0 && first == -ENOENT)
			first = r;
	}
	return refreshed_n ? 0 : first;
}

bool nfp_forgets(const struct nfp *n)
{
	return n->forgets;
}

int nfp_intercepted_n(struct nfp *n, uint64_t *ret_n)
{
	int r;

	if (!n->gate)
		return -ENOENT;
	r = nfp_intercept_count(n->socket, &n->options, &n->counts);
	if (r == 0)
		*ret_n = n->counts.intercepted;
	return r;
}

int nfp_close_intercept(struct nfp *n, struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};

	if (!n->gate || n->intercept_closed)
		return 0;
	n->intercept_closed = true;
	if (!n->intercept_written)
		return 0;
	nfp_intercept_close(&b, &n->options);
	return nfp_socket_commit(n->socket, &b, e);
}

int nfp_open_intercept(struct nfp *n, const struct plan *plan, struct errbuf *e)
{
	n->intercept_closed = false;
	return nfp_sync(n, plan, e);
}

int nfp_clients_write(struct nfp *n, const struct nfp_client *clients,
		      size_t clients_n, struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	size_t elements_n = 0;
	int r = 0;

	if (!n->synced)
		r = errf(e, -ESTALE, "a full sync is due");
	else if (nfp_clients_add(&b, clients, clients_n, &elements_n) < 0)
		r = errf(e, -ENOMEM, "out of memory");
	else if (b.len)
		r = nfp_socket_commit(n->socket, &b, e);
	if (r < 0)
		n->clients_failed += clients_n;
	else
		n->clients_written += elements_n;
	return r;
}

int nfp_clients_read(const struct plan_port *const *ports, size_t ports_n,
		     nfp_client_fn fn, void *data)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	int r = ports_n ? nfp_socket_open(&s, NULL) : 0;

	for (size_t i = 0; r == 0 && i < ports_n; i++)
		r = nfp_clients_list(s, ports[i], fn, data);
	return r;
}

void nfp_stats(const struct nfp *n, struct nfp_stats *ret_stats)
{
	struct nfp_socket_stats socket;
	struct nfp_floor_counts floor;

	nfp_socket_stats(n->socket, &socket);
	nfp_floor_counts(n->floor, &floor);
	*ret_stats = (struct nfp_stats){
		.transactions = socket.transactions,
		.transactions_failed = socket.transactions_failed,
		.full_syncs = n->full_syncs,
		.repairs = n->repairs,
		.elements_added = n->elements_added,
		.elements_deleted = n->elements_deleted,
		.elements_n = floor.elements_n,
		.last_transaction_bytes = socket.last_transaction_bytes,
		.last_transaction_us = socket.last_transaction_us,
		.heartbeats = n->heartbeats,
		.heartbeats_failed = n->heartbeats_failed,
		.clients_written = n->clients_written,
		.clients_failed = n->clients_failed,
		.intercepted = n->counts.intercepted,
		.direct_dropped = n->counts.direct,
		.bridge_legs_lost = n->counts.no_room,
	};
}
