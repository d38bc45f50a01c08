// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   store dirty --plan_update()--> changes --px_apply()--> workers
 *        ^                                                    | acknowledged,
 *        |                                                    v or LATE_MS
 *        +------ next round <------ one transaction <---- changes
 *
 * The workers hold a frontend before the kernel sends connections for it, and
 * one that is gone stays unknown to the kernel first on the next round.  While
 * the workers are asked, further changes gather in the store: a burst costs as
 * many transactions as the kernel and the workers take, no more.
 *
 * A refused transaction leaves the kernel as it was.  The next attempt, after a
 * pause that doubles, is a full comparison with what the kernel holds.  So is
 * one round every --full-sync-period: what others did to our table is undone.
 */
#include <errno.h>
#include <string.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/log.h"

#include "apply.h"

#define LATE_MS	     50 /* a hung worker does not hold up the floor */
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 30000

struct apply {
	struct apply_options o;
	struct dataplane dp;	     /* in force */
	struct plan_changes changes; /* planned, not yet in the kernel */
	uint64_t generation;
	bool waiting;	   /* for the workers' acknowledgement */
	bool workers_due;  /* px_apply() was short of memory */
	bool full_due;	   /* the next transaction is a full comparison */
	bool synced;	   /* once */
	uint32_t retry_ms; /* 0: the last transaction was taken */
	uint64_t round_started_us;
	uint64_t next_round_ms; /* the earliest, by --iptables-min-sync-period */
	struct timer wake, late, full;
};

static void begin_round(struct apply *a);

static void on_wake(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	begin_round(container_of(t, struct apply, wake));
}

static void wake_in(struct apply *a, uint32_t ms)
{
	loop_timer_arm(a->o.loop, &a->wake, loop_now_ms(a->o.loop) + ms);
}

void apply_wake(struct apply *a)
{
	const struct store *st = a->o.store;

	if (store_dirty(st))
		observed_queued(a->o.observed, loop_now_ms(a->o.loop),
				clock_realtime_ms());
	if (!a->waiting && !timer_armed(&a->wake))
		loop_timer_arm(a->o.loop, &a->wake, a->next_round_ms);
}

static void on_full(struct timer *t, uint64_t now_ms)
{
	struct apply *a = container_of(t, struct apply, full);

	(void)now_ms;
	a->full_due = true;
	if (!a->waiting && !timer_armed(&a->wake))
		wake_in(a, 0);
}

static void tell_problems(struct apply *a, const struct plan_change *c)
{
	const struct service_plan *was = c->before, *is = c->after;

	for (size_t i = 0; is && i < is->problems_n; i++) {
		bool known = false;

		for (size_t k = 0; was && k < was->problems_n; k++)
			known |= strcmp(was->problems[k].sentence,
					is->problems[i].sentence) == 0;
		if (known)
			continue;
		a->o.problem(is->key, &is->problems[i], a->o.data);
	}
}

static void tell_left_out(struct apply *a)
{
	uint64_t *told_n = &a->o.observed->node_port_addrs_left_out_n;
	struct errbuf e;

	if (a->dp.node_ports.left_out_n && !*told_n) {
		errf(&e, 0,
		     "--nodeport-addresses: more than %d local addresses, node "
		     "ports are not served on the others (all has no limit)",
		     LIMIT_NODE_PORT_ADDRS);
		log_warn("%s", e.text);
		observed_problem(a->o.observed, "", e.text,
				 clock_realtime_ms());
	}
	*told_n = a->dp.node_ports.left_out_n;
}

/* Which of the node's addresses have flows to node ports; if all do, they are
 * not listed in the dataplane. */
static void follow_node_ports(struct apply *a, const struct dataplane *dp)
{
	const struct netdev_addr *local;
	size_t local_n = netdev_addrs(a->o.netdev, &local), n = 0;
	size_t listed_n = dp->nfp.node_port_addrs_n;
	cleanup_(freep) struct addr *addrs =
		calloc(local_n + listed_n + 1, sizeof(*addrs));

	if (!addrs)
		return; /* the old ones, until the next change */
	for (size_t i = 0; i < local_n; i++) {
		const struct addr *at = &local[i].addr;

		if (dp->node_ports.everywhere[plan_family(at->family)] &&
		    !addr_is_loopback(at))
			addrs[n++] = *at;
	}
	for (size_t i = 0; i < listed_n; i++)
		addrs[n++] = dp->node_ports.addrs[i];
	conntrack_node_ports(a->o.conntrack, addrs, n);
}

/* The Node, the ServiceCIDRs or our addresses may be others now. */
static void follow_node(struct apply *a)
{
	struct plan_context *ctx = a->o.ctx;
	struct dataplane dp;
	struct errbuf e;

	store_take_node_changed(a->o.store);
	dataplane_derive(a->o.options, a->o.store, a->o.netdev, &dp);
	follow_node_ports(a, &dp);
	if (a->synced && dataplane_equal(&dp, &a->dp))
		return;
	if (dataplane_context(&dp, ctx))
		store_mark_all_dirty(a->o.store);
	dataplane_copy(&dp, &a->dp);
	dataplane_context(&a->dp, ctx); /* which owns the strings */
	health_ports_places(a->o.health_ports, &a->dp.node_ports);
	tell_left_out(a);
	if (nfp_update_options(a->o.nfp, &a->dp.nfp, &e) < 0) {
		log_err("the node's addresses are not in the kernel yet: %s",
			e.text);
		a->full_due = true;
	}
}

/* As kube-proxy's tracker: once for each trigger time, in each family. */
static void note_programmed(struct apply *a, uint64_t realtime_ms)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < a->changes.n; i++) {
		const struct service_plan *was = a->changes.items[i].before;
		const struct service_plan *is = a->changes.items[i].after;

		/* Else the Service changed, not its endpoints. */
		if (!is || (was && was->changed_ms == is->changed_ms))
			continue;
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			if (service_plan_has_family(is, families[f]))
				observed_programmed(a->o.observed, families[f],
						    is->changed_ms,
						    realtime_ms);
		}
	}
}

static void taken(struct apply *a, bool full)
{
	uint64_t realtime_ms = clock_realtime_ms();
	uint64_t took_us = clock_now_us() - a->round_started_us;

	if (a->retry_ms)
		log_info("the kernel holds the plan again");
	a->retry_ms = 0;
	a->full_due = false;
	if (full)
		loop_timer_arm(a->o.loop, &a->full,
			       loop_now_ms(a->o.loop) +
				       a->o.options->full_sync_period_ms);
	observed_synced(a->o.observed, full, took_us, loop_now_ms(a->o.loop),
			realtime_ms);
	note_programmed(a, realtime_ms);
	conntrack_changed(a->o.conntrack, &a->changes, full);
	log_debug("%zu services programmed in %llu us", a->changes.n,
		  (unsigned long long)took_us);
	for (size_t i = 0; i < a->changes.n; i++)
		health_ports_update(a->o.health_ports, a->changes.items[i].key,
				    a->changes.items[i].after);
	plan_changes_free(&a->changes);
	if (!a->synced) {
		a->synced = true;
		a->o.first_synced(a->o.data);
	}
	if (store_dirty(a->o.store))
		loop_timer_arm(a->o.loop, &a->wake, a->next_round_ms);
}

static void refused(struct apply *a, const struct errbuf *e)
{
	a->retry_ms = a->retry_ms ? a->retry_ms * 2 : RETRY_MIN_MS;
	if (a->retry_ms > RETRY_MAX_MS)
		a->retry_ms = RETRY_MAX_MS;
	a->full_due = true;
	observed_sync_failed(a->o.observed);
	log_err("the kernel refused a transaction, its state is as before; "
		"full comparison in %u ms: %s",
		a->retry_ms, e->text);
	observed_problem(a->o.observed, "", e->text, clock_realtime_ms());
	wake_in(a, a->retry_ms);
}

static void commit(struct apply *a)
{
	struct errbuf e = {0};
	bool full = a->full_due;
	int r;

	loop_timer_stop(a->o.loop, &a->late);
	a->waiting = false;
	r = full ? nfp_sync(a->o.nfp, a->o.plan, &e) :
		   nfp_apply(a->o.nfp, &a->changes, &e);
	if (r < 0)
		refused(a, &e);
	else
		taken(a, full);
}

static void on_late(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	commit(container_of(t, struct apply, late));
}

void apply_acknowledged(struct apply *a, uint64_t generation)
{
	if (a->waiting && generation >= a->generation)
		commit(a);
}

/* Hand the changes from @first on to the workers, and those that they were too
 * short of memory for before. */
static int tell_workers(struct apply *a, size_t first)
{
	struct plan_changes view;

	if (a->workers_due)
		first = 0;
	view = (struct plan_changes){.items = a->changes.items + first,
				     .n = a->changes.n - first};
	if (!a->o.px || view.n == 0)
		return 0;
	/* Here the kernel takes over what it does not know yet ... */
	if (affinity_leaves_proxy(&view))
		affinity_tell(a->o.affinity, &a->changes,
			      loop_now_ms(a->o.loop));
	a->workers_due = px_apply(a->o.px, &view, a->generation + 1) < 0;
	if (a->workers_due)
		return -ENOMEM;
	/* ... and here the proxy.  The first time the gate's opening does. */
	if (a->synced)
		affinity_learn_changes(a->o.affinity, &view,
				       loop_now_ms(a->o.loop));
	a->generation++;
	a->waiting = true;
	loop_timer_arm(a->o.loop, &a->late, loop_now_ms(a->o.loop) + LATE_MS);
	return 0;
}

static void short_of_memory(struct apply *a)
{
	log_err("out of memory while planning, tried again in %d ms",
		RETRY_MIN_MS);
	a->full_due = true;
	wake_in(a, RETRY_MIN_MS);
}

static void begin_round(struct apply *a)
{
	size_t first = a->changes.n;
	int r;

	if (a->waiting || !store_synced(a->o.store))
		return;
	a->round_started_us = clock_now_us();
	a->next_round_ms =
		loop_now_ms(a->o.loop) + a->o.options->min_sync_period_ms;
	follow_node(a);
	r = plan_update(a->o.plan, a->o.store, a->o.ctx, &a->changes);
	for (size_t i = first; i < a->changes.n; i++)
		tell_problems(a, &a->changes.items[i]);
	if (tell_workers(a, first) < 0 || r < 0) {
		short_of_memory(a);
		return;
	}
	if (a->changes.n == 0 && !a->full_due) {
		observed_synced(a->o.observed, false, 0, loop_now_ms(a->o.loop),
				clock_realtime_ms());
		return;
	}
	/* What was refused before has its own "before": compare it all. */
	if (first > 0)
		a->full_due = true;
	if (!a->waiting)
		commit(a);
}

const struct plan_changes *apply_pending(const struct apply *a)
{
	return &a->changes;
}

int apply_new(const struct apply_options *o, struct apply **ret_apply)
{
	struct apply *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->o = *o;
	a->full_due = true;
	a->wake.fn = on_wake;
	a->late.fn = on_late;
	a->full.fn = on_full;
	*ret_apply = a;
	return 0;
}

void apply_free(struct apply *a)
{
	if (!a)
		return;
	loop_timer_stop(a->o.loop, &a->wake);
	loop_timer_stop(a->o.loop, &a->late);
	loop_timer_stop(a->o.loop, &a->full);
	plan_changes_free(&a->changes);
	free(a);
}
