// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <inttypes.h>

#include "explain_find.h"
#include "human.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/observe/explain.h"

static const char *masquerade_text(enum plan_masquerade m)
{
	static const char *const texts[] = {
		[PLAN_KEEP] = "client's address kept",
		[PLAN_UNLESS_POD] =
			"masqueraded unless the client is a pod of this node",
		[PLAN_IF_NODE] = "masqueraded if the node itself is the client",
		[PLAN_MASQUERADE] = "masqueraded",
	};
	static_assert(ARRAY_SIZE(texts) == PLAN_MASQUERADE_MAX_,
		      "each has one");

	return texts[m];
}

static void text_verdict(const struct plan_port *port,
			 const struct plan_view *v, struct text *t)
{
	switch (v->verdict) {
	case PLAN_PICK:
		text_addf(t, "one of %zu %s endpoints, %s, by the %s",
			  port->in_scope_n[v->scope],
			  v->scope == SELECT_SCOPE_LOCAL ? "Local" : "Cluster",
			  masquerade_text(v->masquerade),
			  v->proxied ? "proxy" : "kernel");
		break;
	case PLAN_REJECT:
		text_add(t, "rejected: there is no endpoint");
		break;
	case PLAN_DROP:
		text_add(t, "dropped: endpoints on other nodes only");
		break;
	case PLAN_VERDICT_MAX_:
		break;
	}
}

static bool view_equal(const struct plan_view *a, const struct plan_view *b)
{
	if (a->verdict != b->verdict || a->verdict != PLAN_PICK)
		return a->verdict == b->verdict;
	return a->scope == b->scope && a->masquerade == b->masquerade &&
	       a->proxied == b->proxied;
}

static void text_frontend(const struct plan_port *port,
			  const struct plan_frontend *f, struct text *t)
{
	const struct plan_view *inside = &f->view[PLAN_INSIDE];
	const struct plan_view *outside = &f->view[PLAN_OUTSIDE];
	char at[SOCKAD_STRLEN];

	if (f->kind == PLAN_NODE_PORT)
		text_addf(t, "    :%u NodePort\n", f->at.port);
	else
		text_addf(t, "    %s %s%s\n", sockad_format(&f->at, at),
			  plan_frontend_kind_name(f->kind),
			  f->firewalled ? ", source ranges apply" : "");
	if (view_equal(inside, outside)) {
		text_add(t, "      from anywhere        ");
		text_verdict(port, inside, t);
	} else {
		text_add(t, "      from node and pods   ");
		text_verdict(port, inside, t);
		text_add(t, "\n      from elsewhere       ");
		text_verdict(port, outside, t);
	}
	text_add(t, "\n");
}

static void text_choice(const struct candidate *c, bool uses_local,
			struct text *t)
{
	enum select_reason cluster = c->reason[SELECT_SCOPE_CLUSTER];
	enum select_reason local = c->reason[SELECT_SCOPE_LOCAL];

	if (uses_local)
		text_addf(t, "Cluster: %s; Local: %s",
			  select_reason_text(cluster),
			  select_reason_text(local));
	else
		text_addf(t, "%s%s",
			  cluster == SELECT_CHOSEN ? "" : "not chosen: ",
			  select_reason_text(cluster));
}

static void text_state(const struct px_endpoint_stats *s, uint64_t now_ms,
		       struct text *t)
{
	char left[HUMAN_DURATION_STRLEN];

	switch (s->state) {
	case PX_ENDPOINT_IN:
		text_add(t, "in rotation");
		break;
	case PX_ENDPOINT_EJECTED:
		text_addf(t, "ejected for another %s (ejection %u)",
			  human_duration(human_age_ms(s->ejected_until_ms,
						      now_ms),
					 left),
			  s->ejections_n);
		break;
	case PX_ENDPOINT_PROBING:
		text_add(t,
			 "probed: one connection at a time until one succeeds");
		break;
	case PX_ENDPOINT_STATE_MAX_:
		break;
	}
	if (s->share_percent < 100)
		text_addf(t, ", in its slow start: %" PRIu32 "%% of its share",
			  s->share_percent);
	if (s->full)
		text_add(t, ", full: max-endpoint-connections");
	if (s->not_ejected_why)
		text_addf(t, ", not ejected: %s", s->not_ejected_why);
}

static void text_endpoint(const struct explained_endpoint *ep, bool uses_local,
			  uint64_t now_ms, struct text *t)
{
	const struct candidate *c = &ep->candidate;
	const struct px_endpoint_stats *s = &ep->stats;
	char at[SOCKAD_STRLEN];

	text_addf(t, "    %s on %s%s, ", sockad_format(&c->at, at),
		  c->node ? c->node : "an unknown node",
		  c->local ? " (this node)" : "");
	text_choice(c, uses_local, t);
	text_add(t, "\n");
	if (!ep->has_stats)
		return;
	text_addf(t,
		  "      %" PRIu64 " open, %" PRIu64 " connections, %" PRIu64
		  " failures, %" PRIu32 " in a row; ",
		  s->open, s->connections, s->failures,
		  s->consecutive_failures);
	text_state(s, now_ms, t);
	if (s->affinity_clients_n)
		text_addf(t, "; %" PRIu32 " clients keep it",
			  s->affinity_clients_n);
	text_add(t, "\n");
}

static void text_port(const struct explained_port *xp, uint64_t now_ms,
		      struct text *t)
{
	const struct plan_port *port = xp->port;
	bool uses_local = explained_uses_local(port);
	char range[CIDR_STRLEN], quiet[HUMAN_DURATION_STRLEN];

	text_addf(t, "\n%s %u/%s %s\n", port->name, port->port,
		  protocol_name(port->protocol),
		  observed_family_name(observed_family_of(port->family)));
	if (port->affinity_s)
		text_addf(t,
			  "  sessionAffinity ClientIP: a client keeps its "
			  "endpoint until it was quiet for %s\n",
			  human_duration(port->affinity_s * UINT64_C(1000),
					 quiet));
	text_add(t, "  frontends\n");
	for (size_t i = 0; i < port->frontends_n; i++)
		text_frontend(port, &port->frontends[i], t);
	for (size_t i = 0; i < port->source_ranges_n; i++)
		text_addf(t, "%s%s%s", i == 0 ? "  source ranges\n    " : " ",
			  cidr_format(&port->source_ranges[i], range),
			  i + 1 == port->source_ranges_n ? "\n" : "");
	text_addf(t, "  endpoints%s\n", xp->endpoints_n == 0 ? ": none" : "");
	for (size_t i = 0; i < xp->endpoints_n; i++)
		text_endpoint(&xp->endpoints[i], uses_local, now_ms, t);
}

static void text_settings(const struct policy *p, struct text *t)
{
	text_add(t, "\nsettings\n");
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++) {
		enum policy_setting s = (enum policy_setting)i;

		text_addf(t, "  %-30s", policy_setting_name(s));
		policy_format(p, s, t);
		text_addf(t, " (%s)\n",
			  policy_source_name((enum policy_source)p->source[s]));
	}
}

static void text_head(const struct explained_service *xs, struct text *t)
{
	const struct service *s = xs->service;

	text_addf(t, "Service %s", xs->key);
	if (s)
		text_addf(
			t,
			", %s, internalTrafficPolicy %s, externalTrafficPolicy %s",
			service_type_name(s->type),
			traffic_policy_name(s->internal_policy),
			traffic_policy_name(s->external_policy));
	text_add(t, "\n");
}

/* What the mode promises and the present state of the gate makes of it. */
static void text_mode(const struct observed *o, const struct service_plan *sp,
		      struct text *t)
{
	text_addf(t, "mode %s (%s)\n", sp->proxied ? "proxy" : "kernel",
		  plan_mode_reason_text(sp->mode_reason));
	if (sp->proxied && !o->gate.open)
		text_addf(
			t,
			"the gate is closed, new connections go by the kernel: %s\n",
			o->gate.why_closed ? o->gate.why_closed : "see status");
	for (size_t i = 0; i < sp->problems_n; i++)
		text_addf(t, "problem: %s\n", sp->problems[i].sentence);
}

static void text_service(const struct observed *o,
			 const struct explained_service *xs, uint64_t now_ms,
			 struct text *t)
{
	text_head(xs, t);
	if (!xs->plan) {
		text_addf(t, "not served: %s\n", xs->not_served);
		return;
	}
	text_mode(o, xs->plan, t);
	for (size_t i = 0; i < xs->ports_n; i++)
		text_port(&xs->ports[i], now_ms, t);
	text_settings(&xs->plan->policy, t);
}

int explain_text(const struct observed *o, const char *target, uint64_t now_ms,
		 struct text *t, struct errbuf *e)
{
	cleanup_(explained_free) struct explained x = {0};
	struct explain_target parsed;
	int r = explain_parse(target, &parsed, e);

	if (r == 0)
		r = explain_find(o, &parsed, now_ms, &x, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < x.services_n; i++) {
		if (i > 0)
			text_add(t, "\n");
		text_service(o, &x.services[i], now_ms, t);
	}
	return 0;
}
