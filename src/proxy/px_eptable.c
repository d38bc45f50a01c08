// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Two words carry every decision.  An endpoint's outlier word is its state; it
 * changes by compare-and-swap of what outlier.c makes of the old one, so of
 * several workers that see the same threshold reached, one ejects.  A group's
 * census says how many endpoints there are and how many are out; whoever puts
 * an endpoint out takes a seat there *before* it swaps the outlier word, from
 * the very census that it judged by, and gives the seat back if the swap fails.
 * Whoever swaps an endpoint back in gives its seat back *after* it.  So the
 * seats taken are never fewer than the endpoints out, and the cap holds at
 * every moment among any number of workers.
 *
 * An endpoint that leaves the plan is swapped to GONE by the control thread,
 * which takes it, and its seat if it had one, out of the census.  Workers with
 * an older configuration may still pick it; nothing that they report of it
 * counts for the group's ejections any more.
 *
 * Relaxed order throughout: each word is complete in itself, and no other
 * memory is published by it.  Only the reference counts order what they free,
 * and what px_left.c says of closing connections.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "px_affinity.h"
#include "px_eptable.h"
#include "px_left.h"

#define ONE_ENDPOINT (1ull << 32)
#define ONE_SEAT     1ull

struct px_eptable {
	struct px_group *groups4, *groups6; /* by name; owned references */
	struct px_endpoint *left;	    /* list of owned references */
	_Atomic uint32_t cuts;
	struct px_affinity_common affinity;
};

static uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void add(_Atomic uint64_t *word, uint64_t n)
{
	atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

static void subtract(_Atomic uint64_t *word, uint64_t n)
{
	atomic_fetch_sub_explicit(word, n, memory_order_relaxed);
}

static bool swap(_Atomic uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return atomic_compare_exchange_weak_explicit(word, expected, desired,
						     memory_order_relaxed,
						     memory_order_relaxed);
}

static bool drop_reference(_Atomic uint32_t *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

struct px_group *px_group_ref(struct px_group *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

void px_group_unref(struct px_group *g)
{
	if (!drop_reference(&g->refs))
		return;
	if (g->affinity)
		px_affinity_free(g->affinity);
	free(g->name);
	free(g);
}

struct px_endpoint *px_endpoint_ref(struct px_endpoint *ep)
{
	atomic_fetch_add_explicit(&ep->refs, 1, memory_order_relaxed);
	return ep;
}

void px_endpoint_unref(struct px_endpoint *ep)
{
	if (!drop_reference(&ep->refs))
		return;
	px_group_unref(ep->group);
	free(ep);
}
DEFINE_FREEP(struct px_endpoint, px_endpoint_unref)

static int group_new(const char *name, uint8_t family, _Atomic uint32_t *cuts,
		     struct px_group **ret_group)
{
	cleanup_(px_group_unrefp) struct px_group *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->refs = 1;
	g->family = family;
	g->cuts = cuts;
	g->name = strdup(name);
	if (!g->name)
		return -ENOMEM;
	*ret_group = TAKE_PTR(g);
	return 0;
}

static struct px_endpoint *endpoint_new(struct px_group *g,
					const struct sockad *at)
{
	struct px_endpoint *ep = calloc(1, sizeof(*ep));

	if (!ep)
		return NULL;
	ep->at = *at;
	ep->hash = hash_bytes(at->addr.bytes, addr_bytes_n(at->addr.family),
			      at->port);
	ep->refs = 1;
	ep->group = px_group_ref(g);
	return ep;
}

/* Out of the plan: state, seat and the table's reference, which goes to the
 * list of those that left if their connections may have to be closed. */
static void endpoint_leave(struct px_endpoint *ep, struct px_endpoint **left)
{
	const struct outlier gone = {.phase = OUTLIER_GONE};
	struct outlier o = outlier_unpack(atomic_exchange_explicit(
		&ep->outlier, outlier_pack(&gone), memory_order_relaxed));

	subtract(&ep->group->census,
		 ONE_ENDPOINT + (outlier_is_out(&o) ? ONE_SEAT : 0));
	px_left_add(left, ep);
}

int px_eptable_new(struct px_eptable **ret_table)
{
	struct px_eptable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret_table = t;
	return 0;
}

static struct px_group **groups_of(struct px_eptable *t, uint8_t family)
{
	return family == AF_INET ? &t->groups4 : &t->groups6;
}

static void group_drop(struct px_eptable *t, struct px_group *g)
{
	struct px_group **groups = groups_of(t, g->family);
	struct px_endpoint **endpoints = TAKE_PTR(g->endpoints);
	size_t n = g->endpoints_n;

	HASH_DELETE(hh, *groups, g);
	g->endpoints_n = 0;
	if (g->affinity)
		px_affinity_set_timeout(g->affinity, 0);
	for (size_t i = 0; i < n; i++)
		endpoint_leave(endpoints[i], &t->left);
	free(endpoints);
	px_group_unref(g);
}

void px_eptable_free(struct px_eptable *t)
{
	while (t->groups4)
		group_drop(t, t->groups4);
	while (t->groups6)
		group_drop(t, t->groups6);
	px_left_forget_all(&t->left);
	free(t);
}

struct px_group *px_eptable_find(const struct px_eptable *t, const char *name,
				 uint8_t family)
{
	struct px_group *groups = family == AF_INET ? t->groups4 : t->groups6;
	struct px_group *g;

	HASH_FIND(hh, groups, name, strlen(name), g);
	return g;
}

void px_eptable_drop(struct px_eptable *t, const char *name, uint8_t family)
{
	struct px_group *g = px_eptable_find(t, name, family);

	if (g)
		group_drop(t, g);
}

void px_eptable_each(const struct px_eptable *t, px_group_fn fn, void *data)
{
	for (const struct px_group *g = t->groups4; g; g = g->hh.next)
		fn(g, data);
	for (const struct px_group *g = t->groups6; g; g = g->hh.next)
		fn(g, data);
}

const _Atomic uint32_t *px_eptable_cuts(const struct px_eptable *t)
{
	return &t->cuts;
}

void px_eptable_judge_left(struct px_eptable *t, const char *key,
			   const struct service_plan *plan)
{
	px_left_judge(&t->left, key, plan);
}

static int compare_at(const void *key, const void *item)
{
	struct px_endpoint *const *ep = item;

	return sockad_compare(key, &(*ep)->at);
}

static struct px_endpoint *find_endpoint(const struct px_group *g,
					 const struct sockad *at)
{
	struct px_endpoint **found;

	if (!g->endpoints_n)
		return NULL;
	found = bsearch(at, g->endpoints, g->endpoints_n, sizeof(*g->endpoints),
			compare_at);
	return found ? *found : NULL;
}

int px_group_endpoint(const struct px_group *g, const struct sockad *at,
		      struct px_endpoint **ret_endpoint)
{
	struct px_endpoint *ep = find_endpoint(g, at);

	if (!ep)
		return -ENOENT;
	*ret_endpoint = px_endpoint_ref(ep);
	return 0;
}

/* The wanted endpoints: those of @g that stay, and new ones. */
struct draft {
	struct px_endpoint **endpoints;
	size_t n, kept_n;
	uint64_t now_ms;
	struct px_group *group;	   /* borrowed */
	struct px_endpoint **left; /* px_eptable.left */
};

static void draft_free(struct draft *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (find_endpoint(d->group, &d->endpoints[i]->at) !=
		    d->endpoints[i])
			px_endpoint_unref(d->endpoints[i]);
	}
	free(d->endpoints);
}

static int draft_fill(struct draft *d, const struct plan_port *port)
{
	/* One more: calloc(0) may be NULL. */
	d->endpoints = calloc(port->endpoints_n + 1, sizeof(*d->endpoints));
	if (!d->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < port->endpoints_n; i++) {
		const struct sockad *at = &port->endpoints[i].at;
		struct px_endpoint *ep = find_endpoint(d->group, at);

		if (ep)
			d->kept_n++;
		else
			ep = endpoint_new(d->group, at);
		if (!ep)
			return -ENOMEM;
		atomic_store_explicit(&ep->own, port->endpoints[i].own,
				      memory_order_relaxed);
		atomic_store_explicit(&ep->local, port->endpoints[i].local,
				      memory_order_relaxed);
		d->endpoints[d->n++] = ep;
	}
	return 0;
}

static void begin_slow_start(struct px_endpoint *ep, uint64_t now_ms)
{
	atomic_store_explicit(&ep->since_ms, now_ms, memory_order_relaxed);
}

/* Cannot fail any more: the group takes the draft's endpoints. */
static void draft_commit(struct draft *d)
{
	struct px_group *g = d->group;
	struct px_endpoint **before = g->endpoints;
	size_t before_n = g->endpoints_n;

	for (size_t i = 0; d->kept_n > 0 && i < d->n; i++) {
		if (find_endpoint(g, &d->endpoints[i]->at) != d->endpoints[i])
			begin_slow_start(d->endpoints[i], d->now_ms);
	}
	g->endpoints = TAKE_PTR(d->endpoints);
	g->endpoints_n = d->n;
	add(&g->census, (d->n - d->kept_n) * ONE_ENDPOINT);
	d->n = 0;
	for (size_t i = 0; i < before_n; i++) {
		if (find_endpoint(g, &before[i]->at) != before[i])
			endpoint_leave(before[i], d->left);
	}
	free(before);
}

static int set_endpoints(struct px_eptable *t, struct px_group *g,
			 const struct plan_port *port, uint64_t now_ms)
{
	cleanup_(draft_free) struct draft d = {
		.group = g, .now_ms = now_ms, .left = &t->left};
	int r = draft_fill(&d, port);

	if (r < 0)
		return r;
	g->closes_removed = port->known != NULL;
	draft_commit(&d);
	return 0;
}

static int add_group(struct px_eptable *t, const struct plan_port *port,
		     struct px_group **ret_group)
{
	cleanup_(px_group_unrefp) struct px_group *g = NULL;
	struct px_group **groups = groups_of(t, port->family);
	int r = group_new(port->name, port->family, &t->cuts, &g);

	if (r < 0)
		return r;
	HASH_ADD_KEYPTR(hh, *groups, g->name, strlen(g->name), g);
	if (!table_added())
		return -ENOMEM;
	*ret_group = TAKE_PTR(g);
	return 0;
}

struct px_affinity_common *px_eptable_common(struct px_eptable *t)
{
	return &t->affinity;
}

static int set_affinity(struct px_eptable *t, struct px_group *g,
			const struct plan_port *port)
{
	int r = 0;

	if (port->affinity_s && !g->affinity)
		r = px_affinity_new(&t->affinity, &g->affinity);
	if (r == 0 && g->affinity)
		px_affinity_set_timeout(g->affinity,
					port->affinity_s * UINT64_C(1000));
	return r;
}

int px_eptable_set(struct px_eptable *t, const struct plan_port *port,
		   uint64_t now_ms, struct px_group **ret_group)
{
	struct px_group *g = px_eptable_find(t, port->name, port->family);
	bool fresh = !g;
	int r = fresh ? add_group(t, port, &g) : 0;

	if (r < 0)
		return r;
	r = set_affinity(t, g, port);
	if (r == 0)
		r = set_endpoints(t, g, port, now_ms);
	if (r < 0) {
		if (fresh)
			group_drop(t, g);
		return r;
	}
	*ret_group = px_group_ref(g);
	return 0;
}

void px_group_read(const struct px_group *g, struct px_service_stats *ret_stats)
{
	const uint64_t census = load(&g->census);

	*ret_stats = (struct px_service_stats){
		.open = load(&g->open),
		.connections = load(&g->connected),
		.failures = load(&g->failed),
		.retries = load(&g->count.retries),
		.exhausted = load(&g->count.exhausted),
		.limit_refused = load(&g->count.limit_refused),
		.ejections = load(&g->ejections),
		.ejections_capped = load(&g->ejections_capped),
		.bytes_in = load(&g->count.bytes_in),
		.bytes_out = load(&g->count.bytes_out),
		.endpoints_n = (uint32_t)(census / ONE_ENDPOINT),
		.ejected_n = (uint32_t)census,
		.affinity_clients_n =
			g->affinity ? px_affinity_clients_n(g->affinity) : 0,
	};
}

static enum px_endpoint_state state_of(const struct outlier *o, uint64_t now_ms)
{
	if (!outlier_is_out(o))
		return PX_ENDPOINT_IN;
	if (o->phase == OUTLIER_PROBING || now_ms >= o->at_ms)
		return PX_ENDPOINT_PROBING;
	return PX_ENDPOINT_EJECTED;
}

void px_endpoint_read(const struct px_endpoint *ep, const struct policy *p,
		      uint64_t now_ms, struct px_endpoint_stats *ret_stats)
{
	struct outlier o = outlier_unpack(load(&ep->outlier));
	uint32_t verdict =
		atomic_load_explicit(&ep->last_verdict, memory_order_relaxed);

	outlier_settle(&o, p, now_ms);
	*ret_stats = (struct px_endpoint_stats){
		.state = state_of(&o, now_ms),
		.open = px_endpoint_open(ep),
		.full = px_endpoint_is_full(ep, p),
		.share_percent =
			px_endpoint_share(ep, p, now_ms) * 100 / PX_SHARE_FULL,
		.connections = load(&ep->connected),
		.failures = load(&ep->failed),
		.affinity_clients_n = atomic_load_explicit(
			&ep->affinity_n, memory_order_relaxed),
		.consecutive_failures = o.failures,
		.ejections_n = o.ejections,
		.ejected_until_ms = outlier_is_out(&o) ? o.at_ms : 0,
	};
	if (o.failures)
		ret_stats->not_ejected_why =
			outlier_verdict_why((enum outlier_verdict)verdict);
}

bool px_endpoint_is_out(const struct px_endpoint *ep)
{
	const struct outlier o = outlier_unpack(load(&ep->outlier));

	return outlier_is_out(&o);
}

uint32_t px_endpoint_open(const struct px_endpoint *ep)
{
	return atomic_load_explicit(&ep->open, memory_order_relaxed);
}

bool px_endpoint_is_full(const struct px_endpoint *ep, const struct policy *p)
{
	uint32_t most = p->value[POLICY_MAX_ENDPOINT_CONNECTIONS];

	return most && px_endpoint_open(ep) >= most;
}

uint32_t px_endpoint_share(const struct px_endpoint *ep, const struct policy *p,
			   uint64_t now_ms)
{
	uint64_t ramp_ms = p->value[POLICY_SLOW_START];
	uint64_t since_ms, gone_ms, share;

	if (ramp_ms == 0)
		return PX_SHARE_FULL;
	since_ms = load(&ep->since_ms);
	/* Threads read the clock at different moments. */
	gone_ms = now_ms > since_ms ? now_ms - since_ms : 0;
	if (since_ms == 0 || gone_ms >= ramp_ms)
		return PX_SHARE_FULL;
	share = PX_SHARE_FULL * gone_ms / ramp_ms;
	return share < PX_SHARE_FULL / 10 ? PX_SHARE_FULL / 10 :
					    (uint32_t)share;
}

uint32_t px_group_slow_n(const struct px_group *g, const struct policy *p,
			 uint64_t now_ms)
{
	uint32_t n = 0;

	if (!p->value[POLICY_SLOW_START])
		return 0;
	for (size_t i = 0; i < g->endpoints_n; i++)
		n += px_endpoint_share(g->endpoints[i], p, now_ms) <
		     PX_SHARE_FULL;
	return n;
}

uint64_t px_group_open(const struct px_group *g)
{
	return load(&g->open);
}

bool px_endpoint_enter(struct px_endpoint *ep, const struct policy *p,
		       uint64_t now_ms, enum outlier_role *ret_role)
{
	uint64_t word = load(&ep->outlier);
	struct outlier before, after;
	enum outlier_role role;

	do {
		before = after = outlier_unpack(word);
		if (!outlier_enter(&after, p, now_ms, &role))
			return false;
	} while (after.phase != before.phase &&
		 !swap(&ep->outlier, &word, outlier_pack(&after)));
	if (outlier_is_out(&before) && !outlier_is_out(&after)) {
		begin_slow_start(ep, now_ms);
		subtract(&ep->group->census, ONE_SEAT);
	}
	*ret_role = role;
	return true;
}

/* One round of px_endpoint_report(): false if somebody else was faster. */
static bool try_record(struct px_endpoint *ep, const struct policy *p,
		       enum outlier_role role, enum outlier_outcome outcome,
		       uint64_t now_ms, enum outlier_verdict *ret_verdict)
{
	uint64_t census = load(&ep->group->census);
	uint64_t word = load(&ep->outlier), next;
	struct outlier o = outlier_unpack(word);
	enum outlier_verdict v = outlier_record(
		&o, p, role, outcome,
		outlier_room(p, (uint32_t)(census / ONE_ENDPOINT),
			     (uint32_t)census),
		now_ms);

	if (v == OUTLIER_EJECT &&
	    !swap(&ep->group->census, &census, census + ONE_SEAT))
		return false;
	next = outlier_pack(&o);
	if (next != word && !swap(&ep->outlier, &word, next)) {
		if (v == OUTLIER_EJECT)
			subtract(&ep->group->census, ONE_SEAT);
		return false;
	}
	if (v == OUTLIER_RETURN) {
		begin_slow_start(ep, now_ms);
		subtract(&ep->group->census, ONE_SEAT);
	}
	*ret_verdict = v;
	return true;
}

static void count_verdict(struct px_endpoint *ep, const struct policy *p,
			  enum outlier_verdict v)
{
	uint32_t closing = p->value[POLICY_CLOSE_CONNECTIONS];

	atomic_store_explicit(&ep->last_verdict, v, memory_order_relaxed);
	if (v == OUTLIER_EJECT || v == OUTLIER_EJECT_ON)
		add(&ep->group->ejections, 1);
	else if (v == OUTLIER_CAPPED || v == OUTLIER_LAST)
		add(&ep->group->ejections_capped, 1);
	if (v == OUTLIER_EJECT && (closing & POLICY_CLOSE_EJECTED))
		px_endpoint_cut(ep);
}

enum outlier_verdict px_endpoint_report(struct px_endpoint *ep,
					const struct policy *p,
					enum outlier_role role,
					enum outlier_outcome outcome,
					uint64_t now_ms)
{
	enum outlier_verdict v;

	while (!try_record(ep, p, role, outcome, now_ms, &v))
		;
	if (outcome == OUTLIER_CONNECTED) {
		add(&ep->connected, 1);
		add(&ep->group->connected, 1);
		return v;
	}
	if (outcome == OUTLIER_FAILED) {
		add(&ep->failed, 1);
		add(&ep->group->failed, 1);
		count_verdict(ep, p, v);
	}
	px_endpoint_closed(ep);
	return v;
}

void px_endpoint_opened(struct px_endpoint *ep)
{
	atomic_fetch_add_explicit(&ep->open, 1, memory_order_relaxed);
	add(&ep->group->open, 1);
}

void px_endpoint_closed(struct px_endpoint *ep)
{
	atomic_fetch_sub_explicit(&ep->open, 1, memory_order_relaxed);
	subtract(&ep->group->open, 1);
}
