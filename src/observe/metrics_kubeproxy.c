// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "metrics_parts.h"
#include "mout.h"
#include "nodesplice/base/mem.h"

static const char *const family_labels[OBSERVED_FAMILY_MAX_] = {
	[OBSERVED_IPV4] = "ip_family=\"IPv4\"",
	[OBSERVED_IPV6] = "ip_family=\"IPv6\"",
};

/* Where in struct observed_sync each histogram is. */
static const struct {
	const char *name, *help;
	size_t offset;
} histograms[] = {
	{"kubeproxy_sync_proxy_rules_duration_seconds",
	 "SyncProxyRules latency in seconds",
	 offsetof(struct observed_sync, took)},
	{"kubeproxy_sync_full_proxy_rules_duration_seconds",
	 "SyncProxyRules latency in seconds for full resyncs",
	 offsetof(struct observed_sync, full)},
	{"kubeproxy_sync_partial_proxy_rules_duration_seconds",
	 "SyncProxyRules latency in seconds for partial resyncs",
	 offsetof(struct observed_sync, partial)},
	{"kubeproxy_network_programming_duration_seconds",
	 "In Cluster Network Programming Latency in seconds",
	 offsetof(struct observed_sync, programming)},
	{"kubeproxy_conntrack_reconciler_sync_duration_seconds",
	 "ReconcileConntrackFlowsLatency latency in seconds",
	 offsetof(struct observed_sync, reconciled)},
};

static void print_histograms(const struct observed *o, struct text *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(histograms); i++) {
		mout_head(t, histograms[i].name, "histogram",
			  histograms[i].help);
		for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
			const char *sync = (const char *)&o->sync[f];
			const void *h = sync + histograms[i].offset;

			mout_histogram(t, histograms[i].name, family_labels[f],
				       h);
		}
	}
}

static void print_timestamps(const struct observed *o, struct text *t)
{
	static const char last[] =
		"kubeproxy_sync_proxy_rules_last_timestamp_seconds";
	static const char queued[] =
		"kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";

	mout_head(t, last, "gauge",
		  "The last time proxy rules were successfully synced");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		mout_ms(t, last, family_labels[f],
			o->sync[f].synced_realtime_ms);
	mout_head(t, queued, "gauge",
		  "The last time a sync of proxy rules was queued");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		mout_ms(t, queued, family_labels[f],
			o->sync[f].queued_realtime_ms);
}

static void print_changes(const struct observed *o, struct text *t)
{
	uint64_t services_n = observed_objects_n(o, "services");
	uint64_t slices_n = observed_endpoint_objects_n(o);

	mout_counter(t, "kubeproxy_sync_proxy_rules_service_changes_total",
		     "Cumulative proxy rules Service changes", services_n);
	mout_gauge(t, "kubeproxy_sync_proxy_rules_service_changes_pending",
		   "Pending proxy rules Service changes",
		   services_n - o->service_changes_synced_n);
	mout_counter(t, "kubeproxy_sync_proxy_rules_endpoint_changes_total",
		     "Cumulative proxy rules Endpoint changes", slices_n);
	mout_gauge(t, "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
		   "Pending proxy rules Endpoint changes",
		   slices_n - o->slice_changes_synced_n);
}

static void print_failures(const struct observed *o, struct text *t)
{
	static const char name[] =
		"kubeproxy_sync_proxy_rules_nftables_sync_failures_total";
	static const char cleanup[] =
		"kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total";

	mout_head(t, name, "counter",
		  "Cumulative proxy nftables sync failures");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		mout_u64(t, name, family_labels[f], o->sync[f].failures_n);
	/* What is stale goes in the transaction that makes it so: nothing is
	 * left for a clean-up that could fail. */
	mout_head(t, cleanup, "counter",
		  "Cumulative proxy nftables cleanup failures");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		mout_u64(t, cleanup, family_labels[f], 0);
}

static void print_deleted_flows(const struct observed *o, struct text *t)
{
	static const char name[] =
		"kubeproxy_conntrack_reconciler_deleted_entries_total";

	mout_head(t, name, "counter",
		  "Cumulative conntrack flows deleted by conntrack reconciler");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		mout_u64(t, name, family_labels[f], o->sync[f].flows_deleted_n);
}

static void print_probes(const struct observed_http *http, struct text *t)
{
	static const char healthz[] = "kubeproxy_proxy_healthz_total";
	static const char livez[] = "kubeproxy_proxy_livez_total";

	mout_head(t, healthz, "counter",
		  "Cumulative proxy healthz HTTP status");
	mout_u64(t, healthz, "code=\"200\"", http->healthz_ok_n);
	mout_u64(t, healthz, "code=\"503\"", http->healthz_failed_n);
	mout_head(t, livez, "counter", "Cumulative proxy livez HTTP status");
	mout_u64(t, livez, "code=\"200\"", http->livez_ok_n);
	mout_u64(t, livez, "code=\"503\"", http->livez_failed_n);
}

/* Service ports that a Local policy leaves without an endpoint here, although
 * there are some elsewhere: their frontends drop. */
struct no_local {
	uint64_t internal_n[OBSERVED_FAMILY_MAX_];
	uint64_t external_n[OBSERVED_FAMILY_MAX_];
};

static bool drops(const struct plan_frontend *f)
{
	return f->view[PLAN_INSIDE].verdict == PLAN_DROP ||
	       f->view[PLAN_OUTSIDE].verdict == PLAN_DROP;
}

static void count_port(const struct plan_port *port, struct no_local *n)
{
	const enum observed_family f = observed_family_of(port->family);
	bool internal = false, external = false;

	for (size_t i = 0; i < port->frontends_n; i++) {
		const struct plan_frontend *fe = &port->frontends[i];

		if (drops(fe) && fe->kind == PLAN_CLUSTER_IP)
			internal = true;
		else if (drops(fe))
			external = true;
	}
	n->internal_n[f] += internal;
	n->external_n[f] += external;
}

static bool count_no_local(const struct plan *plan, struct no_local *ret_n)
{
	cleanup_(freep) const struct service_plan **list = NULL;
	size_t n;

	if (plan_list(plan, &list, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		for (size_t p = 0; p < list[i]->ports_n; p++)
			count_port(&list[i]->ports[p], ret_n);
	}
	return true;
}

static void print_no_local(const struct observed *o, struct text *t)
{
	static const char name[] =
		"kubeproxy_sync_proxy_rules_no_local_endpoints_total";
	struct no_local n = {0};
	char labels[64];

	if (!count_no_local(o->plan, &n)) {
		t->failed = true;
		return;
	}
	mout_head(
		t, name, "gauge",
		"Number of services with a Local traffic policy and no endpoints");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		snprintf(labels, sizeof(labels),
			 "%s,traffic_policy=\"internal\"", family_labels[f]);
		mout_u64(t, name, labels, n.internal_n[f]);
		snprintf(labels, sizeof(labels),
			 "%s,traffic_policy=\"external\"", family_labels[f]);
		mout_u64(t, name, labels, n.external_n[f]);
	}
}

void metrics_kubeproxy(const struct observed *o, struct text *t)
{
	print_histograms(o, t);
	print_timestamps(o, t);
	print_changes(o, t);
	print_failures(o, t);
	print_deleted_flows(o, t);
	print_probes(&o->http, t);
	print_no_local(o, t);
}
