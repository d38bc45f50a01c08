// SPDX-License-Identifier: GPL-2.0-or-later
#include "human.h"
#include "jout.h"
#include "nodesplice/observe/status.h"
#include "status_reasons.h"

static void reason_item(const char *sentence, struct text *t)
{
	jout_string(t, NULL, sentence);
}

static void json_health(const struct observed *o, uint64_t now_ms,
			struct text *t)
{
	struct health h;

	health_judge(o, now_ms, &h);
	jout_open(t, "health", "{");
	jout_bool(t, "healthz", h.families_healthy && h.node_eligible);
	jout_bool(t, "livez", h.families_healthy && h.workers_healthy);
	jout_bool(t, "nodeEligible", h.node_eligible);
	jout_open(t, "reasons", "[");
	status_reasons(o, &h, now_ms, reason_item, t);
	jout_close(t, "]");
	jout_close(t, "}");
}

static void json_gate(const struct observed *o, uint64_t now_ms, struct text *t)
{
	const char *why = status_gate_why(o);

	jout_open(t, "gate", "{");
	jout_string(t, "state", status_gate_name(status_gate(o)));
	jout_string(t, "reason", why ? why : "");
	jout_seconds(t, "forSeconds",
		     human_age_ms(now_ms, o->gate.changed_ms ?
						  o->gate.changed_ms :
						  o->started_ms));
	jout_u64(t, "closings", o->gate.closings_n);
	jout_close(t, "}");
}

static void json_sync(const struct observed *o, uint64_t now_ms, struct text *t)
{
	jout_open(t, "sync", "{");
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		const struct observed_sync *s = &o->sync[f];

		jout_open(t, observed_family_name((enum observed_family)f),
			  "{");
		jout_time(t, "lastSyncedAt", s->synced_realtime_ms);
		if (s->queued_ms == 0)
			jout_null(t, "queuedForSeconds");
		else
			jout_seconds(t, "queuedForSeconds",
				     human_age_ms(now_ms, s->queued_ms));
		jout_u64(t, "failures", s->failures_n);
		jout_close(t, "}");
	}
	jout_close(t, "}");
}

static void json_source(const struct source_status *s, uint64_t now_ms,
			struct text *t)
{
	jout_open(t, NULL, "{");
	jout_string(t, "kind", s->kind);
	jout_bool(t, "listed", s->listed);
	jout_bool(t, "watching", s->watching);
	if (s->heard_ms == 0)
		jout_null(t, "heardSecondsAgo");
	else
		jout_seconds(t, "heardSecondsAgo",
			     human_age_ms(now_ms, s->heard_ms));
	jout_u64(t, "objects", s->objects_n);
	jout_u64(t, "badObjects", s->bad_objects_n);
	jout_u64(t, "relists", s->relists_n);
	jout_u64(t, "errors", s->errors_n);
	jout_string(t, "resourceVersion", s->resource_version);
	jout_string(t, "lastError", s->last_error);
	jout_close(t, "}");
}

static void json_sources(const struct observed *o, uint64_t now_ms,
			 struct text *t)
{
	const struct source_status *status = NULL;
	size_t n = observed_sources(o, &status);

	jout_open(t, "sources", "[");
	for (size_t i = 0; i < n; i++)
		json_source(&status[i], now_ms, t);
	jout_close(t, "]");
}

static void json_counts(const struct observed *o, struct text *t)
{
	struct px_stats s = {0};

	if (o->proxy.px)
		o->proxy.stats(o->proxy.px, &s);
	jout_open(t, "counts", "{");
	jout_u64(t, "services", store_services_n(o->store));
	jout_u64(t, "servedServices", plan_services_n(o->plan));
	jout_u64(t, "endpointSlices", store_slices_n(o->store));
	jout_u64(t, "frontends", plan_frontends_n(o->plan));
	jout_u64(t, "endpoints", plan_endpoints_n(o->plan));
	jout_u64(t, "openConnections", s.open);
	jout_u64(t, "refusedObjects", store_refused_n(o->store));
	jout_close(t, "}");
}

static void json_proxy(const struct observed_proxy *proxy, struct text *t)
{
	const char *short_of = NULL;
	struct px_stats s;

	if (!proxy->px) {
		jout_null(t, "proxy");
		return;
	}
	proxy->stats(proxy->px, &s);
	jout_open(t, "proxy", "{");
	jout_u64(t, "openConnections", s.open);
	jout_u64(t, "connecting", s.connecting);
	if (proxy->short_of_resources(proxy->px, &short_of) && short_of)
		jout_string(t, "shortOf", short_of);
	else
		jout_null(t, "shortOf");
	jout_open(t, "counters", "{");
#define X(name, help) jout_u64(t, #name, s.name);
	PX_COUNTERS(X)
#undef X
	jout_close(t, "}");
	jout_close(t, "}");
}

static void json_workers(const struct observed_proxy *proxy, uint64_t now_ms,
			 struct text *t)
{
	unsigned int n = proxy->px ? proxy->workers_n(proxy->px) : 0;

	jout_open(t, "workers", "[");
	for (unsigned int i = 0; i < n; i++) {
		struct px_stats s;

		proxy->worker_stats(proxy->px, i, &s);
		jout_open(t, NULL, "{");
		jout_u64(t, "worker", i);
		jout_seconds(t, "heartbeatSecondsAgo",
			     human_age_ms(now_ms, s.heartbeat_ms));
		jout_u64(t, "openConnections", s.open);
		jout_close(t, "}");
	}
	jout_close(t, "]");
}

static void json_floor(const struct observed_floor *floor, struct text *t)
{
	struct nfp_stats s;

	if (!floor->nfp) {
		jout_null(t, "floor");
		return;
	}
	floor->stats(floor->nfp, &s);
	jout_open(t, "floor", "{");
	jout_u64(t, "transactions", s.transactions);
	jout_u64(t, "transactionsFailed", s.transactions_failed);
	jout_u64(t, "fullSyncs", s.full_syncs);
	jout_u64(t, "repairs", s.repairs);
	jout_u64(t, "elements", s.elements_n);
	jout_seconds(t, "lastTransactionSeconds", s.last_transaction_us / 1000);
	jout_close(t, "}");
}

static void json_options(const struct observed *o, struct text *t)
{
	jout_open(t, "options", "{");
	for (size_t i = 0; i < o->options_n; i++)
		jout_string(t, o->options[i].name, o->options[i].value);
	jout_close(t, "}");
}

static void json_problems(const struct observed *o, struct text *t)
{
	jout_open(t, "problems", "[");
	for (size_t i = 0; i < o->problems_n; i++) {
		const struct observed_problem *p = &o->problems[i];

		jout_open(t, NULL, "{");
		jout_string(t, "subject", p->subject);
		jout_string(t, "sentence", p->sentence);
		jout_time(t, "firstAt", p->first_realtime_ms);
		jout_time(t, "lastAt", p->last_realtime_ms);
		jout_u64(t, "times", p->times_n);
		jout_close(t, "}");
	}
	jout_close(t, "]");
}

void status_json(const struct observed *o, uint64_t now_ms, struct text *t)
{
	jout_open(t, NULL, "{");
	jout_string(t, "version", o->version);
	jout_string(t, "node", o->node_name);
	jout_time(t, "startedAt", o->started_realtime_ms);
	jout_seconds(t, "uptimeSeconds", human_age_ms(now_ms, o->started_ms));
	json_health(o, now_ms, t);
	json_gate(o, now_ms, t);
	json_sync(o, now_ms, t);
	json_sources(o, now_ms, t);
	json_counts(o, t);
	json_proxy(&o->proxy, t);
	json_workers(&o->proxy, now_ms, t);
	json_floor(&o->floor, t);
	json_options(o, t);
	json_problems(o, t);
	jout_close(t, "}");
	text_add(t, "\n");
}
