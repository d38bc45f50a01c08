/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * health.h - when this node is healthy, and when this process is
 *
 * Layer: observe, pure.  Semantics and JSON of kube-proxy 1.37
 * (pkg/proxy/healthcheck/proxy_health.go):
 *
 * /healthz	is the node good for load balancers?  No family has a change
 *		queued for longer than the timeout, and our Node exists, is
 *		not being deleted and not about to be (autoscaler's taint).
 *		Workers don't matter: without them the kernel serves.
 * /livez	should this process be restarted?  The same without the Node,
 *		but with the workers' heartbeats, which kube-proxy has not: a
 *		stuck worker otherwise stays unseen.
 *
 * A family that was never synced is healthy: it is starting up.
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"

#define HEALTH_HEARTBEAT_STALE_MS 3000 /* the gate's own timeout */

struct health_family {
	bool synced; /* once, since the start */
	bool healthy;
};

struct health {
	bool families_healthy; /* kube-proxy's "healthy" */
	struct health_family family[OBSERVED_FAMILY_MAX_];
	bool node_eligible;
	bool has_workers; /* the proxy is on */
	bool workers_healthy;
	unsigned int workers_n;
	uint64_t heartbeat_age_ms; /* of the worker heard longest ago */
};

void health_judge(const struct observed *o, uint64_t now_ms,
		  struct health *ret_health);

/* Print the body; return whether the status is 200 (else 503). */
bool health_healthz(const struct observed *o, uint64_t now_ms,
		    uint64_t realtime_ms, struct text *t);
bool health_livez(const struct observed *o, uint64_t now_ms,
		  uint64_t realtime_ms, struct text *t);
