// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdio.h>

#include "human.h"
#include "nodesplice/observe/status.h"
#include "status_reasons.h"

static void reason_line(const char *sentence, struct text *t)
{
	text_addf(t, "           %s\n", sentence);
}

static void text_health(const struct observed *o, uint64_t now_ms,
			struct text *t)
{
	struct health h;

	health_judge(o, now_ms, &h);
	text_addf(t, "health     %s for load balancers, process %s\n",
		  h.families_healthy && h.node_eligible ? "good" : "not good",
		  h.families_healthy && h.workers_healthy ? "live" :
							    "not live");
	status_reasons(o, &h, now_ms, reason_line, t);
}

static void text_gate(const struct observed *o, uint64_t now_ms, struct text *t)
{
	enum status_gate g = status_gate(o);
	uint64_t since_ms = o->gate.changed_ms ? o->gate.changed_ms :
						 o->started_ms;
	const char *why = status_gate_why(o);
	char age[HUMAN_DURATION_STRLEN];

	text_addf(t, "gate       %s", status_gate_name(g));
	if (g != STATUS_GATE_OFF)
		text_addf(t, " for %s",
			  human_duration(human_age_ms(now_ms, since_ms), age));
	if (g != STATUS_GATE_OPEN)
		text_add(t, ", new connections go by the kernel");
	text_addf(t, "%s%s\n", why ? ": " : "", why ? why : "");
}

static void text_sync(const struct observed *o, uint64_t now_ms, struct text *t)
{
	char age[HUMAN_DURATION_STRLEN];

	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		const struct observed_sync *s = &o->sync[f];

		text_addf(t, "sync %s  ",
			  observed_family_name((enum observed_family)f));
		if (s->synced_ms == 0)
			text_add(t, "never");
		else
			text_addf(t, "%s ago",
				  human_duration(human_age_ms(now_ms,
							      s->synced_ms),
						 age));
		if (s->queued_ms != 0)
			text_addf(t, ", a change waits for %s",
				  human_duration(human_age_ms(now_ms,
							      s->queued_ms),
						 age));
		if (s->failures_n > 0)
			text_addf(t, ", %" PRIu64 " refused transactions",
				  s->failures_n);
		text_add(t, "\n");
	}
}

static const char *source_state(const struct source_status *s)
{
	if (!s->listed)
		return "not listed";
	return s->watching ? "watching" : "away";
}

static void text_sources(const struct observed *o, uint64_t now_ms,
			 struct text *t)
{
	const struct source_status *status = NULL;
	size_t n = observed_sources(o, &status);
	char age[HUMAN_DURATION_STRLEN];

	for (size_t i = 0; i < n; i++) {
		const struct source_status *s = &status[i];

		text_addf(t, "source     %-14s %-10s", s->kind,
			  source_state(s));
		if (s->heard_ms != 0)
			text_addf(t, " heard %s ago,",
				  human_duration(human_age_ms(now_ms,
							      s->heard_ms),
						 age));
		text_addf(t,
			  " %" PRIu64 " objects, %" PRIu64 " bad, %" PRIu64
			  " lists, %" PRIu64 " errors\n",
			  s->objects_n, s->bad_objects_n, s->relists_n,
			  s->errors_n);
		if (s->last_error[0] != '\0')
			text_addf(t, "           last error: %s\n",
				  s->last_error);
	}
}

static void text_counts(const struct observed *o, struct text *t)
{
	text_addf(
		t,
		"counts     %zu Services (%zu served), %zu EndpointSlices, %zu frontends, %zu endpoints\n",
		store_services_n(o->store), plan_services_n(o->plan),
		store_slices_n(o->store), plan_frontends_n(o->plan),
		plan_endpoints_n(o->plan));
	if (store_refused_n(o->store) > 0)
		text_addf(t, "           %" PRIu64 " objects above a limit\n",
			  store_refused_n(o->store));
}

static void text_workers(const struct observed_proxy *proxy, uint64_t now_ms,
			 struct text *t)
{
	unsigned int n = proxy->workers_n(proxy->px);
	char age[HUMAN_DURATION_STRLEN];

	for (unsigned int i = 0; i < n; i++) {
		struct px_stats s;

		proxy->worker_stats(proxy->px, i, &s);
		text_addf(t,
			  "worker %-3u heartbeat %s ago, %" PRIu64
			  " connections open\n",
			  i,
			  human_duration(human_age_ms(now_ms, s.heartbeat_ms),
					 age),
			  s.open);
	}
}

static void text_proxy(const struct observed_proxy *proxy, uint64_t now_ms,
		       struct text *t)
{
	char in[HUMAN_BYTES_STRLEN], out[HUMAN_BYTES_STRLEN];
	const char *short_of = NULL;
	struct px_stats s;

	if (!proxy->px)
		return;
	proxy->stats(proxy->px, &s);
	text_addf(t,
		  "proxy      %" PRIu64 " connections open, %" PRIu64
		  " connecting, %" PRIu64 " accepted, %" PRIu64
		  " retried, %" PRIu64 " given up\n",
		  s.open, s.connecting, s.accepted, s.connect_retries,
		  s.connect_exhausted);
	text_addf(t,
		  "           %s in, %s out; %" PRIu64 " ejections, %" PRIu64
		  " not made\n",
		  human_bytes(s.bytes_in, in), human_bytes(s.bytes_out, out),
		  s.ejections, s.ejections_capped + s.ejections_last);
	if (proxy->short_of_resources(proxy->px, &short_of) && short_of)
		text_addf(t, "           %s\n", short_of);
	text_workers(proxy, now_ms, t);
}

static void text_floor(const struct observed_floor *floor, struct text *t)
{
	struct nfp_stats s;

	if (!floor->nfp)
		return;
	floor->stats(floor->nfp, &s);
	text_addf(t,
		  "floor      %" PRIu64 " elements; %" PRIu64
		  " transactions, %" PRIu64 " refused, %" PRIu64
		  " full syncs, %" PRIu64 " repairs\n",
		  s.elements_n, s.transactions, s.transactions_failed,
		  s.full_syncs, s.repairs);
}

static void text_options(const struct observed *o, struct text *t)
{
	for (size_t i = 0; i < o->options_n; i++)
		text_addf(t, "option     %s %s\n", o->options[i].name,
			  o->options[i].value);
}

static void text_problems(const struct observed *o, struct text *t)
{
	char when[HUMAN_TIME_STRLEN];

	for (size_t i = 0; i < o->problems_n; i++) {
		const struct observed_problem *p = &o->problems[i];

		text_addf(t, "problem    %s %s%s%s",
			  human_time(p->last_realtime_ms, when), p->subject,
			  p->subject[0] != '\0' ? ": " : "", p->sentence);
		if (p->times_n > 1)
			text_addf(t, " (%" PRIu64 " times)", p->times_n);
		text_add(t, "\n");
	}
}

void status_text(const struct observed *o, uint64_t now_ms, struct text *t)
{
	char age[HUMAN_DURATION_STRLEN];

	text_addf(t, "nodesplice %s on node %s, up %s\n", o->version,
		  o->node_name,
		  human_duration(human_age_ms(now_ms, o->started_ms), age));
	text_health(o, now_ms, t);
	text_gate(o, now_ms, t);
	text_sync(o, now_ms, t);
	text_sources(o, now_ms, t);
	text_counts(o, t);
	text_proxy(&o->proxy, now_ms, t);
	text_floor(&o->floor, t);
	text_options(o, t);
	text_problems(o, t);
}
