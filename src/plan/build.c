// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/limits.h"

#include "build.h"
#include "mode.h"

static const uint8_t families[] = {AF_INET, AF_INET6};

static bool ours(const struct service *s, const struct plan_context *ctx)
{
	const char *a = s->proxy_name, *b = ctx->service_proxy_name;

	if (s->headless || s->type == SERVICE_TYPE_EXTERNAL_NAME ||
	    s->cluster_ips_n == 0)
		return false;
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The families of a Service are those of its cluster IPs. */
static bool has_family(const struct service *s, uint8_t family)
{
	for (size_t i = 0; i < s->cluster_ips_n; i++) {
		if (s->cluster_ips[i].family == family)
			return true;
	}
	return false;
}

static int want(struct wanted_frontends *w, const struct service *s,
		size_t port, enum plan_frontend_kind kind,
		const struct addr *addr, uint16_t number)
{
	struct wanted_frontend f = {
		.key = {.at = {.addr = *addr, .port = number},
			.protocol = s->ports[port].protocol},
		.kind = kind,
		.port = port,
	};

	if (number == 0 || !has_family(s, addr->family))
		return 0;
	for (size_t i = 0; i < w->n; i++) {
		struct wanted_frontend *same = &w->items[i];

		if (memcmp(&same->key, &f.key, sizeof(f.key)) != 0)
			continue;
		/* An external IP that is the load balancer's too is behind
		 * its source ranges. */
		if (same->kind == PLAN_EXTERNAL_IP &&
		    kind == PLAN_LOAD_BALANCER)
			same->kind = kind;
		return 0;
	}
	return ARRAY_APPEND(w->items, w->n, w->room, f);
}

/* The type decides nothing: what a Service has, it means (as kube-proxy reads
 * it, proxy/serviceport.go, newBaseServiceInfo()). */
static int want_port(struct wanted_frontends *w, const struct service *s,
		     const struct plan_context *ctx, size_t port)
{
	const struct service_port *p = &s->ports[port];
	int r = 0;

	for (size_t i = 0; i < s->cluster_ips_n && r == 0; i++)
		r = want(w, s, port, PLAN_CLUSTER_IP, &s->cluster_ips[i],
			 p->port);
	for (size_t i = 0;
	     !ctx->no_external_ips && i < s->external_ips_n && r == 0; i++)
		r = want(w, s, port, PLAN_EXTERNAL_IP, &s->external_ips[i],
			 p->port);
	for (size_t i = 0; i < s->ingress_n && r == 0; i++) {
		if (!s->ingress[i].proxied_elsewhere)
			r = want(w, s, port, PLAN_LOAD_BALANCER,
				 &s->ingress[i].addr, p->port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++) {
		const struct addr any = {.family = families[i]};

		r = want(w, s, port, PLAN_NODE_PORT, &any, p->node_port);
	}
	return r;
}

int build_frontends(const struct service *s, const struct plan_context *ctx,
		    struct wanted_frontends *ret_wanted)
{
	int r = 0;

	if (!ours(s, ctx))
		return 0;
	for (size_t i = 0; i < s->ports_n && r == 0; i++)
		r = want_port(ret_wanted, s, ctx, i);
	return r;
}

static int add_problem(struct service_plan *sp, enum plan_problem_kind kind,
		       const char *sentence)
{
	struct plan_problem p = {kind, strdup(sentence)};
	size_t room = sp->problems_n;

	if (!p.sentence ||
	    ARRAY_APPEND(sp->problems, sp->problems_n, room, p)) {
		free(p.sentence);
		return -ENOMEM;
	}
	return 0;
}

struct problem_sink {
	struct service_plan *sp;
	int r;
};

static void on_policy_problem(const char *sentence, void *data)
{
	struct problem_sink *sink = data;

	if (sink->r == 0)
		sink->r = add_problem(sink->sp, PLAN_PROBLEM_ANNOTATION,
				      sentence);
}

static int build_endpoints(struct plan_port *pp, const struct selection *sel,
			   const struct plan_context *ctx)
{
	pp->endpoints = calloc(sel->candidates_n + 1, sizeof(*pp->endpoints));
	if (!pp->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < sel->candidates_n; i++) {
		const struct candidate *c = &sel->candidates[i];
		struct plan_endpoint ep = {
			.at = c->at,
			.local = c->local,
			.own = addr_equal(
				&c->at.addr,
				&ctx->node_ip[plan_family(pp->family)]),
		};
		bool used = false;

		for (size_t k = 0; k < SELECT_SCOPE_MAX_; k++) {
			ep.in[k] = c->reason[k] == SELECT_CHOSEN;
			used |= ep.in[k];
		}
		if (used)
			pp->endpoints[pp->endpoints_n++] = ep;
	}
	for (size_t k = 0; k < SELECT_SCOPE_MAX_; k++)
		pp->in_scope_n[k] = sel->chosen_n[k];
	return 0;
}

/* Ready ones count even if they don't serve: publishNotReadyAddresses makes
 * them so, and new flows go there. */
static int build_serving(struct plan_port *pp, const struct selection *sel)
{
	if (pp->protocol != PROTOCOL_UDP)
		return 0;
	pp->serving = calloc(sel->candidates_n + 1, sizeof(*pp->serving));
	if (!pp->serving)
		return -ENOMEM;
	for (size_t i = 0; i < sel->candidates_n; i++) {
		const struct candidate *c = &sel->candidates[i];

		if (c->ready || c->serving)
			pp->serving[pp->serving_n++] = c->at;
	}
	return 0;
}

static int build_known(struct plan_port *pp, const struct selection *sel,
		       const struct service_plan *sp)
{
	uint32_t closing = sp->policy.value[POLICY_CLOSE_CONNECTIONS];

	if (pp->protocol != PROTOCOL_TCP || !sp->proxied ||
	    !(closing & POLICY_CLOSE_REMOVED) || sel->left_out_n > 0)
		return 0;
	pp->known = calloc(sel->candidates_n + 1, sizeof(*pp->known));
	if (!pp->known)
		return -ENOMEM;
	for (size_t i = 0; i < sel->candidates_n; i++)
		pp->known[pp->known_n++] = sel->candidates[i].at;
	return 0;
}

static int range_compare(const void *a, const void *b)
{
	return cidr_compare(a, b);
}

/* Prefixes are nested or disjoint: sorted, a nested one follows its parent. */
static size_t merge_ranges(struct cidr *ranges, size_t n)
{
	size_t kept = 0;

	if (n > 0)
		qsort(ranges, n, sizeof(*ranges), range_compare);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 ||
		    !cidr_contains(&ranges[kept - 1], &ranges[i].addr))
			ranges[kept++] = ranges[i];
	}
	return kept;
}

/* A load balancer's address is often one of the node's as well: what the node
 * itself sends there has it as its source (pkg/proxy/nftables/proxier.go). */
static void admit_own_addresses(struct plan_port *pp, const struct service *s)
{
	for (size_t i = 0; i < s->ingress_n; i++) {
		const struct service_ingress *in = &s->ingress[i];

		if (in->proxied_elsewhere || in->addr.family != pp->family)
			continue;
		pp->source_ranges[pp->source_ranges_n++] = (struct cidr){
			.addr = in->addr,
			.prefix_n = (uint8_t)(8 * addr_bytes_n(pp->family)),
		};
	}
}

/* Ranges that nobody can read must not open the address to everybody.  A
 * packet never has the unspecified address for its source: routing drops it. */
static void admit_nobody(struct plan_port *pp)
{
	pp->source_ranges[pp->source_ranges_n++] = (struct cidr){
		.addr = {.family = pp->family},
		.prefix_n = (uint8_t)(8 * addr_bytes_n(pp->family)),
	};
}

/* A /0 admits everybody, which is no filter at all. */
static int build_source_ranges(struct plan_port *pp, const struct service *s,
			       const struct plan_context *ctx)
{
	const struct addr *node = &ctx->node_ip[plan_family(pp->family)];
	bool from_node = false, from_all = false;

	pp->source_ranges = calloc(s->source_ranges_n + s->ingress_n + 1,
				   sizeof(*pp->source_ranges));
	if (!pp->source_ranges)
		return -ENOMEM;
	for (size_t i = 0; i < s->source_ranges_n; i++) {
		const struct cidr *c = &s->source_ranges[i];

		if (c->addr.family != pp->family)
			continue;
		from_all |= c->prefix_n == 0;
		from_node |= cidr_contains(c, node);
		pp->source_ranges[pp->source_ranges_n++] = *c;
	}
	if (from_all)
		pp->source_ranges_n = 0;
	else if (from_node)
		admit_own_addresses(pp, s);
	else if (pp->source_ranges_n == 0 && s->lost_ranges)
		admit_nobody(pp);
	pp->source_ranges_n =
		merge_ranges(pp->source_ranges, pp->source_ranges_n);
	return 0;
}

/* ClusterIP: behaviour under internalTrafficPolicy, the same in both views. */
static struct plan_view internal_view(const struct service *s,
				      const struct plan_context *ctx,
				      uint8_t family)
{
	struct plan_view v = {.verdict = PLAN_PICK, .masquerade = PLAN_KEEP};

	v.scope = s->internal_policy == TRAFFIC_POLICY_LOCAL ?
			  SELECT_SCOPE_LOCAL :
			  SELECT_SCOPE_CLUSTER;
	if (ctx->masquerade_all)
		v.masquerade = PLAN_MASQUERADE;
	else if (ctx->has_pod_detector[plan_family(family)])
		v.masquerade = PLAN_UNLESS_POD;
	return v;
}

/* Node port, load balancer and external IPs: under Local, pods of this node
 * and the node itself are short-circuited to the Cluster set. */
static struct plan_view external_view(const struct service *s,
				      enum plan_side side)
{
	struct plan_view v = {.verdict = PLAN_PICK,
			      .scope = SELECT_SCOPE_CLUSTER,
			      .masquerade = PLAN_MASQUERADE};

	if (s->external_policy == TRAFFIC_POLICY_CLUSTER)
		return v;
	if (side == PLAN_INSIDE) {
		v.masquerade = PLAN_IF_NODE;
	} else {
		v.scope = SELECT_SCOPE_LOCAL;
		v.masquerade = PLAN_KEEP;
	}
	return v;
}

static struct plan_view build_view(const struct service *s,
				   const struct plan_context *ctx,
				   const struct plan_port *pp, bool proxied,
				   enum plan_frontend_kind kind,
				   enum plan_side side)
{
	struct plan_view v = kind == PLAN_CLUSTER_IP ?
				     internal_view(s, ctx, pp->family) :
				     external_view(s, side);

	if (pp->in_scope_n[v.scope] > 0) {
		v.proxied = proxied && pp->protocol == PROTOCOL_TCP;
		return v;
	}
	/* Somebody has endpoints: an external load balancer must see a dead
	 * node, not a refused Service. */
	return (struct plan_view){
		.verdict = pp->endpoints_n ? PLAN_DROP : PLAN_REJECT,
	};
}

static void describe_loss(const struct wanted_frontend *w, const char *owner,
			  char *buf, size_t buf_n)
{
	char at[SOCKAD_STRLEN];

	snprintf(buf, buf_n,
		 "%s %s/%s is taken by Service %s, the oldest with "
		 "endpoints",
		 plan_frontend_kind_name(w->kind),
		 sockad_format(&w->key.at, at),
		 protocol_name((enum protocol)w->key.protocol), owner);
}

static int frontend_compare(const void *a, const void *b)
{
	const struct plan_frontend *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return sockad_compare(&x->at, &y->at);
}

struct building {
	const struct service *s;
	const struct store *st;
	const struct plan_context *ctx;
	const struct wanted_frontends *wanted;
	build_owner_fn owner;
	void *owner_data;
	struct service_plan *sp;
};

static void add_frontend(struct building *b, struct plan_port *pp,
			 const struct wanted_frontend *w)
{
	struct plan_frontend *f = &pp->frontends[pp->frontends_n++];

	*f = (struct plan_frontend){
		.kind = w->kind,
		.at = w->key.at,
		.firewalled = w->kind == PLAN_LOAD_BALANCER &&
			      pp->source_ranges_n > 0,
	};
	for (size_t side = 0; side < PLAN_SIDE_MAX_; side++)
		f->view[side] = build_view(b->s, b->ctx, pp, b->sp->proxied,
					   w->kind, (enum plan_side)side);
}

static int build_port_frontends(struct building *b, struct plan_port *pp,
				size_t port)
{
	char sentence[ERRBUF_BYTES];

	pp->frontends = calloc(b->wanted->n + 1, sizeof(*pp->frontends));
	if (!pp->frontends)
		return -ENOMEM;
	for (size_t i = 0; i < b->wanted->n; i++) {
		const struct wanted_frontend *w = &b->wanted->items[i];
		const char *owner;

		if (w->port != port || w->key.at.addr.family != pp->family)
			continue;
		owner = b->owner(&w->key, b->owner_data);
		if (strcmp(owner, b->s->key) == 0) {
			add_frontend(b, pp, w);
			continue;
		}
		describe_loss(w, owner, sentence, sizeof(sentence));
		if (add_problem(b->sp, PLAN_PROBLEM_FRONTEND, sentence) < 0)
			return -ENOMEM;
	}
	if (pp->frontends_n > 0)
		qsort(pp->frontends, pp->frontends_n, sizeof(*pp->frontends),
		      frontend_compare);
	return 0;
}

static int tell_left_out(struct service_plan *sp, const struct plan_port *pp,
			 size_t left_out_n)
{
	char sentence[ERRBUF_BYTES];

	if (left_out_n == 0)
		return 0;
	snprintf(sentence, sizeof(sentence),
		 "%s: %zu endpoints above the limits of %d, and of %d for a "
		 "subset of Endpoints, are left out",
		 pp->name, left_out_n, LIMIT_ENDPOINTS_PER_PORT,
		 LIMIT_ENDPOINTS_PER_SUBSET);
	return add_problem(sp, PLAN_PROBLEM_ENDPOINTS, sentence);
}

static int build_port(struct building *b, struct plan_port *pp, size_t port,
		      uint8_t family)
{
	const struct service_port *p = &b->s->ports[port];
	struct selection sel;
	int r;

	pp->protocol = p->protocol;
	pp->family = family;
	pp->port = p->port;
	if (b->s->affinity == SESSION_AFFINITY_CLIENT_IP)
		pp->affinity_s = b->s->affinity_timeout_s;
	if (asprintf(&pp->name, *p->name ? "%s:%s" : "%s", b->s->key, p->name) <
	    0) {
		pp->name = NULL;
		return -ENOMEM;
	}
	r = select_endpoints(b->st, b->s, p, family, b->ctx->node_name,
			     b->ctx->zone, &sel);
	if (r < 0)
		return r;
	r = build_endpoints(pp, &sel, b->ctx);
	if (r == 0)
		r = build_serving(pp, &sel);
	if (r == 0)
		r = build_known(pp, &sel, b->sp);
	if (r == 0)
		r = tell_left_out(b->sp, pp, sel.left_out_n);
	selection_free(&sel);
	if (r == 0)
		r = build_source_ranges(pp, b->s, b->ctx);
	return r ? r : build_port_frontends(b, pp, port);
}

static int build_ports(struct building *b)
{
	size_t most = b->s->ports_n * ARRAY_SIZE(families);

	b->sp->ports = calloc(most + 1, sizeof(*b->sp->ports));
	if (!b->sp->ports)
		return -ENOMEM;
	for (size_t i = 0; i < b->s->ports_n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(families); k++) {
			int r;

			if (!has_family(b->s, families[k]))
				continue;
			r = build_port(b, &b->sp->ports[b->sp->ports_n++], i,
				       families[k]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static void newest_change(const struct endpoint_slice *s, void *data)
{
	uint64_t *newest = data;

	if (s->changed_ms > *newest)
		*newest = s->changed_ms;
}

static int tell_bad_entries(struct service_plan *sp, const struct service *s)
{
	char sentence[ERRBUF_BYTES];
	int r = 0;

	for (size_t i = 0; i < s->bad_entries_n && r == 0; i++)
		r = add_problem(sp, PLAN_PROBLEM_ENTRY, s->bad_entries[i]);
	if (r < 0 || s->bad_entries_more_n == 0)
		return r;
	snprintf(sentence, sizeof(sentence), "%zu further entries like these",
		 s->bad_entries_more_n);
	return add_problem(sp, PLAN_PROBLEM_ENTRY, sentence);
}

int build_service_plan(const struct service *s, const struct store *st,
		       const struct plan_context *ctx,
		       const struct wanted_frontends *wanted,
		       build_owner_fn owner, void *owner_data,
		       struct service_plan **ret_plan)
{
	cleanup_(service_plan_freep) struct service_plan *sp =
		calloc(1, sizeof(*sp));
	struct problem_sink sink = {.sp = sp};
	struct building b = {s, st, ctx, wanted, owner, owner_data, sp};
	int r;

	if (!sp || !(sp->key = strdup(s->key)))
		return -ENOMEM;
	policy_of_service(&ctx->policy, s, &sp->policy, on_policy_problem,
			  &sink);
	sp->proxied = mode_decide(&sp->policy, ctx, &sp->mode_reason);
	sp->health_check_port = s->health_check_node_port;
	store_each_slice(st, s->key, newest_change, &sp->changed_ms);
	r = sink.r ? sink.r : tell_bad_entries(sp, s);
	if (r == 0)
		r = build_ports(&b);
	if (r < 0)
		return r;
	*ret_plan = TAKE_PTR(sp);
	return 0;
}
