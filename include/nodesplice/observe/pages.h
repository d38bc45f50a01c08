/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages.h - which answer each HTTP request gets
 *
 * Layer: observe; knows no socket.
 *
 * pages_metrics()	/metrics, /healthz ("ok"), /proxyMode, as kube-proxy's
 *			metrics port answers (127.0.0.1:10249)
 * pages_health()	/healthz, /livez (0.0.0.0:10256)
 *
 * GET and HEAD only: 405 with Allow for other methods, 404 elsewhere.
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
