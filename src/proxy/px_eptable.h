/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_eptable.h - what all workers share about endpoints
 *
 * Layer: proxy, private.  A struct px_group is one Service port in one address
 * family, a struct px_endpoint one of its endpoints.  Both are counted
 * references and outlive configurations: the control thread's px_eptable keeps
 * them while a plan names them, configurations keep what they point to.
 *
 * The control thread alone adds and removes; workers change atomics only, and
 * take no lock.
 */
#pragma once

#include <stdatomic.h>

#include "nodesplice/base/addr.h"
#include "nodesplice/base/table.h"
#include "nodesplice/plan/plan.h"
#include "nodesplice/proxy/stats.h"
#include "outlier.h"

struct px_affinity;
struct px_affinity_common;

struct px_endpoint {
	struct sockad at;
	struct px_group *group; /* owned reference */
	uint64_t hash;		/* of at; the same on every node */
	_Atomic bool own;	/* plan_endpoint.own; the control thread's */
	_Atomic bool local;	/* plan_endpoint.local, likewise */
	_Atomic uint32_t refs;
	_Atomic uint32_t open;	    /* connections, connecting ones included */
	_Atomic uint64_t outlier;   /* outlier_pack() */
	_Atomic uint64_t connected; /* ever */
	_Atomic uint64_t failed;    /* ever */
	_Atomic uint64_t since_ms;  /* of the last join or return, the beginning
				      of slow-start; 0: of neither */
	_Atomic uint32_t cuts; /* times its connections were to be closed */
	_Atomic uint32_t last_verdict; /* enum outlier_verdict, of failures */
	_Atomic uint32_t affinity_n;   /* clients that keep it */
	struct px_endpoint *next_left; /* of px_eptable's list; its alone */
};

/* Counters of a Service port that px_conn.c writes itself. */
struct px_group_counters {
	_Atomic uint64_t retries, exhausted, limit_refused, bytes_in, bytes_out;
};

struct px_group {
	struct px_group_counters count;
	_Atomic uint32_t refs;
	/* Endpoints (high half) and how many of them are ejected or on
	 * probation (low half): one word, so that the cap is exact. */
	_Atomic uint64_t census;
	_Atomic uint64_t open, connected, failed;
	_Atomic uint64_t ejections;
	_Atomic uint64_t ejections_capped;	  /* CAPPED and LAST */
	_Atomic uint32_t turn[SELECT_SCOPE_MAX_]; /* of round-robin */
	struct px_affinity *affinity; /* owned; NULL: never had any */
	_Atomic uint32_t *cuts;	      /* px_eptable_cuts(); borrowed */
	/* The control thread's. */
	char *name; /* plan_port.name; owned */
	uint8_t family;
	struct px_endpoint **endpoints; /* sorted by at; owned references */
	size_t endpoints_n;
	bool closes_removed; /* plan_port.known is known */
	UT_hash_handle hh;
};

struct px_eptable;

int px_eptable_new(struct px_eptable **ret_table); /* 0 or -ENOMEM */
void px_eptable_free(struct px_eptable *t);
DEFINE_FREEP(struct px_eptable, px_eptable_free)

/**
 * px_eptable_set() - Make a group's endpoints those of a plan's port
 * @port:	Read during the call only
 * @ret_group:	A reference, the caller's
 *
 * Endpoints that stay keep all of their state.  Those that join such begin
 * their slow start; where all are new, nobody is to be spared.  Those that left
 * are no longer ejected nor counted, whatever happens to their connections.  One
 * that comes back is another endpoint: connections from before count neither
 * for its limit nor as its load, and its ejection does not close them.
 * Return: 0; -ENOMEM (the group is as it was)
 */
int px_eptable_set(struct px_eptable *t, const struct plan_port *port,
		   uint64_t now_ms, struct px_group **ret_group);
/* The plan names this port no more; nothing if it never did. */
void px_eptable_drop(struct px_eptable *t, const char *name, uint8_t family);
/**
 * px_eptable_judge_left() - Close the connections of removed endpoints
 * @key:	Of a Service whose ports the table has been told
 * @plan:	Its plan; NULL: gone
 *
 * Of those that left its ports with connections: closed are those of endpoints
 * that no slice names any more (plan_port.known).  Others, which terminate or
 * are not ready, are looked at again with the next plan.  Without a Service, a
 * port or the setting they are forgotten: then nobody has asked for it.
 */
void px_eptable_judge_left(struct px_eptable *t, const char *key,
			   const struct service_plan *plan);
/* Grows with px_endpoint.cuts of any endpoint; read with acquire order. */
const _Atomic uint32_t *px_eptable_cuts(const struct px_eptable *t);
/* Return: NULL: none; borrowed from the table */
struct px_group *px_eptable_find(const struct px_eptable *t, const char *name,
				 uint8_t family);
/* Shared by the affinity of all groups. */
struct px_affinity_common *px_eptable_common(struct px_eptable *t);
typedef void (*px_group_fn)(const struct px_group *g, void *data);
void px_eptable_each(const struct px_eptable *t, px_group_fn fn, void *data);

struct px_group *px_group_ref(struct px_group *g);
void px_group_unref(struct px_group *g); /* any thread */
DEFINE_FREEP(struct px_group, px_group_unref)
struct px_endpoint *px_endpoint_ref(struct px_endpoint *ep);
void px_endpoint_unref(struct px_endpoint *ep); /* any thread */

/**
 * px_group_endpoint() - One endpoint of a group, by its address
 * @ret_endpoint: A reference, the caller's
 *
 * In the control thread.
 * Return: 0; -ENOENT
 */
int px_group_endpoint(const struct px_group *g, const struct sockad *at,
		      struct px_endpoint **ret_endpoint);

/* In any thread: a reading that need not be of one moment. */
void px_group_read(const struct px_group *g,
		   struct px_service_stats *ret_stats);
/* How many endpoints are in their slow start; in the control thread. */
uint32_t px_group_slow_n(const struct px_group *g, const struct policy *p,
			 uint64_t now_ms);
void px_endpoint_read(const struct px_endpoint *ep, const struct policy *p,
		      uint64_t now_ms, struct px_endpoint_stats *ret_stats);

/* Whether a new connection may go there, see outlier_enter(). */
bool px_endpoint_enter(struct px_endpoint *ep, const struct policy *p,
		       uint64_t now_ms, enum outlier_role *ret_role);
bool px_endpoint_is_out(const struct px_endpoint *ep);
uint32_t px_endpoint_open(const struct px_endpoint *ep);
/* Whether it has max-endpoint-connections. */
bool px_endpoint_is_full(const struct px_endpoint *ep, const struct policy *p);
/**
 * px_endpoint_share() - How much of its share an endpoint gets: slow-start
 *
 * As Envoy's slow start with aggression 1: max(10 %, time since the beginning
 * / slow-start).
 * Return: a tenth of PX_SHARE_FULL at least
 */
#define PX_SHARE_FULL 1000u
uint32_t px_endpoint_share(const struct px_endpoint *ep, const struct policy *p,
			   uint64_t now_ms);
uint64_t px_group_open(const struct px_group *g);

/**
 * px_endpoint_report() - What became of the attempt that px_pick() chose
 * @role:	As px_pick() said
 *
 * Exactly once for each choice.  Of several workers whose failures reach the
 * threshold together one gets OUTLIER_EJECT.  After OUTLIER_CONNECTED the
 * connection counts as open until px_endpoint_closed(), else no longer.
 */
enum outlier_verdict px_endpoint_report(struct px_endpoint *ep,
					const struct policy *p,
					enum outlier_role role,
					enum outlier_outcome outcome,
					uint64_t now_ms);
/* One connection more, by px_pick(); one less. */
void px_endpoint_opened(struct px_endpoint *ep);
void px_endpoint_closed(struct px_endpoint *ep);
