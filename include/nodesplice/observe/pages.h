/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages.h - which answer each HTTP request gets
 *
 * Layer: observe; knows no socket.
 *
 * pages_metrics()	/metrics, /healthz ("ok"), /proxyMode, as kube-proxy's
 *			metrics port answers (127.0.0.1:10249)
 * pages_health()	/healthz, /livez (0.0.0.0:10256)
 * pages_service()	a Service's health check node port: any path and method,
 *			as kube-proxy (pkg/proxy/healthcheck/service_health.go)
 *
 * Of the former two: GET and HEAD only, 405 with Allow for other methods, 404
 * elsewhere.
 */
#pragma once

#include "nodesplice/observe/http.h"

/* As http_fn; @data is the struct observed, whose HTTP counters are raised. */
void pages_metrics(const char *method, const char *path, uint64_t now_ms,
		   uint64_t realtime_ms, struct http_answer *ret_answer,
		   void *data);
void pages_health(const char *method, const char *path, uint64_t now_ms,
		  uint64_t realtime_ms, struct http_answer *ret_answer,
		  void *data);

/* The Service and family that a health check node port is for. */
struct pages_service {
	struct observed *o;	 /* borrowed */
	const char *service_key; /* borrowed */
	uint8_t family;
};

/* 200 if local ready endpoints are there and the rules are in the kernel, else
 * 503; their number is the header X-Load-Balancing-Endpoint-Weight.  @data is
 * a struct pages_service. */
void pages_service(const char *method, const char *path, uint64_t now_ms,
		   uint64_t realtime_ms, struct http_answer *ret_answer,
		   void *data);
