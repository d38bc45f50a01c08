/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * floor_rig.h - service plans by hand, and a floor in a namespace of its own
 *
 * A service here has one port and the frontends that a test adds; include
 * after netns.h.
 */
#pragma once

#include "netns.h"

#include "../../src/nft/nfp_floor.h"
#include "../../src/plan/build.h"
#include "nodesplice/base/addr.h"

static inline struct sockad at(const char *text)
{
	struct sockad s = {0};

	if (sockad_parse(text, &s) < 0)
		fail_msg("bad address in test: %s", text);
	return s;
}

static inline struct cidr prefix(const char *text)
{
	struct cidr c = {0};

	if (cidr_parse(text, &c) < 0)
		fail_msg("bad prefix in test: %s", text);
	return c;
}

/* "namespace/name" with one port named http. */
static inline struct service_plan *
rig_service(const char *key, enum protocol protocol, uint8_t family)
{
	struct service_plan *sp = calloc(1, sizeof(*sp));
	struct plan_port *p = calloc(1, sizeof(*p));
	char name[128];

	assert_non_null(sp);
	assert_non_null(p);
	snprintf(name, sizeof(name), "%s:http", key);
	sp->key = strdup(key);
	sp->ports = p;
	sp->ports_n = 1;
	p->name = strdup(name);
	p->protocol = protocol;
	p->family = family;
	return sp;
}

static inline int rig_compare(const void *a, const void *b)
{
	const struct plan_endpoint *x = a, *y = b;

	return sockad_compare(&x->at, &y->at);
}

/* For many: given in order. */
static inline void rig_endpoint_unsorted(struct service_plan *sp,
					 struct sockad where, bool local)
{
	struct plan_port *p = &sp->ports[0];
	struct plan_endpoint *grown = realloc(
		p->endpoints, (p->endpoints_n + 1) * sizeof(*p->endpoints));

	assert_non_null(grown);
	p->endpoints = grown;
	p->endpoints[p->endpoints_n++] = (struct plan_endpoint){
		.at = where,
		.local = local,
		.in = {[SELECT_SCOPE_CLUSTER] = true,
		       [SELECT_SCOPE_LOCAL] = local},
	};
	p->in_scope_n[SELECT_SCOPE_CLUSTER]++;
	p->in_scope_n[SELECT_SCOPE_LOCAL] += local;
}

static inline void rig_endpoint(struct service_plan *sp, struct sockad where,
				bool local)
{
	struct plan_port *p = &sp->ports[0];

	rig_endpoint_unsorted(sp, where, local);
	qsort(p->endpoints, p->endpoints_n, sizeof(*p->endpoints), rig_compare);
}

/* Views as given; a view that cannot pick refuses or discards, as in a plan. */
static inline struct plan_frontend *rig_frontend(struct service_plan *sp,
						 enum plan_frontend_kind kind,
						 struct sockad where,
						 struct plan_view inside,
						 struct plan_view outside)
{
	struct plan_port *p = &sp->ports[0];
	struct plan_frontend *f = realloc(
		p->frontends, (p->frontends_n + 1) * sizeof(*p->frontends));

	assert_non_null(f);
	p->frontends = f;
	f += p->frontends_n++;
	*f = (struct plan_frontend){
		.kind = kind, .at = where, .view = {inside, outside}};
	for (unsigned int side = 0; side < PLAN_SIDE_MAX_; side++) {
		if (p->in_scope_n[f->view[side].scope] == 0)
			f->view[side] = (struct plan_view){
				.verdict = p->endpoints_n ? PLAN_DROP :
							    PLAN_REJECT};
	}
	return f;
}

static inline struct plan_view pick(enum select_scope scope,
				    enum plan_masquerade masquerade)
{
	return (struct plan_view){
		.verdict = PLAN_PICK, .scope = scope, .masquerade = masquerade};
}

struct rig {
	struct nfp_socket *socket;
	struct nfp_floor *floor;
	struct nfp_options options;
	struct cidr pods[2];
	struct addr node_port_addrs[2];
};

static inline struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct errbuf e = {""};

	assert_non_null(rig);
	netns_enter();
	rig->pods[0] = prefix("10.244.1.0/24");
	rig->pods[1] = prefix("fd00:244:1::/64");
	rig->node_port_addrs[0] = at("192.0.2.1:1").addr;
	rig->node_port_addrs[1] = at("[2001:db8::1]:1").addr;
	rig->options = (struct nfp_options){
		.masquerade_mark = 0x4000,
		.own_mark = 0x1000,
		.local_pods = rig->pods,
		.local_pods_n = ARRAY_SIZE(rig->pods),
		.node_port_addrs = rig->node_port_addrs,
		.node_port_addrs_n = ARRAY_SIZE(rig->node_port_addrs),
	};
	if (nfp_socket_open(&rig->socket, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(nfp_floor_new(&rig->floor), 0);
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	nfp_floor_free(rig->floor);
	nfp_socket_free(rig->socket);
	free(rig);
}
DEFINE_FREEP(struct rig, rig_free)

static inline void rig_commit(struct rig *rig, struct nfp_batch *b)
{
	struct errbuf e = {""};
	int r = nfp_socket_commit(rig->socket, b, &e);

	nfp_floor_settle(rig->floor, r);
	nfp_batch_free(b);
	if (r < 0)
		fail_msg("%s", e.text);
}

static inline struct nfp_floor_counts
rig_sync(struct rig *rig, struct service_plan *const *services, size_t n)
{
	struct nfp_batch b = {0};
	struct nfp_floor_counts counts;
	struct errbuf e = {""};

	if (nfp_floor_sync(rig->floor, &rig->options,
			   (const struct service_plan *const *)services, n, &b,
			   &e) < 0)
		fail_msg("%s", e.text);
	rig_commit(rig, &b);
	nfp_floor_counts(rig->floor, &counts);
	return counts;
}

static inline struct nfp_floor_counts
rig_change(struct rig *rig, struct plan_change *items, size_t n)
{
	struct plan_changes changes = {.items = items, .n = n};
	struct nfp_batch b = {0};
	struct nfp_floor_counts counts;
	struct errbuf e = {""};

	if (nfp_floor_change(rig->floor, &rig->options, &changes, &b, &e) < 0)
		fail_msg("%s", e.text);
	rig_commit(rig, &b);
	nfp_floor_counts(rig->floor, &counts);
	return counts;
}
