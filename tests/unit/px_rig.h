/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_rig.h - a Service port whose endpoints are 10.0.0.1:80, 10.0.0.2:80, ...
 *
 * For tests of the endpoint table and of the choice; include check.h first.
 */
#pragma once

#include "../../src/proxy/px_pick.h"

#define RIG_N	     64
#define RIG_START_MS 1000000ull

struct rig {
	struct px_eptable *table;
	struct px_group *group; /* reference */
	struct policy policy;
	struct px_endpoint *endpoints[RIG_N]; /* references */
	size_t endpoints_n;
	uint32_t affinity_s; /* of the next rig_set() */
	uint64_t set_ms;     /* when that is */
	bool knows;	     /* it says which endpoints are known */
};

static inline struct sockad rig_at(uint8_t last)
{
	const struct in_addr v4 = {htonl(0x0a000000u | last)};

	return (struct sockad){.addr = {.v4 = v4, .family = AF_INET},
			       .port = 80};
}

/* Make the endpoints @lasts[0 .. n), ascending; the group stays the same. */
static inline void rig_set(struct rig *r, const uint8_t *lasts, size_t n)
{
	struct plan_endpoint endpoints[RIG_N] = {0};
	struct sockad known = rig_at(1);
	struct plan_port port = {
		.name = (char *)"default/web:http",
		.protocol = PROTOCOL_TCP,
		.family = AF_INET,
		.endpoints = endpoints,
		.endpoints_n = n,
		.affinity_s = r->affinity_s,
		.known = r->knows ? &known : NULL,
	};
	struct px_group *group;

	assert_true(n <= RIG_N);
	for (size_t i = 0; i < n; i++)
		endpoints[i].at = rig_at(lasts[i]);
	assert_int_equal(px_eptable_set(r->table, &port, r->set_ms, &group), 0);
	if (r->group)
		px_group_unref(r->group);
	r->group = group;
	for (size_t i = 0; i < r->endpoints_n; i++)
		px_endpoint_unref(r->endpoints[i]);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(px_group_endpoint(group, &endpoints[i].at,
						   &r->endpoints[i]),
				 0);
	r->endpoints_n = n;
}

/* @n endpoints; one failure ejects, for 30 s at first. */
static inline void rig_open(struct rig *r, size_t n)
{
	uint8_t lasts[RIG_N];

	*r = (struct rig){.set_ms = RIG_START_MS};
	policy_init(&r->policy);
	r->policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 1;
	r->policy.value[POLICY_OUTLIER_BASE_EJECTION_TIME] = 30000;
	assert_int_equal(px_eptable_new(&r->table), 0);
	for (size_t i = 0; i < n; i++)
		lasts[i] = (uint8_t)(i + 1);
	rig_set(r, lasts, n);
}

static inline void rig_close(struct rig *r)
{
	for (size_t i = 0; i < r->endpoints_n; i++)
		px_endpoint_unref(r->endpoints[i]);
	px_group_unref(r->group);
	px_eptable_free(r->table);
}

/* One attempt that px_pick() could have made. */
static inline enum outlier_verdict rig_attempt(struct rig *r, size_t i,
					       enum outlier_role role,
					       enum outlier_outcome outcome,
					       uint64_t now_ms)
{
	px_endpoint_opened(r->endpoints[i]);
	return px_endpoint_report(r->endpoints[i], &r->policy, role, outcome,
				  now_ms);
}

static inline enum outlier_verdict rig_fail(struct rig *r, size_t i)
{
	return rig_attempt(r, i, OUTLIER_ORDINARY, OUTLIER_FAILED,
			   RIG_START_MS);
}

static inline struct px_endpoint_stats rig_read(struct rig *r, size_t i,
						uint64_t now_ms)
{
	struct px_endpoint_stats s;

	px_endpoint_read(r->endpoints[i], &r->policy, now_ms, &s);
	return s;
}

static inline struct px_service_stats rig_read_group(struct rig *r)
{
	struct px_service_stats s;

	px_group_read(r->group, &s);
	return s;
}
