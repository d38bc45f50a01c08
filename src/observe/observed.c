// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "human.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/observe/observed.h"

/* kube-proxy: twice the default sync period of 30 s
 * (cmd/kube-proxy/app/server.go, newProxyServer). */
#define DEFAULT_HEALTH_TIMEOUT_MS 60000

/* Buckets of pkg/proxy/metrics/metrics.go. */
static void init_sync(struct observed_sync *s)
{
	histogram_add_exponential(&s->took, 0.001, 2, 15);
	histogram_add_exponential(&s->full, 0.001, 2, 15);
	histogram_add_exponential(&s->partial, 0.001, 2, 15);
	histogram_add_exponential(&s->reconciled, 0.001, 2, 15);
	/* Its MergeBuckets() starts with a bucket of 0. */
	histogram_add_linear(&s->programming, 0, 1, 1);
	histogram_add_linear(&s->programming, 0.25, 0.25, 2);
	histogram_add_linear(&s->programming, 1, 1, 59);
	histogram_add_linear(&s->programming, 60, 5, 12);
	histogram_add_linear(&s->programming, 120, 30, 7);
}

void observed_init(struct observed *o)
{
	*o = (struct observed){
		.health_timeout_ms = DEFAULT_HEALTH_TIMEOUT_MS,
	};
	for (size_t i = 0; i < OBSERVED_FAMILY_MAX_; i++)
		init_sync(&o->sync[i]);
}

void observed_queued(struct observed *o, uint64_t now_ms, uint64_t realtime_ms)
{
	for (size_t i = 0; i < OBSERVED_FAMILY_MAX_; i++) {
		struct observed_sync *s = &o->sync[i];

		if (s->queued_ms == 0)
			s->queued_ms = now_ms;
		s->queued_realtime_ms = realtime_ms;
	}
}

void observed_synced(struct observed *o, bool full, uint64_t took_us,
		     uint64_t now_ms, uint64_t realtime_ms)
{
	const double took = (double)took_us / 1e6;

	for (size_t i = 0; i < OBSERVED_FAMILY_MAX_; i++) {
		struct observed_sync *s = &o->sync[i];

		s->queued_ms = 0;
		s->synced_ms = now_ms;
		s->synced_realtime_ms = realtime_ms;
		histogram_observe(&s->took, took);
		histogram_observe(full ? &s->full : &s->partial, took);
	}
	o->service_changes_synced_n = observed_objects_n(o, "services");
	o->slice_changes_synced_n = observed_endpoint_objects_n(o);
}

void observed_sync_failed(struct observed *o)
{
	for (size_t i = 0; i < OBSERVED_FAMILY_MAX_; i++)
		o->sync[i].failures_n++;
}

void observed_programmed(struct observed *o, uint8_t family,
			 uint64_t changed_realtime_ms, uint64_t realtime_ms)
{
	struct observed_sync *s = &o->sync[observed_family_of(family)];
	double took = 0;

	if (changed_realtime_ms == 0 ||
	    changed_realtime_ms < o->started_realtime_ms)
		return;
	/* The API server's clock may be ahead of ours. */
	if (realtime_ms > changed_realtime_ms)
		took = (double)(realtime_ms - changed_realtime_ms) / 1e3;
	histogram_observe(&s->programming, took);
}

void observed_reconciled(struct observed *o, uint8_t family, uint64_t took_us,
			 uint64_t deleted_n)
{
	struct observed_sync *s = &o->sync[observed_family_of(family)];

	histogram_observe(&s->reconciled, (double)took_us / 1e6);
	s->flows_deleted_n += deleted_n;
}

void observed_gate(struct observed *o, bool open, const char *why_closed,
		   uint64_t now_ms)
{
	if (open != o->gate.open) {
		o->gate.changed_ms = now_ms;
		o->gate.closings_n += open ? 0 : 1;
	}
	o->gate.open = open;
	o->gate.why_closed = open ? NULL : why_closed;
}

/* The slot of this sentence, else a new one, else the one said longest ago. */
static struct observed_problem *problem_slot(struct observed *o,
					     const struct observed_problem *of)
{
	struct observed_problem *oldest = &o->problems[0];

	for (size_t i = 0; i < o->problems_n; i++) {
		struct observed_problem *p = &o->problems[i];

		if (strcmp(p->subject, of->subject) == 0 &&
		    strcmp(p->sentence, of->sentence) == 0)
			return p;
		if (p->last_realtime_ms < oldest->last_realtime_ms)
			oldest = p;
	}
	if (o->problems_n < LIMIT_PROBLEMS)
		oldest = &o->problems[o->problems_n++];
	*oldest = *of;
	return oldest;
}

void observed_problem(struct observed *o, const char *subject,
		      const char *sentence, uint64_t realtime_ms)
{
	struct observed_problem fresh = {.first_realtime_ms = realtime_ms};
	struct observed_problem *p;

	snprintf(fresh.subject, sizeof(fresh.subject), "%s", subject);
	snprintf(fresh.sentence, sizeof(fresh.sentence), "%s", sentence);
	human_defuse(fresh.subject, false);
	human_defuse(fresh.sentence, false);
	p = problem_slot(o, &fresh);
	p->last_realtime_ms = realtime_ms;
	p->times_n++;
	o->problems_total_n++;
}

size_t observed_sources(const struct observed *o,
			const struct source_status **ret_status)
{
	if (!o->source.status)
		return 0;
	return o->source.status(o->source.source, ret_status);
}

uint64_t observed_objects_n(const struct observed *o, const char *kind)
{
	const struct source_status *status = NULL;
	size_t n = observed_sources(o, &status);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(status[i].kind, kind) == 0)
			return status[i].objects_n;
	}
	return 0;
}

uint64_t observed_endpoint_objects_n(const struct observed *o)
{
	return observed_objects_n(o, "endpointslices") +
	       observed_objects_n(o, "endpoints");
}

const char *observed_family_name(enum observed_family f)
{
	static const char *const names[] = {
		[OBSERVED_IPV4] = "IPv4",
		[OBSERVED_IPV6] = "IPv6",
	};
	static_assert(ARRAY_SIZE(names) == OBSERVED_FAMILY_MAX_,
		      "a name for each family");

	return names[f];
}

enum observed_family observed_family_of(uint8_t family)
{
	return family == AF_INET ? OBSERVED_IPV4 : OBSERVED_IPV6;
}
