/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observed.h - everything that metrics, health, status and explain look at
 *
 * Layer: observe.  One struct observed, owned by app/ and used on the control
 * thread only.  App fills in what it knows and lends what others hold; the
 * printers only read.  What belongs to a running proxy, floor or source is
 * reached through small tables of calls, so that every printer runs in a test
 * without any of them.
 *
 * Times: _ms is monotonic, _realtime_ms since the epoch; 0 means never.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/nft/conntrack.h"
#include "nodesplice/nft/nfp.h"
#include "nodesplice/observe/histogram.h"
#include "nodesplice/plan/plan.h"
#include "nodesplice/proxy/px.h"
#include "nodesplice/source/source.h"

enum observed_family {
	OBSERVED_IPV4,
	OBSERVED_IPV6,
	OBSERVED_FAMILY_MAX_,
};

/* A configured value, as `status` shows it. */
struct observed_option {
	const char *name;
	const char *value;
};

/* px.h's calls; .px NULL: this node runs without the proxy, the rest unused. */
struct observed_proxy {
	const struct px *px; /* borrowed */
	const char *off_why; /* static; with .px NULL, else ignored */
	uint64_t (*heartbeat_ms)(const struct px *px);
	bool (*short_of_resources)(const struct px *px, const char **ret_why);
	void (*stats)(const struct px *px, struct px_stats *ret_stats);
	unsigned int (*workers_n)(const struct px *px);
	void (*worker_stats)(const struct px *px, unsigned int worker,
			     struct px_stats *ret_stats);
	int (*endpoint_stats)(const struct px *px, const char *port_name,
			      uint8_t family, const struct sockad *endpoint,
			      uint64_t now_ms,
			      struct px_endpoint_stats *ret_stats);
	void (*each_service)(const struct px *px, px_service_stats_fn fn,
			     void *data);
};

/* nfp.h's calls; .nfp NULL: nothing is programmed. */
struct observed_floor {
	const struct nfp *nfp; /* borrowed */
	void (*stats)(const struct nfp *nfp, struct nfp_stats *ret_stats);
};

/* conntrack.h's; .conntrack NULL: flows are not looked at. */
struct observed_conntrack {
	const struct conntrack *conntrack; /* borrowed */
	void (*stats)(const struct conntrack *c,
		      struct conntrack_stats *ret_stats);
};

/* The source in use; .status NULL: none. */
struct observed_source {
	size_t (*status)(const void *source,
			 const struct source_status **ret_status);
	void (*note_stats)(const void *source,
			   struct source_note_stats *ret_stats); /* or NULL */
	const void *source; /* borrowed */
};

/* Whether new TCP connections go through the proxy. */
struct observed_gate {
	bool open;
	const char *why_closed; /* static; NULL while open */
	uint64_t changed_ms;
	uint64_t closings_n; /* from open to closed, ever */
};

/* How far the kernel is behind the objects, for one address family. */
struct observed_sync {
	uint64_t queued_ms; /* oldest change not yet in the kernel; 0: none */
	uint64_t queued_realtime_ms; /* newest change queued */
	uint64_t synced_ms, synced_realtime_ms;
	uint64_t failures_n;
	struct histogram took, full, partial; /* seconds */
	struct histogram programming; /* seconds from trigger to kernel */
	struct histogram reconciled;  /* seconds of a pass over the flows */
	uint64_t flows_deleted_n;
};

/* A sentence that the operator should know, and how often it was said. */
struct observed_problem {
	char subject[256]; /* "default/web", "" for the node itself */
	char sentence[ERRBUF_BYTES];
	uint64_t first_realtime_ms, last_realtime_ms;
	uint64_t times_n;
};

/* Of the HTTP servers; written by http.c and pages.c. */
struct observed_http {
	uint64_t healthz_ok_n, healthz_failed_n;
	uint64_t livez_ok_n, livez_failed_n;
	uint64_t service_ok_n, service_failed_n; /* health check node ports */
	uint64_t refused_n;			 /* unknown path or method */
	uint64_t full_n; /* times a server reached its connection limit */
};

/* Listeners on health check node ports; written by app. */
struct observed_health_ports {
	uint64_t listeners_n;  /* now */
	uint64_t failing_n;    /* of a Service and family, not bound now */
	uint64_t failures_n;   /* attempts that failed, ever */
	uint64_t over_limit_n; /* of these, above LIMIT_HEALTH_LISTENERS */
};

/* Of the control socket; written by control.c. */
struct observed_control {
	uint64_t requests_n;
	uint64_t denied_n;   /* neither root nor of the socket's group */
	uint64_t busy_n;     /* above LIMIT_CONTROL_CLIENTS */
	uint64_t too_long_n; /* above LIMIT_CONTROL_LINE_BYTES */
	uint64_t timeouts_n;
};

struct observed {
	/* Set once. */
	const char *node_name;
	const char *version;
	uint64_t started_ms, started_realtime_ms;
	uint64_t health_timeout_ms; /* twice the sync period */
	bool node_optional;	    /* manifests need not hold our Node */
	const struct observed_option *options; /* borrowed */
	size_t options_n;

	/* Lent; store, plan and context are never NULL. */
	const struct store *store;
	const struct plan *plan;
	const struct plan_context *context;
	struct observed_proxy proxy;
	struct observed_floor floor;
	struct observed_conntrack conntrack;
	struct observed_source source;

	/* Recorded by the calls below. */
	struct observed_gate gate;
	struct observed_sync sync[OBSERVED_FAMILY_MAX_];
	uint64_t service_changes_synced_n, slice_changes_synced_n;
	struct observed_problem problems[LIMIT_PROBLEMS]; /* the latest */
	size_t problems_n;
	uint64_t problems_total_n;
	struct observed_http http;
	uint64_t node_port_addrs_left_out_n; /* LIMIT_NODE_PORT_ADDRS */
	struct observed_health_ports health_ports;
	struct observed_control control;
};

/* An empty one, with the histograms' buckets and the default timeout. */
void observed_init(struct observed *o);

/* A change waits for its transaction.  One transaction carries both families,
 * so that both are queued and synced together. */
void observed_queued(struct observed *o, uint64_t now_ms, uint64_t realtime_ms);

/**
 * observed_synced() - A transaction put everything queued into the kernel
 * @full:	Read-back and full comparison, not a change alone
 * @took_us:	From the plan's update to the kernel's answer
 */
void observed_synced(struct observed *o, bool full, uint64_t took_us,
		     uint64_t now_ms, uint64_t realtime_ms);
/* A transaction was refused; what was queued stays queued. */
void observed_sync_failed(struct observed *o);

/**
 * observed_programmed() - One Service's endpoints reached the kernel
 * @changed_realtime_ms: service_plan.changed_ms; 0 or before our own start:
 *			not counted, as in kube-proxy's tracker
 */
void observed_programmed(struct observed *o, uint8_t family,
			 uint64_t changed_realtime_ms, uint64_t realtime_ms);

/* A pass over the tracked UDP flows of one family ended. */
void observed_reconciled(struct observed *o, uint8_t family, uint64_t took_us,
			 uint64_t deleted_n);

/* The gate's state after a decision; @why_closed is static text. */
void observed_gate(struct observed *o, bool open, const char *why_closed,
		   uint64_t now_ms);

/**
 * observed_problem() - Remember a sentence for `status`
 * @subject:	"namespace/name" or ""
 *
 * The same sentence about the same subject is kept once and counted; above
 * LIMIT_PROBLEMS the one that was said longest ago is forgotten.
 */
void observed_problem(struct observed *o, const char *subject,
		      const char *sentence, uint64_t realtime_ms);

/* The source's kinds; 0 if there is no source. */
size_t observed_sources(const struct observed *o,
			const struct source_status **ret_status);

/* Objects of a kind decoded so far ("services", "endpointslices"). */
uint64_t observed_objects_n(const struct observed *o, const char *kind);

/* Of whichever kind says where endpoints are. */
uint64_t observed_endpoint_objects_n(const struct observed *o);

/* "IPv4", "IPv6": kube-proxy's ip_family. */
const char *observed_family_name(enum observed_family f);
enum observed_family observed_family_of(uint8_t family);
