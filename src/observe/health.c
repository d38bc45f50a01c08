// SPDX-License-Identifier: GPL-2.0-or-later
#include "nodesplice/observe/health.h"
#include "human.h"
#include "jout.h"

static bool node_eligible(const struct observed *o)
{
	const struct node *node = store_node(o->store);

	if (!node)
		return o->node_optional;
	return !node->being_deleted && !node->to_be_deleted;
}

static void judge_family(const struct observed *o, enum observed_family f,
			 uint64_t now_ms, struct health *h)
{
	const struct observed_sync *s = &o->sync[f];
	bool late = s->queued_ms != 0 &&
		    human_age_ms(now_ms, s->queued_ms) >= o->health_timeout_ms;

	h->family[f].synced = s->synced_ms != 0;
	h->family[f].healthy = !late || !h->family[f].synced;
	h->families_healthy = h->families_healthy && h->family[f].healthy;
}

static void judge_workers(const struct observed_proxy *proxy, uint64_t now_ms,
			  struct health *h)
{
	h->workers_healthy = true;
	h->has_workers = proxy->px != NULL;
	if (!h->has_workers)
		return;
	h->workers_n = proxy->workers_n(proxy->px);
	h->heartbeat_age_ms =
		human_age_ms(now_ms, proxy->heartbeat_ms(proxy->px));
	h->workers_healthy = h->heartbeat_age_ms <= HEALTH_HEARTBEAT_STALE_MS;
}

void health_judge(const struct observed *o, uint64_t now_ms,
		  struct health *ret_health)
{
	struct health h = {.families_healthy = true};

	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		judge_family(o, (enum observed_family)f, now_ms, &h);
	h.node_eligible = node_eligible(o);
	judge_workers(&o->proxy, now_ms, &h);
	*ret_health = h;
}

/* Go's zero time, which kube-proxy prints before the first sync. */
static void print_updated(struct text *t, uint64_t realtime_ms)
{
	if (realtime_ms == 0)
		jout_string(t, "lastUpdated", "0001-01-01T00:00:00Z");
	else
		jout_time(t, "lastUpdated", realtime_ms);
}

static uint64_t newest_sync_realtime_ms(const struct observed *o)
{
	uint64_t newest = 0;

	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		if (o->sync[f].synced_realtime_ms > newest)
			newest = o->sync[f].synced_realtime_ms;
	}
	return newest;
}

/* Absent, as in kube-proxy, until a family was synced once. */
static void print_families(const struct observed *o, const struct health *h,
			   struct text *t)
{
	bool opened = false;

	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		if (!h->family[f].synced)
			continue;
		if (!opened)
			jout_open(t, "status", "{");
		opened = true;
		jout_open(t, observed_family_name((enum observed_family)f),
			  "{");
		print_updated(t, o->sync[f].synced_realtime_ms);
		jout_bool(t, "healthy", h->family[f].healthy);
		jout_close(t, "}");
	}
	if (opened)
		jout_close(t, "}");
}

/* While all is well "lastUpdated" is now: older kube-proxies printed the last
 * run of their loop there, and monitors still look at its age. */
static void print_head(const struct observed *o, bool ok, uint64_t realtime_ms,
		       struct text *t)
{
	jout_open(t, NULL, "{");
	print_updated(t, ok ? realtime_ms : newest_sync_realtime_ms(o));
	jout_time(t, "currentTime", realtime_ms);
}

bool health_healthz(const struct observed *o, uint64_t now_ms,
		    uint64_t realtime_ms, struct text *t)
{
	struct health h;
	bool ok;

	health_judge(o, now_ms, &h);
	ok = h.families_healthy && h.node_eligible;
	print_head(o, ok, realtime_ms, t);
	jout_bool(t, "nodeEligible", h.node_eligible);
	jout_bool(t, "healthy", h.families_healthy);
	print_families(o, &h, t);
	jout_close(t, "}");
	return ok;
}

bool health_livez(const struct observed *o, uint64_t now_ms,
		  uint64_t realtime_ms, struct text *t)
{
	struct health h;
	bool ok;

	health_judge(o, now_ms, &h);
	ok = h.families_healthy && h.workers_healthy;
	print_head(o, ok, realtime_ms, t);
	jout_bool(t, "healthy", ok);
	print_families(o, &h, t);
	if (h.has_workers) {
		jout_open(t, "workers", "{");
		jout_bool(t, "healthy", h.workers_healthy);
		jout_u64(t, "count", h.workers_n);
		jout_seconds(t, "oldestHeartbeatSeconds", h.heartbeat_age_ms);
		jout_close(t, "}");
	}
	jout_close(t, "}");
	return ok;
}
