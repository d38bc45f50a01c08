// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "human.h"
#include "metrics_parts.h"
#include "mout.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/observe/metrics.h"

static void print_build(const struct observed *o, struct text *t)
{
	mout_head(t, "nodesplice_build_info", "gauge",
		  "always 1; what is running");
	text_add(t, "nodesplice_build_info{version=\"");
	text_add_label(t, o->version);
	text_add(t, "\"} 1\n");
}

static void print_model(const struct observed *o, struct text *t)
{
	mout_gauge(t, "nodesplice_services", "Service objects known",
		   store_services_n(o->store));
	mout_gauge(t, "nodesplice_endpoint_slices",
		   "EndpointSlice objects known", store_slices_n(o->store));
	mout_counter(t, "nodesplice_objects_refused_total",
		     "objects not stored because of a limit",
		     store_refused_n(o->store));
	mout_gauge(t, "nodesplice_planned_services", "Services served",
		   plan_services_n(o->plan));
	mout_gauge(t, "nodesplice_frontends",
		   "addresses and ports that clients connect to",
		   plan_frontends_n(o->plan));
	mout_gauge(t, "nodesplice_endpoints", "endpoints of all Service ports",
		   plan_endpoints_n(o->plan));
	mout_counter(t, "nodesplice_problems_total",
		     "sentences that status shows under problems",
		     o->problems_total_n);
}

/* Counters and gauges that each kind of object has. */
struct source_column {
	const char *name, *type, *help;
	uint64_t (*value)(const struct source_status *s);
};

static uint64_t source_listed(const struct source_status *s)
{
	return s->listed;
}

static uint64_t source_watching(const struct source_status *s)
{
	return s->watching;
}

static uint64_t source_objects(const struct source_status *s)
{
	return s->objects_n;
}

static uint64_t source_bad_objects(const struct source_status *s)
{
	return s->bad_objects_n;
}

static uint64_t source_relists(const struct source_status *s)
{
	return s->relists_n;
}

static uint64_t source_errors(const struct source_status *s)
{
	return s->errors_n;
}

static const struct source_column source_columns[] = {
	{"nodesplice_source_listed", "gauge",
	 "whether the kind was listed since the start", source_listed},
	{"nodesplice_source_watching", "gauge", "whether the watch is open now",
	 source_watching},
	{"nodesplice_source_objects_total", "counter", "objects decoded",
	 source_objects},
	{"nodesplice_source_bad_objects_total", "counter",
	 "objects that could not be used", source_bad_objects},
	{"nodesplice_source_relists_total", "counter", "full lists",
	 source_relists},
	{"nodesplice_source_errors_total", "counter", "requests that failed",
	 source_errors},
};

static void kind_label(char *buf, size_t buf_n, const struct source_status *s)
{
	snprintf(buf, buf_n, "kind=\"%s\"", s->kind);
}

static void print_heard(const struct source_status *status, size_t n,
			uint64_t now_ms, uint64_t realtime_ms, struct text *t)
{
	static const char name[] = "nodesplice_source_last_heard_seconds";
	char label[64];

	mout_head(t, name, "gauge",
		  "when the last byte of the kind was heard, since the epoch");
	for (size_t i = 0; i < n; i++) {
		if (status[i].heard_ms == 0)
			continue;
		kind_label(label, sizeof(label), &status[i]);
		mout_ms(t, name, label,
			human_realtime_ms(status[i].heard_ms, now_ms,
					  realtime_ms));
	}
}

static void print_sources(const struct observed *o, uint64_t now_ms,
			  uint64_t realtime_ms, struct text *t)
{
	const struct source_status *status = NULL;
	size_t n = observed_sources(o, &status);
	char label[64];

	for (size_t c = 0; c < ARRAY_SIZE(source_columns); c++) {
		const struct source_column *col = &source_columns[c];

		mout_head(t, col->name, col->type, col->help);
		for (size_t i = 0; i < n; i++) {
			kind_label(label, sizeof(label), &status[i]);
			mout_u64(t, col->name, label, col->value(&status[i]));
		}
	}
	print_heard(status, n, now_ms, realtime_ms, t);
}

static void print_events(const struct observed_source *source, struct text *t)
{
	struct source_note_stats s = {0};

	if (source->note_stats)
		source->note_stats(source->source, &s);
	mout_counter(t, "nodesplice_events_told_total",
		     "occurrences of what Events are written for", s.told_n);
	mout_counter(t, "nodesplice_events_written_total",
		     "Events and their series that the API server took",
		     s.written_n);
	mout_counter(t, "nodesplice_events_failed_total",
		     "Events that were given up", s.failed_n);
	mout_counter(t, "nodesplice_events_over_rate_total",
		     "occurrences not written: too many about one object",
		     s.over_rate_n);
	mout_counter(t, "nodesplice_events_over_limit_total",
		     "occurrences not written: too many waiting",
		     s.over_limit_n);
}

static void print_floor(const struct observed_floor *floor, struct text *t)
{
	struct nfp_stats s;

	if (!floor->nfp)
		return;
	floor->stats(floor->nfp, &s);
	mout_counter(t, "nodesplice_nft_transactions_total",
		     "nftables transactions sent", s.transactions);
	mout_counter(t, "nodesplice_nft_transactions_failed_total",
		     "nftables transactions refused", s.transactions_failed);
	mout_counter(t, "nodesplice_nft_full_syncs_total",
		     "full read-backs of our tables", s.full_syncs);
	mout_counter(t, "nodesplice_nft_repairs_total",
		     "read-backs that found a difference", s.repairs);
	mout_counter(t, "nodesplice_nft_elements_added_total",
		     "set and map elements added", s.elements_added);
	mout_counter(t, "nodesplice_nft_elements_deleted_total",
		     "set and map elements deleted", s.elements_deleted);
	mout_gauge(t, "nodesplice_nft_elements", "set and map elements held",
		   s.elements_n);
	mout_gauge(t, "nodesplice_nft_last_transaction_bytes",
		   "size of the last transaction", s.last_transaction_bytes);
	mout_head(t, "nodesplice_nft_last_transaction_seconds", "gauge",
		  "duration of the last transaction");
	mout_double(t, "nodesplice_nft_last_transaction_seconds", NULL,
		    (double)s.last_transaction_us / 1e6);
	mout_counter(t, "nodesplice_gate_refreshes_total",
		     "heartbeats sent to keep the gate open", s.heartbeats);
	mout_counter(t, "nodesplice_gate_refreshes_failed_total",
		     "heartbeats that could not be sent", s.heartbeats_failed);
	mout_counter(t, "nodesplice_affinity_written_total",
		     "clients that keep an endpoint, written to the kernel",
		     s.clients_written);
	mout_counter(t, "nodesplice_affinity_write_failed_total",
		     "those of them that the kernel did not take",
		     s.clients_failed);
	mout_counter(t, "nodesplice_intercepted_connections_total",
		     "connections that the kernel sent to the proxy",
		     s.intercepted);
	mout_counter(t, "nodesplice_intercept_direct_dropped_total",
		     "packets dropped that were for the proxy's own ports",
		     s.direct_dropped);
	mout_counter(t, "nodesplice_bridge_legs_lost_total",
		     "packets whose replies within a bridge are lost: too many "
		     "connections",
		     s.bridge_legs_lost);
}

static void print_conntrack(const struct observed_conntrack *conntrack,
			    struct text *t)
{
	struct conntrack_stats s;

	if (!conntrack->conntrack)
		return;
	conntrack->stats(conntrack->conntrack, &s);
	mout_counter(t, "nodesplice_conntrack_passes_total",
		     "comparisons of the tracked flows of one family with the "
		     "endpoints",
		     s.passes);
	mout_counter(t, "nodesplice_conntrack_passes_failed_total",
		     "those that were broken off, and repeated",
		     s.passes_failed);
	mout_counter(t, "nodesplice_conntrack_flows_total",
		     "tracked flows that were looked at", s.flows);
	mout_counter(t, "nodesplice_conntrack_not_deleted_total",
		     "stale flows that the kernel did not delete",
		     s.not_deleted);
	mout_counter(t, "nodesplice_conntrack_forgotten_total",
		     "former frontends and endpoints above the limit of what "
		     "is remembered",
		     s.forgotten);
}

static void print_gate(const struct observed *o, struct text *t)
{
	mout_gauge(t, "nodesplice_proxy_enabled",
		   "whether this node runs the proxy", o->proxy.px != NULL);
	mout_gauge(t, "nodesplice_gate_open",
		   "whether new TCP connections go through the proxy",
		   o->gate.open);
	mout_counter(t, "nodesplice_gate_closings_total",
		     "times the gate was closed", o->gate.closings_n);
}

static void print_workers(const struct observed_proxy *proxy, uint64_t now_ms,
			  struct text *t)
{
	static const char open[] = "nodesplice_worker_open_connections";
	static const char age[] = "nodesplice_worker_heartbeat_age_seconds";
	unsigned int n = proxy->workers_n(proxy->px);
	struct px_stats s;
	char label[32];

	mout_head(t, open, "gauge", "client connections of each worker");
	for (unsigned int i = 0; i < n; i++) {
		proxy->worker_stats(proxy->px, i, &s);
		snprintf(label, sizeof(label), "worker=\"%u\"", i);
		mout_u64(t, open, label, s.open);
	}
	mout_head(t, age, "gauge", "since each worker's last heartbeat");
	for (unsigned int i = 0; i < n; i++) {
		proxy->worker_stats(proxy->px, i, &s);
		snprintf(label, sizeof(label), "worker=\"%u\"", i);
		mout_ms(t, age, label, human_age_ms(now_ms, s.heartbeat_ms));
	}
}

static void print_proxy(const struct observed_proxy *proxy, uint64_t now_ms,
			struct text *t)
{
	struct px_stats s;

	if (!proxy->px)
		return;
	proxy->stats(proxy->px, &s);
#define X(name, help)                                                          \
	mout_counter(t, "nodesplice_proxy_" #name "_total", help, s.name);
	PX_COUNTERS(X)
#undef X
	mout_gauge(t, "nodesplice_proxy_open_connections",
		   "client connections open now", s.open);
	mout_gauge(t, "nodesplice_proxy_connecting",
		   "client connections still without an endpoint",
		   s.connecting);
	mout_gauge(t, "nodesplice_proxy_pipes", "pipes in use and pooled",
		   s.pipes);
	print_workers(proxy, now_ms, t);
}

static void print_servers(const struct observed *o, struct text *t)
{
	mout_counter(t, "nodesplice_http_refused_total",
		     "HTTP requests with an unknown path or method",
		     o->http.refused_n);
	mout_counter(t, "nodesplice_http_full_total",
		     "times an HTTP server reached its connection limit",
		     o->http.full_n);
	mout_head(t, "nodesplice_service_health_requests_total", "counter",
		  "answers on health check node ports");
	mout_u64(t, "nodesplice_service_health_requests_total", "code=\"200\"",
		 o->http.service_ok_n);
	mout_u64(t, "nodesplice_service_health_requests_total", "code=\"503\"",
		 o->http.service_failed_n);
	mout_gauge(t, "nodesplice_health_port_listeners",
		   "sockets that listen on health check node ports",
		   o->health_ports.listeners_n);
	mout_gauge(t, "nodesplice_health_ports_failing",
		   "health check node ports (per family) that are not listened "
		   "on",
		   o->health_ports.failing_n);
	mout_counter(t, "nodesplice_health_port_failures_total",
		     "attempts to listen on a health check node port that "
		     "failed",
		     o->health_ports.failures_n);
	mout_counter(t, "nodesplice_health_ports_over_limit_total",
		     "of these, above the limit of listeners",
		     o->health_ports.over_limit_n);
	mout_gauge(t, "nodesplice_node_port_addresses_over_limit",
		   "local addresses in --nodeport-addresses above the limit, "
		   "where node ports are not served",
		   o->node_port_addrs_left_out_n);
	mout_counter(t, "nodesplice_control_requests_total",
		     "requests on the control socket", o->control.requests_n);
	mout_counter(t, "nodesplice_control_denied_total",
		     "control clients without the right to ask",
		     o->control.denied_n);
	mout_counter(t, "nodesplice_control_busy_total",
		     "control clients above the limit", o->control.busy_n);
	mout_counter(t, "nodesplice_control_too_long_total",
		     "control requests above the limit of a line",
		     o->control.too_long_n);
	mout_counter(t, "nodesplice_control_timeouts_total",
		     "control clients that were too slow",
		     o->control.timeouts_n);
}

static void print_process(const struct observed *o,
			  const struct process_stats *p, struct text *t)
{
	mout_head(t, "process_cpu_seconds_total", "counter",
		  "user and system CPU time");
	mout_double(t, "process_cpu_seconds_total", NULL, p->cpu_seconds);
	mout_gauge(t, "process_resident_memory_bytes", "resident memory",
		   p->resident_bytes);
	mout_gauge(t, "process_virtual_memory_bytes", "virtual memory",
		   p->virtual_bytes);
	mout_gauge(t, "process_open_fds", "open file descriptors",
		   p->open_fds_n);
	mout_gauge(t, "process_max_fds", "limit of open file descriptors",
		   p->max_fds_n);
	mout_gauge(t, "process_threads", "threads", p->threads_n);
	mout_head(t, "process_start_time_seconds", "gauge",
		  "start of the process since the epoch");
	mout_ms(t, "process_start_time_seconds", NULL, o->started_realtime_ms);
}

void metrics_text(const struct observed *o, const struct process_stats *process,
		  uint64_t now_ms, uint64_t realtime_ms, struct text *t)
{
	metrics_kubeproxy(o, t);
	print_build(o, t);
	print_model(o, t);
	print_sources(o, now_ms, realtime_ms, t);
	print_events(&o->source, t);
	print_floor(&o->floor, t);
	print_conntrack(&o->conntrack, t);
	print_gate(o, t);
	print_proxy(&o->proxy, now_ms, t);
	metrics_service(o, t);
	print_servers(o, t);
	print_process(o, process, t);
}
