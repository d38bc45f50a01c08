/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics.h - the page that Prometheus reads (text format 0.0.4)
 *
 * Layer: observe, pure.
 *
 * kubeproxy_*	names, labels and buckets of kube-proxy's nftables mode
 *		(pkg/proxy/metrics/metrics.go), as far as they mean something
 *		here: there is no separate clean-up of chains, so its metric
 *		is absent.
 * nodesplice_*	the rest; nodesplice_service_* by namespace, service, port
 *		and ip_family.
 * process_*	as every Prometheus client library has them.
 *
 * A Service port that no connection ever went to has no nodesplice_service_*
 * series.  Above LIMIT_METRIC_SERIES of them further Service ports are summed
 * in one row with empty labels; nodesplice_service_rows_aggregated says how
 * many.
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"
#include "nodesplice/observe/process.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_text(const struct observed *o, const struct process_stats *process,
		  uint64_t now_ms, uint64_t realtime_ms, struct text *t);
