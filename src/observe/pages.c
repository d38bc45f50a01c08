// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/observe/health.h"
#include "nodesplice/observe/metrics.h"
#include "nodesplice/observe/pages.h"
#include "nodesplice/plan/local_ready.h"

#define PLAIN "text/plain; charset=utf-8"

struct request {
	struct observed *o;
	uint64_t now_ms, realtime_ms;
};

typedef void (*page_fn)(const struct request *r, struct http_answer *a);

static void page_metrics(const struct request *r, struct http_answer *a)
{
	struct process_stats process;

	process_stats_read(&process);
	a->content_type = METRICS_CONTENT_TYPE;
	metrics_text(r->o, &process, r->now_ms, r->realtime_ms, &a->body);
}

static void page_ok(const struct request *r, struct http_answer *a)
{
	(void)r;
	text_add(&a->body, "ok");
}

/* Whoever asks wants to know whose rules to look for; kube-proxy's answer in
 * the mode that we stand in for. */
static void page_proxy_mode(const struct request *r, struct http_answer *a)
{
	(void)r;
	text_add(&a->body, "nftables");
}

static void page_healthz(const struct request *r, struct http_answer *a)
{
	bool ok = health_healthz(r->o, r->now_ms, r->realtime_ms, &a->body);

	a->content_type = "application/json";
	a->status = ok ? 200 : 503;
	if (ok)
		r->o->http.healthz_ok_n++;
	else
		r->o->http.healthz_failed_n++;
}

static void page_livez(const struct request *r, struct http_answer *a)
{
	bool ok = health_livez(r->o, r->now_ms, r->realtime_ms, &a->body);

	a->content_type = "application/json";
	a->status = ok ? 200 : 503;
	if (ok)
		r->o->http.livez_ok_n++;
	else
		r->o->http.livez_failed_n++;
}

struct page {
	const char *path;
	page_fn fn;
	bool any_method; /* as of kube-proxy, whose checkers may HEAD or POST */
};

static const struct page metrics_pages[] = {
	{"/metrics", page_metrics, false},
	{"/healthz", page_ok, false},
	{"/proxyMode", page_proxy_mode, false},
};

static const struct page health_pages[] = {
	{"/healthz", page_healthz, true},
	{"/livez", page_livez, true},
};

static const struct page *find_page(const struct page *pages, size_t pages_n,
				    const char *path)
{
	for (size_t i = 0; i < pages_n; i++) {
		if (strcmp(pages[i].path, path) == 0)
			return &pages[i];
	}
	return NULL;
}

/* @page is NULL for a path that has none. */
static void answer(const struct page *page, const char *method,
		   const struct request *r, struct http_answer *ret_answer)
{
	struct http_answer a = {.status = 200, .content_type = PLAIN};

	if (!page) {
		a.status = 404;
		text_add(&a.body, "not found\n");
		r->o->http.refused_n++;
	} else if (!page->any_method && strcmp(method, "GET") != 0 &&
		   strcmp(method, "HEAD") != 0) {
		a.status = 405;
		a.allow = "GET, HEAD";
		text_add(&a.body, "only GET and HEAD\n");
		r->o->http.refused_n++;
	} else {
		page->fn(r, &a);
	}
	*ret_answer = a;
}

void pages_metrics(const char *method, const char *path, uint64_t now_ms,
		   uint64_t realtime_ms, struct http_answer *ret_answer,
		   void *data)
{
	const struct request r = {data, now_ms, realtime_ms};

	answer(find_page(metrics_pages, ARRAY_SIZE(metrics_pages), path),
	       method, &r, ret_answer);
}

void pages_health(const char *method, const char *path, uint64_t now_ms,
		  uint64_t realtime_ms, struct http_answer *ret_answer,
		  void *data)
{
	const struct request r = {data, now_ms, realtime_ms};

	answer(find_page(health_pages, ARRAY_SIZE(health_pages), path), method,
	       &r, ret_answer);
}

/* Names of objects need no escapes.  kube-proxy's own layout, for those who
 * look for a line of it. */
static void print_service(const char *key, size_t ready_n, bool healthy,
			  struct text *t)
{
	int namespace_n = (int)strcspn(key, "/");

	text_addf(t,
		  "{\n\t\"service\": {\n"
		  "\t\t\"namespace\": \"%.*s\",\n"
		  "\t\t\"name\": \"%s\"\n\t},\n"
		  "\t\"localEndpoints\": %zu,\n"
		  "\t\"serviceProxyHealthy\": %s\n}",
		  namespace_n, key, key + namespace_n + 1, ready_n,
		  healthy ? "true" : "false");
}

void pages_service(const char *method, const char *path, uint64_t now_ms,
		   uint64_t realtime_ms, struct http_answer *ret_answer,
		   void *data)
{
	const struct pages_service *s = data;
	struct http_answer a = {
		.content_type = "application/json",
		.extra_name = "X-Load-Balancing-Endpoint-Weight",
	};
	struct health h;
	size_t ready_n = local_ready_n(s->o->store, s->service_key, s->family,
				       s->o->node_name);

	(void)method;
	(void)path;
	(void)realtime_ms;
	health_judge(s->o, now_ms, &h);
	a.status = ready_n > 0 && h.families_healthy ? 200 : 503;
	if (a.status == 200)
		s->o->http.service_ok_n++;
	else
		s->o->http.service_failed_n++;
	snprintf(a.extra_value, sizeof(a.extra_value), "%zu", ready_n);
	print_service(s->service_key, ready_n, h.families_healthy, &a.body);
	*ret_answer = a;
}
