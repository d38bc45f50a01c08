// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "px_count.h"
#include "px_state.h"

/* From here on new connections should rather go by the kernel. */
#define SHORT_PERCENT 90

static void add_worker(struct px_stats *sum, const struct px_stats *s)
{
	uint64_t heartbeat_ms = px_read(&s->heartbeat_ms);

#define X(name, help) sum->name += px_read(&s->name);
	PX_COUNTERS(X)
#undef X
	sum->open += px_read(&s->open);
	sum->connecting += px_read(&s->connecting);
	sum->pipes += px_read(&s->pipes);
	if (heartbeat_ms < sum->heartbeat_ms)
		sum->heartbeat_ms = heartbeat_ms;
}

void px_stats(const struct px *px, struct px_stats *ret_stats)
{
	struct px_stats sum = {.heartbeat_ms = UINT64_MAX};

	for (unsigned int i = 0; i < px->shared.workers_n; i++)
		add_worker(&sum, &px->workers[i].stats);
	*ret_stats = sum;
}

void px_worker_stats(const struct px *px, unsigned int worker,
		     struct px_stats *ret_stats)
{
	struct px_stats s = {.heartbeat_ms = UINT64_MAX};

	add_worker(&s, &px->workers[worker].stats);
	*ret_stats = s;
}

unsigned int px_workers_n(const struct px *px)
{
	return px->shared.workers_n;
}

uint64_t px_heartbeat_ms(const struct px *px)
{
	struct px_stats s;

	px_stats(px, &s);
	return s.heartbeat_ms;
}

uint64_t px_accepted_n(const struct px *px)
{
	struct px_stats s;

	px_stats(px, &s);
	return s.accepted;
}

uint64_t px_open_n(const struct px *px)
{
	return __atomic_load_n(&px->shared.open_n, __ATOMIC_RELAXED);
}

bool px_short_of_resources(const struct px *px, const char **ret_why)
{
	uint64_t short_until_ms = px_read(&px->shared.short_until_ms);

	if (px_open_n(px) * 100 >=
	    (uint64_t)px->shared.connections_max * SHORT_PERCENT) {
		*ret_why = "the connection limit is near";
		return true;
	}
	if (loop_now_ms(px->loop) < short_until_ms) {
		*ret_why = "descriptors or memory ran out";
		return true;
	}
	return false;
}

/* The settings of the Service that a group belongs to. */
static const struct policy *policy_of(const struct px *px,
				      const struct px_group *g)
{
	const char *colon = strchr(g->name, ':');
	size_t key_len = colon ? (size_t)(colon - g->name) : strlen(g->name);
	const struct px_service *s = px_find_service(px, g->name, key_len);

	for (size_t i = 0; s && i < s->confs_n; i++) {
		if (s->confs[i]->group == g)
			return &s->confs[i]->policy;
	}
	return NULL;
}

int px_endpoint_stats(const struct px *px, const char *port_name,
		      uint8_t family, const struct sockad *endpoint,
		      uint64_t now_ms, struct px_endpoint_stats *ret_stats)
{
	const struct px_group *g =
		px_eptable_find(px->endpoints, port_name, family);
	const struct policy *p = g ? policy_of(px, g) : NULL;
	struct px_endpoint *ep;

	if (!p || px_group_endpoint(g, endpoint, &ep) < 0)
		return -ENOENT;
	px_endpoint_read(ep, p, now_ms, ret_stats);
	px_endpoint_unref(ep);
	return 0;
}

struct each_service {
	const struct px *px;
	px_service_stats_fn fn;
	void *data;
};

static void read_group(const struct px_group *g, void *data)
{
	const struct each_service *each = data;
	const struct policy *p = policy_of(each->px, g);
	struct px_service_stats s;

	px_group_read(g, &s);
	if (p)
		s.slow_start_n =
			px_group_slow_n(g, p, loop_now_ms(each->px->loop));
	each->fn(g->name, g->family, &s, each->data);
}

void px_each_service(const struct px *px, px_service_stats_fn fn, void *data)
{
	struct each_service each = {.px = px, .fn = fn, .data = data};

	px_eptable_each(px->endpoints, read_group, &each);
}
